"""What the columns of the tables are made of."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, MetaData

from recpipe.catalogue.types import Code, Json, Text, Utc

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

ID = Code(32)
HASH = Code(64)
DAY = Code(10)
# SQLite numbers rows by itself only where the key's type is exactly INTEGER.
SERIAL = BigInteger().with_variant(Integer(), "sqlite")


def id_column(name: str = "id") -> Column[str]:
    return Column(name, ID, primary_key=True)


def tenant_column(*, nullable: bool = False) -> Column[str]:
    return Column("tenant_id", ID, ForeignKey("tenant.id", ondelete="CASCADE"), nullable=nullable)


def user_column() -> Column[str]:
    return Column("user_id", ID, ForeignKey("portal_user.id", ondelete="CASCADE"), nullable=False)


def text_column(name: str, longest: int | None = None) -> Column[str]:
    return Column(name, Text(longest), nullable=False)


def at_column(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, Utc(), nullable=nullable)


def number_column(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable)


def flag_column(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False)


def partial_index(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    """An index of some rows, as a migration makes it. One that is told of `postgresql_where` would load that dialect
    with all of its drivers, also where the database is SQLite.
    """
    return Index(name, *columns, unique=unique, info={"where": where})


def json_column(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, Json(), nullable=nullable)
