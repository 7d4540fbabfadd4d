"""The OpenAPI document: every error of every operation declared, as problem+json."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from recpipe.web.errors import MEDIA_TYPE
from recpipe.web.schemas import ProblemDocument

_PROBLEM = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}}

_MEANING = {
    400: "The request is not understood.",
    401: "No token, or one that is wrong, expired or revoked.",
    403: "The token or account is not allowed to do this.",
    404: "There is none, or it is another tenant's: the two are never told apart.",
    409: "The change is against a rule; nothing was changed. `reason` says which.",
    412: "It is not the file whose ETag was given.",
    413: "The request is too large.",
    416: "No byte of the range exists.",
    422: "The input cannot be understood; `errors` or `field` says which part.",
    429: "Too many failed logins from this address, or too many downloads of one user; see `Retry-After`.",
    502: "The stored file is missing or damaged.",
    503: "The database or the store does not answer, or too many downloads are under way; see `Retry-After`.",
}
_ALWAYS = (400, 401, 403, 413, 422, 429, 503)

DESCRIPTION = """Call recordings of hosted PBX tenants.

Send an API token with every request: `Authorization: Bearer rp_...`. Every error is problem+json (RFC 9457); decide
on its `type`. Lists give a `next` cursor: pass it as `cursor` with the same query. Times are ISO 8601, answers in UTC.
"""


def declared(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route beside those that any may give."""
    return {status: {"description": _MEANING[status], "content": _PROBLEM} for status in (*_ALWAYS, *statuses)}


def document(app: FastAPI) -> dict[str, Any]:
    """Made once and kept by the application."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes)
        schemas = made.setdefault("components", {}).setdefault("schemas", {})
        schemas["ProblemDocument"] = ProblemDocument.model_json_schema()
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        app.openapi_schema = made
    return app.openapi_schema
