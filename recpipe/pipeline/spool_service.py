"""One spool that is served: owned and watched, or away and tried again until it is there."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from recpipe import log, metrics
from recpipe.errors import RecpipeError, SpoolLocked, SpoolRefused
from recpipe.pipeline.quarantine import QuarantineList
from recpipe.pipeline.stages import ServedSpool
from recpipe.settings import Spool
from recpipe.spool.describe import Describer
from recpipe.spool.folder import SpoolFolder
from recpipe.spool.mount import SpoolMount, mount_of
from recpipe.spool.watch import Watcher
from recpipe.times import Clock

_log = log.get(__name__)

_FORGET_SECONDS = 3600.0
_GONE = "the PBX or a person deleted them; serve the spool without a break, with a shorter rescan_seconds, to be sooner"


@dataclass(slots=True)
class Served:
    """A spool with what belongs to it.

    Attributes:
        problem: why it is not served, and what to do; "" where it is.
        owner: the process that serves it instead, in words; "" where none does.
        gone_untaken: files that the PBX removed before they were stored, where stored files stay.
    """

    line: ServedSpool
    watcher: Watcher
    place: SpoolMount
    problem: str = ""
    owner: str = ""
    gone_untaken: int = 0
    _forgot_at: float = field(default_factory=time.monotonic, init=False)
    _is_open: bool = field(default=False, init=False)
    _mount: Path = field(default=Path("/"), init=False)

    @classmethod
    def of(cls, spool: Spool, data_dir: Path, state: Path | None, clock: Clock, *, keep_source: bool) -> Served:
        """Nothing is opened yet.

        Args:
            state: holds the control folder, in place of `.recpipe` in the spool.
        """
        folder = SpoolFolder(spool, state)
        place = SpoolMount(folder.root, folder.control / "id", data_dir / "spools")
        return cls(
            ServedSpool(spool, folder, Describer(spool, clock, folder.control), keep_source or spool.keeps),
            Watcher(spool, state),
            place,
        )

    @property
    def label(self) -> str:
        return self.line.spool.label

    @property
    def is_open(self) -> bool:
        """Whether it is ours."""
        return self._is_open

    def open(self, waiting: QuarantineList) -> None:
        """Own it, and bring the list of waiting files in step with it.

        Raises:
            SpoolLocked: another process serves it.
            SpoolRefused: it is not mounted, or cannot be used.
            CatalogueUnavailable: the list cannot be read.
        """
        self.place.check()
        folder = self.line.folder
        folder.lock()
        try:
            waiting.reconcile(self.line)
        except RecpipeError:
            folder.unlock(in_order=not folder.crashed)
            raise
        self._mount = self.place.note()
        self._is_open = True

    def try_to_open(self, waiting: QuarantineList) -> bool:
        """As `open`, but what is in the way is logged once and kept as the `problem`."""
        try:
            self.open(waiting)
        except (RecpipeError, OSError) as error:
            message, self.owner = str(error), error.owner if isinstance(error, SpoolLocked) else ""
            if message != self.problem:
                self.problem = message
                _log.error("spool is not served", spool=self.label, why=message, effect="it is tried again")
            return False
        if self.problem:
            _log.info("spool is served again", spool=self.label)
            self.problem = ""
        return True

    def trouble(self) -> str:
        """What keeps it from being served now, and what to do; "" where nothing does."""
        if self.problem or not self.watcher.lost:
            return self.problem
        root = self.line.folder.root
        return f"The spool {root} is not there. Mount it; if the folder was made anew on purpose, restart recpipe."

    def look_at_copies(self) -> None:
        """Say which files the PBX removed before they were stored, and forget of the stored ones what is gone."""
        taken = self.line.folder.taken
        there, lost = self.watcher.left_there()
        gone = [one for one in lost if not taken.has(one)]
        if gone:
            self.gone_untaken += len(gone)
            metrics.GONE_UNTAKEN.labels(self.label).inc(len(gone))
            _log.warning("files gone before they were stored", spool=self.label, files=len(gone), advice=_GONE)
        if there is not None and time.monotonic() - self._forgot_at > _FORGET_SECONDS:
            self._forgot_at = time.monotonic()
            try:
                taken.keep_only(there)
            except OSError as error:
                _log.warning("removed files not forgotten", spool=self.label, why=error.strerror or "")

    def was_mounted_over(self) -> bool:
        """Whether a mount came over the folder that we own, so that it has to be opened anew."""
        if not self.watcher.lost:
            return False
        try:
            self.place.check()
            return mount_of(self.line.folder.root) != self._mount
        except (SpoolRefused, OSError):
            return False

    def renew(self) -> None:
        """Let go of the folder that was mounted over; what is in it stays there, and is not lost by that."""
        self.close(in_order=False)
        old = self.line
        self.line = ServedSpool(old.spool, SpoolFolder(old.spool, old.folder.control), old.describer, old.keep_source)
        self.watcher = Watcher(old.spool, old.folder.control)

    def close(self, *, in_order: bool) -> None:
        """Let another process have it."""
        self.line.folder.unlock(in_order=in_order)
        self._is_open = False
