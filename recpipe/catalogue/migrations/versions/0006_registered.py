"""Who registered and waits is told from who was invited, and the password that somebody typed for them is forgotten."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.execute(
        "UPDATE portal_user SET status = 'registered', password_hash = NULL "
        "WHERE status = 'pending' AND password_hash IS NOT NULL"
    )
