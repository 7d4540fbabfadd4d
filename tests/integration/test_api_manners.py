"""What HTTP clients expect of any server: methods, challenges, file names, and a document that is true."""

from __future__ import annotations

import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from recpipe.settings import Spool
from recpipe.web.delivery import disposition
from tests.integration.api import World, world
from tests.services.need import tool


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    root = tmp_path_factory.mktemp("manners")
    with world(root, spool=(Spool(path=root / "monitor", tenant="acme"),)) as made:
        yield made


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/api/v1/recordings/{id}/media", "GET, HEAD"),
        ("/api/v1/recordings/{id}", "GET, HEAD, DELETE"),
        ("/api/v1/recordings", "GET, HEAD"),
        ("/api/v1/recordings/zip", "POST"),
        ("/api/v1/uploads/monitor", "POST"),
        ("/api/v1/uploads/monitor/a.wav", "POST, PUT"),
        ("/healthz", "GET, HEAD"),
        ("/sign-in", "GET, HEAD, POST"),
    ],
)
@pytest.mark.parametrize("method", ["PATCH", "OPTIONS"])
def test_a_method_that_is_none_is_answered_with_all_that_there_are(
    there: World, path: str, allow: str, method: str
) -> None:
    address = path.format(id=there.recordings["one"].id)
    answer = there.client().request(method, address)
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) >= set(allow.split(", "))
    assert method not in answer.headers["allow"]


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/sign-in", "/metrics", "/healthz", "/api/v1/me", "/api/v1/recordings", "/api/v1/openapi.json"),
        *("/api/v1/recordings/{id}", "/api/v1/recordings/{id}/media", "/api/v1/recordings/export", "/api/v1/tenants"),
        *("/api/v1/calls", "/api/v1/calls/{id}", "/api/v1/calls/export"),
    ],
)
def test_head_is_get_without_the_bytes(there: World, path: str) -> None:
    address = path.format(id=there.recordings["one"].id)
    get, head = there.client().get(address), there.client().head(address)
    assert (head.status_code, head.content) == (get.status_code, b"")
    for name in ("content-type", "content-disposition", "etag"):
        assert head.headers.get(name) == get.headers.get(name)
    # And the connection is still good for more
    assert there.client().get("/healthz").status_code == 200


def test_head_of_what_takes_only_posts_is_no_method(there: World) -> None:
    assert there.client().head("/api/v1/uploads/monitor").status_code == 405


def test_an_export_that_is_only_asked_about_is_none(there: World) -> None:
    def exports() -> int:
        found = there.client().get("/api/v1/audit", params={"tenant": "acme", "action": "export"}).json()["items"]
        return len(found)

    before = exports()
    there.client().head("/api/v1/recordings/export", params={"tenant": "acme"})
    assert exports() == before


def test_programs_that_wait_for_a_challenge_get_in_with_basic(there: World, tmp_path: Path) -> None:
    token, url = there.tokens["administrator"], f"{there.url}/api/v1/me"
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    passwords.add_password(None, url, "any", token)
    handlers = (urllib.request.HTTPBasicAuthHandler(passwords), urllib.request.ProxyHandler({}))
    with urllib.request.build_opener(*handlers).open(url, timeout=10) as answer:
        assert answer.status == 200
    curl = [tool("curl"), "-sSf", "--noproxy", "*", "--anyauth", "-u", f"any:{token}", "-o", tmp_path / "me", url]
    subprocess.run(curl, check=True)


@pytest.mark.parametrize(
    "sent", [{"sec-fetch-mode": "cors"}, {"cookie": "recpipe_session=none"}, {"referer": "http://127.0.0.1/"}]
)
def test_a_page_is_never_made_to_ask_for_a_name_and_password(there: World, sent: dict[str, str]) -> None:
    answer = there.client(None).get("/api/v1/me", headers=sent)
    assert answer.status_code == 401
    assert answer.headers.get_list("www-authenticate") == ['Bearer realm="recpipe"']


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("Größe Jörg.wav", "Groesse Joerg.wav"),
        ("Gro\u0308ße.wav", "Groesse.wav"),
        ("café Łódź Smørrebrød.mp3", "cafe Lodz Smorrebrod.mp3"),
        ("Иван.wav", "____.wav"),
        ('a"b/c.wav', "a_b_c.wav"),
    ],
)
def test_clients_that_know_ascii_alone_get_names_that_can_be_read_and_told_apart(name: str, plain: str) -> None:
    assert f'filename="{plain}"' in disposition("attachment", name)
    assert "filename*=UTF-8''" in disposition("attachment", name)


def test_the_documents_own_certificate_is_accepted_by_the_server(there: World) -> None:
    document = there.client().get("/api/v1/openapi.json").json()
    (example,) = document["components"]["schemas"]["Pasted"]["properties"]["pasted"]["examples"]
    answer = there.client().post("/api/v1/certificates/check", json={"pasted": example})
    assert answer.status_code == 200, answer.text


def test_generated_clients_find_a_file_in_every_answer_that_is_one(there: World) -> None:
    """They know a file by application/octet-stream alone."""
    document = there.client().get("/api/v1/openapi.json").json()
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    content = {
        operation["operationId"]: operation["responses"].get("200", {}).get("content") for operation in operations
    }
    for name in ("zip_recordings", "get_media"):
        assert "application/octet-stream" in content[name], name
