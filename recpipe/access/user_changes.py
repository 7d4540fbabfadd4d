"""What a change of a user is: whether it opens a way in, and how the audit log tells of it."""

from __future__ import annotations

from collections.abc import Collection

from recpipe.access.audit import Detail
from recpipe.model import Grant, User, UserStatus


def opens_a_way(old: User, old_grants: Collection[Grant], new: User, new_grants: Collection[Grant]) -> bool:
    """Whether a change lets somebody in, or gives them other things to do there."""
    let_in = new.status is UserStatus.ACTIVE and old.status is not UserStatus.ACTIVE
    granted = in_words(old_grants) != in_words(new_grants)
    return let_in or granted or old.role is not new.role or old.email != new.email


def in_words(grants: Collection[Grant]) -> str:
    """Grants as the audit log keeps them: `ID: search,play; ID: all`."""
    return "; ".join(f"{g.tenant_id}: {','.join(g.actions) or 'all'}" for g in grants)


def difference(old: User, old_grants: Collection[Grant], new: User, new_grants: Collection[Grant]) -> dict[str, Detail]:
    """What changed, old and new; of contact details only that they did."""
    detail: dict[str, Detail] = {}
    for name in ("role", "status"):
        before, after = str(getattr(old, name)), str(getattr(new, name))
        if before != after:
            detail |= {f"old_{name}": before, f"new_{name}": after}
    if in_words(old_grants) != in_words(new_grants):
        detail |= {"old_grants": in_words(old_grants), "new_grants": in_words(new_grants)}
    for name in ("email", "email_pending", "display_name", "contact", "notifications"):
        if getattr(old, name) != getattr(new, name):
            detail[f"{name}_changed"] = True
    return detail
