"""Style, scripts and the worker of the player, under an address that changes with their content."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import timedelta
from functools import cache
from importlib.resources import files

from fastapi import Request, Response
from starlette.exceptions import HTTPException

from recpipe import languages
from recpipe.errors import NotFound
from recpipe.mail import portal_address
from recpipe.web import offline, packing, words
from recpipe.web.brand import Logo
from recpipe.web.routes import page_router

# Whoever asks for another name asks for something that is not there, whatever the name holds.
_TYPES = {
    "dashboard.css": "text/css",
    "icon.svg": "image/svg+xml",
    **dict.fromkeys(
        (
            "theme.js",
            "shell.js",
            "search.js",
            "player.js",
            "sound.js",
            "keybox.js",
            "kept-key.js",
            "kept-place.js",
            "mixer.js",
            "silence.js",
            "addons.js",
            "passkey.js",
            "envelope.js",
            "gsm.js",
            "ccitt.js",
            "fax.js",
            "fax-page.js",
            "envelope-base.js",
            "envelope-key.js",
            "envelope-password.js",
            "envelope-pkcs12.js",
            "des.js",
            "secrets.js",
            "sha1.js",
            "sha256.js",
            "trusted.js",
            "words.js",
            "waveform.js",
            "waveform-canvas.js",
        ),
        "text/javascript",
    ),
}
_IMPORT = re.compile(
    r"""^(?:import|export)\b[^;]*?\bfrom "\./([\w-]+\.js)";|^import "\./([\w-]+\.js)";""", re.MULTILINE
)
WORKER = "player-worker.js"
_WORDS = re.compile(rf"words\.({'|'.join(languages.known()[1:])})\.json")
_FOR_EVER = "public, max-age=31536000, immutable"
_AN_IMAGE = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox"}

router = page_router()


@router.get("/assets/{version}/{name}")
def asset(request: Request, version: str, name: str) -> Response:
    """One file; kept for ever by browsers, because another content has another address."""
    kind = _TYPES.get(name) or (_WORDS.fullmatch(name) and "application/json")
    if not kind or version != fingerprint():
        raise HTTPException(404)
    headers = {"cache-control": _FOR_EVER, "vary": "accept-encoding"}
    body = _read(name)
    if packing.takes_gzip(request.headers.get("accept-encoding", "")) and len(body) >= packing.LEAST_BYTES:
        headers["content-encoding"] = "gzip"
        body = _packed(name)
    return Response(body, media_type=kind, headers=headers)


@router.get("/brand/{version}/{name}")
def brand(request: Request, version: str, name: str) -> Response:
    """The operator's style or logo. A logo is an image of the page: opened by itself, it may run or fetch nothing."""
    branded = request.app.state.portal.brand
    headers = {"cache-control": _FOR_EVER, **_AN_IMAGE}
    if version == branded.version:
        if name == "style.css" and branded.style:
            return Response(branded.style, media_type="text/css", headers=headers)
        if name == "logo" and branded.logo:
            return Response(branded.logo.content, media_type=branded.logo.media_type, headers=headers)
    raise HTTPException(404)


@router.get("/recordings/player-worker.js")
def worker() -> Response:
    """The worker through which <audio> reads what the page decrypts; it rules over the page of recordings alone."""
    headers = {
        "cache-control": "no-cache",
        "content-security-policy": "default-src 'none'",
        "service-worker-allowed": "/recordings",
    }
    return Response(_read(WORKER), media_type="text/javascript", headers=headers)


@router.get("/open-recordings.html")
def offline_page() -> Response:
    """The page that opens sealed recordings without a server: to be downloaded and kept."""
    headers = {
        "content-disposition": 'attachment; filename="open-recordings.html"',
        "content-security-policy": offline.content_security_policy(),
    }
    return Response(offline.page(), media_type="text/html; charset=utf-8", headers=headers)


@router.get("/robots.txt")
def robots() -> Response:
    """Nothing here is for search engines. Source: RFC 9309."""
    return Response("User-agent: *\nDisallow: /\n", media_type="text/plain; charset=utf-8")


@router.get("/.well-known/security.txt")
def security_contact(request: Request) -> Response:
    """Whom to tell of a weakness, where the operator said so. Source: RFC 9116."""
    parts = request.app.state.context.parts
    settings = parts.settings
    if not settings.security_contact:
        raise NotFound("page")
    # What is served is what is set today; the date only says that a copy of it grows old.
    expires = (parts.clock() + timedelta(days=180)).strftime("%Y-%m-%dT00:00:00Z")
    lines = [f"Contact: {settings.security_contact}", f"Expires: {expires}"]
    if settings.http_url:
        lines.append(f"Canonical: {portal_address(settings)}/.well-known/security.txt")
    return Response("\n".join((*lines, "")), media_type="text/plain; charset=utf-8")


@router.get("/favicon.ico")
def icon(request: Request) -> Response:
    """The operator's logo, or ours: browsers ask for it unasked."""
    logo = request.app.state.portal.brand.logo or Logo(_read("icon.svg"), "image/svg+xml")
    headers = {"cache-control": "public, max-age=86400", **_AN_IMAGE}
    return Response(logo.content, media_type=logo.media_type, headers=headers)


@cache
def imported_by(*names: str) -> Sequence[str]:
    """The modules that these import, and those they do, in the order in which they are come across; not themselves.

    A page names them all, so that a browser fetches them at once and not one after another as it reads them.
    """
    found = list(names)
    for name in found:
        for match in _IMPORT.finditer(_read(name).decode()):
            module = match[1] or match[2]
            if module not in found:
                found.append(module)
    return found[len(names) :]


@cache
def fingerprint() -> str:
    """Changes with the content of any asset: modules name each other, so they change together."""
    digest = hashlib.sha256()
    for name in sorted(_TYPES):
        digest.update(_read(name))
    for language in languages.known()[1:]:
        digest.update(languages.kept(language))
    return digest.hexdigest()[:16]


@cache
def _packed(name: str) -> bytes:
    return packing.packed(_read(name), 9)


@cache
def _read(name: str) -> bytes:
    if spoken := _WORDS.fullmatch(name):
        return words.as_json(words.of_scripts(spoken[1])).encode()
    return files("recpipe.web").joinpath("assets", name).read_bytes()
