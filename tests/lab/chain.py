"""The parts of the chain, from the network to recpipe, each a process of its own in one run's folder."""

from __future__ import annotations

import array
import math
import os
import signal
import socket
import subprocess
import time
import urllib.request
import wave
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.phone import ADDRESS, DEVICE, Phone

HERE = Path(__file__).parent
RELAY_CONTROL = ("127.0.0.1", 2223)
HTTP = "127.0.0.1:8080"
_SPEECH_SECONDS = 90
_RATE_HZ = 16000

# How the recorder is told to record: as shipped it writes a mixed file, and one for each side.
RECORDERS: dict[str, list[str]] = {
    "as shipped": [],
    "4 channels": ["--output-mixed", "--mix-method=channels"],
    "MP3": ["--output-mixed", "--output-format=mp3", "--mp3-bitrate=24000", "--resample-to=16000"],
    "48 kHz": ["--output-mixed", "--resample-to=48000", "--output-pattern=%Y%m%d-%H%M%S-%c-%t"],
}
_SPOOL = """\
http_listen = "{http}"

[[spool]]
name = "lab"
path = "{spool}"
tenant = "acme"
layout = "rtpengine"
single_streams = true
meta_dir = "{meta}"
"""


@dataclass(slots=True)
class Chain:
    """One run's processes. All of them end with the run's process namespace."""

    folder: Path
    sink: Path  # procsink.so
    recpipe: list[str]  # the command, as words
    recorder: list[str]
    began_at: float = field(default_factory=time.time)
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def spool(self) -> Path:
        return self.folder / "spool"

    @property
    def meta(self) -> Path:
        return self.folder / "meta"

    def begin(self, prepare: Callable[[Chain], None] | None = None) -> None:
        """Network, sound, recpipe, relay, recorder and proxy; returns when they answer.

        Args:
            prepare: called once recpipe is ready. Where it leaves a `policy.cfg`, the proxy asks.
        """
        for name in ("log", "spool", "meta", "sink", "phones", "recpipe"):
            (self.folder / name).mkdir()
        self._network()
        _speech(self.folder / "near.wav", 400)
        _speech(self.folder / "far.wav", 1600)
        self._begin_recpipe(prepare)
        relay = ["rtpengine", "--config-file=none", "--foreground", "--log-stderr", "--log-level=6", "--table=0"]
        relay += [f"--interface={ADDRESS}", f"--listen-ng={RELAY_CONTROL[0]}:{RELAY_CONTROL[1]}", "--timeout=120"]
        relay += ["--port-min=30000", "--port-max=30400", "--delete-delay=0", "--recording-method=proc"]
        self.start("relay", [*relay, f"--recording-dir={self.meta}", f"--pidfile={self.folder / 'relay.pid'}"])
        self.start_recorder()
        until("the relay answers", lambda: b"pong" in ask_relay({"command": "ping"}))
        proxy = ["kamailio", "-DD", "-E", "-m", "64", "-M", "8", "-Y", str(self.folder)]
        proxy += ["-P", str(self.folder / "kamailio.pid"), "-f", str(HERE / "kamailio.cfg")]
        asks = ["-A", "WITH_POLICY"] if (self.folder / "policy.cfg").exists() else []
        self.start("proxy", proxy + asks)

    def left(self) -> list[Path]:
        """Recordings in the spool."""
        return [path for path in self.spool.iterdir() if path.suffix in (".wav", ".mp3")]

    def phone(self, name: str, port: int, account: str, says: str) -> Phone:
        return Phone(self.start, self.folder / "phones" / name, port, account, self.folder / says)

    def start_recorder(self) -> None:
        words = ["rtpengine-recording", "--config-file=none", "--foreground", "--log-stderr", "--log-level=6"]
        words += ["--table=0", f"--spool-dir={self.meta}", f"--output-dir={self.spool}", *self.recorder]
        self.start("recorder", words)

    def start_recpipe(self) -> None:
        """Return when it is ready."""
        self.start("recpipe", [*self.recpipe, "serve"])
        until("recpipe is ready", _is_ready)

    def kill(self, name: str) -> None:
        """End a part as the kernel does when memory is short."""
        self._running[name].send_signal(signal.SIGKILL)
        self._running[name].wait()
        self.note(f"{name} killed")

    def run_recpipe(self, *words: str, said: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command; `said` is its standard input."""
        return subprocess.run(
            [*self.recpipe, *words],
            cwd=self.folder / "recpipe",
            input=said,
            capture_output=True,
            text=True,
            check=False,
        )

    def end(self) -> None:
        """End what was started, the recorder after a hang-up at the latest, recpipe last."""
        for process in reversed(self._running.values()):
            process.terminate()
        for process in self._running.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)

    def note(self, text: str) -> None:
        """Say what is done, with the seconds since the run began."""
        line = f"{time.time() - self.began_at:7.2f} {text}"
        with (self.folder / "log" / "notes.txt").open("a") as log:
            print(line, file=log)

    def start(self, name: str, words: list[str]) -> subprocess.Popen[bytes]:
        with (self.folder / "log" / f"{name}.txt").open("ab") as log:
            env = os.environ | {"LD_PRELOAD": str(self.sink), "SINK_DIR": str(self.folder / "sink")}
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=env if words[0].startswith("rtpengine") else None,
                cwd=self.folder / "recpipe" if words[0] == self.recpipe[0] else self.folder,
            )
        self._running[name] = process
        return process

    def _network(self) -> None:
        peer = f"{DEVICE}-peer"
        for words in (
            "link set lo up",
            f"link add {DEVICE} type veth peer name {peer}",  # baresip takes no loopback for its media
            f"addr add {ADDRESS}/24 dev {DEVICE}",
            f"link set {DEVICE} up",
            f"link set {peer} up",
        ):
            subprocess.run(["ip", *words.split()], check=True)

    def _begin_recpipe(self, prepare: Callable[[Chain], None] | None) -> None:
        settings = _SPOOL.format(http=HTTP, spool=self.spool, meta=self.meta)
        (self.folder / "recpipe" / "recpipe.toml").write_text(settings)
        made = self.run_recpipe("tenant", "create", "acme", "--timezone", "UTC", "--region", "DE")
        if made.returncode:
            raise RuntimeError(f"recpipe made no tenant: {made.stdout}{made.stderr}")
        self.start_recpipe()
        if prepare:
            prepare(self)


def until(what: str, is_so: Callable[[], bool], seconds: float = 120.0) -> None:
    """Wait until something is so.

    Raises:
        TimeoutError: it did not become so.
    """
    ends_at = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > ends_at:
            raise TimeoutError(f"after {seconds:.0f} s it was still not so that {what}")
        time.sleep(0.2)


def ask_relay(command: dict[str, str]) -> bytes:
    """One command to rtpengine's control port (bencode over UDP); the answer, or b"" without one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        control.settimeout(3)
        control.sendto(b"%x " % time.time_ns() + _bencode(command), RELAY_CONTROL)
        try:
            return control.recv(65536)
        except (TimeoutError, ConnectionRefusedError):
            return b""


def _bencode(value: str | dict[str, str]) -> bytes:
    if isinstance(value, dict):
        return b"d" + b"".join(_bencode(key) + _bencode(value[key]) for key in sorted(value)) + b"e"
    text = value.encode()
    return b"%d:%s" % (len(text), text)


def _is_ready() -> bool:
    try:
        with urllib.request.urlopen(f"http://{HTTP}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _speech(path: Path, lowest_hz: int) -> None:
    """A tone that is another one each second, so that a second that is missing can be told."""
    samples = array.array("h")
    for second in range(_SPEECH_SECONDS):
        step = 2 * math.pi * (lowest_hz + 10 * second) / _RATE_HZ
        samples.extend(int(8000 * math.sin(step * i)) for i in range(_RATE_HZ))
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(_RATE_HZ)
        out.writeframes(samples.tobytes())
