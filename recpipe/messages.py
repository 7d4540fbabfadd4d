"""Texts that people read: English as it stands, which a page or a letter can say in another language.

Programs, logs and the audit log get what `str` gives them, which is English. What speaks to one person asks
`recpipe.languages` for the same text in theirs.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping


class Message(str):
    """A text in English, with its values filled in.

    Attributes:
        text: as it is looked up, with `{name}` where a value stands.
        many: the same for another count than one; "" where nothing is counted.
        amount: decides between the two.
        values: what is filled in, by name; themselves translated where they are messages.
    """

    __slots__ = ("amount", "many", "text", "values")

    text: str
    many: str
    amount: int
    values: Mapping[str, object]

    def __new__(cls, text: str, values: Mapping[str, object] | None = None, many: str = "", count: int = 1) -> Message:
        chosen = many if many and count != 1 else text
        made = super().__new__(cls, string.Formatter().vformat(chosen, (), values) if values else chosen)
        made.text, made.many, made.amount, made.values = text, many, count, values or {}
        return made


def message(text: str, /, **values: object) -> Message:
    """A text to be shown. `scripts/languages` finds it by this call, or by the name of an error that makes one."""
    return text if isinstance(text, Message) and not values else Message(text, values)


def counted(one: str, many: str, count: int, /, **values: object) -> Message:
    """A text that depends on how many there are; `{count}` or `{count:,}` is the number."""
    return Message(one, {"count": count, **values}, many, count)


class Filling(string.Formatter):
    """Fills values in where another language writes them otherwise.

    Args:
        shown: how a value looks there, by the value and its format, such as ",".
    """

    def __init__(self, shown: Callable[[object, str], str]) -> None:
        self._shown = shown

    def format_field(self, value: object, format_spec: str) -> str:
        return self._shown(value, format_spec)
