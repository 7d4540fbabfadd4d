"""The letters people get: recovery, invitation, registration. Links carry their secret behind the #."""

from __future__ import annotations

from recpipe import languages
from recpipe.access.links import LinkFor
from recpipe.mail import portal_address
from recpipe.messages import Message, message
from recpipe.model import User
from recpipe.web.dashboard.pages import Portal


def invitation_link(portal: Portal, link: LinkFor) -> str:
    """What an invited person opens."""
    path = "/welcome/oidc" if link.elsewhere else "/welcome"
    return f"{portal_address(portal.parts.settings)}{path}#{link.secret}"


def recoveries(portal: Portal, name_or_email: str, address: str, language: str) -> None:
    """To whoever a name or address means, if anybody.

    Args:
        language: of the browser in which it was asked for.
    """
    for link in portal.parts.links.recover(name_or_email, address):
        with languages.speaking(language):
            recovery(portal, link)


def recovery(portal: Portal, link: LinkFor) -> None:
    """To somebody who cannot sign in."""
    text = message(
        "Somebody, probably you, asked for a new password for {username}.\n\n"
        "Choose it here within one hour:\n\n    {link}\n\n"
        "If it was not you, do nothing: your password stays as it is.\n",
        username=link.user.username,
        link=f"{portal_address(portal.parts.settings)}/recover/link#{link.secret}",
    )
    _send(portal, link.user, message("Choose a new password"), text)


def invitation(portal: Portal, link: LinkFor) -> bool:
    """To somebody who was invited; False where no letter went out."""
    if not (portal.parts.mailer.able and link.user.email):
        return False
    own = message(
        "You were invited to the call recording portal as {username}.\n\n"
        "Choose your password here within seven days:\n\n    {link}\n",
        username=link.user.username,
        link=invitation_link(portal, link),
    )
    elsewhere = message(
        "You were invited to the call recording portal as {username}.\n\n"
        "Sign in with your company's own sign-in here within seven days:\n\n    {link}\n",
        username=link.user.username,
        link=invitation_link(portal, link),
    )
    text = elsewhere if link.elsewhere else own
    return _send(portal, link.user, message("Your invitation to the call recording portal"), text)


def prove_address(portal: Portal, email: str, secret: str, language: str) -> None:
    """To an address for which somebody wants an account. Who has one is told so here, and nowhere else.

    Args:
        language: of the browser in which it was asked for.
    """
    address = portal_address(portal.parts.settings)
    if portal.parts.registration.is_known(email):
        subject = message("You have an account already")
        text = message(
            "Somebody, probably you, asked for an account of the call recording portal for {email}.\n\n"
            "There is one already. Sign in, or choose a new password:\n\n    {link}\n\n"
            "If you were invited, use the link of the invitation. If it was not you, do nothing.\n",
            email=email,
            link=f"{address}/recover",
        )
    else:
        subject = message("Confirm your address")
        text = message(
            "Somebody, probably you, asked for an account of the call recording portal for {email}.\n\n"
            "Confirm within 24 hours that this is your address:\n\n    {link}\n\n"
            "An administrator looks at it then. If it was not you, do nothing: nothing of it is kept.\n",
            email=email,
            link=f"{address}/register/link#{secret}",
        )
    with languages.speaking(language):
        portal.parts.mailer.try_to_send(email, languages.said(subject), languages.said(text))


def registration(portal: Portal, username: str) -> None:
    """To the administrators who want to know of registrations."""
    text = message(
        "{username} asks for an account, and reads letters at this address.\n\n"
        "Approve or delete it under My Admin > Portal Users:\n\n    {link}\n",
        username=username,
        link=f"{portal_address(portal.parts.settings)}/users",
    )
    for person in portal.parts.accounts.administrators_for("registrations"):
        _send(portal, person, message("A registration waits for approval"), text)


def _send(portal: Portal, to: User, subject: Message, text: Message) -> bool:
    """In the language of that person; until one was chosen, in the one that is spoken."""
    with languages.speaking(to.contact.get(languages.CHOICE)):
        return portal.parts.mailer.try_to_send(to.email, languages.said(subject), languages.said(text))
