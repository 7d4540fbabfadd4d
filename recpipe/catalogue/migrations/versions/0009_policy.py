"""Which calls are to be recorded: rules of routes and extensions, and what PBXs were told."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from recpipe.catalogue.types import Code, Text, Utc

revision = "0009"
down_revision = "0007"


def _tenant(table: str) -> tuple[sa.Column[str], sa.ForeignKeyConstraint]:
    return (
        sa.Column("tenant_id", Code(32), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=f"fk_{table}_tenant_id", ondelete="CASCADE"),
    )


def upgrade() -> None:
    op.create_table(
        "policy_service",
        *_tenant("policy_service"),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("applied_at", Utc(), nullable=True),
        sa.Column("otherwise", Text(), nullable=False),
        sa.Column("unanswered", Text(), nullable=False),
        sa.Column("beep_seconds", sa.BigInteger(), nullable=False),
        sa.Column("announcement", Text(200), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", name="pk_policy_service"),
    )
    op.create_table(
        "policy_route",
        *_tenant("policy_route"),
        sa.Column("number", Text(200), nullable=False),
        sa.Column("name", Text(200), nullable=False),
        sa.Column("timezone", Text(), nullable=False),
        sa.Column("recording", Text(), nullable=False),
        sa.Column("locked", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "number", name="pk_policy_route"),
    )
    op.create_table(
        "policy_extension",
        *_tenant("policy_extension"),
        sa.Column("extension", Text(100), nullable=False),
        sa.Column("name", Text(200), nullable=False),
        sa.Column("office", Text(200), nullable=False),
        sa.Column("outbound", Text(), nullable=False),
        sa.Column("inbound", Text(), nullable=False),
        sa.Column("internal", Text(), nullable=False),
        sa.Column("locked", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "extension", name="pk_policy_extension"),
    )
    op.create_table(
        "policy_seen",
        *_tenant("policy_seen"),
        sa.Column("kind", Text(), nullable=False),
        sa.Column("subject", Text(200), nullable=False),
        sa.Column("first_seen_at", Utc(), nullable=False),
        sa.Column("last_seen_at", Utc(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "kind", "subject", name="pk_policy_seen"),
    )
    op.create_table(
        "policy_asker",
        *_tenant("policy_asker"),
        sa.Column("name", Text(200), nullable=False),
        sa.Column("asked_at", Utc(), nullable=False),
        sa.Column("policy_version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "name", name="pk_policy_asker"),
    )
    op.create_table(
        "decision",
        sa.Column("id", Code(32), nullable=False),
        *_tenant("decision"),
        sa.Column("at", Utc(), nullable=False),
        sa.Column("asker", Text(200), nullable=False),
        sa.Column("call_id", Text(200), nullable=False),
        sa.Column("linked_id", Text(200), nullable=False),
        sa.Column("direction", Text(), nullable=False),
        sa.Column("extension", Text(100), nullable=False),
        sa.Column("verdict", Text(), nullable=False),
        sa.Column("rule", Text(250), nullable=False),
        sa.Column("policy_version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_decision"),
    )
    op.create_index("ix_decision_tenant_id_at", "decision", ["tenant_id", "at", "id"])
    op.create_index("ix_decision_tenant_id_call_id", "decision", ["tenant_id", "call_id"])
    op.create_index("ix_decision_tenant_id_linked_id", "decision", ["tenant_id", "linked_id"])
    op.create_index("ix_decision_at", "decision", ["at"])
