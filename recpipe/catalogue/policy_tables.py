"""The tables of which calls are to be recorded, and of what PBXs asked and were told."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, PrimaryKeyConstraint, Table

from recpipe.catalogue.columns import ID, metadata
from recpipe.catalogue.columns import at_column as _at
from recpipe.catalogue.columns import flag_column as _flag
from recpipe.catalogue.columns import id_column as _id
from recpipe.catalogue.columns import number_column as _number
from recpipe.catalogue.columns import tenant_column as _tenant
from recpipe.catalogue.columns import text_column as _text

# What is applied now; `change` holds what waits, and what was before.
policy_service = Table(
    "policy_service",
    metadata,
    Column("tenant_id", ID, ForeignKey("tenant.id", ondelete="CASCADE"), primary_key=True),
    _number("version"),
    _at("applied_at", nullable=True),
    _text("otherwise"),
    _text("unanswered"),
    _number("beep_seconds"),
    _text("announcement", 200),
)

policy_route = Table(
    "policy_route",
    metadata,
    _tenant(),
    _text("number", 200),
    _text("name", 200),
    _text("timezone"),
    _text("recording"),
    _flag("locked"),
    PrimaryKeyConstraint("tenant_id", "number"),
)

policy_extension = Table(
    "policy_extension",
    metadata,
    _tenant(),
    _text("extension", 100),
    _text("name", 200),
    _text("office", 200),
    _text("outbound"),
    _text("inbound"),
    _text("internal"),
    _flag("locked"),
    PrimaryKeyConstraint("tenant_id", "extension"),
)

# Of which PBXs asked and no rule speaks, and which PBXs ask: written every few seconds at most, never with a question.
policy_seen = Table(
    "policy_seen",
    metadata,
    _tenant(),
    _text("kind"),
    _text("subject", 200),
    _at("first_seen_at"),
    _at("last_seen_at"),
    PrimaryKeyConstraint("tenant_id", "kind", "subject"),
)

policy_asker = Table(
    "policy_asker",
    metadata,
    _tenant(),
    _text("name", 200),
    _at("asked_at"),
    _number("policy_version"),
    PrimaryKeyConstraint("tenant_id", "name"),
)

# What PBXs were told of calls, so that it can be compared with what arrived. Never who called.
decision = Table(
    "decision",
    metadata,
    _id(),  # in the order of time
    _tenant(),
    _at("at"),
    _text("asker", 200),
    _text("call_id", 200),
    _text("linked_id", 200),
    _text("direction"),
    _text("extension", 100),
    _text("verdict"),
    _text("rule", 250),
    _number("policy_version"),
    _at("arrived_at", nullable=True),
    Index("ix_decision_tenant_id_at", "tenant_id", "at", "id"),
    Index("ix_decision_tenant_id_call_id", "tenant_id", "call_id"),
    Index("ix_decision_tenant_id_linked_id", "tenant_id", "linked_id"),
    Index("ix_decision_at", "at"),
)
