"""TLS of the gateway: the operator's certificate, or a self-signed pair made on first start. TLS 1.2 and later only."""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import socket
from collections import deque
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from OpenSSL import SSL

from recpipe import durable, log
from recpipe.errors import SettingsInvalid
from recpipe.settings import Settings

_log = log.get(__name__)

CERTIFICATE, KEY = "ftp-tls-certificate.pem", "ftp-tls-key.pem"

# Forward secrecy and authenticated encryption only. AES-128 first: as safe here, and a third faster.
# Source: RFC 9325 section 4.2; openssl-ciphers(1).
_TLS_12 = b"ECDHE+AES128+AESGCM:ECDHE+AES256+AESGCM:ECDHE+CHACHA20:!aNULL:!aDSS"
_TLS_13 = b"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
# The hybrid against quantum computers where this OpenSSL has it ("?"). X448 and secp521r1 are left out: slower, and
# nobody has only those. Source: Mozilla's "intermediate" list; SSL_CTX_set1_groups_list(3).
_GROUPS = b"?X25519MLKEM768:X25519:secp256r1:secp384r1"
_RESUMED_WITHIN_SECONDS = 24 * 3600  # a media server may stay connected for a day
_TICKETS_REMEMBERED = 100  # of those that the data connections of a session gave
_PARTIAL_WRITE = 1  # SSL_MODE_ENABLE_PARTIAL_WRITE, which pyOpenSSL switches on: a call a record instead of a piece
_NO_RENEGOTIATION = 1 << 30  # SSL_OP_NO_RENEGOTIATION
_VALID = timedelta(days=3650)


def context(settings: Settings) -> SSL.Context:
    """The context for control and data connections.

    Raises:
        SettingsInvalid: certificate and key cannot be read, or do not belong together.
    """
    certificate, key = settings.ftp_tls_certificate, settings.ftp_tls_key
    if certificate is None:
        if key is not None:
            raise SettingsInvalid("RECPIPE_FTP_TLS_KEY is set without RECPIPE_FTP_TLS_CERTIFICATE. Set both.")
        certificate, key = _own_pair(settings)
    made = SSL.Context(SSL.TLS_SERVER_METHOD)
    made.set_min_proto_version(SSL.TLS1_2_VERSION)
    made.set_options(SSL.OP_NO_COMPRESSION | _NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE)
    made.set_cipher_list(_TLS_12)
    made.set_tls13_ciphersuites(_TLS_13)
    _set_groups(made)
    made.clear_mode(_PARTIAL_WRITE)
    # Idle sessions give their 34 KB of record buffers back.
    made.set_mode(SSL.MODE_RELEASE_BUFFERS)
    made.set_session_id(b"recpipe")
    made.set_timeout(_RESUMED_WITHIN_SECONDS)
    try:
        made.use_certificate_chain_file(str(certificate))
        made.use_privatekey_file(str(key or certificate))
        made.check_privatekey()
    except SSL.Error as error:
        raise SettingsInvalid(
            f"The FTP server's certificate {certificate} and key {key or certificate} cannot be used ({why(error)}). "
            "Both must be PEM files that belong together: the certificate first, then its chain; the key without a "
            "passphrase."
        ) from error
    return made


class SessionSecrets:
    """The secrets that a TLS connection has gone through: its own, and those in the tickets that it gave.

    A connection that resumes another's session begins with a secret of that one, which nobody else can know.
    Source: RFC 5246 section 7.3 (the master secret stays), RFC 8446 section 4.6.1 (each ticket has its own).
    """

    def __init__(self) -> None:
        self._own: set[bytes] = set()
        self._of_others: deque[bytes] = deque(maxlen=_TICKETS_REMEMBERED)

    def watch(self, connection: SSL.Connection) -> None:
        """Take note of them as the handshake goes on."""
        connection.set_info_callback(self._note)

    def resume(self, other: SessionSecrets) -> bool:
        """Whether this connection resumed a session of the other one."""
        return not (self._own.isdisjoint(other._own) and self._own.isdisjoint(other._of_others))

    def take_over(self, other: SessionSecrets) -> None:
        """Count what the other connection had as this one's: some clients resume what they were given last."""
        self._of_others.extend(other._own)

    def _note(self, connection: SSL.Connection, where: int, _result: int) -> None:
        if where & SSL.SSL_CB_LOOP and connection.get_session() is not None:
            with contextlib.suppress(SSL.Error):  # there is none yet
                if (secret := connection.master_key()) is not None:
                    self._own.add(hashlib.sha256(secret).digest())


def _set_groups(made: SSL.Context) -> None:
    # pyOpenSSL's own method sets one curve. Without this the groups are OpenSSL's own, which does no harm.
    lib: Any = getattr(SSL, "_lib", None)
    if hasattr(lib, "SSL_CTX_set1_curves_list"):
        lib.SSL_CTX_set1_curves_list(made._context, _GROUPS)


def _own_pair(settings: Settings) -> tuple[Path, Path]:
    certificate, key = settings.data_dir / CERTIFICATE, settings.data_dir / KEY
    if not (certificate.exists() and key.exists()):
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make_pair(certificate, key, _names(settings))
    shown = x509.load_pem_x509_certificate(certificate.read_bytes()).fingerprint(hashes.SHA256()).hex(":")
    _log.warning(
        "ftp uses a self-signed certificate",
        sha256=shown,
        advice="clients will ask people to trust it: set RECPIPE_FTP_TLS_CERTIFICATE and RECPIPE_FTP_TLS_KEY",
    )
    return certificate, key


def _make_pair(certificate: Path, key: Path, names: list[str]) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectAlternativeName([_general(each) for each in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(private, hashes.SHA256())
    )
    durable.replace(
        key,
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )
    durable.replace(certificate, made.public_bytes(serialization.Encoding.PEM))


def _names(settings: Settings) -> list[str]:
    given = [settings.ftp_masquerade_address, socket.gethostname(), "localhost", "127.0.0.1"]
    return list(dict.fromkeys(name for name in given if name and name.isascii()))


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def why(error: Exception) -> str:
    """The words that OpenSSL or the system has for an error; its name where there are none."""
    if isinstance(error, SSL.SysCallError) or not isinstance(error, SSL.Error):
        return str(error.args[-1]) if error.args else type(error).__name__
    reasons = [part[-1] for part in (error.args[0] if error.args else ()) if part and part[-1]]
    return str(reasons[0]) if reasons else type(error).__name__
