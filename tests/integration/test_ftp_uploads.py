"""Uploads as senders do them: aside and renamed, tested and tidied up, empty, too much, and refused again and again."""

from __future__ import annotations

import ftplib
import io
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from ftp import account_uploads, uploads
from recpipe import metrics
from recpipe.model import AuditEvent
from tests.integration.ftp_world import PASSWORD, FtpWorld, ftp_world, until
from tests.services import faxes
from tests.services.need import missing, tool

NAME = "in-442071234567-07700900123-20250327-101200-1743070320.5.wav"
BODY = b"RIFF" + os.urandom(50_000)
_FOLDERS = itertools.count()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FtpWorld]:
    with ftp_world(tmp_path_factory.mktemp("ftp")) as made:
        yield made


@pytest.fixture
def client(world: FtpWorld) -> Iterator[ftplib.FTP]:
    """An uploader in a folder of its test's own."""
    with world.login("pbx") as made:
        made.cwd(f"/{next(_FOLDERS)}")
        yield made


def put(client: ftplib.FTP, name: str, body: bytes = BODY) -> str:
    return client.storbinary(f"STOR {name}", io.BytesIO(body))


def spooled(world: FtpWorld, client: ftplib.FTP) -> list[str]:
    folder = world.spool / client.pwd()[1:]
    return sorted(each.name for each in folder.iterdir()) if folder.exists() else []


def aside(world: FtpWorld) -> int:
    return len(list((world.spool / ".recpipe/incoming").glob("*")))


def refused(reason: str) -> float:
    return metrics.REGISTRY.get_sample_value("recpipe_ftp_uploads_refused_total", {"reason": reason}) or 0.0


def events(world: FtpWorld) -> list[AuditEvent]:
    with world.made.parts.catalogue.read() as work:
        return [event for event in work.audit.list(limit=500).items if event.action == "upload"]


# --- under another name, then renamed ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "working",
    [
        *(f"{NAME}{ending}" for ending in (".1a2b3c4d.partial", ".filepart", ".tmp", ".part", "~", ".uploading", "_")),
        *(f".in.{NAME}.", f".{NAME}.Xa3kPq", "upload.tmp", f".hidden/{NAME}.part"),
    ],
)
def test_a_file_arrives_whole_and_only_when_it_is_renamed(world: FtpWorld, client: ftplib.FTP, working: str) -> None:
    before = len(events(world))
    assert put(client, working).startswith("226")
    assert client.size(working) == len(BODY)
    assert spooled(world, client) == []
    assert len(events(world)) == before
    assert client.rename(working, NAME).startswith("250")
    assert spooled(world, client) == [NAME]
    assert (world.spool / client.pwd()[1:] / NAME).read_bytes() == BODY
    assert client.size(NAME) == len(BODY)
    assert until(lambda: len(events(world)) == before + 1)


def test_a_file_may_be_renamed_by_another_session_of_the_account_and_of_no_other(world: FtpWorld) -> None:
    with world.login("pbx") as sender, world.login("pbx") as other:
        put(sender, "/shared/call.wav.partial")
        assert other.size("/shared/call.wav.partial") == len(BODY)
        other.rename("/shared/call.wav.partial", "/shared/call.wav")
        assert sender.size("/shared/call.wav") == len(BODY)
    assert (world.spool / "shared/call.wav").read_bytes() == BODY


def test_what_was_received_cannot_be_renamed_replaced_appended_to_or_deleted(
    world: FtpWorld, client: ftplib.FTP
) -> None:
    put(client, "a.wav")
    put(client, "b.wav.part", BODY + b"other")
    for attempt in ("RNFR a.wav", "DELE a.wav", "APPE a.wav"):
        with pytest.raises(ftplib.error_perm, match=r"^550 This account can only send new files"):
            client.sendcmd(attempt)
    with pytest.raises(ftplib.error_perm, match=r"^550 There already is another file"):
        client.rename("b.wav.part", "a.wav")
    # Then what could not be renamed is still there, under the old name
    client.rename("b.wav.part", "b.wav")
    assert (world.spool / client.pwd()[1:] / "a.wav").read_bytes() == BODY
    assert (world.spool / client.pwd()[1:] / "b.wav").read_bytes() == BODY + b"other"
    # And the same bytes under the same name are a success
    put(client, "c.wav.part")
    assert client.rename("c.wav.part", "a.wav").startswith("250")


@pytest.mark.parametrize("to", ["../../out.wav", ".recpipe/lock.wav", "/a/.hidden/b.wav", "/" + "d/" * 17 + "x.wav"])
def test_a_new_name_is_vetted_as_any_other(world: FtpWorld, client: ftplib.FTP, to: str) -> None:
    put(client, "x.wav.part")
    try:
        client.rename("x.wav.part", to)
    except ftplib.error_perm:
        client.rename("x.wav.part", "x.wav")
    assert not [p for p in world.spool.parent.rglob("*.wav") if not p.is_relative_to(world.spool)]
    assert not list((world.spool / ".recpipe").rglob("*.wav"))


def test_a_rename_needs_both_halves_and_a_file(client: ftplib.FTP) -> None:
    with pytest.raises(ftplib.error_perm, match=r"^503"):
        client.sendcmd("RNTO a.wav")
    with pytest.raises(ftplib.error_perm, match=r"^550 There is no such file"):
        client.sendcmd("RNFR none.wav.part")


def test_an_upload_that_is_cut_off_under_a_working_name_leaves_nothing(world: FtpWorld, client: ftplib.FTP) -> None:
    before, counted = aside(world), refused("cut-off")
    other = world.login("pbx")
    data = other.transfercmd("STOR cut.wav.partial")
    data.sendall(b"RIFF" * 1000)
    other.close()
    data.close()
    assert until(lambda: aside(world) == before)
    assert until(lambda: refused("cut-off") == counted + 1)
    with pytest.raises(ftplib.error_perm, match=r"^550"):
        client.sendcmd("RNFR /cut.wav.partial")


def test_what_is_never_renamed_is_thrown_away_and_shown(
    world: FtpWorld, client: ftplib.FTP, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, counted = aside(world), refused("never-renamed")
    monkeypatch.setattr(uploads, "_WORKING_SECONDS", 0.0)
    put(client, "forgotten.wav.part")
    assert until(lambda: aside(world) == before)
    assert until(lambda: refused("never-renamed") == counted + 1)
    with pytest.raises(ftplib.error_perm):
        client.size("forgotten.wav.part")


def test_the_time_of_a_file_is_set_while_it_has_a_working_name(world: FtpWorld, client: ftplib.FTP) -> None:
    assert "MFMT" in client.sendcmd("FEAT")
    put(client, "t.wav.part")
    assert client.sendcmd("MFMT 20250327092517 t.wav.part").startswith("213 Modify=20250327092517;")
    client.rename("t.wav.part", "t.wav")
    found = (world.spool / client.pwd()[1:] / "t.wav").stat().st_mtime
    assert found == 1743067517
    assert client.sendcmd("MDTM t.wav") == "213 20250327092517"
    # Of what was received it stays, and the reply says so
    assert client.sendcmd("MFMT 19990101000000 t.wav").startswith("213 Modify=20250327092517;")
    assert (world.spool / client.pwd()[1:] / "t.wav").stat().st_mtime == found
    with pytest.raises(ftplib.error_perm, match=r"^501"):
        client.sendcmd("MFMT yesterday t.wav")
    with pytest.raises(ftplib.error_perm, match=r"^550"):
        client.sendcmd("MFMT 20250327092517 none.wav")


# --- tests of the account, and tidying up -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["test.txt", ".ftp-test", "test", "probe_1234.dat", "check.tmp"])
@pytest.mark.parametrize("body", [b"hello world\n", b""], ids=["text", "empty"])
def test_a_test_file_is_taken_seen_and_deleted_and_is_nobodys_recording(
    world: FtpWorld, client: ftplib.FTP, name: str, body: bytes
) -> None:
    before, recorded = aside(world), len(events(world))
    assert put(client, name, body).startswith("226")
    assert client.size(name) == len(body)
    assert client.sendcmd(f"MDTM {name}").startswith("213")
    assert client.nlst() == [name]
    lines: list[str] = []
    client.retrlines("LIST", lines.append)
    assert len(lines) == 1 and lines[0].endswith(name)
    assert client.delete(name).startswith("250")
    assert client.nlst() == []
    with pytest.raises(ftplib.error_perm, match=r"^550"):
        client.size(name)
    assert (aside(world), spooled(world, client), len(events(world))) == (before, [], recorded)


def test_a_test_file_that_is_left_behind_is_thrown_away(
    world: FtpWorld, client: ftplib.FTP, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, counted = aside(world), refused("never-renamed")
    monkeypatch.setattr(uploads, "_TEST_SECONDS", 0.0)
    put(client, "test.txt", b"hello")
    assert until(lambda: aside(world) == before)
    assert refused("never-renamed") == counted


@pytest.mark.parametrize("name", ["call.mid", "call.txt", "call.wav.gz", "call", "call.wav.enc"])
def test_what_could_be_a_recording_that_cannot_be_kept_is_never_taken_for_a_test(
    world: FtpWorld, client: ftplib.FTP, name: str
) -> None:
    counted = refused("name")
    before = aside(world)
    with pytest.raises(ftplib.error_perm, match=r"^550 .*is no recording: its name must end in"):
        put(client, name)
    assert until(lambda: refused("name") == counted + 1)
    assert aside(world) == before


def test_a_fax_server_sends_faxes_and_nothing_else(world: FtpWorld, tmp_path: Path) -> None:
    fax, counted = faxes.tiff(tmp_path / "fax.tif").read_bytes(), refused("name")
    with world.login("fax-server") as client:
        put(client, ".in.+442071234567-2026-11-28-09-00-00.tif", fax)
        client.rename(".in.+442071234567-2026-11-28-09-00-00.tif", "+442071234567-2026-11-28-09-00-00.tif")
        put(client, "1743067517.12.pdf", b"%PDF-1.4")
        put(client, "1743067517.12.json", b'{"station_id": "Northwind"}')
        for name in ("call.wav", "note.txt", "fax.tif.enc"):
            with pytest.raises(ftplib.error_perm, match=r"^550 .*is no fax: its name must end in [.]tif, "):
                put(client, name)
    assert refused("name") == counted + 3
    there = world.spool.parent / "faxes"
    assert sorted(one.name for one in there.glob("*.*") if one.is_file()) == [
        *("+442071234567-2026-11-28-09-00-00.tif", "1743067517.12.json", "1743067517.12.pdf")
    ]
    with world.login("pbx") as client, pytest.raises(ftplib.error_perm, match=r"^550 .*Faxes go into a spool with"):
        put(client, "fax.tif", fax)


def test_senders_may_tidy_up_folders_and_permissions(world: FtpWorld, client: ftplib.FTP) -> None:
    client.mkd("2025.03.27")
    assert client.cwd("2025.03.27").startswith("250")
    client.cwd("..")
    assert client.rmd("2025.03.27").startswith("250")
    put(client, "sub/a.wav")
    with pytest.raises(ftplib.error_perm, match=r"^550 This folder is not empty"):
        client.rmd("sub")
    assert client.sendcmd("SITE CHMOD 644 sub/a.wav").startswith("202")
    with pytest.raises(ftplib.error_perm, match=r"^550"):
        client.sendcmd("SITE CHMOD 644 sub/none.wav")
    with pytest.raises(ftplib.error_perm, match=r"^502"):
        client.sendcmd("STOU")
    assert client.storbinary("APPE new.wav", io.BytesIO(BODY)).startswith("226")
    assert (world.spool / client.pwd()[1:] / "new.wav").read_bytes() == BODY


# --- empty, and too much -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["at once", "renamed"])
def test_an_empty_recording_is_answered_so_that_its_sender_goes_on_and_is_shown(
    world: FtpWorld, client: ftplib.FTP, way: str
) -> None:
    counted, recorded, before = refused("empty"), len(events(world)), aside(world)
    if way == "at once":
        assert put(client, "call.wav", b"") == "226 The file was empty: nothing was kept."
    else:
        put(client, "call.wav.part", b"")
        client.rename("call.wav.part", "call.wav")
    assert client.size("call.wav") == 0
    assert put(client, "next.wav").startswith("226")
    assert spooled(world, client) == ["next.wav"]
    assert refused("empty") == counted + 1
    assert until(lambda: len(events(world)) == recorded + 2)
    assert sorted(event.detail["bytes"] for event in events(world)[:2]) == [0, len(BODY)]
    assert aside(world) == before


@pytest.fixture
def narrow(tmp_path: Path) -> Iterator[FtpWorld]:
    # A day takes more than a file, so that a file that is too large is always found out by its own limit.
    limits = {"ftp_upload_max_bytes": 30_000, "ftp_upload_daily_bytes": 45_000}
    with ftp_world(tmp_path, settings=limits) as made:
        yield made


def test_a_file_and_a_day_have_their_limits_and_allo_knows_them(
    narrow: FtpWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    with narrow.login("pbx") as client:
        assert client.sendcmd("ALLO 30000").startswith("200")
        for too_much in ("30001", "999999999999999999", "9" * 30):
            with pytest.raises(ftplib.error_perm, match=r"^552 A file may have at most 30000 bytes"):
                client.sendcmd(f"ALLO {too_much}")
        with pytest.raises(ftplib.error_perm, match=r"^501"):
            client.sendcmd("ALLO much")
        for name in ("large.wav", "large.wav.part"):
            with pytest.raises(ftplib.error_perm, match=r"^552 A file may have at most"):
                put(client, name, bytes(30_001))
        for n in range(2):
            put(client, f"{n}.wav", bytes([n]) * 10_000)
        with pytest.raises(ftplib.error_perm, match=r"^552 This account has sent as much"):
            put(client, "more.wav", bytes(30_000))
        with pytest.raises(ftplib.error_perm, match=r"^552 This account"):
            client.sendcmd("ALLO 30000")
    assert sorted(each.name for each in narrow.spool.glob("*.wav")) == ["0.wav", "1.wav"]
    assert aside(narrow) == 0
    assert refused("size-limit") >= 2 and refused("quota") >= 1


def test_the_disk_keeps_a_reserve(tmp_path: Path) -> None:
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    with ftp_world(tmp_path, settings={"upload_reserve_bytes": free * 2}) as full, full.login("pbx") as client:
        with pytest.raises(ftplib.error_temp, match=r"^452 There is not enough room"):
            put(client, "a.wav")
        with pytest.raises(ftplib.error_temp, match=r"^452"):
            client.sendcmd("ALLO 100")
    settings = {"upload_reserve_bytes": 1000, "ftp_upload_max_bytes": free * 4}
    with ftp_world(tmp_path / "other", settings=settings) as roomy, roomy.login("pbx") as client:
        with pytest.raises(ftplib.error_temp, match=r"^452"):
            client.sendcmd(f"ALLO {free * 2}")
        assert put(client, "a.wav").startswith("226")


def test_folders_are_not_bottomless(world: FtpWorld, client: ftplib.FTP) -> None:
    deep = "/" + "/".join("d" * 16)
    assert client.mkd(deep)
    assert put(client, f"{deep}/a.wav").startswith("226")
    for attempt in (
        lambda: client.mkd(f"{deep}/e"),
        lambda: client.cwd(f"{deep}/e"),
        lambda: put(client, f"{deep}/e/a.wav"),
    ):
        with pytest.raises(ftplib.error_perm, match=r"^550"):
            attempt()
    assert (world.spool / deep[1:] / "a.wav").exists()
    assert not (world.spool / deep[1:] / "e").exists()


def test_a_day_begins_anew() -> None:
    today = [date(2026, 11, 28)]
    account = account_uploads.AccountUploads("ftp:pbx", 100, lambda: today[0])
    account.count(100)
    with pytest.raises(account_uploads.OverQuota):
        account.count(1)
    today[0] = date(2026, 11, 29)
    account.count(100)


def test_a_sender_that_is_refused_again_and_again_is_one_line_an_hour(
    world: FtpWorld, client: ftplib.FTP, caplog: pytest.LogCaptureFixture
) -> None:
    world.gateway.services.uploads._said_lately.forget(("ftp:pbx", "name"))
    counted = refused("name")
    for n in range(4):
        with pytest.raises(ftplib.error_perm):
            put(client, f"{n}.mid")
    assert until(lambda: refused("name") == counted + 4)
    said = [record for record in caplog.records if "uploads refused" in record.getMessage()]
    assert len(said) == 1
    assert ".mid" not in caplog.text


# --- other people's clients ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("security", ["plain", "tls12", "tls13"])
def test_rclone_copies_without_an_option(world: FtpWorld, tmp_path: Path, security: str) -> None:
    rclone = Path(sys.executable).with_name("rclone")
    if not rclone.exists():
        missing("rclone is not installed; scripts/setup installs it")
    source = _calls(tmp_path)
    secret = subprocess.run([rclone, "obscure", PASSWORD], capture_output=True, text=True, check=True).stdout.strip()
    tls = "" if security == "plain" else "explicit_tls = true\nno_check_certificate = true\n"
    tls += "disable_tls13 = true\n" if security == "tls12" else ""
    config = tmp_path / "rclone.conf"
    config.write_text(f"[gw]\ntype = ftp\nhost = 127.0.0.1\nport = {world.port}\nuser = pbx\npass = {secret}\n{tls}")
    for options in ((), ("--inplace",)):
        folder = f"rclone-{security}{''.join(options)}"
        command = [rclone, "--config", config, "copy", "--retries", "1", *options, source, f"gw:{folder}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        _assert_arrived(world, source, folder)


@pytest.mark.parametrize("tls", [False, True], ids=["ftp", "ftps"])
def test_lftp_uploads_to_temporary_names(world: FtpWorld, tmp_path: Path, tls: bool) -> None:
    source, folder = _calls(tmp_path), f"lftp-{tls}"
    script = (
        f"set ssl:verify-certificate no; set ftp:ssl-force {'yes' if tls else 'no'}; set ftp:ssl-protect-data yes; "
        f"set ftp:ssl-allow {'yes' if tls else 'no'}; set xfer:use-temp-file yes; set net:max-retries 1; "
        f"set cmd:fail-exit yes; open -p {world.port} -u pbx,'{PASSWORD}' 127.0.0.1; mirror -R {source} {folder}"
    )
    subprocess.run([tool("lftp"), "-c", script], check=True, timeout=60, capture_output=True)
    _assert_arrived(world, source, folder)


def _calls(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    source.mkdir()
    for n, size in enumerate((16_000, 480_000, 3_200_000, 480_000)):
        (source / f"call-{n}.wav").write_bytes(b"RIFF" + os.urandom(size))
    return source


def _assert_arrived(world: FtpWorld, source: Path, folder: str) -> None:
    found = {each.name: each.read_bytes() for each in (world.spool / folder).iterdir()}
    assert found == {each.name: each.read_bytes() for each in source.iterdir()}


# --- descriptions without a recording ----------------------------------------------------------------------------


def test_descriptions_that_get_no_recording_are_bounded_and_nothing_else_is(
    world: FtpWorld, client: ftplib.FTP, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = client.pwd()[1:]
    notes = world.spool / ".recpipe/sidecars"
    before, counted = len(list(notes.glob("*"))), refused("sidecars-alone")
    for name in (f"{NAME}.json", "alone.json"):
        assert put(client, name, b"{}").startswith("226")
    monkeypatch.setattr("recpipe.intake.MOST_ALONE", 0)
    for name in ("more.json", "more.XML", "more.csv"):
        with pytest.raises(ftplib.error_perm, match=r"552 Too many descriptions .* without a recording"):
            put(client, name, b"{}")
    put(client, "renamed.tmp", b"{}")
    with pytest.raises(ftplib.error_perm, match="552"):
        client.rename("renamed.tmp", "renamed.json")
    # Its recording comes, and others
    assert put(client, NAME).startswith("226")
    assert spooled(world, client) == ["alone.json", NAME, f"{NAME}.json"]
    assert refused("sidecars-alone") == counted + 4
    said = [json.loads(note.read_text()) for note in notes.iterdir()]
    assert len(said) == before + 2
    assert {"sender": "ftp:pbx", "path": f"{folder}/alone.json"} in said
