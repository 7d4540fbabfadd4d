"""What a request may look like before anybody asks what it wants: host, length, origin, cookie, size."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser

from recpipe.access import identity
from recpipe.access.principal import operator
from recpipe.errors import InputInvalid
from recpipe.model import Role
from recpipe.web.app import create_app
from recpipe.web.dashboard.forms import MOST_FIELDS, Fields
from recpipe.web.deps import SESSION_COOKIE
from recpipe.web.hosts import Hosts
from recpipe.web.security import MOST_FORM_BYTES, MOST_JSON_BYTES, MOST_LONG_FORM_BYTES, is_cross_site
from tests.integration.api import World, served, world
from tests.services.browser import OFFICE
from tests.services.logs import captured

PASSWORD = "three quiet lamps"
PORTAL = "https://portal.example"


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("door"), http_allowed_hosts=[OFFICE, "*.internal"]) as made:
        yield made


@pytest.fixture(scope="module")
def portal(there: World) -> Iterator[str]:
    """The same behind https."""
    settings = there.parts.settings.model_copy(update={"http_url": PORTAL})
    with served(replace(there.context, parts=replace(there.parts, settings=settings))) as url:
        yield url


def say(url: str, request: bytes, origin: str = "127.0.0.1") -> tuple[bytes, bool]:
    """What comes back within a moment, and whether the server closed the connection."""
    place = urlsplit(url)
    with socket.create_connection((place.hostname or "", place.port or 0), 10, (origin, 0)) as client:
        answer = b""
        try:
            client.sendall(request)
            while piece := client.recv(65536):
                answer += piece
                client.settimeout(1)
        except TimeoutError:
            return answer, False
        except (ConnectionResetError, BrokenPipeError):
            pass
        return answer, True


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


# --- the Host -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "taken"),
    [
        ("127.0.0.1", True),
        ("127.0.0.1:1", True),
        ("localhost:8080", True),
        ("LocalHost.", True),
        ("app.localhost", True),
        ("[::1]:80", True),
        ("10.20.30.40:8080", True),
        ("recordings.lan", True),
        ("a.b.internal:80", True),
        ("internal", False),
        ("evil.com", False),
        ("evil.com:8080", False),
        ("127.0.0.1.evil.com", False),
        ("127.0.0.1@evil.com", False),
        ("recordings.lan.evil.com", False),
        ("evilrecordings.lan", False),
        ("localhost.evil.com", False),
        ("notinternal", False),
        ("2130706433", False),
        ("[evil.com]", False),
        ("::1", False),
        ("", False),
    ],
)
def test_only_our_own_names_are_answered(there: World, host: str, taken: bool) -> None:
    answer, _ = say(there.url, f"GET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert status(answer) == (200 if taken else 421), answer
    assert (b"recpipe_http_requests_total" in answer) == taken
    assert taken or b"RECPIPE_HTTP_ALLOWED_HOSTS" in answer


def test_the_name_of_the_public_url_is_ours_and_an_asterisk_takes_all(there: World, portal: str) -> None:
    for host in ("portal.example", "portal.example:443"):
        assert httpx.get(portal, headers={"host": host}, trust_env=False).status_code == 303
        assert httpx.get(there.url, headers={"host": host}, trust_env=False).status_code == 421
    assert Hosts(["*"]).take("anything.example") and not Hosts(["*"]).take("a b")
    assert Hosts.of(there.parts.settings, "recorder.example:8080").take("recorder.example")


def test_a_refused_name_is_logged_with_the_setting_that_would_take_it(there: World) -> None:
    with captured() as events:
        for _ in range(3):
            say(there.url, b"GET /sign-in HTTP/1.1\r\nHost: unlogged.example\r\n\r\n")
    [event] = [event for event in events if event["event"] == "request for another host refused"]
    assert "unlogged.example" in event["host"] and "http_allowed_hosts" in event["hint"]


def test_health_is_told_under_every_name(there: World) -> None:
    for path in ("/healthz", "/readyz"):
        assert status(say(there.url, f"GET {path} HTTP/1.1\r\nHost: evil.com\r\n\r\n".encode())[0]) == 200
    assert status(say(there.url, b"GET /healthz HTTP/1.0\r\n\r\n")[0]) == 200


@pytest.mark.parametrize(
    ("request_head", "expected"),
    [
        # The host of the target counts, whatever the header says. Source: RFC 9112 section 3.2.2.
        (b"GET http://evil.com/metrics HTTP/1.1\r\nHost: localhost\r\n", 421),
        (b"GET HTTP://localhost/metrics HTTP/1.1\r\nHost: localhost\r\n", 200),
        (b"GET http://localhost/metrics HTTP/1.1\r\nHost: evil.com\r\n", 200),
        (b"GET http://localhost?x=1 HTTP/1.1\r\nHost: localhost\r\n", 303),
        (b"GET http://localhost@evil.com/metrics HTTP/1.1\r\nHost: localhost\r\n", 421),
        (b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: evil.com\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nHost: localhost, evil.com\r\n", 421),
        (b"GET /metrics HTTP/1.1\r\n", 400),
        (b"GET //evil.com/metrics HTTP/1.1\r\nHost: localhost\r\n", 404),
    ],
)
def test_a_request_has_one_host(there: World, request_head: bytes, expected: int) -> None:
    answer, _ = say(there.url, request_head + b"\r\n")
    assert status(answer) == expected, answer


# --- where a body ends ----------------------------------------------------------------------------------------

_POST = b"POST /api/v1/certificates/check HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
_SMUGGLED = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n",
        b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd",
        b"Content-Length: 4, 5\r\n\r\nabcd",
        b"Content-Length: +4\r\n\r\nabcd",
        b"Content-Length: -4\r\n\r\nabcd",
        b"Content-Length: 0x4\r\n\r\nabcd",
        b"Content-Length: 4 4\r\n\r\nabcd",
        b"Content-Length: 4_0\r\n\r\nabcd",
        b"Content-Length: \r\n\r\nabcd",
        b"Content-Length : 4\r\n\r\nabcd",
        b"Content-Length: 99999999999999999999999999\r\n\r\nabcd",
        b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: identity\r\n\r\n",
        b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n-1\r\na\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n1;" + b"a" * 200_000 + b"\r\na\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n" + b"0" * 40 + b"1\r\na\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * 40_000 + b"\r\n",
    ],
)
def test_a_body_whose_end_is_in_doubt_ends_the_connection(there: World, framing: bytes) -> None:
    answer, closed = say(there.url, _POST + framing + _SMUGGLED)
    assert closed and answer.count(b"HTTP/1.1 ") <= 1 and b"alive" not in answer, answer
    assert not answer or status(answer) in (400, 413, 431, 501), answer


def test_a_chunked_body_of_http_1_0_ends_the_connection(there: World) -> None:
    request = _POST.replace(b"HTTP/1.1", b"HTTP/1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + _SMUGGLED
    answer, closed = say(there.url, request)
    assert closed and status(answer) == 400 and b"alive" not in answer


def test_a_folded_line_is_one_header_and_hides_no_other(there: World) -> None:
    folded = b"X-A: b\r\n Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}"
    answer, _ = say(there.url, _POST + folded + _SMUGGLED)
    statuses = [int(code) for code in re.findall(rb"HTTP/1\.1 (\d+)", answer)]
    assert statuses in ([400], [401, 200], [422, 200]), answer


@pytest.mark.parametrize("size", [40, 600, 60_000])
def test_chunk_extensions_are_no_way_around_the_size_of_a_body(there: World, size: int) -> None:
    chunk = b"1;" + b"a" * size + b"\r\n \r\n"
    answer, closed = say(there.url, _POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * (1_000_000 // size))
    assert closed and (not answer or status(answer) in (400, 413)), answer[:200]


# --- where a request comes from -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "cross"),
    [
        ("https://portal.example", False),
        ("http://portal.example", True),
        ("https://portal.example:444", True),
        ("https://portal.example.evil.com", True),
        ("null", True),
        ("", True),
        ("portal.example", True),
    ],
)
def test_a_change_comes_from_our_own_origin_with_its_scheme(portal: str, origin: str, cross: bool) -> None:
    headers = {"host": "portal.example", "origin": origin}
    answer = httpx.post(f"{portal}/sign-in", data={"username": "x"}, headers=headers, trust_env=False, timeout=60)
    assert (b"came from another site" in answer.content) == cross


@pytest.mark.parametrize("origin", ["https://localhost", "null", "http://localhost:1"])
def test_another_scheme_or_port_of_our_host_is_another_origin(origin: str) -> None:
    assert is_cross_site("POST", "http", {"host": "localhost", "origin": origin}, frozenset())
    assert not is_cross_site("POST", "http", {"host": "localhost", "origin": "http://localhost"}, frozenset())


def test_our_own_forms_say_where_they_come_from(there: World, browser: Browser) -> None:
    """Over http browsers send no Sec-Fetch-Site, and `Origin: null` from a page that tells no referrer."""
    there.parts.accounts.create(operator("test"), "bea", Role.CLIENT, password=PASSWORD, grants={there.acme.id: []})
    with closing(browser.new_context()) as visit:
        page = visit.new_page()
        page.goto(f"{there.url.replace('127.0.0.1', OFFICE)}/sign-in")
        page.get_by_label("User name").fill("bea")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/statistics")


# --- the cookie -----------------------------------------------------------------------------------------------


def a_session(there: World, name: str) -> str:
    by = operator("test")
    user = there.parts.accounts.create(by, name, Role.CLIENT, grants={there.acme.id: []}).user
    principal = identity.of_user(user, there.parts.accounts.get(by, user.id).grants, "")
    return there.parts.access.sessions.start(principal, "127.0.0.1", "test")


def test_over_https_only_a_cookie_of_this_very_host_counts(there: World, portal: str) -> None:
    secret = a_session(there, "cookie")
    for name, counts in ((f"__Host-{SESSION_COOKIE}", True), (SESSION_COOKIE, False)):
        for path, refused in (("/account", 303), ("/api/v1/me", 401)):
            answer = httpx.get(portal + path, headers={"cookie": f"{name}={secret}"}, trust_env=False)
            assert answer.status_code == (200 if counts else refused), (name, path)
    # Both at once, as after an upgrade or where a sibling host planted one.
    both = f"{SESSION_COOKIE}=planted; __Host-{SESSION_COOKIE}={secret}"
    assert httpx.get(f"{portal}/account", headers={"cookie": both}, trust_env=False).status_code == 200
    over_http = {"cookie": f"{SESSION_COOKIE}={secret}"}
    assert httpx.get(f"{there.url}/account", headers=over_http, trust_env=False).status_code == 200


def test_over_https_browsers_are_told_to_come_by_https_alone(there: World, portal: str) -> None:
    for path in ("/", "/sign-in", "/healthz", "/api/v1/me", "/nowhere"):
        told = httpx.get(portal + path, trust_env=False).headers["strict-transport-security"]
        assert told == "max-age=31536000; includeSubDomains", path
    assert "strict-transport-security" not in httpx.get(f"{there.url}/sign-in", trust_env=False).headers


def test_signing_out_takes_the_cookie_away_as_browsers_want_it(there: World, portal: str) -> None:
    headers = {"cookie": f"__Host-{SESSION_COOKIE}={a_session(there, 'leaver')}", "sec-fetch-site": "same-origin"}
    answer = httpx.post(f"{portal}/sign-out", headers=headers, trust_env=False)
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith(f"__host-{SESSION_COOKIE}=") and "max-age=0" in cookie
    assert "secure" in cookie and "path=/;" in f"{cookie};" and "domain" not in cookie


# --- how much -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "most"),
    [
        ("/sign-in", MOST_FORM_BYTES),
        ("/register", MOST_FORM_BYTES),
        ("/recover", MOST_FORM_BYTES),
        ("/welcome/oidc", MOST_FORM_BYTES),
        ("/services/new", MOST_FORM_BYTES),
        ("/nowhere", MOST_FORM_BYTES),
        ("/addons/check", MOST_LONG_FORM_BYTES),
        ("/recordings/zip", MOST_LONG_FORM_BYTES),
        ("/users/new", MOST_LONG_FORM_BYTES),
        ("/api/v1/certificates/check", MOST_JSON_BYTES),
    ],
)
def test_a_larger_body_is_refused_before_it_is_read(there: World, path: str, most: int) -> None:
    kind = b"application/json" if path.startswith("/api") else b"application/x-www-form-urlencoded"
    token = there.tokens["administrator"].encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\n".encode()
    head += b"Content-Type: " + kind + b"\r\nAuthorization: Bearer " + token + b"\r\n"
    answer, _ = say(there.url, head + b"Content-Length: %d\r\n\r\n" % (most + 1))
    assert status(answer) == 413 and f"{most:,} bytes".encode() in answer, answer
    if path in ("/sign-in", "/api/v1/certificates/check"):  # elsewhere nothing of it is read at all
        chunk = b"%x\r\n" % (most + 1) + b"a" * (most + 1) + b"\r\n0\r\n\r\n"
        answer, _ = say(there.url, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk)
        assert status(answer) == 413, answer


def test_nothing_is_read_of_whoever_is_not_signed_in(there: World) -> None:
    app = create_app(there.context)
    open_to_all = {"/sign-in", "/sign-in/code", "/recover", "/recover/link", "/welcome", "/welcome/oidc"}
    open_to_all |= {"/register", "/register/link", "/confirm-email", "/shared"}
    open_to_all |= {"/sign-in/passkey", "/sign-in/passkey/options"}
    paths = {
        re.sub(r"{[^}]*}", "x", route.path)
        for route in app.routes  # themselves: FastAPI makes each anew that it finds by way of a router
        if "POST" in (getattr(route, "methods", None) or ()) and not route.path.startswith("/api/")
    }
    assert open_to_all < paths and len(paths) > 20
    for path in paths - open_to_all:
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        answer, _ = say(there.url, f"{head}Connection: close\r\nContent-Length: 60000\r\n\r\n".encode())
        assert answer and status(answer) == 303 and b"location: /sign-in" in answer, (path, answer)


def test_the_api_reads_nothing_of_whoever_has_no_token(there: World) -> None:
    document = httpx.get(f"{there.url}/api/v1/openapi.json", trust_env=False).json()
    with_body = [
        (method.upper(), re.sub(r"{[^}]*}", "x", path))
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if "requestBody" in operation
    ]
    assert len(with_body) > 15 and {method for method, _ in with_body} >= {"POST", "PUT", "PATCH", "DELETE"}
    wrong = ("Authorization: Bearer rp_wrong\r\n", f"Cookie: {SESSION_COOKIE}=wrong\r\n")
    for method, path in with_body:
        for credentials in ("", *(wrong if path.endswith("/check") else ())):
            head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{credentials}"
            answer, _ = say(
                there.url, f"{head}Connection: close\r\nContent-Length: 200000\r\n\r\n{{".encode(), "127.0.0.9"
            )
            assert answer and status(answer) == 401, (method, path, credentials, answer)
            assert b"www-authenticate" in answer.lower()
    # Whoever is known is told what is wrong with the body.
    for body in ("{", "[]"):
        assert there.client().post("/api/v1/certificates/check", content=body).status_code == 422


def test_a_form_that_is_costly_to_parse_holds_up_nobody_else(there: World) -> None:
    costly = [
        ("application/x-www-form-urlencoded", b"username=" + b"%41" * 21_000),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n" * 1_200),
    ]
    for kind, body in costly:
        slowest, ended = 0.0, threading.Event()

        def post(kind: str = kind, body: bytes = body, ended: threading.Event = ended) -> None:
            with httpx.Client(base_url=there.url, trust_env=False, timeout=60) as client:
                for _ in range(5):
                    client.post("/recover", content=body, headers={"content-type": kind})
            ended.set()

        thread = threading.Thread(target=post)
        thread.start()
        with closing(httpx.Client(base_url=there.url, trust_env=False)) as client:
            while not ended.is_set():
                begun = time.monotonic()
                assert client.get("/healthz").status_code == 200
                slowest = max(slowest, time.monotonic() - begun)
        thread.join()
        assert slowest < 0.5, kind


@pytest.mark.parametrize(
    "body",
    [b"[" * 200_000, b'{"pasted":' * 20_000, b'{"pasted": ' + b"[" * 900 + b"]" * 900 + b"}", b"1" * 5000, b"\xff"],
)
def test_json_that_is_deep_or_odd_is_just_refused(there: World, body: bytes) -> None:
    answer = there.client().post(
        "/api/v1/certificates/check", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code in (400, 422) and answer.headers["content-type"] == "application/problem+json"


# --- forms ----------------------------------------------------------------------------------------------------


def test_a_form_is_read_as_browsers_send_it() -> None:
    typed = Fields.of("application/x-www-form-urlencoded; charset=UTF-8", b"a=1&a=2+3&b=%C3%BC%2B&c=&d=%FF")
    assert typed.all("a") == ["1", "2 3"] and typed.text("b") == "ü+" and typed.text("c", "x") == ""
    assert typed.text("none", "x") == "x" and typed.text("d") == "\ufffd" and not typed.on("c")
    parts = (
        b'--b\r\nContent-Disposition: form-data; name="t"\r\n\r\n\xc3\xbc\r\n'
        b'--b\r\nContent-Disposition: form-data; name="f"; filename="x.pem"\r\nContent-Type: text/plain\r\n\r\n'
        + b"y" * 70_000
        + b"\r\n--b--\r\n"
    )
    sent = Fields.of("multipart/form-data; boundary=b", parts)
    assert sent.text("t") == "ü" and sent.file("f") == b"y" * 70_000 and sent.file("t") == b""


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--b",
        b"--b\r\n\r\nno disposition\r\n--b--\r\n",
        b"--b\r\nContent-Disposition: form-data\r\n\r\nno name\r\n--b--\r\n",
        b"--b\r\nContent-Disposition: ;;;\r\n\r\n\r\n--b--\r\n",
        b'--b\r\nContent-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: base64\r\n\r\n*\r\n--b--\r\n',
        b"--b\r\n" + b"a: b\r\n" * 1000 + b"\r\n",
        b"\x00" * 1000,
    ],
)
@pytest.mark.parametrize("boundary", ["; boundary=b", "", '; boundary=""', "; boundary=" + "b" * 500])
def test_a_form_that_is_none_has_no_fields_or_is_refused_in_words(body: bytes, boundary: str) -> None:
    try:
        fields = Fields.of(f"multipart/form-data{boundary}", body)
    except InputInvalid as refused:
        assert "Reload the page" in str(refused)
    else:
        assert fields.text("x") == "" and fields.file("x") == b""


def test_a_form_of_too_many_fields_is_refused(there: World) -> None:
    answer = httpx.post(
        f"{there.url}/sign-in",
        content=b"a&" * (MOST_FIELDS + 1),
        headers={"content-type": "application/x-www-form-urlencoded"},
        trust_env=False,
    )
    assert answer.status_code == 422 and "fields" in answer.text
