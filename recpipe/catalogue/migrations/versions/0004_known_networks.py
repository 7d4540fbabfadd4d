"""From which networks an account has signed in: those are let past its lock-out."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from recpipe.catalogue.types import Text, Utc

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "known_network",
        sa.Column("key", Text(200), nullable=False),
        sa.Column("at", Utc(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_known_network"),
    )
