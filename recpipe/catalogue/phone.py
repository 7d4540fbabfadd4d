"""Which of the tenants' telephone numbers a person means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, literal_column, or_, select, text

from recpipe.catalogue.tables import phone_number, tenant
from recpipe.errors import QueryInvalid, TooManyMatches
from recpipe.model import NumberMatch
from recpipe.numbers import digits, e164

MOST_NUMBERS = 1000
_FEWEST_ENDING = 2
_FEWEST_CONTAINING = 3  # a trigram
TRIGRAMS = "phone_number_trigram"


def matching_numbers(connection: Connection, tenant_ids: Sequence[str], typed: str, match: NumberMatch) -> list[int]:
    """Ids of the numbers that what was typed means, in whichever form they were written.

    Raises:
        QueryInvalid: too few digits.
        TooManyMatches: more than 1,000 numbers.
    """
    wanted = digits(typed)
    if not wanted:
        raise QueryInvalid("A number search needs digits.")
    mine = phone_number.c.tenant_id.in_(tenant_ids)
    if match is NumberMatch.EXACT:
        found = select(phone_number.c.id).where(mine, _exact(connection, tenant_ids, typed, wanted))
    elif match is NumberMatch.ENDING:
        _at_least(wanted, _FEWEST_ENDING, "the last digits")
        c = phone_number.c
        ends = or_(_starts(c.digits_reversed, wanted[::-1]), _starts(c.international_reversed, wanted[::-1]))
        found = select(c.id).where(mine, ends)
    else:
        _at_least(wanted, _FEWEST_CONTAINING, "digits anywhere in a number")
        found = select(phone_number.c.id).where(mine, _contains(connection, wanted))
    ids = list(connection.execute(found.limit(MOST_NUMBERS + 1)).scalars())
    if len(ids) > MOST_NUMBERS:
        raise TooManyMatches(MOST_NUMBERS)
    return ids


def _at_least(wanted: str, fewest: int, what: str) -> None:
    if len(wanted) < fewest:
        raise QueryInvalid(f"Searching for {what} needs at least {fewest} digits.")


def _exact(connection: Connection, tenant_ids: Sequence[str], typed: str, wanted: str) -> ColumnElement[bool]:
    """The digits as written, or the same E.164 number: a national number is read in each tenant's own region."""
    rows = connection.execute(select(tenant.c.id, tenant.c.region).where(tenant.c.id.in_(tenant_ids)))
    by_form: dict[str, list[str]] = {}
    for tenant_id, region in rows:
        by_form.setdefault(digits(e164(typed, region)), []).append(tenant_id)
    c = phone_number.c
    conditions: list[ColumnElement[bool]] = [c.digits == wanted, c.international == wanted]
    conditions += [
        and_(c.tenant_id.in_(owners), c.international == form) for form, owners in by_form.items() if form != ""
    ]
    return or_(*conditions)


def _starts(column: ColumnElement[str], prefix: str) -> ColumnElement[bool]:
    # A range walks the index on both databases; ":" follows "9".
    return and_(column >= prefix, column < prefix + ":")


def _contains(connection: Connection, wanted: str) -> ColumnElement[bool]:
    if connection.dialect.name == "sqlite" and has_trigrams(connection):
        # Digits alone, so quoting them is all it takes to make them one phrase.
        matches: Select[Any] = (
            select(literal_column("rowid")).select_from(text(TRIGRAMS)).where(text(f"{TRIGRAMS} MATCH :phrase"))
        )
        return phone_number.c.id.in_(matches.params(phrase=f'"{wanted}"'))
    # PostgreSQL takes its trigram index for this where it has one.
    return phone_number.c.written.contains(wanted)


def has_trigrams(connection: Connection) -> bool:
    """Whether SQLite was built with the trigram tokenizer when the table was made."""
    found = select(func.count()).select_from(text("sqlite_master")).where(text("name = :name"))
    return bool(connection.execute(found.params(name=TRIGRAMS)).scalar_one())
