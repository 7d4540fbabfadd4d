"""Tenants: made and changed by administrators. Which recordings are whose hangs on names and aliases."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace

from recpipe import numbers
from recpipe.access.audit import AuditTrail, Detail, event
from recpipe.access.checks import check_text
from recpipe.access.principal import Action, Principal
from recpipe.catalogue.catalogue import Catalogue
from recpipe.catalogue.repository import new_id
from recpipe.errors import InputInvalid
from recpipe.messages import message
from recpipe.model import StoreFormat, Tenant
from recpipe.tenants import switches
from recpipe.times import Clock, check_timezone

MOST_ALIASES = 100
LONGEST_GROUP = 60  # characters
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)


class Tenants:
    """Every change of a tenant but its encryption, which is the `Keyring`'s. Thread-safe."""

    def __init__(self, catalogue: Catalogue, clock: Clock, trail: AuditTrail) -> None:
        self._catalogue = catalogue
        self._clock = clock
        self._trail = trail

    def names(self, tenant_ids: Collection[str]) -> dict[str, str]:
        """The short names of tenants whose ids the caller holds; those that are gone are left out."""
        with self._catalogue.read() as work:
            return {tenant.id: tenant.name for tenant in work.tenants.list(tenant_ids)}

    def create(
        self,
        by: Principal,
        name: str,
        *,
        title: str = "",
        timezone: str = "UTC",
        region: str = "",
        group: str = "",
        store_format: StoreFormat = StoreFormat.SOURCE,
        aliases: Collection[str] = (),
    ) -> Tenant:
        """Make a tenant; encryption is off until a key is proven.

        Args:
            name: short; file paths and commands use it.
            title: for people; the name where there is none.
            timezone: IANA; its days decide the folders.
            region: ISO 3166 code that national phone numbers are read in; "" reads only +E.164.
            group: of the services of an operator; whoever sees the tenant sees it.
            aliases: domains and account ids that mean this tenant.

        Raises:
            AlreadyExists: the name or an alias means a tenant already.
            InputInvalid: one of them cannot be.
            Forbidden: `by` may not manage tenants.
        """
        self._trail.require(by, Action.TENANTS)
        now = self._clock()
        new = Tenant(
            id=new_id(),
            name=_checked_name("name", name),
            title=check_text("title", title) or name,
            timezone=_checked_timezone(timezone),
            region=_checked_region(region),
            group=check_text("group", group, LONGEST_GROUP),
            encryption=False,
            store_format=store_format,
            created_at=now,
            aliases=_checked_aliases(aliases),
        )
        with self._catalogue.begin() as work:
            kept = work.tenants.add(new)
            work.audit.add(event(by, "tenant.create", now, tenant_id=kept.id, subject=kept.id, name=kept.name))
        return kept

    def change(
        self,
        by: Principal,
        tenant_id: str,
        *,
        title: str | None = None,
        timezone: str | None = None,
        region: str | None = None,
        group: str | None = None,
        store_format: StoreFormat | None = None,
        aliases: Collection[str] | None = None,
    ) -> Tenant:
        """Change a tenant; what is None stays. Recordings already stored keep their folders and formats.

        Raises:
            AlreadyExists, InputInvalid, NotFound, Forbidden: as for `create`.
        """
        self._trail.require(by, Action.TENANTS, tenant_id)
        with self._catalogue.begin() as work:
            before = work.tenants.to_change(tenant_id)
            kept = work.tenants.update(
                replace(
                    before,
                    title=before.title if title is None else check_text("title", title) or before.name,
                    timezone=before.timezone if timezone is None else _checked_timezone(timezone),
                    region=before.region if region is None else _checked_region(region),
                    group=before.group if group is None else check_text("group", group, LONGEST_GROUP),
                    store_format=before.store_format if store_format is None else store_format,
                    aliases=before.aliases if aliases is None else _checked_aliases(aliases),
                )
            )
            happened = event(by, "tenant.change", self._clock(), tenant_id=tenant_id, subject=tenant_id)
            work.audit.add(replace(happened, detail=_difference(before, kept)))
        return kept

    def set_recording(self, by: Principal, tenant_id: str, on: bool, *, agreed: bool = False) -> Tenant:
        """Switch the call recording add-on; its disclaimer must have been agreed to, and who did is kept.

        Args:
            agreed: `by` agrees to the disclaimer now; it counts where nobody did before, and `on` is asked for.

        Raises:
            Conflict: `disclaimer-not-agreed`.
            NotFound, Forbidden: `by` may not manage this tenant's keys and add-ons.
        """
        self._trail.require(by, Action.KEYS, tenant_id)
        now = self._clock()
        with self._catalogue.begin() as work:
            before = work.tenants.to_change(tenant_id)
            agreed_to = switches.agree(work, before, by.name, now) if on and agreed else before
            kept = switches.set_recording(work, agreed_to, on, now)
            if kept == before:
                return kept
            work.audit.add(
                event(
                    by,
                    "tenant.recording",
                    now,
                    tenant_id=tenant_id,
                    subject=tenant_id,
                    old=before.recording_enabled,
                    new=on,
                    agreed=agreed,
                )
            )
        return kept


def _checked_name(field: str, name: str) -> str:
    text = name.strip()
    if _NAME.fullmatch(text) is None:
        raise InputInvalid(
            field,
            message(
                "{value!r} cannot be a {field}: use 1 to 63 letters, digits, dots, hyphens and underscores.",
                value=text[:60],
                field=field,
            ),
        )
    return text


def _checked_aliases(aliases: Collection[str]) -> tuple[str, ...]:
    if len(aliases) > MOST_ALIASES:
        raise InputInvalid("aliases", message("A tenant can have {most_aliases} aliases.", most_aliases=MOST_ALIASES))
    checked = [check_text("alias", alias) for alias in aliases]
    if not all(checked):
        raise InputInvalid("aliases", "An alias cannot be empty.")
    return tuple(dict.fromkeys(checked))


def _checked_timezone(name: str) -> str:
    try:
        return check_timezone(name)
    except ValueError as error:
        raise InputInvalid("timezone", error.args[0]) from None


def _checked_region(region: str) -> str:
    code = region.strip().upper()
    if code and not numbers.is_region(code):
        raise InputInvalid(
            "region",
            message("{region!r} is not a country code. Use ISO 3166, such as DE, GB or US.", region=region[:20]),
        )
    return code


def _difference(before: Tenant, after: Tenant) -> dict[str, Detail]:
    detail: dict[str, Detail] = {}
    for name in ("title", "timezone", "region", "group", "store_format"):
        old, new = str(getattr(before, name)), str(getattr(after, name))
        if old != new:
            detail |= {f"old_{name}": old, f"new_{name}": new}
    if before.aliases != after.aliases:
        detail |= {"old_aliases": " ".join(before.aliases), "new_aliases": " ".join(after.aliases)}
    return detail
