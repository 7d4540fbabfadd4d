"""Key pairs and certificates made by the real openssl, as a tenant makes them; kept for the session.

Fixtures: `key_pair`, `other_key_pair` (the documented command), `key_pairs` (make more, by name and options).
"""

from __future__ import annotations

import re
import ssl
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.services.need import tool


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A private key and its certificate, as files."""

    key_path: Path
    certificate_path: Path

    @property
    def key_pem(self) -> bytes:
        return self.key_path.read_bytes()

    @property
    def pem(self) -> bytes:
        return self.certificate_path.read_bytes()

    @property
    def der(self) -> bytes:
        return ssl.PEM_cert_to_DER_cert(self.pem.decode())


def openssl(*arguments: str | Path, stdin: bytes | None = None) -> bytes:
    """Run openssl and return its output; the test fails with its message when it fails."""
    done = subprocess.run([tool("openssl"), *map(str, arguments)], input=stdin, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    return done.stdout


def smime_decrypt(envelope: Path, out: Path, key: Path) -> subprocess.CompletedProcess[bytes]:
    """The documented command of the tenants, to the letter: no -recip."""
    return subprocess.run(
        [
            *(tool("openssl"), "smime", "-decrypt", "-binary", "-in", str(envelope), "-inform", "DER"),
            *("-out", str(out), "-inkey", str(key)),
        ],
        capture_output=True,
        check=False,
    )


VECTORS = Path(__file__).parents[1] / "vectors" / "keys"


@cache
def _spare(bits: int) -> list[str]:
    kept = VECTORS / f"spare-rsa{bits}.pem"
    text = kept.read_text() if kept.exists() else ""
    return re.findall(r"-----BEGIN PRIVATE KEY-----.*?-----END PRIVATE KEY-----\n", text, re.DOTALL)


def spare_key(bits: int = 2048) -> str:
    """A private key that no other test of this process has, in the PEM of `openssl req -newkey`: finding primes is what
    takes long, so some are kept. When they are used up, a new one.
    """
    kept = _spare(bits)
    if kept:
        return kept.pop()
    return openssl("genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{bits}").decode()


class KeyPairs:
    """Makes key pairs on demand, each kind once a session."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[tuple[str | None, ...], KeyPair] = {}

    def get(self, name: str, *options: str, key: str = "rsa:2048", subject: str | None = None) -> KeyPair:
        """What `openssl req -newkey KEY -x509` makes with these further options; the same call gives the same pair.

        Args:
            key: what -newkey takes; the name of a key type's parameter goes into `options` as -pkeyopt.
            subject: as -subj takes it; default `/CN=NAME`.
        """
        wanted = (name, *options, key, subject)
        if wanted not in self._made:
            stem = f"{name}-{len(self._made)}"
            pair = KeyPair(self._folder / f"{stem}.key", self._folder / f"{stem}.crt")
            made: tuple[str | Path, ...] = ("-newkey", key, "-nodes", "-keyout", pair.key_path)
            if key.startswith("rsa:") and "-pkeyopt" not in options:
                pair.key_path.write_text(spare_key(int(key.removeprefix("rsa:"))))
                made: tuple[str | Path, ...] = ("-new", "-key", pair.key_path)
            openssl(
                *("req", *made, "-x509", "-days", "1825"),
                *("-subj", f"/CN={name}" if subject is None else subject, "-out", pair.certificate_path),
                *options,
            )
            self._made[wanted] = pair
        return self._made[wanted]


@pytest.fixture(scope="session")
def key_pairs(tmp_path_factory: pytest.TempPathFactory) -> KeyPairs:
    return KeyPairs(tmp_path_factory.mktemp("key-pairs"))


@pytest.fixture(scope="session")
def key_pair(key_pairs: KeyPairs) -> KeyPair:
    """What the user guide's `openssl req` command makes."""
    return key_pairs.get("acme")


@pytest.fixture(scope="session")
def other_key_pair(key_pairs: KeyPairs) -> KeyPair:
    return key_pairs.get("globex")
