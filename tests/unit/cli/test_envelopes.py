from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.services.certificates import KeyPair, openssl, smime_decrypt
from tests.unit.cli.conftest import Cli

CONTENT = b"RIFF" + bytes(range(256)) * 300
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def call(cli: Cli) -> Path:
    path = cli.home / "call.wav"
    path.write_bytes(CONTENT)
    return path


def test_openssl_opens_what_was_sealed_for_several(
    cli: Cli, call: Path, key_pair: KeyPair, other_key_pair: KeyPair
) -> None:
    told = cli.json("seal", call, "--to", key_pair.certificate_path, "--to", other_key_pair.certificate_path)
    assert told["content_sha256"] == SHA256
    assert told["sha256"] == hashlib.sha256(Path(told["file"]).read_bytes()).hexdigest()
    assert len(told["fingerprints"]) == 2
    for pair in (key_pair, other_key_pair):
        assert smime_decrypt(cli.home / "call.wav.enc", cli.home / "out", pair.key_path).returncode == 0
        assert (cli.home / "out").read_bytes() == CONTENT


def test_what_openssl_sealed_is_opened(cli: Cli, call: Path, key_pair: KeyPair) -> None:
    enc = cli.home / "theirs.enc"
    openssl(
        *("smime", "-encrypt", "-binary", "-aes256", "-in", call, "-outform", "DER", "-out", enc),
        key_pair.certificate_path,
    )
    told = cli.json("open", enc, "--key", key_pair.key_path, "--sha256", SHA256.upper())
    assert told == {
        "file": "theirs" if Path(told["file"]) == Path("theirs") else str(cli.home / "theirs"),
        "size_bytes": len(CONTENT),
        "sha256": SHA256,
        "sealed_sha256": hashlib.sha256(enc.read_bytes()).hexdigest(),
    }
    assert (cli.home / "theirs").read_bytes() == CONTENT


def test_another_key_opens_nothing_and_leaves_nothing(
    cli: Cli, call: Path, key_pair: KeyPair, other_key_pair: KeyPair
) -> None:
    cli.run("seal", call, "--to", key_pair.certificate_path)
    told = cli.json("open", "call.wav.enc", "--key", other_key_pair.key_path, "--out", "out", code=1)
    assert told["error"]["type"] == "no-recipient-matches"
    assert not (cli.home / "out").exists()


def test_content_with_another_checksum_is_not_kept(cli: Cli, call: Path, key_pair: KeyPair) -> None:
    cli.run("seal", call, "--to", key_pair.certificate_path)
    words = ("open", "call.wav.enc", "--key", key_pair.key_path, "--out", "out", "--sha256")
    assert cli.json(*words, "0" * 64, code=1)["error"]["type"] == "content-differs"
    cli.run(*words, "zz", code=2)
    assert not (cli.home / "out").exists()
    assert "(as expected)" in cli.run(*words, SHA256).out


def test_a_key_with_a_passphrase_takes_it_from_standard_input(cli: Cli, call: Path, key_pair: KeyPair) -> None:
    locked = cli.home / "locked.pem"
    openssl("pkcs8", "-topk8", "-in", key_pair.key_path, "-out", locked, "-passout", "pass:Kölner Straße 7")
    cli.run("seal", call, "--to", key_pair.certificate_path)
    words = ("open", "call.wav.enc", "--key", locked, "--out", "out")
    assert "passphrase" in cli.run(*words, code=1, stdin="").err
    assert "passphrase" in cli.run(*words, "--passphrase-stdin", code=1, stdin="wrong\n").err
    cli.run(*words, "--passphrase-stdin", stdin="Kölner Straße 7\n")
    assert (cli.home / "out").read_bytes() == CONTENT


def test_nothing_is_replaced_unless_asked_for(cli: Cli, call: Path, key_pair: KeyPair) -> None:
    words = ("seal", call, "--to", key_pair.certificate_path)
    cli.run(*words)
    before = (cli.home / "call.wav.enc").read_bytes()
    assert "--force" in cli.run(*words, code=2).err
    assert (cli.home / "call.wav.enc").read_bytes() == before
    cli.run(*words, "--force")
    assert (cli.home / "call.wav.enc").read_bytes() != before
    assert "--force" in cli.run("open", "call.wav.enc", "--key", key_pair.key_path, code=2).err
    cli.run("open", "call.wav.enc", "--key", key_pair.key_path, "--force")
    cli.run("seal", call, "--to", key_pair.certificate_path, "--out", call, "--force", code=2)
    assert call.read_bytes() == CONTENT


@pytest.mark.parametrize(
    "words",
    [
        ("seal", "nothing.wav", "--to", "nothing.pem"),
        ("seal", "call.wav", "--to", "nothing.pem"),
        ("seal", "call.wav"),
        ("seal", "call.wav", "--to", "nothing.pem", "--out", "no/folder"),
        ("open", "call.wav", "--key", "nothing.pem"),  # without --out it has no name to write to
        ("open", "nothing.enc", "--key", "nothing.pem"),
        ("inspect", "call.wav", "--certificates", "nowhere"),
    ],
)
def test_what_is_not_there_is_misuse(cli: Cli, call: Path, words: tuple[str, ...]) -> None:
    cli.run(*words, code=1 if words[0] == "inspect" else 2)


def test_a_private_key_is_not_sealed_for(cli: Cli, call: Path, key_pair: KeyPair) -> None:
    assert cli.json("seal", call, "--to", key_pair.key_path, code=1)["error"]["reason"] == "private-key"
    assert not (cli.home / "call.wav.enc").exists()


def test_inspect_names_the_certificates_of_a_folder(
    cli: Cli, call: Path, key_pair: KeyPair, other_key_pair: KeyPair
) -> None:
    folder = cli.home / "certificates"
    folder.mkdir()
    for name, content in (("a.pem", key_pair.pem), ("b.pem", other_key_pair.pem), ("c.key", key_pair.key_pem)):
        (folder / name).write_bytes(content)
    cli.run("seal", call, "--to", key_pair.certificate_path)
    told = cli.json("inspect", "call.wav.enc", "--certificates", folder)
    assert told["content_algorithm"] == "AES-256-CBC"
    assert told["content_bytes"] == len(CONTENT) + 16 - len(CONTENT) % 16
    assert [one["issuer"] for one in told["recipients"]] == ["CN=acme"]
    assert [one["file"] for one in told["certificates"]] == [str(folder / "a.pem")]
    done = cli.run("inspect", "call.wav.enc", "--certificates", folder)
    assert "CN=acme" in done.out
    (folder / "a.pem").unlink()
    assert "None of the 1 certificates" in cli.run("inspect", "call.wav.enc", "--certificates", folder).out


def test_a_file_that_is_no_envelope_fails(cli: Cli, call: Path) -> None:
    assert cli.json("inspect", call, code=1)["error"]["type"] == "envelope-malformed"
    assert "No such file" in cli.run("inspect", "nothing.enc", code=1).err
