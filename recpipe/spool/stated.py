"""What a person says of the call of a quarantined file, for the pipeline to read beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from recpipe import durable
from recpipe.spool import sidecar
from recpipe.spool.files import only_sidecars_of


def describe(recording: Path, stated: Mapping[str, str], timezone: str) -> None:
    """Have one sidecar of a recording, the most specific there can be, in place of its own; what those said that can be
    understood stays, where nothing else is stated.

    Args:
        recording: in a folder of ours alone.

    Raises:
        Unfit, InputInvalid: what is stated cannot be understood; nothing was changed.
    """
    before = only_sidecars_of(recording)
    read = [one.read_bytes() for one in before if one.stat().st_size <= sidecar.LIMIT_BYTES]
    made = recording.with_name(f"{recording.name}.json")
    durable.replace(made, sidecar.corrected(read, stated, timezone))
    for one in before:
        if one != made:
            one.unlink(missing_ok=True)
