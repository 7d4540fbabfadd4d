"""Rules as pending changes keep them, plain values by name, and what may stand in them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from recpipe.access.checks import check_text
from recpipe.errors import InputInvalid
from recpipe.messages import message
from recpipe.model import Extension, InboundRoute, ServicePolicy, Verdict
from recpipe.policy.judge import number_of
from recpipe.times import check_timezone

Values = Mapping[str, object]

NONE: Values = {}  # of a rule that is not there, or is to be removed
MOST_RULES = 20_000  # routes or extensions of one tenant
LONGEST_SUBJECT = 64

_SUBJECT = re.compile(rf"[A-Za-z0-9*#+][A-Za-z0-9._+*#@-]{{0,{LONGEST_SUBJECT - 1}}}", re.ASCII)
# Written into dialplans, where it is the name of a file below the folder of sounds.
_SOUND = re.compile(r"(?:[A-Za-z0-9_-]+/)*[A-Za-z0-9_-]+", re.ASCII)
_BEEPS = range(5, 301)
_VERDICTS = {one.value: one for one in Verdict}


def check_number(written: str, region: str) -> str:
    """The number of a route as rules name it.

    Raises:
        InputInvalid: it is none, and no name that a PBX could call a route by.
    """
    return check_subject("number", number_of(check_text("number", written, LONGEST_SUBJECT), region))


def check_extension(written: str) -> str:
    """The name of an extension.

    Raises:
        InputInvalid: no extension can have it.
    """
    return check_subject("extension", check_text("extension", written, LONGEST_SUBJECT))


def of_route(route: InboundRoute | None) -> Values:
    """What a change keeps of a route."""
    if route is None:
        return NONE
    recording = route.recording.value
    return {"name": route.name, "timezone": route.timezone, "recording": recording, "locked": route.locked}


def route(number: str, values: Values) -> InboundRoute:
    """The route of these values.

    Raises:
        InputInvalid: one of them cannot be.
    """
    timezone = _text("timezone", values)
    if timezone:
        try:
            check_timezone(timezone)
        except ValueError as error:
            raise InputInvalid("timezone", error.args[0]) from None
    recording = verdict("recording", values.get("recording", Verdict.DEFAULT))
    return InboundRoute(number, _text("name", values), timezone, recording, bool(values.get("locked")))


def of_extension(extension: Extension | None) -> Values:
    """What a change keeps of an extension."""
    if extension is None:
        return NONE
    return {
        "name": extension.name,
        "office": extension.office,
        "outbound": extension.outbound.value,
        "inbound": extension.inbound.value,
        "internal": extension.internal.value,
        "locked": extension.locked,
    }


def extension(name: str, values: Values) -> Extension:
    """The extension of these values.

    Raises:
        InputInvalid: one of them cannot be.
    """
    return Extension(
        extension=name,
        name=_text("name", values),
        office=_text("office", values),
        outbound=verdict("outbound", values.get("outbound", Verdict.DEFAULT)),
        inbound=verdict("inbound", values.get("inbound", Verdict.DEFAULT)),
        internal=verdict("internal", values.get("internal", Verdict.DEFAULT)),
        locked=bool(values.get("locked")),
    )


def of_service(service: ServicePolicy) -> Values:
    """What a change keeps of what holds for the whole service."""
    return {
        "otherwise": service.otherwise.value,
        "unanswered": service.unanswered.value,
        "beep_seconds": service.beep_seconds,
        "announcement": service.announcement,
    }


def service(values: Values) -> ServicePolicy:
    """What holds for the whole service, of these values.

    Raises:
        InputInvalid: one of them cannot be.
    """
    beep, announcement = values.get("beep_seconds", 0), _text("announcement", values)
    if not isinstance(beep, int) or (beep and beep not in _BEEPS):
        raise InputInvalid("beep_seconds", "A tone is played every 5 to 300 seconds, or with 0 never.")
    if announcement and _SOUND.fullmatch(announcement) is None:
        raise InputInvalid(
            "announcement", "Name a sound of the PBX, such as custom/recorded: letters, digits, hyphens, slashes."
        )
    return ServicePolicy(
        otherwise=verdict("otherwise", values.get("otherwise", Verdict.DEFAULT)),
        unanswered=verdict("unanswered", values.get("unanswered", Verdict.DEFAULT)),
        beep_seconds=beep,
        announcement=announcement,
    )


def verdict(field: str, value: object) -> Verdict:
    """One of the three words.

    Raises:
        InputInvalid: it is none of them.
    """
    if isinstance(value, str) and (known := _VERDICTS.get(value)) is not None:
        return known
    try:
        return Verdict(str(value).strip().lower())
    except ValueError:
        raise InputInvalid(
            field, message("{field} is record, skip or default, not {value!r}.", field=field, value=str(value)[:40])
        ) from None


def is_subject(written: str) -> bool:
    """Whether a rule may be about this, just as it is written."""
    return _SUBJECT.fullmatch(written) is not None


def check_subject(field: str, written: str) -> str:
    """What a rule is about, when it may be that, just as it is written.

    Raises:
        InputInvalid: it may not.
    """
    if not is_subject(written):
        raise InputInvalid(
            field,
            message(
                "{written!r} is no {field}. Use up to 64 letters, digits and . _ + * # @ -, as the PBX writes it.",
                written=written[:40],
                field=field,
            ),
        )
    return written


def _text(field: str, values: Values) -> str:
    return check_text(field, str(values.get(field, "")))
