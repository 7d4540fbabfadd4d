"""What was done to recordings while calls lasted: begun by somebody, stopped, paused, masked."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from recpipe.catalogue.types import Code, Text, Utc

revision = "0022"
down_revision = "0019"


def upgrade() -> None:
    for name in ("started_by", "masked"):
        op.add_column("recording", sa.Column(name, Text(), nullable=False, server_default=""))
    op.create_table(
        "call_event",
        sa.Column("id", Code(32), nullable=False),
        sa.Column("tenant_id", Code(32), nullable=False),
        sa.Column("call_id", Text(200), nullable=False),
        sa.Column("spool", Text(200), nullable=False),
        sa.Column("kind", Text(), nullable=False),
        sa.Column("at", Utc(), nullable=False),
        sa.Column("done_by", Text(100), nullable=False),
        sa.Column("told_at", Utc(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name="fk_call_event_tenant_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_call_event"),
    )
    op.create_index("ix_call_event_tenant_id_call_id", "call_event", ["tenant_id", "call_id"])
    op.create_index("ix_call_event_tenant_id_at", "call_event", ["tenant_id", "at"])
    op.create_index("ix_call_event_told_at", "call_event", ["told_at"])
