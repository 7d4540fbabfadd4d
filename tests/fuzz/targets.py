"""Each reader with samples of what it reads, and the errors that it may answer with; any other one is a fault."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

from keys import certificate, envelope, opening
from keys.errors import KeysError
from keys.privatekey import load_private_key
from recpipe import numbers, samples
from recpipe.audio import tags
from recpipe.audio.probe import probe
from recpipe.audio.splice import SpliceReader
from recpipe.errors import Held, SourceChanged, Unfit
from recpipe.model import CallFacts
from recpipe.settings import Layout
from recpipe.spool import naming
from recpipe.spool.asterisk_cdr import AsteriskCdr
from recpipe.spool.freeswitch_cdr import FreeswitchCdr
from recpipe.spool.kazoo_cdr import KazooCdr
from recpipe.spool.sidecar import read
from tests.fuzz.searched import REFUSALS, search
from tests.services.certificates import KeyPair, KeyPairs

Reader = Callable[[Path, bytes], object]
Samples = list[bytes] | Callable[[], list[bytes]]  # the latter where making them takes a while
Target = tuple[Reader, Samples, tuple[type[Exception], ...]]  # the last: what it may answer with
LAYOUTS = tuple(layout for layout in get_args(Layout) if layout != "generic")  # which reads as its pattern says


def _audio(name: str) -> Reader:
    def look(folder: Path, data: bytes) -> object:
        path = folder / name
        path.write_bytes(data)
        return probe(path, name)

    return look


def _tagged(name: str) -> Reader:
    """Tag a changed recording with hostile facts: the audio stays as it was, and can be read again."""

    def write(folder: Path, data: bytes) -> object:
        path, out = folder / name, folder / f"tagged-{name}"
        path.write_bytes(data)
        audio = probe(path, name)
        hostile = data[-200:].decode("utf-8", "surrogateescape")
        facts = CallFacts(caller=hostile, callee=hostile[::-1], caller_name=hostile, route=hostile, call_id=hostile)
        splice = tags.plan(path, audio, tags.Tags.from_call(facts, hostile, "0" * 32))
        with SpliceReader(splice) as source:
            out.write_bytes(source.read())
        assert out.stat().st_size == splice.size_bytes, "another size than was said"
        moved = tags.stored(audio, splice)
        before = data[audio.data_offset : audio.data_offset + audio.data_bytes]
        after = out.read_bytes()[moved.data_offset : moved.data_offset + moved.data_bytes]
        assert before == after, "the audio is not where the facts say, or not as it was"
        again = probe(out, name)
        assert (again.codec, again.data_bytes) == (audio.codec, audio.data_bytes), f"read again as {again}"
        return again

    return write


_UUID = "0a1b2c3d-1111-2222-3333-444455556666"


def _xml(folder: Path, data: bytes) -> object:
    (folder / f"{_UUID}.cdr.xml").write_bytes(data)
    return FreeswitchCdr(folder, "Europe/Berlin").facts(_UUID)


@cache
def _key_pair() -> KeyPair:
    folder = TemporaryDirectory(prefix="fuzz-")
    _folders.append(folder)  # removed with this process
    return KeyPairs(Path(folder.name)).get("fuzz")


_folders: list[TemporaryDirectory[str]] = []


def _pasted_keys() -> list[bytes]:
    pair = _key_pair()
    return [pair.key_pem, pair.key_pem + pair.pem, pair.pem + pair.key_pem]


def _paste(_folder: Path, data: bytes) -> object:
    """Paste it where a certificate is asked for: a private key is refused, and nothing of it is said again."""
    try:
        found = certificate.vet(data, now=datetime.now(UTC))
    except KeysError as error:
        secret = _key_pair().key_pem.split(b"\n")[1:-2]
        assert not any(line in str(error).encode() for line in secret), "the refusal holds some of the key"
        return None
    assert b"-----BEGIN PRIVATE KEY-----" not in data, "a private key was taken"
    return found


@cache
def _envelopes() -> list[bytes]:
    body = bytes(range(256)) * 20
    with envelope.Sealer([_key_pair().der]).begin(len(body)).open(io.BytesIO(body)) as source:
        return [source.read()]


def _open(_folder: Path, data: bytes) -> object:
    return opening.open_envelope(io.BytesIO(data), io.BytesIO(), load_private_key(_key_pair().key_pem))


def _csv(folder: Path, data: bytes) -> object:
    path = folder / "Master.csv"
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    return AsteriskCdr(path, "Europe/Berlin").facts("1790000000.1")


def _kazoo(name: str) -> Reader:
    def look(folder: Path, data: bytes) -> object:
        for path in folder.glob("cdrs.*"):
            path.unlink()
        (folder / name).write_bytes(data)
        reader = KazooCdr(folder, "Europe/Berlin")
        for told in reader.after(0, 100)[0]:
            assert told.call_id and told.talk_ms >= 0 and told.started_at.tzinfo is UTC
            told.recording_name.encode()
        return reader.facts("c-1")

    return look


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
_XML = [
    b'<?xml version="1.0"?>\n<cdr core-uuid="x" switchname="y"><variables><direction>inbound</direction>'
    b"<caller_id_name>M%C3%BCller</caller_id_name><start_uepoch>1790000000000000</start_uepoch><billsec>9</billsec>"
    b"<timezone>Europe/Berlin</timezone></variables><callflow><caller_profile><username>201</username>"
    b"<destination_number>202</destination_number></caller_profile></callflow></cdr>",
    b"cdr=%3Ccdr%3E%3Cvariables%3E%3Cdialed_user%3E201%3C/dialed_user%3E%3C/variables%3E%3C/cdr%3E",
    b"<cdr><variables><set x>1</set x><^^,y>a</^^,y><sip_from_user>201</sip_from_user></variables><callflow></callflow>"
    b"</cdr>",
    b'<!DOCTYPE a [<!ENTITY x "xx"><!ENTITY y "&x;&x;">]><cdr><variables><uuid>&y;</uuid></variables></cdr>',
]
_LEG = (
    b'{"call_id": "c-1", "call_direction": "inbound", "interaction_id": "63753796100-cc99", "timestamp": 63753796130,'
    b'"caller_id_number": "1002", "request": "02079460958@acme", "other_leg_call_id": "c-2", "duration_seconds": 30,'
    b'"billing_seconds": "24", "channel_created_time": 1586576901250000, "custom_channel_vars": {"account_id": "acme",'
    b'"media_recordings": ["202004-25b2a24e2111ac22265f739ac4ba73ff"], "media_names": "ARRAY::a.mp3|:b.mp3"}}'
)
_RECORDED = (
    b'{"call_id": "c-1", "media_source": "recorded", "name": "e466ef950bf89951667c918f1b36765b.mp3", "duration_ms": 9,'
    b'"id": "202004-25b2a24e2111ac22265f739ac4ba73ff", "start": 63753796103,"custom_channel_vars": {"Account-ID": ""}}'
)
_KAZOO = [b'{"data": [' + _LEG + b", " + _RECORDED + b"]}", _LEG + b"\n" + _LEG, b'{"rows": [{"doc": ' + _LEG + b"}]}"]
_KAZOO_CSV = [b"id,call_id,timestamp,billing_seconds,media_recordings\r\nx,c-1,63753796100,24,\r\ny,c-2,1,2,3\r\n"]
_SAMPLES = {name: path.read_bytes()[:4096] for name, path in samples.paths().items()}
# Name of the reader: the reader, what it may read, what it may answer with.
TARGETS: dict[str, Target] = {
    **{f"audio {name}": (_audio(name), [data], (Unfit, Held, SourceChanged)) for name, data in _SAMPLES.items()},
    **{f"tags of {name}": (_tagged(name), [data], (Unfit, Held, SourceChanged)) for name, data in _SAMPLES.items()},
    "FreeSWITCH records": (_xml, _XML, ()),
    "pasted private key": (_paste, _pasted_keys, ()),
    "private key file": (lambda _folder, data: load_private_key(data), _pasted_keys, (KeysError,)),
    "whole envelope": (_open, _envelopes, (KeysError,)),
    "search": (
        search,
        [b"+49 30 901820", b'%_\\"M\xc3\xbcller" OR x*', b"2026-03-27T09:25:17+01:00", b"WzEsMl0"],
        REFUSALS,
    ),
    "call detail records": (_csv, [_ROW * 2], ()),
    "KAZOO's records": (_kazoo("cdrs.json"), _KAZOO, ()),
    "KAZOO's list": (_kazoo("cdrs.csv"), _KAZOO_CSV, ()),
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


def fuzz(name: str, seed: int, folder: Path, targets: Mapping[str, Target] = TARGETS) -> str:
    """Feed a reader once; what went wrong, "" where nothing did."""
    reader, known, allowed = targets[name]
    chance = random.Random(f"{name} {seed}")
    data = mutated(chance, chance.choice(known() if callable(known) else known))
    try:
        reader(folder, data)
    except allowed:
        return ""
    except Exception as error:
        return f"{name}, seed {seed}: {type(error).__name__}: {error} for {data[:200].hex()}"
    return ""
