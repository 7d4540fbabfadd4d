"""The commands of those who send: files, under their names or working names, and what clients do besides."""
# ruff: noqa: N802 - pyftpdlib finds the method of a command by its name

from __future__ import annotations

import socket
from datetime import UTC, datetime

from ftp import listing
from ftp.listener import Listener
from ftp.loop import in_worker
from ftp.replies import one_line
from ftp.services import Services
from ftp.transfer_commands import TransferCommands
from ftp.uploads import DropBox, ReceivedAlready
from recpipe.access.principal import Principal
from recpipe.errors import RecpipeError

_FROM_THE_BEGINNING = "550 Uploads start at the beginning: send the whole file with STOR."


class UploadCommands(TransferCommands):
    """A control connection that takes files. Whoever may not send was refused before any of these.

    Attributes:
        principal: who is logged in.
    """

    def __init__(self, conn: socket.socket, listener: Listener, services: Services) -> None:
        self.principal: Principal | None = None
        self._announced_bytes: int | None = None
        super().__init__(conn, listener, services)

    @property
    def box(self) -> DropBox:
        assert isinstance(self.tree, DropBox), "anybody else was refused"
        return self.tree

    def note_refusal(self, error: BaseException) -> None:
        """Count and log that a file was not taken."""
        if self.principal is not None:
            self.services.uploads.note_refusal(self.principal, error)

    def flush_account(self) -> None:
        super().flush_account()
        self._announced_bytes = None

    async def ftp_STOR(self, path: str) -> None:
        expected_bytes, self._announced_bytes = self._announced_bytes, None
        if self.restart_position:
            self.restart_position = 0
            self.respond(_FROM_THE_BEGINNING)
            return
        if not self.ready_for_data():
            return
        box = self.box
        try:
            upload = await in_worker(lambda: box.store(path, expected_bytes, self.peer_is_gone))
        except RecpipeError as error:
            self.note_refusal(error)
            raise
        self.begin_transfer(upload, "STOR")

    async def ftp_APPE(self, path: str) -> None:
        if self.box.account.has_received(path):
            raise ReceivedAlready
        if self.box.account.find(path) is not None:
            self.respond(_FROM_THE_BEGINNING)
            return
        await self.ftp_STOR(path)

    def ftp_STOU(self, _line: str) -> None:
        self.respond("502 Names are yours to give: send the file with STOR.")

    async def ftp_ALLO(self, line: str) -> None:
        size = line.split(" ")[0]
        if not (size.isascii() and size.isdigit()):
            self.respond("501 ALLO needs a number of bytes.")
            return
        size_bytes = int(size[:20])
        self._announced_bytes = None
        await in_worker(lambda: self.box.require_room(size_bytes))
        self._announced_bytes = size_bytes or None
        self.respond("200 There is room.")

    async def ftp_RNFR(self, path: str) -> None:
        self.rename_from = None
        self.box.require_own(path)
        self.rename_from = path
        self.respond("350 Send RNTO with the new name.")

    async def ftp_RNTO(self, path: str) -> None:
        source, self.rename_from = self.rename_from, None
        if source is None:
            self.respond("503 Send RNFR first.")
            return
        box = self.box
        try:
            await in_worker(lambda: box.rename(source, path))
        except RecpipeError as error:
            self.note_refusal(error)
            raise
        self.respond("250 Renamed.")

    async def ftp_DELE(self, path: str) -> None:
        box = self.box
        await in_worker(lambda: box.delete(path))
        self.respond("250 Deleted.")

    async def ftp_MKD(self, path: str) -> None:
        self.box.make_folder(path)
        quoted = path.replace('"', '""')
        self.respond(f'257 "{quoted}" is ready: it appears with the first file in it.')

    async def ftp_XMKD(self, path: str) -> None:
        await self.ftp_MKD(path)

    async def ftp_XRMD(self, path: str) -> None:
        await self.ftp_RMD(path)

    async def ftp_RMD(self, path: str) -> None:
        self.box.remove_folder(path)
        self.respond("250 There is no such folder any more.")

    async def ftp_MFMT(self, path: str, timeval: str) -> None:
        """Source: draft-somers-ftp-mfxx-04 section 3: the reply says what the time is now."""
        try:
            at = datetime.strptime(timeval.partition(".")[0], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        except ValueError:
            self.respond("501 The time has to be YYYYMMDDHHMMSS.")
            return
        # What was received keeps its time: the pipeline may have it in work.
        self.box.account.state_time(path, at)
        entry = self.box.stat(path)
        self.respond(f"213 Modify={listing.timestamp(entry.modified_at)}; {one_line(path)}")

    async def ftp_SITE_CHMOD(self, path: str, mode: str) -> None:
        self.box.stat(path)
        self.respond("202 Permissions are the server's own here; nothing was changed.")
