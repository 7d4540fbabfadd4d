"""What goes to S3 and what comes back, in its own forms and ours; the types of boto3 end here and in `s3`."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from recpipe.addresses import is_loopback
from recpipe.model import ByteStream
from recpipe.store.s3_errors import translated

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

STREAM_BYTES = 256 * 1024
_HEX = re.compile("[0-9a-fA-F]{64}")
NOTE = "note"  # the name of an object's note among its metadata


class _Stream(io.RawIOBase):
    """The body of one GET, whose errors are store errors. Closing early drops the connection, not the pool."""

    def __init__(self, key: str, body: Any) -> None:  # a StreamingBody, whose readinto its stubs describe wrongly
        super().__init__()
        self._key = key
        self._body = body

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        with translated(self._key):
            return int(self._body.readinto(buffer))

    def close(self) -> None:
        if not self.closed:
            self._body.close()
        super().close()


def stream(key: str, body: Any) -> ByteStream:
    return io.BufferedReader(_Stream(key, body), STREAM_BYTES)


def kept_checksum(head: Mapping[str, Any]) -> str:
    """The SHA-256 of a HEAD answer in the store's form; "" where there is none, or only a request's headers again."""
    if "x-amz-content-sha256" in head["ResponseMetadata"]["HTTPHeaders"]:
        return ""  # a request header: this store (rclone is one) keeps whatever it is told and checks nothing
    return str(head.get("ChecksumSHA256", ""))


def utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)  # botocore's own zone class stays here


def as_body(buffer: bytearray) -> Any:
    """boto3 takes a bytearray as it is; its stubs do not know. `bytes` would be sent in pieces of 16 KiB instead."""
    return buffer


def wire(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def hexadecimal(checksum: str) -> str:
    """Hex of a whole object's SHA-256, in base64 or hex; "" for that of parts, and for what is no SHA-256."""
    text = checksum.strip().strip('"')
    if _HEX.fullmatch(text):
        return text.lower()
    try:
        digest = base64.b64decode(text, validate=True)
    except ValueError:
        return ""
    return digest.hex() if len(digest) == hashlib.sha256().digest_size else ""


def attachment(name: str) -> str:
    """Content-Disposition for any file name. Source: RFC 6266 section 5, RFC 8187 section 3.2."""
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\%;/' else "_" for c in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def is_here(endpoint: str) -> bool:
    """Whether an endpoint is on this machine."""
    host = urlsplit(endpoint).hostname or ""
    return host == "localhost" or is_loopback(host)


def note_in(answer: Mapping[str, Any]) -> bytes:
    """The note in the metadata of a HEAD answer; b"" where there is none, or somebody else's."""
    try:
        return base64.b64decode(answer.get("Metadata", {}).get(NOTE, ""), validate=True)
    except ValueError:
        return b""
