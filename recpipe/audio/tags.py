"""What is written into a recording, and the splice that writes it: nothing is copied, the audio is never touched."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Self
from zoneinfo import ZoneInfo

from recpipe import __version__
from recpipe.audio import id3, outer_tags, riff, wave_tags
from recpipe.audio.files import Bytes, reading
from recpipe.audio.probe import wave
from recpipe.errors import SourceChanged
from recpipe.model import TEXT_FACTS, AudioFacts, CallFacts, Container, Direction, RecordingKind, Splice

TEXT_LIMIT = 250  # characters of one value
_OURS = "recpipe:"
# The same recording has the same bytes whenever it is tagged: what is first stays first, and the zone last.
_FIRST = (
    *("call_id", "linked_id", "direction", "caller", "caller_name", "callee", "callee_name"),
    *("extension", "route", "channels"),
)
# What may be told after a recording was stored is kept beside it, never in it.
_TEXTS = tuple(name for name in TEXT_FACTS if name != "started_by")
_IN_ORDER = (*_FIRST, "kind", *(name for name in _TEXTS if name not in _FIRST), "timezone")
# Marks that turn the text around them about, or hide in it: a caller name must not be able to redraw a listing.
_INVISIBLE = frozenset(
    "\u061c\u200b\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"
)


def clean(text: str, limit: int = TEXT_LIMIT) -> str:
    """Make caller-supplied text fit for a tag: one printable line without bidirectional marks, cut at `limit`."""
    if len(text) <= limit and text.isprintable():
        return " ".join(text.split())
    kept = (
        " " if character in "\t\r\n" else character
        for character in text[: 4 * limit]
        if character in "\t\r\n"
        or not (character in _INVISIBLE or unicodedata.category(character) in ("Cc", "Cs", "Co", "Cn"))
    )
    line = " ".join("".join(kept).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


@dataclass(frozen=True, slots=True)
class Tags:
    """Clean values of one recording; an empty one is not written."""

    title: str
    artist: str
    album: str
    comment: str
    recording_id: str
    facts: Mapping[str, str]  # by the name of their TXXX frame
    started_at: datetime | None = None  # aware, in the zone of the source
    software: str = f"recpipe {__version__}"

    @classmethod
    def from_call(cls, facts: CallFacts, tenant_title: str, recording_id: str) -> Self:
        """Clean and word what is known of a call.

        Args:
            facts: hostile text.
            tenant_title: becomes the album.
            recording_id: 32 hex digits.
        """
        texts = {name: clean(getattr(facts, name)) for name in _TEXTS}
        caller, callee = texts["caller"], texts["callee"]
        local = _local(facts.started_at, facts.timezone)
        parties = f"{_party(caller, texts['caller_name'])} to {_party(callee, texts['callee_name'])}"
        direction = "" if facts.direction is Direction.UNKNOWN else str(facts.direction)
        when = "" if local is None else f", {local:%Y-%m-%d %H:%M:%S} {clean(facts.timezone)}"
        kind = "" if facts.kind is RecordingKind.CALL else str(facts.kind)
        texts |= {"kind": kind, "direction": direction, "timezone": clean(facts.timezone) if local else ""}
        return cls(
            title=clean(parties),
            artist=texts["caller_name"] or caller,
            album=clean(tenant_title),
            comment=clean(f"{direction or 'recorded'} {facts.kind}, {parties}{when}"),
            recording_id=clean(recording_id),
            facts={name: texts[name] for name in _IN_ORDER},
            started_at=local,
        )

    def id3_frames(self) -> id3.Frames:
        """The same for ID3v2.4: common frames, and one TXXX frame a call fact, `recpipe:caller` and so on."""
        user = {"recording_id": self.recording_id, **self.facts, "software": self.software}
        started = "" if self.started_at is None else f"{self.started_at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}"
        return id3.Frames(
            text={"TIT2": self.title, "TPE1": self.artist, "TALB": self.album, "TDRC": started},
            comment=self.comment,
            user={_OURS + name: value for name, value in user.items() if value},
        )

    def info(self) -> dict[bytes, str]:
        """The same for a LIST/INFO chunk."""
        day = "" if self.started_at is None else f"{self.started_at:%Y-%m-%d}"
        return {
            b"INAM": self.title,
            b"IART": self.artist,
            b"IPRD": self.album,
            b"ICRD": day,
            b"ICMT": self.comment,
            b"ISFT": self.software,
        }

    def origin(self) -> wave_tags.Origin:
        """The same for a bext chunk."""
        return wave_tags.Origin(self.comment, self.software, self.recording_id, self.started_at)


def _party(number: str, name: str) -> str:
    if number and name and name != number:
        return f"{name} ({number})"
    return number or name or "unknown"


def _local(at: datetime | None, zone: str) -> datetime | None:
    if at is None:
        return None
    try:
        return at.astimezone(ZoneInfo(zone))
    except (KeyError, ValueError, OSError):
        return at.astimezone(UTC)


def plan(path: Path, audio: AudioFacts, tags: Tags) -> Splice:
    """Work out prefix, body range and suffix of the tagged recording.

    MP3: one ID3v2.4 tag with the frames that were there and ours, then the file behind its old tag, ID3v1 included.
    WAV: a header with right sizes and a bext chunk (PCM), the audio, the chunks that were there, LIST/INFO and `id3 `
    (these two before the audio where that is GSM); RF64 where 4 GiB are exceeded. What the recorder wrote is kept and
    ours fills in. All others: the file as it is, since their tags stand between their headers and sums, or nowhere. The
    same input gives the same bytes.

    Args:
        path: the file `audio` was probed from. The audio itself is not read.
        audio: from `probe`.
        tags: from `Tags.from_call`.

    Raises:
        SourceChanged: the file is not the one that was probed.
        Unfit: `not-a-file`.

    Source: ID3v2.4.0 main structure; EBU Tech 3285 (bext), Tech 3306 (RF64); RIFF MCI 1.0 (LIST/INFO).
    """
    with reading(path) as source:
        if audio.container is Container.MP3:
            return _plan_mp3(path, source, audio, tags)
        if audio.container is not Container.WAV:
            if source.size_bytes < audio.data_offset + audio.data_bytes:
                raise SourceChanged(path)
            return Splice(path, 0, source.size_bytes)
        try:
            found = riff.walk(source, riff.locate(source))
        except riff.NotRiff as error:
            raise SourceChanged(path) from error
        now = wave(source, found, path.name)
        if (now.data_offset, now.data_bytes, now.codec) != (audio.data_offset, audio.data_bytes, audio.codec):
            raise SourceChanged(path)
        return wave_tags.plan(path, source, found, tags.info(), tags.id3_frames(), tags.origin())


def stored(audio: AudioFacts, splice: Splice) -> AudioFacts:
    """The facts of the tagged copy: the same audio, at another place."""
    moved = audio.data_offset - splice.start + len(splice.prefix)
    return replace(audio, data_offset=moved)


def _plan_mp3(path: Path, source: Bytes, audio: AudioFacts, tags: Tags) -> Splice:
    if source.size_bytes < audio.data_offset + audio.data_bytes:
        raise SourceChanged(path)
    leading = outer_tags.leading(source)
    end = leading.end
    if leading.overlong:
        # A reader that skips by its size skips everything, whatever we put in front; one that does not, plays.
        return Splice(path, 0, source.size_bytes)
    old = source.at(0, end) if end <= id3.MERGE_LIMIT else None
    merged = None if old is None else id3.merge(old, tags.id3_frames())
    if merged is None:
        # A tag that is huge, damaged or compressed is left as it is; readers take the first tag, and skip the second.
        return Splice(path, 0, source.size_bytes, prefix=id3.build(tags.id3_frames()))
    return Splice(path, end, source.size_bytes - end, prefix=merged)
