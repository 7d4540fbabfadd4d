"""The browser's envelope module, run by Node and judged by OpenSSL's files; broken ones are built with asn1crypto."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import pytest
from asn1crypto import cms
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.services import need
from tests.services.certificates import spare_key
from tests.services.javascript import Node, copy_scripts, running

BOUNDARIES = (0, 1, 15, 16, 17, 31, 32, 33, 47, 48, 4095, 4096, 4097, 65537, 300_001)

# What the jobs of these tests can ask for.
DRIVER = """
import { readFileSync } from "node:fs";
import { createHash } from "node:crypto";
const m = await import(process.argv[1]);
const load = async (job) => m.loadPrivateKey(new Uint8Array(readFileSync(job.key)), job.passphrase);
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");
const file = (path) => new Uint8Array(readFileSync(path));
const ranged = (bytes, seen) => async (start, end) => (seen?.push([start, end]), bytes.subarray(start, end));

const operations = {
  key: async (job) => ({ bits: (await load(job)).bits }),
  open: async (job) => {
    const plain = await m.decryptAll(file(job.file), await load(job));
    return { sha256: sha256(plain), size: plain.length };
  },
  header: async (job) => {
    const bytes = file(job.file);
    const steps = [];
    for (let given = 0; ; ) {
      try {
        return { ...m.readHeader(bytes.subarray(0, given)), steps };
      } catch (error) {
        if (!(error instanceof m.NeedMoreBytes) || error.bytes <= given) throw error;
        steps.push(given = error.bytes);
      }
    }
  },
  ranges: async (job) => {
    const bytes = file(job.file);
    const plain = Buffer.from(file(job.plain));
    const seen = [];
    const header = await m.fetchHeader(ranged(bytes, seen), bytes.length);
    const part = new m.RangeDecryptor(header, await m.unwrapKey(header, await load(job)), ranged(bytes, seen));
    const length = await part.plainLength();
    const wrong = [];
    let surplus = 0;
    for (const [start, end] of job.ranges) {
      seen.length = 0;
      if (!plain.subarray(start, end).equals(Buffer.from(await part.read(start, end)))) wrong.push([start, end]);
      for (const [from, to] of seen) surplus = Math.max(surplus, to - from - (Math.min(end, plain.length) - start));
    }
    return { length, wrong, surplus };
  },
  strangers: async (job) => {
    const key = await load(job);
    const outcomes = {};
    for (const block of job.blocks) {
      const encryptedKey = Uint8Array.from(Buffer.from(block, "hex"));
      const recipients = [{ serial: "00", issuer: new Uint8Array(), encryptedKey }];
      const outcome = await m.unwrapKey({ recipients, keyBytes: 32 }, key).then(() => "opened", (error) => error.name);
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
    }
    return outcomes;
  },
  mutations: async (job) => {
    const key = await load(job);
    const original = file(job.file);
    const outcomes = {};
    for (const [at, value] of job.mutations) {
      const bytes = original.slice();
      bytes[at] = value;
      const outcome = await m.decryptAll(bytes, key).then(
        (plain) => (sha256(plain) === job.sha256 ? "same" : "other"),
        (error) => (error instanceof m.EnvelopeError ? error.name : `crash: ${error.stack}`),
      );
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
    }
    return outcomes;
  },
  truncations: async (job) => {
    const bytes = file(job.file);
    const key = await load(job);
    const outcomes = {};
    for (let end = 0; end < bytes.length; end++) {
      const outcome = await m.decryptAll(bytes.subarray(0, end), key).then(() => "opened", (error) => error.name);
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
    }
    return outcomes;
  },
  insecure: async (job) => {
    const subtle = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(crypto), "subtle");
    Object.defineProperty(crypto, "subtle", { value: undefined, configurable: true });
    try {
      return await operations.open(job);
    } finally {
      delete crypto.subtle;
    }
  },
  hash: async (job) => {
    const { Sha256 } = await import(process.argv[1].replace("envelope.js", "sha256.js"));
    return job.cases.map((sizes) => {
      const hash = new Sha256();
      const whole = createHash("sha256");
      for (const size of sizes) {
        const part = Uint8Array.from({ length: size }, (_, n) => (n * 7 + size) & 255);
        hash.update(part);
        whole.update(part);
      }
      return hash.hex() === whole.digest("hex");
    });
  },
};
"""


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The module's files where Node takes `.js` for ES modules."""
    home = tmp_path_factory.mktemp("js")
    copy_scripts(home)
    return home / "envelope.js"


@pytest.fixture(scope="module")
def node(module: Path) -> Iterator[Node]:
    """One Node for all tests, which says nothing but its answers."""
    with running(DRIVER, module) as made:
        yield made


def openssl(*args: str | Path) -> bytes:
    return subprocess.run([need.tool("openssl"), *map(str, args)], check=True, capture_output=True).stdout


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key pairs as the user guide makes them."""
    folder = tmp_path_factory.mktemp("keys")
    # Nobody makes keys as short as "short" today, but hundreds of operations with it take a sixth of the time.
    for name, bits in (("a", 2048), ("b", 3072), ("c", 4096), ("d", 2048), ("e", 2048), ("short", 1024)):
        (folder / f"{name}.key").write_text(spare_key(bits))
        openssl(
            *("req", "-new", "-key", folder / f"{name}.key", "-x509", "-days", "1825"),
            *("-out", folder / f"{name}.crt", "-subj", f"/O=Müller & Söhne/CN={name}", "-utf8"),
        )
    return folder


def seal(home: Path, out: Path, content: bytes, *options: str, to: Iterable[str] = "a") -> Path:
    """`openssl smime -encrypt` for the certificates of these names."""
    (out.with_suffix(".plain")).write_bytes(content)
    command = ("smime", "-encrypt", "-binary", "-outform", "DER", *(options or ("-aes256",)))
    certificates = [home / f"{name}.crt" for name in to]
    openssl(*command, "-in", out.with_suffix(".plain"), "-out", out, *certificates)
    return out


def opened(content: bytes) -> dict[str, object]:
    return {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}


# --- opening ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", ["a", "b", "c", "ab", "abcde", "edcba"])
def test_every_recipient_opens_what_openssl_sealed(node: Node, home: Path, tmp_path: Path, to: str) -> None:
    content = os.urandom(20_000)
    sealed = seal(home, tmp_path / "x.enc", content, to=to)
    jobs = [{"op": "open", "file": sealed, "key": home / f"{name}.key"} for name in to]
    assert node(*jobs) == [opened(content)] * len(to)


@pytest.mark.parametrize("cipher", ["aes128", "aes192", "aes256"])
@pytest.mark.parametrize("form", ["whole", "stream", "cms"])
def test_every_cipher_and_size_opens(node: Node, home: Path, tmp_path: Path, cipher: str, form: str) -> None:
    contents = [os.urandom(size) for size in BOUNDARIES]
    jobs = []
    for n, content in enumerate(contents):
        sealed = tmp_path / f"{n}.enc"
        options = (f"-{cipher}", "-stream") if form == "stream" else (f"-{cipher}",)
        if form == "cms":  # keyid: what other tools write
            (tmp_path / "plain").write_bytes(content)
            command = (
                "cms",
                "-encrypt",
                "-binary",
                "-outform",
                "DER",
                "-keyid",
                f"-{cipher}",
                "-in",
                tmp_path / "plain",
            )
            openssl(*command, "-out", sealed, home / "a.crt")
        else:
            seal(home, sealed, content, *options)
        jobs.append({"op": "open", "file": sealed, "key": home / "a.key"})
    assert node(*jobs) == [opened(content) for content in contents]


def test_the_header_tells_recipients_and_place_of_the_content(node: Node, home: Path, tmp_path: Path) -> None:
    sealed = seal(home, tmp_path / "x.enc", bytes(100), to="ab")
    [header] = node({"op": "header", "file": sealed})

    theirs = cms.ContentInfo.load(sealed.read_bytes())["content"]
    recipients = [info.chosen for info in theirs["recipient_infos"]]
    assert [int(found["serial"], 16) for found in header["recipients"]] == [
        info["rid"].chosen["serial_number"].native for info in recipients
    ]
    assert [found["issuer"] for found in header["recipients"]] == [
        info["rid"].chosen["issuer"].dump().hex() for info in recipients
    ]
    content = theirs["encrypted_content_info"]
    assert header["iv"] == content["content_encryption_algorithm"]["parameters"].native.hex()
    assert header["contentLength"] == 112
    assert header["contentOffset"] == sealed.stat().st_size - 112
    assert header["totalLength"] == sealed.stat().st_size
    assert header["algorithm"] == "AES-256-CBC"
    assert 1 < len(header["steps"]) < 40, "each request for more bytes must get further"
    assert header["steps"][-1] <= header["contentOffset"]


# --- ranges -------------------------------------------------------------------------------------------------------


def ranges_of(size: int, count: int) -> list[tuple[int, int]]:
    edges = sorted(
        {edge for n in (0, 16, 32, 4096, size - 16, size) for edge in (n - 1, n, n + 1) if 0 <= edge <= size}
    )
    some = [(start, end) for start in edges for end in edges if start <= end]
    chosen = random.Random(size)
    for _ in range(count):
        start = chosen.randint(0, size)
        some.append((start, min(size, start + int(chosen.expovariate(1 / (1 + size / 8))))))
    return [*some, (0, size + 100), (size, size + 5)]


@pytest.mark.parametrize("more", [15, pytest.param(150, marks=pytest.mark.long)])
@pytest.mark.parametrize("size", BOUNDARIES)
def test_any_range_is_what_the_original_has_there(node: Node, home: Path, tmp_path: Path, size: int, more: int) -> None:
    sealed = seal(home, tmp_path / "x.enc", os.urandom(size))
    job = {"op": "ranges", "file": sealed, "key": home / "a.key", "plain": tmp_path / "x.plain"}
    [result] = node({**job, "ranges": ranges_of(size, more)})
    assert result["length"] == size
    assert result["wrong"] == []
    # The block before, and up to the ends of the first and the last: nothing else is fetched.
    assert result["surplus"] <= 16 + 15 + 16


def test_a_streamed_file_says_that_it_has_no_ranges(node: Node, home: Path, tmp_path: Path) -> None:
    sealed = seal(home, tmp_path / "x.enc", bytes(100), "-aes256", "-stream")
    job = {"op": "ranges", "file": sealed, "key": home / "a.key", "plain": tmp_path / "x.plain", "ranges": []}
    [result] = node(job)
    assert result["error"] == "EnvelopeUnsupported"
    assert "opened whole" in result["message"]


# --- wrong keys, bad paddings, damage -----------------------------------------------------------------------------


def private_key(path: Path) -> rsa.RSAPrivateKey:
    key = load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def wrap(key: rsa.RSAPrivateKey, message: bytes) -> bytes:
    """RSAEP without any padding of its own."""
    numbers = key.public_key().public_numbers()
    return pow(int.from_bytes(message), numbers.e, numbers.n).to_bytes(key.key_size // 8)


def filling(size: int) -> bytes:
    return bytes(random.Random(size).choices(range(1, 256), k=size))


def with_encrypted_key(sealed: Path, encrypted_key: bytes) -> bytes:
    envelope = cms.ContentInfo.load(sealed.read_bytes())
    envelope["content"]["recipient_infos"][0].chosen["encrypted_key"] = encrypted_key
    return bytes(envelope.dump(force=True))


def test_a_wrong_key_never_opens(node: Node, home: Path) -> None:
    key = private_key(home / "short.key")
    chosen = random.Random(7)
    blocks = [chosen.randrange(key.public_key().public_numbers().n).to_bytes(128).hex() for _ in range(250)]
    assert node({"op": "strangers", "key": home / "short.key", "blocks": blocks}) == [{"WrongKeyError": 250}]


def test_a_wrong_key_names_the_certificates_that_fit(node: Node, home: Path, tmp_path: Path) -> None:
    sealed = seal(home, tmp_path / "x.enc", bytes(100), to="ab")
    [result] = node({"op": "open", "file": sealed, "key": home / "d.key"})
    assert result["error"] == "WrongKeyError"
    for name in "ab":
        serial = openssl("x509", "-in", home / f"{name}.crt", "-noout", "-serial").decode().strip().split("=")[1]
        assert serial.lower().lstrip("0") in result["message"]


def test_the_padding_is_checked_to_its_last_byte(node: Node, home: Path, tmp_path: Path) -> None:
    key = private_key(home / "a.key")
    sealed = seal(home, tmp_path / "x.enc", os.urandom(100))
    secret = os.urandom(32)
    good = b"\0\2" + filling(256 - 3 - 32) + b"\0" + secret
    with_zero = bytearray(good)
    with_zero[5] = 0
    early = bytearray(good)
    early[100] = 0
    nowhere = bytearray(good)
    nowhere[-33] = 1
    bad = {
        "block type 1": b"\0\1" + good[2:],
        "block type 0": b"\0\0" + good[2:],
        "first byte": b"\1" + good[1:],
        "zero in the first eight": bytes(with_zero),
        "zero before its place": bytes(early),
        "no zero at its place": bytes(nowhere),
        "a key of 16 bytes": b"\0\2" + filling(256 - 3 - 16) + b"\0" + secret[:16],
        "a key of 31 bytes": b"\0\2" + filling(256 - 3 - 31) + b"\0" + secret[:31],
        "a key of 33 bytes": b"\0\2" + filling(256 - 3 - 33) + b"\0" + secret + b"x",
        "no key": b"\0\2" + filling(254),
        "nothing": bytes(256),
    }
    modulus = key.public_key().public_numbers().n
    blocks = {name: wrap(key, message) for name, message in bad.items()}
    blocks |= {"over the modulus": modulus.to_bytes(256), "too short": b"\1" * 255, "too long": b"\0" + wrap(key, good)}
    jobs = []
    for name, block in blocks.items():
        harmed = tmp_path / f"{name}.enc"
        harmed.write_bytes(with_encrypted_key(sealed, block))
        jobs.append({"op": "open", "file": harmed, "key": home / "a.key"})
    results = dict(zip(blocks, node(*jobs), strict=True))
    assert {name: result.get("error") for name, result in results.items()} == dict.fromkeys(blocks, "WrongKeyError")

    # A good padding with another content key passes this check and fails at the content or gives other bytes.
    (tmp_path / "other.enc").write_bytes(with_encrypted_key(sealed, wrap(key, good)))
    [result] = node({"op": "open", "file": tmp_path / "other.enc", "key": home / "a.key"})
    assert result.get("error") in (None, "EnvelopeDamaged")


def test_whatever_byte_of_the_file_is_changed_the_answer_is_an_error_or_a_different_sum(
    node: Node, home: Path, tmp_path: Path
) -> None:
    content = os.urandom(64)
    sealed = seal(home, tmp_path / "x.enc", content, to=["short"])
    size = sealed.stat().st_size
    harmed = sealed.read_bytes()
    chosen = random.Random(3)
    mutations = [(at, chosen.choice([n for n in range(256) if n != harmed[at]])) for at in range(size)]
    job = {"op": "mutations", "file": sealed, "key": home / "short.key", "mutations": mutations}
    [outcomes] = node({**job, "sha256": hashlib.sha256(content).hexdigest()})
    assert not [name for name in outcomes if name.startswith("crash")], outcomes
    # Names and serial numbers are not authenticated: a change there opens and gives the very same bytes.
    assert outcomes["same"] < size / 2
    assert outcomes["WrongKeyError"] >= 128
    assert outcomes["EnvelopeDamaged"] + outcomes["other"] >= 64


@pytest.mark.parametrize("options", [("-aes256",), ("-aes256", "-stream")])
def test_a_file_cut_anywhere_is_called_incomplete(
    node: Node, home: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    sealed = seal(home, tmp_path / "x.enc", os.urandom(40), *options)
    [outcomes] = node({"op": "truncations", "file": sealed, "key": home / "a.key"})
    ends = 10 if "-stream" in options else 0  # five end-of-contents marks behind all that matters
    assert outcomes.pop("opened", 0) <= ends
    assert set(outcomes) == {"EnvelopeTruncated"}


def test_bytes_after_the_end_are_not_overlooked(node: Node, home: Path, tmp_path: Path) -> None:
    sealed = seal(home, tmp_path / "x.enc", bytes(100))
    sealed.write_bytes(sealed.read_bytes() + b"\n")
    [result] = node({"op": "open", "file": sealed, "key": home / "a.key"})
    assert result["error"] == "EnvelopeMalformed"
    assert "bytes were added" in result["message"]


FOUR_GIGABYTES_OF_RECIPIENTS = bytes.fromhex("308006092a864886f70d010703a0803080020100 3184ffffffff") + bytes(90)


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        (b"", "EnvelopeTruncated", "incomplete"),
        (b"RIFF1234WAVE", "EnvelopeMalformed", "not a sealed recording"),
        (b"-----BEGIN PKCS7-----\n", "EnvelopeMalformed", "text form"),
        (bytes.fromhex("3080" * 3000), "EnvelopeMalformed", "not a sealed recording"),
        (bytes.fromhex("308f" + "ff" * 40), "EnvelopeMalformed", "not a sealed recording"),
        (bytes.fromhex("300b06092a864886f70d010702"), "EnvelopeUnsupported", "not a sealed recording"),
        (FOUR_GIGABYTES_OF_RECIPIENTS, "EnvelopeUnsupported", "too long"),
    ],
)  # fmt: skip
def test_what_is_no_sealed_recording_is_called_what_it_is(
    node: Node, home: Path, tmp_path: Path, content: bytes, error: str, words: str
) -> None:
    (tmp_path / "x").write_bytes(content)
    [result] = node({"op": "open", "file": tmp_path / "x", "key": home / "a.key"})
    assert result["error"] == error
    assert words in result["message"]


@pytest.mark.parametrize("command", ["-des3", "-oaep", "-ec"])
def test_envelopes_of_other_kinds_get_an_answer(node: Node, home: Path, tmp_path: Path, command: str) -> None:
    (tmp_path / "plain").write_bytes(bytes(100))
    base = ("cms", "-encrypt", "-binary", "-outform", "DER", "-in", tmp_path / "plain", "-out", tmp_path / "x.enc")
    if command == "-des3":
        openssl(*base, "-des3", home / "a.crt")
        error, words = "EnvelopeUnsupported", "openssl smime -decrypt"
    elif command == "-oaep":
        openssl(*base, "-aes256", "-recip", home / "a.crt", "-keyopt", "rsa_padding_mode:oaep")
        error, words = "WrongKeyError", "none of them is RSA"
    else:
        openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-x509", "-subj", "/CN=ec"),
            *("-keyout", tmp_path / "ec.key", "-out", tmp_path / "ec.crt"),
        )
        openssl(*base, "-aes256", tmp_path / "ec.crt")
        error, words = "WrongKeyError", "none of them is RSA"
    [result] = node({"op": "open", "file": tmp_path / "x.enc", "key": home / "a.key"})
    assert result["error"] == error
    assert words in result["message"]


def test_an_rsa_recipient_beside_an_ec_one_is_found(node: Node, home: Path, tmp_path: Path) -> None:
    openssl(
        *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-x509", "-subj", "/CN=ec"),
        *("-keyout", tmp_path / "ec.key", "-out", tmp_path / "ec.crt"),
    )
    (tmp_path / "plain").write_bytes(b"audio")
    base = ("cms", "-encrypt", "-binary", "-outform", "DER", "-in", tmp_path / "plain", "-out", tmp_path / "x.enc")
    openssl(*base, "-aes256", tmp_path / "ec.crt", home / "a.crt")
    assert node({"op": "open", "file": tmp_path / "x.enc", "key": home / "a.key"}) == [opened(b"audio")]


def test_a_page_that_is_not_secure_says_what_to_do(node: Node, home: Path, tmp_path: Path) -> None:
    sealed = seal(home, tmp_path / "x.enc", bytes(100))
    [result] = node({"op": "insecure", "file": sealed, "key": home / "a.key"})
    assert result["error"] == "BrowserUnable"
    assert "https://" in result["message"]


# --- private keys -------------------------------------------------------------------------------------------------


def test_keys_open_in_every_form_openssl_writes(node: Node, home: Path, tmp_path: Path) -> None:
    key = home / "a.key"
    write = partial(openssl, "pkey", "-in", key)
    write("-out", tmp_path / "pkcs8.der", "-outform", "DER")
    write("-out", tmp_path / "pkcs1.pem", "-traditional")
    openssl("rsa", "-in", key, "-traditional", "-outform", "DER", "-out", tmp_path / "pkcs1.der")
    pem = key.read_text()
    (tmp_path / "with-certificate.pem").write_text((home / "a.crt").read_text() + pem)
    (tmp_path / "bag-attributes.pem").write_text("Bag Attributes\n    friendlyName: me\nKey Attributes: <No>\n" + pem)
    (tmp_path / "windows.pem").write_bytes(pem.replace("\n", "\r\n").encode("utf-8-sig"))
    (tmp_path / "powershell.pem").write_bytes(pem.encode("utf-16"))
    forms = sorted(tmp_path.iterdir())
    assert len(forms) == 7
    sealed = seal(home, tmp_path / "x.enc", b"audio")
    jobs = [{"op": "open", "file": sealed, "key": form} for form in forms]
    assert dict(zip(forms, node(*jobs), strict=True)) == dict.fromkeys(forms, opened(b"audio"))


@pytest.mark.parametrize("cipher", ["aes-128-cbc", "aes-192-cbc", "aes-256-cbc"])
@pytest.mark.parametrize("prf", ["hmacWithSHA1", "hmacWithSHA256", "hmacWithSHA384", "hmacWithSHA512"])
def test_protected_keys_open_with_their_passphrase_alone(
    node: Node, home: Path, tmp_path: Path, cipher: str, prf: str
) -> None:
    key = tmp_path / "locked.pem"
    openssl(
        *("pkcs8", "-topk8", "-v2", cipher, "-v2prf", prf, "-in", home / "a.key", "-out", key),
        *("-passout", "pass:Straße 7"),
    )
    locked = {"op": "key", "key": key}
    assert [result.get("error", result.get("bits")) for result in node(
        {**locked, "passphrase": "Straße 7"}, locked, {**locked, "passphrase": "strasse 7"}
    )] == [2048, "PassphraseNeeded", "PassphraseWrong"]  # fmt: skip


def test_hundreds_of_wrong_passphrases_are_all_called_wrong(node: Node, home: Path, tmp_path: Path) -> None:
    # The padding of one in 256 is right by chance.
    key = tmp_path / "locked.pem"
    openssl(*("pkcs8", "-topk8", "-v2", "aes-256-cbc", "-iter", "1", "-in", home / "a.key", "-out", key),
            *("-passout", "pass:right"))  # fmt: skip
    results = node(*({"op": "key", "key": key, "passphrase": f"wrong {n}"} for n in range(1500)))
    assert {result.get("error") for result in results} == {"PassphraseWrong"}


def conversions(home: Path, tmp_path: Path) -> Iterable[tuple[str, str]]:
    """Files people choose by mistake or have from older days, each with words of the answer."""
    key = home / "a.key"
    password = ("-passout", "pass:secret")

    def made(name: str, *command: str | Path) -> str:
        openssl(*command, "-out", tmp_path / name)
        return name

    legacy = ("rsa", "-in", key, "-traditional", "-aes128", *password)
    yield made("legacy.pem", *legacy), "openssl pkcs8 -topk8 -v2 aes-256-cbc"
    pkcs8 = ("pkcs8", "-topk8", "-in", key, *password)
    yield made("scrypt.pem", *pkcs8, "-scrypt", "-scrypt_N", "1024"), "openssl pkcs8 -topk8 -v2 aes-256-cbc"
    yield (
        made("pbes1.pem", *pkcs8, "-v1", "PBE-MD5-DES", "-provider", "legacy", "-provider", "default"),
        ("openssl pkcs8 -topk8 -v2 aes-256-cbc"),
    )
    yield made("public.pem", "pkey", "-in", key, "-pubout"), "This is a public key"
    yield made("public.der", "pkey", "-in", key, "-pubout", "-outform", "DER"), "This is a public key"
    yield made("certificate.pem", "x509", "-in", home / "a.crt"), "This is a certificate"
    yield made("certificate.der", "x509", "-in", home / "a.crt", "-outform", "DER"), "This is a certificate"
    yield made("request.pem", "req", "-new", "-key", key, "-subj", "/CN=a"), "This is a certificate request"
    curve = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
    yield made("ec.pem", "genpkey", *curve), "not an RSA key"
    yield made("ec-old.pem", "ecparam", "-name", "prime256v1", "-genkey", "-noout"), "not an RSA key"
    yield made("ed25519.pem", "genpkey", "-algorithm", "ED25519"), "not an RSA key"
    yield made("pss.pem", "genpkey", "-algorithm", "RSA-PSS"), "not an RSA key"
    locked = ("genpkey", *curve, "-aes256", "-pass", "pass:secret")
    yield made("ec-locked.pem", *locked), "not an RSA key"

    pem = key.read_text()
    lines = pem.splitlines()
    odd = {
        "empty.pem": ("", "There is no private key"),
        "note.txt": ("my key is in the safe", "There is no private key"),
        "cut.pem": ("\n".join(lines[:-3]), "incomplete"),
        "hole.pem": ("\n".join(lines[:5] + lines[8:]), "damaged"),
        "two.pem": (pem + (home / "d.key").read_text(), "several private keys"),
        "ssh.pem": ("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----", "SSH key"),
        "putty.ppk": ("PuTTY-User-Key-File-3: ssh-rsa\n", "SSH key"),
        "stars.pem": (f"{lines[0]}\n{'*' * 64}\n{lines[-1]}\n", "not Base64"),
    }
    for name, (text, words) in odd.items():
        (tmp_path / name).write_text(text)
        yield name, words


def test_what_is_not_a_usable_key_gets_an_answer_that_helps(node: Node, home: Path, tmp_path: Path) -> None:
    expected = dict(conversions(home, tmp_path))
    jobs = [{"op": "key", "key": tmp_path / name, "passphrase": "secret"} for name in expected]
    for (name, words), result in zip(expected.items(), node(*jobs), strict=True):
        assert result.get("error") == "KeyUnusable", (name, result)
        assert words in result["message"], (name, result)


def test_a_damaged_key_is_not_mistaken_for_a_wrong_one(node: Node, home: Path, tmp_path: Path) -> None:
    sealed = seal(home, tmp_path / "x.enc", b"audio")
    openssl("rsa", "-in", home / "a.key", "-traditional", "-outform", "DER", "-out", tmp_path / "good.der")
    good = (tmp_path / "good.der").read_bytes()
    jobs = []
    for n, at in enumerate((100, len(good) - 350, len(good) - 200, len(good) - 60)):  # n, p or q, dp or dq, qinv
        harmed = bytearray(good)
        harmed[at] ^= 1
        (tmp_path / f"{n}.der").write_bytes(harmed)
        jobs.append({"op": "open", "file": sealed, "key": tmp_path / f"{n}.der"})
    assert [result.get("error") for result in node(*jobs)] == ["KeyUnusable"] * 4


def test_the_streaming_hash_agrees_with_openssl(node: Node) -> None:
    cases = [[size] for size in range(200)] + [[1, 63, 64, 65, 0, 128, 7, 55, 1000], [55, 1], [56, 8], [100_000, 3]]
    assert node({"op": "hash", "cases": cases}) == [[True] * len(cases)]
