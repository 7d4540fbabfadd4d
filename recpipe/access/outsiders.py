"""Who looks through a shared link: nobody we know, with what is left of the rights of whoever made it."""

from __future__ import annotations

from datetime import datetime
from types import MappingProxyType

from recpipe.access import identity
from recpipe.access.principal import Action, Kind, Principal
from recpipe.catalogue.work import Work
from recpipe.errors import CredentialsRejected, NotFound
from recpipe.model import SharedLink, UserStatus


class LinkEnded(CredentialsRejected):
    """A link that is known and opens nothing any more; why is for the audit log alone."""

    def __init__(self, why: str) -> None:
        super().__init__()
        self.why = why


def needed(link: SharedLink) -> frozenset[Action]:
    """What its maker has to be allowed, as long as the link is to open anything."""
    return frozenset({Action.SHARE, Action.PLAY} | ({Action.DOWNLOAD} if link.download else set()))


def of_link(work: Work, link: SharedLink, address: str, now: datetime, opening_id: str = "") -> Principal:
    """What somebody who holds a link may do now: play its recordings, and save them where the link says so.

    A link has no rights of its own. Whatever its maker may no longer do, it does no longer either.

    Raises:
        LinkEnded: revoked, expired, or its maker (a person or a token) is gone or lost the rights.
    """
    if link.revoked_at is not None:
        raise LinkEnded("revoked")
    if link.expires_at <= now:
        raise LinkEnded("expired")
    try:
        user = work.users.get(link.user_id)
        grants = work.users.grants(user.id)
        maker = identity.of_user(user, grants, address)
        if link.token_id:
            token = work.tokens.get(link.token_id)
            maker = identity.of_token(token, user, grants, address)
            if not identity.token_lives(token, user, now):
                raise LinkEnded("maker")
    except NotFound:
        raise LinkEnded("maker") from None
    if user.status is not UserStatus.ACTIVE or not all(maker.may(one, link.tenant_id) for one in needed(link)):
        raise LinkEnded("maker")
    return Principal(
        kind=Kind.LINK,
        id=link.id,
        name=f"{user.username}/{label_of(link)}",
        address=address,
        grants=MappingProxyType({link.tenant_id: needed(link) - {Action.SHARE}}),
        recordings=frozenset(link.recordings),
        credential_id=opening_id,
    )


def label_of(link: SharedLink) -> str:
    """How the audit log calls a link."""
    return f"link:{link.id[:8]}"


def still_open(work: Work, principal: Principal, now: datetime) -> bool:
    """Whether what was opened is open still: neither its time is over, nor that of its link."""
    try:
        opening = work.shared_links.opening(id=principal.credential_id)
        of_link(work, work.shared_links.get(opening.link_id), principal.address, now)
    except (NotFound, LinkEnded):
        return False
    return opening.expires_at > now
