"""An installation in which every page has something to show, beside a service that has nothing yet."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count, islice
from pathlib import Path

from recpipe.access.principal import operator
from recpipe.catalogue.repository import new_id
from recpipe.model import IdentityProvider, Recording, RecordingKind, RecordingQuery, Role
from recpipe.settings import Spool
from recpipe.tenants.changes import Kind
from recpipe.web import offline
from tests.acceptance.judged import a_judged_day
from tests.acceptance.portal import PASSWORD, Portal, openssl, portal
from tests.contracts.catalogue_samples import keep
from tests.made_month import a_month_of_calls
from tests.services import faxes
from tests.services.mail import Mailbox, mail_server

CARL, EVE, SUE = "carl", "eve", "sue"  # of northwind, of globex that has nothing, and one who may search alone
LEGS = ("order-inquiry.wav", "brake-repair-stereo.wav", "invoice-request.mp3")


@dataclass
class World:
    """What runs, and what of it the states name."""

    portal: Portal
    plain: str = ""  # ids of recordings
    sealed: str = ""
    called: str = ""  # of three legs
    fax: str = ""
    sealed_fax: str = ""
    certificate: str = ""
    unproven: str = ""
    files: Path = Path()  # the offline page, what it opens, and keys
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def newcomer(self) -> str:
        """Somebody whom no state has seen before."""
        return f"new{next(self._numbers)}"

    def person(self) -> str:
        """The name of a new user of northwind."""
        name = self.newcomer()
        self.portal.user(name, Role.CLIENT, {self.portal.northwind.id: []})
        return name

    def user_id(self, name: str) -> str:
        with self.portal.parts.catalogue.read() as work:
            return work.users.by_username(name).id

    def quarantined(self) -> str:
        return self.portal.parts.quarantine.list(operator("test")).items[0].id


@contextmanager
def world(root: Path) -> Iterator[World]:
    """One that runs below a folder; its letters go nowhere."""
    fax_spool = root / "faxes"
    fax_spool.mkdir()
    spools = (
        Spool(path=root / "spool", tenant="northwind", layout="freepbx", timezone="UTC", settle_seconds=0.2),
        Spool(path=fax_spool, tenant="northwind", layout="fax", settle_seconds=0.2),
    )
    with mail_server(Mailbox()) as mailer, portal(root, mailer, spool=spools) as running:
        made = World(running, files=running.home)
        _fill(made, fax_spool)
        yield made


def _fill(made: World, fax_spool: Path) -> None:
    running, parts, by = made.portal, made.portal.parts, operator("test")
    northwind = running.northwind
    running.user(CARL, Role.CLIENT, {northwind.id: []})
    running.user(EVE, Role.CLIENT, {running.globex.id: []})
    running.user(SUE, Role.SERVICE, {northwind.id: ["search"]})
    keep(parts.catalogue, *islice(a_month_of_calls(northwind, parts.clock(), days=3), 8))
    count_before = len(_every(running))
    # Plain ones: a call, a message, a conference, a fax
    running.drop("opening-hours-alaw.wav", by="02079460444", ago=300)
    running.drop("invoice-request.mp3", by="02079460555", ago=310)
    running.drop("brake-repair-stereo.wav", by="02079460666", ago=320)
    running.drop(LEGS[0], kind="q", to="600", by="02079460958", ago=20)
    running.drop(LEGS[2], kind="internal", to="203", by="202", ago=10)
    faxes.tiff(fax_spool / "pbx/201/inbox/02079460958-2026-03-14-15-09-26.tif", 2)
    _stored(running, count_before + 6)
    made.fax = _one(running, lambda r: bool(r.audio.pages))
    made.plain = _one(running, lambda r: r.facts.caller.endswith("0444"))
    with parts.catalogue.begin() as work:
        recordings = work.of(northwind.id).recordings
        for found in _every(running):
            if found.facts.caller.endswith("0555"):
                recordings.set_facts(found.id, replace(found.facts, kind=RecordingKind.VOICEMAIL, mailbox="201"))
            if found.facts.caller.endswith("0666"):
                kept = {"kind": RecordingKind.CONFERENCE, "conference": "Monday round"}
                recordings.set_facts(found.id, replace(found.facts, **kept))
    # Sealed ones
    key = running.seal_from_now_on(northwind)
    made.certificate = parts.keyring.list(by, northwind.id)[0].id
    _, other = running.key_pair("other")
    made.unproven = parts.keyring.add(by, northwind.id, other.read_bytes(), label="escrow").certificate.id
    running.drop(LEGS[1], to="202", by="02079460958", ago=19)
    running.drop("order-inquiry.wav", by="02079460777", ago=5)
    faxes.tiff(fax_spool / "pbx/202/inbox/02079460958-2026-03-15-15-09-26.tif", 2)
    _stored(running, count_before + 9)
    made.sealed_fax = _one(running, lambda r: bool(r.audio.pages) and r.sealed)
    made.sealed = _one(running, lambda r: r.facts.caller.endswith("0777") and r.sealed and bool(r.name))
    legs = [r for r in _every(running) if r.facts.caller in ("02079460958", "202") and not r.audio.pages][:3]
    with parts.catalogue.begin() as work:
        for leg in legs:
            work.of(northwind.id).recordings.set_facts(leg.id, replace(leg.facts, linked_id="1743067517.31"))
    made.called = legs[0].id
    parts.marking.mark(by, made.plain, starred=True, reviewed=True, note="Rang twice.", tags=["complaint", "call back"])
    a_judged_day(running, northwind, made.plain)
    _around(made)
    _offline(made, key)


def _around(made: World) -> None:
    """What is no recording: rules, changes, files that wait, links, accounts."""
    running, parts, by = made.portal, made.portal.parts, operator("test")
    northwind = running.northwind
    parts.settings.spool[0].path.joinpath("holiday-song.wav").write_bytes(b"no sound" * 40)
    parts.tenants.set_recording(by, northwind.id, True, agreed=True)
    rules = {"201": {"name": "Ann", "office": "Bike shop", "outbound": "record"}, "202": {"locked": True}}
    parts.routing.save(by, northwind, Kind.EXTENSION, rules)
    parts.routing.save(by, northwind, Kind.ROUTE, {"+442079460958": {"name": "Shop"}})
    parts.changes.save(by, northwind.id, Kind.ENCRYPTION, {"encryption": False})
    parts.ftp_accounts.create(by, northwind.id, "northwind", password=PASSWORD)
    with parts.catalogue.begin() as work:  # nobody is asked: no page of ours leads there
        elsewhere = "https://login.example.com"
        work.identity_providers.put(IdentityProvider(new_id(), northwind.id, elsewhere, "recpipe", parts.clock()))
    registration = parts.registration
    registration.confirm(registration.ask("hopeful@example.com", "192.0.2.7", display_name="Hope"), "192.0.2.7")
    running.link(CARL, made.plain)


def _offline(made: World, key: Path) -> None:
    home = made.files
    (home / "open-recordings.html").write_text(offline.page(), encoding="utf-8")
    (home / "challenge.txt").write_text("recpipe-proof-4F7K-22QX\n")
    sound = Path(made.portal.names[next(iter(made.portal.names))])
    for name, content in (("call.wav", sound.read_bytes()), ("notes.txt", b"ready\n")):
        (home / name).write_bytes(content)
        seal = ("smime", "-encrypt", "-binary", "-aes256", "-outform", "DER", "-in", home / name)
        openssl(*seal, "-out", home / f"{name}.enc", home / "mypublickey.pem")
    openssl(
        *("pkcs8", "-topk8", "-v2", "aes-256-cbc", "-passout", "pass:four words", "-in", key),
        "-out",
        home / "locked.pem",
    )


def _every(running: Portal) -> list[Recording]:
    with running.parts.catalogue.read() as work:
        return list(work.of(running.northwind.id).recordings.search(RecordingQuery(), None, 500).items)


def _one(running: Portal, fits: Callable[[Recording], bool]) -> str:
    """The id of the newest that fits."""
    return next(found.id for found in _every(running) if fits(found))


def _stored(running: Portal, number: int) -> None:
    deadline = time.monotonic() + 60
    while len(_every(running)) < number:
        assert time.monotonic() < deadline, f"{len(_every(running))} of {number} recordings were stored"
        time.sleep(0.1)
