"""Faxes: what a file is, how many pages it has, how each looks; and what is no fax, or wants to be the end of us."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from recpipe.audio import fax, tiff
from recpipe.errors import Unfit
from recpipe.model import Container
from tests.services import faxes


def black_from(png: bytes) -> float:
    """How far down a page its black begins, as a share of its height."""
    with Image.open(io.BytesIO(png)) as page:
        column = [page.getpixel((page.width // 2, line)) for line in range(page.height)]
    return next(line for line, shade in enumerate(column) if shade < 128) / len(column)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("codec", "options", "said"),
    [
        ("g3:1d", (), "t4"),
        ("g3:2d:fill", ("-B",), "t4"),
        ("g4", ("-r", "16"), "t6"),
        ("g4", ("-L", "-f", "lsb2msb"), "t6"),
    ],
)
def test_what_libtiff_writes_is_counted_and_shown(
    tmp_path: Path, codec: str, options: tuple[str, ...], said: str
) -> None:
    made = faxes.tiff(tmp_path / "fax.tif", 3, codec, options)
    facts = fax.probe(made)
    assert (facts.container, facts.codec, facts.pages, facts.duration_ms) == (Container.TIFF, said, 3, 0)
    assert facts.data_bytes == made.stat().st_size
    page = fax.page(made.read_bytes(), 2)
    assert page.startswith(b"\x89PNG")
    assert black_from(page) == pytest.approx(300 / faxes.A4[1], abs=0.01)
    with Image.open(io.BytesIO(page)) as shown:  # as it left the paper: twice as many dots across as down
        assert shown.width / shown.height == pytest.approx(1728 / (1100 * 204 / 98), rel=0.02)


def test_what_came_over_the_line_is_a_fax(tmp_path: Path) -> None:
    made = faxes.from_a_modem(tmp_path / "modem.tif")
    assert fax.probe(made).pages == 1
    assert black_from(fax.page(made.read_bytes(), 0)) == pytest.approx(100 / faxes.A4[1], abs=0.01)


def test_a_pdf_is_counted_and_shown(tmp_path: Path) -> None:
    made = faxes.pdf(tmp_path / "fax.pdf", 2)
    facts = fax.probe(made, "seen.pdf")
    assert (facts.container, facts.codec, facts.pages) == (Container.PDF, "pdf", 2)
    assert black_from(fax.page(made.read_bytes(), 1)) == pytest.approx(200 / faxes.A4[1], abs=0.02)


@pytest.mark.parametrize("number", [1, -2, 10**6])
def test_a_page_that_is_not_there_is_said(tmp_path: Path, number: int) -> None:
    with pytest.raises(fax.Unreadable):
        fax.page(faxes.tiff(tmp_path / "fax.tif").read_bytes(), number)


# --- what is no fax ---------------------------------------------------------------------------------------


def ifd(entries: dict[int, tuple[int, int, int]], following: int) -> bytes:
    body = b"".join(struct.pack("<HHII", tag, *entry) for tag, entry in sorted(entries.items()))
    return struct.pack("<H", len(entries)) + body + struct.pack("<I", following)


PAGE = {
    256: (4, 1, 1728),
    257: (4, 1, 1100),
    258: (3, 1, 1),
    259: (3, 1, 4),
    273: (4, 1, 8),
    277: (3, 1, 1),
    279: (4, 1, 10),
}


def written(*pages: tuple[dict[int, tuple[int, int, int]], int | None]) -> bytes:
    """A TIFF of these pages; None: the next page follows, or none does."""
    at, made = 32, b"II*\0" + struct.pack("<I", 32) + bytes(24)
    for number, (entries, following) in enumerate(pages):
        behind = at + 6 + 12 * len(entries)
        made += ifd(entries, following if following is not None else 0 if number == len(pages) - 1 else behind)
        at = behind
    return made


def test_the_page_that_the_bombs_are_made_of_is_a_fax(tmp_path: Path) -> None:
    path = tmp_path / "fax.tif"
    path.write_bytes(written((PAGE, None), (PAGE, None)))
    assert fax.probe(path).pages == 2


BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "circle": (lambda: written((PAGE, None), (PAGE, 32)), "circle"),
    "many pages": (lambda: written(*[(PAGE, None)] * (tiff.MOST_PAGES + 1)), "more than 1,000 pages"),
    "wide": (lambda: written((PAGE | {256: (4, 1, 4_000_000_000)}, None)), "pixels"),
    "large": (lambda: written((PAGE | {256: (4, 1, 60_000), 257: (4, 1, 60_000)}, None)), "pixels"),
    "no width": (lambda: written((PAGE | {256: (4, 1, 0)}, None)), "pixels"),
    "strip outside": (lambda: written((PAGE | {279: (4, 1, 10**9)}, None)), "more than the file has"),
    "strips beyond count": (lambda: written((PAGE | {273: (4, 4_000_000_000, 8)}, None)), "tag 273"),
    "strips outside": (lambda: written((PAGE | {273: (4, 60_000, 8)}, None)), "ends within"),
    "unlike strips": (lambda: written((PAGE | {273: (4, 2, 8)}, None)), "more than the file has"),
    "next page outside": (lambda: written((PAGE, 10**9)), "ends within"),
    "cut short": (lambda: written((PAGE, None))[:60], "ends within"),
    "no entries": (lambda: written(({}, None)), "lacks"),
    "no page": (lambda: b"II*\0" + bytes(60), "no page"),
    "header alone": (lambda: b"II*\0", "header"),
    "colour": (lambda: written((PAGE | {277: (3, 1, 3)}, None)), "neither Group 3 nor Group 4"),
    "deflate": (lambda: written((PAGE | {259: (3, 1, 8)}, None)), "neither Group 3 nor Group 4"),
    "big tiff": (lambda: b"II+\0" + bytes(60), "neither a TIFF nor a PDF"),
    "text": (lambda: b"hello, world\n" * 9, "neither a TIFF nor a PDF"),
    "no pdf": (lambda: b"%PDF-1.4\n" + b"1 0 obj <<>>" * 9, "cannot be opened"),
    "empty": (lambda: b"", "holds nothing"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_is_no_fax_is_refused_with_a_reason(tmp_path: Path, name: str) -> None:
    made, why = BOMBS[name]
    path = tmp_path / "bomb.tif"
    path.write_bytes(made())
    with pytest.raises(Unfit, match=why) as refused:
        fax.probe(path)
    assert refused.value.reason in ("unsupported-fax", "not-a-fax", "empty-recording")
    assert "iscard it" in str(refused.value)


@pytest.mark.parametrize("strip", [bytes(10), b"\xff" * 10, b"\x00\x10" * 5])
def test_strips_that_are_no_picture_end_nothing_but_their_page(tmp_path: Path, strip: bytes) -> None:
    path = tmp_path / "fax.tif"
    path.write_bytes(written((PAGE, None))[:8] + strip + written((PAGE, None))[18:])
    assert fax.probe(path).pages == 1
    try:
        assert fax.page(path.read_bytes(), 0).startswith(b"\x89PNG")
    except fax.Unreadable as error:
        assert str(error)  # libtiff's own word for it
