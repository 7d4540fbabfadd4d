"""The protocol of OpenID Connect: where to send somebody, and whether what comes back is to be believed.

Knows nothing of users: `recpipe.access.federation` decides what a person at an issuer may do here.

Source: OpenID Connect Core 1.0, Discovery 1.0; RFC 7636 (PKCE), RFC 9207 (iss), RFC 9700 (security best practice).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from recpipe.access.checks import LONGEST_TEXT
from recpipe.errors import IssuerUnavailable, SignInRefused
from recpipe.messages import message
from recpipe.model import IdentityProvider

if TYPE_CHECKING:
    from recpipe.access.issuer_http import IssuerHttp

# Of public keys alone: with a shared secret, or none, whoever reads the configuration could make tokens.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
LEEWAY_SECONDS = 60
LONGEST_SUBJECT = 255  # characters; Source: OpenID Connect Core 1.0 section 2
SCOPE = "openid email profile"
_KEPT_SECONDS = 600.0
_FAILURE_KEPT_SECONDS = 10.0
_NEW_KEYS_SECONDS = 30.0
_WELL_KNOWN = "/.well-known/openid-configuration"


@dataclass(frozen=True, slots=True)
class Claimed:
    """Whom an issuer vouches for, once its ID token was verified."""

    subject: str = field(repr=False)
    shown: str = field(repr=False)
    amr: tuple[str, ...]
    acr: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person was sent to the issuer with; secrets that prove that the answer is to this very question."""

    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    redirect_uri: str


class OidcClient:
    """Talks to issuers. Thread-safe.

    Args:
        http: how they are asked, made when the first one is.
        now: seconds since 1970, for the times in tokens.
    """

    def __init__(self, http: Callable[[], IssuerHttp], now: Callable[[], float]) -> None:
        self._make_http = http
        self._now = now
        self._lock = threading.Lock()
        self._http: IssuerHttp | None = None
        self._kept: dict[str, tuple[float, Mapping[str, Any] | IssuerUnavailable]] = {}

    def authorization_url(self, provider: IdentityProvider, asked: Asked) -> str:
        """Where to send the browser.

        Raises:
            IssuerUnavailable: what the issuer says of itself cannot be had or used.
        """
        from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
        from authlib.oauth2.rfc7636 import create_s256_code_challenge

        url: str = prepare_grant_uri(
            self._metadata(provider.issuer)["authorization_endpoint"],
            provider.client_id,
            "code",
            asked.redirect_uri,
            SCOPE,
            asked.state,
            nonce=asked.nonce,
            code_challenge=create_s256_code_challenge(asked.verifier),
            code_challenge_method="S256",
            acr_values=" ".join(provider.acr_values) or None,
        )
        return url

    def check(self, issuer: str) -> Mapping[str, Any]:
        """What an issuer says of itself, asked anew, with its keys.

        Raises:
            IssuerUnavailable: it cannot be had or used.
        """
        metadata = self._discovered(issuer)
        keys = self._published(metadata["jwks_uri"])
        now = time.monotonic()
        with self._lock:
            self._kept |= {issuer: (now, metadata), metadata["jwks_uri"]: (now, keys)}
        return metadata

    def identity(
        self, provider: IdentityProvider, client_secret: str, asked: Asked, code: str, said_issuer: str
    ) -> Claimed:
        """Exchange a code for the ID token, and verify that.

        Args:
            said_issuer: `iss` of the answer, "" where there was none.

        Raises:
            SignInRefused: the issuer did not take the code, or its answer is not to be believed.
            IssuerUnavailable: it was not reached.
        """
        metadata = self._metadata(provider.issuer)
        promised = metadata.get("authorization_response_iss_parameter_supported") is True
        if (said_issuer or promised) and said_issuer != provider.issuer:
            raise _unbelievable("issuer-mixed-up")
        answer = self._exchanged(provider, metadata, client_secret, asked, code)
        return self._verified(provider, metadata, asked, answer)

    def _exchanged(
        self, provider: IdentityProvider, metadata: Mapping[str, Any], client_secret: str, asked: Asked, code: str
    ) -> Mapping[str, Any]:
        from authlib.oauth2.auth import ClientAuth
        from authlib.oauth2.rfc6749.parameters import prepare_token_request

        body = prepare_token_request(
            "authorization_code", redirect_uri=asked.redirect_uri, code=code, code_verifier=asked.verifier
        )
        methods = metadata.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        client_id = provider.client_id
        if not client_secret:
            method = "none"
        elif "client_secret_basic" in methods:
            method = "client_secret_basic"
            # Source: RFC 6749 section 2.3.1: both are form-encoded before they are joined.
            client_id, client_secret = quote(client_id, safe=""), quote(client_secret, safe="")
        else:
            method = "client_secret_post"
        endpoint = metadata["token_endpoint"]
        _, headers, body = ClientAuth(client_id, client_secret, method).prepare("POST", endpoint, {}, body)
        answer = self._ask().post(endpoint, headers, body)
        if answer.status >= 500:
            raise IssuerUnavailable(host_of(endpoint), f"it answered with status {answer.status}")
        if answer.status != 200:
            said = answer.document.get("error")
            word = said if isinstance(said, str) and said.isascii() and said.isidentifier() else "no error code"
            raise _unbelievable("code", f"it did not take the code ({word[:40]})")
        return answer.document

    def _verified(
        self, provider: IdentityProvider, metadata: Mapping[str, Any], asked: Asked, answer: Mapping[str, Any]
    ) -> Claimed:
        from authlib.oidc.core import CodeIDToken
        from joserfc.errors import ClaimError, ExpiredTokenError

        given = answer.get("id_token")
        if not isinstance(given, str) or len(given) > 64 * 1024:
            raise _unbelievable("no-token", "it sent no ID token")
        token = self._decoded(metadata, given)
        claims = CodeIDToken(
            token.claims,
            token.header,
            options={
                "iss": {"essential": True, "value": provider.issuer},
                "aud": {"essential": True, "value": provider.client_id},
            },
            params={
                "nonce": asked.nonce,
                "client_id": provider.client_id,
                "access_token": answer.get("access_token"),
            },
        )
        try:
            claims.validate(now=int(self._now()), leeway=LEEWAY_SECONDS)
        except ExpiredTokenError:
            raise _unbelievable("expired", "its ID token has expired; look at the clocks of both servers") from None
        except ClaimError as error:
            raise _unbelievable(f"claim-{error.claim}", f"{error.claim} in its ID token is not right") from None
        except (ValueError, TypeError):
            raise _unbelievable("token", "its ID token is not well formed") from None
        return _claimed(claims)

    def _decoded(self, metadata: Mapping[str, Any], given: str) -> Any:
        from joserfc import jwt
        from joserfc.errors import JoseError
        from joserfc.jwk import KeySet

        # An issuer that has a new key since: looked at once more, though not for every token that somebody made up.
        for keys in (self._keys(metadata), self._keys(metadata, newer=True)):
            try:
                return jwt.decode(given, KeySet.import_key_set(keys), algorithms=list(ALGORITHMS))  # type: ignore[arg-type]
            except (JoseError, ValueError, TypeError, KeyError) as error:
                reason = type(error).__name__
        raise _unbelievable("signature", f"the signature of its ID token does not hold ({reason})")

    # --- what issuers say of themselves -------------------------------------------------------------------

    def _metadata(self, issuer: str) -> Mapping[str, Any]:
        return self._remembered(issuer, _KEPT_SECONDS, lambda: self._discovered(issuer))

    def _keys(self, metadata: Mapping[str, Any], *, newer: bool = False) -> Mapping[str, Any]:
        url = metadata["jwks_uri"]
        seconds = _NEW_KEYS_SECONDS if newer else _KEPT_SECONDS
        return self._remembered(url, seconds, lambda: self._published(url))

    def _published(self, url: str) -> Mapping[str, Any]:
        answer = self._ask().get(url)
        if answer.status != 200 or not isinstance(answer.document.get("keys"), list):
            raise IssuerUnavailable(host_of(url), f"its keys were not there (status {answer.status})")
        return answer.document

    def _discovered(self, issuer: str) -> Mapping[str, Any]:
        from authlib.oidc.discovery import OpenIDProviderMetadata

        host = host_of(issuer)
        answer = self._ask().get(issuer.rstrip("/") + _WELL_KNOWN)
        if answer.status != 200:
            raise IssuerUnavailable(host, f"{_WELL_KNOWN} was answered with status {answer.status}")
        metadata: Mapping[str, Any] = OpenIDProviderMetadata(answer.document)
        if metadata.get("issuer") != issuer:
            raise IssuerUnavailable(host, "it calls itself by another issuer than it was set up with")
        try:
            for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                getattr(metadata, f"validate_{name}")()
                self._check_endpoint(metadata.get(name))
        except ValueError as error:
            raise IssuerUnavailable(host, f"what it says of itself cannot be used: {error}") from None
        return metadata

    @staticmethod
    def _check_endpoint(url: object) -> None:
        from recpipe.access.issuer_http import check_https

        check_https(url if isinstance(url, str) else "")

    def _remembered(self, url: str, seconds: float, fetch: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        """What was fetched less than so long ago; a failure counts for a few seconds, so that a crowd asks once."""
        now = time.monotonic()
        with self._lock:
            at, kept = self._kept.get(url, (0.0, None))
        if isinstance(kept, IssuerUnavailable) and now - at < _FAILURE_KEPT_SECONDS:
            raise IssuerUnavailable(kept.host, kept.why)
        if kept is not None and not isinstance(kept, IssuerUnavailable) and now - at < seconds:
            return kept
        try:
            found: Mapping[str, Any] | IssuerUnavailable = fetch()
        except IssuerUnavailable as error:
            if kept is not None and not isinstance(kept, IssuerUnavailable):
                return kept  # an issuer whose documents are down for a moment still signs people in
            found = error
        with self._lock:
            self._kept[url] = (now, found)
        if isinstance(found, IssuerUnavailable):
            raise found
        return found

    def _ask(self) -> IssuerHttp:
        with self._lock:
            if self._http is None:
                self._http = self._make_http()
            return self._http


def host_of(url: str) -> str:
    """The host of an issuer, for people."""
    return urlsplit(url).hostname or url[:100]


def _claimed(claims: Mapping[str, Any]) -> Claimed:
    subject = claims["sub"]
    if not isinstance(subject, str) or not 0 < len(subject) <= LONGEST_SUBJECT or not subject.isascii():
        raise _unbelievable("claim-sub", "sub in its ID token is not right")
    shown = next((v for n in ("email", "preferred_username", "name") if isinstance(v := claims.get(n), str) and v), "")
    amr, acr = claims.get("amr"), claims.get("acr")
    return Claimed(
        subject=subject,
        shown="".join(c for c in shown if c.isprintable())[:LONGEST_TEXT],
        amr=tuple(word for word in amr if isinstance(word, str)) if isinstance(amr, list) else (),
        acr=acr if isinstance(acr, str) else "",
    )


def _unbelievable(reason: str, why: str = "its answer belongs to another provider") -> SignInRefused:
    return SignInRefused(
        reason,
        message(
            "The answer of the identity provider was not taken: {why}. Start again; if that happens again, tell an "
            "administrator.",
            why=why,
        ),
    )
