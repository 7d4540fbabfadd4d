"""One case for every operation of the API: how to call it with a given set of ids. A new operation needs a new case."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from recpipe.access import identity
from recpipe.access.principal import operator
from recpipe.tenants.changes import Kind
from tests.integration.api import START, World
from tests.services.certificates import spare_key

API = "/api/v1"
LATER = f"{datetime.now(UTC) + timedelta(days=7):%Y-%m-%dT%H:%M:%SZ}"


@dataclass(frozen=True, slots=True)
class Case:
    """How to call an operation. `{name}` in texts is replaced by the ids of a tenant, or by ids that nobody has."""

    path: str
    method: str = "GET"
    params: dict[str, str] = field(default_factory=dict)
    json: Any = None
    content: bytes | None = None
    text: str = ""  # what kind of content it is
    makes: bool = False  # what is named and not there yet
    names_nobody: bool = False  # takes no id of anybody: only what it shows matters

    def call(self, client: httpx.Client, ids: dict[str, str]) -> httpx.Response:
        return client.request(
            self.method,
            API + self.path.format(**ids),
            params={name: value.format(**ids) for name, value in self.params.items()},
            json=_filled(self.json, ids),
            content=self.content,
            headers={"content-type": self.text} if self.text else None,
        )


def _filled(value: Any, ids: dict[str, str]) -> Any:
    if isinstance(value, str):
        return value.format(**ids)
    if isinstance(value, list):
        return [_filled(one, ids) for one in value]
    if isinstance(value, dict):
        return {name: _filled(one, ids) for name, one in value.items()}
    return value


_T = "/tenants/{tenant}"
_C = f"{_T}/certificates"
_F = f"{_T}/ftp-accounts"
_P = "/policy/{tenant}"

# In this order they can all be carried out once: what destroys comes last.
CASES: dict[str, Case] = {
    "who_am_i": Case("/me", names_nobody=True),
    "search_recordings": Case("/recordings", params={"tenant": "{tenant}"}),
    "export_recordings": Case("/recordings/export", params={"tenant": "{tenant}"}),
    "get_completeness": Case("/completeness", params={"tenant": "{tenant}"}),
    "export_completeness": Case("/completeness/export", params={"tenant": "{tenant}"}),
    "get_statistics": Case("/statistics", params={"tenant": "{tenant}"}),
    "zip_recordings": Case("/recordings/zip", "POST", json={"ids": ["{recording}"]}),
    "get_recording": Case("/recordings/{recording}"),
    "search_calls": Case("/calls", params={"tenant": "{tenant}"}),
    "export_calls": Case("/calls/export", params={"tenant": "{tenant}"}),
    "get_call": Case("/calls/{call}"),
    "tell_call_event": Case(f"{_T}/call-events", "POST", json={"call_id": "1743042317.12", "event": "masked"}),
    "get_media": Case("/recordings/{recording}/media"),
    "head_media": Case("/recordings/{recording}/media", "HEAD"),
    "put_upload": Case("/uploads/{spool}/a.mp3", "PUT", content=b"x"),
    "post_upload": Case("/uploads/{spool}/b.mp3", "POST", content=b"x"),
    "post_form": Case(
        "/uploads/{spool}",
        "POST",
        content=b"no form",
    ),
    "list_tenants": Case("/tenants", names_nobody=True),
    "create_tenant": Case("/tenants", "POST", json={"name": "{tenant_name}-new"}, names_nobody=True),
    "get_tenant": Case(_T),
    "change_tenant": Case(_T, "PATCH", json={"title": "taken"}),
    "set_recording": Case(f"{_T}/recording", "PUT", json={"on": True, "agreed": True}),
    "check_certificate": Case("/certificates/check", "POST", json={"pasted": "nothing"}, names_nobody=True),
    "decide": Case("/policy/decision", params={"tenant": "{tenant}", "direction": "inbound", "route": "0207"}),
    "get_service_policy": Case(f"{_P}/service"),
    "change_service_policy": Case(f"{_P}/service", "PATCH", json={"otherwise": "skip"}),
    "list_routes": Case(f"{_P}/routes"),
    "save_routes": Case(f"{_P}/routes", "POST", json={"items": [{"number": "5551000", "recording": "record"}]}),
    "import_routes": Case(f"{_P}/routes/import", "POST", content=b"number,recording\n5552000,skip\n", text="text/csv"),
    "get_route": Case(f"{_P}/routes/{{route}}"),
    "put_route": Case(f"{_P}/routes/{{route}}", "PUT", json={"recording": "skip"}, makes=True),
    "change_route": Case(f"{_P}/routes/{{route}}", "PATCH", json={"locked": True}),
    "remove_route": Case(f"{_P}/routes/{{route}}", "DELETE"),
    "list_extensions": Case(f"{_P}/extensions"),
    "save_extensions": Case(f"{_P}/extensions", "POST", json={"items": [{"extension": "900", "outbound": "record"}]}),
    "import_extensions": Case(f"{_P}/extensions/import", "POST", content=b"extension\n901\n", text="text/csv"),
    "get_extension": Case(f"{_P}/extensions/{{extension}}"),
    "put_extension": Case(f"{_P}/extensions/{{extension}}", "PUT", json={"outbound": "skip"}, makes=True),
    "change_extension": Case(f"{_P}/extensions/{{extension}}", "PATCH", json={"locked": True}),
    "remove_extension": Case(f"{_P}/extensions/{{extension}}", "DELETE"),
    "list_seen": Case(f"{_P}/seen", params={"kind": "route"}),
    "list_policy_changes": Case(f"{_P}/changes"),
    "discard_policy_change": Case(f"{_P}/changes/{{change}}", "DELETE"),
    "apply_policy_changes": Case(f"{_P}/changes/apply", "POST", json={}),
    "list_policy_history": Case(f"{_P}/history"),
    "list_certificates": Case(_C),
    "add_certificate": Case(_C, "POST", json={"pasted": "nothing"}),
    "make_challenge": Case(f"{_C}/{{certificate}}/challenge", "POST"),
    "prove_certificate": Case(f"{_C}/{{certificate}}/proof", "POST", json={"answer": "guess"}),
    "set_encryption": Case(f"{_T}/encryption", "PUT", json={"on": False}),
    "retire_certificate": Case(f"{_C}/{{certificate}}/retire", "POST"),
    "list_ftp_accounts": Case(_F),
    "create_ftp_account": Case(_F, "POST", json={"username": "new.{tenant_name}"}),
    "get_ftp_account": Case(f"{_F}/{{ftp_account}}"),
    "change_ftp_account": Case(f"{_F}/{{ftp_account}}", "PATCH", json={"enabled": False}),
    "set_ftp_password": Case(f"{_F}/{{ftp_account}}/password", "POST", json={}),
    "remove_ftp_account": Case(f"{_F}/{{ftp_account}}", "DELETE"),
    "list_users": Case("/users", names_nobody=True),
    "create_user": Case(
        "/users", "POST", json={"username": "x-{tenant_name}", "role": "client", "grants": [{"tenant": "{tenant}"}]}
    ),
    "get_user": Case("/users/{user}"),
    "change_user": Case("/users/{user}", "PATCH", json={"display_name": "taken"}),
    "set_user_password": Case("/users/{user}/password", "POST", json={}),
    "end_sessions": Case("/users/{user}/end-sessions", "POST"),
    "list_tokens": Case("/tokens", names_nobody=True),
    "list_user_tokens": Case("/users/{user}/tokens"),
    "create_token": Case("/users/{user}/tokens", "POST", json={"label": "taken", "scopes": ["search"]}),
    "list_shared_links": Case("/shared-links", params={"tenant": "{tenant}"}),
    "create_shared_link": Case("/shared-links", "POST", json={"call": "{call}", "expires_at": LATER}),
    "revoke_shared_link": Case("/shared-links/{shared_link}", "DELETE"),
    "revoke_token": Case("/tokens/{token}", "DELETE"),
    "remove_user": Case("/users/{user}", "DELETE"),
    "mark_call": Case("/calls/{call}", "PATCH", json={"starred": True, "note": "taken"}),
    "delete_recording": Case("/recordings/{recording}", "DELETE", json={"reason": "nobody asked"}),
    "delete_call": Case("/calls/{call}", "DELETE", json={"reason": "nobody asked"}),
    "list_quarantine": Case("/quarantine", names_nobody=True),
    "list_audit": Case("/audit", params={"tenant": "{tenant}"}),
    "take_quarantined": Case("/quarantine/{quarantined}/take", "POST", json={"started_at": "2025-03-27T09:25:17"}),
    "retry_quarantined": Case("/quarantine/{quarantined}/retry", "POST"),
    "discard_quarantined": Case("/quarantine/{quarantined}", "DELETE"),
}

NOBODYS = {
    "tenant": "0" * 32,
    "tenant_name": "nobody",
    "recording": "1" * 32,
    "call": "7" * 32,
    "spool": "none-such",
    "certificate": "2" * 32,
    "ftp_account": "3" * 32,
    "user": "4" * 32,
    "token": "5" * 32,
    "quarantined": "6" * 32,
    "route": "+4930999",
    "extension": "299",
    "change": "8" * 32,
    "shared_link": "9" * 32,
}


def certificate_pem(name: str) -> str:
    """A certificate as `openssl req -x509` makes it."""
    key = serialization.load_pem_private_key(spare_key().encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(START)
        .not_valid_after(START.replace(year=2040))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


def globex_things(there: World) -> dict[str, str]:
    """One thing of every kind that belongs to globex; the spool `globex` must be configured."""
    by = operator("test")
    parts, tenant = there.parts, there.globex
    # Two legs: the recording may be deleted, and the call is there still.
    legs = [there.add(key, tenant, b"a leg" * 100, linked_id="1743067517.9") for key in ("leg", "other-leg")]
    user = parts.accounts.named(by, "stranger").user
    saved = [
        parts.changes.save(by, tenant.id, kind, {"name": "Globex rule"}, subject)
        for kind, subject in ((Kind.ROUTE, "+4930777"), (Kind.EXTENSION, "277"), (Kind.EXTENSION, "278"))
    ]
    assert saved[0] and saved[1] and saved[2]
    parts.changes.apply(by, tenant.id, [saved[0].id, saved[1].id])
    with parts.catalogue.read() as work:
        maker = identity.of_user(work.users.get(user.id), work.users.grants(user.id), "")
    link = parts.sharing.share(maker, legs[0].call, expires_at=parts.clock() + timedelta(days=7))
    with parts.catalogue.begin() as work:
        waiting = work.quarantine.record(
            spool="globex",
            path="/nowhere/a.wav",
            relative="a.wav",
            tenant_id=tenant.id,
            reason="empty-recording",
            message="It is empty.",
            held=True,
            size_bytes=44,
            at=START,
        )
    return {
        "tenant": tenant.id,
        "tenant_name": tenant.name,
        "recording": there.recordings["foreign"].id,
        "call": legs[0].call,
        "spool": "globex",
        "certificate": parts.keyring.add(by, tenant.id, certificate_pem("globex")).certificate.id,
        "ftp_account": parts.ftp_accounts.create(by, tenant.id, "globex-office").account.id,
        "user": user.id,
        "token": parts.tokens.list(by, user.id)[0].id,
        "quarantined": waiting.id,
        "route": "+4930777",
        "extension": "277",
        "change": saved[2].id,
        "shared_link": link.link.id,
    }
