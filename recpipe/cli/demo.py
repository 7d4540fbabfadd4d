"""`recpipe demo`: the main job on one machine, with commands to paste.

What an operator and a tenant would do by hand is done here by the same code, key pair and proof included:
`openssl req` makes the pair, `openssl smime -decrypt` answers the challenge.
"""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import quote, urlsplit
from zoneinfo import ZoneInfo

from rich.table import Table

from recpipe import log, samples, wiring
from recpipe.access import passwords
from recpipe.access.principal import operator
from recpipe.cli import frame
from recpipe.cli.roles import RoleName
from recpipe.cli.serve import Running, is_every_address, written
from recpipe.cli.serve import run as serve
from recpipe.errors import RecpipeError, SettingsInvalid
from recpipe.model import Recording, RecordingQuery, Role
from recpipe.settings import Settings, Spool, from_variables, split_listen

MARKER = ".recpipe-demo"
TENANT, TITLE, ZONE = "northwind", "Northwind Bicycles", "Europe/London"
FUSION_CALL = "5b1f2a90-7c61-4d3e-9a53-1f0c8f4e2d17"
FTP_USER, PORTAL_USER = "northwind", "demo@northwind.example"
_PATIENCE_SECONDS = 60
_SET_ASIDE = ("RECPIPE_CONFIG", "RECPIPE_DATA_DIR", "RECPIPE_DATABASE_URL", "RECPIPE_STORE_URL", "RECPIPE_SPOOL")


@dataclass(frozen=True, slots=True)
class Call:
    """One sample call: which sound, and the name that a PBX gives its recording."""

    sound: str
    spool: str
    relative: str


def prepare_folder(folder: Path) -> None:
    """An empty folder for the demo; an earlier demo's is replaced, anything else is refused.

    Raises:
        SettingsInvalid: the folder holds something that no demo made.
    """
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARKER).is_file():
            raise SettingsInvalid(f"{folder} is not empty and was not made by a demo. Choose another --data-dir.")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).touch()
    (folder / "xml_cdr").mkdir()


def settings_for(folder: Path) -> Settings:
    """What the RECPIPE_* variables say of doors and logs; all else embedded, with spools in three PBX layouts.

    Without a variable the doors are on ports of this machine that are free.

    Raises:
        SettingsInvalid: as `recpipe.settings.load`.
    """
    spools = (
        Spool(path=folder / "spool/freepbx", tenant=TENANT, layout="freepbx", timezone=ZONE, settle_seconds=1),
        Spool(path=folder / "spool/3cx", tenant=TENANT, layout="3cx", timezone=ZONE, settle_seconds=1),
        Spool(
            path=folder / "spool/fusionpbx",
            tenant="from-facts",
            layout="fusionpbx",
            timezone=ZONE,
            settle_seconds=1,
            cdr_dir=folder / "xml_cdr",
        ),
    )
    doors = {"http_listen": f"127.0.0.1:{_free_port(8080)}", "ftp_listen": f"127.0.0.1:{_free_port(2121)}"}
    kept_here = {"data_dir": folder / "data", "database_url": "", "store_url": "", "spool": spools}
    return from_variables({**doors, "log_level": "error"}, **kept_here)


def set_aside() -> list[str]:
    """The variables that a demo does not heed: it reads no file, and keeps everything in its folder."""
    return [name for name in _SET_ASIDE if name in os.environ]


def calls(now: datetime) -> list[Call]:
    """Calls of the last hour, as FreePBX, 3CX and FusionPBX name them."""
    local = now.astimezone(ZoneInfo(ZONE))

    def freepbx(sound: str, minutes_ago: int, kind: str, destination: str, source: str) -> Call:
        at = local - timedelta(minutes=minutes_ago)
        name = f"{kind}-{destination}-{source}-{at:%Y%m%d-%H%M%S}-{int(at.timestamp())}.{minutes_ago}"
        return Call(sound, "freepbx", f"{at:%Y/%m/%d}/{name}{Path(sound).suffix}")

    at = local - timedelta(minutes=12)
    cx = f"201/[Erin Doyle]_02079460123-201_{at:%Y%m%d%H%M%S}(7).wav"
    fusion = f"northwind.example/archive/{at:%Y/%b/%d}/{FUSION_CALL}.wav"
    return [
        freepbx("order-inquiry.wav", 41, "in", "201", "02079460958"),
        freepbx("brake-repair-stereo.wav", 33, "out", "02079460321", "202"),
        freepbx("invoice-request.mp3", 27, "in", "202", "02079460777"),
        freepbx("crashed-recorder.wav", 21, "out", "02079460456", "201"),
        Call("opening-hours-alaw.wav", "3cx", cx),
        Call("callback-gsm.WAV", "fusionpbx", fusion),
    ]


def _free_port(wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise SettingsInvalid("There is no free port on 127.0.0.1.")


@dataclass(frozen=True, slots=True)
class Doors:
    """Where the demo can be reached from, as the commands to paste have it.

    Args:
        http: URL of API and dashboard.
        ftp: host and port.
        ftp_options: what curl has to be told besides.
    """

    http: str
    ftp: str
    ftp_options: str

    @classmethod
    def of(cls, settings: Settings, running: Running) -> Doors:
        """A server that listens on every address is shown under the one that others reach this machine by."""
        assert running.ftp_address is not None  # the demo has every door
        host, port = running.ftp_address
        if is_every_address(host):
            host = settings.ftp_masquerade_address or _own_address()
        http = running.http_url
        if not settings.http_url and is_every_address(split_listen(settings.http_listen)[0]):
            http = f"http://{written(_own_address(), urlsplit(http).port or 80)}"
        tls = [] if not settings.ftp_require_tls else ["--ssl-reqd", *([] if settings.ftp_tls_certificate else ["-k"])]
        return cls(http, written(host, port), " ".join(tls))


def _own_address() -> str:
    """The address that this machine has for others; 127.0.0.1 where it has no way out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # RFC 5737: nobody's address, and connecting sends nothing
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


@dataclass(frozen=True, slots=True)
class Made:
    """What the demo made, for printing and for programs."""

    folder: Path
    key: Path
    certificate: Path
    ftp_password: str
    user_password: str
    token: str

    def document(self, doors: Doors, recordings: list[Recording]) -> dict[str, object]:
        """Everything that the text says, for programs (`--json`)."""
        return {
            "folder": str(self.folder),
            "http_url": doors.http,
            "api_token": self.token,
            "user": {"name": PORTAL_USER, "password": self.user_password},
            "ftp": {"address": doors.ftp, "user": FTP_USER, "password": self.ftp_password},
            "private_key": str(self.key),
            "certificate": str(self.certificate),
            "commands": dict(commands(self, doors, recordings)),
            "recordings": [
                {
                    "name": recording.name,
                    "path": f"{ftp_folder(recording)}/{recording.name}",
                    "original": str(self.folder / "originals" / Path(recording.source_name).name),
                    "sha256": recording.stored_sha256,
                    "content_sha256": recording.content_sha256,
                }
                for recording in recordings
            ],
        }


def run(folder: Path, *, as_json: bool) -> int:
    """Make everything, serve it, print what to try, and stay until Ctrl-C."""
    folder = folder.absolute()
    settings = settings_for(folder)
    prepare_folder(folder)
    log.set_up(settings.log_format, settings.log_level)
    if aside := set_aside():
        frame.err.print(f"Not heeded: {', '.join(aside)}. A demo keeps everything in {frame.shown(folder)}.")

    def when_ready(parts: wiring.Parts, started: Running) -> None:
        doors = Doors.of(settings, started)
        with frame.err.status("Making a tenant, a key pair and sample calls"):
            made = set_up(parts, folder)
            dropped = drop_calls(folder, parts.clock())
        with frame.err.status("Waiting until every call is sealed and stored"):
            recordings = wait_for(parts, len(dropped))
        if as_json:
            frame.print_json(made.document(doors, recordings))
        else:
            tell(made, doors, recordings)

    return serve(settings, [RoleName.INGEST, RoleName.WEB, RoleName.FTP], when_ready)


def set_up(parts: wiring.Parts, folder: Path) -> Made:
    """The tenant's first day: made by the operator, key pair and proof as the user guide says, then sealed."""
    me = operator()
    tenant = parts.tenants.create(me, TENANT, title=TITLE, timezone=ZONE, region="GB", aliases=["northwind.example"])
    parts.tenants.set_recording(me, tenant.id, True, agreed=True)
    key, certificate = folder / "myprivatekey.pem", folder / "mypublickey.pem"
    made = ["req", "-newkey", "rsa:2048", "-nodes", "-x509", "-days", "1825", "-subj"]
    _openssl(*made, f"/O={TITLE}/CN=recordings", "-keyout", str(key), "-out", str(certificate))
    key.chmod(0o600)
    added = parts.keyring.add(me, tenant.id, certificate.read_bytes(), label="demo")
    assert added.challenge is not None  # it was not vouched for
    parts.keyring.verify(me, tenant.id, added.certificate.id, _prove(added.challenge, key, folder))
    parts.keyring.set_encryption(me, tenant.id, True)
    ftp = parts.ftp_accounts.create(me, tenant.id, FTP_USER)
    chosen = passwords.generate()  # as if it had been typed: nobody has to choose another one to look around
    user = parts.accounts.create(me, PORTAL_USER, Role.ADMINISTRATOR, password=chosen, display_name="Demo")
    token = parts.tokens.create(me, user.user.id, "demo", ["search", "play", "download", "export"])
    assert ftp.password is not None  # it was to be generated
    return Made(folder, key, certificate, ftp.password, chosen, token.secret)


def drop_calls(folder: Path, now: datetime) -> list[Call]:
    """Put the sample calls into the spools as a PBX does, and keep the originals to compare with."""
    originals = folder / "originals"
    originals.mkdir()
    dropped = calls(now)
    (folder / "xml_cdr" / f"{FUSION_CALL}.cdr.xml").write_text(_call_detail_record(now))
    for call in dropped:
        sound = samples.paths()[call.sound]
        target = folder / "spool" / call.spool / call.relative
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(sound, originals / target.name)
        # A PBX writes for as long as the call lasts; the rename stands for its last write.
        partial = target.with_name(f".{target.name}.part")
        shutil.copy(sound, partial)
        partial.rename(target)
    return dropped


def wait_for(parts: wiring.Parts, count: int) -> list[Recording]:
    """The recordings once all are committed, newest first.

    Raises:
        RecpipeError: they were not in time.
    """
    tenant = parts.reader.tenant_named(operator(), TENANT)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        page = parts.reader.search(operator(), [tenant.id], RecordingQuery())
        if len(page.items) >= count:
            return list(page.items)
        time.sleep(0.1)
    raise RecpipeError(
        f"Only {len(page.items)} of {count} calls were stored within {_PATIENCE_SECONDS} seconds. "
        "See recpipe quarantine list for the reasons."
    )


def commands(made: Made, doors: Doors, recordings: list[Recording]) -> list[tuple[str, str]]:
    """What to paste: (what it does, the command)."""
    sample = recordings[-1]  # the earliest: a WAV whose name shows who called whom
    enc, opened = sample.name, sample.name.removesuffix(".enc")
    ftp = f"ftp://{doors.ftp}"
    login = f"{doors.ftp_options} --user {FTP_USER}:{made.ftp_password}".lstrip()
    bearer = f"-H 'Authorization: Bearer {made.token}'"
    quoted = quote(f"{ftp_folder(sample)}/{enc}")
    return [
        ("list", f"curl -s {login} {ftp}{ftp_folder(sample)}/"),
        ("fetch", f"curl -s {login} -o {shlex.quote(enc)} {shlex.quote(ftp + quoted)}"),
        (
            "decrypt",
            f"openssl smime -decrypt -binary -in {shlex.quote(enc)} -inform DER -out {shlex.quote(opened)} "
            f"-inkey {shlex.quote(str(made.key))}",
        ),
        ("compare", f"sha256sum {shlex.quote(opened)}   # {sample.content_sha256}"),
        ("search", f"curl -s {bearer} '{doors.http}/api/v1/recordings?number=0958&number_match=ending'"),
    ]


def tell(made: Made, doors: Doors, recordings: list[Recording]) -> None:
    """The page that a person reads after the demo started."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("start", "direction", "from", "to", "length", "codec", "from PBX"):
        table.add_column(heading, no_wrap=True)
    for recording in recordings:
        local = recording.started_at.astimezone(ZoneInfo(ZONE))
        table.add_row(
            f"{local:%H:%M:%S}",
            str(recording.facts.direction),
            frame.shown(recording.facts.caller_name or recording.facts.caller),
            frame.shown(recording.facts.callee_name or recording.facts.callee),
            f"{recording.duration_ms / 1000:.1f} s",
            recording.audio.codec,
            recording.spool,
        )
    explained = {
        "list": "List today's recordings over FTP",
        "fetch": "Fetch one",
        "decrypt": "Open it with the private key, which recpipe never saw",
        "compare": "Check it against the catalogue",
        "search": "Search by the last digits of a number, over the API",
    }
    frame.out.print(f"\n[bold]{len(recordings)} calls were tagged, sealed for {TITLE} and stored.[/]\n")
    frame.out.print(table)
    frame.out.print("\n[bold]Try this in another terminal:[/]")
    for name, command in commands(made, doors, recordings):
        frame.out.print(f"\n  [dim]# {explained[name]}[/]\n  {frame.shown(command)}")
    frame.out.print(f"\n  [dim]# The dashboard[/]\n  {doors.http}   user {PORTAL_USER}, password {made.user_password}")
    frame.out.print(f"\nThe dropped files are kept in {frame.shown(made.folder / 'originals')} to compare with.")
    frame.out.print("[bold]Ctrl-C[/] stops it.")


def ftp_folder(recording: Recording) -> str:
    return "/" + recording.day.replace("-", "/")


def _call_detail_record(now: datetime) -> str:
    """What FreeSWITCH writes beside a recording whose name says nothing but the call's id."""
    start = int((now - timedelta(minutes=16)).timestamp() * 1e6)
    values = {
        "uuid": FUSION_CALL,
        "direction": "outbound",
        "caller_id_number": "203",
        "caller_id_name": "Ravi%20Shah",
        "destination_number": "02079460842",
        "domain_name": "northwind.example",
        "start_uepoch": start,
        "answer_uepoch": start + 4_000_000,
        "end_uepoch": start + 14_000_000,
    }
    variables = "".join(f"<{name}>{value}</{name}>" for name, value in values.items())
    return f'<?xml version="1.0"?>\n<cdr core-uuid="demo" switchname="demo"><variables>{variables}</variables></cdr>\n'


def _prove(challenge: bytes, key: Path, folder: Path) -> str:
    """Open the challenge with the documented command, as the tenant would, and read the code in it."""
    enc, text = folder / "challenge.enc", folder / "challenge.txt"
    enc.write_bytes(challenge)
    decrypt = ["smime", "-decrypt", "-binary", "-inform", "DER"]
    _openssl(*decrypt, "-in", str(enc), "-out", str(text), "-inkey", str(key))
    return next(line.strip() for line in text.read_text().splitlines() if line.startswith("    "))


def _openssl(*arguments: str) -> None:
    try:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise SettingsInvalid("The demo needs the openssl command; on Debian: apt-get install openssl.") from error
    except subprocess.CalledProcessError as error:
        raise RecpipeError(f"openssl {arguments[0]} failed: {error.stderr.strip()}") from error
