"""Portal users, what they are granted, and their API tokens."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, String, delete, insert, select, type_coerce, update
from sqlalchemy.exc import IntegrityError

from recpipe.catalogue.repository import Repository, check_limit, inserted, row_of
from recpipe.catalogue.tables import portal_user, token, user_grant
from recpipe.errors import AlreadyExists, NotFound
from recpipe.model import Grant, Role, Token, User, UserStatus


class Users(Repository):
    """All portal users of the installation."""

    __slots__ = ()

    def add(self, new: User) -> User:
        """Keep a new user.

        Raises:
            AlreadyExists: the user name is taken.
        """
        values = {**row_of(portal_user, new), "username_key": name_key(new.username)}
        if not inserted(self._connection, portal_user, values):
            raise AlreadyExists("user", new.username)
        return self.get(new.id)

    def get(self, user_id: str) -> User:
        """The user with this id.

        Raises:
            NotFound: there is none.
        """
        return self._one(portal_user.c.id == user_id, user_id)

    def by_username(self, username: str) -> User:
        """The user of this name, upper and lower case alike; disabled ones too.

        Raises:
            NotFound: there is none.
        """
        return self._one(portal_user.c.username_key == name_key(username), username)

    def by_email(self, email: str) -> Sequence[User]:
        """Users with this address, upper and lower case alike. There may be several: it proves nothing."""
        rows = self._connection.execute(_USERS.where(portal_user.c.email != "")).all()
        return [_user_of(row) for row in rows if name_key(row.email) == name_key(email)]

    def list(self, after_username: str = "", limit: int = 1000) -> Sequence[User]:
        """Users by name, those behind `after_username`."""
        key = portal_user.c.username_key
        wanted = _USERS.where(key > name_key(after_username)).order_by(key).limit(check_limit(limit))
        return [_user_of(row) for row in self._connection.execute(wanted)]

    def every(self) -> Iterator[User]:
        """All of them, by name."""
        last = ""
        while page := self.list(last):
            yield from page
            last = page[-1].username

    def update(self, changed: User) -> User:
        """Replace everything about a user but its id and creation time.

        Raises:
            NotFound: there is none.
            AlreadyExists: the new user name is another's.
        """
        before = self.get(changed.id)
        values = row_of(portal_user, replace(changed, created_at=before.created_at))
        values["username_key"] = name_key(changed.username)
        del values["passkeys"]  # counted by `Passkeys`
        try:
            with self._connection.begin_nested():
                self._connection.execute(update(portal_user).where(portal_user.c.id == changed.id).values(values))
        except IntegrityError:
            raise AlreadyExists("user", changed.username) from None
        return self.get(changed.id)

    def remove(self, user_id: str) -> None:
        """Delete a user with its grants, tokens, sessions and links.

        Raises:
            NotFound: there is none.
        """
        if self._connection.execute(delete(portal_user).where(portal_user.c.id == user_id)).rowcount != 1:
            raise NotFound("user", user_id)

    def note_login(self, user_id: str, at: datetime) -> None:
        """Remember the last login."""
        self._connection.execute(update(portal_user).where(portal_user.c.id == user_id).values(last_login_at=at))

    def use_totp_step(self, user_id: str, step: int) -> bool:
        """Take a time step for a login: True once, False for it and all earlier ones afterwards.

        Source: RFC 6238 section 5.2 (a code must not be accepted twice).
        """
        c = portal_user.c
        taken = update(portal_user).where(c.id == user_id, c.totp_step < step).values(totp_step=step)
        return self._connection.execute(taken).rowcount == 1

    def swap_totp_secret(self, user_id: str, old: str, new: str) -> bool:
        """Keep the secret of a second factor in another form; False where it is not `old` any more."""
        c = portal_user.c
        swapped = update(portal_user).where(c.id == user_id, c.totp_secret == old).values(totp_secret=new)
        return self._connection.execute(swapped).rowcount == 1

    def use_recovery_hash(self, user_id: str, used: str) -> bool:
        """Take a recovery code: True once, False afterwards and for one that never was."""
        c = portal_user.c
        held = select(c.recovery_hashes).where(c.id == user_id).with_for_update()
        hashes = self._connection.execute(held).scalar_one_or_none() or []
        if used not in hashes:
            return False
        left = [kept for kept in hashes if kept != used]
        self._connection.execute(update(portal_user).where(c.id == user_id).values(recovery_hashes=left))
        return True

    # --- grants -------------------------------------------------------------------------------------------

    def grants(self, user_id: str) -> Sequence[Grant]:
        """What a user is granted, tenant by tenant."""
        c = user_grant.c
        rows = self._connection.execute(select(user_grant).where(c.user_id == user_id).order_by(c.tenant_id))
        return [Grant(row.user_id, row.tenant_id, tuple(row.actions)) for row in rows]

    def every_grant(self) -> Mapping[str, Sequence[Grant]]:
        """What each user is granted, by its id; none of a user who is granted nothing."""
        found: dict[str, list[Grant]] = {}
        for row in self._connection.execute(select(user_grant).order_by(user_grant.c.user_id, user_grant.c.tenant_id)):
            found.setdefault(row.user_id, []).append(Grant(row.user_id, row.tenant_id, tuple(row.actions)))
        return found

    def set_grants(self, user_id: str, grants: Iterable[Grant]) -> None:
        """Replace all grants of a user.

        Raises:
            NotFound: the user or one of the tenants does not exist.
        """
        self._connection.execute(delete(user_grant).where(user_grant.c.user_id == user_id))
        rows = [{"user_id": user_id, "tenant_id": grant.tenant_id, "actions": grant.actions} for grant in grants]
        if not rows:
            return
        try:
            self._connection.execute(insert(user_grant), rows)
        except IntegrityError:
            raise NotFound("user or tenant to grant", "") from None

    def granted(self, tenant_id: str) -> Sequence[Grant]:
        """Who is granted something of a tenant."""
        c = user_grant.c
        rows = self._connection.execute(select(user_grant).where(c.tenant_id == tenant_id).order_by(c.user_id))
        return [Grant(row.user_id, row.tenant_id, tuple(row.actions)) for row in rows]

    def active(self, user_ids: Collection[str]) -> Mapping[str, tuple[User, Sequence[Grant]]]:
        """Those of these users who are active, each with its grants."""
        ids = sorted(user_ids)
        if not ids:
            return {}
        c = portal_user.c
        wanted = _USERS.where(c.id.in_(ids), c.status == UserStatus.ACTIVE.value)
        users = [_user_of(row) for row in self._connection.execute(wanted)]
        grants: dict[str, list[Grant]] = {}
        for row in self._connection.execute(select(user_grant).where(user_grant.c.user_id.in_(ids))):
            grants.setdefault(row.user_id, []).append(Grant(row.user_id, row.tenant_id, tuple(row.actions)))
        return {user.id: (user, grants.get(user.id, [])) for user in users}

    def _one(self, condition: ColumnElement[bool], which: str) -> User:
        row = self._connection.execute(_USERS.where(condition)).first()
        if row is None:
            raise NotFound("user", which)
        return _user_of(row)


class Tokens(Repository):
    """API tokens, known by their hash alone."""

    __slots__ = ()

    def add(self, new: Token) -> Token:
        """Keep a new token.

        Raises:
            AlreadyExists: its hash is there already.
        """
        if not inserted(self._connection, token, row_of(token, new)):
            raise AlreadyExists("token", new.prefix)
        return self.get(new.id)

    def get(self, token_id: str) -> Token:
        """One token.

        Raises:
            NotFound: there is none.
        """
        return self._one(token.c.id == token_id, token_id)

    def by_hash(self, digest: str) -> Token:
        """The token with this SHA-256, revoked and expired ones too: those are the caller's to refuse.

        Raises:
            NotFound: there is none.
        """
        return self._one(token.c.hash == digest, "")

    def list(self, user_id: str | None = None) -> Sequence[Token]:
        """All tokens (of one user), oldest first."""
        wanted = select(token).order_by(token.c.created_at, token.c.id)
        if user_id is not None:
            wanted = wanted.where(token.c.user_id == user_id)
        return [_token_of(row) for row in self._connection.execute(wanted)]

    def note_use(self, token_id: str, at: datetime, address: str) -> None:
        """Remember when and from where it was used last. Once a minute is plenty: each call is a commit."""
        used = update(token).where(token.c.id == token_id)
        self._connection.execute(used.values(last_used_at=at, last_used_from=address))

    def with_scope(self, scope: str) -> Sequence[Token]:
        """Tokens that have this scope and were not revoked."""
        has = type_coerce(token.c.scopes, String).contains(f'"{scope}"', autoescape=True)
        rows = self._connection.execute(select(token).where(has, token.c.revoked_at.is_(None)))
        return [one for one in map(_token_of, rows) if scope in one.scopes]

    def revoke(self, token_id: str, at: datetime) -> Token:
        """End a token; a repeated call keeps the first time.

        Raises:
            NotFound: there is none.
        """
        live = token.c.revoked_at.is_(None)
        self._connection.execute(update(token).where(token.c.id == token_id, live).values(revoked_at=at))
        return self.get(token_id)

    def revoke_all(self, user_id: str, at: datetime) -> int:
        """End all tokens of a user; how many were not ended before."""
        ended = update(token).where(token.c.user_id == user_id, token.c.revoked_at.is_(None))
        return self._connection.execute(ended.values(revoked_at=at)).rowcount

    def _one(self, condition: ColumnElement[bool], which: str) -> Token:
        row = self._connection.execute(select(token).where(condition)).first()
        if row is None:
            raise NotFound("token", which)
        return _token_of(row)


_USERS = select(*(column for column in portal_user.columns if column.name != "username_key"))


def name_key(name: str) -> str:
    """What spellings of a user name or address that mean the same have in common."""
    return unicodedata.normalize("NFKC", name.strip()).casefold()


def _user_of(row: Row[*tuple[Any, ...]]) -> User:
    values = row._asdict()
    values["role"] = Role(row.role)
    values["status"] = UserStatus(row.status)
    values["recovery_hashes"] = tuple(row.recovery_hashes)
    return User(**values)


def _token_of(row: Row[Any]) -> Token:
    return Token(**{**row._asdict(), "scopes": tuple(row.scopes)})
