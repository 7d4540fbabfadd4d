"""The tables of whether calls were recorded. None of them holds a number or a name of the parties."""

from __future__ import annotations

from sqlalchemy import Column, Index, PrimaryKeyConstraint, Table

from recpipe.catalogue.columns import DAY, ID, metadata
from recpipe.catalogue.columns import at_column as _at
from recpipe.catalogue.columns import flag_column as _flag
from recpipe.catalogue.columns import id_column as _id
from recpipe.catalogue.columns import json_column as _json
from recpipe.catalogue.columns import number_column as _number
from recpipe.catalogue.columns import tenant_column as _tenant
from recpipe.catalogue.columns import text_column as _text

call_record = Table(
    "call_record",
    metadata,
    _id(),  # derived from the record, so that it is kept once however often it is read
    _tenant(),
    _text("spool", 200),
    _text("call_id", 200),
    _text("linked_id", 200),
    _at("started_at"),
    _number("talk_ms"),
    _flag("answered"),
    _number("recording_ms", nullable=True),
    _text("direction"),
    _text("extension", 100),
    _flag("says_recorded"),
    _text("recorded_as", 200),
    _text("excuse"),
    _at("arrived_at", nullable=True),
    Index("ix_call_record_tenant_id_started_at", "tenant_id", "started_at", "id"),
    Index("ix_call_record_tenant_id_call_id", "tenant_id", "call_id"),
    Index("ix_call_record_tenant_id_linked_id", "tenant_id", "linked_id"),
    Index("ix_call_record_started_at", "started_at"),
    Index("ix_call_record_spool", "spool", "started_at"),
)

# What was done to recordings while calls lasted, such as masking: also of those that are not there yet.
call_event = Table(
    "call_event",
    metadata,
    _id(),
    _tenant(),
    _text("call_id", 200),
    _text("spool", 200),
    _text("kind"),
    _at("at"),
    _text("done_by", 100),
    _at("told_at"),
    Index("ix_call_event_tenant_id_call_id", "tenant_id", "call_id"),
    Index("ix_call_event_tenant_id_at", "tenant_id", "at"),
    Index("ix_call_event_told_at", "told_at"),
)

completeness_day = Table(
    "completeness_day",
    metadata,
    _tenant(),
    Column("day", DAY, nullable=False),
    _text("rule", 250),
    _json("counts"),
    _at("judged_at"),
    PrimaryKeyConstraint("tenant_id", "day", "rule"),
)

completeness_finding = Table(
    "completeness_finding",
    metadata,
    _id(),
    _tenant(),
    _text("kind"),
    Column("day", DAY, nullable=False),
    _text("rule", 250),
    _text("call_id", 200),
    _text("linked_id", 200),
    _at("started_at"),
    _text("direction"),
    _text("extension", 100),
    _text("spool", 200),
    # No foreign key: what was found stays when the recording is deleted.
    Column("recording_id", ID, nullable=False),
    _number("expected_ms", nullable=True),
    _number("actual_ms", nullable=True),
    _at("opened_at"),
    _at("closed_at", nullable=True),
    Index("ix_completeness_finding_tenant_id_day", "tenant_id", "day"),
    Index("ix_completeness_finding_tenant_id_started_at", "tenant_id", "started_at", "id"),
    Index("ix_completeness_finding_recording_id", "recording_id"),
)
