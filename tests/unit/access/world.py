"""An installation in miniature: a real catalogue, a store in memory, a clock that stands still until told."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from recpipe.access import identity
from recpipe.access.accounts import Accounts
from recpipe.access.api_tokens import ApiTokens
from recpipe.access.at_rest import AtRest
from recpipe.access.audit import AuditTrail
from recpipe.access.ftp_accounts import FtpAccounts
from recpipe.access.links import Links
from recpipe.access.login import Access, Door
from recpipe.access.notices import Notices
from recpipe.access.passwords import Cost, Passwords
from recpipe.access.principal import Principal, operator
from recpipe.access.reauthentication import Proof
from recpipe.access.registration import Registration
from recpipe.access.second_factor import SecondFactor
from recpipe.access.totp_secrets import TotpSecrets
from recpipe.catalogue import Catalogue
from recpipe.mail import Mailer
from recpipe.model import AuditEvent, Role, Tenant, User
from recpipe.recordings.deletion import RecordingDeletion
from recpipe.recordings.reader import Reader
from recpipe.store.memory import MemoryStore
from recpipe.tenants.keyring import Keyring
from recpipe.tenants.tenants import Tenants
from tests.services.sqlite import new_catalogue

ADDRESS = "192.0.2.7"
PASSWORD = "three quiet lamps"
INSTALLATION_KEY = bytes(range(32))
PROOF = Proof(PASSWORD)
CHEAP = Cost(passes=1, memory_kib=8, lanes=1)


class CountingPasswords(Passwords):
    """Cheap ones that count how often the costly work is done."""

    def __init__(self) -> None:
        super().__init__(CHEAP, lambda: self.seconds)
        self.seconds = 0.0
        self.verifications = 0

    def verify(self, password: str, kept: str | None) -> bool:
        self.verifications += 1
        return super().verify(password, kept)


class World:
    def __init__(self, url: str, mailer: Mailer | None = None) -> None:
        self.now = datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC)
        self.catalogue = Catalogue.open(url)
        self.passwords = CountingPasswords()
        self.store = MemoryStore()
        self.root = operator("root")
        self.trail = AuditTrail(self.catalogue, self.clock)
        self.at_rest = AtRest(lambda: INSTALLATION_KEY)
        self.totp_secrets = TotpSecrets(self.at_rest)
        self.access = Access(self.catalogue, self.clock, self.passwords, self.trail, self.totp_secrets)
        self.notices = Notices(mailer, "https://portal.example", self.clock)
        self.accounts = Accounts(
            self.catalogue, self.clock, self.passwords, self.trail, self.notices, self.totp_secrets
        )
        self.tokens = ApiTokens(self.catalogue, self.accounts, self.clock, self.trail)
        self.ftp_accounts = FtpAccounts(self.catalogue, self.clock, self.passwords, self.trail)
        self.links = Links(self.catalogue, self.accounts, self.clock, self.passwords, self.trail)
        self.registration = Registration(self.catalogue, self.at_rest, self.clock, self.trail)
        self.second_factor = SecondFactor(self.catalogue, self.accounts, self.clock, self.totp_secrets)
        self.tenants = Tenants(self.catalogue, self.clock, self.trail)
        self.keyring = Keyring(self.catalogue, self.clock, self.trail)
        self.reader = Reader(self.catalogue, self.store, self.clock, self.trail)
        self.disposal = RecordingDeletion(self.catalogue, self.store, self.reader, self.clock)

    def clock(self) -> datetime:
        return self.now

    def pass_time(self, **duration: float) -> None:
        self.now += timedelta(**duration)
        self.passwords.seconds += timedelta(**duration).total_seconds()

    def tenant(self, name: str = "acme") -> Tenant:
        return self.tenants.create(self.root, name)

    def user(
        self,
        username: str = "ann",
        role: Role = Role.CLIENT,
        grants: Mapping[str, Collection[str]] | None = None,
        password: str | None = PASSWORD,
    ) -> User:
        password = None if role is Role.API else password
        return self.accounts.create(self.root, username, role, grants=grants, password=password).user

    def principal(self, user: User, address: str = ADDRESS) -> Principal:
        """As after a login, without one."""
        with self.catalogue.read() as work:
            return identity.of_user(work.users.get(user.id), work.users.grants(user.id), address)

    def log_in(self, username: str = "ann", password: str = PASSWORD, address: str = ADDRESS) -> Principal:
        principal = self.access.password(username, password, address, Door.HTTP).principal
        assert principal is not None
        return principal

    def events(self, action: str = "") -> list[AuditEvent]:
        """The audit log, oldest first."""
        with self.catalogue.read() as work:
            found = work.audit.list(limit=1000).items
        return [event for event in reversed(found) if action in ("", event.action)]


def sqlite_world(folder: Path, mailer: Mailer | None = None) -> World:
    return World(new_catalogue(folder / "world.sqlite3"), mailer)
