"""Where a PBX asks whether to record a call."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import anyio.to_thread
from fastapi import APIRouter, Request, Response
from starlette.datastructures import QueryParams
from starlette.types import ASGIApp, Receive, Scope, Send

from recpipe.access import tokens
from recpipe.access.principal import Action, Kind, Principal
from recpipe.errors import CredentialsRejected, Forbidden, InputInvalid, NotFound, RecpipeError
from recpipe.model import CallAsked, Direction
from recpipe.policy.desk import LONGEST_ID, MOST_EXTENSIONS, Answer, PolicyDesk, Question, named
from recpipe.web.api.openapi import declared
from recpipe.web.deps import API, AUTHENTICATED, WebContext, bearer_of, caller_of
from recpipe.web.errors import respond
from recpipe.web.routes import AtFirstUse
from recpipe.web.schemas.policy import DecisionResponse
from recpipe.web.security import address_of

router = APIRouter(prefix=API, dependencies=AUTHENTICATED, route_class=AtFirstUse)

PATH = f"{API}/policy/decision"
_DIRECTIONS = {one.value: one for one in Direction if one is not Direction.UNKNOWN}


def _parameter(name: str, description: str, schema: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    schema = schema or {"type": "string", "maxLength": LONGEST_ID}
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema, **more}


# Read by hand, so that an answer costs a fraction of a millisecond; here is what the document says of them.
_PARAMETERS = [
    _parameter("direction", "of the call", {"type": "string", "enum": sorted(_DIRECTIONS)}, required=True),
    _parameter("tenant", "name, alias or id; not needed where the token is for one tenant"),
    _parameter("route", "inbound: the number that was called, however it is written"),
    _parameter(
        "extension",
        "who takes part at the PBX; more than once, in the order in which the call reaches them",
        {"type": "array", "items": {"type": "string"}, "maxItems": MOST_EXTENSIONS},
    ),
    _parameter("call_id", "of this leg; with it, or `linked_id`, the answer is kept for the completeness report"),
    _parameter("linked_id", "of the call that this leg belongs to"),
    _parameter("pbx", "which server asks, where several share a token"),
    _parameter("caller", "not needed, and never kept"),
]


@router.get(
    "/policy/decision",
    operation_id="decide",
    tags=["policy"],
    response_class=Response,
    openapi_extra={"parameters": _PARAMETERS},
    responses={
        200: {
            "model": DecisionResponse,
            "description": "One word, and nothing else; with `Accept: application/json` more of it.",
            "content": {"text/plain": {"schema": {"type": "string", "enum": ["record", "skip", "default"]}}},
        },
        **declared(404),
    },
)
async def decide(request: Request) -> Response:
    """Whether to record a call: `record`, `skip` or `default`, from memory. Takes tokens with the scope `decide` alone.

    Anything but status 200 and exactly one of these words is no answer: do then what is set for that case.
    """
    context: WebContext = request.app.state.context
    desk = context.parts.policy
    by, asker = await _asking(request, context, desk)
    try:
        answer = desk.answer(by, asker, _question(request.query_params))
    except (Forbidden, NotFound) as denial:
        await anyio.to_thread.run_sync(_note_denial, context, by, denial)
        raise
    request.state.quiet = True  # on the log: there are two a call, and what was told is kept elsewhere
    return _told(request, answer)


class Shortcut:
    """Answers questions of PBXs before the application looks through its routes, which takes longer than the answer.

    The route is there for the OpenAPI document, and for other methods.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._route = SimpleNamespace(path=PATH)  # by which it is counted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        scope["route"] = self._route
        request = Request(scope, receive)
        try:
            answer = await decide(request)
        except RecpipeError as error:
            answer = await anyio.to_thread.run_sync(respond, request, error)
        await answer(scope, receive, send)


async def _asking(request: Request, context: WebContext, desk: PolicyDesk) -> tuple[Principal, str]:
    """Who asks, and what it is called: from memory, or where it is not known there, from the database."""
    authorization = request.headers.get("authorization")
    if authorization is None:  # a page of another site could make a browser ask
        raise CredentialsRejected
    if not desk.awake:
        await anyio.to_thread.run_sync(desk.wake)
    digest = tokens.fingerprint(bearer_of(authorization))
    if (known := desk.asking(digest)) is None:
        by = await anyio.to_thread.run_sync(caller_of, request)
        if by.kind is Kind.TOKEN and by.tenants(Action.DECIDE) != frozenset():  # a new one; others never come there
            await anyio.to_thread.run_sync(desk.refresh)
        known = desk.asking(digest)
        if known is None:
            return by, by.name
    by = named(known, address_of(request.scope))
    request.state.actor = by.name
    return by, known.label


def _question(given: QueryParams) -> Question:
    direction = _DIRECTIONS.get(given.get("direction", ""))
    if direction is None:
        raise InputInvalid("direction", f"direction is {', '.join(sorted(_DIRECTIONS))}.")
    extensions = tuple(one for text in given.getlist("extension")[:MOST_EXTENSIONS] if (one := text.strip()))
    return Question(
        CallAsked(direction, given.get("route", "").strip()[:LONGEST_ID], extensions),
        given.get("tenant", ""),
        given.get("call_id", ""),
        given.get("linked_id", ""),
        given.get("pbx", ""),
    )


def _told(request: Request, answer: Answer) -> Response:
    if "application/json" in request.headers.get("accept", ""):
        return Response(DecisionResponse.of(answer).model_dump_json(), media_type="application/json")
    return Response(answer.ruling.verdict.value, media_type="text/plain")


def _note_denial(context: WebContext, by: Principal, denial: Forbidden | NotFound) -> None:
    context.parts.trail.denied(by, "decide", denial)
