"""What PBXs were told of calls whose recordings are deleted: that these had been there."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from recpipe.catalogue.types import Utc

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.add_column("decision", sa.Column("arrived_at", Utc(), nullable=True))
