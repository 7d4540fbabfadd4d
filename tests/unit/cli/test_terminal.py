"""What is typed unseen, at a real (pseudo) terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import subprocess
import sys
import termios
import time
from pathlib import Path

from tests.services.certificates import KeyPair, openssl
from tests.unit.cli.conftest import Cli

ROOT = Path(__file__).parents[3]
PASSWORD = "three quiet lamps"


def typed(cli: Cli, words: list[str], *answers: tuple[str, str]) -> tuple[int, str]:
    """Run a command at a terminal; give each answer once what it answers was asked."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "recpipe", *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=cli.home,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    screen, left = "", list(answers)
    deadline = time.monotonic() + 60
    try:
        while time.monotonic() < deadline:
            if not select.select([ours], [], [], 0.1)[0]:
                continue
            try:
                piece = os.read(ours, 4096)
            except OSError:  # the other side is closed
                break
            if not piece:
                break
            screen += piece.decode("utf-8", "replace")
            if left and re.search(left[0][0], screen):
                # getpass throws away what was typed before it switched the echo off
                while termios.tcgetattr(ours)[3] & termios.ECHO and time.monotonic() < deadline:
                    time.sleep(0.01)
                os.write(ours, left.pop(0)[1].encode() + b"\n")
    finally:
        os.close(ours)
        if time.monotonic() >= deadline:
            process.kill()
    return process.wait(timeout=10), screen


def test_a_password_is_typed_twice_and_not_shown(cli: Cli) -> None:
    code, screen = typed(
        cli, ["user", "create", "ann", "--ask-password"], ("Password: $", PASSWORD), ("(?i)repeat.*: $", PASSWORD)
    )
    assert code == 0, screen
    assert "Made user" in screen
    assert PASSWORD not in screen


def test_a_locked_key_asks_for_its_passphrase(cli: Cli, key_pair: KeyPair) -> None:
    (cli.home / "call.wav").write_bytes(b"content")
    openssl("pkcs8", "-topk8", "-in", key_pair.key_path, "-out", "locked.pem", "-passout", f"pass:{PASSWORD}")
    cli.run("seal", "call.wav", "--to", key_pair.certificate_path)
    words = ["open", "call.wav.enc", "--key", "locked.pem", "--out", "out"]
    code, screen = typed(cli, words, ("Passphrase.*: $", PASSWORD))
    assert code == 0, screen
    assert (cli.home / "out").read_bytes() == b"content"
    assert PASSWORD not in screen
