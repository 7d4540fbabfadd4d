"""Choosing one service, all of one group, or all, where a page shows several: in the address and in the list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recpipe.model import Tenant
from recpipe.web.dashboard.pages import Viewer

_OF_GROUP = "@"  # no name of a tenant begins with it


@dataclass(frozen=True, slots=True)
class Chosen:
    """What `?service=` means.

    Attributes:
        tenants: the services that it means.
        tenant: the one service, where it is one by its name; where nothing is chosen, None.
        group: the group, where all of one are meant.
    """

    tenants: Sequence[Tenant]
    tenant: Tenant | None = None
    group: str = ""

    @property
    def ids(self) -> list[str] | None:
        """As `Reader` takes them: None means all that the person may search."""
        return [one.id for one in self.tenants] if self.tenant or self.group else None

    @property
    def several_zones(self) -> bool:
        return len({one.timezone for one in self.tenants}) > 1

    def zone(self, otherwise: str) -> str:
        """The zone that all of them are in; `otherwise` where they are in several."""
        zones = {one.timezone for one in self.tenants}
        return zones.pop() if len(zones) == 1 else otherwise


def chosen(word: str, tenants: Sequence[Tenant]) -> Chosen | None:
    """Read what stands in the address.

    Args:
        tenants: those to choose from.

    Returns:
        None where it means none of them.
    """
    if not word:
        return Chosen(tenants)
    if word.startswith(_OF_GROUP):
        group = word.removeprefix(_OF_GROUP)
        members = [one for one in tenants if one.group and one.group == group]
        return Chosen(members, group=group) if members else None
    tenant = next((one for one in tenants if one.name == word), None)
    return Chosen([tenant], tenant) if tenant else None


@dataclass(frozen=True, slots=True)
class Offered:
    """A part of a list to choose from: the services of one group, or those in none."""

    group: str
    value: str  # means all of them; "" where they are in no group
    tenants: Sequence[Tenant]


def offered(tenants: Sequence[Tenant]) -> Sequence[Offered]:
    """The list to choose from: groups by name, then the services in none."""
    groups: dict[str, list[Tenant]] = {}
    for one in tenants:
        groups.setdefault(one.group, []).append(one)
    named = sorted((group for group in groups if group), key=str.casefold)
    return [
        Offered(group, f"{_OF_GROUP}{group}" if group else "", groups[group])
        for group in (*named, "")
        if group in groups
    ]


def groups_of(viewer: Viewer) -> Sequence[str]:
    """The groups of the services that somebody sees, by name."""
    return sorted({one.group for one in viewer.tenants if one.group}, key=str.casefold)
