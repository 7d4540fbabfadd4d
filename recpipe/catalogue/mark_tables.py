"""The tables of what people say of calls, and of the searches they keep."""

from __future__ import annotations

from sqlalchemy import Column, PrimaryKeyConstraint, Table, UniqueConstraint

from recpipe.catalogue.columns import ID, metadata
from recpipe.catalogue.columns import at_column as _at
from recpipe.catalogue.columns import flag_column as _flag
from recpipe.catalogue.columns import id_column as _id
from recpipe.catalogue.columns import tenant_column as _tenant
from recpipe.catalogue.columns import text_column as _text
from recpipe.catalogue.columns import user_column as _user
from recpipe.catalogue.types import Words

# What people said of calls. A call has no row of its own: what takes its last leg away takes this away as well.
call_mark = Table(
    "call_mark",
    metadata,
    _tenant(),
    Column("call", ID, nullable=False),
    _flag("starred"),
    _at("reviewed_at", nullable=True),
    _text("reviewed_by"),
    _text("note"),
    Column("tags", Words(), nullable=False),
    _text("words"),  # tags and note, folded: a line each
    PrimaryKeyConstraint("tenant_id", "call"),
)

saved_search = Table(
    "saved_search",
    metadata,
    _id(),
    _user(),
    _text("name", 200),
    _text("query"),
    _at("saved_at"),
    UniqueConstraint("user_id", "name"),
)
