"""Which calls are recorded, changed as everything at a PBX is: saved, looked at, applied, kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event as sqlalchemy_event

from recpipe.errors import Conflict, Forbidden, InputInvalid, NotFound
from recpipe.model import Extension, InboundRoute, Role, SeenKind, ServicePolicy, Tenant, Verdict
from recpipe.policy import values
from recpipe.tenants.changes import Kind
from recpipe.tenants.routing import CallRouting
from tests.unit.access.world import World

RECORD, SKIP, DEFAULT = Verdict
NUMBER = "+4930123456"
ROUTE = {"name": "Hotline", "timezone": "", "recording": "record", "locked": True}
ANN = {
    "name": "Ann",
    "office": "Berlin",
    "outbound": "record",
    "inbound": "default",
    "internal": "skip",
    "locked": False,
}


@pytest.fixture(params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, "" if request.param == "sqlite" else request.getfixturevalue("postgres_url"))
    yield made
    made.close()


@contextmanager
def statements(world: World) -> Iterator[list[str]]:
    """What is sent to the database meanwhile; one entry for a statement of many rows."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        sent.append(statement)

    engine = world.catalogue._engine
    sqlalchemy_event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        sqlalchemy_event.remove(engine, "before_cursor_execute", note)


def apply_all(world: World, tenant: Tenant) -> int:
    return world.changes.apply(world.root, tenant.id, [c.id for c in world.changes.pending(world.root, tenant.id)])


def policy_of(world: World, tenant: Tenant) -> Any:
    with world.catalogue.read() as work:
        return work.of(tenant.id).policy.whole()


def test_rules_take_effect_when_they_are_applied_and_not_before(world: World) -> None:
    acme = world.tenant()
    with world.catalogue.begin() as work:
        work.of(acme.id).policy.note_seen(SeenKind.EXTENSION, {"201": world.now, "202": world.now})
    world.changes.save(world.root, acme.id, Kind.ROUTE, ROUTE, NUMBER)
    world.changes.save(world.root, acme.id, Kind.EXTENSION, ANN, "201")
    world.changes.save(world.root, acme.id, Kind.SERVICE_POLICY, {"otherwise": "skip", "beep_seconds": 15})
    before = policy_of(world, acme)
    assert (before.version, before.routes, before.extensions) == (0, {}, {})

    assert apply_all(world, acme) == 3

    policy = policy_of(world, acme)
    assert (policy.version, policy.applied_at) == (1, world.now)
    assert policy.routes == {NUMBER: InboundRoute(NUMBER, "Hotline", "", RECORD, True)}
    assert policy.extensions == {"201": Extension("201", "Ann", "Berlin", RECORD, DEFAULT, SKIP)}
    assert policy.service == ServicePolicy(SKIP, beep_seconds=15)
    with world.catalogue.read() as work:
        assert [seen.subject for seen in work.of(acme.id).policy.seen(SeenKind.EXTENSION)] == ["202"]
    # and no number is on the audit log.
    told = [event for event in world.events() if event.action.startswith(("policy.", "change."))]
    assert {event.action for event in told} == {"change.save", "policy.route", "policy.extension", "policy.service"}
    assert not any("4930123456" in repr(event) for event in told)

    world.pass_time(seconds=1)
    world.changes.save(world.root, acme.id, Kind.ROUTE, {}, NUMBER)
    apply_all(world, acme)
    assert (policy_of(world, acme).routes, policy_of(world, acme).version) == ({}, 2)
    assert world.changes.history(world.root, acme.id).items[0].kind == "inbound-route"


def test_switching_the_add_on_is_a_new_version_as_well(world: World) -> None:
    acme = world.tenant()
    world.tenants.set_recording(world.root, acme.id, True, agreed=True)
    assert (policy_of(world, acme).version, policy_of(world, acme).enabled) == (1, True)
    world.changes.save(world.root, acme.id, Kind.RECORDING, {"recording": False})
    apply_all(world, acme)
    assert (policy_of(world, acme).version, policy_of(world, acme).enabled) == (2, False)


UNFIT: list[tuple[Kind, str, dict[str, object], str]] = [
    (Kind.ROUTE, "", ROUTE, "number"),
    (Kind.ROUTE, 'x"; drop', ROUTE, "number"),
    (Kind.ROUTE, "1" * 65, ROUTE, "number"),
    (Kind.ROUTE, NUMBER, {**ROUTE, "recording": "yes"}, "recording"),
    (Kind.ROUTE, NUMBER, {**ROUTE, "timezone": "Berlin"}, "timezone"),
    (Kind.ROUTE, NUMBER, {**ROUTE, "name": "a\nb"}, "name"),
    (Kind.EXTENSION, "2 01", ANN, "extension"),
    (Kind.EXTENSION, "201\n", ANN, "extension"),
    (Kind.EXTENSION, "201", {**ANN, "internal": "never"}, "internal"),
    (Kind.SERVICE_POLICY, "", {"beep_seconds": 1}, "beep_seconds"),
    (Kind.SERVICE_POLICY, "", {"beep_seconds": "15"}, "beep_seconds"),
    (Kind.SERVICE_POLICY, "", {"announcement": "../../etc/passwd"}, "announcement"),
    (Kind.SERVICE_POLICY, "", {"announcement": "a)exten => s"}, "announcement"),
    (Kind.SERVICE_POLICY, "", {"unanswered": ""}, "unanswered"),
]


def test_what_cannot_be_a_rule_is_refused_before_it_is_pending(world: World) -> None:
    acme = world.tenant()
    for kind, subject, wanted, field in UNFIT:
        with pytest.raises(InputInvalid) as refused:
            world.changes.save(world.root, acme.id, kind, wanted, subject)
        assert refused.value.field == field, (subject, wanted)
    assert not world.changes.pending(world.root, acme.id)


def test_a_thousand_extensions_are_a_handful_of_statements(world: World) -> None:
    acme = world.tenant()

    def bulk(wanted: dict[str, dict[str, object]]) -> tuple[int, int]:
        with statements(world) as saving:
            changes = world.changes.save_all(world.root, acme.id, Kind.EXTENSION, wanted)
        ids = [change.id for change in changes]
        with statements(world) as applying:
            assert world.changes.apply(world.root, acme.id, ids) == len(wanted)
        return len(saving), len(applying)

    one = bulk({"201": ANN})
    many = bulk({str(number): ANN for number in range(1000, 2000)})
    again = bulk({str(number): {**ANN, "outbound": "skip"} for number in range(1000, 2000)})
    gone = bulk({str(number): {} for number in range(1000, 2000)})

    assert len(policy_of(world, acme).extensions) == 1 and policy_of(world, acme).version == 4
    for saving, applying in (many, again, gone):
        # PostgreSQL's driver sends some inserts in pages of rows.
        assert saving <= one[0] + 4 and applying <= one[1] + 8, (one, many, again, gone)


def test_a_bulk_change_is_made_whole_or_not_at_all(world: World) -> None:
    acme = world.tenant()
    changes = world.changes.save_all(world.root, acme.id, Kind.EXTENSION, {"201": ANN, "202": ANN})
    with world.catalogue.begin() as work:
        work.of(acme.id).policy.set_extensions([Extension("202", "somebody else's")])
    with pytest.raises(Conflict) as refused:
        world.changes.apply(world.root, acme.id, [change.id for change in changes])
    assert refused.value.reason == "changed-meanwhile"
    assert set(policy_of(world, acme).extensions) == {"202"} and policy_of(world, acme).version == 0


def test_saving_again_amends_and_going_back_takes_the_change_away(world: World) -> None:
    acme = world.tenant()
    three = dict.fromkeys(("201", "202", "203"), ANN)
    world.changes.save_all(world.root, acme.id, Kind.EXTENSION, three)
    apply_all(world, acme)
    world.changes.save_all(world.root, acme.id, Kind.EXTENSION, {name: {**ANN, "name": "x"} for name in three})
    left = world.changes.save_all(world.root, acme.id, Kind.EXTENSION, {"201": ANN, "202": {**ANN, "name": "y"}})
    assert [(change.subject, change.new["name"]) for change in left] == [("202", "y")]
    pending = {change.subject: change.new["name"] for change in world.changes.pending(world.root, acme.id)}
    assert pending == {"202": "y", "203": "x"}


def test_who_may_change_what_sees_and_applies_that_alone(world: World) -> None:
    acme, other = world.tenant(), world.tenant("other")
    world.changes.agree(world.root, acme.id)
    add_on = world.changes.save(world.root, acme.id, Kind.RECORDING, {"recording": True})
    rule = world.changes.save(world.root, acme.id, Kind.EXTENSION, ANN, "201")
    assert add_on is not None and rule is not None
    routing = world.principal(world.user("routing", Role.SERVICE, {acme.id: ["policy"]}))
    keeper = world.principal(world.user("keeper", Role.SERVICE, {acme.id: ["keys"]}))
    client = world.principal(world.user("client", Role.CLIENT, {acme.id: []}))
    reader = world.principal(world.user("reader", Role.SERVICE, {acme.id: ["search"]}))

    kinds = {
        by.name: sorted(change.kind for change in world.changes.pending(by, acme.id))
        for by in (routing, keeper, client)
    }
    assert kinds == {
        "routing": ["extension"],
        "keeper": ["call-recording"],
        "client": ["call-recording", "extension"],
    }
    assert [world.changes.waiting(by) for by in (routing, keeper, client, reader, world.root)] == [1, 1, 2, 0, 2]
    with pytest.raises(Conflict):
        world.changes.apply(routing, acme.id, [add_on.id])
    with pytest.raises(NotFound):
        world.changes.discard(routing, acme.id, add_on.id)
    with pytest.raises(Forbidden):
        world.changes.save(routing, acme.id, Kind.RECORDING, {"recording": True})
    with pytest.raises(Forbidden):
        world.changes.save(keeper, acme.id, Kind.EXTENSION, ANN, "202")
    for by in (reader, routing):
        with pytest.raises((Forbidden, NotFound)):
            world.changes.pending(by, acme.id if by is reader else other.id)
    assert world.changes.apply(routing, acme.id, [rule.id]) == 1
    assert [change.id for change in world.changes.history(routing, acme.id).items] == [rule.id]
    assert not world.changes.history(keeper, acme.id).items


def test_a_table_of_too_many_lines_is_refused_though_they_name_one_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(values, "MOST_RULES", 5)
    world = World(tmp_path)
    acme = world.tenant()
    routing = CallRouting(world.catalogue, world.trail, world.changes)
    with pytest.raises(InputInvalid, match="there are more than 5 lines"):
        routing.import_csv(world.root, acme, Kind.EXTENSION, b"extension\n" + b"201\n" * 6)
    assert routing.import_csv(world.root, acme, Kind.EXTENSION, b"extension\n" + b"201\n" * 5) == 1
    world.close()
