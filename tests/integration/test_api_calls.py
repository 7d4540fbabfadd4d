"""Calls over the API: a call that was transferred out of a queue, whose records come in the wrong order."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from recpipe.access.principal import Action, Kind, Principal
from recpipe.catalogue import calls
from recpipe.errors import InputInvalid, NotFound
from recpipe.model import AuditQuery, Call, Direction, Recording, RecordingQuery, Role
from recpipe.recordings import deletion
from tests.integration.api import World, world


def within(hour: int) -> dict[str, str]:
    """What finds the call of an hour, and no other."""
    return {"tenant": "acme", "from": f"2025-03-27T{9 + hour}:20:00Z", "to": f"2025-03-27T{10 + hour}:20:00Z"}


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("calls")) as made:
        yield made


def a_transfer(there: World, hour: int) -> list[Recording]:
    """The queue, the first agent and the colleague; the last leg comes first, and the first has its record last.

    Args:
        hour: after all others in this world, of which each call has its own.
    """
    number, name, linked_id, began = "+4930901820", f"at-{hour}", f"1743067517.{hour}", 60 * hour
    expert = there.add(
        f"{name}-expert", there.acme, b"RIFF" + b"c" * 900, minutes=began + 6, linked_id=linked_id, caller="202",
        callee="203", extension="203", more_extensions=("202",), direction=Direction.INTERNAL, caller_name="Ada",
    )  # fmt: skip
    queue = there.add(
        f"{name}-queue", there.acme, b"RIFF" + b"a" * 900, minutes=began, caller=number, callee="600", extension="",
        call_id=f"{name}-q",
    )  # fmt: skip
    agent = there.add(
        f"{name}-agent", there.acme, b"RIFF" + b"b" * 900, minutes=began + 1, linked_id=linked_id, caller=number,
        callee="202", extension="202", sealed=True,
    )  # fmt: skip
    with there.parts.catalogue.begin() as work:  # hours later
        late = replace(queue.facts, linked_id=linked_id)
        queue = work.of(there.acme.id).recordings.set_facts(queue.id, late)
    return [queue, agent, expert]


def test_a_transferred_call_is_one_with_all_its_legs(there: World) -> None:
    legs = a_transfer(there, 1)
    client = there.client("client")
    for asked in ({"number": "203"}, {"number": "1820", "number_match": "ending"}, {"text": "ada"}, {"sealed": "true"}):
        found = client.get("/api/v1/calls", params=within(1) | asked).json()
        [call] = found["items"]
        assert [leg["id"] for leg in call["legs"]] == [leg.id for leg in legs], asked
        assert (found["count"], found["count_capped"], found["next"]) == (1, False, None)
    assert (call["started_at"], call["leg_count"]) == ("2025-03-27T10:25:17Z", 3)
    assert [leg["sealed"] for leg in call["legs"]] == [False, True, False]
    # Each recording says its call, and its address is one of the call as well.
    for leg in legs:
        assert client.get(f"/api/v1/recordings/{leg.id}").json()["call"] == call["id"] == leg.call
        assert client.get(f"/api/v1/calls/{leg.id}").json() == call
    # The others are calls by themselves, and pages hold calls, whatever the number of their legs.
    early = {"tenant": "acme", "to": within(1)["to"]}
    first = client.get("/api/v1/calls", params=early | {"limit": "2"}).json()
    rest = client.get("/api/v1/calls", params=early | {"cursor": first["next"]}).json()
    starts = [one["started_at"] for one in (*first["items"], *rest["items"])]
    assert [one["leg_count"] for one in first["items"]] == [3, 1] and starts == sorted(starts, reverse=True)
    assert first["count"] == len(starts) == 4
    both = client.get("/api/v1/recordings", params={"tenant": "acme", "call": call["id"], "extension": "202"}).json()
    assert [one["id"] for one in both["items"]] == [legs[2].id, legs[1].id]


def test_a_whole_call_is_packed_exported_and_deleted(there: World, monkeypatch: pytest.MonkeyPatch) -> None:
    legs = a_transfer(there, 2)
    client = there.client("client")
    packed = client.post("/api/v1/recordings/zip", json={"calls": [legs[0].call], "ids": [legs[1].id]})
    with zipfile.ZipFile(io.BytesIO(packed.content)) as archive:
        manifest = json.loads(archive.read("manifest.json"))["recordings"]
        assert [one["id"] for one in manifest] == [legs[1].id, legs[0].id, legs[2].id]
        assert {one["call"] for one in manifest} == {legs[0].call}
        assert all(
            archive.read(one["path"]) == there.bodies[f"at-2-{who}"]
            for one, who in zip(manifest, ("agent", "queue", "expert"), strict=True)
        )
    assert client.post("/api/v1/recordings/zip", json={}).status_code == 422
    asked = within(2) | {"number": "203"}
    for most in (100, 2):  # also where a call has more legs than are read with it
        monkeypatch.setattr(calls, "MOST_LEGS", most)
        answer = client.get("/api/v1/calls/export", params=asked)
        rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))
        assert [row["id"] for row in rows if row["call"] == legs[0].call] == [leg.id for leg in legs]
    lines = client.get("/api/v1/calls/export", params=asked | {"format": "jsonl"}).text.splitlines()
    assert {json.loads(line)["call"] for line in lines} >= {legs[0].call}
    # One leg, then the rest of the call.
    assert client.delete(f"/api/v1/recordings/{legs[0].id}").status_code == 204
    assert client.get(f"/api/v1/calls/{legs[0].call}").json()["started_at"] == "2025-03-27T11:26:17Z"
    monkeypatch.setattr(deletion, "MOST_LEGS", 1)
    assert client.delete(f"/api/v1/calls/{legs[0].call}").status_code == 422
    monkeypatch.undo()
    sent = client.request("DELETE", f"/api/v1/calls/{legs[0].call}", json={"reason": "erasure 4711"})
    assert sent.status_code == 204
    for address in (f"calls/{legs[0].call}", *(f"recordings/{leg.id}" for leg in legs)):
        assert client.get(f"/api/v1/{address}").status_code == 404
    events = there.client().get("/api/v1/audit", params={"tenant": "acme", "action": "delete"}).json()["items"]
    assert {one["subject"]: one["detail"] for one in events if "call" in one["detail"]} == {
        leg.id: {"reason": "erasure 4711", "call": legs[0].call} for leg in legs[1:]
    }


def test_who_may_only_search_deletes_and_packs_no_call(there: World) -> None:
    [queue, *_] = a_transfer(there, 3)
    client = there.client("service")
    assert client.get(f"/api/v1/calls/{queue.call}").status_code == 200
    assert client.delete(f"/api/v1/calls/{queue.call}").status_code == 403
    assert client.post("/api/v1/recordings/zip", json={"calls": [queue.call]}).status_code == 403
    assert client.get("/api/v1/calls/export", params={"tenant": "acme"}).status_code == 403


def test_an_account_of_an_extension_sees_its_legs_and_a_call_through_these_alone(there: World) -> None:
    queue, agent, expert = a_transfer(there, 4)
    grants = {there.acme.id: frozenset({Action.SEARCH, Action.DELETE})}

    def legs_of(extension: str = "", direction: Direction | None = None) -> list[Recording]:
        who = Principal(Kind.FTP, "1", "ftp:acme", grants=grants, extension=extension, direction=direction)
        query = RecordingQuery(started_from=queue.started_at)
        found = {call.id: call for call in there.parts.reader.calls(who, None, query).items}
        assert there.parts.reader.count(who, None, query, calls=True).count == len(found)
        try:
            call: Call | None = there.parts.reader.call(who, queue.call)
        except NotFound:
            call = None
        assert found.get(queue.call) == call
        return list(call.legs) if call else []

    assert legs_of("202") == [agent, expert]
    assert legs_of("203") == [expert]
    assert legs_of("202", Direction.INBOUND) == [agent]
    assert legs_of("204") == []
    with pytest.raises(InputInvalid):
        there.parts.reader.legs(
            Principal(Kind.FTP, "1", "ftp:acme", grants=grants),
            Call("x", there.acme.id, (queue,), 2),
            Action.SEARCH,
            most=1,
        )


def test_what_is_said_of_a_call_is_searched_exported_logged_and_never_in_a_recording(there: World) -> None:
    legs = a_transfer(there, 5)
    client, call = there.client("client"), f"/api/v1/calls/{legs[0].call}"
    before = [client.get(f"/api/v1/recordings/{leg.id}").json() for leg in legs]
    note = "Wants her money back,\ncall +44 20 7946 0958"
    said = {"starred": True, "reviewed": True, "note": note, "tags": ["Complaint", "complaint", " vip  customer "]}
    told = client.patch(f"/api/v1/calls/{legs[1].id}", json=said).json()
    assert told["marks"].pop("reviewed_at") is not None
    assert told["marks"].pop("reviewed_by")
    assert told["marks"] == {"starred": True, "note": note, "tags": ["Complaint", "vip customer"]}
    assert [leg["id"] for leg in told["legs"]] == [leg.id for leg in legs]
    # What is left out stays, and the same again is no event.
    assert client.patch(call, json={"starred": True}).json()["marks"]["note"] == note
    assert client.patch(call, json={"reviewed": False, "tags": []}).json()["marks"] == {
        "starred": True, "reviewed_at": None, "reviewed_by": "", "note": note, "tags": [],
    }  # fmt: skip
    client.patch(call, json={"reviewed": True, "tags": ["complaint"]})
    for asked in ({"starred": "true"}, {"reviewed": "true"}, {"tag": "COMPLAINT"}, {"noted": "money back, call"}):
        found = client.get("/api/v1/calls", params=within(5) | asked).json()
        assert ([one["id"] for one in found["items"]], found["count"]) == ([legs[0].call], 1), asked
    assert client.get("/api/v1/calls", params={"tag": "comp"}).json()["items"] == []
    rows = list(
        csv.DictReader(io.StringIO(client.get("/api/v1/calls/export?tag=complaint").text.removeprefix("\ufeff")))
    )
    assert [(row["id"], row["starred"], row["tags"], row["note"]) for row in rows] == [
        (leg.id, "yes", "complaint", note) for leg in legs
    ]
    assert all(row["reviewed_at"] and row["reviewed_by"] for row in rows)
    # The recordings are what they were.
    assert [client.get(f"/api/v1/recordings/{leg.id}").json() for leg in legs] == before
    with there.parts.catalogue.read() as work:
        events = work.audit.list(AuditQuery(action="call.mark", subject=legs[0].call), limit=100).items
    assert [event.detail for event in reversed(events)] == [
        {"starred": True, "reviewed": True, "note": "added", "tags": "added"},
        {"reviewed": False, "tags": "removed"},
        {"reviewed": True, "tags": "added"},
    ]
    assert "7946" not in repr(events) and "money" not in repr(events)


def test_a_star_is_for_who_may_play_and_a_note_a_right_of_its_own(there: World) -> None:
    legs = a_transfer(there, 7)
    made = {"listener": ("search", "play"), "writer": ("search", "annotate"), "reader": ("search",)}
    may = {}
    for name, scopes in made.items():
        there.token(name, Role.CLIENT, scopes, {there.acme.id: []})
        client = there.client(name)
        may[name] = [
            client.patch(f"/api/v1/calls/{legs[0].call}", json=said).status_code
            for said in (
                {"starred": True},
                {"reviewed": True},
                {"note": "x"},
                {"tags": ["x"]},
                {"starred": True, "note": "y"},
            )
        ]
    assert may == {
        "listener": [200, 200, 403, 403, 403], "writer": [403, 403, 200, 200, 403], "reader": [403] * 5,
    }  # fmt: skip
    said = there.client("reader").get(f"/api/v1/calls/{legs[0].call}").json()["marks"]
    assert (said["starred"], said["note"], said["tags"]) == (True, "x", ["x"]), (
        "all or nothing, and seen by who searches"
    )
    for wrong in (
        {"note": "x" * 2001}, {"note": "a\u202eb"}, {"tags": ["a,b"]}, {"tags": ["x" * 41]},
        {"tags": [str(n) for n in range(21)]},
        {"reviewed_by": "somebody"}, {"tags": ["a\nb"]},
    ):  # fmt: skip
        assert there.client("client").patch(f"/api/v1/calls/{legs[0].call}", json=wrong).status_code == 422, wrong


def test_what_was_said_is_deleted_with_the_call(there: World) -> None:
    legs = a_transfer(there, 9)
    client = there.client("client")
    client.patch(f"/api/v1/calls/{legs[0].call}", json={"note": "Erase me"})
    for leg in legs:
        client.delete(f"/api/v1/recordings/{leg.id}").raise_for_status()
    assert client.get("/api/v1/calls", params={"noted": "erase me"}).json()["items"] == []
    with there.parts.catalogue.read() as work:
        assert work.marks([there.acme.id], [legs[0].call]) == {}


def test_what_is_masked_is_told_before_or_after_and_is_found_everywhere(there: World) -> None:
    first = there.add("masked", there.acme, b"RIFF" + b"m" * 900, minutes=600, call_id="1743078317.7")
    client, path = there.client(), "/api/v1/tenants/acme/call-events"
    told = {"call_id": "1743078317.7", "at": "2025-03-27T19:25:47+00:00", "event": "masked"}
    # The clock of this world is the real one: the call is more than 30 days ago.
    refused = client.post(path, json=told)
    assert refused.status_code == 422 and refused.json()["field"] == "at"
    assert client.post(path, json=told | {"event": "erased"}).status_code == 422
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(there.parts.telling, "_clock", lambda: first.started_at + timedelta(minutes=5))
        for seconds, kind in ((32, "unmasked"), (2, "started")):
            answer = client.post(
                path, json=told | {"event": kind, "at": f"2025-03-27T19:25:{17 + seconds}Z", "done_by": "201"}
            )
            assert answer.status_code == 201 and answer.json() == {"recordings": [first.id] * (kind == "started")}
        assert client.post(path, json=told | {"at": "2025-03-27T19:25:37Z"}).json() == {"recordings": [first.id]}
        assert client.post(path, json=told | {"at": "2025-03-27T19:25:37Z"}).json() == {"recordings": []}
        assert there.client("service").post(path, json=told).status_code == 403
    given = client.get(f"/api/v1/recordings/{first.id}").json()
    assert given["masked"] == [{"from_seconds": 18.0, "to_seconds": 30.0}] and given["started_by"] == "201"
    found = {"tenant": "acme", "call": first.call}
    answer = client.get("/api/v1/recordings/export", params=found)
    [row] = csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"), newline=""))
    assert (row["masked"], row["started_by"]) == ("18-30", "201")
    events = client.get("/api/v1/audit", params={"tenant": "acme", "subject": first.id}).json()["items"]
    assert [(one["action"], one["detail"]) for one in events if one["action"] == "recording.masked"] == [
        ("recording.masked", {"seconds": "18-30"})
    ]
    assert {one["detail"]["what"] for one in events if one["action"] == "call.told"} == {"started", "masked"}
