"""Open and inspect envelopes on the tenant's side, in constant memory.

Accepts more than is ever written here: BER with indefinite lengths and constructed strings, AES-128/192/256-CBC and
3DES, RSA PKCS#1 v1.5 and OAEP, recipients named by issuer and serial or by key identifier.

CBC has no integrity: an envelope that opens may still have been tampered with. Compare the SHA-256 sum.

Source: RFC 5652 section 6 (EnvelopedData), RFC 3560 (RSA-OAEP in CMS).
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from keys import profile, tlv
from keys.ber import CHUNK_BYTES, BerStream, damaged
from keys.certificate import recipient as recipient_parts
from keys.errors import ContentDiffers, EnvelopeMalformed, NoRecipientMatches, OutputUnsafe
from keys.names import display_name, display_serial
from keys.pasted import Kind, classify
from keys.privatekey import PrivateKey, load_private_key

__all__ = [
    "EnvelopeInfo",
    "Opened",
    "PrivateKey",
    "Recipient",
    "inspect",
    "load_private_key",
    "open_envelope",
    "open_file",
]


@dataclass(frozen=True, slots=True)
class Recipient:
    """One RecipientInfo.

    Attributes:
        kind: `key-transport` (RSA); others, such as `key-agreement`, are listed but not opened.
        issuer, serial: as in `keys.certificate.Certificate`; empty when it is named by `key_identifier` (hex).
        algorithm: `RSA PKCS#1 v1.5`, `RSA-OAEP`, or the dotted identifier.
        encrypted_key_bytes: length of the wrapped content key: for RSA, of the modulus.
    """

    kind: str
    issuer: str
    serial: str
    key_identifier: str
    algorithm: str
    encrypted_key_bytes: int


@dataclass(frozen=True, slots=True)
class EnvelopeInfo:
    """What the header of an envelope says.

    Attributes:
        content_algorithm: such as `AES-256-CBC`, or the dotted identifier.
        content_offset: where the ciphertext begins (where its first piece begins, when it comes in pieces).
        content_bytes: its length; None when it comes in pieces and only reading all of them would tell.
    """

    recipients: tuple[Recipient, ...]
    content_algorithm: str
    iv: bytes
    content_offset: int
    content_bytes: int | None
    _names: tuple[bytes, ...] = field(repr=False)

    def matching(self, certificates: Iterable[bytes]) -> tuple[bytes, ...]:
        """Those of the certificates (DER) that a recipient names."""
        return tuple(der for der in certificates if not _names_of(der).isdisjoint(self._names))


@dataclass(frozen=True, slots=True)
class Opened:
    """What was opened. Compare `plain_sha256` with what the catalogue or SHA256SUMS says."""

    plain_sha256: str
    sealed_sha256: str
    size_bytes: int


def inspect(envelope: BinaryIO | Path) -> EnvelopeInfo:
    """Read the header of an envelope, no further.

    Raises:
        EnvelopeMalformed: it is not one, or is cut in its header.
        OSError: the path cannot be read.
    """
    if isinstance(envelope, Path):
        with envelope.open("rb") as source:
            return _Header(BerStream(_without_armour(source))).info
    return _Header(BerStream(_without_armour(envelope))).info


def open_envelope(
    source: BinaryIO, out: BinaryIO, private_key: PrivateKey, *, certificate: bytes | None = None
) -> Opened:
    """Decrypt an envelope, in constant memory. What was written before an error must be thrown away.

    Args:
        source: read once, to its end.
        certificate: DER; when given, only recipients that it names are tried, otherwise all.

    Raises:
        NoRecipientMatches: the key is none of the recipients'.
        EnvelopeMalformed: not an envelope, cut, damaged, or with something behind it.
    """
    stream = BerStream(_without_armour(source))
    header = _Header(stream)
    cipher = header.cipher
    if cipher is None:
        raise EnvelopeMalformed(
            f"The content is encrypted with {header.info.content_algorithm}, which is not supported here. "
            "Try: openssl cms -decrypt -binary -inform DER -in FILE -inkey KEY"
        )
    if len(header.info.iv) != cipher.block_bytes:
        raise damaged(stream.position)
    content_key = header.content_key(private_key, certificate)
    algorithm = TripleDES(content_key) if cipher.block_bytes == 8 else AES(content_key)
    decryptor = Cipher(algorithm, CBC(header.info.iv)).decryptor()
    block = cipher.block_bytes
    plain = hashlib.sha256()
    # The last block decrypted so far is kept at the front of the buffer: it may turn out to be the padding.
    buffer = memoryview(bytearray(block + CHUNK_BYTES + 2 * block))
    held = size_bytes = cipher_bytes = 0
    for chunk in stream.strings(header.content, tlv.CONTEXT_0_PRIMITIVE):
        cipher_bytes += len(chunk)
        filled = held + decryptor.update_into(chunk, buffer[held:])
        held = min(filled, block)
        ready = buffer[: filled - held]
        plain.update(ready)
        out.write(ready)
        size_bytes += len(ready)
        buffer[:held] = bytes(buffer[filled - held : filled])
    stream.leave()
    last = bytes(buffer[:held])
    padding = last[-1] if last else 0
    if cipher_bytes % block or not 1 <= padding <= block or last[-padding:] != bytes((padding,)) * padding:
        raise EnvelopeMalformed("The content does not end as it must: the file is damaged. Fetch it again.")
    rest = last[:-padding]
    plain.update(rest)
    out.write(rest)
    return Opened(plain.hexdigest(), stream.hash.hexdigest(), size_bytes + len(rest))


def open_file(
    path: Path,
    key_path: Path,
    out_path: Path,
    *,
    passphrase: bytes | str | None = None,
    certificate: bytes | None = None,
    expect_sha256: str | None = None,
) -> Opened:
    """Decrypt one file into another: a temporary file (0600) beside it, renamed when everything is right.

    Args:
        expect_sha256: hex sum of the content, where it is known. Without it, tampering can go unnoticed.

    Raises:
        ContentDiffers: the sum is another one.
        OutputUnsafe: `out_path` is the envelope or the key itself, or a folder.
        EnvelopeMalformed, NoRecipientMatches, PrivateKeyUnusable, OSError: as above.
        In all cases what was at `out_path` before is still there, and nothing else is.
    """
    _refuse_output(out_path, (path, key_path))
    private_key = load_private_key(key_path.read_bytes(), passphrase)
    with path.open("rb") as source:
        handle, name = tempfile.mkstemp(prefix=".recpipe-", suffix=".partial", dir=out_path.parent)
        try:
            with os.fdopen(handle, "wb") as out:
                opened = open_envelope(source, out, private_key, certificate=certificate)
            if expect_sha256 is not None and opened.plain_sha256 != expect_sha256.strip().lower():
                raise ContentDiffers(expect_sha256, opened.plain_sha256)
            Path(name).replace(out_path)
        except BaseException:
            with suppress(OSError):
                Path(name).unlink()
            raise
    return opened


def _refuse_output(out_path: Path, inputs: Sequence[Path]) -> None:
    if out_path.is_dir():
        raise OutputUnsafe(f"{out_path} is a folder. Name the file to write.")
    if out_path.exists() and any(out_path.samefile(taken) for taken in inputs if taken.exists()):
        raise OutputUnsafe(
            f"{out_path} is also what is read from; writing there would destroy it. Choose another name."
        )


# --- the header -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Transport:
    """A KeyTransRecipientInfo, as far as opening needs it."""

    name: bytes
    algorithm: str
    parameters: tlv.Node | None
    encrypted_key: bytes


class _Header:
    """Everything before the content; afterwards the stream stands at the content's first octet."""

    def __init__(self, stream: BerStream) -> None:
        try:
            self._read(stream)
        except (tlv.Malformed, IndexError):
            malformed = True
        else:
            malformed = False
        if malformed:
            raise damaged(stream.position)

    def _read(self, stream: BerStream) -> None:
        stream.enter(tlv.SEQUENCE)
        content_type = _oid(stream.node(stream.next()))
        if content_type == profile.AUTH_ENVELOPED_DATA:
            raise EnvelopeMalformed(
                "This is an AuthEnvelopedData (AES-GCM), which is not supported here. "
                "Try: openssl cms -decrypt -binary -inform DER -in FILE -inkey KEY"
            )
        if content_type != profile.ENVELOPED_DATA:
            raise EnvelopeMalformed(f"This CMS file is not encrypted for anybody (its type is {content_type}).")
        stream.enter(tlv.CONTEXT_0)
        stream.enter(tlv.SEQUENCE)
        if stream.node(stream.next()).tag != tlv.INTEGER:
            raise tlv.Malformed
        infos = stream.node(stream.next())
        if infos.tag == tlv.CONTEXT_0:  # originatorInfo
            infos = stream.node(stream.next())
        if infos.tag != tlv.SET:
            raise tlv.Malformed
        stream.enter(tlv.SEQUENCE)
        _oid(stream.node(stream.next()))
        algorithm = stream.node(stream.next())
        content_algorithm = _oid(algorithm.children[0])
        iv = algorithm.children[1].octets() if len(algorithm.children) > 1 else b""
        self.cipher = profile.CONTENT_CIPHERS.get(content_algorithm)
        head = stream.more()
        if head is None:
            raise EnvelopeMalformed("This envelope has no content: it is kept elsewhere (detached).")
        self.content = head
        self.transports: list[_Transport] = []
        self.info = EnvelopeInfo(
            recipients=tuple(self._recipient(info) for info in infos.children),
            content_algorithm=self.cipher.name if self.cipher else content_algorithm,
            iv=iv,
            content_offset=stream.position,
            content_bytes=head[1] if head[0] == tlv.CONTEXT_0_PRIMITIVE else None,
            _names=tuple(transport.name for transport in self.transports),
        )

    def _recipient(self, info: tlv.Node) -> Recipient:
        if info.tag != tlv.SEQUENCE:
            return Recipient(_OTHER_KINDS.get(info.tag, "unknown"), "", "", "", "", 0)
        _version, who, how, wrapped = info.children[:4]
        algorithm = _oid(how.children[0])
        parameters = how.children[1] if len(how.children) > 1 else None
        encrypted_key = wrapped.octets()
        self.transports.append(_Transport(who.der(), algorithm, parameters, encrypted_key))
        issuer = serial = identifier = ""
        if who.tag == tlv.SEQUENCE:
            issuer = display_name(who.children[0].der())
            serial = display_serial(int.from_bytes(who.children[1].content, "big", signed=True))
        else:
            identifier = who.octets().hex()
        shown = profile.KEY_TRANSPORT.get(algorithm, algorithm)
        return Recipient("key-transport", issuer, serial, identifier, shown, len(encrypted_key))

    def content_key(self, private_key: PrivateKey, certificate: bytes | None) -> bytes:
        assert self.cipher is not None
        names = None if certificate is None else _names_of(certificate)
        for transport in self.transports:
            if names is not None and transport.name not in names:
                continue
            found = _unwrap(transport, private_key, self.cipher.key_bytes)
            if found is not None:
                return found
        count = len(self.info.recipients)
        what = f"one of the {count} keys that open this envelope" if count > 1 else "the key that opens this envelope"
        raise NoRecipientMatches(f"This private key is not {what}. recpipe inspect says whose keys do.")


_OTHER_KINDS = {0xA1: "key-agreement", 0xA2: "key-encryption-key", 0xA3: "password", 0xA4: "other"}


def _oid(node: tlv.Node) -> str:
    if node.tag != tlv.OID:
        raise tlv.Malformed
    return tlv.dotted(node.content)


def _names_of(certificate: bytes) -> frozenset[bytes]:
    """How a recipient may be named for this certificate: issuer and serial, or key identifier."""
    parts = recipient_parts(certificate)
    names = {tlv.element(tlv.SEQUENCE, parts.issuer_der + parts.serial_der)}
    if parts.key_identifier:
        names.add(tlv.element(tlv.CONTEXT_0_PRIMITIVE, parts.key_identifier))
    return frozenset(names)


def _unwrap(transport: _Transport, private_key: PrivateKey, key_bytes: int) -> bytes | None:
    if transport.algorithm == profile.RSA_ENCRYPTION:
        return private_key.unwrap_pkcs1(transport.encrypted_key, key_bytes)
    if transport.algorithm == profile.RSAES_OAEP:
        try:
            digest, mgf_digest, label = _oaep(transport.parameters)
        except (tlv.Malformed, IndexError, KeyError):
            return None
        return private_key.unwrap_oaep(transport.encrypted_key, key_bytes, digest, mgf_digest, label)
    return None


def _oaep(parameters: tlv.Node | None) -> tuple[str, str, bytes]:
    """Hash, hash of the mask function, label: RFC 4055 section 4.1; all of them have defaults."""
    digest = mgf_digest = "SHA-1"
    label = b""
    for part in parameters.children if parameters else ():
        inner = part.children[0]
        if part.tag == 0xA0:
            digest = profile.HASHES[_oid(inner.children[0])]
        elif part.tag == 0xA1:
            mgf_digest = profile.HASHES[_oid(inner.children[1].children[0])]
        elif part.tag == 0xA2:
            label = inner.children[1].octets()
    return digest, mgf_digest, label


_BASE64 = re.compile(rb"M[A-Za-z0-9+/\r\n]{63}")


class _Prefixed(io.RawIOBase):
    """A stream with its first bytes put back, for streams that cannot seek."""

    def __init__(self, first: bytes, rest: BinaryIO) -> None:
        self._first = first
        self._rest = rest

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if self._first and size >= 0:
            taken, self._first = self._first[:size], self._first[size:]
            return taken
        return self._rest.read(size) or b""


def _no_envelope(what: str) -> EnvelopeMalformed:
    return EnvelopeMalformed(
        f"This is {what}, not an envelope. Give the .enc file; recpipe certificate check describes a certificate, "
        "recpipe open --key takes a private key."
    )


_ARMOURED = (b"CMS", b"PKCS7", b"PKCS #7 SIGNED DATA")  # what openssl writes and reads as CMS in PEM


def _without_armour(source: BinaryIO) -> BinaryIO:
    """The same stream, unless it is one of the text forms of an envelope: then say how to convert it.

    Raises:
        EnvelopeMalformed: it is text.
    """
    first = source.read(64) or b""
    if not first:
        raise EnvelopeMalformed("The file is empty. Fetch it again.")
    start = first.lstrip(b"\xef\xbb\xbf \r\n\t")
    if armour := re.match(rb"-----BEGIN ([A-Z0-9 #]{1,40})", start):
        if armour[1].rstrip() not in _ARMOURED:
            raise _no_envelope(f"a PEM block called {armour[1].decode().strip()}")
        raise EnvelopeMalformed(
            "This envelope is in PEM form. Convert it with: "
            "openssl cms -cmsout -inform PEM -in FILE -outform DER -out FILE.enc"
        )
    if re.match(rb"(?i)(mime-version|content-type|content-disposition|to|from|subject):", start):
        raise EnvelopeMalformed(
            "This envelope is in S/MIME (mail) form. Convert it with: "
            "openssl cms -cmsout -inform SMIME -in FILE -outform DER -out FILE.enc"
        )
    if _BASE64.match(start):
        raise EnvelopeMalformed("This envelope is in base64. Convert it with: openssl base64 -d -in FILE -out FILE.enc")
    kind = classify(first)
    if kind not in (Kind.PKCS7, Kind.UNKNOWN):
        raise _no_envelope(f"a {kind.value.replace('-', ' ')}")
    return _Prefixed(first, source)  # type: ignore[return-value] # read() is all that is used of it
