"""CSV that is made as it is sent."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence

from recpipe.csv_rows import BOM, csv_text


def csv_stream(columns: Sequence[str], pages: Iterable[Iterable[Sequence[object]]]) -> Generator[bytes, None, None]:
    """A heading and the rows, a piece for each page; all cells quoted."""
    heading = BOM + csv_text([columns])
    for page in pages:
        yield (heading + csv_text(page)).encode("utf-8", "replace")
        heading = ""
