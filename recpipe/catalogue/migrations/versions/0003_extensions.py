"""Which recordings an extension is in, for calls of several extensions; and an index to find the same bytes again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from recpipe.catalogue.types import Code, Text, Utc

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "recording_extension",
        sa.Column("tenant_id", Code(32), nullable=False),
        sa.Column("extension", Text(100), nullable=False),
        sa.Column("started_at", Utc(), nullable=False),
        sa.Column("recording_id", Code(32), nullable=False),
        sa.ForeignKeyConstraint(
            ["recording_id"], ["recording.id"], name="fk_recording_extension_recording_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name="fk_recording_extension_tenant_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "extension", "started_at", "recording_id", name="pk_recording_extension"),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO recording_extension (tenant_id, extension, started_at, recording_id) "
        "SELECT tenant_id, extension, started_at, id FROM recording WHERE extension <> ''"
    )
    # A call between two extensions was kept as the caller's alone.
    op.execute(
        "INSERT INTO recording_extension (tenant_id, extension, started_at, recording_id) "
        "SELECT tenant_id, callee, started_at, id FROM recording "
        "WHERE direction = 'internal' AND extension = caller AND extension NOT IN ('', callee) "
        "AND length(callee) BETWEEN 2 AND 6 AND ltrim(callee, '0123456789') = '' "
        "AND route NOT LIKE 'queue %' AND route NOT LIKE 'ring group %'"
    )
    newline = "chr(10)" if op.get_bind().dialect.name == "postgresql" else "char(10)"
    op.execute(
        f"UPDATE recording SET extension = extension || {newline} || callee "  # noqa: S608 - one of the two words above
        "WHERE id IN (SELECT recording_id FROM recording_extension GROUP BY recording_id HAVING count(*) > 1)"
    )
    op.create_index("ix_recording_extension_recording_id", "recording_extension", ["recording_id"], unique=False)
    op.drop_index("ix_recording_extension", "recording")
    op.create_index("ix_recording_source_sha256", "recording", ["source_sha256"], unique=False)
