"""`recpipe recovery-key`: the key of the installation, and another in its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from recpipe.access.principal import operator
from recpipe.cli import frame
from recpipe.cli.frame import AsJson

if TYPE_CHECKING:
    from recpipe.recordings.recovery_key import RecoveryKey, Resealed

group = typer.Typer(no_args_is_help=True, help="The key of the installation, and another in its place.")

KeyId = Annotated[str, typer.Argument(metavar="ID", help="Which, as list prints it.")]


@group.command("list")
def list_(context: typer.Context, json: AsJson = False) -> None:
    """Which keys there are, and how much is under each. Asks the store for every object.

    The keys themselves are never shown; they are told by the first bytes of a checksum.
    """
    with _service(context) as (service, on_object):
        uses = service.uses(operator(), on_object)
    if json:
        frame.print_json({"items": [asdict(one) for one in uses]})
        return
    states = {(True, True): "counts now", (True, False): "former", (False, False): "missing"}
    frame.table(
        ("ID", "STATE", "SECOND FACTORS", "CLIENT SECRETS", "NOTES"),
        [(one.id, states[one.present, one.current], one.second_factors, one.client_secrets, one.notes) for one in uses],
    )


@group.command("rotate")
def rotate(context: typer.Context, json: AsJson = False) -> None:
    """Make a new key, and seal anew under it what is under the former ones, which stay until they are dropped.

    Second factors are sealed anew, and the notes beside recordings in a folder; S3 keeps a note as a part of its
    object, so those stay under the key of their time. Back up recovery.key afterwards, and restart recpipe serve: what
    runs goes on under the former key until then. Should it end half way, reseal does the rest.
    """
    with _service(context) as (service, on_object):
        done = service.rotate(operator(), on_object)
    _say(done, json=json)


@group.command("reseal")
def reseal(context: typer.Context, json: AsJson = False) -> None:
    """Seal anew, under the key that counts now, what is under a former one. May be repeated.

    For a new key in the setting recovery_key, or after a rotate that ended half way.
    """
    with _service(context) as (service, on_object):
        done = service.reseal(operator(), on_object)
    _say(done, json=json)


@group.command("drop")
def drop(context: typer.Context, key: KeyId, json: AsJson = False) -> None:
    """Forget a former key that nothing is under any more; refused as long as something is.

    Restart recpipe serve everywhere before, so that nothing is sealed under it meanwhile.
    """
    with _service(context) as (service, on_object):
        service.drop(operator(), key, on_object)
    if json:
        frame.print_json({"dropped": key})
    else:
        frame.say(f"The key {frame.shown(key)} is forgotten. Copies of it in backups are yours to delete.")


def _say(done: Resealed, *, json: bool) -> None:
    if json:
        frame.print_json(asdict(done))
        return
    frame.say(
        f"The key {done.key_id} counts now. Sealed anew: {done.second_factors:,} second factors, "
        f"{done.client_secrets:,} client secrets, {done.notes:,} notes."
    )
    if done.notes_left:
        frame.say(f"{done.notes_left:,} notes stay under former keys: keep those for as long as their recordings.")


@contextmanager
def _service(context: typer.Context) -> Iterator[tuple[RecoveryKey, Callable[[], None]]]:
    """The service, and what it is to call for each object."""
    from rich.progress import Progress, SpinnerColumn, TextColumn

    from recpipe.recordings.recovery_key import RecoveryKey

    columns = (SpinnerColumn(), TextColumn("Looked at {task.completed:,} objects"))
    with frame.opened(context) as parts, Progress(*columns, console=frame.err, transient=True) as progress:
        task = progress.add_task("Looking", total=None)
        made = RecoveryKey(
            parts.settings,
            parts.catalogue,
            parts.store,
            parts.totp_secrets,
            parts.client_secrets,
            parts.clock,
            parts.trail,
        )
        yield made, lambda: progress.advance(task)
