"""The tables of links by which somebody outside hears a call."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Table, UniqueConstraint

from recpipe.catalogue.columns import HASH, ID, metadata
from recpipe.catalogue.columns import at_column as _at
from recpipe.catalogue.columns import flag_column as _flag
from recpipe.catalogue.columns import id_column as _id
from recpipe.catalogue.columns import json_column as _json
from recpipe.catalogue.columns import number_column as _number
from recpipe.catalogue.columns import tenant_column as _tenant
from recpipe.catalogue.columns import text_column as _text
from recpipe.catalogue.columns import user_column as _user
from recpipe.catalogue.types import Text

shared_link = Table(
    "shared_link",
    metadata,
    _id(),
    _tenant(),
    Column("hash", HASH, nullable=False),
    _user(),
    Column("token_id", ID, nullable=False),  # "": none
    Column("call", ID, nullable=False),
    _json("recordings"),
    _text("label", 200),
    Column("passphrase_hash", Text(), nullable=True),
    _flag("download"),
    _at("created_at"),
    _at("expires_at"),
    _number("most_openings"),
    _number("openings"),
    _at("last_opened_at", nullable=True),
    _at("revoked_at", nullable=True),
    UniqueConstraint("hash"),
    Index("ix_shared_link_tenant_id_expires_at", "tenant_id", "expires_at"),
    Index("ix_shared_link_user_id", "user_id"),
    Index("ix_shared_link_expires_at", "expires_at"),
)

shared_opening = Table(
    "shared_opening",
    metadata,
    _id(),
    Column("link_id", ID, ForeignKey("shared_link.id", ondelete="CASCADE"), nullable=False),
    Column("hash", HASH, nullable=False),
    _at("opened_at"),
    _at("expires_at"),
    UniqueConstraint("hash"),
    Index("ix_shared_opening_link_id", "link_id"),
    Index("ix_shared_opening_expires_at", "expires_at"),
)
