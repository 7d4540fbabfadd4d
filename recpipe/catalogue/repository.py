"""What repositories share. One lives for one transaction; nothing it returns needs the connection."""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Dialect,
    Insert,
    Row,
    Select,
    Table,
    bindparam,
    false,
    func,
    insert,
    literal,
    tuple_,
)
from sqlalchemy.exc import StatementError

from recpipe.catalogue.types import Code, micros, moment
from recpipe.errors import QueryInvalid
from recpipe.messages import message
from recpipe.model import Page

Item = TypeVar("Item")

MOST_A_PAGE = 1000


def new_id() -> str:
    """A random id: 128 bits, 32 hex digits."""
    return secrets.token_hex(16)


class Repository:
    """Statements about one kind of thing, inside the caller's transaction."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection


class Scoped(Repository):
    """Statements about the things of one tenant: every one of them carries its id."""

    __slots__ = ("_tenant_id",)

    def __init__(self, connection: Connection, tenant_id: str) -> None:
        super().__init__(connection)
        self._tenant_id = tenant_id


class Insertion:
    """An INSERT for what is written all day, into a table whose rows the database numbers: compiled once.

    SQLAlchemy's way to run a statement takes four times as long as the row itself. The text is made from the table all
    the same, and the values pass through the types of its columns.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self._columns = [column for column in table.columns if not column.primary_key]
        self._compiled = lru_cache(maxsize=4)(self._compile)  # a process has one database; a test run has many

    def run(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert rows: values of all columns but the key, in the order of the table.

        Raises:
            StatementError: a column cannot keep its value.
        """
        if not rows:
            return
        sql, converted = self._compiled(connection.dialect)
        try:
            parameters = [converted(row) for row in rows]
        except Exception as error:
            raise StatementError("a value does not fit its column", sql, None, error, hide_parameters=True) from error
        connection.exec_driver_sql(sql, parameters)

    def _compile(self, dialect: Dialect) -> tuple[str, Callable[[tuple[Any, ...]], Any]]:
        names = [column.name for column in self._columns]
        # Inline: nobody asks for the number of the row.
        compiled = insert(self._table).inline().compile(dialect=dialect, column_keys=names)
        types = [column.type.dialect_impl(dialect) for column in self._columns]
        kept = [kind.bind_processor(dialect) or _as_it_is for kind in types]
        if dialect.positional:
            return str(compiled), lambda row: tuple([keep(value) for keep, value in zip(kept, row, strict=True)])
        return str(compiled), lambda row: {
            name: keep(value) for name, keep, value in zip(names, kept, row, strict=True)
        }


class Selection:
    """A SELECT that is asked all day: compiled once, as `Insertion` is, with the values passing through their types."""

    def __init__(self, statement: Select[Any]) -> None:
        self._statement = statement
        self._compiled = lru_cache(maxsize=4)(self._compile)

    def rows(self, connection: Connection, asked: dict[str, Any]) -> Iterator[list[Any]]:
        """The rows found.

        Args:
            asked: a value for each parameter of the statement; others are left out.

        Raises:
            StatementError: a value is none that its column can keep.
        """
        sql, converted, readers = self._compiled(connection.dialect)
        try:
            parameters = converted(asked)
        except Exception as error:
            raise StatementError("a value does not fit its column", sql, None, error, hide_parameters=True) from error
        for row in connection.exec_driver_sql(sql, parameters).all():
            values = list(row)
            for place, read in readers:
                values[place] = read(values[place])
            yield values

    def value(self, connection: Connection, asked: dict[str, Any]) -> Any:
        """The first column of the first row; None where there is no row."""
        return next((row[0] for row in self.rows(connection, asked)), None)

    def _compile(self, dialect: Dialect) -> tuple[str, Callable[[dict[str, Any]], Any], list[tuple[int, Any]]]:
        compiled: Any = self._statement.compile(dialect=dialect)
        types = {name: bound.type.dialect_impl(dialect) for bound, name in compiled.bind_names.items()}
        keep = {name: kind.bind_processor(dialect) or _as_it_is for name, kind in types.items()}
        columns = [column.type.dialect_impl(dialect) for column in self._statement.selected_columns]
        read = [(place, kind.result_processor(dialect, None)) for place, kind in enumerate(columns)]
        readers = [(place, reader) for place, reader in read if reader is not None]
        # Values of its own, such as the 1 of a LIMIT.
        own = {name: bound.value for bound, name in compiled.bind_names.items() if not bound.required}

        if dialect.positional:
            order = [(name, keep[name]) for name in compiled.positiontup]

            def in_order(asked: dict[str, Any]) -> tuple[Any, ...]:
                given = own | asked if own else asked
                return tuple([kept(given[name]) for name, kept in order])

            return str(compiled), in_order, readers

        def by_name(asked: dict[str, Any]) -> dict[str, Any]:
            given = own | asked if own else asked
            return {name: kept(given[name]) for name, kept in keep.items()}

        return str(compiled), by_name, readers


def list_size(values: Sequence[Any]) -> int:
    """How many parameters stand for a list: a power of two, so that lists of all lengths make few statements."""
    return 1 << (len(values) - 1).bit_length() if values else 0


def is_one_of(column: ColumnElement[Any], name: str, size: int) -> ColumnElement[bool]:
    """Whether a column has one of the values that `listed` gives."""
    if size == 0:
        return false()
    places: list[Any] = [bindparam(f"{name}_{place}") for place in range(size)]
    return column == places[0] if size == 1 else column.in_(places)


def listed(name: str, values: Sequence[Any]) -> dict[str, Any]:
    """The parameters of `is_one_of`: the last value stands in the places that are left."""
    last = len(values) - 1
    return {f"{name}_{place}": values[min(place, last)] for place in range(list_size(values))}


def _as_it_is(value: Any) -> Any:
    return value


def _insertion(dialect: str, table: Table) -> Any:
    # The other database's is not loaded: PostgreSQL's has all of its drivers.
    if dialect == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(table)


def insert_new(dialect: str, table: Table) -> Insert:
    """An INSERT that leaves out rows whose unique key is taken, so that PostgreSQL's transaction goes on."""
    return _insertion(dialect, table).on_conflict_do_nothing()  # type: ignore[no-any-return]


def inserted(connection: Connection, table: Table, values: dict[str, Any]) -> bool:
    """Insert one row; False, and nothing done, when one of its unique keys is taken."""
    statement = insert_new(connection.dialect.name, table).values(values).returning(*table.primary_key.columns)
    return connection.execute(statement).first() is not None


def upsert(
    dialect: str,
    table: Table,
    key: Sequence[str],
    replace: Sequence[str],
    *,
    add: Sequence[str] = (),
    most: Sequence[str] = (),
) -> Any:
    """An INSERT that on a taken `key` replaces some columns of the existing row, adds to others, and of `most` keeps
    the larger value.
    """
    new = _insertion(dialect, table)
    larger = func.greatest if dialect == "postgresql" else func.max
    values = {name: new.excluded[name] for name in replace} | {name: table.c[name] + new.excluded[name] for name in add}
    values |= {name: larger(table.c[name], new.excluded[name]) for name in most}
    return new.on_conflict_do_update(index_elements=key, set_=values)


def row_of(table: Table, thing: Any) -> dict[str, Any]:
    """The columns of a table that a dataclass has fields for."""
    return {column.name: getattr(thing, column.name) for column in table.columns if hasattr(thing, column.name)}


def same_tenant(scope: str, given: str | None) -> None:
    """A programming error, not a person's: the things of one tenant never go through another's scope."""
    if scope != given:
        raise ValueError(f"a thing of tenant {given} was handed to the scope of tenant {scope}")


def check_limit(limit: int) -> int:
    """The page size asked for.

    Raises:
        QueryInvalid: it is not between 1 and 1,000.
    """
    if not 1 <= limit <= MOST_A_PAGE:
        raise QueryInvalid(
            message("A page holds 1 to {most_a_page:,} items, not {limit}.", most_a_page=MOST_A_PAGE, limit=limit)
        )
    return limit


def page_by_time(
    connection: Connection,
    wanted: Select[*tuple[Any, ...]],
    at: Column[Any],
    key: Column[Any],
    item_of: Callable[[Row[Any]], Item],
    cursor: str | None,
    limit: int,
    *,
    newest_first: bool = False,
) -> Page[Item]:
    """One page of rows in the order of a time, and of a key among those of one time.

    Args:
        wanted: the rows, with both columns; in any order.

    Raises:
        QueryInvalid: the cursor is not of such a list.
    """
    if cursor is not None:
        place = tuple_(at, key)
        since, last = read_cursor(cursor, datetime, str if isinstance(key.type, Code) else int)
        there = tuple_(literal(since, at.type), literal(last))
        wanted = wanted.where(place < there if newest_first else place > there)
    order = (at.desc(), key.desc()) if newest_first else (at, key)
    rows = connection.execute(wanted.order_by(*order).limit(check_limit(limit) + 1)).all()
    items = tuple(item_of(row) for row in rows[:limit])
    if len(rows) <= limit:
        return Page(items)
    end = rows[limit - 1]._mapping
    return Page(items, write_cursor(micros(end[at]), end[key]))


LONGEST_CURSOR = 4000  # characters; a text of 200 that JSON escapes fits twice


def write_cursor(*parts: str | int) -> str:
    """Where a list goes on, as an opaque word safe in a URL."""
    return base64.urlsafe_b64encode(json.dumps(parts, separators=(",", ":")).encode()).decode().rstrip("=")


def read_cursor(cursor: str, *kinds: type) -> list[Any]:
    """The parts of `write_cursor`.

    Args:
        kinds: of each part; `datetime` where the microseconds of a time were written.

    Raises:
        QueryInvalid: it was not made by `write_cursor` for such a list.
    """
    try:
        if len(cursor) > LONGEST_CURSOR:
            raise ValueError
        parts = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
        written = [int if kind is datetime else kind for kind in kinds]
        if not isinstance(parts, list) or [type(part) for part in parts] != written:
            raise ValueError
        if any(isinstance(part, int) and not -(2**62) < part < 2**62 for part in parts):
            raise ValueError
        return [moment(part) if kind is datetime else part for part, kind in zip(parts, kinds, strict=True)]
    except (ValueError, OverflowError, binascii.Error, RecursionError):
        raise QueryInvalid("This page link is damaged or belongs to another list. Start from the first page.") from None
