"""FTP accounts of tenants, and those of media servers. A password is shown once; every change ends live sessions."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from recpipe.access import passwords
from recpipe.access.audit import AuditTrail, Detail, event
from recpipe.access.checks import check_text, tenant_names
from recpipe.access.passwords import Passwords, check_chosen
from recpipe.access.principal import Action, Principal
from recpipe.access.reauthentication import NO_PROOF, Proof, Reauthentication
from recpipe.catalogue.catalogue import Catalogue
from recpipe.catalogue.repository import new_id
from recpipe.catalogue.work import Work
from recpipe.errors import AlreadyExists, Conflict, Forbidden, InputInvalid, NotFound
from recpipe.messages import message
from recpipe.model import Direction, FtpAccount, FtpAccountKind
from recpipe.times import Clock

MOST_NETWORKS = 50
MOST_ACCOUNTS = 200  # of one tenant
_USERNAME = re.compile(r"[a-z0-9][a-z0-9._@-]{1,62}", re.ASCII)


@dataclass(frozen=True, slots=True)
class NewFtpPassword:
    """The account, and its password where one was generated: shown now, never again."""

    account: FtpAccount
    password: str | None = field(default=None, repr=False)


class FtpAccounts:
    """All FTP accounts, tenant by tenant. `tenant_id` None: uploaders whose spool serves several. Thread-safe."""

    def __init__(
        self,
        catalogue: Catalogue,
        clock: Clock,
        passwords: Passwords,
        trail: AuditTrail,
        reauthentication: Reauthentication,
    ) -> None:
        self._catalogue = catalogue
        self._clock = clock
        self._passwords = passwords
        self._trail = trail
        self._reauthentication = reauthentication

    def list(self, by: Principal, tenant_id: str | None) -> Sequence[FtpAccount]:
        """The accounts of a tenant, by user name.

        Raises:
            NotFound, Forbidden: `by` may not manage them.
        """
        self._require(by, tenant_id)
        with self._catalogue.read() as work:
            if tenant_id is not None:
                work.tenants.get(tenant_id)
            return _accounts(work, tenant_id).list()

    def get(self, by: Principal, tenant_id: str | None, account_id: str) -> FtpAccount:
        """One account.

        Raises:
            NotFound, Forbidden: there is none, or `by` may not manage it.
        """
        self._require(by, tenant_id)
        with self._catalogue.read() as work:
            return _accounts(work, tenant_id).get(account_id)

    def named(self, by: Principal, tenant_id: str | None, username: str) -> FtpAccount:
        """As `get`, by user name."""
        self._require(by, tenant_id)
        with self._catalogue.read() as work:
            return _accounts(work, tenant_id).named(username.strip().lower())

    def create(
        self,
        by: Principal,
        tenant_id: str | None,
        username: str,
        *,
        password: str | None = None,
        kind: FtpAccountKind = FtpAccountKind.READER,
        spool: str = "",
        allowed_networks: Collection[str] = (),
        extension: str = "",
        direction: Direction | None = None,
        proof: Proof = NO_PROOF,
    ) -> NewFtpPassword:
        """Make an account.

        Args:
            password: chosen by a person; None generates one.
            kind, spool: an uploader writes into this spool and reads nothing; only administrators make one.
            allowed_networks: CIDR; empty: from anywhere.
            extension, direction: a reader sees only these calls.
            proof: of a person who is signed in: an account outlives the session that made it.

        Raises:
            ReauthenticationRequired, LockedOut: as `Reauthentication.require`.
            AlreadyExists: the user name is taken, maybe by another tenant, or is that of a portal user.
            InputInvalid: a name, network or password that cannot be.
            Conflict: `too-many-accounts`.
            NotFound, Forbidden: `by` may not manage the tenant's accounts.
        """
        self._require(by, tenant_id, kind)
        name = _checked_username(username)
        if kind is FtpAccountKind.UPLOADER and not spool:
            raise InputInvalid("spool", "An uploader needs the spool it writes into.")
        if kind is FtpAccountKind.READER and (spool or tenant_id is None):
            raise InputInvalid("spool", "A reader belongs to a tenant and has no spool.")
        if kind is FtpAccountKind.UPLOADER and (extension or direction):
            raise InputInvalid("extension", "An uploader reads nothing, so there is nothing to narrow.")
        self._reauthentication.require(by, proof)
        secret = passwords.generate() if password is None else None
        new = FtpAccount(
            id=new_id(),
            tenant_id=tenant_id,
            username=name,
            password_hash=self._passwords.hash(secret or self._chosen(password or "", name, tenant_id)),
            created_at=self._clock(),
            kind=kind,
            allowed_networks=_checked_networks(allowed_networks),
            extension=check_text("extension", extension, 100),
            direction=direction,
            spool=spool,
        )
        with self._catalogue.begin() as work:
            if tenant_id is not None:
                work.tenants.get(tenant_id)
            accounts = _accounts(work, tenant_id)
            if len(accounts.list()) >= MOST_ACCOUNTS:
                raise Conflict(
                    "too-many-accounts",
                    message(
                        "There are {most_accounts} accounts. Remove unused ones first.", most_accounts=MOST_ACCOUNTS
                    ),
                )
            if _is_a_users(work, name):
                raise AlreadyExists("FTP account", name)
            kept = accounts.add(new)
            self._audit(work, by, "ftp-account.create", kept, username=kept.username, kind=kind.value, spool=spool)
        return NewFtpPassword(kept, secret)

    def change(
        self,
        by: Principal,
        tenant_id: str | None,
        account_id: str,
        *,
        enabled: bool | None = None,
        allowed_networks: Collection[str] | None = None,
        extension: str | None = None,
        direction: Direction | None = None,
        any_direction: bool = False,
        proof: Proof = NO_PROOF,
    ) -> FtpAccount:
        """Change an account; what is None stays. Its live sessions end.

        Args:
            any_direction: take the limit to one direction away.
            proof: needed for other limits, and to switch it on.

        Raises:
            InputInvalid, NotFound, Forbidden, ReauthenticationRequired, LockedOut: as for `create`.
            Conflict: `changed-meanwhile`.
        """
        self._require(by, tenant_id)
        with self._catalogue.read() as work:
            before = self._held(work, by, tenant_id, account_id)
        after = replace(
            before,
            enabled=before.enabled if enabled is None else enabled,
            allowed_networks=before.allowed_networks
            if allowed_networks is None
            else _checked_networks(allowed_networks),
            extension=before.extension if extension is None else check_text("extension", extension, 100),
            direction=None if any_direction else direction or before.direction,
        )
        if after.kind is FtpAccountKind.UPLOADER and (after.extension or after.direction):
            raise InputInvalid("extension", "An uploader reads nothing, so there is nothing to narrow.")
        if _opens(before, after):
            self._reauthentication.require(by, proof)
        with self._catalogue.begin() as work:
            now_there = self._held(work, by, tenant_id, account_id)
            if now_there.generation != before.generation:
                raise Conflict("changed-meanwhile", "Somebody else changed this account just now. Look again.")
            kept = _accounts(work, tenant_id).update(replace(after, last_login_at=now_there.last_login_at))
            self._audit(work, by, "ftp-account.change", kept, **_difference(before, kept))
        return kept

    def disable(self, by: Principal, tenant_id: str | None, account_id: str) -> FtpAccount:
        """Let nobody in with it any more; its live sessions end."""
        return self.change(by, tenant_id, account_id, enabled=False)

    def set_password(
        self,
        by: Principal,
        tenant_id: str | None,
        account_id: str,
        password: str | None = None,
        proof: Proof = NO_PROOF,
    ) -> NewFtpPassword:
        """Give an account a new password, generated where none is given. Its live sessions end.

        Raises:
            InputInvalid, NotFound, Forbidden, ReauthenticationRequired, LockedOut: as for `create`.
        """
        self._require(by, tenant_id)
        with self._catalogue.read() as work:
            before = self._held(work, by, tenant_id, account_id)
        self._reauthentication.require(by, proof)
        secret = passwords.generate() if password is None else None
        kept_hash = self._passwords.hash(secret or self._chosen(password or "", before.username, tenant_id))
        with self._catalogue.begin() as work:
            accounts = _accounts(work, tenant_id)
            kept = accounts.update(replace(accounts.get(account_id), password_hash=kept_hash))
            self._audit(work, by, "ftp-account.password", kept)
        return NewFtpPassword(kept, secret)

    def remove(self, by: Principal, tenant_id: str | None, account_id: str) -> None:
        """Delete an account; its live sessions end.

        Raises:
            NotFound, Forbidden: as for `get`.
        """
        self._require(by, tenant_id)
        with self._catalogue.begin() as work:
            gone = self._held(work, by, tenant_id, account_id)
            _accounts(work, tenant_id).remove(account_id)
            self._audit(work, by, "ftp-account.remove", gone, username=gone.username)

    def _chosen(self, password: str, username: str, tenant_id: str | None) -> str:
        with self._catalogue.read() as work:
            words = tenant_names(work, () if tenant_id is None else (tenant_id,))
        return check_chosen(password, username, *words)

    def _held(self, work: Work, by: Principal, tenant_id: str | None, account_id: str) -> FtpAccount:
        account = _accounts(work, tenant_id).get(account_id)
        if account.kind is FtpAccountKind.UPLOADER and not by.may(Action.TENANTS, tenant_id):
            raise Forbidden("manage the accounts of media servers")
        return account

    def _require(self, by: Principal, tenant_id: str | None, kind: FtpAccountKind = FtpAccountKind.READER) -> None:
        if tenant_id is not None:
            self._trail.require(by, Action.FTP, tenant_id)
        # Whoever writes into a spool decides what counts as a recording.
        if tenant_id is None or kind is FtpAccountKind.UPLOADER:
            self._trail.require(by, Action.TENANTS, tenant_id)

    def _audit(self, work: Work, by: Principal, action: str, account: FtpAccount, **detail: Detail) -> None:
        happened = event(by, action, self._clock(), tenant_id=account.tenant_id, subject=account.id)
        work.audit.add(replace(happened, detail=detail))


class _Kept(Protocol):
    """The catalogue's accounts of one tenant, or of none."""

    def add(self, new: FtpAccount) -> FtpAccount: ...

    def get(self, account_id: str) -> FtpAccount: ...

    def named(self, username: str) -> FtpAccount: ...

    def list(self) -> Sequence[FtpAccount]: ...

    def update(self, changed: FtpAccount) -> FtpAccount: ...

    def remove(self, account_id: str) -> None: ...


def _accounts(work: Work, tenant_id: str | None) -> _Kept:
    return work.ftp_logins.uploaders if tenant_id is None else work.of(tenant_id).ftp_accounts


def _opens(before: FtpAccount, after: FtpAccount) -> bool:
    """Whether a change could let somebody in, or show them more: any but switching it off."""
    return replace(after, enabled=before.enabled) != before or (after.enabled and not before.enabled)


def _checked_username(username: str) -> str:
    name = username.strip().lower()
    if _USERNAME.fullmatch(name) is None:
        raise InputInvalid(
            "username", "An FTP user name is 2 to 63 lower-case letters, digits, dots, hyphens, underscores or @."
        )
    return name


def _is_a_users(work: Work, name: str) -> bool:
    try:
        work.users.by_username(name)
    except NotFound:
        return False
    return True


def _checked_networks(networks: Collection[str]) -> tuple[str, ...]:
    if len(networks) > MOST_NETWORKS:
        raise InputInvalid(
            "allowed_networks", message("At most {most_networks} networks can be named.", most_networks=MOST_NETWORKS)
        )
    checked = []
    for network in networks:
        try:
            checked.append(str(ipaddress.ip_network(network.strip(), strict=False)))
        except ValueError:
            raise InputInvalid(
                "allowed_networks",
                message(
                    "{network!r} is not a network. Write it as 192.0.2.0/24, 192.0.2.7 or 2001:db8::/48.",
                    network=network[:50],
                ),
            ) from None
    return tuple(dict.fromkeys(checked))


def _difference(before: FtpAccount, after: FtpAccount) -> dict[str, Detail]:
    detail: dict[str, Detail] = {}
    for name in ("enabled", "allowed_networks", "extension", "direction"):
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            detail |= {f"old_{name}": _shown(old), f"new_{name}": _shown(new)}
    return detail


def _shown(value: object) -> Detail:
    if value is None or isinstance(value, bool):
        return value
    return " ".join(value) if isinstance(value, tuple) else str(value)
