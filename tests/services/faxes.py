"""Faxes made by libtiff's own tools, of pages that say which one they are."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.services import need

A4 = (1728, 1100)  # dots of a page in the resolution that fax calls standard: half as many down


def run(*command: object) -> None:
    subprocess.run([str(part) for part in command], check=True, capture_output=True)


def drawn(folder: Path, number: int, paper: int = 1) -> Path:
    """One page without compression, in the resolution of a fax: black from line 100 times its number on, 50 lines."""
    from PIL import Image

    page = Image.new("1", A4, paper)
    page.paste(1 - paper, (200, 100 * number, 1500, 100 * number + 50))
    path = folder / f"drawn-{number}.tif"
    page.save(path, "TIFF", dpi=(204, 98))
    return path


def tiff(target: Path, pages: int = 1, codec: str = "g4", options: Sequence[str] = (), paper: int = 1) -> Path:
    """A fax as gateways write it.

    Args:
        codec: as `tiffcp -c` takes it: g3:1d, g3:2d, g3:fill, g4.
        options: of tiffcp besides, such as -B for the other order of bytes.
        paper: the bit that is white.
    """
    tiffcp = need.tool("tiffcp")
    target.parent.mkdir(parents=True, exist_ok=True)
    run(tiffcp, "-c", codec, *options, *(drawn(target.parent, n + 1, paper) for n in range(pages)), target)
    for one in target.parent.glob("drawn-*.tif"):
        one.unlink()
    return target


def from_a_modem(target: Path) -> Path:
    """A page as it comes over the line, put into a TIFF by fax2tiff."""
    fax2tiff = need.tool("fax2tiff")
    from PIL import Image

    whole = tiff(target.with_name("whole.tif"), codec="g3:1d", options=("-r", "100000"), paper=0)
    with Image.open(whole) as page:
        [offset], [count] = page.tag_v2[273], page.tag_v2[279]  # type: ignore[attr-defined]
    raw = target.with_suffix(".g3")
    raw.write_bytes(whole.read_bytes()[offset : offset + count])
    run(fax2tiff, "-1", "-M", "-o", target, raw)
    for one in (whole, raw):
        one.unlink()
    return target


def pdf(target: Path, pages: int = 1) -> Path:
    """The same as PBXs mail it."""
    tiff2pdf = need.tool("tiff2pdf")
    source = tiff(target.with_name("source.tif"), pages)
    run(tiff2pdf, "-o", target, source)
    source.unlink()
    return target
