"""The page behind a link to a call: for people outside, who have no account and get no session.

Opening the address does nothing, so that scanners of mail use up no opening; the secret is behind the # and comes with
the form. What was opened is asked for by a ticket in the address of each file: nowhere else, and soon worthless.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request, Response

from recpipe.access.principal import Action
from recpipe.errors import CredentialsRejected, LockedOut
from recpipe.messages import message
from recpipe.model import Recording
from recpipe.recordings.sharing import PATH, saved_only
from recpipe.web.dashboard.forms import Form
from recpipe.web.dashboard.pages import Portal, ThePortal
from recpipe.web.delivery import deliver
from recpipe.web.deps import PasswordPlace
from recpipe.web.errors import Problem, problem_of
from recpipe.web.playable import deliver_playable, needs_conversion
from recpipe.web.routes import page_router
from recpipe.web.security import address_of

# Less than the pages of the portal need: no request by script, no worker, nothing but what is stored.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "media-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types recpipe",
    )
)
_UNLISTED = {"x-robots-tag": "noindex, nofollow, noarchive"}
_NOT_OPENED = Problem(
    403,
    "credentials-rejected",
    message("Not opened"),
    message(
        "This link opens nothing with what was typed. It may be incomplete, too old, opened as often as it could "
        "be, or "
        "ended; or the passphrase is another one. Copy the whole link once more, or ask whoever sent it for a new one."
    ),
)

router = page_router()


@dataclass(frozen=True, slots=True)
class _Heard:
    """One recording as the page shows it: when it was and how long it is, and nobody's number."""

    recording: Recording
    playable: bool
    source: str
    save: str


@router.get(PATH)
def page(request: Request, portal: ThePortal) -> Response:
    """Where a link leads: a form that the page fills in by itself."""
    return _page(request, portal, "shared.html", code="")


@router.post(PATH)
def open_link(request: Request, portal: ThePortal, form: Form, _place: PasswordPlace) -> Response:
    """Open it: one opening less. Whatever is wrong, the answer is the same."""
    code = form.text("code").strip()
    try:
        opened = portal.parts.sharing.open(code, form.text("passphrase"), address_of(request.scope))
    except (CredentialsRejected, LockedOut) as refused:
        problem = problem_of(refused) if isinstance(refused, LockedOut) else _NOT_OPENED
        answer = _page(request, portal, "shared.html", problem=problem, code=code)
        answer.headers.update(problem.headers)
        return answer
    base = f"{PATH}/{opened.ticket}"
    heard = [
        _Heard(
            one,
            not saved_only(one),
            f"{base}/{one.id}/{'playable' if needs_conversion(one) else 'media'}",
            f"{base}/{one.id}/media?download=true" if opened.link.download else "",
        )
        for one in opened.recordings
    ]
    left = opened.link.most_openings - opened.link.openings - 1
    answer = _page(request, portal, "shared-open.html", heard=heard, left=left, until=opened.until)
    answer.headers["referrer-policy"] = "no-referrer"  # there is no form on it whose Origin header would go with it
    return answer


@router.get(PATH + "/{ticket}/{recording_id}/media")
@router.head(PATH + "/{ticket}/{recording_id}/media")
def media(request: Request, portal: ThePortal, ticket: str, recording_id: str, download: bool = False) -> Response:
    """The file as it is stored, or a range of it."""
    action = Action.DOWNLOAD if download else Action.PLAY
    who, recording = portal.parts.sharing.recording(ticket, recording_id, action, address_of(request.scope))
    request.state.actor, request.state.tenant = who.name, recording.tenant_id
    return _unlisted(deliver(request, portal.proxied, who, recording, action))


@router.get(PATH + "/{ticket}/{recording_id}/playable")
@router.head(PATH + "/{ticket}/{recording_id}/playable")
def playable(request: Request, portal: ThePortal, ticket: str, recording_id: str) -> Response:
    """What browsers play of a recording whose format they do not know."""
    who, recording = portal.parts.sharing.recording(ticket, recording_id, Action.PLAY, address_of(request.scope))
    request.state.actor, request.state.tenant = who.name, recording.tenant_id
    return _unlisted(deliver_playable(request, portal.proxied, who, recording))


def _page(request: Request, portal: Portal, template: str, **values: object) -> Response:
    answer = portal.page(request, template, **values)  # type: ignore[arg-type]
    answer.headers["content-security-policy"] = _POLICY
    return _unlisted(answer)


def _unlisted(answer: Response) -> Response:
    answer.headers.update(_UNLISTED)
    return answer
