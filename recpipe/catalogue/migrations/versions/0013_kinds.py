"""What was kept: calls, voicemail, conferences and faxes, with what tells of each."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from recpipe.catalogue.types import Text

revision = "0013"
down_revision = "0016"


def upgrade() -> None:
    for name in ("kind", "mailbox", "conference", "station_id"):
        default = "call" if name == "kind" else ""
        op.add_column("recording", sa.Column(name, Text(), nullable=False, server_default=default))
    few = sa.text("kind <> 'call'")
    for name, order in (("time", ("started_at", "id")), ("call_time", ("call_at", "call"))):
        op.create_index(
            f"ix_recording_kind_{name}",
            "recording",
            ["tenant_id", "kind", *order],
            unique=False,
            sqlite_where=few,
            postgresql_where=few,
        )
