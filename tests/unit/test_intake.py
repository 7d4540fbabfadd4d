"""The write door: who may send where, and that a recording and its facts arrive together or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from recpipe.access import identity
from recpipe.access.principal import Principal
from recpipe.errors import NotFound, SpoolRefused, TooManySidecars
from recpipe.intake import Destination, Intake
from recpipe.model import FtpAccount, FtpAccountKind, Outcome, Role
from recpipe.settings import Spool
from tests.unit.access.world import World

NAME = "2026/03/14/call.wav"
AUDIO = b"RIFF" + bytes(5000)
FACTS = b'{"caller": "201"}'


class Site:
    """A machine with spools, and tenants acme (alias acme.example) and globex."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder)
        self.acme, self.globex = self.world.tenant(), self.world.tenant("globex")
        self.world.tenants.change(self.world.root, self.acme.id, aliases=["acme.example"])
        self.folder = folder
        spools = [
            Spool(path=folder / label, tenant=tenant)
            for label, tenant in {
                "acme": "acme",
                "alias": "acme.example",
                "globex": "globex",
                "to-come": "initech",
                "paths": "from-path",
                "facts": "from-facts",
            }.items()
        ]
        for spool in spools:
            spool.path.mkdir()
        self.intake = Intake(spools, self.world.catalogue, self.world.trail, self.world.clock, 0)

    def ftp(
        self, spool: str, tenant_id: str | None = None, kind: FtpAccountKind = FtpAccountKind.UPLOADER
    ) -> Principal:
        account = FtpAccount("3" * 32, tenant_id, "pbx", "", self.world.now, kind=kind, spool=spool)
        return identity.of_ftp_account(account, "")

    def api(self, role: Role = Role.API) -> Principal:
        return self.world.principal(self.world.user("api", role, grants={self.acme.id: ["upload"]}))

    def files(self, label: str = "acme") -> dict[str, bytes]:
        """Everything but the control folder."""
        root = self.folder / label
        found = [path for path in root.rglob("*") if path.is_file() and ".recpipe" not in path.parts]
        return {str(path.relative_to(root)): path.read_bytes() for path in found}

    def aside(self, label: str = "acme") -> list[Path]:
        return list((self.folder / label / ".recpipe/incoming").iterdir())


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.world.close()


# Sender -> spool -> the folder of the spool that its files go to, and whose they will be.
SENDERS: dict[str, tuple[Callable[[Site, str], Principal], dict[str, tuple[str, str]]]] = {
    "administrator": (
        lambda site, _: site.world.root,
        {
            "acme": ("", "acme"),
            "alias": ("", "acme"),
            "globex": ("", "globex"),
            "paths": ("", ""),
            "facts": ("", ""),
        },
    ),
    "api user of acme": (lambda site, _: site.api(), {"acme": ("", "acme"), "alias": ("", "acme")}),
    "media server of acme": (
        lambda site, label: site.ftp(label, site.acme.id),
        {"acme": ("", "acme"), "alias": ("", "acme"), "paths": ("acme/", "acme")},
    ),
    "media server of a whole spool": (
        lambda site, label: site.ftp(label),
        {
            "acme": ("", "acme"),
            "alias": ("", "acme"),
            "globex": ("", "globex"),
            "to-come": ("", ""),
            "paths": ("", ""),
            "facts": ("", ""),
        },
    ),
    "media server of another spool": (lambda site, _: site.ftp("elsewhere"), {}),
    "media server of a tenant that is gone": (lambda site, label: site.ftp(label, "9" * 32), {}),
    "reading account": (lambda site, label: site.ftp(label, site.acme.id, FtpAccountKind.READER), {}),
    "client": (lambda site, _: site.world.principal(site.world.user(grants={site.acme.id: []})), {}),
}


@pytest.mark.parametrize("sender", SENDERS)
def test_who_may_send_where_and_everything_else_does_not_exist(site: Site, sender: str) -> None:
    made, allowed = SENDERS[sender]
    names = {site.acme.id: "acme", site.globex.id: "globex", None: ""}
    found: dict[str, tuple[str, str]] = {}
    by = made(site, "acme")
    for label in ("acme", "alias", "globex", "to-come", "paths", "facts", "none-such"):
        if by.spools:
            by = made(site, label)
        try:
            place = site.intake.destination(by, label)
        except NotFound as refused:
            assert str(refused) == str(NotFound("spool", label))
            continue
        incoming = place.begin(NAME)
        incoming.write(AUDIO)
        incoming.commit()
        (path,) = site.files(label)
        (site.folder / label / path).unlink()
        found[label] = (path.removesuffix(NAME), names[place.tenant_id])
        event = site.world.events("upload")[-1]
        assert (event.tenant_id, event.outcome) == (place.tenant_id, Outcome.OK)
        assert event.detail == {"spool": label, "bytes": len(AUDIO)}
    assert found == allowed
    # The same denial again within a minute is not kept again
    assert any(event.outcome is Outcome.DENIED for event in site.world.events("upload"))


def _place(site: Site) -> Destination:
    return site.intake.destination(site.world.root, "acme")


def test_the_facts_of_a_call_arrive_with_its_recording(site: Site) -> None:
    incoming = _place(site).begin(NAME, FACTS)
    incoming.write(AUDIO)
    assert site.files() == {}
    incoming.commit()
    assert site.files() == {NAME: AUDIO, f"{NAME}.json": FACTS}
    assert site.aside() == []


def test_a_recording_whose_last_step_fails_leaves_no_facts(site: Site) -> None:
    # Given: the recording goes out of recpipe's hands when its sidecar is in place already
    incoming = _place(site).begin(NAME, FACTS)
    incoming.write(AUDIO)
    (recording,) = site.aside()
    recording.unlink()

    with pytest.raises(SpoolRefused):
        incoming.commit()

    assert site.files() == {} and site.aside() == []
    assert site.world.events("upload") == []


def test_facts_that_were_there_before_stay_when_their_recording_fails_to_come_again(site: Site) -> None:
    for fails in (False, True):
        incoming = _place(site).begin(NAME, FACTS)
        incoming.write(AUDIO)
        if fails:
            (site.folder / "acme" / NAME).unlink()  # ingested, and its sidecar about to be
            site.aside()[0].unlink()
            with pytest.raises(SpoolRefused):
                incoming.commit()
        else:
            incoming.commit()
    assert site.files() == {f"{NAME}.json": FACTS}


def test_another_recording_of_the_name_keeps_its_facts_to_itself(site: Site) -> None:
    for body in (AUDIO, AUDIO[::-1]):
        incoming = _place(site).begin(NAME, b"" if body is AUDIO else FACTS)
        incoming.write(body)
        if body is AUDIO:
            incoming.commit()
        else:
            with pytest.raises(SpoolRefused, match="already is another file"):
                incoming.commit()
    incoming.abort()
    assert site.files() == {NAME: AUDIO} and site.aside() == []


@pytest.mark.parametrize("suffix", [".json", ".JSON", ".xml", ".csv"])
def test_only_a_media_server_sends_sidecars_of_its_own(site: Site, suffix: str) -> None:
    for name in (NAME + suffix, NAME.removesuffix(".wav") + suffix):
        with pytest.raises(SpoolRefused, match="Send the recording alone"):
            _place(site).begin(name)
        held = _place(site).hold()
        with pytest.raises(SpoolRefused, match="Send the recording alone"):
            held.name(name)
        held.abort()
        site.intake.destination(site.ftp("acme"), "acme").begin(name).abort()
    assert site.aside() == []


def test_an_empty_file_is_thrown_away_and_on_the_record(site: Site) -> None:
    _place(site).begin(NAME, FACTS).commit()
    assert site.files() == {} and site.aside() == []
    assert site.world.events("upload")[-1].detail == {"spool": "acme", "bytes": 0}


def test_a_file_that_is_held_is_named_later_and_vetted_as_any_other(site: Site) -> None:
    taken = _place(site).begin(NAME)
    taken.write(AUDIO)
    taken.commit()
    held = _place(site).hold()
    held.write(AUDIO[::-1])
    held.keep()
    for name in (NAME, "../x.wav", "x.exe"):
        with pytest.raises(SpoolRefused):
            held.name(name)
    held.name("other.wav")
    held.commit(site.world.now)
    assert site.files() == {NAME: AUDIO, "other.wav": AUDIO[::-1]}
    assert (site.folder / "acme/other.wav").stat().st_mtime == site.world.now.timestamp()


def test_so_many_sidecars_of_one_sender_may_lie_without_a_recording(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given: an account may have three of them, of a hundred bytes together
    monkeypatch.setattr("recpipe.intake.MOST_ALONE", 3)
    monkeypatch.setattr("recpipe.intake.MOST_ALONE_BYTES", 100)
    now = [1000.0]
    monkeypatch.setattr("recpipe.intake.time.monotonic", lambda: now[0])
    place = site.intake.destination(site.ftp("acme"), "acme")

    def send(name: str, body: bytes = b"{}", to: Destination = place) -> None:
        incoming = to.begin(name)
        incoming.write(body)
        incoming.commit()

    for number in range(3):
        send(f"{number}.json")
    # Then: no more of them, under any name, also by a process that is new; everything else goes on
    for name in ("3.json", "3.xml", "3.csv", "d/0.json"):
        with pytest.raises(TooManySidecars, match="without a recording"):
            send(name)
    held = place.hold()
    held.write(b"{}")
    held.name("4.json")
    with pytest.raises(TooManySidecars):
        held.commit()
    held.abort()
    assert set(site.files()) == {"0.json", "1.json", "2.json"} and site.aside() == []
    send("7.wav", AUDIO)
    with_facts = _place(site).begin("8.wav", FACTS)
    with_facts.write(AUDIO)
    with_facts.commit()
    # When: recordings come, the next are taken, within a minute of the last count; their own do not count
    send("0.wav", AUDIO)
    now[0] += 61
    send("7.json")
    for number in range(10, 20):
        send(f"{number}.wav", AUDIO)
        send(f"{number}.json")
    # and their bytes are bounded as well
    with pytest.raises(TooManySidecars):
        send("9.json", bytes(101))


@pytest.mark.parametrize("name", ["Master.csv", "cdr/2026/03/one.cdr.xml", "cdr/one.json"])
def test_call_detail_records_that_the_spool_reads_are_no_ones_sidecars(site: Site, name: str) -> None:
    spool = Spool(
        path=site.folder / "acme",
        tenant="acme",
        cdr_csv=site.folder / "acme" / "Master.csv",
        cdr_dir=site.folder / "acme" / "cdr",
    )
    intake = Intake([spool], site.world.catalogue, site.world.trail, site.world.clock, 0)
    incoming = intake.destination(site.ftp("acme"), "acme").begin(name)
    incoming.write(b"{}")
    incoming.commit()
    assert set(site.files()) == {name}
    assert list((site.folder / "acme/.recpipe/sidecars").iterdir()) == []
