"""The tables that figures are read from."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, PrimaryKeyConstraint, Table

from recpipe.catalogue.columns import ID, metadata
from recpipe.catalogue.columns import number_column as _number
from recpipe.catalogue.columns import tenant_column as _tenant
from recpipe.catalogue.columns import text_column as _text

# What figures are made of, kept with every insert, change and delete: what calls come to by the quarter of an hour in
# which they began. Quarters of UTC, since every zone is whole quarters off it: so days of any zone can be put together.
figure_quarter = Table(
    "figure_quarter",
    metadata,
    _tenant(),
    _number("quarter"),  # since 1970
    _number("calls"),
    _number("recordings"),
    _number("duration_ms"),
    _number("longest_ms"),  # of one recording
    _number("stored_bytes"),
    _number("sealed"),  # recordings
    PrimaryKeyConstraint("tenant_id", "quarter"),
    sqlite_with_rowid=False,
)

# Calls by what they have in common, such as an extension or a number, by UTC day and again by month: a long range reads
# few rows. A value that no call has any more has no row.
figure_value = Table(
    "figure_value",
    metadata,
    _tenant(),
    _text("dimension", 20),
    _text("span", 10),  # `day` or `month`
    _number("place"),  # days or months since 1970
    _text("value", 200),
    _number("calls"),
    _number("duration_ms"),
    PrimaryKeyConstraint("tenant_id", "dimension", "span", "place", "value"),
    sqlite_with_rowid=False,
)

# Recordings that were there before figures were: those until the end of this day are not counted yet.
figure_fill = Table(
    "figure_fill",
    metadata,
    Column("tenant_id", ID, ForeignKey("tenant.id", ondelete="CASCADE"), primary_key=True),
    _number("day"),  # UTC, since 1970
)
