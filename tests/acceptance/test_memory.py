"""Memory stays the same however long a call was."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.acceptance.installation import Installation, openssl_decrypt
from tests.services.certificates import KeyPair
from tests.services.s3 import S3Server

LIMIT_MB = 128
LARGE, GIGABYTE = 150_000_000, 1_000_000_000  # both more than the limit


def large_wav(path: Path, size_bytes: int) -> None:
    """Eight kHz 16-bit mono, 17 hours in a gigabyte; silence but for a mark at the end. Sparse, so quickly made."""
    header = b"RIFF" + (size_bytes - 8).to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little")
    header += b"\1\0\1\0" + (8000).to_bytes(4, "little") + (16000).to_bytes(4, "little") + b"\2\0\x10\0"
    header += b"data" + (size_bytes - 44).to_bytes(4, "little")
    with path.open("wb") as out:
        out.write(header)
        out.seek(size_bytes - 4)
        out.write(b"\1\2\3\4")


def high_water_mark_mb(pid: int) -> float:
    """VmHWM of proc(5). Not ru_maxrss of wait4(2), which begins with the size of the parent that forked."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0.0)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("size_bytes", [LARGE, pytest.param(GIGABYTE, marks=pytest.mark.long)])
def test_sealing_and_uploading_a_long_call_needs_little_memory(
    tmp_path: Path, s3_server: S3Server, key_pair: KeyPair, size_bytes: int
) -> None:
    installation = Installation(
        tmp_path,
        {
            "RECPIPE_STORE_URL": f"s3://{s3_server.bucket}/memory",
            "RECPIPE_S3_ENDPOINT": s3_server.endpoint,
            "RECPIPE_S3_ACCESS_KEY": s3_server.access_key,
            "RECPIPE_S3_SECRET_KEY": s3_server.secret_key,
            "RECPIPE_S3_ADDRESSING": "path",
        },
    )
    spool = installation.spool(tenant="acme", layout="freepbx", settle_seconds=0)
    installation.run("tenant", "create", "acme")
    installation.run("certificate", "add", "acme", str(key_pair.certificate_path), "--vouch")
    installation.run("tenant", "set", "acme", "--encryption", "on")
    large_wav(spool / "out-03012345678-201-20260901-092517-1790000000.1.wav", size_bytes)

    command = installation.command("ingest", "--once", "--json")
    peak_mb = 0.0
    with subprocess.Popen(command, env=installation.environment(), stdout=subprocess.PIPE) as process:
        while process.poll() is None:
            peak_mb = max(peak_mb, high_water_mark_mb(process.pid))
            time.sleep(0.02)
        assert process.stdout is not None
        summary = json.loads(process.stdout.read())

    assert process.returncode == 0 and summary["stored"] == 1
    assert 0 < peak_mb < LIMIT_MB
    (enc,) = installation.export("acme")
    out = tmp_path / "out.wav"
    openssl_decrypt(enc, out, key_pair.key_path)
    with out.open("rb") as opened:
        opened.seek(-8192, os.SEEK_END)  # the tags follow the audio
        assert b"\0\0\1\2\3\4" in opened.read()
