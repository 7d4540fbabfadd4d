"""Which calls are recorded, read and changed by a program: saved, looked at, applied, told to PBXs."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from recpipe.access.principal import operator
from recpipe.model import CallAsked, Direction, Role, SeenKind, Tenant
from recpipe.policy.judge import judge
from recpipe.policy.values import MOST_RULES
from recpipe.tenants.changes import Kind
from tests.integration.api import World, world

BY = operator("test")
NUMBER = "+442079460958"


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("rules")) as made:
        made.parts.tenants.set_recording(BY, made.acme.id, True, agreed=True)
        made.token("planner", Role.SERVICE, ("policy",), {made.acme.id: ["policy"]})
        made.token("narrow", Role.CLIENT, ("search", "decide", "keys"), {made.acme.id: []})
        yield made


@pytest.fixture
def policy(there: World) -> httpx.Client:
    """Somebody who may change rules and nothing else; at the beginning nothing waits, and there is no rule for all."""
    client = there.client("planner")
    client.patch(api("service"), json={"otherwise": "default", "beep_seconds": 0}).raise_for_status()
    client.post("/api/v1/policy/acme/changes/apply", json={}).raise_for_status()
    return client


def api(path: str) -> str:
    return f"/api/v1/policy/acme/{path}"


def told(there: World, tenant: Tenant, direction: Direction, extension: str = "", route: str = "") -> str:
    with there.parts.catalogue.read() as work:
        whole = work.of(tenant.id).policy.whole()
    return judge(whole, CallAsked(direction, route, (extension,))).verdict.value


def test_a_route_is_saved_looked_at_applied_changed_and_removed(there: World, policy: httpx.Client) -> None:
    put = policy.put(api("routes/020 7946 0958"), json={"name": "Hotline", "recording": "record"})
    assert put.status_code == 200, put.text
    assert put.json() == {
        "number": NUMBER,
        "name": "Hotline",
        "timezone": "",
        "recording": "record",
        "locked": False,
        "pending": True,
        "removed": False,
    }
    assert told(there, there.acme, Direction.INBOUND, route=NUMBER) == "default"
    [waiting] = policy.get(api("changes")).json()["items"]
    assert (waiting["kind"], waiting["subject"], waiting["old"]) == ("inbound-route", NUMBER, {})
    assert waiting["new"]["recording"] == "record" and waiting["applied_at"] is None
    assert policy.post(api("changes/apply"), json={"changes": [waiting["id"]]}).json() == {"applied": 1}
    assert told(there, there.acme, Direction.INBOUND, route=NUMBER) == "record"
    assert policy.get(api(f"routes/{NUMBER}")).json()["pending"] is False
    # Of a change only what is said changes
    changed = policy.patch(api(f"routes/{NUMBER}"), json={"locked": True}).json()
    assert (changed["name"], changed["recording"], changed["locked"], changed["pending"]) == (
        "Hotline",
        "record",
        True,
        True,
    )
    assert policy.patch(api(f"routes/{NUMBER}"), json={}).json() == changed
    [waiting] = policy.get(api("changes")).json()["items"]
    assert policy.delete(api(f"changes/{waiting['id']}")).status_code == 204
    assert policy.get(api(f"routes/{NUMBER}")).json()["locked"] is False
    assert policy.delete(api(f"routes/{NUMBER}")).status_code == 204
    gone = policy.get(api(f"routes/{NUMBER}")).json()
    assert gone["pending"] and gone["removed"]
    assert policy.patch(api(f"routes/{NUMBER}"), json={"locked": True}).status_code == 404
    policy.post(api("changes/apply"), json={}).raise_for_status()
    assert policy.get(api(f"routes/{NUMBER}")).status_code == 404
    history = policy.get(api("history"), params={"limit": 1}).json()
    assert history["items"][0]["new"] == {} and history["items"][0]["applied_by"] and history["next"]
    older = policy.get(api("history"), params={"limit": 1, "cursor": history["next"]}).json()["items"]
    assert older[0]["new"]["name"] == "Hotline"


def test_many_are_saved_at_once_listed_by_pages_and_found(there: World, policy: httpx.Client) -> None:
    items = [{"extension": str(one), "name": f"Agent {one}", "outbound": "record"} for one in range(95, 105)]
    assert policy.post(api("extensions"), json={"items": items}).json() == {"changed": 10}
    listed, cursor = [], None
    while True:
        asked = {"limit": "4", "find": "agent"} | ({"cursor": cursor} if cursor else {})
        page = policy.get(api("extensions"), params=asked).json()
        assert len(page["items"]) <= 4
        listed += [one["extension"] for one in page["items"]]
        if (cursor := page["next"]) is None:
            break
    assert listed == [str(one) for one in range(95, 105)]
    assert [one["extension"] for one in policy.get(api("extensions?find=agent 99")).json()["items"]] == ["99"]
    waiting = policy.get(api("changes"), params={"limit": 7}).json()
    assert len(waiting["items"]) == 7
    rest = policy.get(api("changes"), params={"cursor": waiting["next"]}).json()
    assert len(rest["items"]) == 3 and rest["next"] is None
    assert policy.post(api("changes/apply"), json={}).json() == {"applied": 10}
    some = [{"extension": "99", "remove": True}, {"extension": "100", "internal": "skip"}]
    assert policy.post(api("extensions"), json={"items": some}).json() == {"changed": 2}
    policy.post(api("changes/apply"), json={}).raise_for_status()
    assert policy.get(api("extensions/99")).status_code == 404
    hundred = policy.get(api("extensions/100")).json()
    assert (hundred["outbound"], hundred["internal"], hundred["name"]) == ("record", "skip", "Agent 100")


def test_as_many_rules_as_a_tenant_may_have_are_imported_at_once(there: World, policy: httpx.Client) -> None:
    table = "\n".join(["extension,name,outbound", *(f"{one},Person {one},record" for one in range(500_000, 501_000))])
    imported = policy.post(api("extensions/import"), content=table, headers={"content-type": "text/csv"})
    assert imported.json() == {"changed": 1000}, imported.text
    again = policy.post(api("extensions/import"), content=table, headers={"content-type": "text/csv"})
    assert again.json() == {"changed": 0}
    for waiting in policy.get(api("changes"), params={"limit": 1000}).json()["items"][1:]:
        assert waiting["kind"] == "extension"
    too_many = b"extension\n" + b"201\n" * (MOST_RULES + 1)
    refused = policy.post(api("extensions/import"), content=too_many, headers={"content-type": "text/csv"})
    assert refused.status_code == 422 and "20,000" in refused.json()["detail"]
    # A table of that many lines is not too large to be sent
    filled = b"extension,name,office\n" + b"201,%b,%b\n" % (b"n" * 100, b"o" * 100) * MOST_RULES
    sent = policy.post(api("extensions/import"), content=filled, headers={"content-type": "text/csv"})
    assert sent.json() == {"changed": 1}


def test_what_holds_for_calls_without_a_rule(there: World, policy: httpx.Client) -> None:
    before = policy.get(api("service")).json()
    assert (before["otherwise"], before["pending"], before["add_on"]) == ("default", False, True)
    changed = policy.patch(api("service"), json={"otherwise": "skip", "beep_seconds": 15}).json()
    assert (changed["otherwise"], changed["beep_seconds"], changed["pending"]) == ("skip", 15, True)
    policy.post(api("changes/apply"), json={}).raise_for_status()
    after = policy.get(api("service")).json()
    assert after["policy_version"] == before["policy_version"] + 1 and after["unanswered"] == "default"
    assert told(there, there.acme, Direction.OUTBOUND, "nobody") == "skip"


def test_what_was_seen_and_no_rule_speaks_of_is_listed(there: World, policy: httpx.Client) -> None:
    with there.parts.catalogue.begin() as work:
        work.of(there.acme.id).policy.note_seen(SeenKind.EXTENSION, {"777": there.parts.clock()})
    seen = policy.get(api("seen"), params={"kind": "extension"}).json()["items"]
    assert "777" in {one["subject"] for one in seen}


@pytest.mark.parametrize(
    ("method", "path", "json", "says"),
    [
        ("PUT", "routes/<script>", {"recording": "record"}, "is no number"),
        ("PUT", "extensions/201", {"recording": "record"}, ""),
        ("PUT", "extensions/201", {"outbound": "always"}, ""),
        ("PUT", f"routes/{NUMBER}", {"timezone": "Mars/Here"}, "Mars"),
        ("POST", "extensions", {"items": [{"extension": "201"}]}, "or that it is to be removed"),
        ("POST", "extensions", {"items": [{"extension": "201", "remove": True, "name": "x"}]}, "or that it is"),
        ("POST", "extensions", {"items": [{"extension": "201", "name": "x"}] * 2}, "twice"),
        ("POST", "routes", {"items": []}, ""),
        ("PATCH", "service", {"beep_seconds": 3}, "5 to 300"),
        ("PATCH", "service", {"announcement": "../x"}, "Name a sound"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_saved(
    policy: httpx.Client, method: str, path: str, json: object, says: str
) -> None:
    refused = policy.request(method, api(path), json=json)
    assert refused.status_code == 422 and says in refused.json().get("detail", ""), refused.text
    assert policy.get(api("changes")).json()["items"] == []


def test_a_change_of_something_else_is_not_reached_from_here(there: World, policy: httpx.Client) -> None:
    other = there.parts.changes.save(BY, there.acme.id, Kind.RECORDING, {"recording": False})
    assert other is not None
    administrator = there.client()
    assert administrator.get(api("changes")).json()["items"] == []
    assert administrator.post(api("changes/apply"), json={"changes": [other.id]}).status_code == 409
    assert administrator.delete(api(f"changes/{other.id}")).status_code == 404
    assert administrator.post(api("changes/apply"), json={}).json() == {"applied": 0}
    there.parts.changes.discard(BY, there.acme.id, other.id)


def test_rules_are_changed_with_the_right_to_that_alone_and_it_is_on_the_log(
    there: World, policy: httpx.Client
) -> None:
    for method, path, json in (
        ("GET", "routes", None),
        ("GET", "service", None),
        ("GET", "changes", None),
        ("PUT", "extensions/201", {"outbound": "record"}),
        ("POST", "changes/apply", {}),
    ):
        assert there.client("narrow").request(method, api(path), json=json).status_code == 403, path
    policy.put(api("extensions/201"), json={"outbound": "record"}).raise_for_status()
    policy.post(api("changes/apply"), json={}).raise_for_status()
    events = there.client().get("/api/v1/audit", params={"tenant": "acme", "limit": 20}).json()["items"]
    mine = {one["action"] for one in events if one["actor"].startswith("planner")}
    assert {"change.save", "policy.extension"} <= mine
