"""What every page needs: who looks at it, the templates, and the policy under which browsers show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Any, Literal
from urllib.parse import quote

import jinja2
from fastapi import Depends, Request, Response
from markupsafe import Markup
from starlette.responses import HTMLResponse, RedirectResponse

from keys.errors import KeysError
from recpipe import languages
from recpipe.access.principal import Action, Principal
from recpipe.access.sessions import IDLE
from recpipe.errors import CredentialsRejected, ReauthenticationRequired
from recpipe.messages import message
from recpipe.model import Tenant, User
from recpipe.recordings.reader import Reader
from recpipe.times import check_timezone
from recpipe.web import packing
from recpipe.web.brand import Brand
from recpipe.web.dashboard import assets, filters
from recpipe.web.dashboard.certificate_words import judged
from recpipe.web.deps import SESSION_COOKIE, WebContext, cookie_name, over_https
from recpipe.web.errors import Problem, problem_of
from recpipe.web.methods import page_above
from recpipe.web.routes import read_once
from recpipe.web.security import address_of
from recpipe.wiring import Parts

# No script or style but our files, no request but to us, no text ever taken for markup by accident.
# Source: CSP Level 3; Trusted Types. `blob:` is what the page itself decrypted.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "worker-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types recpipe",
    )
)
_HEADERS = {
    "content-security-policy": POLICY,
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    # With "no-referrer" browsers send our own forms with `Origin: null`, and over http that is all there is to go by.
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
SIGN_IN = "/sign-in"
ZONE = "timezone"  # among the contact details of a user
# Where somebody gets who has to set up a second factor first.
_WITHOUT_SECOND_FACTOR = frozenset(
    {"/", SIGN_IN, "/sign-out", "/account", "/account/second-factor", "/account/second-factor/confirm"}
    | {"/account/passkeys", "/account/passkeys/options"}
)


@dataclass(frozen=True)
class Viewer:
    """A person who looks at a page."""

    principal: Principal
    user: User
    reader: Reader

    @cached_property
    def tenants(self) -> Sequence[Tenant]:
        """The tenants that exist for this person, by name; read when a page first needs them."""
        return self.reader.tenants(self.principal)

    @property
    def zone(self) -> str:
        """Where days begin and end where several services say it differently: the person's own zone, or UTC."""
        try:
            return check_timezone(self.user.contact.get(ZONE, "") or "UTC")
        except ValueError:  # one that this machine's zones no longer have
            return "UTC"

    def may(self, action: str, tenant: Tenant | None = None) -> bool:
        """Whether it is allowed there; without a tenant: anywhere."""
        wanted = Action(action)
        if tenant is not None:
            return self.principal.may(wanted, tenant.id)
        return self.principal.may(wanted) or bool(self.principal.tenants(wanted))

    def with_right(self, *actions: Action) -> list[Tenant]:
        """The tenants where one of these is allowed."""
        return [t for t in self.tenants if any(self.principal.may(action, t.id) for action in actions)]


@dataclass(frozen=True, slots=True)
class Portal:
    """The services behind the pages, for the life of the application."""

    context: WebContext
    brand: Brand
    proxied: WebContext  # media come from here: a page may not be sent elsewhere by its own policy
    templates: jinja2.Environment

    @classmethod
    def of(cls, context: WebContext) -> Portal:
        proxied = context.parts.settings.model_copy(update={"http_media": "proxy"})
        return cls(
            context=context,
            brand=Brand.of(context.parts.settings),
            proxied=replace(context, parts=replace(context.parts, settings=proxied)),
            templates=_environment(),
        )

    @property
    def parts(self) -> Parts:
        return self.context.parts

    def page(
        self,
        request: Request,
        template: str,
        viewer: Viewer | None = None,
        *,
        refused: Exception | None = None,
        problem: Problem | None = None,
        status: int | None = None,
        **values: Any,
    ) -> Response:
        """Render a page; nothing of it is kept by caches.

        Args:
            refused: why what was asked for was not done, told on the page.
            problem: the same in the caller's words.
            status: by default that of the problem, or 200.
        """
        speak(request, viewer)
        problem = problem or (told(refused) if refused else None)
        waiting = 0 if viewer is None else self.parts.changes.waiting(viewer.principal)
        text = self.templates.get_template(template).render(
            {
                "viewer": viewer,
                "brand": self.brand,
                "here": request.url.path,
                "waiting_changes": waiting,
                "waiting_files": 0 if viewer is None else self.parts.quarantine.waiting(viewer.principal),
                "note": filters.NOTES.get(request.query_params.get("done", ""), ""),
                "problem": problem,
                "now": self.parts.clock(),
                **values,
            }
        )
        status = status or (problem.status if problem else 200)
        body, headers = text.encode(), {**_HEADERS, "vary": "accept-encoding, accept-language, sec-fetch-site"}
        if (
            len(body) >= packing.LEAST_BYTES
            and packing.takes_gzip(request.headers.get("accept-encoding", ""))
            and packing.asked_by_us(request.headers)
        ):
            body, headers = packing.packed(body), {**headers, "content-encoding": "gzip"}
        return HTMLResponse(body, status, headers)


def told(refused: Exception) -> Problem:
    """The problem of an error in the words of a page with a password field."""
    problem = problem_of(refused)
    if isinstance(refused, KeysError):
        return replace(problem, detail=judged(problem.detail))
    if isinstance(refused, ReauthenticationRequired):
        words = {
            "missing": message("Type your own password for this."),
            "wrong": message("The password or code you typed is not yours, or the code was used before."),
        }
        return replace(problem, title=message("Nothing was changed"), detail=words[refused.reason])
    return problem


def speak(request: Request, viewer: Viewer | None = None) -> None:
    """Speak the language that this person chose; until somebody is known to have chosen, that of the browser."""
    languages.listen(request.headers.get("accept-language", ""))
    if viewer is not None:
        languages.prefer(viewer.user.contact.get(languages.CHOICE))


def redirect(path: str) -> RedirectResponse:
    """To another page of ours, as a GET."""
    return RedirectResponse(path, 303, {"cache-control": "no-store"})


def keep_session(request: Request, response: Response, secret: str) -> Response:
    """Hand out the cookie of a session. It ends with the browser, or when the server says so."""
    return set_cookie(request, response, SESSION_COOKIE, secret, samesite="lax")


def set_cookie(
    request: Request,
    response: Response,
    name: str,
    value: str,
    *,
    samesite: Literal["lax", "strict"],
    seconds: int | None = None,
) -> Response:
    """Give the browser a cookie that no script can read; with `seconds=0` take it away."""
    response.set_cookie(
        cookie_name(request, name),
        value,
        max_age=seconds,
        httponly=True,
        samesite=samesite,
        secure=over_https(request),
        path="/",
    )
    return response


def error_page(request: Request, problem: Problem) -> Response:
    """What a person sees in place of a page; who is not signed in is asked to, and comes back afterwards."""
    portal: Portal = request.app.state.portal
    fragment = request.headers.get("x-part") == "results"
    if problem.status == 401 and not fragment:
        back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        wanted = f"?next={quote(back, safe='')}" if request.method == "GET" and back != "/" else ""
        return redirect(f"{SIGN_IN}{wanted}")
    if problem.status == 405 and request.method in ("GET", "HEAD") and not fragment:
        # What a form was answered with is reloaded, perhaps after signing in again: the page that the form is on.
        return redirect(page_above(request.scope))
    if problem.kind == "second-factor-required" and request.method == "GET" and not fragment:
        return redirect("/account?done=second-factor-required")
    try:
        viewer = viewer_of(request)
    except Exception:  # whatever is wrong is being told already
        viewer = None
    template = "part-error.html" if fragment else "error.html"
    answer = portal.page(request, template, viewer, problem=problem)
    answer.headers.update(problem.headers)
    return answer


# --- what endpoints are given ---------------------------------------------------------------------------------


@read_once
async def _portal(request: Request) -> Portal:
    languages.listen(request.headers.get("accept-language", ""))  # here, where it lasts as long as the request
    portal: Portal = request.app.state.portal
    return portal


@read_once
def viewer_of(request: Request) -> Viewer:
    """Who is signed in.

    Raises:
        CredentialsRejected: nobody.
        SecondFactorRequired: somebody who has to set one up first.
    """
    portal: Portal = request.app.state.portal
    secret = request.cookies.get(cookie_name(request, SESSION_COOKIE))
    if not secret:
        raise CredentialsRejected
    enrolling = request.url.path in _WITHOUT_SECOND_FACTOR
    principal = portal.parts.access.sessions.open(secret, address_of(request.scope), enrolling=enrolling)
    request.state.actor = principal.name
    viewer = Viewer(principal, portal.parts.accounts.get(principal, principal.id).user, portal.parts.reader)
    languages.prefer(viewer.user.contact.get(languages.CHOICE))
    return viewer


ThePortal = Annotated[Portal, Depends(_portal)]
SignedIn = Annotated[Viewer, Depends(viewer_of)]


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("recpipe.web", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
        finalize=_shown,
    )
    environment.policies["ext.i18n.trimmed"] = True
    environment.newstyle_gettext = True  # type: ignore[attr-defined]  # of jinja2.ext.i18n: values come by name
    environment.globals.update(_=_gettext, gettext=_gettext, ngettext=_ngettext, pgettext=_pgettext)
    environment.filters.update(filters.FILTERS)
    environment.globals.update(_globals())
    return environment


def _shown(value: Any) -> Any:
    """What a template writes: messages in the language of the person."""
    return languages.said(value) if isinstance(value, str) else value


def _gettext(text: str, /, **values: Any) -> Markup:
    """A text of a template, which is markup; what is filled in is not."""
    return _filled(languages.gettext_of(text), values)


def _ngettext(one: str, many: str, count: int, /, **values: Any) -> Markup:
    return _filled(languages.ngettext_of(one, many, count), {**values, "count": languages.number(count)})


def _pgettext(context: str, text: str, /, **values: Any) -> Markup:
    return _filled(languages.pgettext_of(context, text), values)


def _filled(text: str, values: Mapping[str, Any]) -> Markup:
    return Markup(text) % {name: _shown(value) for name, value in values.items()}  # noqa: S704  # text is ours


def _globals() -> Mapping[str, Any]:
    return {
        "asset": _asset,
        "modules": _modules,
        "words": filters.WORDS,
        "language": languages.current,
        "direction": languages.direction,
        "words_of_scripts": _words,
        "idle_seconds": int(IDLE.total_seconds()),
    }


def _asset(name: str) -> str:
    return f"/assets/{assets.fingerprint()}/{name}"


def _words() -> str:
    """Where the words of scripts are; "" in English, which they speak by themselves."""
    language = languages.current()
    return "" if language == languages.ENGLISH else _asset(f"words.{language}.json")


def _modules(*names: str) -> Markup:
    """The elements that load modules, and beforehand what those import: at once, not one after another."""
    preload = Markup('<link rel="modulepreload" href="{}">')
    script = Markup('<script type="module" src="{}"></script>')
    ahead = [preload.format(_asset(name)) for name in assets.imported_by(*names)]
    return Markup("\n").join([*ahead, *(script.format(_asset(name)) for name in names)])
