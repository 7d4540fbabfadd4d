"""What people see as a recording's file name: the PBX's own, made safe for FTP, ZIP, shells and screens."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath

from recpipe.model import AUDIO_ENDINGS, FORMATS, Container

SEALED_SUFFIX = ".enc"
# Room for "~12" and ".mp3.enc" within the 255 bytes that file systems allow.
_LONGEST_STEM_BYTES = 200
_UNSAFE = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]+')


def display_name(source_name: str, container: Container, *, sealed: bool) -> str:
    """The name to show and to serve, before a suffix makes it unique within its day.

    Args:
        source_name: path below the spool as the PBX wrote it.
        container: of the stored recording; the extension follows it where the PBX's differs.
        sealed: adds `.enc`.
    """
    path = PurePosixPath(source_name)
    stem, suffix = path.stem, path.suffix
    endings = FORMATS[container].endings
    if suffix.lower() not in endings:
        # A known audio extension that no longer fits is replaced, anything else is part of the name.
        stem = stem if suffix.lower() in AUDIO_ENDINGS else path.name
        suffix = endings[0]
    text = _UNSAFE.sub("_", stem if stem.isascii() else _readable(stem)).strip(" .") or "recording"
    while len(text.encode()) > _LONGEST_STEM_BYTES:
        text = text[:-1]
    # A leading dash reads as an option, a leading dot hides the file.
    text = re.sub(r"^[-.]+", "_", text)
    return text + suffix + (SEALED_SUFFIX if sealed else "")


def _readable(text: str) -> str:
    """Without lone surrogates, which stand for bytes that are not UTF-8, and marks that reorder text on a screen."""
    text = unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode("utf-8"))
    return "".join(c for c in text if unicodedata.category(c) not in ("Cf", "Zl", "Zp"))
