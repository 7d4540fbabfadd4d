"""`recpipe policy`: which calls are recorded, for PBXs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from recpipe.access.principal import operator
from recpipe.cli import frame
from recpipe.cli.frame import AsJson
from recpipe.cli.words import tenant_named
from recpipe.policy.snippets import Asked, Target, asking, rules

_STDIN = "-"

group = typer.Typer(no_args_is_help=True, help="Which calls are recorded, for PBXs.")


@group.command("export")
def export(
    context: typer.Context,
    tenant: Annotated[str, typer.Option("--tenant", "-t", metavar="TENANT", help="Whose calls.", show_default=False)],
    target: Annotated[Target, typer.Option("--for", help="The PBX; freepbx is 17 and later.", show_default=False)],
    ask: Annotated[
        str,
        typer.Option(metavar="URL", help="Let the PBX ask at each call: where it reaches recpipe.", show_default=False),
    ] = "",
    token_file: Annotated[
        str,
        typer.Option(metavar="FILE", help="With --ask: a file with its API token; - is stdin.", show_default=False),
    ] = "",
    json: AsJson = False,
) -> None:
    """Print what a PBX is configured with: the rules as they were applied last, or with --ask how it asks for them.

    Fetch it again after a change; a PBX that asks needs that only when it is to do something else without an answer.

    [bold]recpipe policy export --tenant acme --for json[/]
    [bold]recpipe policy export --tenant acme --for freepbx --ask https://rec.example.com --token-file pbx1.token[/]
    """
    from recpipe.tenants.changes import Kind

    with frame.opened(context) as parts:
        held = tenant_named(parts, tenant)
        policy = parts.routing.look(operator(), held.id, Kind.ROUTE).policy
        if not ask:
            _print(target, rules(target, held.name, policy), json=json)
            return
        try:
            token = sys.stdin.read() if token_file == _STDIN else Path(token_file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise typer.BadParameter("name a file that holds the API token", param_hint="--token-file") from None
        asked = Asked(ask, held.name, token.strip(), policy.service.unanswered)
        _print(target, asking(target, asked), json=json)


def _print(target: Target, text: str, *, json: bool) -> None:
    if json and target is not Target.JSON:
        frame.print_json({"for": target.value, "text": text})
    else:
        typer.echo(text, nl=False)
