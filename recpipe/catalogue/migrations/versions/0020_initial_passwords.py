"""Until when a password that somebody else made may be used. Those that are there count as people's own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from recpipe.catalogue.types import Utc

revision = "0020"
down_revision = "0021"


def upgrade() -> None:
    op.add_column("portal_user", sa.Column("password_until", Utc(), nullable=True))
