"""The letters people get: recovery, invitation, registration. Links carry their secret behind the #."""

from __future__ import annotations

from recpipe.access.links import LinkFor
from recpipe.mail import portal_address
from recpipe.web.dashboard.pages import Portal


def invitation_link(portal: Portal, link: LinkFor) -> str:
    """What an invited person opens."""
    path = "/welcome/oidc" if link.elsewhere else "/welcome"
    return f"{portal_address(portal.parts.settings)}{path}#{link.secret}"


def recoveries(portal: Portal, name_or_email: str, address: str) -> None:
    """To whoever a name or address means, if anybody."""
    for link in portal.parts.links.recover(name_or_email, address):
        recovery(portal, link)


def recovery(portal: Portal, link: LinkFor) -> None:
    """To somebody who cannot sign in."""
    address = portal_address(portal.parts.settings)
    text = (
        f"Somebody, probably you, asked for a new password for {link.user.username}.\n\n"
        f"Choose it here within one hour:\n\n    {address}/recover/link#{link.secret}\n\n"
        "If it was not you, do nothing: your password stays as it is.\n"
    )
    portal.parts.mailer.try_to_send(link.user.email, "Choose a new password", text)


def invitation(portal: Portal, link: LinkFor) -> bool:
    """To somebody who was invited; False where no letter went out."""
    if not (portal.parts.mailer.able and link.user.email):
        return False
    what = "Sign in with your company's own sign-in" if link.elsewhere else "Choose your password"
    text = (
        f"You were invited to the call recording portal as {link.user.username}.\n\n"
        f"{what} here within seven days:\n\n    {invitation_link(portal, link)}\n"
    )
    return portal.parts.mailer.try_to_send(link.user.email, "Your invitation to the call recording portal", text)


def prove_address(portal: Portal, email: str, secret: str) -> None:
    """To an address for which somebody wants an account. Who has one is told so here, and nowhere else."""
    address = portal_address(portal.parts.settings)
    if portal.parts.registration.is_known(email):
        text = (
            f"Somebody, probably you, asked for an account of the call recording portal for {email}.\n\n"
            f"There is one already. Sign in, or choose a new password:\n\n    {address}/recover\n\n"
            "If you were invited, use the link of the invitation. If it was not you, do nothing.\n"
        )
        portal.parts.mailer.try_to_send(email, "You have an account already", text)
        return
    text = (
        f"Somebody, probably you, asked for an account of the call recording portal for {email}.\n\n"
        f"Confirm within 24 hours that this is your address:\n\n    {address}/register/link#{secret}\n\n"
        "An administrator looks at it then. If it was not you, do nothing: nothing of it is kept.\n"
    )
    portal.parts.mailer.try_to_send(email, "Confirm your address", text)


def registration(portal: Portal, username: str) -> None:
    """To the administrators who want to know of registrations."""
    text = (
        f"{username} asks for an account, and reads letters at this address.\n\n"
        f"Approve or delete it under My Admin > Portal Users:\n\n    {portal_address(portal.parts.settings)}/users\n"
    )
    for person in portal.parts.accounts.administrators_for("registrations"):
        portal.parts.mailer.try_to_send(person.email, "A registration waits for approval", text)
