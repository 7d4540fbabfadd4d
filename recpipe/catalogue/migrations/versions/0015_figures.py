"""What figures are made of. What calls there are already is counted afterwards, by a job, from the newest on."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from recpipe.catalogue.types import Code, Text

revision = "0015"
down_revision = "0018a"


def _tenant(table: str) -> tuple[sa.Column[str], sa.ForeignKeyConstraint]:
    return (
        sa.Column("tenant_id", Code(32), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=f"fk_{table}_tenant_id", ondelete="CASCADE"),
    )


def _numbers(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger(), nullable=False) for name in names]


def upgrade() -> None:
    op.create_table(
        "figure_quarter",
        *_tenant("figure_quarter"),
        *_numbers("quarter", "calls", "recordings", "duration_ms", "longest_ms", "stored_bytes", "sealed"),
        sa.PrimaryKeyConstraint("tenant_id", "quarter", name="pk_figure_quarter"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "figure_value",
        *_tenant("figure_value"),
        sa.Column("dimension", Text(20), nullable=False),
        sa.Column("span", Text(10), nullable=False),
        *_numbers("place"),
        sa.Column("value", Text(200), nullable=False),
        *_numbers("calls", "duration_ms"),
        sa.PrimaryKeyConstraint("tenant_id", "dimension", "span", "place", "value", name="pk_figure_value"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "figure_fill",
        *_tenant("figure_fill"),
        *_numbers("day"),
        sa.PrimaryKeyConstraint("tenant_id", name="pk_figure_fill"),
    )
    # Later than any call: also those that a wrong clock dated into the future.
    op.execute(
        "INSERT INTO figure_fill (tenant_id, day) SELECT id, 3000000 FROM tenant "
        "WHERE EXISTS (SELECT 1 FROM recording WHERE recording.tenant_id = tenant.id)"
    )
