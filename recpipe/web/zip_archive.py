"""A ZIP made on the way: stored entries (audio and ciphertext do not shrink), Zip64 where needed, nothing kept.

Source: PKWARE APPNOTE 6.3.10 (data descriptors in 4.3.9, Zip64 in 4.5.3).
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Generator, Iterable
from typing import Any

from recpipe.errors import ObjectMissing
from recpipe.model import ByteStream, DayEntry, Recording
from recpipe.recordings.reader import checksum_line, path_of
from recpipe.web.schemas import RecordingResponse

_PIECE_BYTES = 256 * 1024
# What a ZIP can say of time. Source: APPNOTE 4.4.6 (MS-DOS format).
_FIRST, _LAST = (1980, 1, 1, 0, 0, 0), (2107, 12, 31, 23, 59, 58)


class _Sink:
    """What zipfile writes to, and takes for a pipe: it can tell its place and not go back."""

    def __init__(self) -> None:
        self._written = bytearray()
        self._place = 0

    def write(self, data: Any) -> int:
        self._written += data
        self._place += len(data)
        return len(data)

    def tell(self) -> int:
        return self._place

    def flush(self) -> None:
        pass

    def take(self) -> bytes:
        taken = bytes(self._written)
        self._written.clear()
        return taken


def archive(
    recordings: Iterable[tuple[Recording, str]],
    open_one: Callable[[Recording], ByteStream],
    still: Callable[[], None],
    *,
    folders: bool,
) -> Generator[bytes, None, None]:
    """The pieces of a ZIP: the files as stored, then manifest.json and SHA256SUMS.

    A file that is missing or damaged is named as such in the manifest; the others are there all the same.

    Args:
        recordings: each with the short name of its tenant.
        folders: whether that name becomes a folder, as where there are several.
        still: called before each file; raises when the answer must end.
    """
    sink = _Sink()
    manifest: list[dict[str, Any]] = []
    sums: list[str] = []
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED, allowZip64=True) as out:  # type: ignore[call-overload]
        for recording, tenant in recordings:
            still()
            path = f"{tenant}/{path_of(recording)}" if folders else path_of(recording)
            row = json.loads(RecordingResponse.of(recording, tenant).model_dump_json()) | {
                "path": path,
                "problem": None,
            }
            manifest.append(row)
            try:
                stream = open_one(recording)
            except ObjectMissing:
                row["problem"] = "missing"
                continue
            entry = zipfile.ZipInfo(path, min(max(_FIRST, recording.started_at.timetuple()[:6]), _LAST))
            entry.file_size = recording.stored_bytes  # so that zipfile knows whether Zip64 is needed
            entry.external_attr = 0o600 << 16
            digest = hashlib.sha256()
            with stream, out.open(entry, "w") as target:
                while piece := stream.read(_PIECE_BYTES):
                    digest.update(piece)
                    target.write(piece)
                    yield sink.take()
            if digest.hexdigest() != recording.stored_sha256:
                row["problem"] = "damaged"
            day = DayEntry(recording.id, path, recording.stored_bytes, recording.stored_sha256, recording.started_at)
            sums.append(checksum_line(day))
        out.writestr("manifest.json", json.dumps({"recordings": manifest}, indent=2, ensure_ascii=True))
        out.writestr("SHA256SUMS", "".join(sums))
        yield sink.take()
    yield sink.take()
