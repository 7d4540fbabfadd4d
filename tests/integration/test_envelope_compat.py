"""The compatibility matrix: what is sealed here, opened by other people's programs.

OpenSSL always (the documented command is the judge); gpgsm, NSS cmsutil and BouncyCastle where they are installed.
"""

from __future__ import annotations

import hashlib
import io
import os
import random
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs7

from keys.certificate import vet
from keys.envelope import Sealer, seal_file
from keys.hashing import CHUNK_BYTES, OVERLAP_FROM_BYTES
from keys.opening import load_private_key, open_envelope, open_file
from tests.services.certificates import KeyPair, KeyPairs, openssl, smime_decrypt
from tests.services.need import missing, tool

VECTORS = Path(__file__).parents[1] / "vectors" / "keys"
NOW = datetime.now(UTC) + timedelta(hours=1)


FEW_SIZES = (0, 1, 15, 16, 17, 65_536, 1 << 20)
SIZES = (*FEW_SIZES, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 65_535, 65_537, OVERLAP_FROM_BYTES + 1)


def content_of(size: int) -> bytes:
    return random.Random(size).randbytes(size)


@pytest.fixture(scope="session")
def five(key_pairs: KeyPairs) -> list[KeyPair]:
    return [key_pairs.get("acme"), key_pairs.get("globex"), *(key_pairs.get(name) for name in ("ink", "jot", "kit"))]


def sealed(path: Path, size: int, pairs: Sequence[KeyPair]) -> Path:
    content = content_of(size)
    reader = Sealer([pair.der for pair in pairs]).begin(size).open(io.BytesIO(content))
    path.write_bytes(reader.read())
    return path


@pytest.mark.parametrize("recipients", [1, 2, 5])
@pytest.mark.parametrize("size", SIZES)
def test_the_documented_openssl_command_opens_what_we_seal_with_each_key_alone(
    size: int, recipients: int, five: list[KeyPair], tmp_path: Path
) -> None:
    pairs = five[:recipients]
    envelope = sealed(tmp_path / "f.enc", size, pairs)
    for pair in pairs:
        done = smime_decrypt(envelope, tmp_path / "f", pair.key_path)
        assert done.returncode == 0, done.stderr.decode()
        assert (tmp_path / "f").read_bytes() == content_of(size)
        (tmp_path / "f").unlink()
        out = io.BytesIO()
        open_envelope(io.BytesIO(envelope.read_bytes()), out, load_private_key(pair.key_pem))
        assert out.getvalue() == content_of(size)


@pytest.mark.parametrize("recipients", [1, 2, 5])
def test_openssl_cms_opens_what_we_seal(recipients: int, five: list[KeyPair], tmp_path: Path) -> None:
    for size in FEW_SIZES:
        envelope = sealed(tmp_path / "f.enc", size, five[:recipients])
        for pair in five[:recipients]:
            arguments = ("cms", "-decrypt", "-binary", "-in", envelope, "-inform", "DER", "-inkey", pair.key_path)
            assert openssl(*arguments) == content_of(size)


@pytest.mark.parametrize("recipients", [1, 2, 5])
def test_cryptography_opens_what_we_seal(recipients: int, five: list[KeyPair], tmp_path: Path) -> None:
    pairs = five[:recipients]
    holders = [
        (x509.load_der_x509_certificate(pair.der), serialization.load_pem_private_key(pair.key_pem, None))
        for pair in pairs
    ]
    for size in FEW_SIZES:
        envelope = sealed(tmp_path / "f.enc", size, pairs).read_bytes()
        for certificate, key in holders:
            found = pkcs7.pkcs7_decrypt_der(envelope, certificate, key, [])  # type: ignore[arg-type]
            assert found == content_of(size)


def test_the_bytes_are_laid_out_as_openssl_lays_them_out(key_pair: KeyPair, tmp_path: Path) -> None:
    # Given openssl's own envelope of the same content, the two differ in the random parts alone
    ours = sealed(tmp_path / "f.enc", 1000, [key_pair]).read_bytes()
    arguments = ("smime", "-encrypt", "-binary", "-aes256", "-outform", "DER", key_pair.certificate_path)
    theirs = openssl(*arguments, stdin=content_of(1000))
    assert len(ours) == len(theirs)
    structure = [
        [
            line.split(":", 3)[:3]
            for line in openssl("asn1parse", "-inform", "DER", stdin=envelope).decode().splitlines()
        ]
        for envelope in (ours, theirs)
    ]
    assert structure[0] == structure[1]


# --- certificates of every accepted kind ------------------------------------------------------------------


def _accepted(name: str, key_pairs: KeyPairs) -> tuple[bytes, Path]:
    """What is pasted, and the private key file, for one accepted variant."""
    options: dict[str, tuple[tuple[str, ...], str, str | None]] = {
        "rsa 2048": ((), "rsa:2048", None),
        "rsa 3072": ((), "rsa:3072", None),
        "key usage without encipherment": (("-addext", "keyUsage=digitalSignature"), "rsa:2048", None),
        "exponent 3": (("-pkeyopt", "rsa_keygen_pubexp:3"), "rsa:2048", None),
        "utf-8 names": (("-utf8",), "rsa:2048", "/CN=Büro Söhne ☎/O=電話"),
        "serial 0": (("-set_serial", "0"), "rsa:2048", None),
        "serial negative": (("-set_serial", "-129"), "rsa:2048", None),
        "empty issuer": ((), "rsa:2048", "/"),
        "sha-1": (("-sha1",), "rsa:2048", None),
        "odd length": ((), "rsa:2049", None),
    }
    if name.startswith("vector "):
        stem = name.removeprefix("vector ")
        return (VECTORS / f"{stem}.crt").read_bytes(), VECTORS / f"{stem}.key"
    if name == "version 1":
        pair = key_pairs.get("acme")
        request = openssl("req", "-new", "-key", pair.key_path, "-subj", "/CN=v1")
        return openssl("x509", "-req", "-signkey", pair.key_path, "-days", "30", stdin=request), pair.key_path
    if name == "public key":
        pair = key_pairs.get("acme")
        return openssl("pkey", "-in", pair.key_path, "-pubout"), pair.key_path
    if name == "rsa public key":
        pair = key_pairs.get("acme")
        return openssl("rsa", "-in", pair.key_path, "-RSAPublicKey_out"), pair.key_path
    extra, key, subject = options[name]
    pair = key_pairs.get(f"accepted-{name.replace(' ', '-')}", *extra, key=key, subject=subject)
    return pair.pem, pair.key_path


@pytest.mark.parametrize(
    "name",
    [
        *("rsa 2048", "rsa 3072", "vector rsa4096", "vector rsa8192", "key usage without encipherment", "exponent 3"),
        *("utf-8 names", "serial 0", "serial negative", "empty issuer", "sha-1", "odd length"),
        *("version 1", "public key", "rsa public key"),
    ],
)
def test_every_accepted_kind_of_certificate_opens(name: str, key_pairs: KeyPairs, tmp_path: Path) -> None:
    pasted, key_path = _accepted(name, key_pairs)
    certificate = vet(pasted, now=NOW)
    (tmp_path / "f").write_bytes(content_of(5000))
    sums = seal_file(tmp_path / "f", tmp_path / "f.enc", [certificate.der])
    for tool_name in ("smime", "cms"):
        arguments = (tool_name, "-decrypt", "-binary", "-in", tmp_path / "f.enc", "-inform", "DER", "-inkey", key_path)
        assert openssl(*arguments) == content_of(5000)
    open_file(
        *(tmp_path / "f.enc", key_path, tmp_path / "g"),
        certificate=certificate.der,
        expect_sha256=sums.plain_sha256,
    )


# --- the other programs, one process or profile each -----------------------------------------------------


@pytest.fixture
def matrix(five: list[KeyPair], tmp_path: Path) -> list[tuple[Path, KeyPair, str]]:
    """Envelopes of every small size for 1, 2 and 5 recipients, with each key that must open them."""
    cases = []
    for size in FEW_SIZES:
        for recipients in (1, 2, 5):
            envelope = sealed(tmp_path / f"{size}-{recipients}.enc", size, five[:recipients])
            expected = hashlib.sha256(content_of(size)).hexdigest()
            cases += [(envelope, pair, expected) for pair in five[:recipients]]
    return cases


def pkcs12(pair: KeyPair) -> bytes:
    """With the old algorithms, which every program reads."""
    return openssl(
        *("pkcs12", "-export", "-inkey", pair.key_path, "-in", pair.certificate_path, "-passout", "pass:x"),
        *("-name", pair.key_path.stem, "-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-3DES", "-macalg", "sha1"),
    )


def run(*command: str | Path, stdin: bytes = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [str(word) for word in command],
        input=stdin,
        capture_output=True,
        check=False,
        env={**os.environ, **environment},
    )


_JAVA = r"""
import java.nio.file.*;
import java.security.*;
import java.security.spec.PKCS8EncodedKeySpec;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cms.*;
import org.bouncycastle.cms.jcajce.*;

public class Open {
    public static void main(String[] arguments) throws Exception {
        Security.addProvider(new org.bouncycastle.jce.provider.BouncyCastleProvider());
        for (String line : Files.readAllLines(Path.of(arguments[0]))) {
            String[] part = line.split("\t");
            PrivateKey key = KeyFactory.getInstance("RSA").generatePrivate(
                new PKCS8EncodedKeySpec(Files.readAllBytes(Path.of(part[1]))));
            X509CertificateHolder holder = new X509CertificateHolder(Files.readAllBytes(Path.of(part[2])));
            CMSEnvelopedData envelope = new CMSEnvelopedData(Files.readAllBytes(Path.of(part[0])));
            RecipientInformation recipient = envelope.getRecipientInfos().get(
                new KeyTransRecipientId(holder.getIssuer(), holder.getSerialNumber()));
            byte[] content = recipient.getContent(new JceKeyTransEnvelopedRecipient(key).setProvider("BC"));
            byte[] sum = MessageDigest.getInstance("SHA-256").digest(content);
            System.out.println(String.format("%064x", new java.math.BigInteger(1, sum)));
        }
    }
}
"""


def test_bouncycastle_opens_what_we_seal(matrix: list[tuple[Path, KeyPair, str]], tmp_path: Path) -> None:
    java, javac = tool("java"), tool("javac")
    jars = [Path("/usr/share/java") / f"{name}.jar" for name in ("bcprov", "bcutil", "bcpkix")]
    if not all(jar.exists() for jar in jars):
        missing("BouncyCastle (libbcpkix-java) is not installed; scripts/setup installs it")
    path = ":".join(map(str, (*jars, tmp_path)))
    (tmp_path / "Open.java").write_text(_JAVA)
    compiled = run(
        javac,
        "-J-XX:TieredStopAtLevel=1",
        "-J-XX:+UseSerialGC",
        "-proc:none",
        "-cp",
        path,
        "-d",
        tmp_path,
        tmp_path / "Open.java",
    )
    assert compiled.returncode == 0, compiled.stderr.decode()
    lines = []
    for envelope, pair, _ in matrix:
        key, certificate = tmp_path / f"{pair.key_path.stem}.key.der", tmp_path / f"{pair.key_path.stem}.crt.der"
        if not key.exists():
            openssl("pkcs8", "-topk8", "-nocrypt", "-in", pair.key_path, "-outform", "DER", "-out", key)
            certificate.write_bytes(pair.der)
        lines.append(f"{envelope}\t{key}\t{certificate}\n")
    (tmp_path / "list").write_text("".join(lines))
    done = run(java, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", path, "Open", tmp_path / "list")
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().split() == [expected for _, _, expected in matrix]


def test_nss_cmsutil_opens_what_we_seal(matrix: list[tuple[Path, KeyPair, str]], tmp_path: Path) -> None:
    cmsutil, certutil, pk12util = tool("cmsutil"), tool("certutil"), tool("pk12util")
    for pair in {pair.key_path: pair for _, pair, _ in matrix}.values():
        # Given a database that holds this key alone
        database = tmp_path / f"nss-{pair.key_path.stem}"
        database.mkdir()
        (tmp_path / "pair.p12").write_bytes(pkcs12(pair))
        for command in (
            (certutil, "-N", "-d", database, "--empty-password"),
            (pk12util, "-i", tmp_path / "pair.p12", "-d", database, "-W", "x", "-K", ""),
        ):
            done = run(*command)
            assert done.returncode == 0, done.stderr.decode()
        for envelope, owner, expected in matrix:
            if owner is pair:
                done = run(cmsutil, "-D", "-d", database, "-i", envelope, "-o", tmp_path / "out")
                assert done.returncode == 0, (envelope.name, done.stderr.decode())
                assert hashlib.sha256((tmp_path / "out").read_bytes()).hexdigest() == expected, envelope.name


@pytest.fixture
def gnupg_home() -> Iterator[Path]:
    """A home of its own in a short path (the agent's socket lies in it); its agent is stopped at the end.

    That hashes a key's passphrase for a tenth of a second at each use, and first finds out how often that is.
    """
    home = Path(tempfile.mkdtemp(prefix="rp-gpg-", dir="/tmp"))
    (home / "gpg-agent.conf").write_text("allow-loopback-pinentry\ns2k-count 65536\n")
    yield home
    run("gpgconf", "--homedir", home, "--kill", "gpg-agent")
    shutil.rmtree(home, ignore_errors=True)


def test_gpgsm_opens_what_we_seal(matrix: list[tuple[Path, KeyPair, str]], gnupg_home: Path, tmp_path: Path) -> None:
    quiet = ("--homedir", gnupg_home, "--batch", "--yes", "--disable-dirmngr", "--pinentry-mode", "loopback")
    gpgsm = (tool("gpgsm"), *quiet, "--passphrase-fd", "0")
    for pair in {pair.key_path: pair for _, pair, _ in matrix}.values():
        # gpgsm 2.2 misreads some of openssl's PKCS#12 files, by chance of the salt: give it another.
        for _ in range(5):
            (tmp_path / "pair.p12").write_bytes(pkcs12(pair))
            done = run(*gpgsm, "--import", tmp_path / "pair.p12", stdin=b"x\n")
            if done.returncode == 0:
                break
        assert done.returncode == 0, done.stderr.decode()
    for envelope, expected in dict.fromkeys((envelope, expected) for envelope, _, expected in matrix):
        done = run(*gpgsm, "--output", tmp_path / "out", "--decrypt", envelope, stdin=b"x\n")
        assert done.returncode == 0, (envelope.name, done.stderr.decode())
        assert hashlib.sha256((tmp_path / "out").read_bytes()).hexdigest() == expected, envelope.name
