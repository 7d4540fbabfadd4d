"""`recpipe identity-provider`: where people sign in with OpenID Connect, per tenant or for the whole installation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from recpipe.access.principal import operator
from recpipe.cli import frame
from recpipe.cli.frame import AsJson
from recpipe.cli.words import OnOff, password_from_stdin, tenant_named
from recpipe.errors import InputInvalid, NotFound
from recpipe.model import FactorsAtProvider

if TYPE_CHECKING:
    from recpipe.access.identity_providers import Offer
    from recpipe.wiring import Parts

INSTALLATION = "-"

group = typer.Typer(no_args_is_help=True, help="Identity providers: where people sign in with OpenID Connect.")

Owner = Annotated[
    str, typer.Argument(metavar="TENANT", help='Whose people. "-": those of the installation, administrators too.')
]


@group.command("set")
def set_(
    context: typer.Context,
    owner: Owner,
    issuer: Annotated[
        str | None,
        typer.Option(metavar="URL", help="https URL, as its ID tokens spell it.", show_default=False),
    ] = None,
    client_id: Annotated[
        str | None, typer.Option(metavar="ID", help="What it calls this portal.", show_default=False)
    ] = None,
    client_secret_stdin: Annotated[
        bool,
        typer.Option(
            "--client-secret-stdin", help="Read the client secret from standard input. None: a public client."
        ),
    ] = False,
    label: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What the button calls it.", show_default=False)
    ] = None,
    factors: Annotated[
        FactorsAtProvider | None,
        typer.Option(
            help="What a sign-in there counts for: one factor, both, or both where its ID token claims so.",
            show_default=False,
        ),
    ] = None,
    acr: Annotated[
        list[str] | None,
        typer.Option(metavar="ACR", help="factors = claimed: an acr that means both; asked for. May be repeated."),
    ] = None,
    enabled: Annotated[OnOff | None, typer.Option(help="Off ends the sessions it opened.", show_default=False)] = None,
    json: AsJson = False,
) -> None:
    """Set up where the people of a tenant sign in, or change it. The provider is asked whether it is there.

    [bold]recpipe identity-provider set acme --issuer https://id.acme.example --client-id 7 --client-secret-stdin[/]
    [bold]recpipe identity-provider set - --issuer https://id.telco.example --client-id portal --factors both[/]
    """
    secret = password_from_stdin() if client_secret_stdin else None
    if client_secret_stdin and not secret:
        raise InputInvalid("client_secret", "There was no client secret on standard input.")
    me = operator()
    with frame.opened(context) as parts:
        tenant_id = _tenant_id(parts, owner)
        before = parts.identity_providers.of(me, tenant_id)
        if before is None and not (issuer and client_id):
            raise InputInvalid("issuer", "A new identity provider needs --issuer and --client-id.")
        parts.identity_providers.set(
            me,
            tenant_id,
            issuer or (before.issuer if before else ""),
            client_id or (before.client_id if before else ""),
            client_secret=secret,
            label=label if label is not None else (before.label if before else ""),
            factors=factors or (before.factors if before else FactorsAtProvider.ONE),
            acr_values=acr if acr is not None else (before.acr_values if before else ()),
            enabled=enabled is not OnOff.OFF if enabled or not before else before.enabled,
        )
        offer = _one(parts, tenant_id)
        document = _document(parts, offer)
    if json:
        frame.print_json({"provider": document})
        return
    _print(document)
    frame.say(f"Allow this redirect URI at the provider: [bold]{frame.shown(document['redirect_uri'])}[/]")


@group.command("list")
def list_(context: typer.Context, json: AsJson = False) -> None:
    """All identity providers, the installation's first."""

    with frame.opened(context) as parts:
        documents = [_document(parts, offer) for offer in parts.identity_providers.list(operator())]
    if json:
        frame.print_json({"items": documents, "next": None})
    elif documents:
        frame.table(
            ("TENANT", "ISSUER", "CLIENT", "FACTORS", "ENABLED"),
            [
                (d["tenant"], d["issuer"], d["client_id"], d["factors"], "yes" if d["enabled"] else "no")
                for d in documents
            ],
        )
    else:
        frame.say(
            "There is none. Set one up: [bold]recpipe identity-provider set TENANT --issuer URL --client-id ID[/]"
        )


@group.command()
def remove(context: typer.Context, owner: Owner, json: AsJson = False) -> None:
    """Forget an identity provider; sessions that it opened end. Who is linked there stays linked."""

    with frame.opened(context) as parts:
        tenant_id = _tenant_id(parts, owner)
        document = _document(parts, _one(parts, tenant_id))
        parts.identity_providers.remove(operator(), tenant_id)
    if json:
        frame.print_json({"provider": document})
    else:
        frame.say(f"Removed {frame.shown(document['issuer'])}.")


def _tenant_id(parts: Parts, owner: str) -> str | None:
    return None if owner == INSTALLATION else tenant_named(parts, owner).id


def _one(parts: Parts, tenant_id: str | None) -> Offer:
    for offer in parts.identity_providers.list(operator()):
        if offer.provider.tenant_id == tenant_id:
            return offer
    raise NotFound("identity provider", tenant_id or INSTALLATION)


def _document(parts: Parts, offer: Offer) -> dict[str, Any]:
    provider = offer.provider
    return {
        "tenant": offer.tenant.name if offer.tenant else INSTALLATION,
        "issuer": provider.issuer,
        "client_id": provider.client_id,
        "client_secret": bool(provider.client_secret),
        "label": offer.label,
        "factors": provider.factors.value,
        "acr_values": list(provider.acr_values),
        "enabled": provider.enabled,
        "redirect_uri": parts.federation.redirect_uri(provider),
    }


def _print(document: dict[str, Any]) -> None:
    frame.details(
        [
            ("Tenant", document["tenant"]),
            ("Issuer", document["issuer"]),
            ("Client", document["client_id"]),
            ("Client secret", "kept" if document["client_secret"] else "none: a public client"),
            ("Label", document["label"]),
            ("Factors", document["factors"]),
            ("acr", " ".join(document["acr_values"]) or "none"),
            ("Enabled", "yes" if document["enabled"] else "no"),
        ]
    )
