"""PFX files and protected keys opened by the pages' own script, run by Node, on files of real programs."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services import need
from tests.services.certificates import KeyPair, openssl
from tests.services.javascript import Node, copy_scripts, running
from tests.unit.keys.test_certificate import private_keys

PASSWORD = "Straße 7 € 🔑"  # of one, two, three and four bytes in UTF-8

DRIVER = """
import { readFileSync } from "node:fs";
const m = await import(process.argv[1]);
const { decryptTripleDes } = await import(process.argv[1].replace("envelope.js", "des.js"));
const { Password, pkcs12Bytes } = await import(process.argv[1].replace("envelope.js", "envelope-password.js"));
const { secretIn } = await import(process.argv[1].replace("envelope.js", "secrets.js"));
const file = (path) => new Uint8Array(readFileSync(path));
const bytes = (hex) => new Uint8Array(Buffer.from(hex, "hex"));

const operations = {
  open: async (job) => {
    const key = await m.loadPrivateKey(file(job.file), job.password);
    const opened = await m.decryptAll(file(job.sealed), key);
    return [key.description, Buffer.from(opened).toString()];
  },
  secret: (job) => secretIn(file(job.file)),
  des: (job) => decryptTripleDes(bytes(job.key), bytes(job.iv), bytes(job.content)),
  kdf: (job) => {
    const [secret] = new Password(job.password, true).forPkcs12;
    return pkcs12Bytes(job.hash, secret, bytes(job.salt), job.iterations, job.purpose, job.size);
  },
};
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("js")
    copy_scripts(folder)
    with running(DRIVER, folder / "envelope.js") as made:
        yield made


@pytest.fixture(scope="module")
def sealed(key_pair: KeyPair, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that was sealed for `key_pair`."""
    out = tmp_path_factory.mktemp("sealed") / "call.enc"
    command = ("smime", "-encrypt", "-binary", "-aes256", "-outform", "DER", "-out", out)
    openssl(*command, key_pair.certificate_path, stdin=b"audio")
    return out


def export(pair: KeyPair, out: Path, *options: str, password: str = PASSWORD) -> Path:
    """`openssl pkcs12 -export` of a key pair."""
    command = ("pkcs12", "-export", "-inkey", pair.key_path, "-in", pair.certificate_path, "-out", out)
    openssl(*command, "-passout", f"pass:{password}", *options)
    return out


TODAY = ()  # AES-256 and SHA-256 in PBES2, as Windows writes "AES256-SHA256"
OLD_WINDOWS = ("-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-3DES", "-macalg", "sha1")  # and "TripleDES-SHA1"
FORMS: dict[str, tuple[str, ...]] = {
    "today": TODAY,
    "old windows": OLD_WINDOWS,
    "certificates in RC2": ("-legacy", "-macalg", "sha1"),
    "two keys of DES": ("-keypbe", "PBE-SHA1-2DES", "-certpbe", "PBE-SHA1-2DES"),
    "PBES2 with triple DES": ("-keypbe", "DES-EDE3-CBC", "-certpbe", "DES-EDE3-CBC"),
    "one iteration": ("-iter", "1", "-nomaciter"),
    "many iterations": ("-iter", "20000"),
    "SHA-512": ("-macalg", "sha512"),
    "SHA-384, AES-128": ("-macalg", "sha384", "-keypbe", "AES-128-CBC"),
    "no MAC": ("-nomac",),
    "a bare key": ("-keypbe", "NONE", "-certpbe", "NONE"),
}


@pytest.mark.parametrize("password", [PASSWORD, ""])
def test_a_pfx_of_every_kind_opens_with_its_password(
    node: Node, key_pair: KeyPair, sealed: Path, tmp_path: Path, password: str
) -> None:
    files = {name: export(key_pair, tmp_path / f"{name}.pfx", *FORMS[name], password=password) for name in FORMS}
    jobs = [{"op": "open", "file": path, "sealed": sealed, "password": password} for path in files.values()]
    results = dict(zip(files, node(*jobs), strict=True))
    assert all(result == ["RSA, 2048 bits", "audio"] for result in results.values()), results


def test_a_wrong_password_is_told_and_a_missing_one_asked_for(
    node: Node, key_pair: KeyPair, sealed: Path, tmp_path: Path
) -> None:
    for name in ("today", "old windows", "no MAC"):
        path = export(key_pair, tmp_path / f"{name}.pfx", *FORMS[name])
        job = {"op": "open", "file": path, "sealed": sealed}
        given = [job, *({**job, "password": wrong} for wrong in ("", "strasse 7", PASSWORD + " "))]
        told = [result["error"] for result in node(*given)]
        assert told == ["PassphraseNeeded", *["PassphraseWrong"] * 3], name


def test_without_a_mac_hundreds_of_wrong_passwords_are_all_called_wrong(
    node: Node, key_pair: KeyPair, sealed: Path, tmp_path: Path
) -> None:
    path = export(key_pair, tmp_path / "x.pfx", "-nomac", "-iter", "1")  # the padding of one in 256 is right by chance
    results = node(*({"op": "open", "file": path, "sealed": sealed, "password": f"wrong {n}"} for n in range(700)))
    assert {result["error"] for result in results} == {"PassphraseWrong"}


def test_every_key_of_a_pfx_opens_what_was_sealed_for_it(
    node: Node, key_pair: KeyPair, other_key_pair: KeyPair, sealed: Path, tmp_path: Path
) -> None:
    # openssl writes one key: a second file's bags are put behind those of the first, as Windows exports several.
    from asn1crypto import pkcs12

    parts = [export(pair, tmp_path / "x.pfx", "-nomac").read_bytes() for pair in (other_key_pair, key_pair)]
    loaded = [pkcs12.Pfx.load(part) for part in parts]
    safes = [safe for pfx in loaded for safe in pfx.authenticated_safe]
    loaded[0]["auth_safe"]["content"] = pkcs12.AuthenticatedSafe(safes).dump()
    (tmp_path / "both.pfx").write_bytes(loaded[0].dump())
    job = {"op": "open", "file": tmp_path / "both.pfx", "sealed": sealed, "password": PASSWORD}
    assert node(job) == [["2 RSA keys", "audio"]]


@pytest.mark.long  # they ask for 600,000 iterations
def test_what_firefox_and_nss_export_opens(node: Node, key_pair: KeyPair, sealed: Path, tmp_path: Path) -> None:
    certutil, pk12util = need.tool("certutil"), need.tool("pk12util")
    plain = export(key_pair, tmp_path / "in.pfx", "-name", "acme", password="x")
    database = f"sql:{tmp_path}"

    def run(*command: str | Path) -> None:
        subprocess.run([str(part) for part in command], check=True, capture_output=True)

    run(certutil, "-N", "-d", database, "--empty-password")
    run(pk12util, "-i", plain, "-d", database, "-W", "x", "-K", "")
    for cipher in ("AES-256-CBC", "PKCS #12 V2 PBE With SHA-1 And 3KEY Triple DES-CBC"):
        out = tmp_path / "out.pfx"
        run(pk12util, "-o", out, "-n", "acme", "-d", database, "-W", "Straße", "-K", "", "-c", cipher, "-C", cipher)
        assert out.read_bytes()[1] == 0x80, "streamed BER"
        job = {"op": "open", "file": out, "sealed": sealed, "password": "Straße"}
        assert node(job) == [["RSA, 2048 bits", "audio"]], cipher
        out.unlink()


@pytest.mark.parametrize("scheme", [("-v2", "des3"), ("-v1", "PBE-SHA1-3DES"), ("-v2", "aes-256-cbc", "-iter", "1")])
@pytest.mark.parametrize("form", ["PEM", "DER"])
def test_a_protected_key_opens_with_its_passphrase(
    node: Node, key_pair: KeyPair, sealed: Path, tmp_path: Path, scheme: tuple[str, ...], form: str
) -> None:
    out = tmp_path / "locked"
    command = ("pkcs8", "-topk8", "-in", key_pair.key_path, "-outform", form, "-out", out)
    openssl(*command, "-passout", f"pass:{PASSWORD}", *scheme)
    job = {"op": "open", "file": out, "sealed": sealed}
    good, wrong, none = node({**job, "password": PASSWORD}, {**job, "password": "wrong"}, job)
    assert (good, wrong["error"], none["error"]) == (
        ["RSA, 2048 bits", "audio"], "PassphraseWrong", "PassphraseNeeded"
    )  # fmt: skip


def test_what_cannot_be_opened_says_what_to_do(node: Node, key_pair: KeyPair, sealed: Path, tmp_path: Path) -> None:
    rc2 = export(key_pair, tmp_path / "rc2.pfx", "-legacy", "-keypbe", "PBE-SHA1-RC2-40")
    empty = tmp_path / "no-key.pfx"
    command = ("pkcs12", "-export", "-nokeys", "-in", key_pair.certificate_path, "-out", empty)
    openssl(*command, "-passout", f"pass:{PASSWORD}")
    endless = tmp_path / "endless.pfx"
    good = export(key_pair, tmp_path / "good.pfx", "-iter", "65537")
    endless.write_bytes(good.read_bytes().replace(b"\x02\x03\x01\x00\x01", b"\x02\x03\x7f\xff\xff"))
    ec = tmp_path / "ec.pfx"
    made = openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-x509", "-subj", "/CN=e",
                   "-keyout", "-")  # fmt: skip
    openssl("pkcs12", "-export", "-out", ec, "-passout", f"pass:{PASSWORD}", stdin=made)
    expected = {
        rc2: "openssl pkcs12 -legacy",
        empty: "only certificates",
        endless: "iterations",
        ec: "not an RSA key",
    }
    for path, words in expected.items():
        [told] = node({"op": "open", "file": path, "sealed": sealed, "password": PASSWORD})
        assert told["error"] == "KeyUnusable" and words in told["message"], (path.name, told)


@pytest.mark.parametrize("step", [31, pytest.param(9, marks=pytest.mark.long)])
def test_a_pfx_that_is_cut_or_changed_gets_an_answer(
    node: Node, key_pair: KeyPair, sealed: Path, tmp_path: Path, step: int
) -> None:
    good = export(key_pair, tmp_path / "good.pfx", "-iter", "1").read_bytes()
    jobs = []
    for at in range(0, len(good), step):
        changed = bytearray(good)
        changed[at] ^= 0x55
        for name, content in ((f"{at}.cut", good[:at]), (f"{at}.changed", bytes(changed))):
            (tmp_path / name).write_bytes(content)
            jobs.append({"op": "open", "file": tmp_path / name, "sealed": sealed, "password": PASSWORD})
    told = [result["error"] for result in node(*jobs) if isinstance(result, dict)]
    assert set(told) <= {"KeyUnusable", "PassphraseWrong"}
    assert len(told) > len(jobs) * 0.9, "names and attributes outside of the check may change"


# --- what must not be sent ------------------------------------------------------------------------------------------


def test_every_form_of_a_private_key_is_known_in_the_page_and_no_certificate_is_taken_for_one(
    node: Node, key_pair: KeyPair, tmp_path: Path
) -> None:
    pfx = tmp_path / "pfx"
    secrets = {**private_keys(key_pair), "pfx of old Windows": export(key_pair, pfx, *OLD_WINDOWS).read_bytes()}
    del secrets["pgp"], secrets["jwk"]  # no file of these is offered to the field by mistake
    bundle = ("crl2pkcs7", "-nocrl", "-certfile", key_pair.certificate_path)
    public = ("pkey", "-in", key_pair.key_path, "-pubout")
    harmless = {
        "certificate": key_pair.pem,
        "certificate der": key_pair.der,
        "base64 alone": base64.b64encode(key_pair.der),
        "certificate in utf-16": key_pair.pem.decode().encode("utf-16"),
        "text": openssl("x509", "-in", key_pair.certificate_path, "-text"),
        "bundle": openssl(*bundle),
        "bundle der": openssl(*bundle, "-outform", "DER"),
        "public key": openssl(*public),
        "public key der": openssl(*public, "-outform", "DER"),
        "pkcs1 public key": openssl("rsa", "-in", key_pair.key_path, "-RSAPublicKey_out", "-outform", "DER"),
        "empty": b"",
        "noise": bytes(range(256)) * 4,
    }
    jobs = []
    for at, content in enumerate((*secrets.values(), *harmless.values())):
        (tmp_path / str(at)).write_bytes(content)
        jobs.append({"op": "secret", "file": tmp_path / str(at)})
    told = dict(zip((*secrets, *harmless), node(*jobs), strict=True))
    assert [name for name in secrets if not told[name]] == []
    assert [name for name in harmless if told[name]] == []
    assert told["pkcs12"] == told["pkcs12 base64"] == told["pfx of old Windows"] == "PKCS#12"


# --- the parts that browsers do not have ---------------------------------------------------------------------------


def test_triple_des_is_that_of_the_standard(node: Node) -> None:
    # NIST SP 800-67, revision 1, appendix B.1, and DES itself (three equal keys): FIPS 81, appendix B.
    key = "0123456789abcdef23456789abcdef01456789abcdef0123"
    blocks = ("a826fd8ce53b855f", "cce21c8112256fe6", "68d5c05dd9b6b900")
    plain = b"The qufck brown fox jump".hex()
    jobs = [{"op": "des", "key": key, "iv": "00" * 8, "content": block} for block in blocks]
    assert "".join(node(*jobs)) == plain
    cbc = "e5c7cdde872bf27c43e934008c389c0f683788499a7c05f6"
    job = {"op": "des", "key": "0123456789abcdef" * 3, "iv": "1234567890abcdef", "content": cbc}
    assert bytes.fromhex(node(job)[0]) == b"Now is the time for all "


def test_triple_des_agrees_with_openssl(node: Node) -> None:
    key, iv, plain = bytes(range(7, 31)), bytes(range(100, 108)), bytes(n * n % 251 for n in range(800))
    command = ("enc", "-des-ede3-cbc", "-K", key.hex(), "-iv", iv.hex(), "-nopad")
    content = openssl(*command, stdin=plain).hex()
    assert node({"op": "des", "key": key.hex(), "iv": iv.hex(), "content": content}) == [plain.hex()]


@pytest.mark.parametrize(
    ("password", "salt", "iterations", "purpose", "derived"),
    [  # the vectors that Bouncy Castle, OpenSSL and others share
        ("smeg", "0a58cf64530d823f", 1, 1, "8aaae6297b6cb04642ab5b077851284eb7128f1a2a7fbca3"),
        ("smeg", "0a58cf64530d823f", 1, 2, "79993dfe048d3b76"),
        ("queeg", "05dec959acff72f7", 1000, 1, "ed2034e36328830ff09df1e1a07dd357185dac0d4f9eb3d4"),
        ("queeg", "05dec959acff72f7", 1000, 2, "11dedad7758d4860"),
        ("smeg", "3d83c0e4546ac140", 1, 3, "8d967d88f6caa9d714800ab3d48051d63f73a312"),
    ],
)
def test_keys_are_derived_as_pkcs12_does(
    node: Node, password: str, salt: str, iterations: int, purpose: int, derived: str
) -> None:
    job = {"op": "kdf", "hash": "SHA-1", "password": password, "salt": salt, "iterations": iterations}
    assert node({**job, "purpose": purpose, "size": len(derived) // 2}) == [derived]
