"""Passkeys, and how many of them each user has."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from recpipe.catalogue.types import Code, Text, Utc

revision = "0019"
down_revision = "0017"


def upgrade() -> None:
    op.create_table(
        "passkey",
        sa.Column("id", Code(32), nullable=False),
        sa.Column("user_id", Code(32), nullable=False),
        sa.Column("credential", Text(1400), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("sign_count", sa.BigInteger(), nullable=False),
        sa.Column("label", Text(200), nullable=False),
        sa.Column("created_at", Utc(), nullable=False),
        sa.Column("last_used_at", Utc(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_passkey"),
        sa.ForeignKeyConstraint(["user_id"], ["portal_user.id"], name="fk_passkey_user_id", ondelete="CASCADE"),
        sa.UniqueConstraint("credential", name="uq_passkey_credential"),
    )
    op.create_index("ix_passkey_user_id", "passkey", ["user_id"])
    op.add_column("portal_user", sa.Column("passkeys", sa.BigInteger(), nullable=False, server_default="0"))
