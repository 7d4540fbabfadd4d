"""How recordings enter the catalogue: idempotent by id, under a name that no other recording of that day ever had."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, delete, exists, func, insert, select, text

from recpipe.catalogue.calls import lock_calls, settle_added
from recpipe.catalogue.figure_counts import count_added, linked_calls, of_calls
from recpipe.catalogue.phone import has_trigrams
from recpipe.catalogue.repository import insert_new, upsert
from recpipe.catalogue.rows import extensions_of, recording_of, values_of, values_of_call
from recpipe.catalogue.tables import (
    day_total,
    phone_number,
    recording,
    recording_extension,
    recording_number,
    recording_text,
    tombstone,
)
from recpipe.catalogue.types import clean_text, folded
from recpipe.errors import CatalogueUnavailable, Conflict
from recpipe.messages import message
from recpipe.model import Added, Recording
from recpipe.numbers import digits

# Two processes may add the same recording, or want the same name, at the same time; each round one of them gets it.
_ROUNDS = 20
# The first half of the advisory locks of tenants' names, so that they are not mistaken for others of this database.
_NAMES_LOCK = 0x6E616D
_LONGEST_NAME_BYTES = 1000
# The folder has files of these names of its own.
_RESERVED = frozenset({"sha256sums", "calls.csv"})
SAME_NAME = "same-name"  # flag of a recording
_EXTENSIONS = re.compile(r"(?:\.[A-Za-z0-9]{1,5})?(?:\.enc)?\Z")

SAME_BYTES = "same-bytes-as-another"  # flag of a recording

Number = tuple[str, str]  # digits as written, E.164 digits

# Made once: this is where every recording passes, and building a statement costs more than running it.
_MINE: BindParameter[str] = bindparam("tenant_id")
_IDS: BindParameter[str] = bindparam("ids", expanding=True)
_DAYS: BindParameter[str] = bindparam("days", expanding=True)
_COPIES = select(recording.c.source_sha256).where(
    recording.c.tenant_id == _MINE, recording.c.source_sha256.in_(bindparam("hashes", expanding=True))
)
_KNOWN = (
    select(recording.c.id)
    .where(recording.c.tenant_id == _MINE, recording.c.id.in_(_IDS))
    .union_all(select(tombstone.c.id).where(tombstone.c.tenant_id == _MINE, tombstone.c.id.in_(_IDS)))
)
_ROWS = select(recording).where(recording.c.tenant_id == _MINE, recording.c.id.in_(_IDS))
# One statement, so one snapshot: a recording that is being deleted is seen on one side or the other.
_NAMES = (
    select(recording.c.day, recording.c.name)
    .where(
        recording.c.tenant_id == _MINE,
        recording.c.day.in_(_DAYS),
        recording.c.name.in_(bindparam("names", expanding=True)),
    )
    .union_all(
        select(tombstone.c.day, tombstone.c.name_sha256).where(
            tombstone.c.tenant_id == _MINE,
            tombstone.c.day.in_(_DAYS),
            tombstone.c.name_sha256.in_(bindparam("hashes", expanding=True)),
        )
    )
)
# Locked until the end of the transaction, so that whoever forgets numbers without a recording waits for ours; in order,
# so that two transactions cannot wait for each other in a circle.
_NUMBERS = (
    select(phone_number.c.digits, phone_number.c.international, phone_number.c.id)
    .where(phone_number.c.tenant_id == _MINE, phone_number.c.digits.in_(bindparam("digits", expanding=True)))
    .order_by(phone_number.c.id)
    .with_for_update(read=True, key_share=True)
)
_LINK = insert(recording_number)
_WRITE_TEXT = insert(recording_text)
_WRITE_EXTENSION = insert(recording_extension)
_LINKED = select(recording_number.c.number_id).where(
    recording_number.c.tenant_id == _MINE, recording_number.c.recording_id.in_(_IDS)
)
_NUMBER_IDS: BindParameter[int] = bindparam("number_ids", expanding=True)
_LOCK_NUMBERS = (
    select(phone_number.c.id)
    .where(phone_number.c.tenant_id == _MINE, phone_number.c.id.in_(_NUMBER_IDS))
    .order_by(phone_number.c.id)
    .with_for_update()
)
_FORGET_NUMBERS = delete(phone_number).where(
    phone_number.c.tenant_id == _MINE,
    phone_number.c.id.in_(_NUMBER_IDS),
    ~exists().where(recording_number.c.number_id == phone_number.c.id),
)
_FORGET_AT_ONCE = text("INSERT INTO phone_number_trigram(phone_number_trigram, rank) VALUES ('secure-delete', 1)")
_FORGET_NOW = text("INSERT INTO phone_number_trigram(phone_number_trigram) VALUES ('optimize')")


@cache
def _add(dialect: str) -> Any:
    return insert_new(dialect, recording).returning(recording.c.id)


@cache
def _add_number(dialect: str) -> Any:
    return insert_new(dialect, phone_number)


@cache
def _add_total(dialect: str) -> Any:
    added = ("recordings", "stored_bytes", "duration_ms")
    return upsert(dialect, day_total, ("tenant_id", "day"), (), add=added)


def add_many(connection: Connection, tenant_id: str, batch: Sequence[Recording]) -> list[Added]:
    """See `Recordings.add_many`."""
    outcome: dict[str, Added] = {}
    waiting = {given.id: replace(given, name=clean_text(given.name)) for given in batch}
    for given in waiting.values():
        if given.tenant_id != tenant_id:
            raise ValueError(f"recording {given.id} belongs to tenant {given.tenant_id}, not to {tenant_id}")
        if len(given.name.encode()) > _LONGEST_NAME_BYTES:
            raise Conflict(
                "name-too-long",
                message(
                    "A recording's name has at most {longest_name_bytes:,} bytes.",
                    longest_name_bytes=_LONGEST_NAME_BYTES,
                ),
            )
    if any(given.call != given.id for given in waiting.values()):
        lock_calls(connection, tenant_id)
    linked = linked_calls(waiting.values())
    before = of_calls(connection, tenant_id, linked)
    for _ in range(_ROUNDS):
        for added in _known(connection, tenant_id, waiting):
            outcome[added.recording.id] = added
            del waiting[added.recording.id]
        if not waiting:
            break
        for fresh in _insert(connection, tenant_id, _flagged(connection, tenant_id, list(waiting.values()))):
            outcome[fresh.id] = Added(fresh, new=True)
            del waiting[fresh.id]
    else:
        raise Conflict("name-contended", "Others keep taking the same names. Nothing was added; try the batch again.")
    new = [added.recording for added in outcome.values() if added.new]
    link_numbers(connection, tenant_id, new)
    write_texts(connection, tenant_id, new)
    write_extensions(connection, tenant_id, new)
    settle_added(connection, tenant_id, new)
    count_days(connection, tenant_id, new, sign=1)
    count_added(connection, tenant_id, new, linked, before)
    return [outcome[given.id] for given in batch]


def _known(connection: Connection, tenant_id: str, waiting: dict[str, Recording]) -> Iterator[Added]:
    asked = {"tenant_id": tenant_id, "ids": list(waiting)}
    gone = set(connection.execute(_KNOWN, asked).scalars())
    if gone:
        for row in connection.execute(_ROWS, asked).all():
            gone.discard(row.id)
            yield Added(recording_of(row), new=False)
        for recording_id in gone:
            yield Added(waiting[recording_id], new=False, deleted=True)


def _flagged(connection: Connection, tenant_id: str, fresh: list[Recording]) -> list[Recording]:
    """Flag recordings whose very bytes the tenant has already, under another name or in another folder."""
    asked = {"tenant_id": tenant_id, "hashes": sorted({given.source_sha256 for given in fresh})}
    known = set(connection.execute(_COPIES, asked).scalars())
    flagged = []
    for given in fresh:
        copy = given.source_sha256 in known and SAME_BYTES not in given.flags
        flagged.append(replace(given, flags=(*given.flags, SAME_BYTES)) if copy else given)
        known.add(given.source_sha256)
    return flagged


def _insert(connection: Connection, tenant_id: str, fresh: list[Recording]) -> list[Recording]:
    named = {given.id: given for given in _choose_names(connection, tenant_id, fresh)}
    rows = [values_of(given) for given in named.values()]
    inserted = connection.execute(_add(connection.dialect.name), rows).scalars().all()
    return [named[recording_id] for recording_id in inserted]


def _choose_names(connection: Connection, tenant_id: str, fresh: list[Recording]) -> Iterator[Recording]:
    names = [(given.day, given.name) for given in fresh]
    taken = _taken(connection, tenant_id, names)
    if taken or len(set(names)) < len(names):
        _queue_for_names(connection, tenant_id)
        taken = _taken(connection, tenant_id, names)
    tried: dict[tuple[str, str], int] = {}
    for given in fresh:
        name = given.name
        number = tried.get((given.day, name), 1)
        if (given.day, name) in taken:  # written again after it was stored, or a copy: to be seen with the first
            given = replace(given, flags=(*given.flags, SAME_NAME))
        asked_to, width = number, 8
        while (given.day, name) in taken or name.casefold() in _RESERVED:
            number += 1
            if number > asked_to:  # ask for more and more at once: there may be thousands
                ahead = [(given.day, _numbered(given.name, next_)) for next_ in range(number, number + width)]
                taken |= _taken(connection, tenant_id, ahead)
                asked_to, width = asked_to + width, min(width * 2, 1024)
            name = _numbered(given.name, number)
        tried[given.day, given.name] = number
        taken.add((given.day, name))
        yield replace(given, name=name) if name != given.name else given


def _queue_for_names(connection: Connection, tenant_id: str) -> None:
    """Let those who need a numbered name wait for each other: else they race for the same number, and most lose."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_NAMES_LOCK, func.hashtext(tenant_id))))


def _numbered(name: str, number: int) -> str:
    """`NAME.mp3.enc` and 2 make `NAME~2.mp3.enc`."""
    at = next(match.start() for match in _EXTENSIONS.finditer(name))
    return f"{name[:at]}~{number}{name[at:]}"


def name_hash(name: str) -> str:
    """What a tombstone keeps of a name."""
    return hashlib.sha256(name.encode()).hexdigest()


def _taken(connection: Connection, tenant_id: str, names: list[tuple[str, str]]) -> set[tuple[str, str]]:
    by_hash = {name_hash(name): name for _, name in names}
    asked = {
        "tenant_id": tenant_id,
        "days": sorted({day for day, _ in names}),
        "names": sorted({name for _, name in names}),
        "hashes": sorted(by_hash),
    }
    return {(day, by_hash.get(name, name)) for day, name in connection.execute(_NAMES, asked)}


def link_numbers(connection: Connection, tenant_id: str, recordings: Iterable[Recording]) -> None:
    """Make the recordings findable by the numbers of both parties."""
    links = [(given, number) for given in recordings for number in numbers_of(given)]
    if not links:
        return
    ids = number_ids(connection, tenant_id, {number for _, number in links})
    rows = [
        {
            "tenant_id": tenant_id,
            "number_id": ids[number],
            "started_at": given.started_at,
            "recording_id": given.id,
            **values_of_call(given),
        }
        for given, number in links
    ]
    connection.execute(_LINK, rows)


def linked_numbers(connection: Connection, tenant_id: str, recording_ids: Sequence[str]) -> set[int]:
    """Ids of the numbers that recordings are found by."""
    return set(connection.execute(_LINKED, {"tenant_id": tenant_id, "ids": list(recording_ids)}).scalars())


def forget_numbers(connection: Connection, tenant_id: str, number_ids: Iterable[int]) -> None:
    """Remove those of the numbers that no recording has any more; once a transaction, after all links were removed.

    They are locked first, in a statement of its own: on PostgreSQL the one that removes them then sees the links that
    were made while it waited, and one that comes later finds them gone and makes them anew (see `_NUMBERS`).
    """
    asked = {"tenant_id": tenant_id, "number_ids": sorted(set(number_ids))}
    if not asked["number_ids"]:
        return
    if connection.dialect.name == "sqlite" and has_trigrams(connection):
        _forget_in_sqlite(connection, asked)
        return
    connection.execute(_LOCK_NUMBERS, asked).all()
    connection.execute(_FORGET_NUMBERS, asked)


def _forget_in_sqlite(connection: Connection, asked: dict[str, Any]) -> None:
    """Also out of the trigram index, which by itself only notes that a number is gone.

    Source: SQLite, "FTS5 Extension", 6.14 'secure-delete' (since 3.42) and 6.6 'optimize'.
    """
    at_once = sqlite3.sqlite_version_info >= (3, 42)
    if at_once:
        connection.execute(_FORGET_AT_ONCE)
    if connection.execute(_FORGET_NUMBERS, asked).rowcount and not at_once:
        connection.execute(_FORGET_NOW)


def write_texts(connection: Connection, tenant_id: str, recordings: Iterable[Recording]) -> None:
    """Make the recordings findable by their file names and the names of both parties."""
    rows = [
        {
            "tenant_id": tenant_id,
            "started_at": given.started_at,
            "recording_id": given.id,
            "text": text_of(given.name, given.facts.caller_name, given.facts.callee_name),
        }
        for given in recordings
    ]
    if rows:
        connection.execute(_WRITE_TEXT, rows)


def write_extensions(connection: Connection, tenant_id: str, recordings: Iterable[Recording]) -> None:
    """Make the recordings findable by the extensions that took part."""
    rows = [
        {
            "tenant_id": tenant_id,
            "extension": extension,
            "started_at": given.started_at,
            "recording_id": given.id,
            **values_of_call(given),
        }
        for given in recordings
        for extension in extensions_of(given.facts)
    ]
    if rows:
        connection.execute(_WRITE_EXTENSION, rows)


def text_of(*names: str) -> str:
    """What is looked through for a text: a line for each name, folded."""
    return "\n".join(folded(name) for name in names if name)


def numbers_of(given: Recording) -> set[Number]:
    """The numbers of a recording, in both forms; none where a party has no digits."""
    facts = given.facts
    both = ((digits(facts.caller), digits(given.caller_e164)), (digits(facts.callee), digits(given.callee_e164)))
    return {number for number in both if any(number)}


def number_ids(connection: Connection, tenant_id: str, numbers: set[Number]) -> dict[Number, int]:
    """Ids of the tenant's numbers, made where they are new."""
    # In order, so that two transactions that add the same new numbers cannot wait for each other in a circle.
    ordered = sorted(numbers)
    ids = _find_numbers(connection, tenant_id, ordered)
    for _ in range(_ROUNDS):
        missing = [number for number in ordered if number not in ids]
        if not missing:
            return ids
        rows = [
            {
                "tenant_id": tenant_id,
                "digits": written,
                "international": international,
                "digits_reversed": written[::-1],
                "international_reversed": international[::-1],
                "written": f"{written} {international}",
            }
            for written, international in missing
        ]
        connection.execute(_add_number(connection.dialect.name), rows)
        # One that another has just added may be gone again, with its only recording.
        ids |= _find_numbers(connection, tenant_id, missing)
    raise CatalogueUnavailable("Others keep adding and deleting the same numbers. Nothing was added; try it again.")


def _find_numbers(connection: Connection, tenant_id: str, numbers: list[Number]) -> dict[Number, int]:
    asked = {"tenant_id": tenant_id, "digits": sorted({written for written, _ in numbers})}
    return {(row.digits, row.international): row.id for row in connection.execute(_NUMBERS, asked)}


def count_days(connection: Connection, tenant_id: str, recordings: Iterable[Recording], *, sign: int) -> None:
    """Add the recordings to the totals of their days, or take them off."""
    totals: dict[str, list[int]] = {}
    for given in recordings:
        total = totals.setdefault(given.day, [0, 0, 0])
        total[0] += sign
        total[1] += sign * given.stored_bytes
        total[2] += sign * given.duration_ms
    if not totals:
        return
    rows = [
        {"tenant_id": tenant_id, "day": day, "recordings": n, "stored_bytes": size, "duration_ms": milliseconds}
        for day, (n, size, milliseconds) in sorted(totals.items())
    ]
    connection.execute(_add_total(connection.dialect.name), rows)
