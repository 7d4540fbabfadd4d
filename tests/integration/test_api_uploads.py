"""Recordings pushed over HTTP, as PBXs do it."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx
import pytest

from recpipe import metrics
from recpipe.model import Role
from recpipe.settings import Spool
from tests.integration.api import World, world
from tests.services import faxes
from tests.services.logs import captured

AUDIO = b"RIFF" + bytes(range(256)) * 2000
NAME = "call_recording_5f0c9a5e3b7d4e1f.mp3"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("uploads")


@pytest.fixture(scope="module")
def made(root: Path) -> Iterator[World]:
    spools = (
        Spool(path=root / "kazoo", tenant="acme", layout="kazoo"),
        Spool(path=root / "many", tenant="from-path", layout="freepbx"),
        Spool(path=root / "globex", tenant="globex", layout="kazoo"),
        Spool(path=root / "fax", tenant="acme", layout="fax", after="delete"),
    )
    with world(root, spool=spools) as made:
        made.token("pbx", Role.API, ("upload", "spool:kazoo"), {made.acme.id: ["upload"]})
        made.token("fax-server", Role.API, ("upload", "spool:fax"), {made.acme.id: ["upload"]})
        made.token("limited", Role.ADMINISTRATOR, ("upload", "spool:many"), {})
        yield made


@pytest.fixture
def there(made: World, root: Path) -> World:
    """The world with empty spools."""
    for name in ("kazoo", "many", "globex", "fax"):
        shutil.rmtree(root / name, ignore_errors=True)
        (root / name).mkdir()
    shutil.rmtree(root / "data/upload-receipts", ignore_errors=True)
    return made


def files(folder: Path) -> dict[str, bytes]:
    """What a PBX's neighbour would see in a spool: everything but our own control folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".recpipe" not in path.parts
    }


def test_a_push_is_taken_in_the_form_that_kazoo_makes_of_a_storage_url(there: World, root: Path) -> None:
    """As kz_att_http and kzc_recording of KAZOO 4.3 do: a token in the URL, fields escaped, some of them empty."""
    call_id, start = "3798468927@192_168_11_166", 63_753_796_103
    fields = {
        "from": "1002@acme.sip.example", "to": "+442079460958@acme.sip.example", "caller_id_name": "Zoë & Söhne",
        "caller_id_number": "1002", "call_id": call_id, "cdr_id": f"202004-{call_id}",
        "interaction_id": "63753796101-cc99b372", "owner_id": "", "account_id": "acme", "start": start,
        "duration_ms": 23_960, "recording_id": "202004-25b2a24e2111ac22265f739ac4ba73ff",
    }  # fmt: skip
    address = httpx.URL(there.url).copy_with(userinfo=f"kazoo:{there.tokens['pbx']}".encode())
    query = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in fields.items())
    name = f"call_recording_{call_id}.mp3"
    base = f"{str(address).rstrip('/')}/api/v1/uploads/kazoo"
    url = f"{base}/call_recording_{quote(call_id, safe='')}.mp3?{query}"
    answer = httpx.put(url, content=AUDIO, headers={"content-type": "audio/mpeg"}, trust_env=False)
    assert answer.status_code == 201, answer.text
    found = files(root / "kazoo")
    assert found[name] == AUDIO and json.loads(found[f"{name}.json"]) == {
        "call_id": call_id,
        "callee": "+442079460958",
        "caller": "1002",
        "caller_name": "Zoë & Söhne",
        "duration_ms": 23_960.0,
        "linked_id": "63753796101-cc99b372",
        "started_at": "2020-04-11T03:48:23+00:00",
        "tenant": "acme",
    }


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_kazoo_pushes_a_recording_with_the_facts_in_its_query(there: World, root: Path, method: str) -> None:
    query = {"from": "02079460958@acme", "to": "201@acme", "caller_id_name": "Erin", "call_id": "abc", "cdr_id": "x"}
    answer = there.client("pbx").request(method, f"/api/v1/uploads/kazoo/{NAME}", params=query, content=AUDIO)
    assert answer.status_code == 201, answer.text
    assert answer.json() == {
        "spool": "kazoo",
        "name": NAME,
        "size_bytes": len(AUDIO),
        "sha256": hashlib.sha256(AUDIO).hexdigest(),
    }
    found = files(root / "kazoo")
    assert found.pop(NAME) == AUDIO
    assert json.loads(found.pop(f"{NAME}.json")) == {
        "call_id": "abc",
        "callee": "201",
        "caller": "02079460958",
        "caller_name": "Erin",
    }
    assert not found


def test_a_form_with_one_file_is_taken(there: World, root: Path) -> None:
    answer = there.client("pbx").post(
        "/api/v1/uploads/kazoo",
        data={"caller": "201", "direction": "outbound"},
        files={"file": (NAME, AUDIO, "audio/mpeg")},
    )
    assert answer.status_code == 201, answer.text
    assert files(root / "kazoo")[NAME] == AUDIO
    assert json.loads(files(root / "kazoo")[f"{NAME}.json"]) == {"caller": "201", "direction": "outbound"}


def test_the_same_file_sent_again_is_a_success_and_no_second_file(there: World, root: Path) -> None:
    for _ in range(2):
        assert there.client("pbx").put(f"/api/v1/uploads/kazoo/{NAME}", content=AUDIO).status_code == 201
    assert list(files(root / "kazoo")) == [NAME]
    other = there.client("pbx").put(f"/api/v1/uploads/kazoo/{NAME}", content=AUDIO + b"!")
    assert (other.status_code, other.json()["type"]) == (409, "urn:recpipe:problem:spool-refused")
    assert files(root / "kazoo") == {NAME: AUDIO}


@pytest.mark.parametrize("suffix", [".json", ".JSON", ".xml", ".csv"])
@pytest.mark.parametrize("how", ["PUT", "POST", "form"])
def test_facts_without_their_recording_are_refused_and_change_no_others(
    there: World, root: Path, how: str, suffix: str
) -> None:
    # Given: a recording of the PBX, for which somebody with an upload token would like to say what it is
    (root / "kazoo" / NAME).write_bytes(AUDIO)
    pbx, facts = there.client("pbx"), b'{"extension": "100", "tenant": "globex"}'
    for name in (NAME + suffix, NAME.removesuffix(".mp3") + suffix, "2026/lone" + suffix):
        if how == "form":
            answer = pbx.post("/api/v1/uploads/kazoo", files={"file": (name, facts, "application/json")})
        else:
            answer = pbx.request(how, f"/api/v1/uploads/kazoo/{name}", content=facts)
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:recpipe:problem:spool-refused")
        assert "query string" in answer.json()["detail"]
    assert files(root / "kazoo") == {NAME: AUDIO}


def test_a_refused_file_leaves_no_facts_beside_the_one_that_has_its_name(there: World, root: Path) -> None:
    url = f"/api/v1/uploads/kazoo/{NAME}"
    assert there.client("pbx").put(url, content=AUDIO).status_code == 201

    answer = there.client("pbx").put(url, params={"caller": "4711"}, content=AUDIO[::-1])

    assert answer.status_code == 409 and answer.json()["type"].endswith("spool-refused"), answer.text
    assert files(root / "kazoo") == {NAME: AUDIO}


def test_an_upload_whose_last_step_fails_leaves_no_facts(there: World, root: Path) -> None:
    incoming = root / "kazoo/.recpipe/incoming"

    def body() -> Iterator[bytes]:
        yield AUDIO
        deadline = time.monotonic() + 10
        while not (found := list(incoming.glob("*"))) and time.monotonic() < deadline:
            time.sleep(0.01)
        for path in found:
            path.unlink()  # somebody tidies up: the recording cannot be put into place any more
        yield AUDIO

    answer = there.client("pbx").put(f"/api/v1/uploads/kazoo/{NAME}", params={"caller": "4711"}, content=body())

    assert answer.status_code == 409, answer.text
    assert files(root / "kazoo") == {}


def test_a_key_gets_the_same_answer_even_after_the_file_was_ingested(there: World, root: Path) -> None:
    headers = {"idempotency-key": "call-4711"}
    first = there.client("pbx").put(f"/api/v1/uploads/kazoo/{NAME}", content=AUDIO, headers=headers)
    (root / "kazoo" / NAME).unlink()  # what the pipeline does once it is stored
    again = there.client("pbx").put(f"/api/v1/uploads/kazoo/{NAME}", content=AUDIO, headers=headers)
    assert again.status_code == 201 and again.json() == first.json()
    assert files(root / "kazoo") == {}
    other = there.client("pbx").put(f"/api/v1/uploads/kazoo/{NAME}", content=b"other", headers=headers)
    assert (other.status_code, other.json()["reason"]) == (409, "key-reused")


def test_some_pbxs_can_only_send_basic_credentials(there: World) -> None:
    with httpx.Client(base_url=there.url, trust_env=False, auth=("kazoo", there.tokens["pbx"])) as client:
        assert client.put(f"/api/v1/uploads/kazoo/{NAME}", content=AUDIO).status_code == 201


def test_a_token_uploads_only_where_it_may_and_the_rest_does_not_exist(there: World) -> None:
    def put(who: str, spool: str, name: str = NAME) -> httpx.Response:
        return there.client(who).put(f"/api/v1/uploads/{spool}/{name}", content=AUDIO)

    refused = {put("pbx", spool).content for spool in ("many", "globex", "none-such")}
    assert len(refused) == 1 and put("pbx", "globex").status_code == 404
    assert put("client", "kazoo").status_code == 404  # no role alone may upload
    assert put("limited", "kazoo").status_code == 404
    name = "acme/2025/03/27/in-201-02079460958-20250327-092517-1743042317.12.wav"
    assert put("limited", "many", name).status_code == 201


@pytest.mark.parametrize(
    "name",
    [
        "../outside.wav",
        "..%2foutside.wav",
        ".recpipe/lock.wav",
        ".hidden.wav",
        "x.exe",
        "a//b.wav",
        "a\u0000b.wav",
        "%2e%2e/x.wav",
    ],
)
def test_no_name_leads_out_of_the_spool(there: World, root: Path, name: str) -> None:
    before = {path for path in root.rglob("*") if path.is_file() and "data" not in path.parts}
    url = urlsplit(there.url)
    target = f"/api/v1/uploads/kazoo/{name}".replace("\0", "%00")
    with socket.create_connection((url.hostname or "", url.port or 0), timeout=10) as client:
        head = f"PUT {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {there.tokens['pbx']}\r\n"
        client.sendall(f"{head}Connection: close\r\nContent-Length: 4\r\n\r\nRIFF".encode())
        answer = b""
        while piece := client.recv(65536):
            answer += piece
    assert answer.split(b" ")[1] in (b"409", b"404", b"422"), answer
    assert {path for path in root.rglob("*") if path.is_file() and "data" not in path.parts} <= before | {
        root / "kazoo/.recpipe/id"
    }


def test_an_upload_that_breaks_off_leaves_nothing(there: World, root: Path) -> None:
    url = urlsplit(there.url)
    with socket.create_connection((url.hostname or "", url.port or 0), timeout=10) as client:
        head = f"PUT /api/v1/uploads/kazoo/{NAME} HTTP/1.1\r\nHost: localhost\r\n"
        head += f"Authorization: Bearer {there.tokens['pbx']}\r\n"
        client.sendall(f"{head}Content-Length: 1000000\r\n\r\n".encode() + AUDIO)
    incoming = root / "kazoo/.recpipe/incoming"
    assert there.client("pbx").put("/api/v1/uploads/kazoo/other.mp3", content=AUDIO).status_code == 201
    for _ in range(100):
        if not list(incoming.iterdir()):
            break
        time.sleep(0.05)
    assert not list(incoming.iterdir())
    assert set(files(root / "kazoo")) == {"other.mp3"}


@pytest.mark.parametrize(
    ("params", "word"),
    [
        ({"started_at": "yesterday"}, "started_at"),
        ({"duration_seconds": "nan"}, "duration_seconds"),
        ({"direction": "up"}, "direction"),
    ],
)
def test_a_fact_that_cannot_be_read_is_refused_before_anything_is_kept(
    there: World, root: Path, params: dict[str, str], word: str
) -> None:
    answer = there.client("pbx").put(f"/api/v1/uploads/kazoo/{NAME}", params=params, content=AUDIO)
    assert answer.status_code == 422 and word in answer.json()["detail"]
    assert files(root / "kazoo") == {}


@pytest.mark.parametrize(
    ("query", "facts"),
    [
        ("caller=+447700900124&callee=201", {"caller": "+447700900124", "callee": "201"}),
        ("caller=%2B447700900124", {"caller": "+447700900124"}),
        ("callee=sip:+4930123456@pbx.example", {"callee": "sip:+4930123456@pbx.example"}),
        ("caller_id_number=+447700900124&to=+4930123456@acme", {"caller": "+447700900124", "callee": "+4930123456"}),
        ("caller_name=Erin+Doyle", {"caller_name": "Erin Doyle"}),
        ("started_at=2026-09-09T17:11:18+01:00", {"started_at": "2026-09-09T17:11:18+01:00"}),
        ("started_at=2026-09-09T17:11:18.250+0100", {"started_at": "2026-09-09T17:11:18.250+0100"}),
        ("started_at=2026-09-09+17:11:18", {"started_at": "2026-09-09 17:11:18"}),
        ("started_at=2026-09-09+17:11:18-05:00", {"started_at": "2026-09-09 17:11:18-05:00"}),
    ],
)
def test_a_plus_that_is_written_as_it_is_means_a_plus_in_numbers_and_times(
    there: World, root: Path, query: str, facts: dict[str, str]
) -> None:
    answer = there.client("pbx").put(f"/api/v1/uploads/kazoo/{NAME}?{query}", content=AUDIO)
    assert answer.status_code == 201, answer.text
    assert json.loads(files(root / "kazoo")[f"{NAME}.json"]) == facts


def test_a_full_disk_and_a_bottomless_path_are_refused_before_anything_is_kept(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    spools = (Spool(path=tmp_path / "kazoo", tenant="acme", layout="kazoo"),)
    with world(tmp_path, spool=spools, upload_reserve_bytes=free * 2) as full:
        answer = full.client().put(f"/api/v1/uploads/kazoo/{NAME}", content=AUDIO)
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:recpipe:problem:no-room")
        assert int(answer.headers["retry-after"]) > 0
        deep = "/".join("d" * 17)
        assert full.client().put(f"/api/v1/uploads/kazoo/{deep}/{NAME}", content=AUDIO).status_code == 409
    assert files(tmp_path / "kazoo") == {}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\ntext\r\n--x--\r\n"),
        ("multipart/form-data; boundary=x", b"nonsense"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name=f; filename="a.wav"\r\n\r\nRIFF',
        ),
        ("multipart/form-data", b"--x"),
        ("application/json", b"{}"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name=f; filename="a.wav"\r\n\r\nRIFF\r\n'
            b'--x\r\nContent-Disposition: form-data; name=g; filename="b.wav"\r\n\r\nRIFF\r\n--x--\r\n',
        ),
    ],
)
def test_a_form_that_is_none_is_refused(there: World, root: Path, kind: str, body: bytes) -> None:
    answer = there.client("pbx").post("/api/v1/uploads/kazoo", content=body, headers={"content-type": kind})
    assert answer.status_code == 422, answer.text
    assert files(root / "kazoo") == {}


def test_a_sender_whose_files_are_refused_is_seen_by_operators(there: World) -> None:
    def refused() -> float:
        return metrics.REGISTRY.get_sample_value("recpipe_http_uploads_refused_total", {"reason": "not-found"}) or 0.0

    before = refused()
    with captured() as logs:
        for number in range(3):
            answer = there.client("limited").put(f"/api/v1/uploads/44770090{number}/{NAME}", content=AUDIO)
            assert answer.status_code == 404
    assert refused() == before + 3
    said = [entry for entry in logs if entry["event"] == "uploads refused"]
    assert len(said) <= 1 and all(entry["reason"] == "not-found" for entry in said)
    assert "44770090" not in str(said) and NAME not in str(said)
    # One of another kind is told of
    with captured() as logs:
        there.client("limited").put("/api/v1/uploads/many/acme/notes.txt", content=AUDIO)
        there.client("limited").put("/api/v1/uploads/many/acme/notes.txt", content=AUDIO)
    (told,) = (entry for entry in logs if entry["event"] == "uploads refused")
    assert told["reason"] == "spool-refused" and told["sender"]


def test_an_upload_is_on_the_audit_log(there: World) -> None:
    there.client("pbx").put(f"/api/v1/uploads/kazoo/{NAME}", content=AUDIO)
    event, *_ = there.client().get("/api/v1/audit", params={"tenant": "acme", "action": "upload"}).json()["items"]
    assert event["detail"] == {"spool": "kazoo", "bytes": len(AUDIO)} and event["outcome"] == "ok"


def test_faxes_are_sent_into_a_spool_for_faxes(there: World, root: Path, tmp_path: Path) -> None:
    fax, client = faxes.tiff(tmp_path / "fax.tif", 2).read_bytes(), there.client("fax-server")
    asked = {"caller": "+442071234567", "callee": "201", "direction": "inbound", "station_id": "Northwind"}
    assert client.put("/api/v1/uploads/fax/1743067517.12.tif", params=asked, content=fax).status_code == 201
    form = {"file": ("1743067517.13.pdf", b"%PDF-1.4", "application/pdf")}
    assert client.post("/api/v1/uploads/fax", files=form).status_code == 201
    found = files(root / "fax")
    assert json.loads(found.pop("1743067517.12.tif.json")) == asked
    assert found == {"1743067517.12.tif": fax, "1743067517.13.pdf": b"%PDF-1.4"}
    for name, words in (("call.wav", "is no fax"), ("fax.html", "is no fax")):
        refused = client.put(f"/api/v1/uploads/fax/{name}", content=fax)
        assert refused.status_code == 409 and words in refused.json()["detail"]
    refused = there.client("pbx").put("/api/v1/uploads/kazoo/fax.tif", content=fax)
    assert refused.status_code == 409 and 'layout = "fax"' in refused.json()["detail"]
