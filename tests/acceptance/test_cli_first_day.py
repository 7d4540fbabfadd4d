"""A tenant's first day by hand: every command as a person types it, the proof and the opening by openssl."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from recpipe import samples
from tests.acceptance.installation import Installation, freepbx_name, openssl_decrypt
from tests.services.certificates import openssl
from tests.services.need import tool


def test_a_key_is_checked_proven_and_used_and_what_was_sealed_comes_back(tmp_path: Path) -> None:
    here = Installation(tmp_path)
    monitor = here.spool(tenant="acme", layout="freepbx", timezone="Europe/Berlin", settle_seconds=0)
    key, certificate = tmp_path / "myprivatekey.pem", tmp_path / "mypublickey.pem"
    made = ["req", "-newkey", "rsa:2048", "-nodes", "-x509", "-days", "1825", "-subj", "/CN=acme"]
    openssl(*made, "-keyout", key, "-out", certificate)

    # Given a tenant whose key is proven
    here.run("tenant", "create", "acme", "--timezone", "Europe/Berlin", "--region", "DE")
    here.run("certificate", "check", str(key), code=1)  # the wrong one of the two files
    here.run("certificate", "check", str(certificate))
    challenge = tmp_path / "challenge.enc"
    told = here.run("certificate", "add", "acme", str(certificate), "--challenge-out", str(challenge))
    assert "openssl smime -decrypt" in told
    here.run("tenant", "set", "acme", "--encryption", "on", code=1)  # not proven yet
    openssl_decrypt(challenge, tmp_path / "challenge.txt", key)
    here.run("certificate", "verify", "acme", "--answer", (tmp_path / "challenge.txt").read_text())
    here.run("tenant", "set", "acme", "--encryption", "on")

    # When its PBX drops calls
    sounds = sorted(samples.paths().values())
    for number, sound in enumerate(sounds):
        target = monitor / freepbx_name(number, sound.suffix[1:])
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(sound, target)
    here.run("ingest", "--once")

    # Then they are found, exported as they are stored, and opened with either program
    found = here.json("recordings", "search", "--tenant", "acme")["items"]
    assert len(found) == len(sounds)
    assert all(item["sealed"] for item in found)
    exported = {path.name: path for path in here.export("acme")}
    subprocess.run([tool("sha256sum"), "-c", "--quiet", "--strict", "SHA256SUMS"], cwd=tmp_path / "export", check=True)
    for item in found:
        enc, out = exported[item["name"]], tmp_path / item["id"]
        here.run("open", str(enc), "--key", str(key), "--out", str(out), "--sha256", item["content_sha256"])
        openssl_decrypt(enc, tmp_path / "opened", key)
        assert out.read_bytes() == (tmp_path / "opened").read_bytes()
        assert "CN=acme" in here.run("inspect", str(enc))
    assert here.json("verify")["problems"] == []
    assert {event["action"] for event in here.json("audit", "list", "--limit", "1000")["items"]} >= {
        "tenant.create",
        "certificate.add",
        "certificate.prove",
        "tenant.encryption",
        "export",
        "verify",
    }


@pytest.fixture(scope="module")
def three_hundred(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """An installation with so many recordings."""
    here = Installation(tmp_path_factory.mktemp("three-hundred"))
    monitor = here.spool(tenant="acme", layout="freepbx", timezone="Europe/Berlin", settle_seconds=0)
    here.run("tenant", "create", "acme")
    sound = samples.paths()["order-inquiry.wav"]
    for count in range(300):
        target = monitor / freepbx_name(count)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(sound, target)
    here.run("ingest", "--once")
    return here


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill"])
def test_an_export_that_is_stopped_leaves_whole_files_only_and_goes_on(
    three_hundred: Installation, tmp_path: Path, number: signal.Signals
) -> None:
    here = three_hundred
    # When an export is stopped on its way; where it was at its end before we were, another
    for attempt in range(10):
        out = tmp_path / f"export {attempt}"
        words = here.command("recordings", "export", "--tenant", "acme", "--out", str(out))
        process = subprocess.Popen(words, env=here.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 60
        while len(list(out.rglob("*.wav"))) < 20:
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        _, complaint = process.communicate(timeout=60)
        if process.returncode != 0 and len(list(out.rglob("*.wav"))) < 300:
            break
    assert process.returncode != 0
    assert b"Traceback" not in complaint
    # Then what has a name is whole
    size = {item["name"]: item["size_bytes"] for item in here.json("recordings", "search", "--limit", "1000")["items"]}
    there = list(out.rglob("*.wav"))
    assert 20 <= len(there) < 300
    assert all(path.stat().st_size == size[path.name] for path in there)
    # And the next export writes the rest
    told = here.json("recordings", "export", "--tenant", "acme", "--out", str(out))
    assert told["written"] + told["unchanged"] == 300
    assert told["unchanged"] >= len(there)
    assert list(out.rglob(".*")) == []
    subprocess.run([tool("sha256sum"), "-c", "--quiet", "--strict", "SHA256SUMS"], cwd=out, check=True)
