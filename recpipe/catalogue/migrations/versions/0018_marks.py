"""What people said of calls: a star, a review, a note and tags."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from recpipe.catalogue.types import Code, Text, Utc, Words

revision = "0018"
down_revision = "0013"


def upgrade() -> None:
    op.create_table(
        "call_mark",
        sa.Column("tenant_id", Code(32), nullable=False),
        sa.Column("call", Code(32), nullable=False),
        sa.Column("starred", sa.Boolean(), nullable=False),
        sa.Column("reviewed_at", Utc(), nullable=True),
        sa.Column("reviewed_by", Text(), nullable=False),
        sa.Column("note", Text(), nullable=False),
        sa.Column("tags", Words(), nullable=False),
        sa.Column("words", Text(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name="fk_call_mark_tenant_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "call", name="pk_call_mark"),
    )
