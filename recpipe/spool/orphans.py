"""Sidecars that a crash left in the spool when their recording had just been moved to quarantine."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from recpipe.errors import SourceChanged
from recpipe.spool import safe_move
from recpipe.spool.beneath import Beneath
from recpipe.spool.files import may_be_recording, only_sidecars_of


def sidecars(quarantine: Path, below: Beneath) -> Iterator[tuple[Path, list[Path], Path]]:
    """(where the recording was, its folder pinned; sidecars that are still there; where it is now).

    One that was written after the move is of another recording, which may be about to come under the same name.
    """
    for folder, _, names in os.walk(quarantine):
        for moved in (Path(folder, name) for name in names if may_be_recording(name)):
            relative = safe_move.before_variant(moved.relative_to(quarantine))
            with contextlib.suppress(OSError, SourceChanged), below.parent(str(relative)) as source:
                if os.path.lexists(source):
                    continue
                moved_ns, there = moved.lstat().st_ctime_ns, only_sidecars_of(moved)
                if late := [
                    one
                    for one in only_sidecars_of(source)
                    if one.lstat().st_mtime_ns <= moved_ns
                    and (
                        not there or any(safe_move.same_bytes(one, other) for other in there)
                    )  # linked, not yet removed
                ]:
                    yield source, late, moved
