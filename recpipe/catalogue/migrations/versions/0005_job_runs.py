"""Runs of background jobs, which were kept by a job engine in a database of its own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from recpipe.catalogue.types import Json, Text, Utc

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "job_run",
        sa.Column("job", Text(200), nullable=False),
        sa.Column("due_at", Utc(), nullable=False),
        sa.Column("state", Text(), nullable=False),
        sa.Column("owner", Text(200), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("started_at", Utc(), nullable=False),
        sa.Column("leased_until", Utc(), nullable=False),
        sa.Column("ended_at", Utc(), nullable=True),
        sa.Column("summary", Json(), nullable=False),
        sa.Column("error", Text(), nullable=False),
        sa.PrimaryKeyConstraint("job", "due_at", name="pk_job_run"),
    )
    op.create_index(
        "uq_job_run_running",
        "job_run",
        ["job"],
        unique=True,
        sqlite_where=sa.text("state = 'running'"),
        postgresql_where=sa.text("state = 'running'"),
    )
