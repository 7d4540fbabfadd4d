"""How long it takes from INVITE to 180, with and without asking: calls that ring at once and are declined."""

from __future__ import annotations

import select
import socket
import statistics
import time
from itertools import count

from tests.lab.phone import ADDRESS

# The proxy asks of calls to the one, and not of calls to the other: see kamailio.cfg.
WAYS = {"does not ask": "+99900", "asks recpipe": "+99911"}
CALLS = 200
_PER_SECOND = 20
_PROXY = (ADDRESS, 5060)
_CALLED_PORT = 5081
_LONGEST_SECONDS = 10.0
_INVITE = """\
{method} sip:{number}@{here} SIP/2.0
Via: SIP/2.0/UDP {here}:{port};branch=z9hG4bK{call}
From: "Timed" <sip:201@{here}>;tag={call}
To: <sip:{number}@{here}>{tag}
Call-ID: {call}
CSeq: 1 {method}
Contact: <sip:201@{here}:{port}>
Max-Forwards: 20
"""
_OFFER = """\
v=0
o=- 1 1 IN IP4 {here}
s=-
c=IN IP4 {here}
t=0 0
m=audio 40000 RTP/AVP 8
a=rtpmap:8 PCMA/8000
"""
_numbers = count(1)


def invite_to_180() -> dict[str, list[float]]:
    """Median, 95th percentile and worst of each way, in ms. The ways take turns, so that both meet the same machine.

    Raises:
        TimeoutError: a call did not ring at all.
    """
    took: dict[str, list[float]] = {way: [] for way in WAYS}
    with _bound(0) as caller, _bound(_CALLED_PORT) as called:
        for _ in range(CALLS):
            for way, number in WAYS.items():
                took[way].append(_call(caller, called, number) * 1000)
                time.sleep(1 / _PER_SECOND)
    return {way: _figures(sorted(all_of)) for way, all_of in took.items()}


def _figures(took: list[float]) -> list[float]:
    return [statistics.median(took), took[int(len(took) * 0.95)], took[-1]]


def _bound(port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((ADDRESS, port))
    return made


def _call(caller: socket.socket, called: socket.socket, number: str) -> float:
    """Seconds until it rang. Once it rings, it is declined: two answers at once could change places on their way."""
    call = f"timed-{next(_numbers)}-{time.time_ns()}"
    request = ""
    began_at, rang_after = time.perf_counter(), 0.0
    caller.sendto(_request("INVITE", caller, number, call), _PROXY)
    while ready := select.select([called, caller], [], [], _LONGEST_SECONDS)[0]:
        text = ready[0].recv(65536).decode()
        if call not in text:
            continue  # of an earlier call, sent again
        if text.startswith("INVITE"):
            request = text
            called.sendto(_answer("180 Ringing", request), _PROXY)
        elif text.startswith("SIP/2.0 180"):
            rang_after = rang_after or time.perf_counter() - began_at
            called.sendto(_answer("486 Busy Here", request), _PROXY)
        elif text.startswith("SIP/2.0 486"):
            caller.sendto(_request("ACK", caller, number, call, tag=";tag=called"), _PROXY)
            return rang_after
    raise TimeoutError(f"a timed call to {number} did not ring")


def _request(method: str, caller: socket.socket, number: str, call: str, tag: str = "") -> bytes:
    here, port = caller.getsockname()
    head = _INVITE.format(method=method, number=number, here=here, port=port, call=call, tag=tag)
    body = _OFFER.format(here=here) if method == "INVITE" else ""
    body = body.replace("\n", "\r\n")
    if body:
        head += "Content-Type: application/sdp\n"
    return (head + f"Content-Length: {len(body)}\n\n").replace("\n", "\r\n").encode() + body.encode()


def _answer(status: str, request: str) -> bytes:
    lines = request.partition("\r\n\r\n")[0].split("\r\n")[1:]
    names = ("via", "record-route", "from", "to", "call-id", "cseq")
    kept = [line for line in lines if line.partition(":")[0].lower() in names]
    kept = [f"{line};tag=called" if line.lower().startswith("to:") else line for line in kept]
    return "\r\n".join([f"SIP/2.0 {status}", *kept, "Content-Length: 0", "", ""]).encode()
