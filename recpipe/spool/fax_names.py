"""Faxes as PBXs keep them; what no name says is left to a sidecar, a call detail record, or the file's time.

DOMAIN/EXTENSION/inbox/NUMBER-YYYY-mm-dd-HH-MM-SS.tif    FusionPBX; what it sent is in `sent`, half-made in `temp`
UNIQUEID.tif, UUID.tif                                   named after the call: FreePBX, Asterisk, FreeSWITCH

Source: FusionPBX, app/fax (fax.php, resources/dialplans); FreePBX/fax, functions.inc.php.
"""

from __future__ import annotations

import contextlib
import re
from datetime import UTC, datetime
from pathlib import Path

from recpipe.errors import NotARecording
from recpipe.model import FAX_ENDINGS, CallFacts, Direction, RecordingKind
from recpipe.spool.files import Kind, is_plain_file, kind_of, plain, safe_text
from recpipe.spool.grammar import looks_like_extension, number_in_name
from recpipe.times import local_time, to_utc

_ENDING = f"(?i:{'|'.join(map(re.escape, sorted(FAX_ENDINGS, reverse=True)))})"
_ASTERISK = re.compile(rf"((?:[A-Za-z0-9_.-]+-)?([0-9]{{9,10}})\.[0-9]{{1,10}}){_ENDING}")
_UUID = re.compile(rf"([0-9a-fA-F]{{8}}(?:-[0-9a-fA-F]{{4}}){{3}}-[0-9a-fA-F]{{12}}){_ENDING}")
_DATED = re.compile(rf"(.+?)[-_]([0-9]{{4}}(?:-[0-9]{{2}}){{5}}){_ENDING}")


def kind(name: str) -> Kind:
    """What a file of this name is among faxes."""
    known = kind_of(name)
    if known in (Kind.HIDDEN, Kind.SIDECAR, Kind.TEMPORARY):
        return known
    return Kind.RECORDING if Path(name).suffix.lower() in FAX_ENDINGS else Kind.OTHER


def parse(relative: str, timezone: str) -> CallFacts:
    """See `naming.parse`.

    Raises:
        NotARecording: FusionPBX is still at work on it.
    """
    *folders, name = relative.split("/")
    box = folders[-1] if folders else ""
    if box == "temp":
        raise NotARecording(safe_text(relative))
    direction = {"inbox": Direction.INBOUND, "sent": Direction.OUTBOUND}.get(box, Direction.UNKNOWN)
    ours = plain(folders[-2]) if direction is not Direction.UNKNOWN and len(folders) > 1 else ""
    started_at, local, call_id, theirs = None, False, "", ""
    if (match := _ASTERISK.fullmatch(name)) is not None:
        call_id, started_at = plain(match[1]), datetime.fromtimestamp(int(match[2]), UTC)
    elif (match := _UUID.fullmatch(name)) is not None:
        call_id = match[1].lower()
    elif (match := _DATED.fullmatch(name)) is not None:
        theirs = number_in_name(match[1])
        with contextlib.suppress(ValueError):
            started_at, local = to_utc(local_time(match[2].replace("-", "")), timezone), True
    sent = direction is Direction.OUTBOUND
    return CallFacts(
        started_at=started_at,
        start_is_local=local,
        timezone=timezone,
        kind=RecordingKind.FAX,
        direction=direction,
        caller=ours if sent else theirs,
        callee=theirs if sent else ours,
        extension=ours if looks_like_extension(ours) else "",
        call_id=call_id,
        tenant_hint=plain(folders[-3]) if ours and len(folders) > 2 else "",
    )


def has_better_format(fax: Path) -> bool:
    """Whether the TIFF that a PDF was made of is beside it."""
    return fax.suffix.lower() == ".pdf" and any(is_plain_file(fax.with_suffix(one)) for one in (".tif", ".tiff"))
