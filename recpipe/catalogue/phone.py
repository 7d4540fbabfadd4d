"""Which of the tenants' telephone numbers a person means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, literal, literal_column, or_, select, text

from recpipe.catalogue.tables import phone_number, tenant
from recpipe.errors import QueryInvalid, TooManyMatches
from recpipe.model import NumberMatch
from recpipe.numbers import Meaning, digits, fewest, meaning

MOST_NUMBERS = 1000
_FEWEST_ENDING = 2
_FEWEST_CONTAINING = 3  # a trigram
TRIGRAMS = "phone_number_trigram"


def matching_numbers(connection: Connection, tenant_ids: Sequence[str], typed: str, match: NumberMatch) -> list[int]:
    """Ids of the numbers that what was typed means, in whichever form they were written.

    A full number finds the same in whichever form it is typed: every match finds what EXACT finds, and more. A national
    number is read in each tenant's own region.

    Raises:
        QueryInvalid: too few digits.
        TooManyMatches: more than 1,000 numbers.
    """
    wanted = digits(typed)
    if not wanted:
        raise QueryInvalid("A number search needs digits.")
    if match is NumberMatch.ENDING:
        _at_least(wanted, _FEWEST_ENDING, "the last digits")
    elif match is NumberMatch.CONTAINING:
        _at_least(wanted, _FEWEST_CONTAINING, "digits anywhere in a number")
    c = phone_number.c
    found = []
    for meant, owners in _by_meaning(connection, tenant_ids, typed):
        conditions = [*_same(meant), *_more(connection, meant, match)]
        found.append(and_(c.tenant_id.in_(owners), or_(*conditions)))
    ids = list(connection.execute(select(c.id).where(or_(*found)).limit(MOST_NUMBERS + 1)).scalars())
    if len(ids) > MOST_NUMBERS:
        raise TooManyMatches(MOST_NUMBERS)
    return ids


def _at_least(wanted: str, least: int, what: str) -> None:
    if len(wanted) < least:
        raise QueryInvalid(f"Searching for {what} needs at least {least} digits.")


def _by_meaning(connection: Connection, tenant_ids: Sequence[str], typed: str) -> Iterator[tuple[Meaning, list[str]]]:
    """What was typed, as the tenants of each region mean it: one meaning of most texts, whatever the region."""
    rows = connection.execute(select(tenant.c.id, tenant.c.region).where(tenant.c.id.in_(tenant_ids)))
    owners: dict[Meaning, list[str]] = {}
    for tenant_id, region in rows:
        owners.setdefault(meaning(typed, region), []).append(tenant_id)
    yield from owners.items()


def _same(meant: Meaning) -> list[ColumnElement[bool]]:
    """The number itself: read as E.164 when it was stored, or written in a way that can only mean it."""
    c = phone_number.c
    spellings, written = sorted(meant.spellings), sorted(meant.spellings | meant.national)
    sure = and_(c.digits.in_(written), or_(c.international == "", c.digits.in_(spellings)))
    return [c.international.in_(spellings), sure]


def _more(connection: Connection, meant: Meaning, match: NumberMatch) -> list[ColumnElement[bool]]:
    c = phone_number.c
    if match is NumberMatch.ENDING:
        ends = fewest(meant.parts, ending=True)
        return [
            *(_starts(c.digits_reversed, end[::-1]) for end in ends),
            _starts(c.international_reversed, meant.digits[::-1]),
        ]
    if match is NumberMatch.CONTAINING:
        # `written` is "DIGITS E164", so a space stands before the first digit of the second.
        beginning = {f" {meant.beginning}"} if meant.beginning else set()
        return [_contains(connection, fewest({*meant.parts, *beginning}, ending=False))]
    return []


def _starts(column: ColumnElement[str], prefix: str) -> ColumnElement[bool]:
    # A range walks the index on both databases; ":" follows "9".
    return and_(column >= prefix, column < prefix + ":")


def _contains(connection: Connection, parts: Sequence[str]) -> ColumnElement[bool]:
    if connection.dialect.name == "sqlite" and has_trigrams(connection):
        # Digits and spaces alone, so quoting them is all it takes to make each one phrase.
        phrases = literal(" OR ".join(f'"{part}"' for part in parts))
        matches: Select[Any] = select(literal_column("rowid")).select_from(text(TRIGRAMS))
        return phone_number.c.id.in_(matches.where(literal_column(TRIGRAMS).op("MATCH")(phrases)))
    # PostgreSQL takes its trigram index for this where it has one.
    return or_(*(phone_number.c.written.contains(part) for part in parts))


def has_trigrams(connection: Connection) -> bool:
    """Whether SQLite was built with the trigram tokenizer when the table was made."""
    found = select(func.count()).select_from(text("sqlite_master")).where(text("name = :name"))
    return bool(connection.execute(found.params(name=TRIGRAMS)).scalar_one())
