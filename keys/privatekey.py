"""The tenant's private key, on the tenant's machine: load it and unwrap content keys with it.

The server never holds one. The only users are `recpipe open`, the demo and the tests, on local files, so nobody can
ask this code about forged padding from afar, and it need not answer in constant time.

Source: RFC 8017 sections 7.1 (RSAES-OAEP), 7.2.2 (RSAES-PKCS1-v1_5).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import pkcs12

from keys import certificate
from keys import pasted as paste
from keys.errors import PrivateKeyUnusable
from keys.pasted import Kind

_HASHES: dict[str, hashes.HashAlgorithm] = {
    "SHA-1": hashes.SHA1(),  # noqa: S303 - the default of RFC 8017 appendix A.2.1, harmless in OAEP
    "SHA-224": hashes.SHA224(),
    "SHA-256": hashes.SHA256(),
    "SHA-384": hashes.SHA384(),
    "SHA-512": hashes.SHA512(),
}
_BLOCK = re.compile(rb"-----BEGIN ((?:[A-Z0-9]+ )*)PRIVATE KEY-----.*?-----END \1PRIVATE KEY-----", re.DOTALL)
_WHERE = "It is the file named after -keyout when the key pair was made (myprivatekey.pem)."


class PrivateKey:
    """An RSA private key; prints nothing of itself."""

    __slots__ = ("__key",)

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        self.__key = key

    def __repr__(self) -> str:
        return f"PrivateKey(bits={self.bits})"

    def __reduce__(self) -> str:
        raise TypeError("A private key is not pickled.")

    @property
    def bits(self) -> int:
        return self.__key.key_size

    def belongs_to(self, certificate_der: bytes) -> bool:
        """Whether the certificate holds the public half."""
        parts = certificate.recipient(certificate_der)
        return self.__key.public_key().public_numbers() == rsa.RSAPublicNumbers(parts.exponent, parts.modulus)

    def unwrap_pkcs1(self, encrypted: bytes, key_bytes: int) -> bytes | None:
        """The content key of exactly `key_bytes`, or None when this is not the recipient's key.

        The whole padding is checked here: a library's `decrypt(PKCS1v15)` answers a wrong key with random bytes
        (implicit rejection), which is right for a server and useless for telling recipients apart.
        """
        numbers = self.__key.private_numbers()
        modulus = numbers.public_numbers.n
        size = (modulus.bit_length() + 7) // 8
        number = int.from_bytes(encrypted, "big")
        if len(encrypted) != size or number >= modulus:
            return None
        of_p = pow(number % numbers.p, numbers.dmp1, numbers.p)
        of_q = pow(number % numbers.q, numbers.dmq1, numbers.q)
        message = (of_q + numbers.q * ((of_p - of_q) * numbers.iqmp % numbers.p)).to_bytes(size, "big")
        filling, separator, content_key = message[2 : -key_bytes - 1], message[-key_bytes - 1], message[-key_bytes:]
        if message[:2] != b"\x00\x02" or separator != 0 or 0 in filling or len(filling) < 8:
            return None
        return content_key

    def unwrap_oaep(
        self, encrypted: bytes, key_bytes: int, hash_name: str, mgf_hash_name: str, label: bytes
    ) -> bytes | None:
        """As `unwrap_pkcs1`, for RSAES-OAEP."""
        scheme = padding.OAEP(padding.MGF1(_HASHES[mgf_hash_name]), _HASHES[hash_name], label or None)
        try:
            content_key = self.__key.decrypt(encrypted, scheme)
        except ValueError:
            return None
        return content_key if len(content_key) == key_bytes else None


def load_private_key(data: bytes, passphrase: bytes | str | None = None) -> PrivateKey:
    """Read a private key file: PEM, DER, PKCS#12 or OpenSSH; encrypted or not.

    Args:
        data: the whole file.
        passphrase: needed only when the key is encrypted; ignored otherwise.

    Raises:
        PrivateKeyUnusable: with what to do about it; nothing of the key is in it.
    """
    secret = passphrase.encode() if isinstance(passphrase, str) else passphrase
    text = data if b"PRIVATE KEY" in data else data.replace(b"\0", b"")
    block = _BLOCK.search(text)
    load: Callable[..., Any] = serialization.load_pem_private_key
    if block is not None:
        pem = block[0]
        if block[1].startswith(b"OPENSSH"):
            load = serialization.load_ssh_private_key
        else:
            load = partial(load, unsafe_skip_rsa_key_validation=True)
        encrypted = b"ENCRYPTED" in pem
        found = _loaded(load, pem + b"\n", secret)
    elif b"BEGIN CERTIFICATE" in text or b"BEGIN PUBLIC KEY" in text or _is_certificate(data):
        raise PrivateKeyUnusable(f"This is the certificate or public key, not the private key. {_WHERE}")
    elif paste.classify(data) is Kind.PKCS12:
        encrypted = True
        found = _loaded(lambda raw, password: pkcs12.load_key_and_certificates(raw, password)[0], data, secret)
    else:
        encrypted = False
        load = partial(serialization.load_der_private_key, unsafe_skip_rsa_key_validation=True)
        found = _loaded(load, data, secret)
    if isinstance(found, rsa.RSAPrivateKey):
        return PrivateKey(found)
    if found is _NEEDS_PASSPHRASE or (found is None and encrypted):
        wrong = "The passphrase does not open this private key." if secret else "This private key needs its passphrase."
        raise PrivateKeyUnusable(f"{wrong} Try again with the passphrase that was chosen when it was made.")
    if found is None:
        raise PrivateKeyUnusable(f"This file is not a private key, or it is damaged. {_WHERE}")
    raise PrivateKeyUnusable(f"This private key is not RSA, so no recording was sealed for it. {_WHERE}")


_NEEDS_PASSPHRASE = object()


def _is_certificate(data: bytes) -> bool:
    return paste.classify(data) in (Kind.CERTIFICATE, Kind.PUBLIC_KEY, Kind.RSA_PUBLIC_KEY)


def _consistent(key: Any) -> Any:
    """The key, unless its numbers contradict each other (ValueError).

    OpenSSL's own check also proves both primes, which takes six seconds for 8192 bits: too long to open one file with
    a key that is the person's own.
    """
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.private_numbers()
        p, q, e = numbers.p, numbers.q, numbers.public_numbers.e
        right = min(p, q) > 2 and p * q == numbers.public_numbers.n and numbers.iqmp * q % p == 1
        if not (right and e * numbers.dmp1 % (p - 1) == 1 and e * numbers.dmq1 % (q - 1) == 1):
            raise ValueError("The numbers of this key contradict each other.")
    return key


def _loaded(load: Callable[..., Any], data: bytes, passphrase: bytes | None) -> Any:
    """The key; `_NEEDS_PASSPHRASE`; None when it cannot be read. The libraries tell these apart by TypeError."""
    try:
        return _consistent(load(data, password=passphrase))
    except TypeError:
        if passphrase is None:
            return _NEEDS_PASSPHRASE
    except Exception:
        return None
    try:
        return _consistent(load(data, password=None))  # a passphrase was given for a key that has none
    except Exception:
        return None
