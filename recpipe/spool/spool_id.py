"""The id of a spool, which is part of the keys of its objects: it tells whose attempt a leftover is."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import socket
from pathlib import Path

from recpipe import durable
from recpipe.errors import SpoolRefused
from recpipe.spool import safe_move


class SpoolId:
    """8 hex digits, random, made once and kept in the control folder.

    While the disk is full and there is none, it is derived from machine and path; it is kept once there is room.

    Args:
        root: of the spool.
        shown: what people are told of the file it is kept in.
    """

    def __init__(self, root: Path, shown: Path) -> None:
        self._root = root
        self._shown = shown
        self._id = ""
        self._is_kept = False

    def get(self, path: Path, *, after_crash: bool) -> str:
        """The id.

        Args:
            path: of the file it is kept in.
            after_crash: the derived one may have been in use.

        Raises:
            SpoolRefused: the file holds something else.
            OSError: it cannot be read or made, and not for want of room.
        """
        if self._is_kept:
            return self._id
        try:
            if not path.exists():
                spool_id = self._id or (self._derived() if after_crash else secrets.token_hex(4))
                durable.create(path, spool_id.encode() + b"\n")
        except OSError as error:
            if error.errno not in safe_move.NO_ROOM:
                raise
            self._id = self._id or self._derived()
            return self._id
        text = path.read_text("ascii", errors="replace").strip()
        if not re.fullmatch(r"[0-9a-f]{8}", text):
            raise SpoolRefused(f"{self._shown} does not hold 8 hex digits. Delete that file to have a new id made.")
        self._id, self._is_kept = text, True
        return self._id

    def _derived(self) -> str:
        return hashlib.sha256(f"{socket.gethostname()}\0{os.path.realpath(self._root)}".encode()).hexdigest()[:8]
