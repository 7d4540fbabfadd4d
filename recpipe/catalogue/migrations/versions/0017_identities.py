"""Identity providers, the people they vouch for, and how each session was opened."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from recpipe.catalogue.types import Code, Json, Text, Utc

revision = "0017"
down_revision = "0015"


def upgrade() -> None:
    op.create_table(
        "identity_provider",
        sa.Column("id", Code(32), nullable=False),
        sa.Column("tenant_id", Code(32), nullable=True),
        sa.Column("owner", Text(), nullable=False),
        sa.Column("issuer", Text(500), nullable=False),
        sa.Column("client_id", Text(500), nullable=False),
        sa.Column("client_secret", Text(), nullable=False),
        sa.Column("label", Text(200), nullable=False),
        sa.Column("factors", Text(), nullable=False),
        sa.Column("acr_values", Json(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", Utc(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_identity_provider"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name="fk_identity_provider_tenant_id", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("owner", name="uq_identity_provider_owner"),
    )
    op.create_index("ix_identity_provider_tenant_id", "identity_provider", ["tenant_id"])
    op.create_table(
        "identity",
        sa.Column("id", Code(32), nullable=False),
        sa.Column("user_id", Code(32), nullable=False),
        sa.Column("issuer", Text(500), nullable=False),
        sa.Column("subject", Text(255), nullable=False),
        sa.Column("shown", Text(200), nullable=False),
        sa.Column("linked_at", Utc(), nullable=False),
        sa.Column("last_used_at", Utc(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_identity"),
        sa.ForeignKeyConstraint(["user_id"], ["portal_user.id"], name="fk_identity_user_id", ondelete="CASCADE"),
        sa.UniqueConstraint("issuer", "subject", name="uq_identity_issuer_subject"),
    )
    op.create_index("ix_identity_user_id", "identity", ["user_id"])
    op.add_column("web_session", sa.Column("provider_id", Text(), nullable=False, server_default=""))
    op.add_column("web_session", sa.Column("second_factor", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("one_time_link", sa.Column("provider_id", Text(), nullable=False, server_default=""))
