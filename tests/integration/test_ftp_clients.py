"""The gateway against clients that others wrote: sealed and plain, folder and S3, FTP and FTPS."""

from __future__ import annotations

import ftplib
import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.ftp_world import DAY, ODD_NAME, PASSWORD, FtpWorld, ftp_world
from tests.services.certificates import KeyPair, smime_decrypt
from tests.services.need import missing, tool
from tests.services.s3 import S3Server

TLS = pytest.mark.parametrize("tls", [False, True], ids=["ftp", "ftps"])


@pytest.fixture(scope="module", params=["folder", "s3"])
def world(
    request: pytest.FixtureRequest, key_pair: KeyPair, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FtpWorld]:
    settings: dict[str, Any] = {}
    if request.param == "s3":
        server: S3Server = request.getfixturevalue("s3_server")
        chosen = server.settings("ftp")
        settings = {name: getattr(chosen, name) for name in ("store_url", "s3_endpoint", "s3_addressing")}
        settings |= {name: getattr(chosen, name) for name in ("s3_access_key", "s3_secret_key")}
    with ftp_world(tmp_path_factory.mktemp("ftp"), key_pair, settings) as made:
        yield made


def run(*command: str, cwd: Path | None = None, timeout: float = 60) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def lftp(world: FtpWorld, tls: bool, script: str, cwd: Path) -> str:
    settings = (
        f"set ssl:verify-certificate no; set ftp:ssl-force {'yes' if tls else 'no'}; set ftp:ssl-protect-data yes;"
    )
    settings += (
        f"set ftp:ssl-allow {'yes' if tls else 'no'}; set net:max-retries 1; set net:timeout 10; set cmd:fail-exit yes;"
    )
    return run(tool("lftp"), "-c", f"{settings} open -p {world.port} -u acme,'{PASSWORD}' 127.0.0.1; {script}", cwd=cwd)


def assert_mirrored(world: FtpWorld, root: Path, key_pair: KeyPair) -> None:
    """Byte-identical, every checksum file content with it, every envelope opens with the documented command."""
    found = {
        f"/{p.relative_to(root)}" for p in root.rglob("*") if p.is_file() and p.name not in ("SHA256SUMS", "CALLS.csv")
    }
    assert found == set(world.contents)
    for path, content in world.contents.items():
        assert (root / path[1:]).read_bytes() == content, path
    for day in {Path(path).parent for path in world.contents}:
        run("sha256sum", "--strict", "-c", "SHA256SUMS", cwd=root / str(day)[1:])
    for path, inside in world.plain.items():
        out = root / "opened"
        assert smime_decrypt(root / path[1:], out, key_pair.key_path).returncode == 0
        assert out.read_bytes() == inside
        out.unlink()


@TLS
def test_lftp_mirrors_everything(world: FtpWorld, tls: bool, key_pair: KeyPair, tmp_path: Path) -> None:
    lftp(world, tls, "mirror --parallel=3 / .", tmp_path)
    assert_mirrored(world, tmp_path, key_pair)
    # A second run finds sizes and times as it left them.
    assert "get" not in lftp(world, tls, "mirror --dry-run / .", tmp_path)


@TLS
def test_lftp_goes_on_where_it_was_interrupted(world: FtpWorld, tls: bool, tmp_path: Path) -> None:
    content = world.contents[f"{DAY}/large.wav"]
    (tmp_path / "large.wav").write_bytes(content[:1_000_001])
    lftp(world, tls, f"get -c {DAY}/large.wav", tmp_path)
    assert (tmp_path / "large.wav").read_bytes() == content


@TLS
def test_rclone_syncs_and_finds_nothing_to_complain_of(
    world: FtpWorld, tls: bool, key_pair: KeyPair, tmp_path: Path
) -> None:
    rclone = Path(sys.executable).with_name("rclone")
    if not rclone.exists():
        missing("rclone is not installed; scripts/setup installs it")
    obscured = run(str(rclone), "obscure", PASSWORD).strip()
    security = "explicit_tls = true\nno_check_certificate = true\n" if tls else ""
    config = tmp_path / "rclone.conf"
    config.write_text(
        f"[gateway]\ntype = ftp\nhost = 127.0.0.1\nport = {world.port}\nuser = acme\npass = {obscured}\n{security}"
    )
    out = tmp_path / "out"
    run(str(rclone), "--config", str(config), "sync", "gateway:", str(out))
    assert_mirrored(world, out, key_pair)
    run(str(rclone), "--config", str(config), "check", "--download", "gateway:", str(out))


@pytest.mark.parametrize("mode", ["ftp", "explicit", "implicit"])
def test_curl_downloads_and_resumes(world: FtpWorld, mode: str, tmp_path: Path) -> None:
    path = f"{DAY}/sealed.wav.enc"
    port, scheme = (world.tls_port, "ftps") if mode == "implicit" else (world.port, "ftp")
    options = ["--ssl-reqd", "--insecure"] if mode != "ftp" else []
    out = tmp_path / "sealed.wav.enc"
    out.write_bytes(world.contents[path][:77_777])
    url = f"{scheme}://127.0.0.1:{port}{path}"
    run(tool("curl"), "-sS", "-u", f"acme:{PASSWORD}", *options, "-C", "-", "-o", str(out), url)
    assert out.read_bytes() == world.contents[path]


def test_curl_in_active_mode(world: FtpWorld, tmp_path: Path) -> None:
    out = tmp_path / "one.wav"
    url = f"ftp://127.0.0.1:{world.port}{DAY}/one.wav"
    run(tool("curl"), "-sS", "-u", f"acme:{PASSWORD}", "--ftp-port", "127.0.0.1", "-o", str(out), url)
    assert out.read_bytes() == world.contents[f"{DAY}/one.wav"]


def test_ncftp_fetches_a_folder(world: FtpWorld, tmp_path: Path) -> None:
    ncftpget = tool("ncftpget")
    run(ncftpget, "-V", "-u", "acme", "-p", PASSWORD, "-P", str(world.port), "127.0.0.1", str(tmp_path), f"{DAY}/*.wav")
    for path, content in world.contents.items():
        if path.startswith(DAY) and path.endswith(".wav"):
            assert (tmp_path / Path(path).name).read_bytes() == content


@TLS
def test_ftplib_reads_from_any_offset(world: FtpWorld, tls: bool) -> None:
    with world.login(tls=tls) as client:
        for path, content in world.contents.items():
            for start in {0, 1, len(content) // 2, len(content) - 1, len(content)}:
                if 0 <= start <= len(content):
                    got = io.BytesIO()
                    client.retrbinary(f"RETR {path}", got.write, rest=start)
                    assert got.getvalue() == content[start:], (path, start)
        with pytest.raises(ftplib.error_perm, match=r"^554"):
            client.retrbinary(f"RETR {DAY}/one.wav", io.BytesIO().write, rest=10**6)


def test_sizes_times_and_checksums_are_exact(world: FtpWorld) -> None:
    with world.login() as client:
        facts = dict(client.mlsd(DAY))
        assert facts["one.wav"] == {"type": "file", "size": "10240", "modify": "20250327092517", "perm": "r"}
        assert client.sendcmd(f"MDTM {DAY}/one.wav") == "213 20250327092517"
        for path, content in world.contents.items():
            assert client.size(path) == len(content)
        sums = io.BytesIO()
        client.retrbinary(f"RETR {DAY}/SHA256SUMS", sums.write)
        assert int(facts["SHA256SUMS"]["size"]) == client.size(f"{DAY}/SHA256SUMS") == len(sums.getvalue())
        first = sums.getvalue().split()[0].decode()
        name = sums.getvalue().split(b"\n")[0].split(b"  ")[1].decode()
        assert client.sendcmd(f"XSHA256 {DAY}/{name}") == f"250 {first}"
        assert first in client.sendcmd(f"HASH {DAY}/{name}")


def test_listings_agree_with_each_other(world: FtpWorld) -> None:
    with world.login() as client:
        client.cwd(DAY)
        assert client.pwd() == DAY
        machine = [name for name, _ in client.mlsd()]
        unix: list[str] = []
        client.retrlines("LIST -la", unix.append)
        assert sorted(client.nlst()) == sorted(machine)
        assert len(unix) == len(machine)
        assert client.nlst("*.enc") == ["sealed.wav.enc", "second.wav.enc"]
        assert client.nlst("o[mn]*.wav") == ["one.wav"]
        client.cwd("/")
        assert client.nlst(f"{DAY}/o*.wav") == [f"{DAY}/one.wav"]
        assert client.nlst("no-such-*") == []
        status = client.sendcmd(f"STAT {DAY}")
        assert status.startswith("213-") and "one.wav" in status
        single = client.sendcmd(f"MLST {DAY}/{ODD_NAME}")
        assert f"size=5004;modify=20250327093517;perm=r; {DAY}/{ODD_NAME}" in single


def test_ascii_mode_changes_no_byte(world: FtpWorld) -> None:
    with world.login() as client:
        client.voidcmd("TYPE A")
        with client.transfercmd(f"RETR {DAY}/one.wav") as data:
            got = b"".join(iter(lambda: data.recv(65536), b""))
        client.voidresp()
        assert got == world.contents[f"{DAY}/one.wav"]
