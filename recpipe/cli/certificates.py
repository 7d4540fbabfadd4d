"""`recpipe certificate`: what recordings are sealed for, and the proof that somebody can open them."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recpipe.access.principal import operator
from recpipe.cli import frame
from recpipe.cli.frame import AsJson
from recpipe.cli.tenants import Name
from recpipe.cli.words import Unknown, code_in, read_input, tenant_named
from recpipe.errors import InputInvalid
from recpipe.model import CertificateState

if TYPE_CHECKING:
    from keys.certificate import Certificate
    from recpipe.model import Tenant, TenantCertificate
    from recpipe.wiring import Parts

group = typer.Typer(no_args_is_help=True, help="The certificates that a tenant's recordings are sealed for.")

File = Annotated[
    str,
    typer.Argument(metavar="FILE", help='Certificate, public key or PKCS#7 bundle, PEM or DER; "-": standard input.'),
]
Which = Annotated[str, typer.Argument(metavar="CERTIFICATE", help="Its id or fingerprint, or how either begins.")]
ChallengeOut = Annotated[
    Path, typer.Option(metavar="FILE", help="Where to write the challenge; a file that is there is not replaced.")
]


@group.command()
def check(file: File, json: AsJson = False) -> None:
    """Say what a certificate is and whether it can serve. Needs no tenant and no database, and keeps nothing.

    Ends with 1 and the reason when it cannot serve.

    [bold]recpipe certificate check mypublickey.pem[/]
    """
    from keys.certificate import vet

    vetted = vet(read_input(file), now=datetime.now(UTC))
    if json:
        from recpipe.web.schemas import CheckedResponse

        frame.print_json(CheckedResponse.of(vetted).model_dump(mode="json"))
        return
    frame.say("[bold green]Recordings can be sealed for this certificate.[/]")
    frame.details(
        [
            ("Subject", vetted.subject),
            ("Issuer", vetted.issuer),
            ("Serial", vetted.serial),
            ("Key", f"RSA, {vetted.key_bits} bits"),
            ("Valid", _validity(vetted.not_before, vetted.not_after)),
            ("Fingerprint", vetted.fingerprint),
        ]
    )
    _warn(vetted)


@group.command()
def add(
    context: typer.Context,
    tenant: Name,
    file: File,
    vouch: Annotated[
        bool, typer.Option("--vouch", help="You answer for the key in place of the proof; kept on the audit log.")
    ] = False,
    label: Annotated[str, typer.Option(metavar="TEXT", help="What people call it.", show_default=False)] = "",
    challenge_out: ChallengeOut = Path("challenge.enc"),
    json: AsJson = False,
) -> None:
    """Keep a certificate for a tenant, and write the challenge that its owner must open.

    It seals nothing before the code out of the challenge came back (recpipe certificate verify).

    [bold]recpipe certificate add acme mypublickey.pem[/]
    [bold]recpipe certificate add acme mypublickey.pem --vouch[/]      without the proof
    """
    from recpipe.web.schemas import AddedResponse, CertificateResponse, WarningResponse

    pasted = read_input(file)
    if not vouch:
        _require_free(challenge_out)
    with frame.opened(context) as parts:
        owner = tenant_named(parts, tenant)
        added = parts.keyring.add(operator(), owner.id, pasted, vouch=vouch, label=label)
    held, challenge = added.certificate, added.challenge
    if challenge is not None:
        _write_challenge(challenge_out, challenge, owner, held)
    if json:
        import base64

        given = AddedResponse(
            certificate=CertificateResponse.of(held),
            warnings=[WarningResponse(code=one.code, message=one.message) for one in added.vetted.warnings],
            challenge=None if challenge is None else base64.b64encode(challenge).decode(),
        ).model_dump(mode="json")
        frame.print_json(given | {"challenge_file": None if challenge is None else str(challenge_out)})
        return
    frame.say(f"Kept certificate [bold]{held.id}[/] of {frame.shown(owner.name)}: {frame.shown(held.subject)}.")
    _warn(added.vetted)
    if challenge is not None:
        _tell_proof(owner, held, challenge_out)
    else:
        _tell_next(owner)


@group.command()
def challenge(
    context: typer.Context,
    tenant: Name,
    certificate: Which,
    challenge_out: ChallengeOut = Path("challenge.enc"),
    json: AsJson = False,
) -> None:
    """Make a new challenge for a certificate; the code of an earlier one is worth nothing from now on."""

    _require_free(challenge_out)
    with frame.opened(context) as parts:
        owner = tenant_named(parts, tenant)
        held = _chosen(parts, owner, certificate)
        _write_challenge(challenge_out, parts.keyring.challenge(operator(), owner.id, held.id), owner, held)
    if json:
        frame.print_json({"certificate_id": held.id, "challenge_file": str(challenge_out)})
    else:
        _tell_proof(owner, held, challenge_out)


@group.command("list")
def list_(context: typer.Context, tenant: Name, json: AsJson = False) -> None:
    """All certificates of a tenant, retired ones too, oldest first."""

    with frame.opened(context) as parts:
        owner = tenant_named(parts, tenant)
        held = parts.keyring.list(operator(), owner.id)
    if json:
        frame.print_json({"items": [_document(one) for one in held], "next": None})
    elif held:
        frame.table(
            ("CERTIFICATE", "STATE", "SUBJECT", "KEY", "NOT AFTER", "LABEL", "FINGERPRINT"),
            [
                (c.id, c.state, c.subject, f"RSA {c.key_bits}", f"{c.not_after:%Y-%m-%d}", c.label, c.fingerprint)
                for c in held
            ],
        )
    else:
        frame.say(f"{frame.shown(owner.name)} has no certificate. Add one: [bold]recpipe certificate add[/]")


@group.command()
def verify(
    context: typer.Context,
    tenant: Name,
    certificate: Annotated[
        str, typer.Argument(metavar="[CERTIFICATE]", help="May be left out when one alone waits for its proof.")
    ] = "",
    answer: Annotated[
        str, typer.Option(metavar="CODE", help="The code inside the challenge, or all of its text.", show_default=False)
    ] = "",
    answer_file: Annotated[
        str,
        typer.Option(
            metavar="FILE", help='Read the answer from the opened challenge; "-": standard input.', show_default=False
        ),
    ] = "",
    json: AsJson = False,
) -> None:
    """Take the code out of the challenge as the proof that somebody holds the private key.

    [bold]recpipe certificate verify acme --answer 4F7K-22QX-9M3T-0B5C-R8ZD-H1WN[/]
    [bold]recpipe certificate verify acme --answer-file challenge.txt[/]
    """

    if bool(answer) == bool(answer_file):
        raise InputInvalid("answer", "Give the code with --answer, or the opened challenge with --answer-file.")
    text = answer or read_input(answer_file).decode("utf-8", "replace")
    with frame.opened(context) as parts:
        owner = tenant_named(parts, tenant)
        held = _chosen(parts, owner, certificate) if certificate else _waiting(parts, owner)
        proven = parts.keyring.verify(operator(), owner.id, held.id, code_in(text))
    if json:
        frame.print_json(_document(proven))
        return
    frame.say(f"[bold green]Proven:[/] somebody holds the private key of {frame.shown(proven.subject)}.")
    _tell_next(owner)


@group.command()
def retire(context: typer.Context, tenant: Name, certificate: Which, json: AsJson = False) -> None:
    """Seal for a certificate no more. What was sealed for it stays readable with its key."""

    with frame.opened(context) as parts:
        owner = tenant_named(parts, tenant)
        retired = parts.keyring.retire(operator(), owner.id, _chosen(parts, owner, certificate).id)
    if json:
        frame.print_json(_document(retired))
    else:
        frame.say(f"Retired certificate {retired.id}. New recordings are not sealed for it any more.")


def _chosen(parts: Parts, owner: Tenant, word: str) -> TenantCertificate:

    held = parts.keyring.list(operator(), owner.id)
    start = word.lower().replace(":", "")
    found = [c for c in held if start and (c.id.startswith(start) or c.fingerprint.startswith(start))]
    if len(found) > 1:
        raise InputInvalid("certificate", f"{word} means {len(found)} certificates of {owner.name}. Type more of it.")
    if not found:
        raise Unknown("certificate", f"{word} of {owner.name}", [c.id for c in held][:3])
    return found[0]


def _waiting(parts: Parts, owner: Tenant) -> TenantCertificate:

    waiting = [c for c in parts.keyring.list(operator(), owner.id) if c.state is CertificateState.UNPROVEN]
    if len(waiting) == 1:
        return waiting[0]
    if waiting:
        raise InputInvalid(
            "certificate",
            f"{len(waiting)} certificates of {owner.name} wait for their proof. Say which: "
            + ", ".join(c.id for c in waiting),
        )
    raise InputInvalid("certificate", f"No certificate of {owner.name} waits for a proof.")


def _require_free(path: Path) -> None:
    """Before anything is changed: the challenge is made once, and must not be lost or destroy a file."""
    if path.exists() or path.is_symlink():
        raise InputInvalid("challenge-out", f"{path} is there already. Move it away, or name another --challenge-out.")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise InputInvalid("challenge-out", f"{path} cannot be written: {path.parent} is no folder to write to.")


def _write_challenge(path: Path, content: bytes, owner: Tenant, held: TenantCertificate) -> None:
    try:
        with path.open("xb") as out:
            out.write(content)
    except OSError as error:
        raise InputInvalid(
            "challenge-out",
            f"The certificate was kept, but {path} cannot be written: {error.strerror}. Make another challenge: "
            f"recpipe certificate challenge {owner.name} {held.id} --challenge-out FILE",
        ) from None


def _tell_proof(owner: Tenant, held: TenantCertificate, path: Path) -> None:
    name, file = frame.shown(owner.name), frame.shown(path)
    frame.say()
    frame.say("It seals nothing before somebody proves to hold the private key:")
    frame.say(f"1. Give [bold]{file}[/] to whoever holds it. They open it with")
    frame.say(
        "   [bold]openssl smime -decrypt -binary -in challenge.enc -inform DER -out challenge.txt "
        "-inkey myprivatekey.pem[/]"
    )
    frame.say("2. With the code that is inside challenge.txt, run")
    frame.say(f"   [bold]recpipe certificate verify {name} {held.id} --answer CODE[/]")


def _tell_next(owner: Tenant) -> None:
    if not owner.encryption:
        frame.say(f"To seal new recordings: [bold]recpipe tenant set {frame.shown(owner.name)} --encryption on[/]")


def _warn(vetted: Certificate) -> None:
    for warning in vetted.warnings:
        frame.say(f"[yellow]Note ({warning.code}):[/] {frame.shown(warning.message)}")


def _document(held: TenantCertificate) -> object:
    from recpipe.web.schemas import CertificateResponse

    return CertificateResponse.of(held).model_dump(mode="json")


def _validity(not_before: datetime, not_after: datetime) -> str:
    return f"{not_before:%Y-%m-%d} to {not_after:%Y-%m-%d}"
