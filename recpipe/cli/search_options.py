"""The options that say which recordings are meant: the same for every command that looks for some."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Annotated, Any, get_type_hints

import typer

from recpipe.cli.words import moment
from recpipe.errors import InputInvalid
from recpipe.model import Direction, NumberMatch, RecordingKind, RecordingQuery


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """Criteria as they were typed; `query` understands them."""

    start: Annotated[
        str, typer.Option("--from", metavar="TIME", help="Calls from then on: a date, or ISO 8601.", show_default=False)
    ] = ""
    end: Annotated[
        str,
        typer.Option(
            "--to", metavar="TIME", help="Calls before then, or up to and including a date.", show_default=False
        ),
    ] = ""
    number: Annotated[
        str, typer.Option(metavar="NUMBER", help="Caller or callee, as people write it.", show_default=False)
    ] = ""
    number_match: Annotated[NumberMatch, typer.Option(help="How much of the number you typed.")] = NumberMatch.EXACT
    direction: Annotated[Direction | None, typer.Option(help="Which way the call went.", show_default=False)] = None
    kind: Annotated[RecordingKind | None, typer.Option(help="What was kept.", show_default=False)] = None
    extension: Annotated[
        str, typer.Option(metavar="EXTENSION", help="Extension on the tenant's side.", show_default=False)
    ] = ""
    text: Annotated[
        str, typer.Option(metavar="TEXT", help="In the file name or the name of a party.", show_default=False)
    ] = ""
    call_id: Annotated[str, typer.Option(metavar="ID", help="The PBX's id of the call.", show_default=False)] = ""
    sealed: Annotated[bool | None, typer.Option("--sealed/--plain", help="Only sealed or only plain ones.")] = None
    duration_min: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Calls that lasted so long or longer.")
    ] = None
    duration_max: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Calls that lasted so long or shorter.")
    ] = None

    def query(self, zone: str, *, oldest_first: bool) -> RecordingQuery:
        """The query of these options.

        Args:
            zone: IANA zone of dates, and of times without an offset.

        Raises:
            InputInvalid: a time cannot be read, or the end is before the start.
        """
        started_from = moment("--from", self.start, zone)
        started_before = moment("--to", self.end, zone, whole_day=True)
        if started_from is not None and started_before is not None and started_from >= started_before:
            raise InputInvalid("--to", "--to is before --from; swap them.")
        return RecordingQuery(
            started_from=started_from,
            started_before=started_before,
            number=self.number,
            number_match=self.number_match,
            direction=self.direction,
            kind=self.kind,
            extension=self.extension,
            duration_min_ms=None if self.duration_min is None else round(self.duration_min * 1000),
            duration_max_ms=None if self.duration_max is None else round(self.duration_max * 1000),
            text=self.text,
            call_id=self.call_id,
            sealed=self.sealed,
            oldest_first=oldest_first,
        )


NO_CRITERIA = SearchOptions()


def with_search_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options above in place of its parameter `options`, which receives them."""
    offered = inspect.signature(SearchOptions).parameters

    @wraps(command)
    def called(**given: Any) -> None:
        command(options=SearchOptions(**{name: given.pop(name) for name in offered}), **given)

    own = inspect.signature(command).parameters
    hints = get_type_hints(command, include_extras=True) | get_type_hints(SearchOptions, include_extras=True)
    each = [one for name in own for one in (offered.values() if name == "options" else [own[name]])]
    called.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [one.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[one.name]) for one in each]
    )
    called.__annotations__ = hints
    return called
