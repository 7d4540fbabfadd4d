"""Seal: a stream in, a CMS EnvelopedData out, whose exact length is known before its first byte.

Format, byte for byte what `openssl smime -encrypt -aes256 -outform DER` writes: definite-length DER, version 0, one
KeyTransRecipientInfo a certificate with its issuer and serial number copied unchanged, RSAES-PKCS1-v1_5, AES-256-CBC
in one primitive string. CBC carries no integrity of its own: keep the SHA-256 sums.

Source: RFC 5652 section 6 (EnvelopedData), RFC 8017 section 7.2 (RSAES-PKCS1-v1_5), RFC 3565 (AES in CMS).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from keys import certificate, profile, tlv
from keys.errors import MessageTooLarge, SourceSizeMismatch
from keys.hashing import BUFFERS, CHUNK_BYTES, OVERLAP_FROM_BYTES, Hashing

_BLOCK = profile.BLOCK_BYTES
_SLACK = _BLOCK - 1  # update_into wants this much room behind what it writes


class Readable(Protocol):
    """What is sealed: `readinto` fills (part of) the buffer and returns how much, 0 at the end."""

    def readinto(self, buffer: memoryview, /) -> int | None: ...


class _Recipient:
    """Everything of a KeyTransRecipientInfo that does not change from file to file."""

    def __init__(self, der: bytes) -> None:
        parts = certificate.recipient(der)
        self.fingerprint = parts.fingerprint
        self._key = RSAPublicNumbers(parts.exponent, parts.modulus).public_key()
        self._padding = PKCS1v15()
        key_bytes = (parts.modulus.bit_length() + 7) // 8
        fixed = (
            tlv.element(tlv.INTEGER, b"\0")
            + tlv.element(tlv.SEQUENCE, parts.issuer_der + parts.serial_der)
            + tlv.element(tlv.SEQUENCE, tlv.oid(profile.RSA_ENCRYPTION) + tlv.element(tlv.NULL, b""))
            + bytes((tlv.OCTET_STRING,))
            + tlv.length(key_bytes)
        )
        self._head = bytes((tlv.SEQUENCE,)) + tlv.length(len(fixed) + key_bytes) + fixed
        self.size_bytes = len(self._head) + key_bytes

    def info(self, content_key: bytes) -> bytes:
        return self._head + self._key.encrypt(content_key, self._padding)


class Sealer:
    """Seals for one set of certificates; cheap to keep and safe to share between threads.

    Args:
        certificates: DER, at least one, vetted before (`keys.certificate.vet`). The same one twice counts once.

    Raises:
        ValueError: no certificate was given.
        CertificateRejected: one of them is not an RSA certificate.
    """

    def __init__(self, certificates: Sequence[bytes]) -> None:
        if not certificates:
            raise ValueError("An envelope needs at least one certificate to be sealed for.")
        self._recipients = tuple(_Recipient(der) for der in dict.fromkeys(bytes(der) for der in certificates))
        self.fingerprints = tuple(recipient.fingerprint for recipient in self._recipients)
        infos_bytes = sum(recipient.size_bytes for recipient in self._recipients)
        self._infos_head = tlv.element(tlv.INTEGER, b"\0") + bytes((tlv.SET,)) + tlv.length(infos_bytes)
        self._infos_bytes = infos_bytes
        self._content_type = tlv.oid(profile.DATA)
        self._algorithm_head = (
            bytes((tlv.SEQUENCE,))
            + tlv.length(len(tlv.oid(profile.AES256_CBC)) + 2 + _BLOCK)
            + tlv.oid(profile.AES256_CBC)
            + bytes((tlv.OCTET_STRING, _BLOCK))
        )
        self._enveloped_data = tlv.oid(profile.ENVELOPED_DATA)

    def begin(self, size_bytes: int) -> Sealing:
        """Draw a content key and an IV for one file, and lay out its envelope.

        Args:
            size_bytes: exact length of the content.

        Raises:
            MessageTooLarge: the tenants' openssl could not open it; nothing was written.
        """
        if size_bytes < 0:
            raise ValueError("A size cannot be negative.")
        if size_bytes > profile.LARGEST_SMIME_CONTENT_BYTES:
            raise MessageTooLarge(size_bytes, profile.LARGEST_SMIME_CONTENT_BYTES)
        content_key, iv = os.urandom(profile.CONTENT_KEY_BYTES), os.urandom(_BLOCK)
        content_bytes = size_bytes - size_bytes % _BLOCK + _BLOCK
        return Sealing(self._header(content_key, iv, content_bytes), content_key, iv, size_bytes, self.fingerprints)

    def _header(self, content_key: bytes, iv: bytes, content_bytes: int) -> bytes:
        # SET OF is sorted in DER (X.690 section 11.6).
        infos = sorted(recipient.info(content_key) for recipient in self._recipients)
        content_head = bytes((tlv.CONTEXT_0_PRIMITIVE,)) + tlv.length(content_bytes)
        described = self._content_type + self._algorithm_head + iv + content_head
        size = len(described) + content_bytes
        encrypted = bytes((tlv.SEQUENCE,)) + tlv.length(size) + described
        size += len(encrypted) - len(described) + len(self._infos_head) + self._infos_bytes
        enveloped = bytes((tlv.SEQUENCE,)) + tlv.length(size)
        size += len(enveloped)
        explicit = bytes((tlv.CONTEXT_0,)) + tlv.length(size)
        size += len(explicit) + len(self._enveloped_data)
        outer = bytes((tlv.SEQUENCE,)) + tlv.length(size)
        return b"".join((outer, self._enveloped_data, explicit, enveloped, self._infos_head, *infos, encrypted))


class Sealing:
    """One file's envelope, before its bytes: open it again for a retry and get the same bytes.

    Attributes:
        size_bytes: exact length of the whole envelope.
        content_offset, content_bytes: where the ciphertext lies in it.
        iv: the AES-CBC initialisation vector, not secret.
        fingerprints: SHA-256 of each certificate it is sealed for, lower hex, in the order given.
    """

    __slots__ = (
        "__header",
        "__key",
        "content_bytes",
        "content_offset",
        "fingerprints",
        "iv",
        "plain_bytes",
        "size_bytes",
    )

    def __init__(
        self, header: bytes, content_key: bytes, iv: bytes, plain_bytes: int, fingerprints: tuple[str, ...]
    ) -> None:
        self.__header = header
        self.__key = content_key
        self.iv = iv
        self.plain_bytes = plain_bytes
        self.fingerprints = fingerprints
        self.content_offset = len(header)
        self.content_bytes = plain_bytes - plain_bytes % _BLOCK + _BLOCK
        self.size_bytes = self.content_offset + self.content_bytes

    def __repr__(self) -> str:
        return f"Sealing(size_bytes={self.size_bytes}, recipients={len(self.fingerprints)})"

    def __reduce__(self) -> str:
        raise TypeError("A Sealing holds a content key and is not pickled.")

    def open(self, source: Readable, *, hashes: bool = True) -> SealingReader:
        """Start reading the envelope of `source`, which stands at its first byte.

        Args:
            source: yields exactly the promised bytes.
            hashes: compute both SHA-256 sums on the way.
        """
        cipher = Cipher(AES(self.__key), CBC(self.iv))
        return SealingReader(self.__header, cipher, source, self.plain_bytes, hashes)


class SealingReader:
    """The bytes of one envelope. Not for several threads at once.

    Attributes:
        plain_sha256, sealed_sha256: lower hex, available once the end was read (`""` when hashes are off).
    """

    def __init__(self, header: bytes, cipher: Cipher[CBC], source: Readable, plain_bytes: int, hashes: bool) -> None:
        self._encryptor = cipher.encryptor()
        self._source = source
        self._promised = plain_bytes
        self._left = plain_bytes
        self._ready = memoryview(header)
        self._stash: memoryview | None = None
        self._plain: memoryview | None = BUFFERS.take()
        self._ended = False
        self._failure: SourceSizeMismatch | None = None
        self._hashing = Hashing(overlap=plain_bytes >= OVERLAP_FROM_BYTES) if hashes else None
        if self._hashing:
            self._hashing.sealed.update(header)
        self._sums: tuple[str, str] | None = None

    @property
    def plain_sha256(self) -> str:
        return self._finished_sums()[0]

    @property
    def sealed_sha256(self) -> str:
        return self._finished_sums()[1]

    def _finished_sums(self) -> tuple[str, str]:
        if self._sums is None:
            raise RuntimeError("The checksums are known when the envelope has been read to its end.")
        return self._sums

    def readinto(self, buffer: memoryview | bytearray) -> int:
        """Fill the buffer as far as whole cipher blocks go; 0 means the end.

        Raises:
            SourceSizeMismatch: the source is shorter or longer than promised. What was read so far is useless.
            ValueError: it was closed before its end.
        """
        if self._failure is not None:
            raise SourceSizeMismatch(self._failure.promised_bytes, self._failure.found_bytes)
        if self._plain is None and self._sums is None:
            raise ValueError("This envelope was closed before its end.")
        view = memoryview(buffer).cast("B")
        filled = 0
        while filled < len(view):
            room = len(view) - filled
            if self._ready:
                taken = min(room, len(self._ready))
                view[filled : filled + taken] = self._ready[:taken]
                self._ready = self._ready[taken:]
                filled += taken
            elif self._ended:
                break
            elif room >= _BLOCK + _SLACK:
                filled += self._produce(view[filled:], (room - _SLACK) // _BLOCK * _BLOCK)
            elif filled:
                break
            else:
                if self._stash is None:
                    self._stash = memoryview(bytearray(4096 + _SLACK))
                self._ready = self._stash[: self._produce(self._stash, 4096)]
        return filled

    def read(self, size: int = -1) -> bytes:
        """Exactly `size` bytes, fewer only at the end; all that is left when it is negative."""
        if size < 0:
            parts = []
            while part := self.read(CHUNK_BYTES):
                parts.append(part)
            return b"".join(parts)
        result = bytearray(size)
        view = memoryview(result)
        filled = 0
        while filled < size and (taken := self.readinto(view[filled:])):
            filled += taken
        return bytes(view[:filled])

    def close(self) -> None:
        """Give the buffers back; needed only when the end is not read."""
        if self._hashing is not None:
            self._hashing.close()
        if self._plain is not None:
            BUFFERS.give(self._plain)
            self._plain = None
        self._ended = True

    def __enter__(self) -> SealingReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _produce(self, out: memoryview, most: int) -> int:
        """Encrypt the next piece, at most `most` bytes (a multiple of the block), to the start of `out`."""
        plain = self._plain
        assert plain is not None
        final = self._left - self._left % _BLOCK + _BLOCK
        last = final <= min(most, CHUNK_BYTES)
        wanted = self._left if last else min(most, CHUNK_BYTES, self._left - self._left % _BLOCK)
        self._fill(plain[:wanted])
        whole = wanted
        if last:
            self._expect_end()
            padding = final - wanted
            plain[wanted:final] = bytes((padding,)) * padding
            whole = final
        self._encryptor.update_into(plain[:whole], out)
        self._left -= wanted
        if self._hashing is not None:
            self._plain = self._hashing.piece(plain, wanted, out[:whole])
        if last:
            if self._hashing is not None:
                self._hashing.wait()
                self._sums = self._hashing.plain.hexdigest(), self._hashing.sealed.hexdigest()
            else:
                self._sums = "", ""
            self.close()
        return whole

    def _fill(self, view: memoryview) -> None:
        filled = 0
        while filled < len(view):
            taken = self._source.readinto(view[filled:])
            if not taken:
                self._fail(self._promised - self._left + filled)
            else:
                filled += taken

    def _expect_end(self) -> None:
        if self._source.readinto(memoryview(bytearray(1))):
            self._fail(self._promised + 1)

    def _fail(self, found_bytes: int) -> None:
        self._failure = SourceSizeMismatch(self._promised, found_bytes)
        self.close()
        raise self._failure


@dataclass(frozen=True, slots=True)
class Sealed:
    """What `seal_file` wrote."""

    size_bytes: int
    plain_sha256: str
    sealed_sha256: str
    fingerprints: tuple[str, ...]


def seal_file(source_path: Path, out_path: Path, certificates: Sequence[bytes]) -> Sealed:
    """Seal one file into another: a temporary file (0600) beside it, renamed when complete, removed on any error.

    Args:
        certificates: DER of every recipient.

    Raises:
        MessageTooLarge, SourceSizeMismatch, OSError: nothing is left under `out_path` that was not there before.
    """
    sealer = Sealer(certificates)
    with source_path.open("rb", buffering=0) as source:
        sealing = sealer.begin(os.fstat(source.fileno()).st_size)
        handle, name = tempfile.mkstemp(prefix=".recpipe-", suffix=".partial", dir=out_path.parent)
        try:
            with os.fdopen(handle, "wb", buffering=0) as out, sealing.open(source) as reader:
                buffer = memoryview(bytearray(2 * CHUNK_BYTES))
                while taken := reader.readinto(buffer):
                    rest = buffer[:taken]
                    while rest:
                        rest = rest[out.write(rest) :]
                os.fsync(out.fileno())
            Path(name).replace(out_path)
        except BaseException:
            with suppress(OSError):
                Path(name).unlink()
            raise
    return Sealed(sealing.size_bytes, reader.plain_sha256, reader.sealed_sha256, sealing.fingerprints)
