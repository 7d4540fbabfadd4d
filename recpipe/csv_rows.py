"""Rows of CSV with no cell that a spreadsheet calculates.

Source: RFC 4180; OWASP, "CSV Injection".
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

BOM = "\ufeff"  # what makes Excel read UTF-8

# A spreadsheet splits at its own country's separator, quoted or not, and begins a row at any line break.
_SEPARATORS = ";|\uff1b\uff5c\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029"
# What is not seen, or dropped, before a formula: quotes, white space, control, format and filling characters.
_UNSEEN = (
    '" \\x00-\\x08\\x0e-\\x1b\\x1f\\x7f-\\x84\\x86-\\xa0\\xad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f'
    "\u2000-\u200f\u202a-\u202f\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# = + - @, and what is taken for them: full-width, small, raised and lowered forms, and the minus of typographers.
_MARKS = "=+\\-@\uff1d\uff0b\uff0d\uff20\ufe62\ufe63\ufe66\ufe6b\u207a-\u207c\u208a-\u208c\u2212"
# Digits that a spreadsheet takes for a number and shows as another: without the 0 before them, or rounded.
_CHANGED = re.compile(r"0[0-9]+|[0-9]{12,}")
_FORMULA = re.compile(f"(^|[{_SEPARATORS}])(?=[{_UNSEEN}]*[{_MARKS}])")


def cell(value: object) -> object:
    """A value that no spreadsheet calculates: in text an apostrophe stands before what would be a formula.

    That is also what follows a separator or a line break inside the text, and telephone numbers with a plus: without
    the apostrophe a spreadsheet would drop the plus and round the number. So stand those that begin with 0 or are long.
    """
    if not isinstance(value, str):
        return value
    text = f"'{value}" if _CHANGED.fullmatch(value) else _FORMULA.sub(r"\1'", value)
    return "'" + text if text.startswith(("\t", "\r", "\n")) else text


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """The rows, all cells quoted, none of which a spreadsheet calculates."""
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL).writerows([cell(value) for value in row] for row in rows)
    return out.getvalue()
