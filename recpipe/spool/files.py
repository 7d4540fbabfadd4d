"""File names in a spool: which are recordings, how they are kept as text, what belongs to them.

What is no recording is never touched, and nothing is hidden: a symbolic link, a forgotten temporary file and what is no
recording by its name are listed as ignored; a file whose name says nothing is told by its content.
"""

from __future__ import annotations

import os
import re
import stat
from enum import StrEnum
from pathlib import Path, PurePosixPath

from recpipe.errors import SpoolRefused, Unfit
from recpipe.model import AUDIO_ENDINGS

CONTROL_FOLDER = ".recpipe"  # ours, in the root of each spool: lock, id, quarantine, incoming
RECORDING_SUFFIXES = AUDIO_ENDINGS
# Two of these beside each other may share a sidecar; of rarer ones nobody looks for a sister.
_SISTER_SUFFIXES = (".wav", ".wave", ".wav49", ".mp3", ".gsm", ".ogg", ".opus", ".webm", ".flac")
SIDECAR_SUFFIXES = frozenset({".json", ".xml", ".csv"})
# Nobody would look for a call behind these endings; of all others the content is looked at.
_NO_RECORDINGS = frozenset(
    (".txt", ".log", ".err", ".md", ".htm", ".html", ".m3u", ".m3u8", ".pls", ".cue", ".db", ".ini", ".url", ".lnk",
     ".jpg", ".jpeg", ".png", ".gif", ".bmp", ".svg", ".webp", ".tif", ".tiff", ".pdf", ".doc", ".docx", ".xls",
     ".xlsx", ".ods", ".odt", ".sh", ".py", ".pl", ".php", ".lua", ".conf", ".cfg", ".yml", ".yaml", ".toml",
     ".sqlite", ".sqlite3", ".sql", ".pid", ".md5", ".sha1", ".sha256", ".sig", ".asc", ".css", ".js",
     ".tsv", ".vtt", ".srt", ".lrc", ".peaks")
)  # fmt: skip
_EMPTY_ENDINGS = frozenset((".raw", ".dat", ".bin", ".audio", ".rec", ".sound"))
_NO_RECORDINGS_MAGIC = (
    b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"%PDF", b"SQLite format 3", b"\x7fELF", b"MZ", b"\xd0\xcf\x11\xe0", b"II*\0",
)  # fmt: skip
_CONTROLS = frozenset(range(0x20)) - frozenset(b"\t\n\f\r\x1b")
TEMPORARY_SUFFIXES = frozenset(
    (".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload", ".swp", ".download", ".incomplete",
     ".inprogress", ".lock", ".uploading", ".writing")
)  # fmt: skip
# Legs that a PBX joins into the recording and then removes: MikoPBX, and Asterisk's Monitor().
_LEGS = {"mikopbx": re.compile(r"_(in|out)$"), "freepbx": re.compile(r"-(in|out)$")}

# Folders that storage puts into every share: what was deleted there, former states, thumbnails. Synology and QNAP
# (#recycle, @Recycle, #snapshot, @Recently-Snapshot, @eaDir, @__thumb, @sharebin), NetApp (~snapshot), Windows
# ($RECYCLE.BIN, and @GMT-... for former versions), ext4 (lost+found), ReadyNAS and macOS. Those that begin with a
# dot (.snapshot, .zfs, .Trash-1000, .recycle, .glusterfs) are hidden as every such name is.
_STORAGE_FOLDER = re.compile(
    r"[#@$~]+_*(recycle|recently|snap|trash|eadir|thumb|tmp|share|syno|gmt-[0-9]).*"
    r"|lost\+found|found\.[0-9]{3}|system volume information|recycle[rd]|recycle bin"
    r"|network trash folder|temporary items",
    re.IGNORECASE,
)

_ESCAPED = re.compile(r"\\(?:(\\)|x([0-9a-f]{2})|u([0-9a-f]{4}))")
# Control characters break logs and terminals; direction marks make a name look like another one.
_UNSAFE = re.compile("[\\\\\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069\ud800-\udfff]")


class Kind(StrEnum):
    """What a name says a file is."""

    RECORDING = "recording"
    SIDECAR = "sidecar"
    TEMPORARY = "temporary"  # still being written under a name that its writer will change
    HIDDEN = "hidden"
    UNKNOWN = "unknown"  # its name does not say: its content has to
    OTHER = "other"  # no recording, and nobody would think so


def kind_of(name: str) -> Kind:
    """Tell recordings from everything else by the file name alone (no folders)."""
    if name.startswith("."):
        return Kind.HIDDEN
    if name.endswith("~"):
        return Kind.TEMPORARY
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 - Path() for each of 50,000 names costs more than stat
    if suffix in RECORDING_SUFFIXES:
        return Kind.RECORDING
    if suffix in SIDECAR_SUFFIXES:
        return Kind.SIDECAR
    if suffix in TEMPORARY_SUFFIXES:
        return Kind.TEMPORARY
    return Kind.OTHER if suffix in _NO_RECORDINGS else Kind.UNKNOWN


def may_be_recording(name: str) -> bool:
    """Whether a file of this name is looked at: it is a recording, or its name does not say."""
    return kind_of(name) in (Kind.RECORDING, Kind.UNKNOWN)


def format_stem(relative: str) -> str:
    """The path that all formats of one call share, without its ending; "" where the ending is no audio format's."""
    stem, suffix = os.path.splitext(relative)  # noqa: PTH122 - as above
    return stem if suffix.lower() in RECORDING_SUFFIXES else ""


def first_folder(relative: str) -> str:
    """The folder at the top that a path leads through; "" where it leads through none."""
    return relative.partition("/")[0] if "/" in relative else ""


def recording_name(relative: str) -> str:
    """A path as the grammars of names want it: one whose ending does not say what it is ends in `.wav`."""
    if kind_of(relative.rpartition("/")[2]) is not Kind.UNKNOWN:
        return relative
    stem, suffix = os.path.splitext(relative)  # noqa: PTH122 - as above
    return f"{stem if suffix.lower() in _EMPTY_ENDINGS else relative}.wav"


def has_text_or_picture(beginning: bytes) -> bool:
    """Whether these first bytes are no recording's: nothing, text, a picture, a document, a program, a database.

    Samples hold control characters, or hardly any letters; archives may hold recordings.
    """
    if beginning.startswith(_NO_RECORDINGS_MAGIC) or not beginning.strip(b"\0"):
        return True
    if beginning.startswith((b"\xff\xfe", b"\xfe\xff")):
        return beginning.decode("utf-16", "replace").replace("\ufffd", "")[:100].isprintable()
    letters = sum(0x20 <= byte < 0x7F or byte in b"\t\n\f\r\x1b" for byte in beginning)
    return not any(byte in _CONTROLS for byte in beginning) and 2 * letters > len(beginning)


def is_wave(name: str) -> bool:
    """Whether the ending is one of WAV's: what recorders write, and converters read."""
    return os.path.splitext(name)[1].lower().startswith(".wav")  # noqa: PTH122 - as above


def is_leg(name: str, layout: str) -> bool:
    """Whether a PBX is going to join this file into a recording, and to remove it."""
    legs = _LEGS.get(layout)
    return legs is not None and legs.search(os.path.splitext(name)[0]) is not None  # noqa: PTH122 - as above


def is_foreign_folder(name: str) -> bool:
    """Whether a folder of this name is the storage's or hidden, and so nobody's recordings."""
    return name.startswith(".") or _STORAGE_FOLDER.fullmatch(name) is not None


def safe_text(name: str) -> str:
    r"""Turn a file name as `os.fsdecode` gives it into text that any database, log and terminal can hold.

    Bytes that are not UTF-8 become `\xNN`, control and direction characters `\xNN` or `\uNNNN`, and a backslash
    is doubled; every other name stays as it is. `from_safe_text` is the exact inverse.
    """
    return _UNSAFE.sub(_escape, name)


def from_safe_text(text: str) -> str:
    """The file name that `safe_text` was given."""
    return _ESCAPED.sub(_unescape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code == 0x5C:
        return "\\\\"
    if 0xDC80 <= code <= 0xDCFF:  # surrogateescape: one raw byte
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}"


def _unescape(match: re.Match[str]) -> str:
    if match[1]:
        return "\\"
    if match[2]:
        code = int(match[2], 16)
        return chr(code if code < 0x80 else 0xDC00 + code)
    return chr(int(match[3], 16))


def plain(text: str, limit: int = 255) -> str:
    """Text of a call fact: valid Unicode in one line, at most `limit` characters. Does not round-trip."""
    if text.isascii() and text.isprintable():  # as nearly all are
        return text[: 4 * limit].strip()[:limit]
    cleaned = "".join(
        " " if c.isspace() else "\ufffd" if _UNSAFE.match(c) and c != "\\" else c for c in text[: 4 * limit]
    )
    return cleaned.strip()[:limit]


def sidecars_of(recording: Path) -> list[Path]:
    """JSON files beside a recording that describe it alone; those that exist, most specific first.

    `NAME.wav.json`, `NAME_metadata.json` and `NAME.json` for `NAME.wav`. One that another recording shares
    (`NAME.mp3` beside it) still counts here; `only_sidecars_of` leaves it out.
    """
    stem = recording.stem
    names = dict.fromkeys((f"{recording.name}.json", f"{stem}_metadata.json", f"{stem}.json"))
    folder = str(recording.parent)
    return [recording.with_name(name) for name in names if is_plain_file(f"{folder}/{name}")]


def only_sidecars_of(recording: Path) -> list[Path]:
    """The sidecars that may move or vanish together with this recording."""
    own = sidecars_of(recording)
    if not own:
        return []
    for suffix in _SISTER_SUFFIXES:
        for variant in (suffix, suffix.upper()):
            other = recording.with_name(recording.stem + variant)
            if other.name != recording.name and is_plain_file(other):
                return [path for path in own if path.name == f"{recording.name}.json"]
    return own


def is_plain_file(path: Path | str) -> bool:
    """Whether a regular file is there; a link to one is not."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except (OSError, ValueError):
        return False


def read_small(path: Path, limit_bytes: int) -> bytes:
    """Read a small regular file whole, through no link and without waiting on a pipe.

    Raises:
        OSError: it is not there, is a link, or cannot be read.
        Unfit: `sidecar-invalid`, it is larger than `limit_bytes` or no regular file.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as stream:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise Unfit("sidecar-invalid", f"{safe_text(path.name)} is not a regular file. Replace it with one.")
        data = stream.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise Unfit(
            "sidecar-invalid",
            f"{safe_text(path.name)} is larger than {limit_bytes:,} bytes, which no description of a call needs. "
            "Remove or shorten it, then retry.",
        )
    return data


def check_relative(relative: str) -> PurePosixPath:
    """Vet a path below a spool that came from outside, such as an upload or the quarantine list.

    Raises:
        ValueError: absolute, empty, with `.`, `..`, hidden or empty parts, NUL, a folder of the storage, or too long
            for a file system.
    """
    parts = relative.split("/")
    if "\0" in relative or len(os.fsencode(relative)) > 4000:
        raise ValueError("it holds a NUL or is too long")
    for part in parts:
        if not part or part.startswith("."):
            raise ValueError("it must be a plain path below the spool, without empty, hidden, . or .. parts")
        if is_foreign_folder(part):
            raise ValueError("recycle bins, snapshots and other folders of the storage are left alone")
        if len(os.fsencode(part)) > 255:
            raise ValueError("a part of it is longer than 255 bytes")
    return PurePosixPath(*parts)


def checked_relative(relative: str) -> str:
    """A path below the spool that came from outside.

    Raises:
        SpoolRefused: it is none, or leads into hidden folders, the control folder among them.
    """
    try:
        return str(check_relative(relative))
    except ValueError as error:
        raise SpoolRefused(f"{safe_text(relative)[:200]} is no name for a spool file: {error}.") from None
