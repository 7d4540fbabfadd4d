"""Letters that are due by the clock, each sent once.

What was sent is known by its audit event, so sending twice, or in two processes, sends nothing twice; a letter that
the mail server refused is tried again at the next run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from recpipe import languages, log
from recpipe.access import identity
from recpipe.access.principal import Principal
from recpipe.catalogue import Catalogue
from recpipe.catalogue.work import Work
from recpipe.mail import Mailer
from recpipe.model import AuditEvent, AuditQuery, Outcome, User, UserStatus

_log = log.get(__name__)

ACTOR = "system"
# Less than a day, so that a run at the same minute of the next day is not too early by a second.
AGAIN_AFTER = timedelta(hours=23, minutes=30)


class Letter(Protocol):
    """One letter that is due, to everybody whom it concerns."""

    @property
    def recipients(self) -> Sequence[User]: ...

    def was_sent(self, work: Work, now: datetime) -> bool:
        """Whether it went out already; the latest word counts, so a failure means again."""
        ...

    def text(self, address: str) -> tuple[str, str]:
        """Subject and text, in the language that is spoken.

        Args:
            address: where people reach the portal.
        """
        ...

    def event(self, outcome: Outcome, now: datetime) -> AuditEvent:
        """What the audit log keeps of its sending."""
        ...


Due = TypeVar("Due", bound=Letter)


def send_due(
    catalogue: Catalogue,
    mailer: Mailer,
    address: str,
    now: datetime,
    due: Callable[[Work, datetime], Sequence[Due]],
    about: str,
) -> Sequence[Due]:
    """Send what is due, and return what went out.

    Args:
        address: where people reach the portal.
        due: reads what is due, and changes nothing.
        about: what the letters tell of, for the log where no mail can be sent.

    Raises:
        CatalogueUnavailable: the database does not answer; nothing is lost, the next run does it.
    """
    with catalogue.read() as work:
        waiting = due(work, now)
    if waiting and not mailer.able:
        _log.warning("letters are due and no mail can be sent", about=about, letters=len(waiting))
        return ()
    return [letter for letter in waiting if send(catalogue, mailer, address, letter, now)]


def send(catalogue: Catalogue, mailer: Mailer, address: str, letter: Letter, now: datetime) -> bool:
    """Send a letter, unless another process has done so.

    Args:
        address: where people reach the portal.

    Returns:
        Whether it was sent from here to anybody, or there was nobody to send it to.

    Raises:
        CatalogueUnavailable: the database does not answer; nothing is lost, the next run does it.
    """
    # Claimed before it is sent: of two processes one gets it.
    with catalogue.begin() as work:
        if letter.was_sent(work, now):
            return False
        work.audit.add(letter.event(Outcome.OK, now))
    delivered = []
    for person in letter.recipients:
        with languages.speaking(person.contact.get(languages.CHOICE)):
            subject, text = letter.text(address)
        delivered.append(mailer.try_to_send(person.email, subject, text))
    if delivered and not any(delivered):
        with catalogue.begin() as work:
            work.audit.add(letter.event(Outcome.FAILED, now))
        return False
    return True


def readers(work: Work, kind: str) -> Iterator[tuple[User, Principal]]:
    """Active people with an address who want letters of a kind, and what they may do."""
    for person in work.users.every():
        if person.status is UserStatus.ACTIVE and person.email and person.wants(kind):
            yield person, identity.of_user(person, work.users.grants(person.id), "")


def sent_since(work: Work, event: str, person: User, since: datetime) -> bool:
    """Whether a letter went out to somebody since then; the latest word counts, so a failure means again."""
    latest = work.audit.list(AuditQuery(action=event, subject=person.id, at_from=since), limit=1).items
    return bool(latest) and latest[0].outcome is Outcome.OK
