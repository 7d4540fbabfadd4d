"""Identity providers, and whom they vouch for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, select, update

from recpipe.catalogue.identity_tables import identity, identity_provider
from recpipe.catalogue.repository import Repository, inserted, row_of
from recpipe.errors import AlreadyExists, NotFound
from recpipe.model import FactorsAtProvider, Identity, IdentityProvider


class IdentityProviders(Repository):
    """Those of all tenants, and that of the installation: a sign-in knows no tenant yet."""

    __slots__ = ()

    def put(self, new: IdentityProvider) -> IdentityProvider:
        """Keep a provider in place of the one its tenant, or the installation, had; that one's id stays."""
        values = {**row_of(identity_provider, new), "owner": new.tenant_id or ""}
        if not inserted(self._connection, identity_provider, values):
            kept = {name: value for name, value in values.items() if name not in ("id", "created_at")}
            c = identity_provider.c
            self._connection.execute(update(identity_provider).where(c.owner == values["owner"]).values(kept))
        return self.of(new.tenant_id)

    def get(self, provider_id: str) -> IdentityProvider:
        """One of them.

        Raises:
            NotFound: there is none.
        """
        return self._one("id", provider_id)

    def of(self, tenant_id: str | None) -> IdentityProvider:
        """That of a tenant, or of the installation.

        Raises:
            NotFound: it has none.
        """
        return self._one("owner", tenant_id or "")

    def list(self) -> Sequence[IdentityProvider]:
        """All of them, the installation's first."""
        rows = self._connection.execute(select(*_OF_PROVIDER).order_by(identity_provider.c.owner))
        return [_provider_of(row) for row in rows]

    def remove(self, provider_id: str) -> None:
        """Forget a provider. Who is linked stays linked, for the day it is set up again.

        Raises:
            NotFound: there is none.
        """
        gone = delete(identity_provider).where(identity_provider.c.id == provider_id)
        if self._connection.execute(gone).rowcount != 1:
            raise NotFound("identity provider", provider_id)

    def _one(self, column: str, value: str) -> IdentityProvider:
        row = self._connection.execute(select(*_OF_PROVIDER).where(identity_provider.c[column] == value)).first()
        if row is None:
            raise NotFound("identity provider", value)
        return _provider_of(row)


class Identities(Repository):
    """People at issuers, linked to users here."""

    __slots__ = ()

    def add(self, new: Identity) -> Identity:
        """Link a person.

        Raises:
            AlreadyExists: the person is linked already, to this user or another.
        """
        if not inserted(self._connection, identity, row_of(identity, new)):
            raise AlreadyExists("link to this person at", new.issuer)
        return new

    def find(self, issuer: str, subject: str) -> Identity:
        """Whom this person of an issuer is linked to; both compared letter by letter.

        Raises:
            NotFound: to nobody.
        """
        c = identity.c
        row = self._connection.execute(select(identity).where(c.issuer == issuer, c.subject == subject)).first()
        if row is None:
            raise NotFound("link to this person at", issuer)
        return Identity(**row._asdict())

    def list(self, user_id: str) -> Sequence[Identity]:
        """Those of a user, the oldest first."""
        c = identity.c
        rows = self._connection.execute(select(identity).where(c.user_id == user_id).order_by(c.linked_at, c.id))
        return [Identity(**row._asdict()) for row in rows]

    def note_use(self, identity_id: str, at: datetime) -> None:
        """Remember the last sign-in."""
        self._connection.execute(update(identity).where(identity.c.id == identity_id).values(last_used_at=at))

    def remove(self, user_id: str, identity_id: str) -> Identity:
        """Unlink one of a user's.

        Returns:
            What was unlinked.

        Raises:
            NotFound: there is none, or it is another user's.
        """
        found = next((one for one in self.list(user_id) if one.id == identity_id), None)
        if found is None:
            raise NotFound("linked sign-in", identity_id)
        self._connection.execute(delete(identity).where(identity.c.id == identity_id))
        return found


_OF_PROVIDER = tuple(column for column in identity_provider.columns if column.name != "owner")


def _provider_of(row: Row[*tuple[Any, ...]]) -> IdentityProvider:
    values = row._asdict()
    values["factors"] = FactorsAtProvider(row.factors)
    values["acr_values"] = tuple(row.acr_values)
    return IdentityProvider(**values)
