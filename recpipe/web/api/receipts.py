"""What was answered to an upload with a key, so that the same key gets the same answer and no second file.

A lost receipt does no harm: the spool knows the same bytes under the same name, and so does the catalogue.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import time
from dataclasses import asdict, dataclass
from pathlib import Path

KEPT_SECONDS = 7 * 24 * 3600
_CLEAN_EVERY = 256  # one in so many


@dataclass(frozen=True, slots=True)
class Receipt:
    """One upload that was answered."""

    spool: str
    name: str
    size_bytes: int
    sha256: str


class Receipts:
    """A folder of small files named by the hash of who, where and which key. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, owner: str, spool: str, key: str) -> Receipt | None:
        """The receipt of an earlier upload with this key; None where there is none."""
        try:
            return Receipt(**json.loads(self._path(owner, spool, key).read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def keep(self, owner: str, key: str, receipt: Receipt) -> None:
        """Remember an upload for a week."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._path(owner, receipt.spool, key)
        temporary = path.with_name(f".{secrets.token_hex(8)}")
        temporary.write_text(json.dumps(asdict(receipt)), encoding="utf-8")
        temporary.replace(path)
        if secrets.randbelow(_CLEAN_EVERY) == 0:
            self._clean()

    def _clean(self) -> None:
        too_old = time.time() - KEPT_SECONDS
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    if entry.stat(follow_symlinks=False).st_mtime < too_old:
                        Path(entry.path).unlink()

    def _path(self, owner: str, spool: str, key: str) -> Path:
        named = "\0".join((owner, spool, key)).encode("utf-8", "surrogatepass")
        return self._folder / hashlib.sha256(named).hexdigest()
