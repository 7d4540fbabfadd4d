"""Which call a recording is a leg of, and when that began: what lists of calls walk."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from recpipe.catalogue.types import Code, Utc
from recpipe.model import BARE_UNIQUE_ID, UNIQUE_ID, call_of

revision = "0011"
down_revision = "0010"

TABLES = ("recording", "recording_number", "recording_extension")
# As `recpipe.model.call_of`, by the database itself: there may be ten million.
LINKED = f"(CASE WHEN linked_id <> '' THEN linked_id WHEN call_id ~ '^(?:{UNIQUE_ID})$' THEN call_id ELSE '' END)"
PLACE = f"(CASE WHEN {LINKED} ~ '^(?:{BARE_UNIQUE_ID})$' THEN spool ELSE '' END)"
CALL_ON_POSTGRESQL = (
    f"CASE WHEN {LINKED} = '' THEN id ELSE substr(encode(sha256(convert_to("
    f"tenant_id || chr(10) || {PLACE} || chr(10) || {LINKED}, 'UTF8')), 'hex'), 1, 32) END"
)


def upgrade() -> None:
    connection = op.get_bind()
    epoch = "0" if connection.dialect.name == "sqlite" else "1970-01-01T00:00:00Z"
    for table in TABLES:
        op.add_column(table, sa.Column("call", Code(32), nullable=False, server_default=""))
        op.add_column(table, sa.Column("call_at", Utc(), nullable=False, server_default=epoch))
    op.execute(f"UPDATE recording SET call_at = started_at, call = {_call(connection)}")  # noqa: S608 - of our own
    op.create_index("ix_recording_call", "recording", ["call", "tenant_id", "call_at"], unique=False)
    op.execute(
        "UPDATE recording SET call_at = first.at FROM (SELECT tenant_id, call, min(started_at) AS at FROM recording "
        "GROUP BY call, tenant_id HAVING count(*) > 1) AS first "
        "WHERE recording.tenant_id = first.tenant_id AND recording.call = first.call"
    )
    for table in TABLES[1:]:
        op.execute(
            f"UPDATE {table} SET call = recording.call, call_at = recording.call_at "  # noqa: S608 - of our own
            f"FROM recording WHERE recording.id = {table}.recording_id"
        )
    of_time = ["tenant_id", "call_at", "call", "started_at", "id", "direction", "duration_ms", "envelope_offset"]
    op.create_index("ix_recording_call_time", "recording", of_time, unique=False)
    op.create_index("ix_recording_number_call", "recording_number", ["number_id", "call_at", "call"], unique=False)
    of_extension = ["tenant_id", "extension", "call_at", "call"]
    op.create_index("ix_recording_extension_call", "recording_extension", of_extension, unique=False)


def _call(connection: sa.Connection) -> str:
    if connection.dialect.name == "postgresql":
        return CALL_ON_POSTGRESQL
    driver: Any = connection.connection.driver_connection
    driver.create_function("call_of", 5, call_of, deterministic=True)
    return "call_of(tenant_id, spool, linked_id, call_id, id)"
