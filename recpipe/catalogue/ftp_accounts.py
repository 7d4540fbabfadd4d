"""FTP accounts: those of one tenant, and the door where a user name is all that is known yet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, select, update

from recpipe.catalogue.repository import Repository, inserted, row_of, same_tenant
from recpipe.catalogue.tables import ftp_account
from recpipe.errors import AlreadyExists, NotFound
from recpipe.model import Direction, FtpAccount, FtpAccountKind


class _Accounts(Repository):
    """Accounts of one tenant, or those that belong to none."""

    __slots__ = ("_tenant_id",)

    def __init__(self, connection: Connection, tenant_id: str | None) -> None:
        super().__init__(connection)
        self._tenant_id = tenant_id

    def add(self, new: FtpAccount) -> FtpAccount:
        """Keep a new account.

        Raises:
            AlreadyExists: the user name is taken, here or by another tenant.
        """
        if new.tenant_id != self._tenant_id:
            same_tenant(str(self._tenant_id), new.tenant_id)
        if not inserted(self._connection, ftp_account, row_of(ftp_account, new)):
            raise AlreadyExists("FTP account", new.username)
        return self.get(new.id)

    def get(self, account_id: str) -> FtpAccount:
        """One account.

        Raises:
            NotFound: there is none, or it is another tenant's.
        """
        return self._one(ftp_account.c.id == account_id, account_id)

    def named(self, username: str) -> FtpAccount:
        """The account with this user name.

        Raises:
            NotFound: there is none, or it is another tenant's.
        """
        return self._one(ftp_account.c.username == username, username)

    def list(self) -> Sequence[FtpAccount]:
        """All of them, by user name."""
        rows = self._connection.execute(select(ftp_account).where(self._mine()).order_by(ftp_account.c.username))
        return [_account_of(row) for row in rows]

    def update(self, changed: FtpAccount) -> FtpAccount:
        """Replace everything but id, tenant, user name and creation time. Live sessions end: the generation grows.

        Raises:
            NotFound: there is none, or it is another tenant's.
        """
        before = self.get(changed.id)
        after = replace(
            changed,
            tenant_id=before.tenant_id,
            username=before.username,
            created_at=before.created_at,
            last_login_at=before.last_login_at,
        )
        values = {**row_of(ftp_account, after), "generation": ftp_account.c.generation + 1}
        self._connection.execute(update(ftp_account).where(self._mine(), ftp_account.c.id == changed.id).values(values))
        return self.get(changed.id)

    def remove(self, account_id: str) -> None:
        """Delete an account; its live sessions end.

        Raises:
            NotFound: there is none, or it is another tenant's.
        """
        gone = delete(ftp_account).where(self._mine(), ftp_account.c.id == account_id)
        if self._connection.execute(gone).rowcount != 1:
            raise NotFound("FTP account", account_id)

    def _mine(self) -> ColumnElement[bool]:
        if self._tenant_id is None:
            return ftp_account.c.tenant_id.is_(None)
        return ftp_account.c.tenant_id == self._tenant_id

    def _one(self, condition: ColumnElement[bool], which: str) -> FtpAccount:
        row = self._connection.execute(select(ftp_account).where(self._mine(), condition)).first()
        if row is None:
            raise NotFound("FTP account", which)
        return _account_of(row)


class FtpAccounts(_Accounts):
    """The FTP accounts of one tenant."""

    __slots__ = ()

    def __init__(self, connection: Connection, tenant_id: str) -> None:
        super().__init__(connection, tenant_id)


class FtpLogins(Repository):
    """The door: finds the account, and with it the tenant, that a user name means."""

    __slots__ = ()

    @property
    def uploaders(self) -> _Accounts:
        """Media servers whose spool serves several tenants, and which belong to none."""
        return _Accounts(self._connection, None)

    def by_username(self, username: str) -> FtpAccount:
        """The account with this user name, whichever tenant's, disabled ones too.

        Raises:
            NotFound: there is none.
        """
        row = self._connection.execute(select(ftp_account).where(ftp_account.c.username == username)).first()
        if row is None:
            raise NotFound("FTP account", username)
        return _account_of(row)

    def generations(self, account_ids: Iterable[str]) -> dict[str, int]:
        """The generation of each enabled account: a live session goes on only while it is its own."""
        c = ftp_account.c
        rows = self._connection.execute(select(c.id, c.generation).where(c.enabled, c.id.in_(list(account_ids))))
        return {row.id: row.generation for row in rows}

    def note_login(self, account_id: str, at: datetime) -> None:
        """Remember the last login; ends no session."""
        self._connection.execute(update(ftp_account).where(ftp_account.c.id == account_id).values(last_login_at=at))


def _account_of(row: Row[Any]) -> FtpAccount:
    values = row._asdict()
    values["kind"] = FtpAccountKind(row.kind)
    values["direction"] = Direction(row.direction) if row.direction is not None else None
    values["allowed_networks"] = tuple(row.allowed_networks)
    return FtpAccount(**values)
