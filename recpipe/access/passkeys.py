"""Passkeys (WebAuthn): as a second factor behind the password, or alone where the device asks who holds it.

Source: W3C Web Authentication Level 3.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from recpipe import log
from recpipe.access import lockout, tokens, totp
from recpipe.access.accounts import Accounts
from recpipe.access.at_rest import AtRest, Purpose
from recpipe.access.audit import event
from recpipe.access.checks import check_text, own_tenant
from recpipe.access.login import Access
from recpipe.access.principal import Kind, Principal
from recpipe.access.reauthentication import Proof
from recpipe.addresses import origin_of, parse_address
from recpipe.catalogue.catalogue import Catalogue
from recpipe.catalogue.repository import new_id
from recpipe.catalogue.work import Work
from recpipe.errors import AlreadyExists, Conflict, CredentialsRejected, Forbidden, InputInvalid, NotFound
from recpipe.errors import SecretUnreadable as Unreadable
from recpipe.messages import message
from recpipe.model import LinkPurpose, OneTimeLink, Passkey, User, UserStatus
from recpipe.times import Clock

QUESTION_TIME = timedelta(minutes=5)
MOST_PASSKEYS = 20  # of one person
LONGEST_CREDENTIAL = 1400  # characters of base64url; Source: WebAuthn Level 3 section 4 (at most 1023 bytes)

_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Question:
    """What the browser is asked, as JSON, and the cookie that it has to bring back with the answer."""

    options: str = field(repr=False)
    cookie: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Asked:
    challenge: str
    about: str  # registering: the user and the session; signing in: the ticket, "" without a password
    registers: bool
    until: float


class Passkeys:
    """Thread-safe.

    Args:
        name: what browsers call the portal.
        portal: where people reach the portal: its host is what passkeys are made for, never that of a request.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        access: Access,
        accounts: Accounts,
        clock: Clock,
        at_rest: AtRest,
        name: str,
        portal: str,
    ) -> None:
        self._name = name
        self._catalogue = catalogue
        self._access = access
        self._accounts = accounts
        self._clock = clock
        self._at_rest = at_rest
        self._origin = origin_of(portal)
        self._host = urlsplit(self._origin).hostname or ""
        safe = self._origin.startswith("https:") or self._host == "localhost"
        self.able = safe and parse_address(self._host) is None
        """Whether browsers make any for this portal: it needs https and a name, in http_url."""

    # --- one's own ----------------------------------------------------------------------------------------

    def list(self, by: Principal) -> Sequence[Passkey]:
        """The person's own."""
        with self._catalogue.read() as work:
            return work.passkeys.list(by.id)

    def begin_registration(self, by: Principal, proof: Proof) -> Question:
        """Ask the browser to make one.

        Raises:
            ReauthenticationRequired, LockedOut: as `Reauthentication.require`.
            Conflict: `no-passkeys`: the portal has no https address with a name; `too-many`.
            Forbidden: `by` is not a person.
        """
        from webauthn import generate_registration_options, options_to_json
        from webauthn.helpers import base64url_to_bytes
        from webauthn.helpers.structs import (
            AuthenticatorSelectionCriteria,
            PublicKeyCredentialDescriptor,
            ResidentKeyRequirement,
            UserVerificationRequirement,
        )

        self._require_person(by)
        self._require_able()
        self._accounts.reauthentication.require(by, proof)
        there = self.list(by)
        _require_room(len(there))
        options = generate_registration_options(
            rp_id=self._host,
            rp_name=self._name,
            user_name=by.name,
            user_id=bytes.fromhex(by.id),
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.PREFERRED,
                user_verification=UserVerificationRequirement.PREFERRED,
            ),
            exclude_credentials=[PublicKeyCredentialDescriptor(base64url_to_bytes(p.credential)) for p in there],
        )
        return self._question(options_to_json(options), f"{by.id} {by.credential_id}", registers=True)

    def register(self, by: Principal, cookie: str, answer: str, label: str) -> Sequence[str]:
        """Keep what the browser made. Other sessions end.

        Returns:
            Recovery codes, shown once, where this is the first second factor; none otherwise.

        Raises:
            InputInvalid: the answer is none to our question, or the name cannot be.
            Conflict: `passkey-known`: it is somebody's already; `too-many`.
            Forbidden: `by` is not a person.
        """
        from webauthn import verify_registration_response
        from webauthn.helpers import bytes_to_base64url
        from webauthn.helpers.exceptions import WebAuthnException

        self._require_person(by)
        label = check_text("label", label) or "Passkey"
        asked = self._asked(cookie, registers=True)
        if asked is None or asked.about != f"{by.id} {by.credential_id}":
            raise InputInvalid("passkey", "This took longer than five minutes, or was begun elsewhere. Add it again.")
        try:
            made = verify_registration_response(
                credential=_document(answer),
                expected_challenge=_challenge(asked),
                expected_rp_id=self._host,
                expected_origin=self._origin,
            )
        except (WebAuthnException, ValueError, TypeError, KeyError) as error:
            _log.warning("passkey refused", user=by.id, reason=type(error).__name__)
            raise InputInvalid("passkey", "The browser's answer was not understood. Add it again.") from None
        credential, now = bytes_to_base64url(made.credential_id), self._clock()
        if len(credential) > LONGEST_CREDENTIAL:
            raise InputInvalid(
                "passkey", "This device makes longer passkeys than the standard allows. Use another one."
            )
        codes: Sequence[str] = ()
        with self._catalogue.begin() as work:
            user = work.users.get(by.id)
            if not self._spend(work, asked, user.id):
                raise InputInvalid("passkey", "This was added already. Begin again for another one.")
            _require_room(user.passkeys)
            if not user.two_factors:
                codes = totp.new_recovery_codes()
                user = work.users.update(replace(user, recovery_hashes=tuple(totp.recovery_hash(c) for c in codes)))
            new = Passkey(new_id(), user.id, credential, made.credential_public_key, made.sign_count, label, now)
            try:
                work.passkeys.add(new)
            except AlreadyExists:
                raise Conflict("passkey-known", "This passkey is somebody's already.") from None
            work.sessions.revoke_all(by.id, now, but=by.credential_id)
            self._audit(work, by, "passkey.add", new.id)
        self._accounts.notices.second_factor(user, by, message("a passkey was added"))
        return codes

    def remove(self, by: Principal, passkey_id: str, proof: Proof) -> None:
        """Forget one of one's own.

        Raises:
            ReauthenticationRequired, LockedOut: as `Reauthentication.require`.
            NotFound: there is none, or it is another person's.
            Forbidden: `by` is not a person.
        """
        self._require_person(by)
        self._accounts.reauthentication.require(by, proof)
        with self._catalogue.begin() as work:
            work.passkeys.remove(by.id, passkey_id)
            user = work.users.get(by.id)
            if not user.two_factors:
                work.users.update(replace(user, recovery_hashes=()))
            work.sessions.revoke_all(by.id, self._clock(), but=by.credential_id)
            self._audit(work, by, "passkey.remove", passkey_id)
        self._accounts.notices.second_factor(user, by, message("a passkey was removed"))

    # --- signing in ---------------------------------------------------------------------------------------

    def begin(self, ticket: str = "") -> Question:
        """Ask the browser for one.

        Args:
            ticket: of a password that was right; "" to sign in by the passkey alone, which then has to verify its user.

        Raises:
            CredentialsRejected: the ticket is too old.
            Conflict: `no-passkeys`.
        """
        from webauthn import generate_authentication_options, options_to_json
        from webauthn.helpers import base64url_to_bytes
        from webauthn.helpers.structs import PublicKeyCredentialDescriptor, UserVerificationRequirement

        self._require_able()
        known = []
        if ticket:
            with self._catalogue.read() as work:
                known = list(work.passkeys.list(self._ticket_of(work, ticket).user_id))
        options = generate_authentication_options(
            rp_id=self._host,
            allow_credentials=[PublicKeyCredentialDescriptor(base64url_to_bytes(p.credential)) for p in known],
            user_verification=(
                UserVerificationRequirement.PREFERRED if ticket else UserVerificationRequirement.REQUIRED
            ),
        )
        return self._question(options_to_json(options), ticket, registers=False)

    def sign_in(self, cookie: str, answer: str, ticket: str, address: str) -> Principal:
        """Let in who answers.

        Args:
            ticket: as `begin` got it.

        Raises:
            CredentialsRejected: the answer is not right, or used before; the ticket stays good.
            LockedOut: too many failures from this address.
        """
        now, key = self._clock(), lockout.way_key("passkey", address)
        with self._catalogue.read() as work:
            lockout.check(work, (key, lockout.address_key(address)), now)
        try:
            asked = self._asked(cookie, registers=False)
            if asked is None or asked.about != ticket:
                raise CredentialsRejected
            with self._catalogue.begin() as work:
                link = self._ticket_of(work, ticket) if ticket else None
                user = self._verified(work, asked, answer, alone=link is None)
                if link is not None:
                    if link.user_id != user.id:
                        raise CredentialsRejected
                    work.links.use(tokens.fingerprint(ticket), LinkPurpose.SECOND_FACTOR, now)
                return self._access.proven(work, user, address, link.provider_id if link else "")
        except (CredentialsRejected, NotFound):
            self._access.refused("passkey", address, partial(lockout.note, keys=(key,)))
            raise CredentialsRejected from None

    def _verified(self, work: Work, asked: _Asked, answer: str, *, alone: bool) -> User:
        from webauthn import verify_authentication_response
        from webauthn.helpers import bytes_to_base64url
        from webauthn.helpers.exceptions import WebAuthnException

        whose = ""
        try:
            document = _document(answer)
            known = work.passkeys.find(str(document.get("id")))
            whose = known.user_id
            done = verify_authentication_response(
                credential=document,
                expected_challenge=_challenge(asked),
                expected_rp_id=self._host,
                expected_origin=self._origin,
                credential_public_key=known.public_key,
                credential_current_sign_count=known.sign_count,
                require_user_verification=alone,
            )
        except (WebAuthnException, ValueError, TypeError, KeyError) as error:
            # A counter that went back is a copy of the device: worth a look by an operator.
            _log.warning("passkey refused", user=whose, reason=type(error).__name__, text=str(error)[:200])
            raise CredentialsRejected from None
        # Source: WebAuthn Level 3 section 7.2 step 6: whose it is was kept by the device as well.
        if document["response"].get("userHandle") not in (None, "", bytes_to_base64url(bytes.fromhex(whose))):
            raise CredentialsRejected
        user = work.users.get(whose)
        if user.status is not UserStatus.ACTIVE or not user.role.has_password:
            raise CredentialsRejected
        # In place of a password, where there is one: for whoever signs in elsewhere, it would lead past the provider.
        if alone and not user.password_hash:
            raise CredentialsRejected
        if not self._spend(work, asked, user.id) or not work.passkeys.use(known, done.new_sign_count, self._clock()):
            raise CredentialsRejected
        return user

    # --- what they share ----------------------------------------------------------------------------------

    def _question(self, options: str, about: str, *, registers: bool) -> Question:
        asked = _Asked(json.loads(options)["challenge"], about, registers, (self._clock() + QUESTION_TIME).timestamp())
        return Question(options, self._at_rest.closed(Purpose.PASSKEY, json.dumps(asdict(asked))))

    def _asked(self, cookie: str, *, registers: bool) -> _Asked | None:
        try:
            asked = _Asked(**json.loads(self._at_rest.opened(Purpose.PASSKEY, cookie)))
        except Unreadable:
            return None
        good = asked.registers is registers and asked.until > self._clock().timestamp()
        return asked if good else None

    def _spend(self, work: Work, asked: _Asked, user_id: str) -> bool:
        """A challenge is good once: False for one that was answered."""
        now = self._clock()
        digest = tokens.fingerprint(asked.challenge)
        spent = OneTimeLink(new_id(), digest, LinkPurpose.PASSKEY, user_id, now, now + QUESTION_TIME, used_at=now)
        return work.links.add_once(spent)

    def _ticket_of(self, work: Work, ticket: str) -> OneTimeLink:
        try:
            return work.links.peek(tokens.fingerprint(ticket), LinkPurpose.SECOND_FACTOR, self._clock())
        except NotFound:
            raise CredentialsRejected from None

    def _require_able(self) -> None:
        if not self.able:
            raise Conflict(
                "no-passkeys", "Browsers make passkeys for https addresses with a name alone: set http_url to one."
            )

    @staticmethod
    def _require_person(by: Principal) -> None:
        if by.kind is not Kind.USER:
            raise Forbidden("use passkeys without signing in as a person")

    def _audit(self, work: Work, by: Principal, action: str, passkey_id: str) -> None:
        tenant_id = own_tenant(work.users.grants(by.id))
        happened = event(by, action, self._clock(), tenant_id=tenant_id, subject=by.id)
        work.audit.add(replace(happened, detail={"passkey": passkey_id}))


def _challenge(asked: _Asked) -> bytes:
    from webauthn.helpers import base64url_to_bytes

    return base64url_to_bytes(asked.challenge)


def _require_room(there: int) -> None:
    if there >= MOST_PASSKEYS:
        raise Conflict("too-many", message("You have {there} passkeys. Remove one first.", there=there))


def _document(answer: str) -> dict[str, Any]:
    document = json.loads(answer)
    if not isinstance(document, dict):
        raise ValueError("not an object")
    return document
