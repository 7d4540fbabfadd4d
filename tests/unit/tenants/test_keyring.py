from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from keys.certificate import vet
from keys.errors import CertificateRejected, ChallengeFailed
from recpipe.errors import AlreadyExists, Conflict, Forbidden, InputInvalid, NotFound
from recpipe.model import CertificateState, Outcome, Role, Tenant
from tests.services.certificates import KeyPair, KeyPairs, smime_decrypt
from tests.unit.access.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


@pytest.fixture
def acme(world: World, key_pair: KeyPair) -> Tenant:
    tenant = world.tenant()
    # The certificates of these tests were made just now; the world's clock must be inside their validity.
    world.now = vet(key_pair.pem, now=world.now).not_before + timedelta(hours=1)
    return tenant


def _answer(challenge: bytes, pair: KeyPair, folder: Path) -> str:
    """What a person gets by the documented command."""
    (folder / "challenge.enc").write_bytes(challenge)
    done = smime_decrypt(folder / "challenge.enc", folder / "answer", pair.key_path)
    assert done.returncode == 0, done.stderr
    found = re.search(r"(?:[0-9A-Z]{4}-){7}[0-9A-Z]{4}", (folder / "answer").read_text())
    assert found is not None
    return found[0]


def test_a_key_is_proven_with_the_documented_command_and_then_encryption_starts(
    world: World, acme: Tenant, key_pair: KeyPair, tmp_path: Path
) -> None:
    ann = world.principal(world.user(grants={acme.id: ["keys"]}))
    added = world.keyring.add(ann, acme.id, key_pair.pem, label="office")
    assert added.certificate.state is CertificateState.UNPROVEN
    assert added.challenge is not None
    with pytest.raises(Conflict) as refused:
        world.keyring.set_encryption(ann, acme.id, True)
    assert refused.value.reason == "no-proven-key"
    assert "not proven yet" in str(refused.value)

    answer = _answer(added.challenge, key_pair, tmp_path)
    proven = world.keyring.verify(ann, acme.id, added.certificate.id, answer.lower())

    assert (proven.state, proven.decided_by, proven.challenge) == (CertificateState.PROVEN, "ann", "")
    assert world.keyring.set_encryption(ann, acme.id, True).encryption is True
    assert [e.action for e in world.events() if e.tenant_id == acme.id][-3:] == [
        "certificate.add",
        "certificate.prove",
        "tenant.encryption",
    ]
    assert world.events("tenant.encryption")[-1].detail == {"old": False, "new": True}
    assert answer not in repr(world.events())


def test_a_wrong_answer_changes_nothing_and_is_on_the_record(
    world: World, acme: Tenant, key_pair: KeyPair, tmp_path: Path
) -> None:
    added = world.keyring.add(world.root, acme.id, key_pair.pem)
    assert added.challenge is not None
    with pytest.raises(ChallengeFailed):
        world.keyring.verify(world.root, acme.id, added.certificate.id, "0000-0000-0000-0000-0000-0000")

    assert world.events("certificate.prove")[-1].outcome is Outcome.FAILED
    right = _answer(added.challenge, key_pair, tmp_path)
    assert world.keyring.verify(world.root, acme.id, added.certificate.id, right).state is CertificateState.PROVEN


def test_a_fresh_challenge_makes_the_old_one_worthless(
    world: World, acme: Tenant, key_pair: KeyPair, tmp_path: Path
) -> None:
    added = world.keyring.add(world.root, acme.id, key_pair.pem)
    assert added.challenge is not None
    fresh = world.keyring.challenge(world.root, acme.id, added.certificate.id)

    with pytest.raises(ChallengeFailed):
        world.keyring.verify(world.root, acme.id, added.certificate.id, _answer(added.challenge, key_pair, tmp_path))
    world.keyring.verify(world.root, acme.id, added.certificate.id, _answer(fresh, key_pair, tmp_path))
    with pytest.raises(Conflict) as again:
        world.keyring.challenge(world.root, acme.id, added.certificate.id)
    assert again.value.reason == "already-proven"


def test_an_answer_for_one_certificate_does_not_prove_another(
    world: World, acme: Tenant, key_pair: KeyPair, other_key_pair: KeyPair, tmp_path: Path
) -> None:
    mine = world.keyring.add(world.root, acme.id, key_pair.pem)
    other = world.keyring.add(world.root, acme.id, other_key_pair.pem)
    assert mine.challenge is not None

    with pytest.raises(ChallengeFailed):
        world.keyring.verify(world.root, acme.id, other.certificate.id, _answer(mine.challenge, key_pair, tmp_path))


def test_a_pasted_private_key_is_refused_and_nothing_of_it_is_left(
    world: World, acme: Tenant, key_pair: KeyPair, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    with pytest.raises(CertificateRejected) as refused:
        world.keyring.add(world.root, acme.id, key_pair.key_pem)

    assert refused.value.reason == "private-key"
    assert world.keyring.list(world.root, acme.id) == []
    event = world.events("certificate.add")[-1]
    assert (event.outcome, event.detail) == (Outcome.FAILED, {"reason": "private-key"})
    secret = key_pair.key_pem.splitlines()[5].decode()
    world.catalogue.close()
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("world.sqlite3*"))
    assert secret.encode() not in kept
    assert secret not in str(refused.value) + caplog.text


def test_only_an_administrator_vouches_and_it_is_said_so(world: World, acme: Tenant, key_pair: KeyPair) -> None:
    ann = world.principal(world.user(grants={acme.id: []}))
    with pytest.raises(Forbidden):
        world.keyring.add(ann, acme.id, key_pair.pem, vouch=True)
    assert world.keyring.list(ann, acme.id) == []

    added = world.keyring.add(world.root, acme.id, key_pair.pem, vouch=True)

    assert (added.certificate.state, added.certificate.decided_by) == (CertificateState.VOUCHED, "cli:root")
    assert added.challenge is None
    assert world.events("certificate.vouch")[-1].outcome is Outcome.OK
    assert world.keyring.set_encryption(ann, acme.id, True).encryption
    # Proof beats a word: a vouched key may still be proven.
    assert world.keyring.challenge(ann, acme.id, added.certificate.id)


def test_a_vouched_key_that_expired_cannot_start_encryption(world: World, acme: Tenant, key_pair: KeyPair) -> None:
    added = world.keyring.add(world.root, acme.id, key_pair.pem, vouch=True)
    world.now = added.certificate.not_after + timedelta(seconds=1)

    with pytest.raises(Conflict) as refused:
        world.keyring.set_encryption(world.root, acme.id, True)
    assert (refused.value.reason, "expired" in str(refused.value)) == ("no-proven-key", True)


def test_the_last_key_that_seals_stays_while_encryption_is_on(
    world: World, acme: Tenant, key_pair: KeyPair, other_key_pair: KeyPair
) -> None:
    first = world.keyring.add(world.root, acme.id, key_pair.pem, vouch=True).certificate
    unproven = world.keyring.add(world.root, acme.id, other_key_pair.pem).certificate
    world.keyring.set_encryption(world.root, acme.id, True)

    with pytest.raises(Conflict) as refused:
        world.keyring.retire(world.root, acme.id, first.id)
    assert refused.value.reason == "last-usable-certificate"

    assert world.keyring.retire(world.root, acme.id, unproven.id).state is CertificateState.RETIRED
    world.keyring.add(world.root, acme.id, other_key_pair.pem, vouch=True)
    assert world.keyring.retire(world.root, acme.id, first.id).state is CertificateState.RETIRED


def test_with_encryption_off_every_key_may_go(world: World, acme: Tenant, key_pair: KeyPair) -> None:
    only = world.keyring.add(world.root, acme.id, key_pair.pem, vouch=True).certificate
    world.keyring.set_encryption(world.root, acme.id, True)
    world.keyring.set_encryption(world.root, acme.id, False)

    world.keyring.retire(world.root, acme.id, only.id)
    with pytest.raises(Conflict):
        world.keyring.retire(world.root, acme.id, only.id)
    with pytest.raises(Conflict):
        world.keyring.challenge(world.root, acme.id, only.id)
    with pytest.raises(Conflict):
        world.keyring.set_encryption(world.root, acme.id, True)


def test_the_same_certificate_is_added_once_and_again_after_it_retired(
    world: World, acme: Tenant, key_pair: KeyPair
) -> None:
    first = world.keyring.add(world.root, acme.id, key_pair.pem).certificate
    with pytest.raises(AlreadyExists):
        world.keyring.add(world.root, acme.id, key_pair.pem)
    world.keyring.retire(world.root, acme.id, first.id)

    assert world.keyring.add(world.root, acme.id, key_pair.pem).certificate.id != first.id


def test_the_number_of_active_certificates_is_bounded(world: World, acme: Tenant, key_pairs: KeyPairs) -> None:
    first = world.keyring.add(world.root, acme.id, key_pairs.get("bounded").pem).certificate
    with world.catalogue.begin() as work:
        for n in range(15):
            work.of(acme.id).certificates.add(replace(first, id=f"{n:032x}", fingerprint=f"{n:064x}"))

    with pytest.raises(Conflict) as refused:
        world.keyring.add(world.root, acme.id, key_pairs.get("one-more").pem)
    assert refused.value.reason == "too-many-certificates"


def test_a_foreign_tenants_keys_do_not_exist(world: World, acme: Tenant, key_pair: KeyPair) -> None:
    other = world.tenant("other")
    foreign = world.keyring.add(world.root, other.id, key_pair.pem).certificate
    ann = world.principal(world.user(grants={acme.id: []}))
    clerk = world.principal(world.user("clerk", Role.SERVICE, {acme.id: ["search"]}))

    for attempt in (
        lambda: world.keyring.list(ann, other.id),
        lambda: world.keyring.add(ann, other.id, key_pair.pem),
        lambda: world.keyring.retire(ann, other.id, foreign.id),
        lambda: world.keyring.set_encryption(ann, other.id, True),
        lambda: world.keyring.challenge(ann, acme.id, foreign.id),
        lambda: world.keyring.verify(ann, acme.id, foreign.id, "x"),
        lambda: world.keyring.retire(ann, acme.id, foreign.id),
    ):
        with pytest.raises(NotFound):
            attempt()
    with pytest.raises(Forbidden):
        world.keyring.list(clerk, acme.id)
    assert [c.state for c in world.keyring.list(world.root, other.id)] == [CertificateState.UNPROVEN]


@pytest.mark.parametrize("label", ["x" * 101, "office\n\nDear customer, pay here"])
def test_a_label_that_is_no_short_line_is_refused(world: World, acme: Tenant, key_pair: KeyPair, label: str) -> None:
    with pytest.raises(InputInvalid):
        world.keyring.add(world.root, acme.id, key_pair.pem, label=label)
