"""Who may manage whom: nobody hands out, or takes over, more than they have themselves."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress

from recpipe.access.principal import GRANTABLE_ACTIONS, Action, Principal, allowed
from recpipe.catalogue.work import Work
from recpipe.errors import Forbidden, InputInvalid, NotFound
from recpipe.messages import message
from recpipe.model import Grant, Role, User

LONGEST_TEXT = 200  # characters of a name or a contact detail
LONGEST_EMAIL = 254  # Source: RFC 3696 erratum 1690
MOST_DETAILS = 30

# No colon, no slash: `cli:root`, `ftp:acme` and `ann/rp_3fXk9` in the audit log are never a user's own name.
_USERNAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+@-]{1,99}", re.ASCII)
_RESERVED = frozenset({"unknown", "pipeline", "system"})
_EMAIL = re.compile(r"[^\s@<>()\[\]\",;:\\]+@[^\s@<>()\[\]\",;:\\]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def covers(by: Principal, role: Role, grants: Collection[Grant]) -> bool:
    """Whether `by` may do everything that a user of this role with these grants may, and manage users there.

    Otherwise whoever manages the users of one tenant could take over a user of another one by a new password.
    """
    if by.unlimited:
        return True
    if role.everything:
        return False
    if not grants:
        return by.everything and by.may(Action.USERS)
    return all(
        by.may(Action.USERS, grant.tenant_id)
        and all(by.may(action, grant.tenant_id) for action in allowed(role, grant.actions))
        for grant in grants
    )


def require_cover(by: Principal, user: User, grants: Collection[Grant], asked_for: str = "") -> None:
    """Go on only where `by` may manage this user.

    Args:
        asked_for: what `by` called it, for the answer that says that there is none; its id by default.

    Raises:
        NotFound: the user has nothing to do with a tenant whose users `by` manages.
        Forbidden: it has, but may do more than `by`.
    """
    if covers(by, user.role, grants):
        return
    if not user.role.everything and any(by.may(Action.USERS, g.tenant_id) for g in grants):
        raise Forbidden("manage a user who may do more than itself")
    raise NotFound("user", asked_for or user.id)


def own_tenant(grants: Collection[Grant]) -> str | None:
    """The tenant in whose own log it belongs what is done to a user with these grants; None where that is in doubt."""
    tenants = {grant.tenant_id for grant in grants}
    return tenants.pop() if len(tenants) == 1 else None


def known_names(work: Work, user: User, grants: Collection[Grant]) -> list[str]:
    """What an attacker knows of a person: names and address, those of the tenants; no password is made of them."""
    return [user.username, user.email, user.display_name, *tenant_names(work, (g.tenant_id for g in grants))]


def tenant_names(work: Work, tenant_ids: Iterable[str]) -> list[str]:
    """Name, title and aliases of tenants; of one that is not there, nothing."""
    found = []
    for tenant_id in tenant_ids:
        with suppress(NotFound):
            tenant = work.tenants.get(tenant_id)
            found += [tenant.name, tenant.title, *tenant.aliases]
    return found


def grants_of(user_id: str, role: Role, wanted: Mapping[str, Collection[str]]) -> Sequence[Grant]:
    """Grants as they are kept, from tenant id -> actions (none: whatever the role allows).

    Raises:
        InputInvalid: an unknown action, or a service user without any.
    """
    known = {action.value for action in GRANTABLE_ACTIONS}
    for actions in wanted.values():
        for word in actions:
            if word not in known:
                raise InputInvalid(
                    "grants",
                    message(
                        "{word!r} is not an action. Choose of {known}.", word=word[:40], known=", ".join(sorted(known))
                    ),
                )
        if role.needs_actions and not actions:
            raise InputInvalid("grants", "A service user needs its actions named, such as search,play.")
    return [Grant(user_id, tenant_id, tuple(sorted(set(actions)))) for tenant_id, actions in sorted(wanted.items())]


def check_username(username: str) -> str:
    """Return the user name when it can be one.

    Raises:
        InputInvalid: it cannot.
    """
    name = username.strip()
    if _USERNAME.fullmatch(name) is None or name.lower() in _RESERVED:
        raise InputInvalid(
            "username",
            message(
                "A user name is an e-mail address or 2 to 100 letters, digits, dots, hyphens and underscores; "
                "{reserved} are taken by recpipe itself.",
                reserved=", ".join(sorted(_RESERVED)),
            ),
        )
    return name


def check_email(email: str) -> str:
    """Return the address, "" included, when mail could be sent to it.

    Raises:
        InputInvalid: it could not.
    """
    text = email.strip()
    if text and (len(text) > LONGEST_EMAIL or not text.isprintable() or _EMAIL.fullmatch(text) is None):
        raise InputInvalid("email", "This is not an e-mail address. Write it as name@example.com.")
    return text


def check_text(field: str, text: str, longest: int = LONGEST_TEXT) -> str:
    """Return text that is shown on one line.

    Raises:
        InputInvalid: too long, or it holds control characters or direction marks.
    """
    text = text.strip()
    if len(text) > longest or _CONTROL.search(text):
        raise InputInvalid(
            field,
            message(
                "{field} may have {longest} characters on one line, without control characters.",
                field=field,
                longest=longest,
            ),
        )
    return text


def check_details(field: str, details: Mapping[str, str]) -> dict[str, str]:
    """Return contact details, each of them a short line.

    Raises:
        InputInvalid: too many, or one is too long.
    """
    if len(details) > MOST_DETAILS:
        raise InputInvalid(
            field, message("{field} may hold at most {most_details} entries.", field=field, most_details=MOST_DETAILS)
        )
    return {check_text(field, name, 60): check_text(field, value) for name, value in details.items()}
