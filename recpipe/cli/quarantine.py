"""`recpipe quarantine`: files that wait for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from recpipe.access.principal import operator
from recpipe.cli import frame
from recpipe.cli.frame import AsJson
from recpipe.cli.words import Cursor, Limit
from recpipe.errors import InputInvalid

if TYPE_CHECKING:
    from recpipe.model import Quarantined
    from recpipe.wiring import Parts

group = typer.Typer(no_args_is_help=True, help="Files that could not be stored and wait for a person.")

Entries = Annotated[list[str] | None, typer.Argument(metavar="ID", help="Which, as list prints them.")]
All = Annotated[bool, typer.Option("--all", help="All of them.")]
Reason = Annotated[
    str, typer.Option(metavar="REASON", help="With --all: only those with this reason.", show_default=False)
]


@group.command("list")
def list_(
    context: typer.Context,
    limit: Limit = 100,
    cursor: Cursor = "",
    json: AsJson = False,
) -> None:
    """What waits, where, why and since when; oldest first. The original files are untouched."""

    with frame.opened(context) as parts:
        page = parts.quarantine.list(operator(), cursor or None, limit)
    if json:
        frame.print_json({"items": [_document(entry) for entry in page.items], "next": page.next_cursor})
        return
    if not page.items:
        frame.say("Nothing waits.")
        return
    frame.table(
        ("ID", "SINCE", "TRIES", "STATE", "REASON", "SPOOL", "FILE"),
        [
            (
                e.id,
                f"{e.first_seen_at:%Y-%m-%d %H:%M}",
                e.attempts,
                "held" if e.held else "moved aside",
                e.reason,
                e.spool,
                e.relative,
            )
            for e in page.items
        ],
    )
    frame.say()
    for entry in page.items:
        frame.say(f"[bold]{frame.shown(entry.reason)}:[/] {frame.shown(entry.message)}")
    if page.next_cursor:
        frame.err.print(f"There are more: add --cursor {page.next_cursor}", markup=False)


@group.command()
def retry(
    context: typer.Context, entries: Entries = None, every: All = False, reason: Reason = "", json: AsJson = False
) -> None:
    """Put files back into their spool, to be tried again. Held ones never left it and are tried again by themselves.

    [bold]recpipe quarantine retry 3f0c…[/]
    [bold]recpipe quarantine retry --all --reason unknown-tenant[/]
    """

    with frame.opened(context) as parts:
        done = [parts.quarantine.retry(operator(), entry.id) for entry in _chosen(parts, entries, every, reason)]
    if json:
        items = [{"entry": _document(one.entry), "back_in_spool": one.back_in_spool} for one in done]
        frame.print_json({"items": items})
        return
    back = sum(one.back_in_spool for one in done)
    held = len(done) - back
    frame.say(f"{back:,} back in the spool." if back or not held else "Nothing had to be moved.")
    if held:
        frame.say(f"{held:,} are held in place; recpipe tries them again by itself once their reason is gone.")


@group.command()
def take(
    context: typer.Context,
    entry: Annotated[str, typer.Argument(metavar="ID", help="Which, as list prints it.")],
    started_at: Annotated[
        str,
        typer.Option(metavar="TIME", help="When the call began, such as 2025-03-27T09:25:17; in the spool's zone."),
    ],
    direction: Annotated[str, typer.Option(metavar="WORD", help="inbound, outbound or internal.")] = "",
    caller: Annotated[str, typer.Option(metavar="NUMBER", help="Who rang.")] = "",
    callee: Annotated[str, typer.Option(metavar="NUMBER", help="Who was rung.")] = "",
    extension: Annotated[str, typer.Option(metavar="NUMBER", help="Which of ours.")] = "",
    caller_name: Annotated[str, typer.Option(metavar="NAME", help="The name of who rang.")] = "",
    callee_name: Annotated[str, typer.Option(metavar="NAME", help="The name of who was rung.")] = "",
    json: AsJson = False,
) -> None:
    """Say of which call a file is whose name or description says nothing, and put it back to be taken.

    [bold]recpipe quarantine take 3f0c… --started-at 2025-03-27T09:25:17 --direction inbound --caller +4930123456[/]
    """

    facts = {
        "started_at": started_at,
        "direction": direction,
        "caller": caller,
        "callee": callee,
        "extension": extension,
        "caller_name": caller_name,
        "callee_name": callee_name,
    }
    with frame.opened(context) as parts:
        [chosen] = _chosen(parts, [entry], False, "")
        done = parts.quarantine.take(operator(), chosen.id, facts)
    if json:
        frame.print_json({"entry": _document(done.entry), "back_in_spool": done.back_in_spool})
    else:
        frame.say(f"{frame.shown(done.entry.relative)} is back in the spool, with what you said of its call beside it.")


@group.command()
def discard(
    context: typer.Context,
    entries: Entries = None,
    every: All = False,
    reason: Reason = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: AsJson = False,
) -> None:
    """Delete waiting files for good. Who did is kept on the audit log; the recording is not.

    [bold]recpipe quarantine discard 3f0c…[/]
    """

    with frame.opened(context) as parts:
        chosen = _chosen(parts, entries, every, reason)
        for entry in chosen if not yes else ():
            frame.err.print(f"{frame.shown(entry.relative)} ({entry.size_bytes:,} bytes, {frame.shown(entry.reason)})")
        if chosen and not yes:
            typer.confirm(f"Delete {len(chosen):,} recording(s) for good?", abort=True, err=True)
        done = [parts.quarantine.discard(operator(), entry.id) for entry in chosen]
    if json:
        frame.print_json({"items": [_document(entry) for entry in done]})
    else:
        frame.say(f"Deleted {len(done):,} for good.")


def _chosen(parts: Parts, entries: list[str] | None, every: bool, reason: str) -> list[Quarantined]:
    from recpipe.cli.words import Unknown

    if every == bool(entries) or (reason and not every):
        raise InputInvalid("entries", "Name what you mean: one or more ids, or --all, with or without --reason.")
    found: list[Quarantined] = []
    cursor: str | None = None
    while True:
        page = parts.quarantine.list(operator(), cursor, 1000)
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    if every:
        return [entry for entry in found if not reason or entry.reason == reason]
    by_id = {entry.id: entry for entry in found}
    for word in entries or ():
        if word not in by_id:
            raise Unknown("quarantined file", word, command="quarantine")
    return [by_id[word] for word in dict.fromkeys(entries or ())]


def _document(entry: Quarantined) -> object:
    from recpipe.web.schemas import QuarantinedResponse

    return QuarantinedResponse.of(entry).model_dump(mode="json")
