"""Faxes: pages of TIFF or PDF, and no sound. What opens them is a process of its own, see `fax_worker`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from recpipe.audio import tiff
from recpipe.audio.files import reading
from recpipe.errors import Unfit
from recpipe.model import AudioFacts, Container

MOST_BYTES = 128 * 1024 * 1024
_UNREADABLE = 3
_PATIENCE_SECONDS = 60.0  # of the clock, on a busy machine
_DISCARD = "Look at it, and discard it if it is no fax."


class Unreadable(ValueError):
    """A page that cannot be shown."""


def probe(path: Path, name: str = "") -> AudioFacts:
    """Find out what it is and how many pages it has.

    Args:
        name: the file's own name, where `path` leads to it by a descriptor.

    Raises:
        Unfit: `empty-recording`, `not-a-fax`, `unsupported-fax` or `not-a-file`.
        SourceChanged: the file is gone.
    """
    shown = name or path.name
    with reading(path) as source:
        if not source.size_bytes:
            raise Unfit("empty-recording", f"{shown} holds nothing. Discard it.")
        if source.size_bytes > MOST_BYTES:
            raise Unfit(
                "unsupported-fax",
                f"{shown} has {source.size_bytes:,} bytes, more than a fax of 1,000 pages. {_DISCARD}",
            )
        try:
            found = tiff.walk(source)
            return _facts(Container.TIFF, found.codec, found.pages, source.size_bytes)
        except tiff.Refused as error:
            raise Unfit("unsupported-fax", f"{shown} is a TIFF, but {error}. {_DISCARD}") from error
        except tiff.NotTiff:
            pass
        if not source.at(0, 5).startswith(b"%PDF-"):
            raise Unfit("not-a-fax", f"{shown} is neither a TIFF nor a PDF. {_DISCARD}")
        try:
            pages = int(_worker(source.at(0, source.size_bytes), "count"))
        except Unreadable as error:
            raise Unfit("unsupported-fax", f"{shown} is a PDF that cannot be opened. {_DISCARD}") from error
        if not 0 < pages <= tiff.MOST_PAGES:
            raise Unfit(
                "unsupported-fax", f"{shown} has {pages:,} pages; a fax has 1 to {tiff.MOST_PAGES:,}. {_DISCARD}"
            )
        return _facts(Container.PDF, "pdf", pages, source.size_bytes)


def page(fax: bytes, number: int) -> bytes:
    """One page as PNG.

    Args:
        number: from 0.

    Raises:
        Unreadable: it cannot be decoded, or takes too long.
    """
    return _worker(fax, "render", str(number), str(tiff.MOST_PIXELS))


def _worker(fax: bytes, *wanted: str) -> bytes:
    command = (sys.executable, "-I", str(Path(__file__).with_name("fax_worker.py")), *wanted)
    try:
        done = subprocess.run(command, input=fax, capture_output=True, timeout=_PATIENCE_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise Unreadable("it takes too long") from error
    if done.returncode not in (0, _UNREADABLE) and done.returncode > 0:
        raise RuntimeError(f"fax_worker failed: {done.stderr.decode('utf-8', 'replace')[-500:]}")
    if done.returncode != 0:
        raise Unreadable(done.stderr.decode("utf-8", "replace")[-200:] or f"exit code {done.returncode}")
    return done.stdout


def _facts(container: Container, codec: str, pages: int, size_bytes: int) -> AudioFacts:
    return AudioFacts(container, codec, 0, 0, 0, 0, 0, size_bytes, pages=pages)
