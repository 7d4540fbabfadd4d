"""A real OpenID provider on loopback: Authlib's authorization server over TLS, with people who sign in by a click.

What it signs can be bent, so that a test sees whether the other side looks: `issuer.bend = lambda claims: ...`.
"""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import httpx
from authlib.common.security import generate_token
from authlib.oauth2.rfc6749 import AuthorizationServer, OAuth2Payload, OAuth2Request
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant
from authlib.oauth2.rfc6749.util import list_to_scope, scope_to_list
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc9207 import IssuerParameter
from authlib.oidc.core.grants import OpenIDCode
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from tests.services.certificates import KeyPair, KeyPairs, spare_key

Claims = dict[str, Any]


@dataclass
class Person:
    """Somebody who has an account there."""

    sub: str
    email: str = ""
    amr: tuple[str, ...] = ()
    acr: str = ""


@dataclass
class Code:
    code: str
    client_id: str
    redirect_uri: str
    scope: str
    nonce: str
    code_challenge: str
    code_challenge_method: str
    person: Person

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> str:
        return self.nonce

    def get_auth_time(self) -> None:
        return None

    def get_acr(self) -> str:
        return self.person.acr

    def get_amr(self) -> list[str]:
        return list(self.person.amr)


@dataclass
class Client:
    client_id: str
    secret: str
    redirect_uris: set[str]

    def get_client_id(self) -> str:
        return self.client_id

    def get_default_redirect_uri(self) -> str:
        return next(iter(self.redirect_uris))

    def get_allowed_scope(self, scope: str) -> str:
        return list_to_scope(scope_to_list(scope))

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri in self.redirect_uris

    def check_client_secret(self, client_secret: str) -> bool:
        return self.secret == client_secret

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == ("client_secret_basic" if self.secret else "none")

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "authorization_code"


@dataclass
class Issuer:
    """What a test turns."""

    url: str = ""
    person: Person = field(default_factory=lambda: Person("sub-ann", "ann@example.com"))
    clients: dict[str, Client] = field(default_factory=dict)
    codes: dict[str, Code] = field(default_factory=dict)
    clock: Callable[[], float] = time.time
    bend: Callable[[Claims], Claims] = lambda claims: claims
    header: Claims = field(default_factory=dict)
    key: RSAKey = field(default_factory=lambda: new_key("one"))
    published: list[RSAKey] = field(default_factory=list)
    metadata: Claims = field(default_factory=dict)  # over what it says of itself
    down: bool = False  # for servers; people still see its pages
    asked: list[str] = field(default_factory=list)
    holding: threading.Event = field(default_factory=threading.Event)  # somebody asked for /hold
    let_go: threading.Event = field(default_factory=threading.Event)

    def client(self, client_id: str, redirect_uri: str, secret: str = "") -> None:
        known = self.clients.get(client_id)
        self.clients[client_id] = Client(client_id, secret, {redirect_uri, *(known.redirect_uris if known else ())})

    def reset(self) -> None:
        """As it was at first, with the key and the clients that it has: a key takes long to make."""
        self.person, self.bend = Person("sub-ann", "ann@example.com"), lambda claims: claims
        self.header, self.metadata, self.down, self.published = {}, {}, False, []
        self.asked.clear()
        self.holding.clear()
        self.let_go.clear()


def sign(header: Claims, claims: Claims, key: RSAKey, algorithms: list[str]) -> str:
    return jwt.encode(header, claims, key, algorithms)


def new_key(kid: str) -> RSAKey:
    return RSAKey.import_key(spare_key(), {"kid": kid, "use": "sig", "alg": "RS256"})


class _Payload(OAuth2Payload):
    def __init__(self, data: dict[str, str]) -> None:
        self._data = data

    @property
    def data(self) -> dict[str, str]:
        return self._data

    @cached_property
    def datalist(self) -> defaultdict[str, list[str]]:
        return defaultdict(list, {name: [value] for name, value in self._data.items()})


class _Request(OAuth2Request):
    def __init__(self, method: str, url: str, headers: Any, data: dict[str, str]) -> None:
        super().__init__(method, url, headers=headers)
        self._data = data
        self.payload = _Payload(data)

    @property
    def args(self) -> dict[str, str]:
        return self._data

    @property
    def form(self) -> dict[str, str]:
        return self._data


@dataclass
class _Answer:
    status: int
    body: Any
    headers: list[tuple[str, str]]

    @property
    def location(self) -> str:
        return dict(self.headers).get("Location", "")

    @location.setter
    def location(self, url: str) -> None:
        self.headers = [(name, url if name == "Location" else value) for name, value in self.headers]


class _Server(AuthorizationServer):
    def __init__(self, issuer: Issuer) -> None:
        super().__init__()
        self.issuer = issuer
        self.register_token_generator("default", BearerTokenGenerator(lambda *_a, **_k: generate_token(40)))
        self.register_grant(_Codes, [_IdTokens(require_nonce=True), CodeChallenge(required=True)])
        self.register_extension(_IssuerParameter)

    def query_client(self, client_id: str) -> Client | None:
        return self.issuer.clients.get(client_id)

    def save_token(self, token: Any, request: Any) -> None:
        pass

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        pass

    def create_oauth2_request(self, request: Any) -> Any:
        return request

    def handle_response(self, status: int, body: Any, headers: Any) -> _Answer:
        return _Answer(status, body, list(headers))


class _IssuerParameter(IssuerParameter):
    def __init__(self, server: _Server) -> None:
        self._issuer = server.issuer
        self(server)

    def get_issuer(self) -> str:
        return self._issuer.url


class _Codes(AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic", "none")

    def save_authorization_code(self, code: str, request: Any) -> Code:
        data = request.payload.data
        kept = Code(
            code,
            request.client.client_id,
            data["redirect_uri"],
            data["scope"],
            data.get("nonce", ""),
            data["code_challenge"],
            data["code_challenge_method"],
            self.server.issuer.person,
        )
        self.server.issuer.codes[code] = kept
        return kept

    def query_authorization_code(self, code: str, client: Client) -> Code | None:
        found = self.server.issuer.codes.get(code)
        return found if found is not None and found.client_id == client.client_id else None

    def delete_authorization_code(self, authorization_code: Code) -> None:
        del self.server.issuer.codes[authorization_code.code]

    def authenticate_user(self, authorization_code: Code) -> Person:
        return authorization_code.person


class _IdTokens(OpenIDCode):
    def exists_nonce(self, nonce: str, request: Any) -> bool:
        return False

    def generate_user_info(self, user: Person, scope: str) -> Claims:
        return {"sub": user.sub, "email": user.email}

    def encode_id_token(self, token: Claims, request: Any) -> str:
        issuer = request.client_issuer
        now = int(issuer.clock())
        claims = {
            "iss": issuer.url,
            "aud": request.client.client_id,
            "iat": now,
            "exp": now + 300,
            **self.get_authorization_code_claims(request.authorization_code),
            **self.generate_user_info(request.user, token["scope"]),
        }
        header = {"alg": "RS256", "kid": issuer.key.kid, **issuer.header}
        return sign(header, issuer.bend(claims), issuer.key, [header["alg"]])


@contextmanager
def serve_issuer(pair: KeyPair) -> Iterator[Issuer]:
    """Serve one until the block ends.

    Args:
        pair: its certificate for 127.0.0.1, which is the authority to trust as well.
    """
    issuer = Issuer()
    server = _Server(issuer)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            at = urlsplit(self.path)
            issuer.asked.append(at.path)
            if at.path == "/authorize":
                # The page of the provider, where a person says yes.
                self._say(200, "text/html", f'<form action="/allow?{at.query}" method="post"><button>Allow</button>')
            elif issuer.down:
                self._say(503, "text/html", "<h1>Down for maintenance</h1>")
            elif at.path == "/.well-known/openid-configuration":
                self._json(200, _metadata(issuer))
            elif at.path == "/list":
                self._json(200, [1])
            elif at.path == "/hold":
                issuer.holding.set()
                issuer.let_go.wait(60)
                self._say(200, "text/plain", "")
            elif at.path == "/drip":
                self._drip()
            elif at.path == "/keys":
                keys = KeySet(issuer.published or [issuer.key])
                self._json(200, keys.as_dict(private=False))
            else:
                self._say(404, "text/plain", "nothing here")

        def do_POST(self) -> None:
            at = urlsplit(self.path)
            issuer.asked.append(at.path)
            body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
            if issuer.down and at.path != "/allow":
                self._say(503, "text/html", "<h1>Down for maintenance</h1>")
                return
            data = dict(parse_qsl(at.query if at.path == "/allow" else body))
            request = _Request("GET" if at.path == "/allow" else "POST", issuer.url + self.path, self.headers, data)
            request.client_issuer = issuer
            if at.path == "/allow":
                grant = server.get_consent_grant(request, issuer.person)
                answer = server.create_authorization_response(request, grant_user=issuer.person, grant=grant)
            else:
                answer = server.create_token_response(request)
            if answer.location:
                self._say(302, "text/plain", "", location=answer.location)
            else:
                self._json(answer.status, answer.body)

        def _drip(self) -> None:
            """A header that never ends, a byte now and then: no read of a socket times out."""
            with suppress(OSError):
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
                while not issuer.let_go.wait(0.05):
                    self.wfile.write(b"x")

        def _json(self, status: int, document: Any) -> None:
            self._say(status, "application/json", json.dumps(document))

        def _say(self, status: int, kind: str, text: str, **headers: str) -> None:
            content = text.encode()
            self.send_response(status)
            for name, value in {"content-type": kind, "content-length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pair.certificate_path, pair.key_path)
    http.socket = tls.wrap_socket(http.socket, server_side=True)
    http.daemon_threads = True
    issuer.url = f"https://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield issuer
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


def _metadata(issuer: Issuer) -> Claims:
    return {
        "issuer": issuer.url,
        "authorization_endpoint": f"{issuer.url}/authorize",
        "token_endpoint": f"{issuer.url}/token",
        "jwks_uri": f"{issuer.url}/keys",
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "authorization_response_iss_parameter_supported": True,
        **issuer.metadata,
    }


def loopback_pair(key_pairs: KeyPairs) -> KeyPair:
    """A certificate for 127.0.0.1."""
    return key_pairs.get("issuer", "-addext", "subjectAltName=IP:127.0.0.1")


def say_yes(url: str, pair: KeyPair) -> dict[str, str]:
    """What a browser brings back: the person says yes on the page of the provider."""
    at = urlsplit(url)
    trust = ssl.create_default_context(cafile=pair.certificate_path)
    with httpx.Client(verify=trust) as client:
        answer = client.post(f"{at.scheme}://{at.netloc}/allow?{at.query}")
    assert answer.status_code == 302, answer.text
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}


def changed(url: str, **parameters: str) -> str:
    """The address with some parameters replaced."""
    at = urlsplit(url)
    return at._replace(query=urlencode({**dict(parse_qsl(at.query)), **parameters})).geturl()
