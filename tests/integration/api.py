"""A small world behind the API: two tenants with recordings, and somebody of every role with a token."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from recpipe import wiring
from recpipe.access import tokens
from recpipe.access.principal import Action, operator
from recpipe.catalogue.repository import new_id
from recpipe.model import (
    AudioFacts,
    CallFacts,
    Container,
    Direction,
    Envelope,
    Recording,
    Role,
    StoreFormat,
    Tenant,
    Token,
)
from recpipe.settings import Settings
from recpipe.store.layout import new_object_key
from recpipe.web.app import create_app
from recpipe.web.connections import Config, Server
from recpipe.web.deps import WebContext
from tests.services.sqlite import new_catalogue

START = datetime(2025, 3, 27, 9, 25, 17, tzinfo=UTC)
SECRET_NUMBER = "02079460958"


@dataclass
class World:
    """What there is, and how to reach it."""

    parts: wiring.Parts
    context: WebContext
    acme: Tenant
    globex: Tenant
    url: str = ""
    tokens: dict[str, str] = field(default_factory=dict)
    recordings: dict[str, Recording] = field(default_factory=dict)
    bodies: dict[str, bytes] = field(default_factory=dict)
    _clients: dict[str | None, httpx.Client] = field(default_factory=dict)

    def client(self, who: str | None = "administrator") -> httpx.Client:
        """A client that is this one of `tokens`, or nobody; open as long as the world."""
        if who not in self._clients:
            headers = {} if who is None else {"authorization": f"Bearer {self.tokens[who]}"}
            self._clients[who] = httpx.Client(base_url=self.url, headers=headers, trust_env=False, timeout=30)
        return self._clients[who]

    def close(self) -> None:
        for client in self._clients.values():
            client.close()

    def token(self, name: str, role: Role, scopes: tuple[str, ...], grants: dict[str, list[str]]) -> str:
        """Make a user of this role and a token for it."""
        by = operator("test")
        parts = self.parts
        user = parts.accounts.create(by, name, role, grants=grants).user
        secret = tokens.new_token()
        with parts.catalogue.begin() as work:
            work.tokens.add(
                Token(new_id(), user.id, name, secret[:8], tokens.fingerprint(secret), scopes, parts.clock())
            )
        self.tokens[name] = secret
        return secret

    def add(
        self, key: str, tenant: Tenant, body: bytes, *, sealed: bool = False, minutes: int = 0, **facts: Any
    ) -> Recording:
        """Store a body and its row, as the pipeline would."""
        recording_id = hashlib.sha256(f"{tenant.id}{key}".encode()).hexdigest()[:32]
        object_key = new_object_key(tenant.id, recording_id, "0" * 8)
        stored = self.parts.store.put(object_key, io.BytesIO(body), len(body))  # type: ignore[arg-type]
        started = START + timedelta(minutes=minutes)
        name = facts.pop("name", f"{key}.wav")
        all_facts = {
            "started_at": started,
            "timezone": tenant.timezone,
            "direction": Direction.INBOUND,
            "caller": SECRET_NUMBER,
            "callee": "201",
            "caller_name": "Erin Doyle",
            "extension": "201",
            "call_id": f"call-{key}",
        }
        recording = Recording(
            id=recording_id,
            tenant_id=tenant.id,
            name=name + (".enc" if sealed else ""),
            day=f"{started:%Y-%m-%d}",
            started_at=started,
            timezone=tenant.timezone,
            duration_ms=61_520,
            facts=CallFacts(**(all_facts | facts)),
            audio=AudioFacts(Container.WAV, "pcm_s16le", 8000, 1, 61_520, 492_160, 44, max(0, len(body) - 44)),
            caller_e164="+442079460958",
            callee_e164="",
            source_name=name,
            source_sha256=hashlib.sha256(body).hexdigest(),
            content_bytes=len(body),
            content_sha256=hashlib.sha256(body).hexdigest(),
            object_key=object_key,
            stored_bytes=stored.size_bytes,
            stored_sha256=stored.sha256,
            envelope=Envelope(10, len(body) - 10, bytes(16), ("ab" * 32,)) if sealed else None,
            spool="monitor",
            ingested_at=started + timedelta(minutes=1),
        )
        with self.parts.catalogue.begin() as work:
            (added,) = work.of(tenant.id).recordings.add_many([recording])
        self.recordings[key] = added.recording
        self.bodies[key] = body
        return added.recording


def tenant(name: str, timezone: str = "Europe/London") -> Tenant:
    return Tenant(
        id=new_id(),
        name=name,
        title=name.title(),
        timezone=timezone,
        region="GB",
        encryption=False,
        store_format=StoreFormat.SOURCE,
        created_at=START,
    )


@contextmanager
def world(root: Path, **settings: Any) -> Iterator[World]:
    """Open everything below `root` on SQLite and a folder, or what the settings say."""
    chosen = Settings(**({"data_dir": root / "data"} | settings))
    if not chosen.database_url.get_secret_value():
        new_catalogue(chosen.data_dir / "recpipe.sqlite3")
    with wiring.open_parts(chosen) as parts:
        made = filled(parts)
        with served(made.context) as made.url, closing(made):
            yield made


def filled(parts: wiring.Parts) -> World:
    """Put two tenants, some recordings, and somebody of every role into what was opened."""
    with parts.catalogue.begin() as work:
        acme = work.tenants.add(tenant("acme"))
        globex = work.tenants.add(tenant("globex", "America/New_York"))
    made = World(parts, WebContext.of(parts), acme, globex)
    body = bytes(range(256)) * 40
    made.add("one", acme, body)
    made.add("two", acme, body[::-1], sealed=True, minutes=5, direction=Direction.OUTBOUND, extension="202")
    made.add("three", acme, b"RIFF" + bytes(5000), minutes=10, caller="202", name='ünï "quoted".wav')
    made.add("foreign", globex, b"not for acme" * 100)
    every = tuple(action.value for action in Action)
    made.token("administrator", Role.ADMINISTRATOR, every, {})
    made.token("api", Role.API, every, {acme.id: []})
    made.token("client", Role.CLIENT, every, {acme.id: []})
    made.token("service", Role.SERVICE, every, {acme.id: ["search"]})
    made.token("stranger", Role.CLIENT, every, {globex.id: []})
    return made


@contextmanager
def served(context: WebContext) -> Iterator[str]:
    """The product's server on a real socket; its URL."""
    server = Server(Config(create_app(context), context.parts.settings, host="127.0.0.1", port=0))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        threading.Event().wait(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
