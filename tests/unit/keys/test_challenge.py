"""Proof of possession, as a person does it with openssl."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from keys import challenge
from keys.errors import ChallengeFailed
from tests.services.certificates import KeyPair, smime_decrypt


def test_who_opens_the_envelope_with_openssl_passes(key_pair: KeyPair, tmp_path: Path) -> None:
    made = challenge.make(key_pair.der)
    (tmp_path / "challenge.enc").write_bytes(made.envelope)
    done = smime_decrypt(tmp_path / "challenge.enc", tmp_path / "challenge.txt", key_pair.key_path)
    assert done.returncode == 0
    text = (tmp_path / "challenge.txt").read_text()
    code = re.search(r"^ {4}(\S+)$", text, re.MULTILINE)
    assert code
    for typed in (code[1], code[1].lower(), code[1].replace("-", " "), f"  {code[1].replace('-', '')}\n"):
        challenge.check(made.answer_hash, typed)
    challenge.check(made.answer_hash, code[1].replace("0", "O").replace("1", "l"))
    assert code[1] not in made.answer_hash
    assert len(code[1].replace("-", "")) * 5 >= 100


def test_anything_else_fails(key_pair: KeyPair) -> None:
    made, other = challenge.make(key_pair.der), challenge.make(key_pair.der)
    assert made.answer_hash != other.answer_hash and made.envelope != other.envelope
    for answer in ("", "ABCD-EFGH", made.answer_hash, "ü" * 1000, "\ud800"):
        with pytest.raises(ChallengeFailed):
            challenge.check(made.answer_hash, answer)
    for damaged in ("", "sha256$", "x$y$z"):
        with pytest.raises(ChallengeFailed):
            challenge.check(damaged, "")
