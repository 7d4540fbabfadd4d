"""Which of the tenants' telephone numbers a person means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, String, and_, bindparam, literal_column, or_, select, text

from recpipe.catalogue.repository import Selection, is_one_of, list_size, listed
from recpipe.catalogue.tables import phone_number, tenant
from recpipe.errors import QueryInvalid, TooManyMatches
from recpipe.messages import message
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
        _at_least(wanted, _FEWEST_ENDING, message("the last digits"))
    elif match is NumberMatch.CONTAINING:
        _at_least(wanted, _FEWEST_CONTAINING, message("digits anywhere in a number"))
    trigrams = match is NumberMatch.CONTAINING and connection.dialect.name == "sqlite" and has_trigrams(connection)
    shapes: list[_Lists] = []
    values: dict[str, Any] = {}
    for place, (meant, owners) in enumerate(_by_meaning(connection, tenant_ids, typed)):
        lists = _lists(meant, match) | {"owner": owners}
        if trigrams and lists["part"]:
            # Digits and spaces alone, so quoting them is all it takes to make each one phrase.
            lists["phrase"], lists["part"] = [" OR ".join(f'"{part}"' for part in lists["part"])], []
        shapes.append(_Lists(**{name: list_size(items) for name, items in lists.items()}))
        for name, items in lists.items():
            values |= listed(f"{name}_{place}", items)
    ids = [row[0] for row in _numbers_of(tuple(shapes)).rows(connection, values)] if shapes else []
    if len(ids) > MOST_NUMBERS:
        raise TooManyMatches(MOST_NUMBERS)
    return ids


def _at_least(wanted: str, least: int, what: str) -> None:
    if len(wanted) < least:
        raise QueryInvalid(message("Searching for {what} needs at least {least} digits.", what=what, least=least))


def _by_meaning(connection: Connection, tenant_ids: Sequence[str], typed: str) -> Iterator[tuple[Meaning, list[str]]]:
    """What was typed, as the tenants of each region mean it: one meaning of most texts, whatever the region."""
    rows = _regions_of(list_size(tenant_ids)).rows(connection, listed("tenant", tenant_ids))
    owners: dict[Meaning, list[str]] = {}
    for tenant_id, region in rows:
        owners.setdefault(meaning(typed, region), []).append(tenant_id)
    yield from owners.items()


class _Lists(NamedTuple):
    """How many there are of what a number is compared with, as `list_size` has it."""

    owner: int
    spelling: int
    written: int
    end: int = 0
    last: int = 0
    part: int = 0
    phrase: int = 0


def _lists(meant: Meaning, match: NumberMatch) -> dict[str, list[str]]:
    lists = {"spelling": sorted(meant.spellings), "written": sorted(meant.spellings | meant.national)}
    if match is NumberMatch.ENDING:
        lists |= {"end": [end[::-1] for end in fewest(meant.parts, ending=True)], "last": [meant.digits[::-1]]}
    if match is NumberMatch.CONTAINING:
        # `written` is "DIGITS E164", so a space stands before the first digit of the second.
        beginning = {f" {meant.beginning}"} if meant.beginning else set()
        lists["part"] = fewest({*meant.parts, *beginning}, ending=False)
    return lists


@lru_cache(maxsize=16)
def _regions_of(tenants: int) -> Selection:
    return Selection(select(tenant.c.id, tenant.c.region).where(is_one_of(tenant.c.id, "tenant", tenants)))


@lru_cache(maxsize=256)
def _numbers_of(shapes: tuple[_Lists, ...]) -> Selection:
    """The ids of the numbers that are meant, compiled once for each shape as searches are."""
    found = [_is_meant(place, lists) for place, lists in enumerate(shapes)]
    return Selection(select(phone_number.c.id).where(or_(*found)).limit(MOST_NUMBERS + 1))


def _is_meant(place: int, lists: _Lists) -> ColumnElement[bool]:
    c = phone_number.c
    spelling, written = f"spelling_{place}", f"written_{place}"
    # The number itself: read as E.164 when it was stored, or written in a way that can only mean it.
    conditions = [
        is_one_of(c.international, spelling, lists.spelling),
        and_(
            is_one_of(c.digits, written, lists.written),
            or_(c.international == "", is_one_of(c.digits, spelling, lists.spelling)),
        ),
        *(_starts(c.digits_reversed, f"end_{place}_{end}") for end in range(lists.end)),
        *(_starts(c.international_reversed, f"last_{place}_{last}") for last in range(lists.last)),
        # PostgreSQL takes its trigram index for this where it has one.
        *(c.written.contains(_text(f"part_{place}_{part}")) for part in range(lists.part)),
    ]
    if lists.phrase:
        matches: Select[Any] = select(literal_column("rowid")).select_from(text(TRIGRAMS))
        phrases = literal_column(TRIGRAMS).op("MATCH")(_text(f"phrase_{place}_0"))
        conditions.append(c.id.in_(matches.where(phrases)))
    return and_(is_one_of(c.tenant_id, f"owner_{place}", lists.owner), or_(*conditions))


def _starts(column: ColumnElement[str], prefix: str) -> ColumnElement[bool]:
    # A range walks the index on both databases; ":" follows "9".
    return and_(column >= _text(prefix), column < _text(prefix) + ":")


def _text(name: str) -> ColumnElement[str]:
    return bindparam(name, type_=String())


_TRIGRAMS_MADE = Selection(
    select(literal_column("1")).select_from(text("sqlite_master")).where(text(f"name = '{TRIGRAMS}'"))
)


def has_trigrams(connection: Connection) -> bool:
    """Whether SQLite was built with the trigram tokenizer when the table was made."""
    return _TRIGRAMS_MADE.value(connection, {}) is not None
