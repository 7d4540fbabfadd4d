"""From a finished call to an object that OpenSSL opens: real telephone prompts, dropped at once."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.acceptance.installation import (
    SOUNDS,
    Installation,
    audio_files,
    freepbx_name,
    openssl_decrypt,
    samples,
    wait_until_empty,
)
from tests.prove._processes import KILLED
from tests.services.need import missing, tool

FILES, MANY = 60, 500


@pytest.fixture(params=["embedded", "distributed"])
def installation(request: pytest.FixtureRequest, tmp_path: Path) -> Installation:
    """SQLite and a folder, or PostgreSQL and S3: the same code by configuration."""
    made = Installation(tmp_path)
    if request.param == "distributed":
        server = request.getfixturevalue("s3_server")
        made.env = {
            "RECPIPE_DATABASE_URL": request.getfixturevalue("postgres_url"),
            "RECPIPE_STORE_URL": f"s3://{server.bucket}/{tmp_path.name.lower().replace('_', '-')}",
            "RECPIPE_S3_ENDPOINT": server.endpoint,
            "RECPIPE_S3_ACCESS_KEY": server.access_key,
            "RECPIPE_S3_SECRET_KEY": server.secret_key,
            "RECPIPE_S3_ADDRESSING": "path",
        }
    return made


@pytest.fixture(params=[FILES, pytest.param(MANY, marks=pytest.mark.long)])
def sounds(request: pytest.FixtureRequest) -> list[Path]:
    found = sorted(SOUNDS.rglob("*.wav"))
    if len(found) < request.param:
        missing("asterisk-core-sounds-en-wav is not installed; scripts/setup installs it")
    return found[: request.param]


def sealed_tenant(installation: Installation, tmp_path: Path) -> Path:
    """A tenant whose key was made and handed over as the user guide says; returns the private key."""
    tool("openssl")
    key, certificate = tmp_path / "myprivatekey.pem", tmp_path / "mypublickey.pem"
    made = ["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-x509", "-days", "1825", "-subj", "/CN=acme"]
    subprocess.run([*made, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    installation.run("tenant", "create", "acme", "--timezone", "Europe/Berlin", "--region", "DE")
    installation.run("certificate", "add", "acme", str(certificate), "--vouch")
    installation.run("tenant", "set", "acme", "--encryption", "on")
    return key


def assert_all_there(installation: Installation, sounds: list[Path], key: Path, tmp_path: Path) -> None:
    """Each file stored once, each opens with the documented command, samples equal."""
    exported = installation.export("acme")
    assert all(path.name.endswith(".wav.enc") for path in exported)
    opened = tmp_path / "opened"
    opened.mkdir()

    def open_one(enc: Path) -> bytes:
        out = opened / enc.name.removesuffix(".enc")
        openssl_decrypt(enc, out, key)
        return samples(out)

    with ThreadPoolExecutor(4) as pool:
        got = Counter(pool.map(open_one, exported))
    assert got == Counter(samples(path) for path in sounds)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_calls_dropped_while_we_watch_are_stored_once_and_open_with_openssl(
    installation: Installation, sounds: list[Path], tmp_path: Path
) -> None:
    if len(sounds) == FILES:
        sounds = sounds[:40]  # one that is killed amid its work needs more of it
    # Given a tenant with a proven key and a running watcher
    monitor = installation.spool(tenant="acme", layout="freepbx", timezone="Europe/Berlin", settle_seconds=0.5)
    key = sealed_tenant(installation, tmp_path)
    with installation.serving("ingest") as process:
        # When many files appear at once in folders that did not exist
        for number, sound in enumerate(sounds):
            target = monitor / freepbx_name(number)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(sound, target)
        wait_until_empty(monitor, process, seconds=180)

    # Then all are there, once, and ours agrees with itself
    assert_all_there(installation, sounds, key, tmp_path)
    assert installation.json("verify")["problems"] == []
    assert installation.json("quarantine", "list")["items"] == []


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_nothing_is_lost_or_doubled_when_ingest_is_killed_amid_its_work(
    installation: Installation, sounds: list[Path], tmp_path: Path
) -> None:
    monitor = installation.spool(tenant="acme", layout="freepbx", timezone="Europe/Berlin", settle_seconds=0.2)
    key = sealed_tenant(installation, tmp_path)
    for number, sound in enumerate(sounds):
        target = monitor / freepbx_name(number)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(sound, target)

    # When the process dies without warning in the middle of the batch, in the long form three times
    for kill in range(3 if len(sounds) == MANY else 1):
        left_before = len(audio_files(monitor))
        with installation.serving("ingest") as process:
            deadline = time.monotonic() + 60
            while len(audio_files(monitor)) > left_before - len(sounds) // 6:
                assert process.ended() is None and time.monotonic() < deadline, installation.log()
                time.sleep(0.02)
            os.kill(process.pid, signal.SIGKILL)
            assert process.wait(30) == KILLED
        assert audio_files(monitor), f"kill {kill + 1} came after the end"

    # Then the next start finishes the work
    with installation.serving("ingest") as process:
        wait_until_empty(monitor, process, seconds=120)
    assert_all_there(installation, sounds, key, tmp_path)
    assert installation.json("verify")["problems"] == []
