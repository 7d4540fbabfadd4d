"""The calls of each run: what people do, and what is to be known of each call afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.lab import office, timing
from tests.lab.chain import Chain, ask_relay, until
from tests.lab.phone import ADDRESS, Phone

GERMAN = ("+4930123456", "Jürgen Müßig 株式会社")
BRITISH = ("+442079460958", "O'Neil, Zoë")
RECEPTION = ("201", "Empfang Süd")
_CODECS = "PCMU/8000/1,PCMA/8000/1,G722/16000/1"


@dataclass(frozen=True, slots=True)
class Call:
    """One call, as it was made."""

    caller: str
    caller_name: str
    callee: str
    direction: str
    recordings: int  # files that the recorder makes of it; -1: at least one
    rule: str = ""  # of the tenant, where the proxy asks


class People:
    """The phones of a run, and the calls between them."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.calls: list[Call] = []
        self.hung_up_at = 0.0
        self.opened_after_s = 0.0  # from a hang-up until OpenSSL had opened the recording
        self.timed: dict[str, list[float]] = {}  # from INVITE to 180: median, p95, worst in ms
        self.reception = self._phone("reception", 5070, RECEPTION, f"regint=600;audio_codecs={_CODECS}", "near.wav")
        until("the reception is registered", lambda: "REGISTERED 201" in _log_of_proxy(chain))

    def outside(self, port: int, who: tuple[str, str], codec: str) -> Phone:
        return self._phone(f"outside-{port}", port, who, f"regint=0;audio_codecs={codec}", "far.wav")

    def trunk(self) -> Phone:
        """Answers for every number outside."""
        return self._phone("trunk", 5080, ("trunk", ""), f"regint=0;audio_codecs={_CODECS}", "far.wav")

    def ring(self, phone: Phone, called: Phone, call: Call, dialled: str = "") -> None:
        """Dial, and return while it rings. `dialled`: a number that rings at the callee's."""
        self.calls.append(call)
        self.chain.note(f"dial, call {len(self.calls)}")
        phone.dial(dialled or call.callee)
        called.wait("CALL_INCOMING")

    def answer(self, phone: Phone, called: Phone) -> None:
        called.do("accept")
        phone.wait("CALL_ESTABLISHED")
        called.wait("CALL_ESTABLISHED")
        self.chain.note("answered")

    def hang_up(self, phone: Phone, called: Phone) -> None:
        phone.do("hangup")
        self.hung_up_at = time.monotonic()
        called.wait("CALL_CLOSED")
        phone.wait("CALL_CLOSED")
        self.chain.note("hung up")
        time.sleep(1)

    def talk(
        self, phone: Phone, called: Phone, call: Call, ring_seconds: float, seconds: float, dialled: str = ""
    ) -> None:
        self.ring(phone, called, call, dialled)
        time.sleep(ring_seconds)
        self.answer(phone, called)
        time.sleep(seconds)
        self.hang_up(phone, called)

    def hold(self, phone: Phone, seconds: float) -> None:
        self.chain.note("on hold")
        phone.do("hold")
        time.sleep(seconds)
        phone.do("resume")
        self.chain.note("resumed")

    def _phone(self, folder: str, port: int, who: tuple[str, str], params: str, says: str) -> Phone:
        account = f'"{who[1]}" <sip:{who[0]}@{ADDRESS}>;answermode=manual;{params}'
        return self.chain.phone(folder, port, account, says)


def five_calls(people: People, files: int) -> None:
    """Inbound; outbound and on hold; cancelled while it rings; two seconds; wideband."""
    reception, trunk = people.reception, people.trunk()
    german, british = people.outside(5090, GERMAN, "PCMA/8000/1"), people.outside(5100, BRITISH, "G722/16000/1")
    people.talk(german, reception, Call(*GERMAN, "201", "inbound", files), 3, 12)

    people.ring(reception, trunk, Call(*RECEPTION, "+4989998877", "outbound", files))
    people.answer(reception, trunk)
    time.sleep(8)
    people.hold(reception, 20)
    time.sleep(8)
    people.hang_up(reception, trunk)

    people.ring(reception, trunk, Call(*RECEPTION, "+15551234567", "outbound", 0))
    time.sleep(2)
    people.hang_up(reception, trunk)

    people.talk(german, reception, Call(*GERMAN, "201", "inbound", files), 1, 2)
    people.talk(british, reception, Call(*BRITISH, "201", "inbound", files), 2, 10)


def one_call(people: People, files: int) -> None:
    german = people.outside(5090, GERMAN, "PCMA/8000/1")
    people.talk(german, people.reception, Call(*GERMAN, "201", "inbound", files), 1, 5)


def on_hold(people: People, files: int) -> None:
    """Much is written before the hold, nothing during it, and much after it."""
    german = people.outside(5090, GERMAN, "PCMA/8000/1")
    people.ring(german, people.reception, Call(*GERMAN, "201", "inbound", files))
    people.answer(german, people.reception)
    time.sleep(18)
    people.hold(german, 20)
    time.sleep(12)
    people.hang_up(german, people.reception)


def faults(people: People, files: int) -> None:
    """Recording begun, ended and begun again in one call; in another the recorder is killed, and recpipe after it."""
    chain, reception = people.chain, people.reception
    german = people.outside(5090, GERMAN, "PCMA/8000/1")
    people.ring(german, reception, Call(*GERMAN, "202", "inbound", 2 * files))
    people.answer(german, reception)
    time.sleep(4)
    for seconds in (10, 6):
        _tell_relay(chain, "start recording")
        time.sleep(seconds)
        _tell_relay(chain, "stop recording")
        time.sleep(12)  # so that the recorder has ended the file
    people.hang_up(german, reception)

    people.ring(german, reception, Call(*GERMAN, "201", "inbound", -1))
    people.answer(german, reception)
    time.sleep(22)
    chain.kill("recorder")
    time.sleep(3)
    chain.start_recorder()
    time.sleep(8)
    people.hold(german, 3)  # it takes no notice of the call before something about it changes
    time.sleep(10)
    people.hang_up(german, reception)
    chain.kill("recpipe")  # the .meta file has gone, the recording is not closed yet
    chain.start_recpipe()


def as_decided(people: People, files: int) -> None:
    """A number that is skipped and an extension that is recorded; then the rules say the opposite."""
    german, trunk = people.outside(5090, GERMAN, "PCMA/8000/1"), people.trunk()
    tenant = office.Office(people.chain)

    def come_in(recordings: int, rule: str) -> None:
        call = Call(*GERMAN, office.EXTENSION, "inbound", recordings, f"inbound, {office.NUMBER}: {rule}")
        people.talk(german, people.reception, call, 1, 6, dialled=office.NUMBER)

    def go_out(recordings: int, rule: str) -> None:
        call = Call(*RECEPTION, "+4989998877", "outbound", recordings, f"outbound, {office.EXTENSION}: {rule}")
        people.talk(people.reception, trunk, call, 1, 6)

    come_in(0, "skip")
    go_out(files, "record")
    tenant.open_all(files)
    people.opened_after_s = time.monotonic() - people.hung_up_at
    tenant.decide(inbound="record", outbound="skip")
    come_in(files, "record")
    go_out(0, "skip")
    people.timed = timing.invite_to_180()


def _tell_relay(chain: Chain, command: str) -> None:
    call_id = calls_of_proxy(chain)[-1][0]
    chain.note(f"{command}: {ask_relay({'command': command, 'call-id': call_id})!r}")


def calls_of_proxy(chain: Chain) -> list[tuple[str, int]]:
    """Call-ID and start of each call that the proxy has seen, in order."""
    words = [line.partition("CALL ")[2].split() for line in _log_of_proxy(chain).splitlines()]
    return [(found[0], int(found[1])) for found in words if len(found) == 5 and found[1].isdigit()]


def verdicts_of_proxy(chain: Chain) -> dict[str, str]:
    """What the proxy was told, by Call-ID, where it asked."""
    words = [line.partition("TOLD ")[2].split() for line in _log_of_proxy(chain).splitlines()]
    return {found[0]: found[1] for found in words if len(found) == 3}


def _log_of_proxy(chain: Chain) -> str:
    return (chain.folder / "log" / "proxy.txt").read_text(errors="replace")


@dataclass(frozen=True, slots=True)
class Plan:
    """What one run of the lab is: a way to record, and what happens meanwhile."""

    title: str
    recorder: str
    files: int  # that the recorder makes of one call with two sides
    happens: Callable[[People, int], None]
    prepare: Callable[[Chain], None] | None = None  # once recpipe is ready, before the proxy


PLANS = {
    "quick": Plan("one call, as shipped", "as shipped", 3, one_call),
    "wav": Plan("five calls, as shipped (WAV, mixed and single)", "as shipped", 3, five_calls),
    "stereo": Plan("five calls, WAV of four channels", "4 channels", 1, five_calls),
    "mp3": Plan("five calls, MP3 of 24 kbit/s", "MP3", 1, five_calls),
    "hold": Plan("20 s on hold, WAV of 48 kHz, time in the name", "48 kHz", 1, on_hold),
    "faults": Plan(
        "recording begun twice in a call; recorder killed in another, recpipe after it", "4 channels", 1, faults
    ),
    "policy": Plan("recpipe is asked whether to record, and seals", "4 channels", 1, as_decided, office.begin),
}
