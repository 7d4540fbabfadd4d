"""API tokens: made, listed, revoked. The token itself is shown once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from recpipe.access import tokens
from recpipe.access.accounts import Accounts, is_self
from recpipe.access.audit import AuditTrail, event
from recpipe.access.checks import check_text, own_tenant, require_cover
from recpipe.access.identity import check_scopes, read_scopes, token_name
from recpipe.access.principal import Action, Kind, Principal
from recpipe.access.reauthentication import NO_PROOF, Proof
from recpipe.catalogue.catalogue import Catalogue
from recpipe.catalogue.repository import new_id
from recpipe.errors import Conflict, Forbidden, InputInvalid, NotFound
from recpipe.messages import message
from recpipe.model import AuditEvent, AuditQuery, Outcome, Token
from recpipe.times import Clock

MOST_LIVE = 100  # tokens of one user
MOST_TOLD = 1000
_OUTLIVES = (
    "user.create",
    "user.invite",
    "user.change",
    "user.password",
    "token.create",
    "ftp-account.create",
    "ftp-account.change",
    "ftp-account.password",
)


@dataclass(frozen=True, slots=True)
class NewToken:
    """The row, and the token itself: shown now, never again."""

    token: Token
    secret: str = field(repr=False)


class ApiTokens:
    """The tokens of users. Whoever may manage a user may manage its tokens; people manage their own. Thread-safe."""

    def __init__(self, catalogue: Catalogue, accounts: Accounts, clock: Clock, trail: AuditTrail) -> None:
        self._catalogue = catalogue
        self._accounts = accounts
        self._clock = clock
        self._trail = trail

    def create(
        self,
        by: Principal,
        user_id: str,
        label: str,
        scopes: Collection[str],
        expires_at: datetime | None = None,
        proof: Proof = NO_PROOF,
    ) -> NewToken:
        """Make a token that may do what its user may, within `scopes`.

        Args:
            scopes: actions, and optionally `tenant:ID` and `spool:LABEL`, which limit it to those.
            expires_at: aware; None: until it is revoked.
            proof: of a person who is signed in.

        Raises:
            ReauthenticationRequired, LockedOut: as `Reauthentication.require`.
            InputInvalid: a scope, label or expiry that cannot be.
            Conflict: `too-many-tokens`; `yourself`: a token makes none for its own person.
            NotFound, Forbidden: `by` may not manage this user, or is itself a token with narrower scopes.
        """
        account = self._accounts.get(by, user_id)
        user = account.user
        chosen = check_scopes(scopes)
        _require_within(by, chosen)
        now = self._clock()
        if expires_at is not None and expires_at <= now:
            raise InputInvalid("expires_at", "The token would be expired already. Choose a time in the future.")
        label = check_text("label", label, 100)
        if by.kind is Kind.TOKEN and is_self(by, user_id):
            raise Conflict("yourself", "Sign in to make yourself a token: one that leaked must not outlive its end.")
        self._accounts.reauthentication.require(by, proof)
        secret = tokens.new_token()
        new = Token(
            id=new_id(),
            user_id=user.id,
            label=label,
            prefix=secret[: tokens.SHOWN_CHARACTERS],
            hash=tokens.fingerprint(secret),
            scopes=chosen,
            created_at=now,
            expires_at=expires_at,
            created_from=by.address,
        )
        with self._catalogue.begin() as work:
            if not is_self(by, user.id):  # looked at once more: somebody may have made an administrator of this user
                require_cover(by, work.users.get(user.id), work.users.grants(user.id))
            live = [t for t in work.tokens.list(user.id) if _lives(t, now)]
            if len(live) >= MOST_LIVE:
                raise Conflict(
                    "too-many-tokens", message("This user has {live} live tokens. Revoke some first.", live=len(live))
                )
            kept = work.tokens.add(new)
            work.audit.add(
                event(
                    by,
                    "token.create",
                    now,
                    tenant_id=own_tenant(account.grants),
                    subject=kept.id,
                    user=user.username,
                    scopes=" ".join(chosen),
                )
            )
        self._accounts.notices.token_made(user, by, kept.label, ", ".join(chosen))
        return NewToken(kept, secret)

    def list(self, by: Principal, user_id: str | None = None) -> Sequence[Token]:
        """Tokens of one user, or of every user that `by` may manage; revoked and expired ones too, oldest first.

        Raises:
            NotFound, Forbidden: as for `create`.
        """
        if user_id is not None:
            self._accounts.get(by, user_id)
            with self._catalogue.read() as work:
                return work.tokens.list(user_id)
        managed = {account.user.id for account in self._accounts.list(by)}
        with self._catalogue.read() as work:
            return [token for token in work.tokens.list() if token.user_id in managed]

    def revoke(self, by: Principal, token_id: str) -> Token:
        """End a token within a second, everywhere.

        Raises:
            NotFound: there is none, or it is that of a user whom `by` may not know of.
            Forbidden: as for `create`.
        """
        try:
            with self._catalogue.read() as work:
                token = work.tokens.get(token_id)
            if not (by.kind is Kind.TOKEN and by.credential_id == token_id):  # a leaked token may always end itself
                self._accounts.get(by, token.user_id)
        except NotFound:
            raise NotFound("token", token_id) from None
        now = self._clock()
        with self._catalogue.begin() as work:
            revoked = work.tokens.revoke(token_id, now)
            tenant_id = own_tenant(work.users.grants(token.user_id))
            work.audit.add(event(by, "token.revoke", now, tenant_id=tenant_id, subject=token_id, prefix=token.prefix))
        return revoked

    def left_by(self, by: Principal, token: Token) -> Sequence[AuditEvent]:
        """What was done with a token that outlives it, the newest first; of each kind as many as are told.

        Raises:
            NotFound, Forbidden: `by` may not manage its user, or not read the whole audit log.
        """
        user = self._accounts.get(by, token.user_id).user
        found: list[AuditEvent] = []
        for action in _OUTLIVES:
            query = AuditQuery(actor=token_name(user, token), action=action, outcome=Outcome.OK)
            found += self._trail.list(by, None, query, limit=MOST_TOLD).items
        return sorted(found, key=lambda one: one.at, reverse=True)


def _require_within(by: Principal, scopes: Collection[str]) -> None:
    actions, only, spools = read_scopes(scopes)
    narrower = (
        (by.scopes is not None and not actions <= by.scopes)
        or (by.only is not None and not (only and only <= by.only))
        or (by.spools and Action.UPLOAD in actions and not (spools and spools <= by.spools))
    )
    if narrower:
        raise Forbidden("make a token that may do more than itself")


def _lives(token: Token, now: datetime) -> bool:
    return token.revoked_at is None and (token.expires_at is None or token.expires_at > now)
