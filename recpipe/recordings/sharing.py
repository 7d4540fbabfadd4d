"""Links to a call for one person outside: who may make one, what it opens, for how long, and what is on the audit log.

The secret is in the link alone; a hash of it is kept. A link opens the legs that its maker chose and saw, and lives by
the rights of its maker. Whatever is wrong with a link, the one who holds it is told the same.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from zoneinfo import ZoneInfo

from recpipe.access import lockout, outsiders, tokens
from recpipe.access.audit import AuditTrail, Detail, event
from recpipe.access.checks import check_text
from recpipe.access.expiring import SeenRecently
from recpipe.access.lockout import Attempt, Holder
from recpipe.access.outsiders import LinkEnded
from recpipe.access.passwords import Passwords, check_chosen
from recpipe.access.principal import Action, Kind, Principal
from recpipe.catalogue import Catalogue, Work
from recpipe.catalogue.repository import new_id
from recpipe.errors import Conflict, CredentialsRejected, Forbidden, InputInvalid, LockedOut, NotFound
from recpipe.messages import message
from recpipe.model import AuditEvent, Opening, Outcome, Recording, SharedLink
from recpipe.recordings.reader import Reader
from recpipe.times import Clock

PATH = "/shared"  # of the portal: where links lead
DEFAULT_OPENINGS, MOST_OPENINGS = 5, 100
MOST_LEGS = 100  # of a call, in one link
MOST_LIVE = 1000  # links of a tenant
LONGEST_LABEL = 100  # characters
# How long one opening lasts: to hear a long call to its end, seek and come back to it.
OPENED_FOR = timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class NewLink:
    """The row, and the address with the secret: shown now, never again."""

    link: SharedLink
    secret: str = field(repr=False)
    address: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Opened:
    """What a link shows to whoever opened it."""

    link: SharedLink
    recordings: Sequence[Recording]
    until: datetime
    ticket: str = field(repr=False)


class Sharing:
    """Makes, lists, ends and opens links. Thread-safe.

    Args:
        portal: the address that links begin with.
        longest_days: how long a link may live; 0: none are made, and none open.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        reader: Reader,
        passwords: Passwords,
        trail: AuditTrail,
        clock: Clock,
        portal: str,
        longest_days: int,
    ) -> None:
        self._catalogue = catalogue
        self._reader = reader
        self._passwords = passwords
        self._trail = trail
        self._clock = clock
        self._portal = portal
        self.longest_days = longest_days
        self._said_lately = SeenRecently(60)

    # --- for those who share ------------------------------------------------------------------------------

    def share(
        self,
        by: Principal,
        call_id: str,
        *,
        recordings: Collection[str] | None = None,
        expires_at: datetime,
        openings: int = DEFAULT_OPENINGS,
        passphrase: str = "",
        download: bool = False,
        label: str = "",
    ) -> NewLink:
        """Make a link to a call.

        Args:
            call_id: its own, or that of a recording that is one of its legs.
            recordings: ids of the only legs that are meant; None: all that `by` may see now.
            openings: how often it may be opened.
            passphrase: that has to be typed to open it; "": none.
            download: whether files may be saved. What is sealed, and faxes, can be had in no other way.
            label: for whom it is, for the list of links; kept out of the audit log.

        Raises:
            InputInvalid: a time, number, label, passphrase or choice of legs that cannot be.
            Conflict: `links-off`; `too-many-links`.
            NotFound: there is no such call, or it is nothing to `by`.
            Forbidden: `by` may not share there; or not play; or not download, with `download`.
        """
        if by.kind not in (Kind.USER, Kind.TOKEN):
            raise Forbidden("make links, which live by the rights of a person")
        call = self._reader.call(by, call_id, Action.SHARE)
        for action in (Action.PLAY, *((Action.DOWNLOAD,) if download else ())):
            self._trail.require(by, action, call.tenant_id, "call", call.id)
        legs = self._reader.legs(by, call, Action.PLAY, most=MOST_LEGS)
        chosen = legs if recordings is None else [leg for leg in legs if leg.id in set(recordings)]
        if not chosen or len(chosen) < len(set(recordings or ())):
            raise InputInvalid("recordings", "Choose one or more legs of this call.")
        if not download and (only_saved := [leg for leg in chosen if saved_only(leg)]):
            what = message("sealed") if only_saved[0].sealed else message("a fax")
            raise InputInvalid(
                "download", message("A recording that is {what} can only be saved. Let files be saved.", what=what)
            )
        now = self._clock()
        self._check_time(expires_at, now)
        if not 1 <= openings <= MOST_OPENINGS:
            raise InputInvalid(
                "openings", message("A link can be opened 1 to {most_openings} times.", most_openings=MOST_OPENINGS)
            )
        kept = self._passwords.hash(_check_passphrase(passphrase)) if passphrase else None
        secret = tokens.new_secret()
        link = SharedLink(
            id=new_id(),
            tenant_id=call.tenant_id,
            hash=tokens.fingerprint(secret),
            user_id=by.id,
            token_id=by.credential_id if by.kind is Kind.TOKEN else "",
            call=call.id,
            recordings=tuple(leg.id for leg in chosen),
            label=check_text("label", label, LONGEST_LABEL),
            passphrase_hash=kept,
            download=download,
            created_at=now,
            expires_at=expires_at,
            most_openings=openings,
        )
        with self._catalogue.begin() as work:
            links = work.of(link.tenant_id).shared_links
            if (live := links.count(now)) >= MOST_LIVE:
                raise Conflict(
                    "too-many-links",
                    message("This service has {live:,} links that are open. Revoke some first.", live=live),
                )
            links.add(link)
            made = event(by, "link.create", now, tenant_id=link.tenant_id, subject=link.call)
            detail: dict[str, Detail] = {
                "link": link.id,
                "legs": len(link.recordings),
                "until": f"{expires_at:%Y-%m-%dT%H:%M:%SZ}",
                "openings": openings,
                "passphrase": kept is not None,
                "download": download,
            }
            work.audit.add(replace(made, detail=detail))
        # Browsers send nothing of what is behind the #, so it is in no log.
        return NewLink(link, secret, f"{self._portal}{PATH}#{secret}")

    def links(self, by: Principal, tenant_id: str) -> Sequence[tuple[SharedLink, str]]:
        """The links of a tenant that are neither revoked nor expired, each with the name of its maker, newest first.

        Raises:
            NotFound: the tenant is nothing to `by`.
            Forbidden: it may not share there.
        """
        self._trail.require(by, Action.SHARE, tenant_id)
        with self._catalogue.read() as work:
            found = work.of(tenant_id).shared_links.live(self._clock())
            names = {user_id: work.users.get(user_id).username for user_id in {link.user_id for link in found}}
        return [(link, names[link.user_id]) for link in found]

    def revoke(self, by: Principal, link_id: str) -> SharedLink:
        """End a link, and whatever is open by it within half a second. Whoever may share there may.

        Raises:
            NotFound: there is none, or its tenant is nothing to `by`.
            Forbidden: `by` may not share there.
        """
        with self._catalogue.read() as work:
            link = work.shared_links.get(link_id)
        self._trail.require(by, Action.SHARE, link.tenant_id, "link", link_id)
        now = self._clock()
        with self._catalogue.begin() as work:
            if work.of(link.tenant_id).shared_links.revoke(link.id, now):
                done = event(by, "link.revoke", now, tenant_id=link.tenant_id, subject=link.call, link=link.id)
                work.audit.add(done)
        return link

    # --- for whoever holds a link -------------------------------------------------------------------------

    def open(self, secret: str, passphrase: str, address: str) -> Opened:
        """Open a link once more.

        Args:
            passphrase: what was typed; where the link has none it is not looked at.

        Raises:
            CredentialsRejected: the one answer for everything: unknown, revoked, expired, opened often enough, a wrong
                passphrase, a maker who may not share any more, recordings that are gone.
            LockedOut: too many failures with this link, or from this address.
            TooManySignIns: no place to verify a passphrase came free in time.
        """
        now, digest = self._clock(), tokens.fingerprint(secret)
        attempt = Attempt.at(Holder.LINK, digest, address)
        link: SharedLink | None = None
        try:
            with self._catalogue.begin() as work:
                link = _found(work, digest)
                attempt.check_address(work, now)
                # Counted first: guesses sent all at once must not slip past the counter together.
                attempt.take(work, now)
        except LockedOut:
            if self._said_lately.first(("locked", attempt.account, attempt.address), now):
                self._trail.record(_refused(link, address, now, "locked-out"))
            raise
        kept = link.passphrase_hash if link else None
        right = False
        if passphrase:  # verified whatever it is for, so that time tells nothing
            with self._passwords.turn(Holder.LINK):
                right = self._passwords.verify(passphrase, kept)
        ticket = tokens.new_secret()
        with self._catalogue.begin() as work:
            try:
                return self._opened(work, digest, ticket, attempt, fits=right or kept is None)
            except LinkEnded as ended:
                lockout.note(work, now, (attempt.address,), attempt.repeated)
                work.audit.add(_refused(link, address, now, ended.why))
        raise CredentialsRejected

    def recording(self, ticket: str, recording_id: str, action: Action, address: str) -> tuple[Principal, Recording]:
        """A recording of an open link as the page may tell of it, and as whom to read it.

        Raises:
            NotFound: the ticket is none, or too old; its link ended; or the recording is not in it, or gone.
            Forbidden: the link does not let files be saved.
        """
        now = self._clock()
        try:
            with self._catalogue.read() as work:
                opening = work.shared_links.opening(digest=tokens.fingerprint(ticket))
                if opening.expires_at <= now or not self.longest_days:
                    raise LinkEnded("expired")
                link = work.shared_links.get(opening.link_id)
                who = outsiders.of_link(work, link, address, now, opening.id)
                zone = work.tenants.get(link.tenant_id).timezone
        except (NotFound, LinkEnded):
            raise NotFound("recording") from None
        return who, _for_outside(self._reader.get(who, recording_id, action), zone)

    def _opened(self, work: Work, digest: str, ticket: str, attempt: Attempt, *, fits: bool) -> Opened:
        """Count the opening and keep it.

        Raises:
            LinkEnded: nothing is opened, and why.
        """
        now, link = self._clock(), _found(work, digest)
        if link is None:
            raise LinkEnded("unknown")
        if not self.longest_days:
            raise LinkEnded("links-off")
        who = outsiders.of_link(work, link, attempt.client, now)
        if not fits:
            raise LinkEnded("passphrase")
        found = {one.id: one for one in work.recordings([link.tenant_id], link.recordings)}
        if not found:
            raise LinkEnded("deleted")
        until = min(now + OPENED_FOR, link.expires_at)
        if not work.shared_links.open(Opening(new_id(), link.id, tokens.fingerprint(ticket), now, until)):
            raise LinkEnded("used-up")
        attempt.succeeded(work, now)
        opened = event(who, "link.open", now, tenant_id=link.tenant_id, subject=link.call, link=link.id)
        work.audit.add(opened)
        zone = work.tenants.get(link.tenant_id).timezone
        shown = [_for_outside(found[one], zone) for one in link.recordings if one in found]
        return Opened(link, shown, until, ticket)

    def _check_time(self, expires_at: datetime, now: datetime) -> None:
        if not self.longest_days:
            raise Conflict("links-off", "Links are switched off here: the operator set shared_link_days to 0.")
        # A minute more, for who counts from when the page was shown.
        if not now < expires_at <= now + timedelta(days=self.longest_days, minutes=1):
            raise InputInvalid(
                "expires_at",
                message(
                    "A link ends in the future, within {longest_days} days from now.", longest_days=self.longest_days
                ),
            )


def saved_only(recording: Recording) -> bool:
    """Whether nothing of this recording can be shown or played to somebody outside: it is saved, or nothing."""
    return recording.sealed or bool(recording.audio.pages)


def _for_outside(recording: Recording, zone: str) -> Recording:
    """On the clock of the service, and under a name that says no more: names of PBXs hold numbers and extensions."""
    at = recording.started_at.astimezone(ZoneInfo(zone))
    plain = recording.name.removesuffix(".enc") if recording.sealed else recording.name
    ending = PurePosixPath(plain).suffix.lower()
    ending = ending if ending[1:].isalnum() and ending.isascii() and len(ending) <= 6 else ""
    name = f"call-{at:%Y%m%d-%H%M%S}{ending}{'.enc' if recording.sealed else ''}"
    return replace(recording, name=name, timezone=zone)


def _found(work: Work, digest: str) -> SharedLink | None:
    with suppress(NotFound):
        return work.shared_links.by_hash(digest)
    return None


def _check_passphrase(passphrase: str) -> str:
    try:
        return check_chosen(passphrase)
    except InputInvalid as refused:
        raise InputInvalid("passphrase", str(refused).replace("password", "passphrase")) from None


def _refused(link: SharedLink | None, address: str, now: datetime, why: str) -> AuditEvent:
    name = outsiders.label_of(link) if link else "unknown"
    nobody = Principal(kind=Kind.LINK, id="", name=name, address=address)
    denied = event(nobody, "link.open", now, outcome=Outcome.DENIED, reason=why)
    if link is None:
        return denied
    return replace(denied, tenant_id=link.tenant_id, subject=link.call, detail={**denied.detail, "link": link.id})
