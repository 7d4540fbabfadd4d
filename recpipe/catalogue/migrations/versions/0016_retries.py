"""What is remembered of a quarantined file that is tried again: since when it failed, and how often."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from recpipe.catalogue.types import Code, Text, Utc

revision = "0016"
down_revision = "0012"


def upgrade() -> None:
    op.create_table(
        "quarantine_retry",
        sa.Column("spool", Text(200), nullable=False),
        sa.Column("relative_sha256", Code(64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("first_seen_at", Utc(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("retried_at", Utc(), nullable=False),
        sa.PrimaryKeyConstraint("spool", "relative_sha256", name="pk_quarantine_retry"),
    )
    op.create_index("ix_quarantine_retry_retried_at", "quarantine_retry", ["retried_at"])
