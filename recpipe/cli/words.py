"""What people type, understood: tenants by name, times as people write them, codes out of texts, passwords."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from recpipe import times
from recpipe.access.principal import operator
from recpipe.errors import InputInvalid, NotFound

if TYPE_CHECKING:
    from recpipe.model import Tenant
    from recpipe.wiring import Parts

# As `keys.challenge` writes it, and earlier versions did; people paste the whole text around it.
_CODE = re.compile(r"(?<![0-9A-Za-z])[0-9A-Za-z]{4}(?:-[0-9A-Za-z]{4}){5,7}(?![0-9A-Za-z])", re.ASCII)
MOST_STDIN = 1 << 20

AskPassword = Annotated[bool, typer.Option("--ask-password", help="Type a password, twice and unseen.")]
Limit = Annotated[int, typer.Option(min=1, max=1000, metavar="N", help="At most so many.")]
Cursor = Annotated[str, typer.Option(metavar="CURSOR", help='Go on: "next" of the page before.', show_default=False)]
PasswordStdin = Annotated[bool, typer.Option("--password-stdin", help="Read a password from standard input.")]


class OnOff(StrEnum):
    ON = "on"
    OFF = "off"


def tenant_named(parts: Parts, word: str) -> Tenant:
    """The tenant with this short name, alias or id.

    Raises:
        NotFound: there is none; the message proposes near ones.
    """
    try:
        return parts.reader.tenant_named(operator(), word)
    except NotFound:
        every = parts.reader.tenants(operator())
    raise Unknown.of("tenant", word, [tenant.name for tenant in every])


class Unknown(NotFound):
    """Nothing is called that; what comes near is in the message."""

    def __init__(self, what: str, which: str, near: Sequence[str] = (), *, command: str = "") -> None:
        super().__init__(what, which)
        command = command or what.lower().replace(" ", "-")
        hint = f" Did you mean {', '.join(near)}?" if near else f" recpipe {command} list shows what there is."
        self.args = (f"There is no {what} {which}.{hint}",)

    @classmethod
    def of(cls, what: str, which: str, known: Iterable[str]) -> Unknown:
        """With those of the known names that come near."""
        return cls(what, which, difflib.get_close_matches(which, list(known), n=3))


def moment(field: str, written: str | None, timezone: str, *, whole_day: bool = False) -> datetime | None:
    """A time in UTC out of what a person typed.

    Args:
        field: the option, for the message.
        timezone: IANA zone of dates, and of times without an offset.
        whole_day: a date means its end, not its beginning.

    Raises:
        InputInvalid: it is no date or time.
    """
    if not written:
        return None
    try:
        return times.from_iso(written, ZoneInfo(timezone), whole_day=whole_day)
    except ValueError:
        raise InputInvalid(
            field, f"{written[:60]!r} is no time ({field}). Write 2025-03-27, 2025-03-27T09:25 or 2025-03-27T09:25:17Z."
        ) from None


def code_in(answer: str) -> str:
    """The code of an opened challenge, whether it stands alone or within the whole text."""
    found = _CODE.search(answer)
    return found[0] if found else answer.strip()


def read_input(path: str, most: int = MOST_STDIN) -> bytes:
    """A file, or with "-" standard input; at most a little more than anything that is looked for in it.

    Raises:
        InputInvalid: it cannot be read.
    """
    try:
        if path == "-":
            return sys.stdin.buffer.read(most)
        with open(path, "rb") as source:  # noqa: PTH123 - the same words for both
            return source.read(most)
    except OSError as error:
        raise InputInvalid("file", f"{path} cannot be read: {error.strerror}.") from None


def password_from_stdin() -> str:
    """The first line of standard input, without its line end."""
    return sys.stdin.readline().rstrip("\r\n")


def chosen_password(*, ask: bool, stdin: bool, make: bool = False) -> str | None:
    """A password that a person gave; None where one is to be made.

    Raises:
        InputInvalid: several ways were named at once, or nothing was given.
    """
    if ask + stdin + make > 1:
        raise InputInvalid("password", "Name one way to a password: ask for it, read it, or have one made.")
    if ask:
        typed: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        return typed
    if not stdin:
        return None
    given = password_from_stdin()
    if not given:
        raise InputInvalid("password", "There was no password on standard input.")
    return given


def within_words(given: Iterable[str]) -> list[str]:
    """What was written as `a,b` or named several times, one by one."""
    return [word.strip() for words in given for word in words.split(",") if word.strip()]
