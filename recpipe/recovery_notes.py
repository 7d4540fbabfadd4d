"""What is kept beside each object, so that its row can be made again when the catalogue is older than the store.

The facts of a recording, compressed and encrypted with a key of the installation: whoever reads the bucket learns
nothing, and they go when the object goes. Not kept are the waveform, and what a late call detail record said.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from keys import note
from keys.errors import NoteUnreadable
from recpipe import durable
from recpipe.errors import SettingsInvalid
from recpipe.model import AudioFacts, CallFacts, Container, Direction, Envelope, Recording
from recpipe.settings import Settings
from recpipe.store.base import MOST_NOTE_BYTES

KEY_FILE = "recovery.key"
# Characters that texts and names are cut to, the first time not at all, until all of it fits.
_CUTS: tuple[tuple[int, int] | None, ...] = (None, (120, 250), (40, 100), (8, 60))
_NUMBERS = ("caller", "callee", "extension")
_LONGEST_NUMBER = 40
_NOT_KEPT = ("id", "tenant_id", "object_key", "peaks")  # the key of the object says the first two


def recovery_key(settings: Settings) -> bytes:
    """The key of the installation: the setting, or the file in the data dir, which is made when it is missing.

    Raises:
        SettingsInvalid: the setting or the file is no key.
    """
    written = settings.recovery_key.get_secret_value()
    if written:
        return _key(written, "recovery_key")
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = settings.data_dir / KEY_FILE
    with suppress(FileNotFoundError):
        return _key(path.read_text("ascii", "replace"), str(path))
    durable.create(path, note.new_key().hex().encode() + b"\n")  # or another process was quicker: its key is the one
    return _key(path.read_text("ascii", "replace"), str(path))


def key_in(path: Path) -> bytes:
    """The key in a file, as `recovery_key` makes it.

    Raises:
        SettingsInvalid: there is none.
        OSError: it cannot be read.
    """
    return _key(path.read_text("ascii", "replace"), str(path))


def _key(written: str, where: str) -> bytes:
    with suppress(ValueError):
        key = bytes.fromhex(written.strip())
        if len(key) == note.KEY_BYTES:
            return key
    raise SettingsInvalid(
        f"{where} holds no recovery key: that is {2 * note.KEY_BYTES} hexadecimal digits. Restore it from its backup."
    )


# --- notes ----------------------------------------------------------------------------------------------------


def note_of(key: bytes, recording: Recording, tenant: str) -> bytes:
    """The note that is kept with the object of a recording; b"" where its facts do not fit.

    Args:
        tenant: its short name, for people.
    """
    for cut in _CUTS:
        packed = _packed(recording if cut is None else _cut(recording, *cut), tenant)
        closed = note.closed(key, packed, recording.object_key)
        if len(closed) <= MOST_NOTE_BYTES:
            return closed
    return b""


@dataclass(frozen=True, slots=True)
class RecoveryNote:
    """A recording as its note has it; ids are those of its key, and checksums may be empty."""

    recording: Recording
    tenant: str


def read(keys: Iterable[bytes], closed: bytes, key: str, tenant_id: str, recording_id: str) -> RecoveryNote:
    """The recording of a note.

    Args:
        key: of the object.

    Raises:
        NoteUnreadable: see `keys.note.opened`; or what it says is no recording.
    """
    packed = note.opened(keys, closed, key)
    try:
        said: dict[str, Any] = json.loads(zlib.decompress(packed))
        facts, audio, envelope = said.pop("facts"), said.pop("audio"), said.pop("envelope")
        said |= {name: datetime.fromisoformat(said[name]) for name in ("started_at", "ingested_at")}
        if facts.get("started_at"):
            facts["started_at"] = datetime.fromisoformat(facts["started_at"])
        facts["direction"] = Direction(facts["direction"])
        audio["container"] = Container(audio["container"])
        if envelope is not None:
            envelope["iv"] = bytes.fromhex(envelope["iv"])
        made = Recording(
            **_known(Recording, said),
            id=recording_id,
            tenant_id=tenant_id,
            object_key=key,
            facts=CallFacts(**_known(CallFacts, facts)),
            audio=AudioFacts(**_known(AudioFacts, audio)),
            envelope=None if envelope is None else Envelope(**_known(Envelope, envelope)),
        )
        return RecoveryNote(made, str(said.get("tenant", "")))
    except (ValueError, KeyError, TypeError, AttributeError, zlib.error) as error:
        raise NoteUnreadable(f"What it says is no recording ({type(error).__name__}).") from error


def _packed(recording: Recording, tenant: str) -> bytes:
    said = {name: value for name, value in _fields_of(recording).items() if name not in _NOT_KEPT}
    said["tenant"] = tenant
    return zlib.compress(json.dumps(said, separators=(",", ":"), default=_written).encode(), 9)


def _fields_of(value: Any) -> dict[str, Any]:
    """As `dataclasses.asdict` without its copies, which take half of what a note does."""
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _written(value: object) -> str | dict[str, Any]:
    if isinstance(value, datetime):
        return value.isoformat()
    return value.hex() if isinstance(value, bytes) else _fields_of(value)


def _cut(recording: Recording, longest_text: int, longest_name: int) -> Recording:
    """The recording with its longer texts cut, numbers least of all; of names the end stays."""
    facts: dict[str, Any] = {"more_extensions": recording.facts.more_extensions[:2]} | {
        field.name: value[: _LONGEST_NUMBER if field.name in _NUMBERS else longest_text]
        for field in fields(CallFacts)
        if type(value := getattr(recording.facts, field.name)) is str and field.name != "timezone"
    }
    name, source_name = recording.name[-longest_name:], recording.source_name[-longest_name:]
    return replace(recording, facts=replace(recording.facts, **facts), name=name, source_name=source_name)


def _known(kind: type, said: dict[str, Any]) -> dict[str, Any]:
    """What this version knows of; a later one may have said more."""
    found = {field.name: said[field.name] for field in fields(kind) if field.name in said}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
