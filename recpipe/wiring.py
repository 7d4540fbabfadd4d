"""The composition root: builds every service from the settings, for the command line, the roles and the tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recpipe import recovery_notes
from recpipe.access.accounts import Accounts
from recpipe.access.api_tokens import ApiTokens
from recpipe.access.at_rest import AtRest
from recpipe.access.audit import AuditTrail
from recpipe.access.client_secrets import ClientSecrets
from recpipe.access.federation import Federation
from recpipe.access.ftp_accounts import FtpAccounts
from recpipe.access.identity_providers import IdentityProviders
from recpipe.access.links import Links
from recpipe.access.login import Access
from recpipe.access.notices import Notices
from recpipe.access.oidc import OidcClient
from recpipe.access.passkeys import Passkeys
from recpipe.access.passwords import Passwords
from recpipe.access.registration import Registration
from recpipe.access.second_factor import SecondFactor
from recpipe.access.totp_secrets import TotpSecrets
from recpipe.catalogue import Catalogue
from recpipe.completeness.report import CompletenessReport
from recpipe.intake import Intake
from recpipe.mail import Mailer, Outbox, portal_address
from recpipe.policy.desk import PolicyDesk
from recpipe.quarantine import QuarantineDecisions
from recpipe.recordings.deletion import RecordingDeletion
from recpipe.recordings.figures import FigureReport
from recpipe.recordings.marking import Marking
from recpipe.recordings.overview import Overview
from recpipe.recordings.reader import Reader
from recpipe.recordings.saved import KeptSearches
from recpipe.recordings.sharing import Sharing
from recpipe.recordings.telling import CallTelling
from recpipe.settings import Settings, Spool
from recpipe.store.base import Store
from recpipe.store.opening import open_store
from recpipe.tenants.changes import PendingChanges
from recpipe.tenants.keyring import Keyring
from recpipe.tenants.routing import CallRouting
from recpipe.tenants.tenants import Tenants
from recpipe.times import Clock, utc_now

if TYPE_CHECKING:
    from recpipe.access.issuer_http import IssuerHttp


@dataclass(frozen=True, slots=True)
class Parts:
    """Every open service of a process, on one audit trail and one `Passwords`; `open_parts` closes them."""

    settings: Settings
    catalogue: Catalogue
    store: Store
    trail: AuditTrail
    access: Access
    reader: Reader
    overview: Overview
    completeness: CompletenessReport
    figures: FigureReport
    disposal: RecordingDeletion
    marking: Marking
    telling: CallTelling
    saved_searches: KeptSearches
    sharing: Sharing
    keyring: Keyring
    tenants: Tenants
    changes: PendingChanges
    policy: PolicyDesk
    routing: CallRouting
    accounts: Accounts
    tokens: ApiTokens
    links: Links
    registration: Registration
    totp_secrets: TotpSecrets
    second_factor: SecondFactor
    client_secrets: ClientSecrets
    identity_providers: IdentityProviders
    federation: Federation
    passkeys: Passkeys
    mailer: Mailer
    outbox: Outbox
    ftp_accounts: FtpAccounts
    quarantine: QuarantineDecisions
    intake: Intake
    clock: Clock


@contextmanager
def open_catalogue(settings: Settings) -> Iterator[Catalogue]:
    """The catalogue alone, its schema brought up to date.

    Raises:
        CatalogueUnavailable: the database does not answer.
    """
    make_data_dir(settings)
    catalogue = Catalogue.open(settings.database, search_seconds=settings.search_seconds)
    try:
        yield catalogue
    finally:
        catalogue.close()


@contextmanager
def open_parts(
    settings: Settings, clock: Clock = utc_now, *, passwords: Passwords | None = None, store: Store | None = None
) -> Iterator[Parts]:
    """Open the catalogue, the store and every service on them.

    Args:
        passwords: how they are hashed; None: as RFC 9106 recommends.
        store: where recordings are; None: where the settings say.

    Raises:
        CatalogueUnavailable, StoreError, SettingsInvalid: see the message.
    """
    settings = with_spools(settings)
    with open_catalogue(settings) as catalogue:
        store = open_store(settings) if store is None else store
        trail, passwords = AuditTrail(catalogue, clock), Passwords() if passwords is None else passwords
        at_rest = AtRest(lambda: recovery_notes.recovery_keys(settings))
        totp_secrets, client_secrets = TotpSecrets(at_rest), ClientSecrets(at_rest)
        two_factors = settings.http_second_factor == "required"
        mailer, outbox = Mailer.of(settings), Outbox()
        notices = Notices(mailer, outbox, portal_address(settings), clock)
        accounts = Accounts(catalogue, clock, passwords, trail, notices, totp_secrets)
        reader = Reader(catalogue, store, clock, trail)
        desk = PolicyDesk(catalogue, clock)
        changes = PendingChanges(catalogue, clock, trail)
        access = Access(catalogue, clock, passwords, trail, totp_secrets, two_factors=two_factors)
        oidc = OidcClient(lambda: _issuer_http(settings), lambda: clock().timestamp())
        try:
            yield Parts(
                settings=settings,
                catalogue=catalogue,
                store=store,
                trail=trail,
                access=access,
                reader=reader,
                overview=Overview(catalogue, trail),
                completeness=CompletenessReport(catalogue, trail, clock, settings.completeness_grace_hours),
                figures=FigureReport(catalogue, trail),
                disposal=RecordingDeletion(catalogue, store, reader, clock),
                saved_searches=KeptSearches(catalogue, clock),
                sharing=Sharing(
                    catalogue, reader, passwords, trail, clock, portal_address(settings), settings.shared_link_days
                ),
                marking=Marking(catalogue, reader, trail, clock),
                telling=CallTelling(catalogue, trail, clock),
                keyring=Keyring(catalogue, clock, trail),
                tenants=Tenants(catalogue, clock, trail),
                changes=changes,
                policy=desk,
                routing=CallRouting(catalogue, trail, changes),
                accounts=accounts,
                tokens=ApiTokens(catalogue, accounts, clock, trail),
                links=Links(catalogue, accounts, clock, passwords, trail),
                registration=Registration(catalogue, at_rest, clock, trail),
                totp_secrets=totp_secrets,
                second_factor=SecondFactor(catalogue, accounts, clock, totp_secrets, settings.brand_name),
                client_secrets=client_secrets,
                identity_providers=IdentityProviders(
                    catalogue, clock, trail, client_secrets, accounts.reauthentication, oidc
                ),
                federation=Federation(
                    catalogue, access, accounts, clock, at_rest, client_secrets, oidc, portal_address(settings)
                ),
                passkeys=Passkeys(
                    catalogue, access, accounts, clock, at_rest, settings.brand_name, portal_address(settings)
                ),
                mailer=mailer,
                outbox=outbox,
                ftp_accounts=FtpAccounts(catalogue, clock, passwords, trail, accounts.reauthentication),
                quarantine=QuarantineDecisions(settings, catalogue, clock, trail),
                intake=Intake(settings.spool, catalogue, trail, clock, settings.upload_reserve_bytes),
                clock=clock,
            )
        finally:
            desk.close()
            outbox.close()


def _issuer_http(settings: Settings) -> IssuerHttp:
    from recpipe.access.issuer_http import IssuerHttp

    return IssuerHttp(settings.oidc_networks, settings.oidc_ca_file)


def make_data_dir(settings: Settings) -> Path:
    """The data dir, for our eyes only: it may hold recordings."""
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return settings.data_dir


def spools(settings: Settings) -> tuple[Spool, ...]:
    """The configured spools; without any, `<data dir>/spool` with a folder for each tenant."""
    if settings.spool:
        return settings.spool
    return (Spool(path=settings.data_dir / "spool", tenant="from-path"),)


def with_spools(settings: Settings) -> Settings:
    """The settings with `spools` filled in, which is what services run with."""
    return settings.model_copy(update={"spool": spools(settings)})
