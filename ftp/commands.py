"""The commands that look around: folders, listings, sizes, times, checksums."""
# ruff: noqa: N802 - pyftpdlib finds the method of a command by its name

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from ftp import listing
from ftp.filesystem import Tree, absolute, matching
from ftp.loop import Command, in_worker
from ftp.pyftpdlib_seam import ControlConnection
from ftp.replies import one_line
from ftp.transfer import Listing, Transfer

Found = tuple[str, Iterator[listing.Entry]]

_MOST_IN_STAT = 10_000  # on the control connection, where nothing else can be said meanwhile


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


class Commands(ControlConnection):
    """A control connection that knows its way around a tree."""

    fs: Place | None

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

    def begin_transfer(self, transfer: Transfer, verb: str) -> None:
        """Answer, and begin as soon as there is a data connection."""
        raise NotImplementedError

    def ftp_TYPE(self, line: str) -> None:
        # Non-print is the default form of ASCII. Source: RFC 959 section 3.1.1.5, RFC 1123 section 4.1.2.2.
        kind, _, form = line.upper().partition(" ")
        super().ftp_TYPE(kind if kind in ("A", "I") and form == "N" else line)

    def ftp_OPTS(self, line: str) -> None:
        command, _, wanted = line.upper().partition(" ")
        if command != "HASH":
            super().ftp_OPTS(line)
        elif wanted in ("", "SHA-256"):
            self.respond("200 SHA-256")
        else:
            self.respond("504 Only SHA-256 is known here.")

    def ftp_NOOP(self, line: str) -> None:
        self.respond("200 Still here.")

    async def ftp_CWD(self, path: str) -> None:
        if not (await in_worker(lambda: self.tree.stat(path))).is_folder:
            self.respond("550 This is a file.")
            return
        self.place.cwd = path
        self.respond(f'250 "{_quoted(path)}" is the current directory.')

    async def ftp_CDUP(self, path: str) -> None:
        await self.ftp_CWD(path)

    async def ftp_LIST(self, path: str) -> None:
        found: Found = await in_worker(lambda: matching(self.tree, path))
        self._send_listing("LIST", listing.unix(found[1], datetime.now(UTC)))

    async def ftp_NLST(self, path: str) -> None:
        found: Found = await in_worker(lambda: matching(self.tree, path))
        prefix, entries = found
        # A client that asked for `2025/03/27/*.mp3` fetches what it is told, so it is told the whole path.
        shown = prefix if prefix and prefix.rstrip("/") != self.place.cwd.rstrip("/") else ""
        self._send_listing("NLST", listing.names(entries, shown))

    async def ftp_MLSD(self, path: str) -> None:
        entries = await in_worker(lambda: self.tree.entries(path) if self.tree.stat(path).is_folder else None)
        if entries is None:
            self.respond("501 This is a file: use MLST.")
            return
        self._send_listing("MLSD", listing.mlsd(entries, self.facts))

    async def ftp_MLST(self, path: str) -> None:
        facts = listing.mlsx_facts(await in_worker(lambda: self.tree.stat(path)), self.facts)
        self.push(f"250-Listing {one_line(path)}\r\n {facts} {one_line(path)}\r\n")
        self.respond("250 End.")

    def ftp_STAT(self, path: str) -> Command | None:
        if path:
            return self._stat(path)
        super().ftp_STAT("")
        return None

    async def ftp_SIZE(self, path: str) -> None:
        await self._about_file(path, lambda entry: f"213 {entry.size_bytes}")

    async def ftp_MDTM(self, path: str) -> None:
        await self._about_file(path, lambda entry: f"213 {listing.timestamp(entry.modified_at)}")

    async def ftp_HASH(self, path: str) -> None:
        """SHA-256 from the catalogue. Source: draft-bryan-ftpext-hash-02 section 3."""
        tree = self.tree
        await self._about_file(path, lambda entry: f"213 SHA-256 0-{entry.size_bytes} {tree.sha256(path)} {path}")

    async def ftp_XSHA256(self, path: str) -> None:
        tree = self.tree
        await self._about_file(path, lambda _entry: f"250 {tree.sha256(path)}")

    async def _about_file(self, path: str, answer: Callable[[listing.Entry], str]) -> None:
        def find() -> str:
            entry = self.tree.stat(path)
            return "550 This is a folder." if entry.is_folder else answer(entry)

        self.respond(await in_worker(find))

    async def _stat(self, path: str) -> None:
        def look() -> str | None:
            _, entries = matching(self.tree, path)
            some = list(itertools.islice(entries, _MOST_IN_STAT + 1))
            if len(some) > _MOST_IN_STAT:
                return None
            return b"".join(listing.unix(some, datetime.now(UTC))).decode()

        found = await in_worker(look)
        if found is None:
            self.respond(f"550 More than {_MOST_IN_STAT:,} entries. List this folder with LIST or MLSD.")
            return
        self.push(f"213-Status of {one_line(path)}\r\n{found}")
        self.respond("213 End of status.")

    def _send_listing(self, verb: str, blocks: Iterator[bytes]) -> None:
        if self.ready_for_data():
            self.begin_transfer(Listing(blocks), verb)


def _quoted(path: str) -> str:
    return path.replace('"', '""')
