"""What HTTP says when something is wrong: one table from errors to statuses, and problem+json for all of them.

Source: RFC 9457 (problem details), RFC 9110 sections 11.6.1 (WWW-Authenticate) and 10.2.3 (Retry-After).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from keys import errors as keys_errors
from recpipe import errors, log
from recpipe.messages import message
from recpipe.web.methods import allowed

_log = log.get(__name__)

MEDIA_TYPE = "application/problem+json"
_TYPE = "urn:recpipe:problem:"


@dataclass(frozen=True, slots=True)
class Problem:
    """One answer that is not what was asked for."""

    status: int
    kind: str  # last part of `type`, `word` of an error; programs decide on it
    title: str  # the same for every problem of a kind
    detail: str = ""  # what happened here and what to do next
    more: Mapping[str, Any] = field(default_factory=dict)  # RFC 9457 extension members
    headers: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The members of the JSON object."""
        body = {"type": _TYPE + self.kind, "title": self.title, "status": self.status}
        return body | ({"detail": self.detail} if self.detail else {}) | dict(self.more)

    def response(self) -> Response:
        content = json.dumps(self.document(), ensure_ascii=True, separators=(",", ":")).encode()
        return Response(content, self.status, {"cache-control": "no-store", **self.headers}, MEDIA_TYPE)


class CrossSite(errors.RecpipeError):
    """A browser sent this for another site's page; nothing was done."""

    word = "cross-site"

    def __init__(self) -> None:
        super().__init__(
            message("This request came from another site. Open the page here and repeat what you were doing.")
        )


class Misdirected(errors.RecpipeError):
    """The request was for a host that this server is not known as; nothing was done."""

    word = "misdirected"

    def __init__(self) -> None:
        super().__init__(
            message(
                "This server is not known by the name in the Host header. Its operator can make that name "
                "RECPIPE_HTTP_URL, or add it to RECPIPE_HTTP_ALLOWED_HOSTS; a proxy has to pass on the browser's Host."
            )
        )


class Ambiguous(errors.RecpipeError):
    """The length of the body can be understood in two ways; the connection is closed after the answer."""

    word = "bad-request"

    def __init__(self) -> None:
        super().__init__(message("Send Content-Length or, in HTTP/1.1, Transfer-Encoding, and not both."))


class TooManyStreams(errors.RecpipeError):
    """One user has as many files on their way as one may; nothing was begun."""

    word = "too-many-streams"

    def __init__(self, most: int) -> None:
        super().__init__(
            message("You have {most} downloads under way, which is the most. Let one end, then try again.", most=most)
        )
        self.retry_after_seconds = 5


class ServerBusy(errors.RecpipeError):
    """As many files are on their way as the server sends at once; nothing was begun."""

    word = "busy"

    def __init__(self) -> None:
        super().__init__(
            message("The server sends as many files as it can. Nothing was begun; try again in a few seconds.")
        )
        self.retry_after_seconds = 5


_401 = {"www-authenticate": 'Bearer realm="recpipe"'}

# The first row whose class fits wins: subclasses stand before their bases.
_TABLE: tuple[tuple[type[errors.RecpipeError | keys_errors.KeysError], int, str], ...] = (
    (errors.ReauthenticationRequired, 403, message("Your password is needed")),
    (errors.SignInRefused, 403, message("Not signed in")),
    (errors.CredentialsRejected, 401, message("Not signed in")),
    (errors.IssuerUnavailable, 503, message("The identity provider cannot be asked")),
    (errors.SecretUnreadable, 503, message("The code cannot be checked")),
    (errors.LockedOut, 429, message("Too many failed logins")),
    (TooManyStreams, 429, message("Too many downloads at once")),
    (ServerBusy, 503, message("Too many downloads at once")),
    (errors.TooManySignIns, 503, message("Too many sign-ins at once")),
    (errors.SecondFactorRequired, 403, message("Two-factor sign-in is needed")),
    (errors.Forbidden, 403, message("Not allowed")),
    (Misdirected, 421, message("Not a name of this server")),
    (Ambiguous, 400, message("Not understood")),
    (CrossSite, 403, message("Sent from another site")),
    (errors.NotFound, 404, message("Not found")),
    (errors.AlreadyExists, 409, message("Already exists")),
    (errors.Conflict, 409, message("Against a rule")),
    (errors.TooManyMatches, 422, message("Too many numbers match")),
    (errors.SearchTooLong, 422, message("The search takes too long")),
    (errors.QueryInvalid, 422, message("Search not understood")),
    (errors.InputInvalid, 422, message("Cannot be kept")),
    (errors.Unfit, 422, message("Cannot be ingested")),
    (errors.NotARecording, 422, message("Cannot be ingested")),
    (errors.SourceChanged, 409, message("Against a rule")),
    (errors.SpoolFull, 503, message("No room on the spool's disk")),
    (errors.SpoolRefused, 409, message("The spool does not take it")),
    (errors.SpoolLocked, 409, message("The spool does not take it")),
    (errors.CatalogueUnavailable, 503, message("Not available just now")),
    (errors.StoreUnavailable, 503, message("Not available just now")),
    (errors.ObjectMissing, 502, message("The stored file is missing")),
    (errors.ObjectDamaged, 502, message("The stored file is damaged")),
    (errors.StoreError, 502, message("The store refused")),
    (keys_errors.CertificateRejected, 422, message("Not a usable certificate")),
    (keys_errors.ChallengeFailed, 422, message("The proof does not match")),
    (keys_errors.KeysError, 422, message("Cannot be sealed or opened")),
)

# What a person is told where the error's own words name things inside (paths, keys) or what was asked for.
_IN_OTHER_WORDS: dict[str, str] = {
    "secret-unreadable": message(
        "The server cannot read what your authenticator app shares with it, so no code can be right. "
        "Use a recovery code, or ask an administrator to switch two-factor sign-in off. The log says why."
    ),
    "unavailable": message(
        "The database or the store does not answer. Nothing was changed; try again in a few seconds."
    ),
    "object-missing": message(
        "The catalogue has this recording, but its file is gone. Tell the operator: recpipe verify."
    ),
    "object-damaged": message("The stored file is not what was sent to the store. Tell the operator: recpipe verify."),
    "store-refused": message("The store refused to hand it out. Tell the operator: the log says why."),
}

_OF_STATUS = {
    400: ("bad-request", message("Not understood")),
    404: ("not-found", message("Not found")),
    405: ("method-not-allowed", message("Not a method of this place")),
    413: ("too-large", message("Request too large")),
    503: ("unavailable", message("Not available just now")),
}


def problem_of(error: Exception) -> Problem:
    """What to say about an error; 500 where it is none of ours."""
    if isinstance(error, HTTPException):
        return _of_http(error)
    if isinstance(error, RequestValidationError):
        return _of_validation(error)
    for kind_of_error, status, title in _TABLE:
        if isinstance(error, kind_of_error):
            return Problem(status, error.word, title, _detail(error, error.word), _more(error), _headers(error))
    return Problem(
        500,
        "internal",
        message("Something went wrong"),
        message("This is a fault of the server; its log has it. Nothing more is known."),
    )


def _detail(error: Exception, kind: str) -> str:
    if isinstance(error, errors.NotFound):
        # Without the id: what is missing and what is another tenant's answer in the same bytes.
        return message("There is no such {what}.", what=message(error.what))
    if kind == "credentials-rejected":
        return message("The token or session is missing, wrong, expired or revoked. Send Authorization: Bearer rp_...")
    return _IN_OTHER_WORDS.get(kind) or str(error)


def _more(error: Exception) -> dict[str, Any]:
    more: dict[str, Any] = {}
    for name in ("reason", "field", "advice", "retry_after_seconds"):
        value = getattr(error, name, None)
        if isinstance(value, (str, int)) and value != "":
            more[name] = value
    if isinstance(error, errors.ReauthenticationRequired):
        more["send"] = ["current_password", "code"]
    return more


def _headers(error: Exception) -> dict[str, str]:
    if isinstance(error, errors.CredentialsRejected) and not isinstance(error, errors.ReauthenticationRequired):
        return dict(_401)
    if isinstance(error, (errors.LockedOut, TooManyStreams, ServerBusy, errors.TooManySignIns)):
        return {"retry-after": str(error.retry_after_seconds)}
    if isinstance(error, Ambiguous):
        return {"connection": "close"}
    if isinstance(error, (errors.CatalogueUnavailable, errors.StoreUnavailable)):
        return {"retry-after": "5"}
    if isinstance(error, errors.SpoolFull):
        return {"retry-after": "60"}
    return {}


def _of_http(error: HTTPException) -> Problem:
    kind, title = _OF_STATUS.get(error.status_code, ("http", HTTPStatus(error.status_code).phrase))
    detail = error.detail if error.detail != HTTPStatus(error.status_code).phrase else ""
    if error.status_code == 404:
        detail = "There is nothing at this address. /api/v1/openapi.json lists all there is."
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    return Problem(error.status_code, kind, title, detail, headers=headers)


def _of_validation(error: RequestValidationError) -> Problem:
    # Never the input itself: it may be a password, a key or a number.
    found = [
        {"where": ".".join(str(part) for part in problem["loc"]), "message": str(problem["msg"])[:300]}
        for problem in error.errors()[:20]
    ]
    what = "; ".join(f"{one['where']}: {one['message']}" for one in found[:3])
    return Problem(
        422, "invalid", "Not as this place needs it", f"{what}. Correct it and send it again.", {"errors": found}
    )


ErrorPage = Callable[[Request, Problem], Response]


def respond(request: Request, error: Exception) -> Response:
    """The answer to an error: problem+json, or a page where the dashboard gave one for its own addresses."""
    problem = problem_of(error)
    if problem.status == 405:
        problem = replace(problem, headers={**problem.headers, "allow": allowed(request.scope)})
    if problem.status >= 500:
        _log.error("request failed", kind=problem.kind, error=type(error).__name__, reason=_inside(error))
    page: ErrorPage | None = getattr(request.app.state, "error_page", None)
    if page is not None and not request.url.path.startswith(("/api/", "/healthz", "/readyz", "/metrics")):
        try:
            return page(request, problem)
        except Exception:
            _log.exception("error page failed", kind=problem.kind)
    answer = problem.response()
    if problem.status == 401 and not _is_browser(request):
        # A line of its own: clients that know Basic alone look for a line that begins with it. Not for a browser, which
        # would ask its user for a name and a password.
        answer.headers.append("www-authenticate", 'Basic realm="recpipe", charset="UTF-8"')
    return answer


def _is_browser(request: Request) -> bool:
    """Whether a page asked, not a program: every browser of today sends one of these. Source: W3C Fetch Metadata."""
    return any(name in request.headers for name in ("sec-fetch-mode", "sec-fetch-site", "cookie", "referer", "origin"))


def _inside(error: Exception) -> str:
    """The words of our own errors; they hold no number or secret. Others' words might."""
    return str(error) if isinstance(error, errors.RecpipeError) else ""


def install(app: FastAPI) -> None:
    """Answer every error of ours and of the framework with a problem."""

    # No coroutine, so in a thread of its own: a page asks the database who looks at it, and may have to wait for it.
    def handle(request: Request, error: Exception) -> Response:
        return respond(request, error)

    for kind in (errors.RecpipeError, keys_errors.KeysError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, handle)

    async def gone(_request: Request, _error: Exception) -> Response:
        return Response(status_code=400)  # nobody is there to read it

    app.add_exception_handler(ClientDisconnect, gone)
