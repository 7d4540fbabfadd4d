"""The tables of running: files in quarantine, the audit log, changes and their history, the processes that serve."""

from __future__ import annotations

from sqlalchemy import Column, Index, PrimaryKeyConstraint, Table, UniqueConstraint

from recpipe.catalogue.columns import HASH, ID, SERIAL, metadata, partial_index
from recpipe.catalogue.columns import at_column as _at
from recpipe.catalogue.columns import flag_column as _flag
from recpipe.catalogue.columns import id_column as _id
from recpipe.catalogue.columns import json_column as _json
from recpipe.catalogue.columns import number_column as _number
from recpipe.catalogue.columns import tenant_column as _tenant
from recpipe.catalogue.columns import text_column as _text
from recpipe.catalogue.types import FileName

quarantine = Table(
    "quarantine",
    metadata,
    _id(),
    _text("spool", 200),
    Column("path", FileName(), nullable=False),
    Column("path_sha256", HASH, nullable=False),
    Column("relative", FileName(), nullable=False),
    Column("relative_sha256", HASH, nullable=False),
    _tenant(nullable=True),
    _text("reason"),
    _text("message"),
    _flag("held"),
    _number("size_bytes"),
    _at("first_seen_at"),
    _at("last_seen_at"),
    _number("attempts"),
    UniqueConstraint("spool", "path_sha256"),
    Index("ix_quarantine_relative", "spool", "relative_sha256"),
    Index("ix_quarantine_first_seen", "first_seen_at", "id"),
    Index("ix_quarantine_tenant", "tenant_id", "first_seen_at", "id"),
)

# What is remembered of a file that was put back into its spool, until it is listed again.
quarantine_retry = Table(
    "quarantine_retry",
    metadata,
    _text("spool", 200),
    Column("relative_sha256", HASH, nullable=False),
    _number("size_bytes"),
    _at("first_seen_at"),
    _number("attempts"),
    _at("retried_at"),
    PrimaryKeyConstraint("spool", "relative_sha256"),
    Index("ix_quarantine_retry_retried_at", "retried_at"),
)

# No foreign key: what was done to a tenant is remembered when it is gone.
audit = Table(
    "audit",
    metadata,
    Column("id", SERIAL, primary_key=True),
    _at("at"),
    _text("actor", 200),
    _text("action", 100),
    _text("outcome"),
    Column("tenant_id", ID, nullable=True),
    _text("address"),
    _text("subject"),
    _json("detail"),
    Index("ix_audit_at", "at", "id"),
    Index("ix_audit_tenant", "tenant_id", "at", "id"),
    Index("ix_audit_actor", "actor", "at", "id"),
    Index("ix_audit_action", "action", "at", "id"),
)

change = Table(
    "change",
    metadata,
    _id(),
    _tenant(),
    _text("kind", 100),
    _text("subject", 200),
    _json("old"),
    _json("new"),
    _at("created_at"),
    _text("created_by"),
    _at("applied_at", nullable=True),
    _text("applied_by"),
    Index("ix_change_history", "tenant_id", "applied_at", "id"),
    # One pending change a thing: a second save amends the first.
    partial_index("uq_change_pending", "tenant_id", "kind", "subject", unique=True, where="applied_at IS NULL"),
)

node = Table(
    "node",
    metadata,
    _text("name", 200),
    _text("role", 50),
    _text("spool", 200),
    _at("started_at"),
    _at("seen_at"),
    _number("files_waiting"),
    _at("last_ingest_at", nullable=True),
    _json("detail"),
    PrimaryKeyConstraint("name", "role", "spool"),
)
