"""Each reader with samples of what it reads, and the errors that it may answer with; any other one is a fault."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from keys import certificate, opening
from keys.errors import KeysError
from recpipe import numbers, samples
from recpipe.audio.probe import probe
from recpipe.errors import Held, SourceChanged, Unfit
from recpipe.spool import naming
from recpipe.spool.asterisk_cdr import AsteriskCdr
from recpipe.spool.sidecar import read

Reader = Callable[[Path, bytes], object]
LAYOUTS = ("freepbx", "fusionpbx", "3cx", "kazoo", "mikopbx", "rtpengine", "sidecar")


def _audio(name: str) -> Reader:
    def look(folder: Path, data: bytes) -> object:
        path = folder / name
        path.write_bytes(data)
        return probe(path, name)

    return look


def _csv(folder: Path, data: bytes) -> object:
    path = folder / "Master.csv"
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    return AsteriskCdr(path, "Europe/Berlin").facts("1790000000.1")


def _sidecar(folder: Path, data: bytes) -> object:
    path = folder / "call.json"
    path.write_bytes(data)
    return read(path, "Europe/Berlin")


def _name(_folder: Path, data: bytes) -> object:
    name = data.decode("utf-8", "surrogateescape").replace("\0", "").replace("/", "") or "x"
    return [
        _quiet(lambda layout=layout: naming.parse(f"{name}.wav", layout, "", "Europe/Berlin")) for layout in LAYOUTS
    ]


def _quiet(parse: Callable[[], object]) -> object:
    try:
        return parse()
    except Unfit:
        return None


def _text(read_text: Callable[[str], object]) -> Reader:
    return lambda _folder, data: read_text(data.decode("utf-8", "surrogateescape"))


_FIELDS = ["", "030123", "201", "from-internal", "", "PJSIP/201-1", "", "", "", "2026-09-01 09:25:00", "", "", "9", "8"]
_ROW = ",".join(f'"{one}"' for one in [*_FIELDS, "ANSWERED", "", "1790000000.1", ""]).encode() + b"\n"
_SAMPLES = {name: path.read_bytes()[:4096] for name, path in samples.paths().items()}
# Name of the reader: the reader, what it may read, what it may answer with.
TARGETS: dict[str, tuple[Reader, list[bytes], tuple[type[Exception], ...]]] = {
    **{f"audio {name}": (_audio(name), [data], (Unfit, Held, SourceChanged)) for name, data in _SAMPLES.items()},
    "call detail records": (_csv, [_ROW * 2], ()),
    "sidecar": (_sidecar, [b'{"caller": "1", "started_at": "2026-09-01T09:25:00", "duration_ms": 1}'], (Unfit, Held)),
    "names": (_name, [b"out-03012341234-201-20260901-092500-1790000000.1"], ()),
    "certificate": (
        lambda _folder, data: certificate.vet(data, now=datetime.now(UTC)),
        [b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", bytes.fromhex("308202")],
        (KeysError,),
    ),
    "envelope": (
        lambda _folder, data: opening.inspect(io.BytesIO(data)),
        [bytes.fromhex("308006092a864886f70d010703a080308002010031")],
        (KeysError,),
    ),
    "number": (_text(lambda text: numbers.e164(text, "DE")), [b"+49 30 1234567", b"sip:201@example.com"], ()),
}


def mutated(chance: random.Random, data: bytes) -> bytes:
    """The sample with a few bytes changed, cut, doubled or put in."""
    made = bytearray(data)
    for _ in range(chance.randint(1, 6)):
        at, length = chance.randrange(len(made) + 1), chance.randrange(1, 9)
        act = chance.randrange(5)
        if act == 0:
            made[at : at + length] = chance.randbytes(length)
        elif act == 1:
            del made[at : at + length]
        elif act == 2:
            made[at:at] = made[at : at + 4 * length]
        elif act == 3:
            made[at : at + 4] = chance.choice(
                (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f")
            )
        else:
            del made[at:]
    return bytes(made)


def fuzz(name: str, seed: int, folder: Path) -> str:
    """Feed a reader once; what went wrong, "" where nothing did."""
    reader, known, allowed = TARGETS[name]
    chance = random.Random(f"{name} {seed}")
    data = mutated(chance, chance.choice(known))
    try:
        reader(folder, data)
    except allowed:
        return ""
    except Exception as error:
        return f"{name}, seed {seed}: {type(error).__name__}: {error} for {data[:200].hex()}"
    return ""
