"""Which group of the operator's services a tenant is in. Those that are there are in none."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from recpipe.catalogue.types import Text

revision = "0024"
down_revision = "0020"


def upgrade() -> None:
    op.add_column("tenant", sa.Column("group", Text(), nullable=False, server_default=""))
