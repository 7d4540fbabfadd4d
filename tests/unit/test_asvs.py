"""docs/asvs.md has every requirement of levels 1 and 2, and what it names exists."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/asvs.md").read_text()

# OWASP ASVS 5.0.0, levels 1 and 2: the section, and its requirements.
SECTIONS = """
1.1:1-2 1.2:1-9 1.3:1-11 1.4:1-3 1.5:1-2
2.1:1-3 2.2:1-3 2.3:1-4 2.4:1-1
3.2:1-2 3.3:1-4 3.4:1-6 3.5:1-5 3.7:1-2
4.1:1-3 4.2:1-1 4.3:1-2 4.4:1-4
5.1:1-1 5.2:1-3 5.3:1-2 5.4:1-3
6.1:1-3 6.2:1-12 6.3:1-4 6.4:1-4 6.5:1-5 6.6:1-3 6.8:1-4
7.1:1-3 7.2:1-4 7.3:1-2 7.4:1-5 7.5:1-2 7.6:1-2
8.1:1-2 8.2:1-3 8.3:1-1 8.4:1-1
9.1:1-3 9.2:1-4
10.1:1-2 10.2:1-2 10.3:1-4 10.4:1-11 10.5:1-5 10.6:1-2 10.7:1-3
11.1:1-2 11.2:1-3 11.3:1-3 11.4:1-4 11.5:1-1 11.6:1-1
12.1:1-3 12.2:1-2 12.3:1-4
13.1:1-1 13.2:1-5 13.3:1-2 13.4:1-5
14.1:1-2 14.2:1-4 14.3:1-3
15.1:1-3 15.2:1-3 15.3:1-7
16.1:1-1 16.2:1-5 16.3:1-4 16.4:1-3 16.5:1-3
17.1:1-1 17.2:1-4 17.3:1-2
"""
WORDS = {"met", "operator", "exception", "n/a", "**no**", "**in part**"}
ROW = re.compile(r"^\| (\d+\.\d+\.\d+(?:[-,] ?\d+\.\d+\.\d+)*) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)

Number = tuple[int, ...]


def numbers() -> list[Number]:
    found: list[Number] = []
    for section in SECTIONS.split():
        name, _, span = section.partition(":")
        first, last = map(int, span.split("-"))
        chapter, part = map(int, name.split("."))
        found += [(chapter, part, one) for one in range(first, last + 1)]
    return found


def meant(cell: str) -> list[Number]:
    """The requirements of a row: one, several, or all from one to another."""
    every, found = numbers(), []
    for part in cell.split(", "):
        first, _, last = part.partition("-")
        low, high = ((tuple(map(int, word.split("."))) if word else None) for word in (first, last))
        found += [one for one in every if one == low or (low and high and low <= one <= high)]
    return found


def test_every_requirement_of_levels_1_and_2_has_its_row() -> None:
    assert len(numbers()) == 253  # of the standard: 70 of level 1, 183 of level 2
    rows = [meant(cell) for cell, *_ in ROW.findall(TEXT)]
    assert sorted(one for row in rows for one in row) == numbers()
    assert len(rows) == len(re.findall(r"^\| \d", TEXT, re.MULTILINE))


def test_every_row_says_whether_it_is_met() -> None:
    assert {state for _, _, state, _ in ROW.findall(TEXT)} <= WORDS


@cache
def _text(path: Path) -> str:
    return path.read_text()


def test_what_it_names_exists() -> None:
    missing = []
    for name in re.findall(r"`([^`\s]+)`", TEXT):
        path, _, test = name.partition("::")
        if "/" not in path or path.startswith("/"):
            continue
        file = ROOT / ("tests" if re.match(r"(unit|integration|acceptance)/", path) else ".") / path
        if not file.exists() or (test and f"def {test}(" not in _text(file)):
            missing.append(name)
    assert not missing
    assert TEXT.count("::test_") > 100
