"""How folders look to clients: MLSD, LIST and NLST lines, a block at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

FACTS = ("type", "size", "modify", "perm", "unique")
DEFAULT_FACTS = ("type", "size", "modify", "perm")

# A block is what one send carries. Small enough that a listing of 100,000 lets other sessions in between.
LINES_A_BLOCK = 64

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_YEAR_INSTEAD_OF_TIME = timedelta(days=180)


class Entry(NamedTuple):
    """One line of a listing. A tuple: 100,000 of them are made for one folder."""

    name: str
    size_bytes: int
    modified_at: datetime  # aware, UTC
    is_folder: bool = False
    perm: str = "r"
    unique: str = ""


def mlsx_facts(entry: Entry, facts: Collection[str]) -> str:
    """The facts of one entry, without the name. Source: RFC 3659 section 7.5."""
    shown = ""
    if "type" in facts:
        shown += "type=dir;" if entry.is_folder else "type=file;"
    if "size" in facts and not entry.is_folder:
        shown += f"size={entry.size_bytes};"
    if "modify" in facts:
        shown += f"modify={timestamp(entry.modified_at)};"
    if "perm" in facts:
        shown += f"perm={entry.perm};"
    if "unique" in facts and entry.unique:
        shown += f"unique={entry.unique};"
    return shown


def mlsd(entries: Iterable[Entry], facts: Collection[str]) -> Iterator[bytes]:
    """Blocks of MLSD lines."""
    if tuple(facts) == DEFAULT_FACTS:
        return _blocks(map(_default_mlsd_line, entries))
    return _blocks(f"{mlsx_facts(entry, facts)} {entry.name}\r\n" for entry in entries)


def unix(entries: Iterable[Entry], now: datetime) -> Iterator[bytes]:
    """Blocks of lines as `ls -l` prints them, which is what clients parse; times are UTC."""
    return _blocks(_unix_line(entry, now) for entry in entries)


def names(entries: Iterable[Entry], prefix: str = "") -> Iterator[bytes]:
    """Blocks of NLST lines: names alone, behind `prefix`."""
    return _blocks(f"{prefix}{entry.name}\r\n" for entry in entries)


def timestamp(moment: datetime) -> str:
    """YYYYMMDDHHMMSS in UTC. Source: RFC 3659 section 2.3; the optional fraction breaks some clients."""
    at = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return f"{at.year:04}{at.month:02}{at.day:02}{at.hour:02}{at.minute:02}{at.second:02}"


def _default_mlsd_line(entry: Entry) -> str:
    name, size, at, is_folder, perm, _ = entry
    if is_folder or at.tzinfo is not UTC:
        return f"{mlsx_facts(entry, DEFAULT_FACTS)} {name}\r\n"
    # As `timestamp`, in one go.
    return (
        f"type=file;size={size};modify={at.year:04}{at.month:02}{at.day:02}{at.hour:02}{at.minute:02}{at.second:02};"
        f"perm={perm}; {name}\r\n"
    )


def _unix_line(entry: Entry, now: datetime) -> str:
    at = entry.modified_at
    when = f"{at.hour:02}:{at.minute:02}" if abs(now - at) < _YEAR_INSTEAD_OF_TIME else f" {at.year:04}"
    mode, links = ("dr-xr-xr-x", 2) if entry.is_folder else ("-r--r--r--", 1)
    size, month = entry.size_bytes, _MONTHS[at.month - 1]
    return f"{mode} {links} recpipe  recpipe  {size:12} {month} {at.day:2} {when} {entry.name}\r\n"


def _blocks(lines: Iterable[str]) -> Iterator[bytes]:
    block: list[str] = []
    for line in lines:
        block.append(line)
        if len(block) >= LINES_A_BLOCK:
            yield "".join(block).encode("utf-8", "replace")
            block.clear()
    if block:
        yield "".join(block).encode("utf-8", "replace")
