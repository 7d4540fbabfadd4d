"""Tenants, and the certificates of one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import fields, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from recpipe.catalogue.makers import maker
from recpipe.catalogue.repository import Repository, Scoped, inserted, row_of, same_tenant
from recpipe.catalogue.tables import certificate, tenant, tenant_alias
from recpipe.errors import AlreadyExists, Conflict, NotFound
from recpipe.model import CertificateState, StoreFormat, Tenant, TenantCertificate

_tenant = maker(Tenant)
_FIELDS = [field.name for field in fields(Tenant)]
_ALIASES_AT, _FORMAT_AT = _FIELDS.index("aliases"), _FIELDS.index("store_format")
_FORMATS = {member.value: member for member in StoreFormat}
_COLUMNS = [tenant.c[name] for name in _FIELDS if name != "aliases"]


class Tenants(Repository):
    """All tenants of the installation."""

    __slots__ = ()

    def add(self, new: Tenant) -> Tenant:
        """Keep a new tenant.

        Raises:
            AlreadyExists: its name or one of its aliases already means a tenant.
        """
        self._connection.execute(insert(tenant).values(row_of(tenant, new)))
        self._claim_names(new)
        return self.get(new.id)

    def get(self, tenant_id: str) -> Tenant:
        """The tenant with this id.

        Raises:
            NotFound: there is none.
        """
        return self._one(tenant.c.id == tenant_id, tenant_id)

    def to_change(self, tenant_id: str) -> Tenant:
        """The tenant with this id, which nobody else changes before this transaction ends.

        `update` replaces everything: of two that read the same state, the later would undo what the other had changed,
        and were it the encryption, store recordings in the clear.

        Raises:
            NotFound: there is none.
        """
        self._connection.execute(select(tenant.c.id).where(tenant.c.id == tenant_id).with_for_update())
        return self.get(tenant_id)

    def named(self, name: str) -> Tenant:
        """The tenant that a name or alias (domain, account id) means, upper and lower case alike.

        Raises:
            NotFound: it means none.
        """
        means = select(tenant_alias.c.tenant_id).where(tenant_alias.c.alias == _key(name))
        return self._one(tenant.c.id == means.scalar_subquery(), name)

    def list(self, tenant_ids: Collection[str] | None = None) -> Sequence[Tenant]:
        """These tenants, by name; without ids every tenant. Ids of no tenant are passed over."""
        named = (
            select(tenant_alias.c.tenant_id, tenant_alias.c.alias)
            .where(tenant_alias.c.position > 0)
            .order_by(tenant_alias.c.position)
        )
        wanted = select(*_COLUMNS).order_by(tenant.c.name)
        if tenant_ids is not None:
            ids = sorted(tenant_ids)
            named, wanted = named.where(tenant_alias.c.tenant_id.in_(ids)), wanted.where(tenant.c.id.in_(ids))
        aliases: dict[str, list[str]] = {}
        for tenant_id, alias in self._connection.execute(named).all():
            aliases.setdefault(tenant_id, []).append(alias)
        rows = self._connection.execute(wanted).all()
        return [_tenant_of(row, tuple(aliases.get(row[0], ()))) for row in rows]

    def update(self, changed: Tenant) -> Tenant:
        """Replace everything about a tenant, read with `to_change`, but its id and creation time.

        Whether a switch may be made is for `recpipe.tenants.switches` to say.

        Raises:
            NotFound: there is none with this id.
            AlreadyExists: the new name or an alias means another tenant.
        """
        before = self.get(changed.id)
        values = row_of(tenant, replace(changed, created_at=before.created_at))
        self._connection.execute(update(tenant).where(tenant.c.id == changed.id).values(values))
        self._connection.execute(delete(tenant_alias).where(tenant_alias.c.tenant_id == changed.id))
        self._claim_names(changed)
        return self.get(changed.id)

    def _claim_names(self, owner: Tenant) -> None:
        names = list(dict.fromkeys(_key(name) for name in (owner.name, *owner.aliases)))
        for position, name in enumerate(names):
            row = {"alias": name, "tenant_id": owner.id, "position": position}
            if not inserted(self._connection, tenant_alias, row):
                raise AlreadyExists("tenant", name)

    def _one(self, condition: Any, which: str) -> Tenant:
        row = self._connection.execute(select(*_COLUMNS).where(condition)).first()
        if row is None:
            raise NotFound("tenant", which)
        aliases = (
            select(tenant_alias.c.alias)
            .where(tenant_alias.c.tenant_id == row.id, tenant_alias.c.position > 0)
            .order_by(tenant_alias.c.position)
        )
        return _tenant_of(row, tuple(self._connection.execute(aliases).scalars()))


class Certificates(Scoped):
    """The certificates of one tenant."""

    __slots__ = ()

    def add(self, new: TenantCertificate) -> TenantCertificate:
        """Keep a new certificate.

        Raises:
            AlreadyExists: the tenant has this very certificate and has not retired it.
            NotFound: the tenant is gone.
        """
        same_tenant(self._tenant_id, new.tenant_id)
        try:
            added = inserted(self._connection, certificate, row_of(certificate, new))
        except IntegrityError:
            raise NotFound("tenant", self._tenant_id) from None
        if not added:
            raise AlreadyExists("certificate", new.fingerprint)
        return self.get(new.id)

    def get(self, certificate_id: str) -> TenantCertificate:
        """One certificate.

        Raises:
            NotFound: there is none, or it is another tenant's.
        """
        mine = certificate.c.tenant_id == self._tenant_id
        row = self._connection.execute(select(certificate).where(mine, certificate.c.id == certificate_id)).first()
        if row is None:
            raise NotFound("certificate", certificate_id)
        return certificate_of(row)

    def list(self) -> Sequence[TenantCertificate]:
        """Every certificate, retired ones too, oldest first."""
        mine = select(certificate).where(certificate.c.tenant_id == self._tenant_id)
        rows = self._connection.execute(mine.order_by(certificate.c.added_at, certificate.c.id))
        return [certificate_of(row) for row in rows]

    def decide(self, certificate_id: str, state: CertificateState, at: datetime, by: str) -> TenantCertificate:
        """Set the state: proven, vouched or retired. Retiring is for ever.

        Raises:
            NotFound: there is none, or it is another tenant's.
            Conflict: `retired`: it was retired before.
        """
        if self.get(certificate_id).state is CertificateState.RETIRED:
            raise Conflict("retired", "This certificate is retired. Add it again if it is to be used again.")
        return self._set(certificate_id, state=state, decided_at=at, decided_by=by)

    def set_challenge(self, certificate_id: str, challenge: str) -> TenantCertificate:
        """Remember what a proof is compared with.

        Raises:
            NotFound: there is none, or it is another tenant's.
        """
        return self._set(certificate_id, challenge=challenge)

    def _set(self, certificate_id: str, **values: object) -> TenantCertificate:
        mine = certificate.c.tenant_id == self._tenant_id
        self._connection.execute(update(certificate).where(mine, certificate.c.id == certificate_id).values(values))
        return self.get(certificate_id)


def _key(name: str) -> str:
    return name.strip().casefold()


def _tenant_of(row: Row[Any], aliases: tuple[str, ...]) -> Tenant:
    """A row of `_COLUMNS`, quickly: pages that offer services to choose from read hundreds."""
    values = list(row)
    values[_FORMAT_AT] = _FORMATS[values[_FORMAT_AT]]
    values.insert(_ALIASES_AT, aliases)
    return _tenant(*values)


def certificate_of(row: Row[Any]) -> TenantCertificate:
    return TenantCertificate(**{**row._asdict(), "state": CertificateState(row.state)})
