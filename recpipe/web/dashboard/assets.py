"""Style, scripts and the worker of the player, under an address that changes with their content."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files

from fastapi import APIRouter, Response
from starlette.exceptions import HTTPException

from recpipe.web import offline

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
            "addons.js",
            "envelope.js",
            "envelope-base.js",
            "envelope-key.js",
            "envelope-password.js",
            "envelope-pkcs12.js",
            "des.js",
            "secrets.js",
            "sha1.js",
            "sha256.js",
            "trusted.js",
            "waveform.js",
        ),
        "text/javascript",
    ),
}
WORKER = "player-worker.js"

router = APIRouter(include_in_schema=False)


@router.get("/assets/{version}/{name}")
def asset(version: str, name: str) -> Response:
    """One file; kept for ever by browsers, because another content has another address."""
    if name not in _TYPES or version != fingerprint():
        raise HTTPException(404)
    return Response(
        _read(name), media_type=_TYPES[name], headers={"cache-control": "public, max-age=31536000, immutable"}
    )


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


@router.get("/favicon.ico")
def icon() -> Response:
    """Browsers ask for it unasked."""
    return Response(_read("icon.svg"), media_type="image/svg+xml", headers={"cache-control": "public, max-age=86400"})


@cache
def fingerprint() -> str:
    """Changes with the content of any asset: modules name each other, so they change together."""
    digest = hashlib.sha256()
    for name in sorted(_TYPES):
        digest.update(_read(name))
    return digest.hexdigest()[:16]


@cache
def _read(name: str) -> bytes:
    return files("recpipe.web").joinpath("assets", name).read_bytes()
