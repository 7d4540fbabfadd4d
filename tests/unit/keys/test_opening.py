"""Opening and inspecting: other people's envelopes, wrong keys, damage, hostile lengths."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import random
import stat
import subprocess
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys import tlv
from keys.envelope import Sealer, seal_file
from keys.errors import (
    ContentDiffers,
    EnvelopeMalformed,
    KeysError,
    NoRecipientMatches,
    OutputUnsafe,
    PrivateKeyUnusable,
)
from keys.opening import PrivateKey, inspect, load_private_key, open_envelope, open_file
from tests.services.certificates import KeyPair, KeyPairs, openssl

CONTENT = random.Random(1).randbytes(200_001)


def sealed(content: bytes, *pairs: KeyPair) -> bytes:
    return Sealer([pair.der for pair in pairs]).begin(len(content)).open(io.BytesIO(content)).read()


@cache
def loaded(path: Path) -> PrivateKey:
    return load_private_key(path.read_bytes())


def opened(envelope: bytes, pair: KeyPair, **options: bytes) -> bytes:
    out = io.BytesIO()
    open_envelope(io.BytesIO(envelope), out, loaded(pair.key_path), **options)
    return out.getvalue()


FOREIGN = {
    "smime aes128": ("smime", "-encrypt", "-aes128"),
    "smime aes192": ("smime", "-encrypt", "-aes192"),
    "smime 3des": ("smime", "-encrypt", "-des3"),
    "cms indefinite length": ("cms", "-encrypt", "-aes256", "-stream"),
    "cms key identifier": ("cms", "-encrypt", "-aes256", "-keyid"),
    "cms 3des indefinite key identifier": ("cms", "-encrypt", "-des3", "-keyid", "-stream"),
}
OAEP = {
    "oaep": ("-keyopt", "rsa_padding_mode:oaep"),
    "oaep sha256": ("-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha256"),
    "oaep sha256 mgf sha512": (
        *("-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha256"),
        *("-keyopt", "rsa_mgf1_md:sha512"),
    ),
    "oaep label": ("-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_label:616263"),
}


@pytest.mark.parametrize("variant", FOREIGN)
@pytest.mark.parametrize("content", [b"", b"x", CONTENT], ids=len)
def test_we_open_what_openssl_seals(variant: str, content: bytes, key_pair: KeyPair) -> None:
    command = (*FOREIGN[variant], "-binary", "-outform", "DER", key_pair.certificate_path)
    envelope = openssl(*command, stdin=content)
    assert opened(envelope, key_pair) == content
    assert opened(envelope, key_pair, certificate=key_pair.der) == content
    assert inspect(io.BytesIO(envelope)).matching([key_pair.der]) == (key_pair.der,)


@pytest.mark.parametrize("variant", OAEP)
def test_we_open_rsa_oaep_and_name_it(variant: str, key_pair: KeyPair) -> None:
    command = ("cms", "-encrypt", "-aes256", "-binary", "-outform", "DER", "-recip", key_pair.certificate_path)
    envelope = openssl(*command, *OAEP[variant], stdin=CONTENT)
    assert inspect(io.BytesIO(envelope)).recipients[0].algorithm == "RSA-OAEP"
    assert opened(envelope, key_pair) == CONTENT


def test_content_in_nested_pieces_of_odd_lengths_opens(key_pair: KeyPair) -> None:
    # Given our own envelope, its content re-encoded as BER: pieces of 1, 7, 0 and more bytes, some nested
    envelope = sealed(CONTENT, key_pair)
    info = inspect(io.BytesIO(envelope))
    body = envelope[info.content_offset :]
    pieces = [body[:1], body[1:8], b"", body[8:100], body[100:]]
    encoded = b"".join(tlv.element(tlv.OCTET_STRING, piece) for piece in pieces[:2])
    nested = b"".join(tlv.element(tlv.OCTET_STRING, piece) for piece in pieces[2:])
    encoded += b"\x24\x80" + nested + b"\0\0"
    header = envelope[: info.content_offset]
    at = header.rindex(b"\x04\x10" + info.iv)
    described = header[header.rindex(tlv.oid("1.2.840.113549.1.7.1"), 0, at) : at + 18]
    recipients = header[header.index(b"\x02\x01\x00\x31") : header.rindex(b"\x30", 0, header.index(described))]
    for infinite in (True, False):
        content = b"\xa0\x80" + encoded + b"\0\0" if infinite else tlv.element(0xA0, encoded)
        inner = recipients + _container(tlv.SEQUENCE, described + content, infinite)
        explicit = _container(tlv.CONTEXT_0, _container(tlv.SEQUENCE, inner, infinite), infinite)
        whole = _container(tlv.SEQUENCE, tlv.oid("1.2.840.113549.1.7.3") + explicit, infinite)
        assert opened(whole, key_pair) == CONTENT
        assert inspect(io.BytesIO(whole)).content_bytes is None
        with pytest.raises(EnvelopeMalformed):
            opened(whole + b"\0", key_pair)
        with pytest.raises(EnvelopeMalformed):
            opened(whole[:-1], key_pair)


def _container(tag: int, content: bytes, infinite: bool) -> bytes:
    return bytes((tag, 0x80)) + content + b"\0\0" if infinite else tlv.element(tag, content)


def test_inspect_names_every_recipient_and_who_of_a_folder_opens_it(
    key_pair: KeyPair, other_key_pair: KeyPair, key_pairs: KeyPairs
) -> None:
    third = key_pairs.get("third")
    info = inspect(io.BytesIO(sealed(CONTENT, key_pair, other_key_pair)))
    assert {recipient.issuer for recipient in info.recipients} == {"CN=acme", "CN=globex"}
    assert {recipient.algorithm for recipient in info.recipients} == {"RSA PKCS#1 v1.5"}
    assert {recipient.encrypted_key_bytes for recipient in info.recipients} == {256}
    shown = openssl("x509", "-in", key_pair.certificate_path, "-noout", "-serial").decode().strip().split("=")[1]
    assert shown in {recipient.serial for recipient in info.recipients}
    assert info.content_algorithm == "AES-256-CBC"
    assert info.matching([third.der, other_key_pair.der]) == (other_key_pair.der,)


@pytest.mark.parametrize("form", ["pem", "der"])
@pytest.mark.parametrize("what", ["certificate", "private key"])
def test_what_is_no_envelope_is_called_by_its_name(what: str, form: str, key_pair: KeyPair) -> None:
    given = key_pair.pem if what == "certificate" else key_pair.key_pem
    body = given if form == "pem" else base64.b64decode(b"".join(given.splitlines()[1:-1]))
    with pytest.raises(EnvelopeMalformed, match=f"(?i)this is a .*{what}.*not an envelope") as caught:
        inspect(io.BytesIO(body))
    assert "cmsout" not in str(caught.value)


def test_inspect_reads_the_header_and_no_further(key_pair: KeyPair, tmp_path: Path) -> None:
    envelope = sealed(bytes(1 << 20), key_pair)
    source = io.BytesIO(envelope)
    inspect(source)
    assert source.tell() < 1000
    (tmp_path / "cut.enc").write_bytes(envelope[:1000])
    assert inspect(tmp_path / "cut.enc").content_bytes == (1 << 20) + 16


# --- wrong keys -------------------------------------------------------------------------------------------


def test_a_wrong_key_is_told_from_damage(key_pair: KeyPair, other_key_pair: KeyPair) -> None:
    envelope = sealed(CONTENT, key_pair)
    with pytest.raises(NoRecipientMatches):
        opened(envelope, other_key_pair)
    with pytest.raises(NoRecipientMatches):
        opened(envelope, key_pair, certificate=other_key_pair.der)


def test_a_wrong_key_never_passes_for_a_right_one(key_pair: KeyPair, other_key_pair: KeyPair) -> None:
    # cryptography's own decrypt answers most of these with random bytes
    wrong = load_private_key(other_key_pair.key_pem)
    sealer = Sealer([key_pair.der])
    for _ in range(60):
        envelope = sealer.begin(0).open(io.BytesIO(b"")).read()
        with pytest.raises(NoRecipientMatches):
            open_envelope(io.BytesIO(envelope), io.BytesIO(), wrong)


def test_a_key_of_another_length_is_a_wrong_key(key_pair: KeyPair, key_pairs: KeyPairs) -> None:
    with pytest.raises(NoRecipientMatches):
        opened(sealed(CONTENT, key_pair), key_pairs.get("longer", key="rsa:2056"))


# --- damage -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [1, 2, 50, 300, 420, 1000, 150_000, 200_400])
def test_a_cut_envelope_is_malformed(cut: int, key_pair: KeyPair) -> None:
    with pytest.raises(EnvelopeMalformed):
        opened(sealed(CONTENT, key_pair)[:cut], key_pair)


@pytest.mark.parametrize("junk", [b"\0", b"x" * 100_000])
def test_junk_behind_an_envelope_is_malformed(junk: bytes, key_pair: KeyPair) -> None:
    with pytest.raises(EnvelopeMalformed):
        opened(sealed(CONTENT, key_pair) + junk, key_pair)


def tampered(name: str, envelope: bytes) -> bytes:
    info = inspect(io.BytesIO(envelope))
    start, changed = info.content_offset, bytearray(envelope)
    if name == "a flipped bit":
        changed[start + 5000] ^= 1
    elif name == "a flipped bit in the last block":
        changed[-1] ^= 1
    elif name == "a forged first block":
        changed[envelope.index(info.iv)] ^= 0xFF
    elif name == "swapped blocks":
        changed[start + 32 : start + 64] = changed[start + 48 : start + 64] + changed[start + 32 : start + 48]
    elif name == "repeated blocks":
        changed[start + 64 : start + 128] = changed[start : start + 64]
    elif name == "cut":
        del changed[-16:]
    elif name == "a flipped bit in the encrypted key":
        changed[envelope.index(b"\x04\x82\x01\x00") + 100] ^= 1
    return bytes(changed)


@pytest.mark.parametrize(
    "how",
    [
        *("a flipped bit", "a flipped bit in the last block", "a forged first block", "swapped blocks"),
        *("repeated blocks", "cut", "a flipped bit in the encrypted key"),
    ],
)
def test_tampering_is_refused_and_leaves_no_output(how: str, key_pair: KeyPair, tmp_path: Path) -> None:
    envelope = sealed(CONTENT, key_pair)
    changed = tampered(how, envelope)
    assert changed != envelope
    (tmp_path / "call.enc").write_bytes(changed)
    out = tmp_path / "call.wav"
    with pytest.raises(KeysError):
        open_file(tmp_path / "call.enc", key_pair.key_path, out, expect_sha256=hashlib.sha256(CONTENT).hexdigest())
    assert [path.name for path in tmp_path.iterdir()] == ["call.enc"]


def test_the_sum_is_what_notices_tampering(key_pair: KeyPair, tmp_path: Path) -> None:
    (tmp_path / "call.enc").write_bytes(tampered("swapped blocks", sealed(CONTENT, key_pair)))
    open_file(tmp_path / "call.enc", key_pair.key_path, tmp_path / "unnoticed")
    with pytest.raises(ContentDiffers) as caught:
        open_file(tmp_path / "call.enc", key_pair.key_path, tmp_path / "noticed", expect_sha256="ab" * 32)
    assert caught.value.found_sha256 == hashlib.sha256((tmp_path / "unnoticed").read_bytes()).hexdigest()


# --- files ------------------------------------------------------------------------------------------------


def test_open_file_gives_back_the_file_for_its_owner_only(key_pair: KeyPair, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(CONTENT)
    sums = seal_file(tmp_path / "in", tmp_path / "in.enc", [key_pair.der])
    result = open_file(
        tmp_path / "in.enc", key_pair.key_path, tmp_path / "out", expect_sha256=sums.plain_sha256.upper()
    )
    assert (tmp_path / "out").read_bytes() == CONTENT
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o600
    assert result.sealed_sha256 == sums.sealed_sha256


def test_a_failed_open_leaves_an_older_output_alone(key_pair: KeyPair, other_key_pair: KeyPair, tmp_path: Path) -> None:
    (tmp_path / "in.enc").write_bytes(sealed(CONTENT, key_pair))
    (tmp_path / "out").write_bytes(b"older")
    with pytest.raises(NoRecipientMatches):
        open_file(tmp_path / "in.enc", other_key_pair.key_path, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"older"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.enc", "out"]


def test_the_output_never_replaces_the_envelope_or_the_key(key_pair: KeyPair, tmp_path: Path) -> None:
    (tmp_path / "in.enc").write_bytes(sealed(CONTENT, key_pair))
    (tmp_path / "link").symlink_to("in.enc")
    (tmp_path / "key").write_bytes(key_pair.key_pem)
    for out in ("in.enc", "link", "key", "."):
        with pytest.raises(OutputUnsafe):
            open_file(tmp_path / "in.enc", tmp_path / "key", tmp_path / out)
    assert opened((tmp_path / "in.enc").read_bytes(), key_pair) == CONTENT


# --- text forms and other things --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (("smime", "-encrypt", "-outform", "PEM"), "PEM"),
        (("cms", "-encrypt", "-outform", "PEM"), "PEM"),
        (("smime", "-encrypt"), "S/MIME"),
        (("smime", "-encrypt", "-subject", "x"), "S/MIME"),
    ],
)
def test_text_forms_are_named_with_the_command_that_converts_them(
    arguments: tuple[str, ...], advice: str, key_pair: KeyPair
) -> None:
    text = openssl(*arguments, "-aes256", key_pair.certificate_path, stdin=b"x")
    with pytest.raises(EnvelopeMalformed, match=advice) as caught:
        opened(text, key_pair)
    # And the command does
    command = str(caught.value).split("Convert it with: ")[1].removesuffix(".").split()
    converted = subprocess.run(
        [word for word in command if word not in _FILES],
        input=text,
        capture_output=True,
        check=True,
    )
    assert opened(converted.stdout, key_pair) == b"x"


_FILES = ("-in", "FILE", "-out", "FILE.enc")


def test_base64_is_named(key_pair: KeyPair) -> None:
    text = openssl("base64", stdin=sealed(CONTENT, key_pair))
    with pytest.raises(EnvelopeMalformed, match="base64"):
        inspect(io.BytesIO(text))


def test_what_is_no_envelope_for_anybody_says_what_it_is(key_pair: KeyPair) -> None:
    signed = openssl(
        *("smime", "-sign", "-binary", "-outform", "DER", "-signer", key_pair.certificate_path),
        *("-inkey", key_pair.key_path, "-nodetach"),
        stdin=b"x",
    )
    gcm = openssl("cms", "-encrypt", "-aes-256-gcm", "-outform", "DER", key_pair.certificate_path, stdin=b"x")
    for envelope, word in (
        (signed, "not encrypted"),
        (gcm, "AES-GCM"),
        (b"", "empty"),
        (b"RIFF" + CONTENT, "not a CMS"),
    ):
        with pytest.raises(EnvelopeMalformed, match=word):
            inspect(io.BytesIO(envelope))


@pytest.mark.parametrize(
    "hostile",
    [
        b"\x30\x88\xff\xff\xff\xff\xff\xff\xff\xff\x06\x09",
        b"\x30\x80\x06\x84\x7f\xff\xff\xff",
        b"\x30\xff" + b"\xff" * 200,
        b"\x30\x80" * 5000,
        b"\x30\x80" + tlv.oid("1.2.840.113549.1.7.3") + b"\xa0\x80\x30\x80\x02\x01\x00" + b"\x31\x80" * 5000,
        b"\x30\x80" + tlv.oid("1.2.840.113549.1.7.3") + b"\xa0\x80\x30\x80\x02\x01\x00\x31\x80" + b"\x30\x00" * 400_000,
        b"\x30\x80" + tlv.oid("1.2.840.113549.1.7.3") + b"\xa0\x80\x30\x80\x02\x01\x00\x31\x84\x7f\xff\xff\xff\x30",
        b"\x1f\x85\x23\x80" + bytes(100),
        b"\x04\x80" + bytes(100),
    ],
    ids=range(9),
)
@pytest.mark.timeout(10)
def test_hostile_lengths_and_depths_are_refused_at_once(hostile: bytes) -> None:
    with pytest.raises(EnvelopeMalformed):
        inspect(io.BytesIO(hostile))


@given(data=st.data())
def test_changed_bytes_raise_nothing_but_errors_of_this_package(
    data: st.DataObject, small: bytes, key: KeyPair
) -> None:
    changed = bytearray(small)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(changed) - 1))
        if data.draw(st.booleans()):
            changed[at] = data.draw(st.integers(0, 255))
        else:
            changed[at:at] = data.draw(st.binary(max_size=4))
    for work in (lambda: inspect(io.BytesIO(bytes(changed))), lambda: opened(bytes(changed), key)):
        with suppress(KeysError):
            work()


@given(st.binary(max_size=200))
def test_random_bytes_are_malformed(noise: bytes) -> None:
    for prefix in (b"", b"\x30\x80" + tlv.oid("1.2.840.113549.1.7.3") + b"\xa0\x80\x30\x80"):
        with pytest.raises(EnvelopeMalformed):
            inspect(io.BytesIO(prefix + noise))


@pytest.fixture(scope="session")
def key(key_pair: KeyPair) -> KeyPair:
    return key_pair


@pytest.fixture(scope="session", params=["definite", "indefinite"])
def small(request: pytest.FixtureRequest, key_pair: KeyPair) -> bytes:
    stream = ("-stream",) if request.param == "indefinite" else ()
    command = ("cms", "-encrypt", "-aes256", "-binary", *stream, "-outform", "DER", key_pair.certificate_path)
    return openssl(*command, stdin=b"twenty-one bytes long")


# --- private key files ------------------------------------------------------------------------------------


def test_private_keys_load_in_every_form_openssl_writes(key_pair: KeyPair) -> None:
    path = key_pair.key_path
    p12 = ("pkcs12", "-export", "-inkey", path, "-in", key_pair.certificate_path, "-passout")
    forms = {
        "pem": (key_pair.key_pem, None),
        "pem with a needless passphrase": (key_pair.key_pem, "x"),
        "pkcs1": (openssl("rsa", "-in", path, "-traditional"), None),
        "der": (openssl("pkey", "-in", path, "-outform", "DER"), None),
        "encrypted": (openssl("pkcs8", "-topk8", "-in", path, "-passout", "pass:söme"), "söme"),
        "encrypted pkcs1": (openssl("rsa", "-in", path, "-traditional", "-aes256", "-passout", "pass:x"), b"x"),
        "encrypted der": (openssl("pkcs8", "-topk8", "-in", path, "-outform", "DER", "-passout", "pass:x"), "x"),
        "pkcs12": (openssl(*p12, "pass:x"), "x"),
        "certificate first": (key_pair.pem + key_pair.key_pem, None),
        "notepad": (key_pair.key_pem.decode().encode("utf-16"), None),
        "crlf": (key_pair.key_pem.replace(b"\n", b"\r\n"), None),
    }
    for name, (data, passphrase) in forms.items():
        found = load_private_key(data, passphrase)
        assert found.belongs_to(key_pair.der), name
        assert repr(found) == "PrivateKey(bits=2048)"


def test_what_is_no_usable_private_key_says_what_to_do(key_pair: KeyPair) -> None:
    encrypted = openssl("pkcs8", "-topk8", "-in", key_pair.key_path, "-passout", "pass:x")
    cases: list[tuple[bytes, str | None, str]] = [
        (key_pair.pem, None, "certificate or public key"),
        (key_pair.der, None, "certificate or public key"),
        (encrypted, None, "needs its passphrase"),
        (encrypted, "wrong", "passphrase does not open"),
        (openssl("genpkey", "-algorithm", "ed25519"), None, "not RSA"),
        (openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout"), None, "not RSA"),
        (b"", None, "not a private key"),
        (os.urandom(100), None, "not a private key"),
        (key_pair.key_pem[:500] + b"\n-----END PRIVATE KEY-----\n", None, "damaged"),
    ]
    for data, passphrase, words in cases:
        with pytest.raises(PrivateKeyUnusable, match=words) as caught:
            load_private_key(data, passphrase)
        assert caught.value.__context__ is None
