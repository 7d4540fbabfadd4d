"""The package `keys` holds code, and only code."""

from __future__ import annotations

import subprocess
from pathlib import Path

import keys


def test_no_key_or_certificate_is_tracked_beside_the_code() -> None:
    folder = Path(keys.__file__).parent
    done = subprocess.run(["git", "ls-files", "-z", "--", "."], cwd=folder, capture_output=True, check=False)
    tracked = done.stdout.decode().split("\0")[:-1] if done.returncode == 0 else []
    names = tracked or [path.name for path in folder.iterdir() if path.is_file()]
    assert names
    assert {Path(name).suffix for name in names} <= {".py", ".typed"}


def test_no_module_holds_key_material() -> None:
    for path in Path(keys.__file__).parent.glob("*.py"):
        assert "PRIVATE KEY-----\nM" not in path.read_text()


def test_pem_key_and_p12_files_are_ignored_there() -> None:
    folder = Path(keys.__file__).parent
    for name in ("a.pem", "a.key", "a.p12"):
        done = subprocess.run(["git", "check-ignore", "-q", name], cwd=folder, capture_output=True, check=False)
        assert done.returncode in (0, 128), name  # 128: not a git checkout
