from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from tests.services.certificates import KeyPair, KeyPairs, smime_decrypt
from tests.unit.cli.conftest import Cli


def test_check_needs_no_database_and_leaves_nothing_behind(
    cli: Cli, key_pair: KeyPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("RECPIPE_DATABASE_URL", "postgresql+psycopg://nobody@127.0.0.1:1/none")
    told = cli.json("certificate", "check", key_pair.certificate_path)
    assert told["subject"] == "CN=acme"
    assert told["key_bits"] == 2048
    assert list(elsewhere.iterdir()) == []


def test_check_reads_standard_input(cli: Cli, key_pair: KeyPair) -> None:
    done = cli.run("certificate", "check", "-", stdin=key_pair.pem.decode())
    assert "Recordings can be sealed for this certificate." in done.out
    assert "CN=acme" in done.out


def test_a_private_key_is_refused_and_not_repeated(cli: Cli, key_pair: KeyPair) -> None:
    done = cli.run("certificate", "check", key_pair.key_path, code=1)
    assert "Reason: private-key." in done.err
    assert not any(line in done.err + done.out for line in key_pair.key_pem.decode().splitlines())
    assert cli.json("certificate", "check", key_pair.key_path, code=1)["error"]["reason"] == "private-key"


def test_a_file_that_cannot_be_read_is_misuse(cli: Cli) -> None:
    assert "No such file" in cli.run("certificate", "check", "nothing.pem", code=2).err


def test_the_proof_with_the_documented_command(cli: Cli, acme: Any, key_pair: KeyPair) -> None:
    # Given a certificate that was added
    done = cli.run("certificate", "add", "acme", key_pair.certificate_path, "--label", "office")
    assert "openssl smime -decrypt -binary -in challenge.enc -inform DER -out challenge.txt" in done.out
    (held,) = cli.json("certificate", "list", "acme")["items"]
    assert held["id"] in done.out
    assert (held["state"], held["label"]) == ("unproven", "office")
    # When its owner opens the challenge and gives back all that was in it
    opened = cli.home / "challenge.txt"
    assert smime_decrypt(cli.home / "challenge.enc", opened, key_pair.key_path).returncode == 0
    proven = cli.json("certificate", "verify", "acme", "--answer-file", opened)
    # Then it is proven, and encryption can go on
    assert proven == held | {k: proven[k] for k in ("state", "decided_at", "decided_by")}
    assert proven["state"] == "proven"
    assert cli.json("tenant", "set", "acme", "--encryption", "on")["encryption"] is True


def test_the_whole_text_is_taken_for_an_answer_too(cli: Cli, acme: Any, key_pair: KeyPair) -> None:
    added = cli.json("certificate", "add", "acme", key_pair.certificate_path)
    assert base64.b64decode(added["challenge"]) == Path(added["challenge_file"]).read_bytes()
    smime_decrypt(cli.home / "challenge.enc", cli.home / "challenge.txt", key_pair.key_path)
    text = (cli.home / "challenge.txt").read_text()
    assert "Proven" in cli.run("certificate", "verify", "acme", added["certificate"]["id"][:6], "--answer", text).out


def test_a_wrong_answer_proves_nothing(cli: Cli, acme: Any, key_pair: KeyPair) -> None:
    cli.run("certificate", "add", "acme", key_pair.certificate_path)
    told = cli.json("certificate", "verify", "acme", "--answer", "0000-0000-0000-0000-0000-0000", code=1)
    assert told["error"]["type"] == "challenge-failed"
    assert cli.json("certificate", "list", "acme")["items"][0]["state"] == "unproven"


def test_a_challenge_replaces_no_file_and_then_nothing_is_kept(cli: Cli, acme: Any, key_pair: KeyPair) -> None:
    (cli.home / "challenge.enc").write_text("somebody else's")
    assert "--challenge-out" in cli.run("certificate", "add", "acme", key_pair.certificate_path, code=2).err
    assert (cli.home / "challenge.enc").read_text() == "somebody else's"
    assert cli.json("certificate", "list", "acme")["items"] == []
    cli.run("certificate", "add", "acme", key_pair.certificate_path, "--challenge-out", "nowhere/c.enc", code=2)
    assert cli.json("certificate", "list", "acme")["items"] == []


def test_a_new_challenge_makes_the_old_one_worthless(cli: Cli, acme: Any, key_pair: KeyPair) -> None:
    added = cli.json("certificate", "add", "acme", key_pair.certificate_path, "--challenge-out", "first.enc")
    cli.run("certificate", "challenge", "acme", added["certificate"]["id"], "--challenge-out", "second.enc")
    for name in ("first", "second"):
        smime_decrypt(cli.home / f"{name}.enc", cli.home / f"{name}.txt", key_pair.key_path)
    cli.run("certificate", "verify", "acme", "--answer-file", "first.txt", code=1)
    cli.run("certificate", "verify", "acme", "--answer-file", "second.txt")


def test_vouching_needs_no_proof_and_is_audited(cli: Cli, acme: Any, key_pair: KeyPair) -> None:
    added = cli.json("certificate", "add", "acme", key_pair.certificate_path, "--vouch")
    assert added["certificate"]["state"] == "vouched"
    assert added["challenge"] is added["challenge_file"] is None
    assert not (cli.home / "challenge.enc").exists()
    (event,) = cli.audited("certificate.vouch")
    assert event["detail"]["fingerprint"] == added["certificate"]["fingerprint"]


def test_without_a_name_the_one_that_waits_is_meant_and_two_are_asked_about(
    cli: Cli, acme: Any, key_pair: KeyPair, other_key_pair: KeyPair
) -> None:
    assert "No certificate of acme waits" in cli.run("certificate", "verify", "acme", "--answer", "x", code=2).err
    for number, pair in enumerate((key_pair, other_key_pair)):
        cli.run("certificate", "add", "acme", pair.certificate_path, "--challenge-out", f"{number}.enc")
    assert "Say which" in cli.run("certificate", "verify", "acme", "--answer", "x", code=2).err


@pytest.mark.parametrize("answers", [(), ("--answer", "x", "--answer-file", "y")])
def test_one_answer_is_needed(cli: Cli, acme: Any, answers: tuple[str, ...]) -> None:
    assert "--answer-file" in cli.run("certificate", "verify", "acme", *answers, code=2).err


def test_a_certificate_is_named_by_how_its_fingerprint_begins(cli: Cli, acme: Any, key_pair: KeyPair) -> None:
    added = cli.json("certificate", "add", "acme", key_pair.certificate_path, "--vouch")["certificate"]
    colons = ":".join(added["fingerprint"][at : at + 2] for at in range(0, 12, 2)).upper()
    assert cli.json("certificate", "retire", "acme", colons)["state"] == "retired"
    assert "certificate" in cli.run("certificate", "retire", "acme", "ffffffffffff", code=2).err
    cli.run("certificate", "retire", "acme", "", code=2)


def test_the_last_certificate_of_an_encrypted_tenant_stays(cli: Cli, acme: Any, key_pair: KeyPair) -> None:
    added = cli.json("certificate", "add", "acme", key_pair.certificate_path, "--vouch")["certificate"]
    cli.run("tenant", "set", "acme", "--encryption", "on")
    told = cli.json("certificate", "retire", "acme", added["id"], code=1)
    assert told["error"]["reason"] == "last-usable-certificate"


def test_another_tenants_certificate_is_not_found(cli: Cli, acme: Any, key_pair: KeyPair) -> None:
    added = cli.json("certificate", "add", "acme", key_pair.certificate_path, "--vouch")["certificate"]
    cli.run("tenant", "create", "globex")
    assert cli.json("certificate", "retire", "globex", added["id"], code=2)["error"]["type"] == "not-found"


def test_a_hostile_subject_is_printed_harmlessly(cli: Cli, acme: Any, key_pairs: KeyPairs) -> None:
    pair = key_pairs.get("hostile", "-utf8", subject="/CN=[bold]acme[\\/bold]\x1b[2J")
    for words in (("certificate", "check"), ("certificate", "add", "acme", "--vouch")):
        done = cli.run(*words, pair.certificate_path)
        assert "[bold]acme[" in done.out
        assert "\x1b" not in done.out
