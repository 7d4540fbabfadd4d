"""Whether calls were recorded: what PBXs say of them, and what comparing that with what arrived found."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from recpipe.catalogue.types import Code, Json, Text, Utc

revision = "0010"
down_revision = "0009"


def _tenant(table: str) -> tuple[sa.Column[str], sa.ForeignKeyConstraint]:
    return (
        sa.Column("tenant_id", Code(32), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=f"fk_{table}_tenant_id", ondelete="CASCADE"),
    )


def upgrade() -> None:
    op.create_table(
        "call_record",
        sa.Column("id", Code(32), nullable=False),
        *_tenant("call_record"),
        sa.Column("spool", Text(200), nullable=False),
        sa.Column("call_id", Text(200), nullable=False),
        sa.Column("linked_id", Text(200), nullable=False),
        sa.Column("started_at", Utc(), nullable=False),
        sa.Column("talk_ms", sa.BigInteger(), nullable=False),
        sa.Column("answered", sa.Boolean(), nullable=False),
        sa.Column("recording_ms", sa.BigInteger(), nullable=True),
        sa.Column("direction", Text(), nullable=False),
        sa.Column("extension", Text(100), nullable=False),
        sa.Column("says_recorded", sa.Boolean(), nullable=False),
        sa.Column("recorded_as", Text(200), nullable=False),
        sa.Column("excuse", Text(), nullable=False),
        sa.Column("arrived_at", Utc(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_call_record"),
    )
    op.create_index("ix_call_record_tenant_id_started_at", "call_record", ["tenant_id", "started_at", "id"])
    op.create_index("ix_call_record_tenant_id_call_id", "call_record", ["tenant_id", "call_id"])
    op.create_index("ix_call_record_tenant_id_linked_id", "call_record", ["tenant_id", "linked_id"])
    op.create_index("ix_call_record_started_at", "call_record", ["started_at"])
    op.create_index("ix_call_record_spool", "call_record", ["spool", "started_at"])
    op.create_table(
        "completeness_day",
        *_tenant("completeness_day"),
        sa.Column("day", Code(10), nullable=False),
        sa.Column("rule", Text(250), nullable=False),
        sa.Column("counts", Json(), nullable=False),
        sa.Column("judged_at", Utc(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "day", "rule", name="pk_completeness_day"),
    )
    op.create_table(
        "completeness_finding",
        sa.Column("id", Code(32), nullable=False),
        *_tenant("completeness_finding"),
        sa.Column("kind", Text(), nullable=False),
        sa.Column("day", Code(10), nullable=False),
        sa.Column("rule", Text(250), nullable=False),
        sa.Column("call_id", Text(200), nullable=False),
        sa.Column("linked_id", Text(200), nullable=False),
        sa.Column("started_at", Utc(), nullable=False),
        sa.Column("direction", Text(), nullable=False),
        sa.Column("extension", Text(100), nullable=False),
        sa.Column("spool", Text(200), nullable=False),
        sa.Column("recording_id", Code(32), nullable=False),
        sa.Column("expected_ms", sa.BigInteger(), nullable=True),
        sa.Column("actual_ms", sa.BigInteger(), nullable=True),
        sa.Column("opened_at", Utc(), nullable=False),
        sa.Column("closed_at", Utc(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_completeness_finding"),
    )
    op.create_index("ix_completeness_finding_tenant_id_day", "completeness_finding", ["tenant_id", "day"])
    op.create_index(
        "ix_completeness_finding_tenant_id_started_at", "completeness_finding", ["tenant_id", "started_at", "id"]
    )
    op.create_index("ix_completeness_finding_recording_id", "completeness_finding", ["recording_id"])
