"""The commands that look around: folders, listings, sizes, times, checksums."""
# ruff: noqa: N802 - pyftpdlib finds the method of a command by its name

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pyftpdlib.ioloop  # noqa: F401 - first: it silences the deprecation of asyncore, which the next lines import
from pyftpdlib.handlers import TLS_FTPHandler

from ftp import listing
from ftp.data import Blocks
from ftp.filesystem import Tree, absolute, matching
from ftp.replies import one_line


class Place:
    """Where a session is, with the few methods that pyftpdlib asks of a file system before it calls a command."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.cwd = "/"
        self.cmd_channel: Any = None

    def ftp2fs(self, path: str) -> str:
        return absolute(self.cwd, path)

    def fs2ftp(self, path: str) -> str:
        return path

    def validpath(self, path: str) -> bool:
        return path.startswith("/")


class Commands(TLS_FTPHandler):  # type: ignore[misc]  # pyftpdlib has no types
    """A control connection that knows its way around a tree."""

    fs: Place | None
    _current_facts: list[str]

    @property
    def place(self) -> Place:
        assert self.fs is not None, "only who is logged in is anywhere"
        return self.fs

    @property
    def tree(self) -> Tree:
        return self.place.tree

    def ready_for_data(self) -> bool:
        """Whether a transfer can begin; answers when it cannot."""
        raise NotImplementedError

    def ftp_CWD(self, path: str) -> None:
        if not self.tree.stat(path).is_folder:
            self.respond("550 This is a file.")
            return
        self.place.cwd = path
        self.respond(f'250 "{_quoted(path)}" is the current directory.')

    def ftp_CDUP(self, path: str) -> None:
        self.ftp_CWD(path)

    def ftp_MKD(self, path: str) -> None:
        self.respond(f'257 "{_quoted(path)}" is ready: it appears with the first file in it.')

    def ftp_LIST(self, path: str) -> None:
        _, entries = matching(self.tree, path)
        self._send_listing("LIST", listing.unix(entries, datetime.now(UTC)))

    def ftp_NLST(self, path: str) -> None:
        prefix, entries = matching(self.tree, path)
        # A client that asked for `2025/03/27/*.mp3` fetches what it is told, so it is told the whole path.
        shown = prefix if prefix and prefix.rstrip("/") != self.place.cwd.rstrip("/") else ""
        self._send_listing("NLST", listing.names(entries, shown))

    def ftp_MLSD(self, path: str) -> None:
        if not self.tree.stat(path).is_folder:
            self.respond("501 This is a file: use MLST.")
            return
        self._send_listing("MLSD", listing.mlsd(self.tree.entries(path), self._current_facts))

    def ftp_MLST(self, path: str) -> None:
        facts = listing.mlsx_facts(self.tree.stat(path), self._current_facts)
        self.push(f"250-Listing {one_line(path)}\r\n {facts} {one_line(path)}\r\n")
        self.respond("250 End.")

    def ftp_STAT(self, path: str) -> None:
        if not path:
            super().ftp_STAT("")
            return
        _, entries = matching(self.tree, path)
        self.push(f"213-Status of {one_line(path)}\r\n")
        self.push_with_producer(Blocks(listing.unix(entries, datetime.now(UTC))))
        self.respond("213 End of status.")

    def ftp_SIZE(self, path: str) -> None:
        self._about_file(path, lambda entry: f"213 {entry.size_bytes}")

    def ftp_MDTM(self, path: str) -> None:
        self._about_file(path, lambda entry: f"213 {listing.timestamp(entry.modified_at)}")

    def ftp_HASH(self, path: str) -> None:
        """SHA-256 from the catalogue. Source: draft-bryan-ftpext-hash-02 section 3."""
        tree = self.tree
        self._about_file(path, lambda entry: f"213 SHA-256 0-{entry.size_bytes} {tree.sha256(path)} {path}")

    def ftp_XSHA256(self, path: str) -> None:
        tree = self.tree
        self._about_file(path, lambda _entry: f"250 {tree.sha256(path)}")

    def _about_file(self, path: str, answer: Callable[[listing.Entry], str]) -> None:
        entry = self.tree.stat(path)
        self.respond("550 This is a folder." if entry.is_folder else answer(entry))

    def _send_listing(self, cmd: str, blocks: Iterator[bytes]) -> None:
        if self.ready_for_data():
            self.push_dtp_data(Blocks(blocks), isproducer=True, cmd=cmd)


def _quoted(path: str) -> str:
    return path.replace('"', '""')
