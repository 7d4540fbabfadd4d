"""The languages that people are spoken to in: which there are, which one it is, and what a text is called in it.

A language is a catalogue in `locales/`; English is what stands in the code. Catalogues are read when somebody first
speaks their language, and so is Babel, which knows how a language writes numbers and dates.
"""

from __future__ import annotations

import gettext
import io
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date, datetime
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from recpipe.messages import Filling, Message

if TYPE_CHECKING:
    from babel.core import Locale

ENGLISH = "en"
CHOICE = "language"  # among the contact details of a user; "" or none: as the browser says


class _Spoken:
    """What is spoken in one request. The threads of a request share it, so that who signs in can still be heard."""

    __slots__ = ("language",)

    def __init__(self, language: str) -> None:
        self.language = language


_spoken: ContextVar[_Spoken | None] = ContextVar("spoken", default=None)


# --- which ------------------------------------------------------------------------------------------------


@cache
def known() -> tuple[str, ...]:
    """Every language there is, English first."""
    here = files("recpipe").joinpath("locales").iterdir()
    return ENGLISH, *sorted(one.name.removesuffix(".po") for one in here if one.name.endswith(".po"))


@cache
def names() -> dict[str, str]:
    """Each in its own words: "English", "Deutsch"."""
    return {one: (_locale(one).get_language_name() or one).capitalize() for one in known()}


def best_of(accept_language: str) -> str:
    """The language that a browser likes best of those there are; English where it names none of them.

    Source: RFC 9110 section 12.5.4, RFC 4647 section 3.4 (lookup).
    """
    wanted: list[tuple[float, int, str]] = []
    for part in accept_language[:500].split(","):
        tag, _, weight = part.partition(";")
        try:
            quality = float(weight.strip().removeprefix("q=")) if weight.strip() else 1.0
        except ValueError:
            continue
        if quality > 0:
            wanted.append((-quality, len(wanted), tag.strip().lower().partition("-")[0]))
    return next((tag for _, _, tag in sorted(wanted) if tag in known()), ENGLISH)


def current() -> str:
    """The language that is spoken now."""
    spoken = _spoken.get()
    return ENGLISH if spoken is None else spoken.language


def listen(accept_language: str) -> None:
    """Speak what a browser asks for, until the end of this request."""
    _spoken.set(_Spoken(best_of(accept_language)))


def prefer(choice: str | None) -> None:
    """Speak what a person chose, for the rest of the request; a choice of none or of what is gone changes nothing."""
    spoken = _spoken.get()
    if spoken is not None and choice in known():
        spoken.language = choice


@contextmanager
def speaking(language: str | None) -> Iterator[None]:
    """Speak this language for a while, as in a letter; where it is none of those there are, go on as before."""
    before = _spoken.set(_Spoken(language if language in known() else current()))
    try:
        yield
    finally:
        _spoken.reset(before)


# --- what a text is called ----------------------------------------------------------------------------------


def said(text: str) -> str:
    """A text in the language that is spoken; what is no message stays as it is: names, what somebody typed."""
    language = current()
    if language == ENGLISH or not isinstance(text, Message):
        return text
    words = catalogue(language)
    found = words.ngettext(text.text, text.many, text.amount) if text.many else words.gettext(text.text)
    return _filling.vformat(found, (), text.values) if text.values else found


def _shown(value: object, form: str) -> str:
    if isinstance(value, str):
        return format(said(value), form)
    if isinstance(value, int) and form == ",":
        return number(value)
    return format(value, form)


_filling = Filling(_shown)


@cache
def catalogue(language: str) -> gettext.NullTranslations:
    """The texts of a language; it takes a tenth of a second the first time."""
    from babel.messages.mofile import write_mo

    compiled = io.BytesIO()
    write_mo(compiled, po(language))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def po(language: str) -> Any:
    """The catalogue as it is kept: of Babel, with the places of each text."""
    from babel.messages.pofile import read_po

    return read_po(io.BytesIO(kept(language)), locale=language)


def kept(language: str) -> bytes:
    """The file of a catalogue."""
    return files("recpipe").joinpath("locales", f"{language}.po").read_bytes()


# For templates: see jinja2.ext.i18n.


def gettext_of(text: str) -> str:
    language = current()
    return text if language == ENGLISH or not text else catalogue(language).gettext(text)


def ngettext_of(one: str, many: str, count: int) -> str:
    language = current()
    if language == ENGLISH:
        return one if count == 1 else many
    return catalogue(language).ngettext(one, many, count)


def pgettext_of(context: str, text: str) -> str:
    language = current()
    return text if language == ENGLISH else catalogue(language).pgettext(context, text)


# --- how numbers and dates are written ------------------------------------------------------------------------


@cache
def _locale(language: str) -> Locale:
    from babel.core import Locale

    # Dates as the British write them are the ones of the pages.
    return Locale.parse("en_GB" if language == ENGLISH else language)


def direction() -> str:
    """`ltr` or `rtl`."""
    language = current()
    return "ltr" if language == ENGLISH else str(_locale(language).text_direction)


def number(value: float) -> str:
    """With the separators of the language."""
    language = current()
    if language == ENGLISH:
        return f"{value:,}"
    from babel.numbers import format_decimal

    return format_decimal(value, locale=_locale(language))


def decimal(written: str) -> str:
    """A number that is written with a point, such as 1.5, with the mark of the language."""
    language = current()
    return written if language == ENGLISH else written.replace(".", _locale(language).number_symbols["latn"]["decimal"])


# What the pages ask for in the words of strftime, and the fields of CLDR that say the same (UTS 35, date skeletons).
_FIELDS = {"%a": "E", "%A": "EEEE", "%-d": "d", "%b": "MMM", "%B": "MMMM", "%Y": "y"}


def written(moment: datetime | date, form: str) -> str:
    """A date or a time as strftime writes it, in the order and with the names of the language.

    Args:
        form: a date, a time, or both with ", " between them; times are the same everywhere.
    """
    language = current()
    if language == ENGLISH:
        return moment.strftime(form)
    day, comma, clock = form.rpartition(", ") if "%H" in form else (form, "", "")
    if "%H" in form and not comma:
        day, comma, clock = form.rpartition(" ") if "%Y" in form else ("", "", form)
    parts = [_day(moment, day, language)] if day else []
    return ", ".join([*parts, moment.strftime(clock)] if clock else parts)


def _day(moment: datetime | date, form: str, language: str) -> str:
    from babel.dates import format_skeleton

    fields = [_FIELDS.get(part) for part in form.split()]
    if None in fields:
        return moment.strftime(form)
    skeleton = "".join(sorted((one for one in fields if one), key=lambda one: "yMEd".index(one[0])))
    at = moment if isinstance(moment, datetime) else datetime(moment.year, moment.month, moment.day)
    return format_skeleton(skeleton, at.replace(tzinfo=None), locale=_locale(language))
