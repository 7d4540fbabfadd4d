"""What is kept beside each object, so that its row can be made again when the catalogue is older than the store.

The facts of a recording, compressed and encrypted with a key of the installation: whoever reads the bucket learns
nothing, and they go when the object goes. Not kept are the waveform, and what a late call detail record said.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from keys import note
from keys.errors import NoteUnreadable
from recpipe import durable
from recpipe.errors import SettingsInvalid
from recpipe.model import AudioFacts, CallFacts, Container, Direction, Envelope, Recording, RecordingKind
from recpipe.settings import Settings
from recpipe.store.base import MOST_NOTE_BYTES

KEY_FILE = "recovery.key"
# Characters that texts and names are cut to, the first time not at all, until all of it fits.
_CUTS: tuple[tuple[int, int] | None, ...] = (None, (120, 250), (40, 100), (8, 60))
_NUMBERS = ("caller", "callee", "extension")
_LONGEST_NUMBER = 40
_NAMES = {kind: tuple(one.name for one in fields(kind)) for kind in (Recording, CallFacts, AudioFacts, Envelope)}
_NOT_KEPT = ("id", "tenant_id", "object_key", "peaks")  # the key of the object says the first two


def recovery_key(settings: Settings) -> bytes:
    """The key of the installation, under which all is sealed that is sealed now.

    Raises:
        SettingsInvalid: as `recovery_keys`.
    """
    return recovery_keys(settings)[0]


def recovery_keys(settings: Settings) -> Sequence[bytes]:
    """The key of the installation, and behind it those that were before and still open what was sealed then.

    They are in the setting, or in the file in the data dir, which is made when it is missing.

    Raises:
        SettingsInvalid: one of them is no key.
    """
    written = settings.recovery_key.get_secret_value()
    if written:
        return _keys(written, "recovery_key")
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = key_file(settings)
    with suppress(FileNotFoundError):
        return keys_in(path)
    durable.create(path, _written_keys([note.new_key()]))  # or another process was quicker: its key is the one
    return keys_in(path)


def key_file(settings: Settings) -> Path:
    """Where the keys are that no setting gives."""
    return settings.data_dir / KEY_FILE


def keys_in(path: Path) -> Sequence[bytes]:
    """The keys in a file, one a line, the one that counts first.

    Raises:
        SettingsInvalid: there is none, or something else.
        OSError: it cannot be read.
    """
    return _keys(path.read_text("ascii", "replace"), str(path))


def keep(path: Path, keys: Sequence[bytes]) -> None:
    """Write the file: at any moment it holds these keys or those before, whole.

    Raises:
        OSError: the disk does not take it.
    """
    durable.replace(path, _written_keys(keys))


def _written_keys(keys: Sequence[bytes]) -> bytes:
    return "".join(f"{key.hex()}\n" for key in keys).encode()


def _keys(written: str, where: str) -> Sequence[bytes]:
    with suppress(ValueError):
        keys = [bytes.fromhex(word) for word in written.replace(",", " ").split()]
        if keys and all(len(key) == note.KEY_BYTES for key in keys):
            return tuple(dict.fromkeys(keys))
    raise SettingsInvalid(
        f"{where} holds no recovery key: that is {2 * note.KEY_BYTES} hexadecimal digits, or several such keys with "
        "the one that counts first. Restore it from its backup."
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
        facts["masked"] = tuple(map(tuple, facts.get("masked", ())))
        if "kind" in facts:  # older notes are of calls
            facts["kind"] = RecordingKind(facts["kind"])
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
    return {name: getattr(value, name) for name in _NAMES[type(value)]}


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
