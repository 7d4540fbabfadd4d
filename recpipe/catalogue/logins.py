"""What logins leave behind: web sessions, one-time links, and the failures that lock out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Integer, Row, bindparam, delete, func, insert, select, update

from recpipe.catalogue.identity_tables import known_network, login_failure
from recpipe.catalogue.repository import Repository, inserted, row_of, upsert
from recpipe.catalogue.tables import one_time_link, web_session
from recpipe.catalogue.types import clean_text
from recpipe.errors import NotFound
from recpipe.model import LinkPurpose, OneTimeLink, WebSession


class Sessions(Repository):
    """Web sessions, kept here so that revoking one works at once."""

    __slots__ = ()

    def add(self, new: WebSession) -> WebSession:
        """Keep a new session."""
        self._connection.execute(insert(web_session).values(row_of(web_session, new)))
        return new

    def by_hash(self, digest: str) -> WebSession:
        """The session with this SHA-256, revoked and expired ones too: those are the caller's to refuse.

        Raises:
            NotFound: there is none.
        """
        row = self._connection.execute(select(web_session).where(web_session.c.hash == digest)).first()
        if row is None:
            raise NotFound("session")
        return WebSession(**row._asdict())

    def list(self, user_id: str) -> Sequence[WebSession]:
        """A user's sessions that are not revoked, the one seen last first."""
        c = web_session.c
        live = select(web_session).where(c.user_id == user_id, c.revoked_at.is_(None))
        rows = self._connection.execute(live.order_by(c.last_seen_at.desc(), c.id))
        return [WebSession(**row._asdict()) for row in rows]

    def touch(self, session_id: str, at: datetime, address: str) -> None:
        """Remember when and from where it was last seen. Once a minute is plenty: each call is a commit."""
        seen = update(web_session).where(web_session.c.id == session_id)
        self._connection.execute(seen.values(last_seen_at=at, address=address))

    def rotate(self, session_id: str, digest: str) -> None:
        """Give a live session a new secret; the old one is worth nothing from now on.

        Raises:
            NotFound: there is no such session, or it is revoked.
        """
        live = web_session.c.revoked_at.is_(None)
        rotated = update(web_session).where(web_session.c.id == session_id, live).values(hash=digest)
        if self._connection.execute(rotated).rowcount != 1:
            raise NotFound("session", session_id)

    def revoke(self, user_id: str, session_id: str, at: datetime) -> None:
        """End one session of a user; a repeated call keeps the first time.

        Raises:
            NotFound: there is none, or it is another user's.
        """
        c = web_session.c
        mine = (c.id == session_id) & (c.user_id == user_id)
        if self._connection.execute(select(c.id).where(mine)).first() is None:
            raise NotFound("session", session_id)
        self._connection.execute(update(web_session).where(mine, c.revoked_at.is_(None)).values(revoked_at=at))

    def revoke_all(self, user_id: str, at: datetime, *, but: str = "") -> int:
        """End a user's sessions, all or `but` one; how many."""
        c = web_session.c
        ended = update(web_session).where(c.user_id == user_id, c.revoked_at.is_(None), c.id != but)
        return self._connection.execute(ended.values(revoked_at=at)).rowcount

    def revoke_of_provider(self, provider_id: str, at: datetime, user_id: str = "") -> int:
        """End the sessions that an identity provider vouched for, of everybody or of one user; how many."""
        c = web_session.c
        ended = update(web_session).where(c.provider_id == provider_id, c.revoked_at.is_(None))
        if user_id:
            ended = ended.where(c.user_id == user_id)
        return self._connection.execute(ended.values(revoked_at=at)).rowcount

    def prune(self, before: datetime) -> int:
        """Delete sessions that expired before; how many."""
        return self._connection.execute(delete(web_session).where(web_session.c.expires_at < before)).rowcount


class Links(Repository):
    """Invitation and recovery links, good once."""

    __slots__ = ()

    def add(self, new: OneTimeLink) -> OneTimeLink:
        """Keep a new link."""
        self._connection.execute(insert(one_time_link).values(row_of(one_time_link, new)))
        return new

    def add_once(self, new: OneTimeLink) -> bool:
        """Keep a link whose hash was never there; False, and nothing kept, where it was."""
        return inserted(self._connection, one_time_link, row_of(one_time_link, new))

    def peek(self, digest: str, purpose: LinkPurpose, at: datetime) -> OneTimeLink:
        """The link, if it could be used now.

        Raises:
            NotFound: there is none for this purpose, it expired, or it was used.
        """
        row = self._connection.execute(select(one_time_link).where(_good(digest, purpose, at))).first()
        if row is None:
            raise NotFound("link that is still good")
        return _link_of(row)

    def use(self, digest: str, purpose: LinkPurpose, at: datetime) -> OneTimeLink:
        """Use a link up. Of two at the same time one gets it.

        Raises:
            NotFound: as for `peek`.
        """
        found = self.peek(digest, purpose, at)
        used = update(one_time_link).where(_good(digest, purpose, at)).values(used_at=at)
        if self._connection.execute(used).rowcount != 1:
            raise NotFound("link that is still good")
        return found

    def expiries(self, purpose: LinkPurpose, at: datetime) -> dict[str, datetime]:
        """When the links of a purpose that could be used now expire, by user."""
        c = one_time_link.c
        good = select(c.user_id, func.max(c.expires_at)).where(
            c.purpose == purpose, c.used_at.is_(None), c.expires_at > at
        )
        rows = self._connection.execute(good.group_by(c.user_id))
        return {row[0]: row[1] for row in rows}

    def drop(self, user_id: str, *purposes: LinkPurpose) -> None:
        """Forget a user's links of some purposes, so that only the newest one is ever good."""
        c = one_time_link.c
        self._connection.execute(delete(one_time_link).where(c.user_id == user_id, c.purpose.in_(purposes)))

    def prune(self, before: datetime) -> int:
        """Delete links that expired before; how many."""
        return self._connection.execute(delete(one_time_link).where(one_time_link.c.expires_at < before)).rowcount


class Failures(Repository):
    """Failed logins by key (an account, an address), shared by all doors and all processes."""

    __slots__ = ()

    def note(self, key: str, now: datetime) -> None:
        """Count one failure. Until the transaction ends no other may note or count this key after its own `note`, so
        that counting in the same transaction misses nobody.
        """
        if self._connection.dialect.name == "postgresql":
            self._connection.execute(select(func.pg_advisory_xact_lock(_LOCKS, func.hashtext(clean_text(key[:200])))))
        self._connection.execute(insert(login_failure).values(key=key, at=now))

    def latest(self, key: str, limit: int = 10) -> Sequence[datetime]:
        """The times of the last failures of a key, newest first."""
        return list(self._connection.execute(_LATEST, {"counter": key, "most": limit}).scalars())

    def clear(self, key: str) -> None:
        """Forget the failures of a key."""
        self._connection.execute(delete(login_failure).where(login_failure.c.key == key))

    def prune(self, before: datetime) -> int:
        """Delete failures that happened before; how many."""
        return self._connection.execute(delete(login_failure).where(login_failure.c.at < before)).rowcount


class KnownNetworks(Repository):
    """What an account was last seen with: networks, browsers, its registration; each under one key."""

    __slots__ = ()

    def note(self, key: str, now: datetime) -> None:
        """Keep that it was seen now."""
        statement = upsert(self._connection.dialect.name, known_network, ["key"], ["at"])
        self._connection.execute(statement, {"key": key, "at": now})

    def has(self, key: str, since: datetime) -> bool:
        """Whether it was seen from `since` on."""
        return self._connection.execute(_SEEN, {"known": key, "since": since}).first() is not None

    def prune(self, before: datetime) -> int:
        """Forget what was last seen before; how many."""
        return self._connection.execute(delete(known_network).where(known_network.c.at < before)).rowcount


# Each login asks these several times, and to put them together takes longer than to answer them.
_LATEST = (
    select(login_failure.c.at)
    .where(login_failure.c.key == bindparam("counter"))
    .order_by(login_failure.c.at.desc(), login_failure.c.id.desc())
    .limit(bindparam("most", type_=Integer))
)
_SEEN = select(known_network.c.at).where(
    known_network.c.key == bindparam("known"), known_network.c.at >= bindparam("since")
)
# The first half of the advisory locks of keys, so that they are not mistaken for others of this database.
_LOCKS = 0x6C6F67


def _good(digest: str, purpose: LinkPurpose, at: datetime) -> ColumnElement[bool]:
    c = one_time_link.c
    return (c.hash == digest) & (c.purpose == purpose.value) & c.used_at.is_(None) & (c.expires_at > at)


def _link_of(row: Row[Any]) -> OneTimeLink:
    return OneTimeLink(**{**row._asdict(), "purpose": LinkPurpose(row.purpose)})
