"""Files whose name does not say what they are: no ending, `.raw`, `.wav.gz`. Their content decides, or a person."""

from __future__ import annotations

from pathlib import Path, PurePath

from recpipe.audio.files import HEAD_BYTES, reading
from recpipe.audio.probe import probe
from recpipe.errors import Held, NotARecording, Unfit
from recpipe.model import FORMATS
from recpipe.spool.files import RECORDING_SUFFIXES, has_text_or_picture, safe_text

_ARCHIVES = (b"\x1f\x8b", b"PK\3\4", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"\x28\xb5\x2f\xfd", b"Rar!")


def recognise(source: Path, name: str) -> None:
    """Return where the content is certainly a recording's: only that may be stored, or moved at all.

    Args:
        source: leads to the file.
        name: its own.

    Raises:
        NotARecording: it is text, a picture or the like.
        Held: `unsupported-audio`, it may be a recording, and nobody but a person can say of what kind.
        SourceChanged: it is gone.
    """
    shown = safe_text(name)
    with reading(source) as opened:
        beginning = opened.at(0, HEAD_BYTES)
    if has_text_or_picture(beginning):
        raise NotARecording(shown)
    try:
        found = probe(source, name)
    except Unfit:
        raise Held("unsupported-audio", f"{shown} is of no kind that recpipe knows. {_advice(beginning)}") from None
    if any(suffix.lower() in RECORDING_SUFFIXES for suffix in PurePath(name).suffixes):
        raise Held(
            "unsupported-audio",
            f"{shown} looks like a copy that was set aside, and holds {found.codec} audio. Give it the ending "
            f"{FORMATS[found.container].endings[0]} to have it stored, or move it out of the spool.",
        )


def _advice(beginning: bytes) -> str:
    if beginning.startswith(_ARCHIVES):
        return "It is an archive: unpack it beside itself to have its recordings stored, or move it out of the spool."
    return (
        "If it is headerless audio, give it the ending that says what it is (.sln for 16 bits at 8 kHz, .sln16, .ulaw, "
        ".alaw, .g722 and so on); if it is another recording, convert it (sox, ffmpeg); else move it out of the spool."
    )
