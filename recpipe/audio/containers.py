"""Tells containers by their first bytes. Those of WAV and MPEG audio are looked for by `probe` itself."""

from __future__ import annotations

from collections.abc import Callable

from recpipe.audio import iso_media, matroska, ogg, packed, sampled
from recpipe.audio.files import Part, ReadsAt
from recpipe.audio.stream import Malformed, Stream

_BY_MAGIC: tuple[tuple[bytes, str, Callable[[ReadsAt], Stream]], ...] = (
    (b"OggS", "Ogg", ogg.ogg),
    (b"fLaC", "FLAC", ogg.flac),
    (b"#!AMR\n", "AMR", packed.amr),
    (b"#!AMR-WB\n", "AMR", packed.amr),
    (b".snd", "AU", sampled.au),
    (b"caff", "CAF", sampled.caf),
    (b"RIFX", "big-endian RIFF", sampled.rifx),
    (b"riff\x2e\x91\xcf\x11", "Wave64", sampled.w64),
    (b"\x1aE\xdf\xa3", "Matroska or WebM", matroska.matroska),
    (packed.ASF_MAGIC, "Windows Media", packed.asf),
)


def identify(source: ReadsAt, begin: int) -> tuple[str, Stream | None]:
    """What begins at `begin`, behind tags, and its audio; "" and None where no container does.

    Raises:
        Malformed: one begins, and holds no audio; `args` are its name and what is missing.
    """
    start = source.at(begin, 16)
    for magic, name, read in _BY_MAGIC:
        if start.startswith(magic):
            return name, _moved(name, read, source, begin)
    if start[:4] == b"FORM" and start[8:12] in (b"AIFF", b"AIFC"):
        return "AIFF", _moved("AIFF", sampled.aiff, source, begin)
    if start[4:8] in (b"ftyp", b"moov", b"mdat", b"wide") and start[:4] < b"\x10":
        return "MP4", _moved("MP4", iso_media.iso_media, source, begin)
    return ("AAC", found) if (found := packed.adts(source, begin)) is not None else ("", None)


def _moved(name: str, read: Callable[[ReadsAt], Stream], source: ReadsAt, begin: int) -> Stream:
    part = Part(source, begin, source.size_bytes - begin) if begin else source
    try:
        found = read(part)
    except Malformed as error:
        raise Malformed(name, str(error)) from error
    return found.inside(begin, source.size_bytes)
