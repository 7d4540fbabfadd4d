"""Searches that a person keeps under a name."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from recpipe.catalogue.types import Code, Text, Utc

revision = "0018a"
down_revision = "0018"


def upgrade() -> None:
    op.create_table(
        "saved_search",
        sa.Column("id", Code(32), nullable=False),
        sa.Column("user_id", Code(32), nullable=False),
        sa.Column("name", Text(200), nullable=False),
        sa.Column("query", Text(), nullable=False),
        sa.Column("saved_at", Utc(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["portal_user.id"], name="fk_saved_search_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_saved_search"),
        sa.UniqueConstraint("user_id", "name", name="uq_saved_search_user_id_name"),
    )
