"""The one rule that decides whether a call is to be recorded. No I/O, no clock: the same question, the same ruling.

A call meets rules on its way: coming in, that of the called number and then those of the extensions it reaches; going
out or staying inside, those of its extensions. A rule that says `default` says nothing.

1. Of the locked rules that say something, the last on the way decides: the one nearest to the person.
2. Without any, the first rule on the way that says something decides.
3. Without any, the service's own word does.
4. Nobody is recorded while the call recording add-on is off: `record` becomes `default`. A `skip` stays.

Rules 1 and 2 are what FreePBX does with force and never, and with yes and no, so that one call is judged alike by both.

Source: FreePBX callrecording module, functions.inc.php (`sub-record-check`); Sangoma, "Call Recording Walk Through".
"""

from __future__ import annotations

from collections.abc import Iterator

from recpipe import numbers
from recpipe.model import CallAsked, CallPolicy, Direction, Extension, InboundRoute, Ruling, Verdict

SERVICE = "service"
ADD_ON_OFF = "add-on-off"


def judge(policy: CallPolicy, asked: CallAsked) -> Ruling:
    """What is to be done with a call, and the id of the rule that says so."""
    said = [rule for rule in _on_the_way(policy, asked) if rule.verdict is not Verdict.DEFAULT]
    locked = [rule for rule in said if rule.locked]
    if locked:
        ruling = locked[-1]
    elif said:
        ruling = said[0]
    else:
        ruling = Ruling(policy.service.otherwise, SERVICE)
    if ruling.verdict is Verdict.RECORD and not policy.enabled:
        return Ruling(Verdict.DEFAULT, ADD_ON_OFF)
    return ruling


def route_of(policy: CallPolicy, written: str) -> InboundRoute | None:
    """The route of a called number, however a PBX writes it."""
    if not written:
        return None
    found = policy.routes.get(number_of(written, policy.region)) or policy.routes.get(written)
    # A national number that is none of this region's: some PBXs write +61 2 9999 0000 as 61299990000.
    return found or policy.routes.get("+" + numbers.digits(written))


def number_of(written: str, region: str) -> str:
    """A called number as the rules name it: E.164 where it is a valid number, else as it was written."""
    return numbers.e164(written, region) or written.strip()


def extension_rule(extension: Extension, direction: Direction) -> Ruling:
    """What an extension says of calls of one direction."""
    verdict = {
        Direction.INBOUND: extension.inbound,
        Direction.OUTBOUND: extension.outbound,
        Direction.INTERNAL: extension.internal,
    }.get(direction, Verdict.DEFAULT)
    return Ruling(verdict, f"extension:{extension.extension}:{direction.value}", extension.locked)


def _on_the_way(policy: CallPolicy, asked: CallAsked) -> Iterator[Ruling]:
    if asked.direction is Direction.INBOUND and (route := route_of(policy, asked.route)) is not None:
        yield Ruling(route.recording, f"route:{route.number}", route.locked)
    for named in asked.extensions:
        if (extension := policy.extensions.get(named)) is not None:
            yield extension_rule(extension, asked.direction)
