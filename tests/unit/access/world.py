"""An installation in miniature: a real catalogue, a store in memory, a clock that stands still until told."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

from recpipe import wiring
from recpipe.access import identity
from recpipe.access.login import Door
from recpipe.access.passwords import Cost, Passwords
from recpipe.access.principal import Principal, operator
from recpipe.access.reauthentication import Proof
from recpipe.mail import Mailer
from recpipe.model import AuditEvent, Role, Tenant, User
from recpipe.settings import Settings
from recpipe.store.memory import MemoryStore
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
    """Close it, or use it in a `with` statement.

    Args:
        folder: of its own.
        database: SQLAlchemy URL; a new SQLite file in the folder where there is none.
        mailer: where letters go; none are sent without one.
        more: settings.
    """

    def __init__(self, folder: Path, database: str = "", mailer: Mailer | None = None, **more: object) -> None:
        self.now = datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC)
        self.passwords = CountingPasswords()
        self.store = MemoryStore()
        self.root = operator("root")
        settings = Settings.model_validate(
            {
                "data_dir": folder / "data",
                "database_url": database or new_catalogue(folder / "world.sqlite3"),
                "recovery_key": INSTALLATION_KEY.hex(),
                "http_url": "https://portal.example",
                "smtp_url": mailer.url if mailer else "",
                "mail_from": mailer.sender if mailer else "",
                **more,
            }
        )
        self._opened = ExitStack()
        parts = wiring.open_parts(settings, self.clock, passwords=self.passwords, store=self.store)
        self.parts = self._opened.enter_context(parts)
        self.catalogue, self.trail, self.reader = self.parts.catalogue, self.parts.trail, self.parts.reader
        self.access, self.accounts, self.notices = self.parts.access, self.parts.accounts, self.parts.accounts.notices
        self.tokens, self.links, self.registration = self.parts.tokens, self.parts.links, self.parts.registration
        self.totp_secrets, self.second_factor = self.parts.totp_secrets, self.parts.second_factor
        self.tenants, self.keyring, self.changes = self.parts.tenants, self.parts.keyring, self.parts.changes
        self.ftp_accounts, self.disposal = self.parts.ftp_accounts, self.parts.disposal

    def close(self) -> None:
        self._opened.close()

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
