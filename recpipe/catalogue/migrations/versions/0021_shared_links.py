"""Links by which somebody outside hears a call."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from recpipe.catalogue.types import Code, Json, Text, Utc

revision = "0021"
down_revision = "0022"


def upgrade() -> None:
    op.create_table(
        "shared_link",
        sa.Column("id", Code(32), nullable=False),
        sa.Column("tenant_id", Code(32), nullable=False),
        sa.Column("hash", Code(64), nullable=False),
        sa.Column("user_id", Code(32), nullable=False),
        sa.Column("token_id", Code(32), nullable=False),
        sa.Column("call", Code(32), nullable=False),
        sa.Column("recordings", Json(), nullable=False),
        sa.Column("label", Text(200), nullable=False),
        sa.Column("passphrase_hash", Text(), nullable=True),
        sa.Column("download", sa.Boolean(), nullable=False),
        sa.Column("created_at", Utc(), nullable=False),
        sa.Column("expires_at", Utc(), nullable=False),
        sa.Column("most_openings", sa.BigInteger(), nullable=False),
        sa.Column("openings", sa.BigInteger(), nullable=False),
        sa.Column("last_opened_at", Utc(), nullable=True),
        sa.Column("revoked_at", Utc(), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name="fk_shared_link_tenant_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["portal_user.id"], name="fk_shared_link_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_shared_link"),
        sa.UniqueConstraint("hash", name="uq_shared_link_hash"),
    )
    op.create_index("ix_shared_link_tenant_id_expires_at", "shared_link", ["tenant_id", "expires_at"])
    op.create_index("ix_shared_link_user_id", "shared_link", ["user_id"])
    op.create_index("ix_shared_link_expires_at", "shared_link", ["expires_at"])
    op.create_table(
        "shared_opening",
        sa.Column("id", Code(32), nullable=False),
        sa.Column("link_id", Code(32), nullable=False),
        sa.Column("hash", Code(64), nullable=False),
        sa.Column("opened_at", Utc(), nullable=False),
        sa.Column("expires_at", Utc(), nullable=False),
        sa.ForeignKeyConstraint(["link_id"], ["shared_link.id"], name="fk_shared_opening_link_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_shared_opening"),
        sa.UniqueConstraint("hash", name="uq_shared_opening_hash"),
    )
    op.create_index("ix_shared_opening_link_id", "shared_opening", ["link_id"])
    op.create_index("ix_shared_opening_expires_at", "shared_opening", ["expires_at"])
