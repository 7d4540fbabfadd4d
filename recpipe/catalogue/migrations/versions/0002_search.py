"""What a search reads: a wider index, and the texts of recordings. Numbers that no recording has any more go."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from recpipe.catalogue.adding import text_of
from recpipe.catalogue.types import Code, Text, Utc

revision = "0002"
down_revision = "0001"

OF_TIME = ("tenant_id", "started_at", "id")
OF_TIME_AND_MORE = (*OF_TIME, "direction", "duration_ms", "extension", "envelope_offset")
# As for phone_number; but the list of pending ones stays, since every recording is new here.
PG_TRGM = (
    "CREATE EXTENSION IF NOT EXISTS pg_trgm",
    "CREATE INDEX recording_text_trigram ON recording_text USING gin (text gin_trgm_ops)",
)
_BATCH = 5000

_recording = sa.table(
    "recording",
    sa.column("id", Code(32)),
    sa.column("tenant_id", Code(32)),
    sa.column("started_at", Utc()),
    sa.column("name", Text()),
    sa.column("caller_name", Text()),
    sa.column("callee_name", Text()),
)


def upgrade() -> None:
    op.drop_index("ix_recording_time", "recording")
    op.create_index("ix_recording_time", "recording", list(OF_TIME_AND_MORE), unique=False)
    texts = op.create_table(
        "recording_text",
        sa.Column("tenant_id", Code(32), nullable=False),
        sa.Column("started_at", Utc(), nullable=False),
        sa.Column("recording_id", Code(32), nullable=False),
        sa.Column("text", Text(2000), nullable=False),
        sa.ForeignKeyConstraint(
            ["recording_id"], ["recording.id"], name="fk_recording_text_recording_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name="fk_recording_text_tenant_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "started_at", "recording_id", name="pk_recording_text"),
        sqlite_with_rowid=False,
    )
    _fill(texts)
    op.create_index("ix_recording_text_recording_id", "recording_text", ["recording_id"], unique=False)
    _index_trigrams()
    op.execute(
        "DELETE FROM phone_number WHERE NOT EXISTS "
        "(SELECT 1 FROM recording_number WHERE recording_number.number_id = phone_number.id)"
    )


def _fill(texts: sa.Table) -> None:
    connection = op.get_bind()
    c = _recording.c
    last = ""
    while True:
        rows: Sequence[sa.Row[tuple[object, ...]]] = connection.execute(
            sa.select(_recording).where(c.id > last).order_by(c.id).limit(_BATCH)
        ).all()
        if not rows:
            return
        connection.execute(
            sa.insert(texts),
            [
                {
                    "tenant_id": row.tenant_id,
                    "started_at": row.started_at,
                    "recording_id": row.id,
                    "text": text_of(row.name, row.caller_name, row.callee_name),
                }
                for row in rows
            ],
        )
        last = rows[-1].id


def _index_trigrams() -> None:
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    try:
        with connection.begin_nested():
            for statement in PG_TRGM:
                connection.exec_driver_sql(statement)
    except sa.exc.DBAPIError as error:
        logging.getLogger(__name__).warning(
            "no trigram index (%s): a search for a rare text walks through the tenant's calls. "
            "Have an owner run CREATE EXTENSION pg_trgm before the first start.",
            str(error.orig).strip().splitlines()[0],
        )
