"""Whether a call is to be recorded: the one rule, as a table and as laws."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recpipe.model import CallAsked, CallPolicy, Direction, Extension, InboundRoute, ServicePolicy, Verdict
from recpipe.policy.judge import judge, route_of

NUMBER = "+61299990000"
RECORD, SKIP, DEFAULT = Verdict
INBOUND, OUTBOUND, INTERNAL = Direction.INBOUND, Direction.OUTBOUND, Direction.INTERNAL


def policy(
    route: tuple[Verdict, bool] | None = None,
    first: tuple[Verdict, bool] | None = None,
    second: tuple[Verdict, bool] | None = None,
    otherwise: Verdict = DEFAULT,
    enabled: bool = True,
) -> CallPolicy:
    """A service with at most one route and two extensions, each of which says the same of every direction."""
    extensions = {
        name: Extension(name, outbound=said[0], inbound=said[0], internal=said[0], locked=said[1])
        for name, said in (("201", first), ("202", second))
        if said
    }
    routes = {NUMBER: InboundRoute(NUMBER, recording=route[0], locked=route[1])} if route else {}
    return CallPolicy("a" * 32, 1, None, ServicePolicy(otherwise), routes, extensions, enabled, "AU")


CALL_IN = CallAsked(INBOUND, NUMBER, ("201", "202"))
FREE, LOCKED = False, True

TABLE = {
    "nothing is set": (policy(), CALL_IN, DEFAULT, "service"),
    "the service records": (policy(otherwise=RECORD), CALL_IN, RECORD, "service"),
    "the service skips": (policy(otherwise=SKIP), CALL_IN, SKIP, "service"),
    "a route alone": (policy((RECORD, FREE)), CALL_IN, RECORD, f"route:{NUMBER}"),
    "an extension alone": (policy(None, (SKIP, FREE)), CALL_IN, SKIP, "extension:201:inbound"),
    "a rule beats the service": (policy((SKIP, FREE), otherwise=RECORD), CALL_IN, SKIP, f"route:{NUMBER}"),
    "default leaves it to the next": (
        policy((DEFAULT, FREE), (DEFAULT, FREE), (RECORD, FREE)),
        CALL_IN,
        RECORD,
        "extension:202:inbound",
    ),
    "the first of two free rules": (policy((RECORD, FREE), (SKIP, FREE)), CALL_IN, RECORD, f"route:{NUMBER}"),
    "of two extensions the first": (
        policy(None, (SKIP, FREE), (RECORD, FREE)),
        CALL_IN,
        SKIP,
        "extension:201:inbound",
    ),
    "a lock beats what comes first": (
        policy((RECORD, FREE), (SKIP, LOCKED)),
        CALL_IN,
        SKIP,
        "extension:201:inbound",
    ),
    "a lock beats what comes later": (policy((RECORD, LOCKED), (SKIP, FREE)), CALL_IN, RECORD, f"route:{NUMBER}"),
    "the last of two locks": (
        policy((RECORD, LOCKED), (SKIP, LOCKED), (RECORD, LOCKED)),
        CALL_IN,
        RECORD,
        "extension:202:inbound",
    ),
    "a lock that says nothing": (policy((DEFAULT, LOCKED), (SKIP, FREE)), CALL_IN, SKIP, "extension:201:inbound"),
    "a route says nothing of calls out": (
        policy((RECORD, LOCKED), (SKIP, FREE)),
        CallAsked(OUTBOUND, NUMBER, ("201",)),
        SKIP,
        "extension:201:outbound",
    ),
    "nor of calls inside": (
        policy((RECORD, LOCKED), otherwise=SKIP),
        CallAsked(INTERNAL, NUMBER, ("201", "202")),
        SKIP,
        "service",
    ),
    "nor of calls of which nobody knows": (
        policy((RECORD, LOCKED), (RECORD, LOCKED), otherwise=SKIP),
        CallAsked(Direction.UNKNOWN, NUMBER, ("201",)),
        SKIP,
        "service",
    ),
    "inside, the caller first": (
        policy(None, (RECORD, FREE), (SKIP, FREE)),
        CallAsked(INTERNAL, "", ("201", "202")),
        RECORD,
        "extension:201:internal",
    ),
    "an extension that nobody knows": (policy(otherwise=RECORD), CallAsked(OUTBOUND, "", ("999",)), RECORD, "service"),
    "the add-on is off": (policy((RECORD, LOCKED), enabled=False), CALL_IN, DEFAULT, "add-on-off"),
    "the add-on is off, and the service would record": (
        policy(otherwise=RECORD, enabled=False),
        CALL_IN,
        DEFAULT,
        "add-on-off",
    ),
    "the add-on is off, and a rule skips": (
        policy((SKIP, FREE), enabled=False),
        CALL_IN,
        SKIP,
        f"route:{NUMBER}",
    ),
}


@pytest.mark.parametrize("case", TABLE)
def test_the_rule_decides_as_the_table_says(case: str) -> None:
    given_policy, asked, verdict, rule = TABLE[case]
    ruling = judge(given_policy, asked)
    assert (ruling.verdict, ruling.rule) == (verdict, rule)


def test_each_direction_has_its_own_word() -> None:
    there = CallPolicy("a" * 32, extensions={"201": Extension("201", "", "", RECORD, SKIP, DEFAULT)})
    said = {direction: judge(there, CallAsked(direction, "", ("201",))).verdict for direction in Direction}
    assert said == {OUTBOUND: RECORD, INBOUND: SKIP, INTERNAL: DEFAULT, Direction.UNKNOWN: DEFAULT}


@pytest.mark.parametrize(
    "written",
    [
        "+61299990000",
        "61299990000",
        "0299990000",
        "(02) 9999 0000",
        "0061299990000",
        "sip:+61299990000@pbx",
        "011 61 2 9999 0000",
    ],
)
def test_a_route_is_found_however_its_number_is_written(written: str) -> None:
    assert route_of(policy((RECORD, FREE)), written) is not None


@pytest.mark.parametrize("written", ["", "299990001", "anonymous", "+", "s", "\0", "0" * 5000])
def test_no_other_number_finds_it(written: str) -> None:
    assert route_of(policy((RECORD, FREE)), written) is None


def test_a_route_that_is_no_number_is_found_by_its_name_alone() -> None:
    there = CallPolicy("a" * 32, routes={"from-pstn": InboundRoute("from-pstn", recording=RECORD)})
    assert judge(there, CallAsked(INBOUND, "from-pstn")).rule == "route:from-pstn"
    assert judge(there, CallAsked(INBOUND, "from-pst")).rule == "service"


# --- laws ---------------------------------------------------------------------------------------------------------

rules = st.none() | st.tuples(st.sampled_from(Verdict), st.booleans())
policies = st.builds(policy, rules, rules, rules, st.sampled_from(Verdict), st.booleans())
calls = st.builds(
    CallAsked,
    st.sampled_from(Direction),
    st.sampled_from([NUMBER, "0299990000", "", "elsewhere"]),
    st.lists(st.sampled_from(["201", "202", "203"]), max_size=3).map(tuple),
)


@settings(deadline=None)
@given(policies, calls)
def test_one_rule_is_named_and_it_says_what_was_decided(there: CallPolicy, asked: CallAsked) -> None:
    ruling = judge(there, asked)
    kind, _, rest = ruling.rule.partition(":")
    if kind == "route":
        assert asked.direction is INBOUND
        assert (ruling.verdict, ruling.locked) == (there.routes[rest].recording, there.routes[rest].locked)
    elif kind == "extension":
        name, _, direction = rest.partition(":")
        held = there.extensions[name]
        assert name in asked.extensions and direction == asked.direction.value
        assert (ruling.verdict, ruling.locked) == (getattr(held, direction), held.locked)
    elif kind == "service":
        assert (ruling.verdict, ruling.locked) == (there.service.otherwise, False)
    else:
        assert (ruling.verdict, ruling.rule, ruling.locked) == (DEFAULT, "add-on-off", False)


@settings(deadline=None)
@given(policies, calls)
def test_nobody_is_recorded_while_the_add_on_is_off_and_no_skip_is_lost_by_that(
    there: CallPolicy, asked: CallAsked
) -> None:
    on, off = (judge(replace(there, enabled=enabled), asked).verdict for enabled in (True, False))
    assert off is (DEFAULT if on is RECORD else on)


@settings(deadline=None)
@given(policies, calls)
def test_a_lock_is_overruled_by_locks_alone(there: CallPolicy, asked: CallAsked) -> None:
    """Whatever unlocked rules say, the answer is the same as soon as a locked rule on the way says something."""
    there = replace(there, enabled=True)
    if judge(there, asked).locked:
        free = {
            n: replace(e, outbound=SKIP, inbound=SKIP, internal=SKIP) if not e.locked else e
            for n, e in there.extensions.items()
        }
        assert judge(replace(there, extensions=free), asked) == judge(there, asked)


@settings(deadline=None)
@given(policies, calls)
def test_asking_again_when_more_is_known_changes_nothing_but_by_a_lock(there: CallPolicy, asked: CallAsked) -> None:
    """A PBX asks when the number is known and again when the extension is: what is begun is stopped by a lock alone."""
    there = replace(there, enabled=True)
    early = judge(there, replace(asked, extensions=()))
    late = judge(there, asked)
    assert early.rule == "service" or late == early or late.locked
