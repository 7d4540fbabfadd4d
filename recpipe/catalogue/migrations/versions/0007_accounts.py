"""Addresses from which tokens are made and used, and e-mail addresses that wait for their confirmation."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from recpipe.catalogue.types import Text

revision = "0007"
down_revision = "0006"

ADDED = (("token", "created_from"), ("token", "last_used_from"), ("portal_user", "email_pending"))


def upgrade() -> None:
    for table, name in ADDED:
        op.add_column(table, sa.Column(name, Text(), nullable=False, server_default=""))
