"""Nobody reaches what is another tenant's: every operation of the route table, every role, foreign ids."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from recpipe.access.principal import TENANT_ACTIONS, Action
from recpipe.model import Role
from recpipe.settings import Spool
from recpipe.web.app import create_app
from tests.integration.api import World, world
from tests.integration.api_cases import CASES, NOBODYS, globex_things

OUTSIDERS = ("api", "client", "service", "auditor", "limited")


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with made_in(tmp_path_factory.mktemp("tenancy")) as made:
        yield made


@contextmanager
def made_in(root: Path) -> Iterator[World]:
    spools = (Spool(path=root / "acme", tenant="acme"), Spool(path=root / "globex", tenant="globex"))
    for spool in spools:
        spool.path.mkdir()
    with world(root, spool=spools) as made:
        # An administrator's token that is limited to one tenant is an outsider to all others, too.
        everything = tuple(action.value for action in TENANT_ACTIONS | {Action.UPLOAD, Action.TENANTS})
        made.token("auditor", Role.SERVICE, everything, {made.acme.id: ["audit"]})
        made.token("limited", Role.ADMINISTRATOR, (*everything, f"tenant:{made.acme.id}"), {})
        yield made


@pytest.fixture(scope="module")
def foreign(there: World) -> dict[str, str]:
    return globex_things(there)


def operations(app: FastAPI) -> set[str]:
    return {
        operation["operationId"]
        for path, methods in app.openapi()["paths"].items()
        for operation in methods.values()
        if path.startswith("/api/")
    }


def test_every_operation_of_the_api_has_its_case(there: World) -> None:
    app = create_app(there.context)
    assert operations(app) == set(CASES)
    served = set(app.openapi()["paths"])
    assert all(path.startswith("/api/v1/") for path in served), "a route outside the API hides from these tests"


def answer(response: httpx.Response) -> tuple[int, dict[str, str], bytes]:
    headers = {name: value for name, value in response.headers.items() if name != "date"}
    return response.status_code, headers, response.content


@pytest.mark.parametrize("who", OUTSIDERS)
def test_what_is_anothers_and_what_is_not_there_answer_in_the_same_bytes(
    there: World, foreign: dict[str, str], who: str
) -> None:
    client = there.client(who)
    for operation, case in CASES.items():
        if case.names_nobody:
            continue
        anothers, nobodys = answer(case.call(client, foreign)), answer(case.call(client, NOBODYS))
        assert anothers == nobodys, operation
        assert anothers[0] in (403, 404), operation
        for value in (*foreign.values(), "globex"):
            assert value.encode() not in anothers[2], operation


@pytest.mark.parametrize("who", OUTSIDERS)
def test_ones_own_tenant_in_the_path_opens_nothing_of_another(there: World, foreign: dict[str, str], who: str) -> None:
    own, client = {"tenant": there.acme.id}, there.client(who)
    for operation, case in CASES.items():
        if "{tenant}" in case.path and case.path.count("{") > 1 and not case.makes:
            anothers = answer(case.call(client, foreign | own))
            assert anothers == answer(case.call(client, NOBODYS | own)), operation
            assert anothers[0] in (403, 404), operation


@pytest.mark.parametrize("who", OUTSIDERS)
def test_lists_show_nothing_of_another_tenant(there: World, foreign: dict[str, str], who: str) -> None:
    for operation, case in CASES.items():
        if not case.names_nobody:
            continue
        response = case.call(there.client(who), NOBODYS)
        assert response.status_code < 500, operation
        for name in ("tenant", "user", "token", "quarantined", "recording", "call"):
            assert foreign[name] not in response.text, operation
        assert "globex" not in response.text and "stranger" not in response.text, operation


def test_nobody_is_served_without_a_token(tmp_path_factory: pytest.TempPathFactory) -> None:
    with made_in(tmp_path_factory.mktemp("nobody")) as there:
        ids = globex_things(there)
        for credentials in ({}, {"cookie": "recpipe_session=wrong"}, {"authorization": "Bearer rp_wrong"}):
            with httpx.Client(base_url=there.url, headers=credentials, trust_env=False) as client:
                for operation, case in CASES.items():
                    response = case.call(client, ids)
                    # Guessed tokens lock the address out, which comes to the same.
                    assert response.status_code in ((401, 429) if "authorization" in credentials else (401,)), operation
                    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("who", ["api", "client", "service", "auditor", "stranger"])
@pytest.mark.parametrize(
    "operation", ["create_tenant", "list_quarantine", "discard_quarantined", "retry_quarantined", "take_quarantined"]
)
def test_what_is_the_administrators_alone_is_refused(
    there: World, foreign: dict[str, str], operation: str, who: str
) -> None:
    assert CASES[operation].call(there.client(who), foreign).status_code == 403


@pytest.mark.parametrize("who", ["api", "client", "auditor", "limited"])
def test_a_tenants_own_auditor_reads_its_log_and_nothing_of_another(
    there: World, foreign: dict[str, str], who: str
) -> None:
    # Given: somebody of each tenant looks at a recording, and the administrator's work concerns no tenant
    for person, key in (("client", "one"), ("stranger", "foreign")):
        there.client(person).get(f"/api/v1/recordings/{there.recordings[key].id}/media").raise_for_status()
    assert there.client().get("/api/v1/audit", params={"tenant": "globex"}).json()["items"]
    for asked in ({}, {"tenant": "acme"}, {"tenant": there.acme.id}, {"actor": "client/" + there.tokens["client"][:8]}):
        answer = there.client(who).get("/api/v1/audit", params=asked)
        assert answer.status_code == 200, answer.text
        events = answer.json()["items"]
        assert there.recordings["one"].id in {event["subject"] for event in events}
        assert {event["tenant_id"] for event in events} == {there.acme.id}
    about_foreign = {"subject": foreign["recording"]}
    assert there.client(who).get("/api/v1/audit", params=about_foreign).json()["items"] == []


def test_an_auditor_does_nothing_but_read_the_log(there: World) -> None:
    own = NOBODYS | {"tenant": there.acme.id, "recording": there.recordings["one"].id}
    done = {
        name
        for name, case in CASES.items()
        if name not in ("who_am_i", "list_tenants", "check_certificate", "get_tenant")
        and case.call(there.client("auditor"), own).status_code < 300
    }
    assert done == {"list_audit"}


def test_a_log_is_refused_to_who_may_read_none(there: World) -> None:
    for asked in ({}, {"tenant": "acme"}):
        answer = there.client("service").get("/api/v1/audit", params=asked)
        assert answer.status_code == 403 and "read the audit log" in answer.json()["detail"]


def test_a_client_appoints_an_auditor_but_gives_no_more_than_it_has(there: World) -> None:
    def create(who: str, name: str) -> int:
        grants = [{"tenant": "acme", "actions": ["audit"]}]
        wanted = {"username": name, "role": "service", "grants": grants}
        return there.client(who).post("/api/v1/users", json=wanted).status_code

    assert create("client", "ada") == 201
    assert create("auditor", "abel") == 403
    there.token("people", Role.CLIENT, ("users", "audit"), {there.acme.id: ["users"]})
    assert create("people", "abel") == 403


def test_the_cases_are_right_an_administrator_reaches_each_of_these_things(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with made_in(tmp_path_factory.mktemp("control")) as there:
        ids = globex_things(there)
        for name, case in CASES.items():
            response = case.call(there.client("administrator"), ids)
            assert response.status_code < 500 and response.status_code not in (401, 403, 404), (name, response.text)
