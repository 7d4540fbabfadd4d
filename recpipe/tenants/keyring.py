"""The life of a tenant's certificates: checked, added, proven or vouched for, retired; and the switch they guard.

Nothing that was pasted and refused is kept, logged or repeated: it may have been somebody's private key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from keys import challenge as challenges
from keys.certificate import Certificate, vet
from keys.errors import CertificateRejected, ChallengeFailed
from recpipe import seal
from recpipe.access.audit import AuditTrail, event
from recpipe.access.checks import check_text
from recpipe.access.principal import Action, Principal
from recpipe.catalogue.catalogue import Catalogue
from recpipe.catalogue.repository import new_id
from recpipe.errors import Conflict, Forbidden
from recpipe.messages import message
from recpipe.model import CertificateState, Outcome, Tenant, TenantCertificate
from recpipe.tenants import switches
from recpipe.times import Clock

LONGEST_LABEL = 100
# Every one of them costs an RSA operation and some hundred bytes in each recording.
MOST_ACTIVE = 16


@dataclass(frozen=True, slots=True)
class AddedCertificate:
    """What was kept, what `vet` had to say of it, and the proof that is still owed."""

    certificate: TenantCertificate
    vetted: Certificate
    challenge: bytes | None  # contents of challenge.enc; None when vouched for


class Keyring:
    """The certificates of every tenant. Each change is on the audit log. Thread-safe."""

    def __init__(self, catalogue: Catalogue, clock: Clock, trail: AuditTrail) -> None:
        self._catalogue = catalogue
        self._clock = clock
        self._trail = trail

    def list(self, by: Principal, tenant_id: str) -> Sequence[TenantCertificate]:
        """A tenant's certificates, retired ones too, oldest first.

        Raises:
            NotFound, Forbidden: `by` may not manage its keys.
        """
        self._trail.require(by, Action.KEYS, tenant_id)
        with self._catalogue.read() as work:
            work.tenants.get(tenant_id)
            return work.of(tenant_id).certificates.list()

    def add(
        self, by: Principal, tenant_id: str, pasted: bytes | str, *, vouch: bool = False, label: str = ""
    ) -> AddedCertificate:
        """Keep a certificate; it seals nothing before it is proven (`verify`) or vouched for.

        Args:
            vouch: an administrator answers for the key in place of the proof.

        Raises:
            CertificateRejected: it cannot serve; nothing of it was kept.
            AlreadyExists: the tenant has this very certificate.
            Conflict: `too-many-certificates`.
            InputInvalid: the label is too long, or no single line.
            NotFound, Forbidden: `by` may not manage its keys, or not vouch.
        """
        self._trail.require(by, Action.KEYS, tenant_id)
        if vouch and not by.may(Action.TENANTS, tenant_id):
            denial = Forbidden("vouch for a key in place of the proof")
            self._trail.denied(by, "certificate.vouch", denial, tenant_id=tenant_id)
            raise denial
        label = check_text("label", label, LONGEST_LABEL)
        now = self._clock()
        try:
            vetted = vet(pasted, now=now)
        except CertificateRejected as refused:
            self._trail.record(
                event(by, "certificate.add", now, outcome=Outcome.FAILED, tenant_id=tenant_id, reason=refused.reason)
            )
            raise
        proof = None if vouch else challenges.make(vetted.der)
        new = TenantCertificate(
            id=new_id(),
            tenant_id=tenant_id,
            label=label,
            der=vetted.der,
            fingerprint=vetted.fingerprint,
            subject=vetted.subject,
            serial=vetted.serial,
            key_bits=vetted.key_bits,
            not_before=vetted.not_before,
            not_after=vetted.not_after,
            synthesised=vetted.synthesised,
            state=CertificateState.VOUCHED if vouch else CertificateState.UNPROVEN,
            added_at=now,
            decided_at=now if vouch else None,
            decided_by=by.name if vouch else "",
            challenge=proof.answer_hash if proof else "",
        )
        with self._catalogue.begin() as work:
            work.tenants.get(tenant_id)
            certificates = work.of(tenant_id).certificates
            active = [c for c in certificates.list() if c.state is not CertificateState.RETIRED]
            if len(active) >= MOST_ACTIVE:
                raise Conflict(
                    "too-many-certificates",
                    message(
                        "This tenant has {active} active certificates. Retire one that is no longer needed first.",
                        active=len(active),
                    ),
                )
            kept = certificates.add(new)
            work.audit.add(
                event(
                    by,
                    "certificate.vouch" if vouch else "certificate.add",
                    now,
                    tenant_id=tenant_id,
                    subject=kept.id,
                    fingerprint=kept.fingerprint,
                )
            )
        return AddedCertificate(kept, vetted, proof.envelope if proof else None)

    def challenge(self, by: Principal, tenant_id: str, certificate_id: str) -> bytes:
        """A fresh challenge.enc; the code of an earlier one is worth nothing from now on.

        Raises:
            Conflict: `already-proven` or `retired`.
            NotFound, Forbidden: `by` may not manage its keys, or there is no such certificate.
        """
        self._trail.require(by, Action.KEYS, tenant_id)
        with self._catalogue.begin() as work:
            certificates = work.of(tenant_id).certificates
            proof = challenges.make(_provable(certificates.get(certificate_id)).der)
            certificates.set_challenge(certificate_id, proof.answer_hash)
            work.audit.add(
                event(by, "certificate.challenge", self._clock(), tenant_id=tenant_id, subject=certificate_id)
            )
        return proof.envelope

    def verify(self, by: Principal, tenant_id: str, certificate_id: str, answer: str) -> TenantCertificate:
        """Take the code out of challenge.enc as the proof that somebody holds the private key.

        Raises:
            ChallengeFailed: it is not the code of the latest challenge.
            Conflict: `already-proven`, `retired`, or `no-challenge`: none was made.
            NotFound, Forbidden: `by` may not manage its keys, or there is no such certificate.
        """
        self._trail.require(by, Action.KEYS, tenant_id)
        now = self._clock()
        try:
            with self._catalogue.begin() as work:
                certificates = work.of(tenant_id).certificates
                held = _provable(certificates.get(certificate_id))
                if not held.challenge:
                    raise Conflict("no-challenge", "No challenge was made for this certificate. Ask for one first.")
                challenges.check(held.challenge, answer)
                certificates.set_challenge(certificate_id, "")
                proven = certificates.decide(certificate_id, CertificateState.PROVEN, now, by.name)
                work.audit.add(
                    event(
                        by,
                        "certificate.prove",
                        now,
                        tenant_id=tenant_id,
                        subject=certificate_id,
                        fingerprint=held.fingerprint,
                    )
                )
                return proven
        except ChallengeFailed:
            self._trail.record(
                event(by, "certificate.prove", now, outcome=Outcome.FAILED, tenant_id=tenant_id, subject=certificate_id)
            )
            raise

    def retire(self, by: Principal, tenant_id: str, certificate_id: str) -> TenantCertificate:
        """Seal for this certificate no more; what was sealed for it stays readable with its key.

        Raises:
            Conflict: `last-usable-certificate`: new recordings would be held; or `retired`: it was before.
            NotFound, Forbidden: `by` may not manage its keys, or there is no such certificate.
        """
        self._trail.require(by, Action.KEYS, tenant_id)
        now = self._clock()
        with self._catalogue.begin() as work:
            tenant = work.tenants.to_change(tenant_id)
            certificates = work.of(tenant_id).certificates
            certificates.get(certificate_id)
            usable = {c.id for c in seal.usable(certificates.list(), now)}
            if tenant.encryption and usable == {certificate_id}:
                raise Conflict(
                    "last-usable-certificate",
                    "This is the only certificate that new recordings are sealed for. Add and prove another one "
                    "first, or switch encryption off.",
                )
            retired = certificates.decide(certificate_id, CertificateState.RETIRED, now, by.name)
            work.audit.add(
                event(
                    by,
                    "certificate.retire",
                    now,
                    tenant_id=tenant_id,
                    subject=certificate_id,
                    fingerprint=retired.fingerprint,
                )
            )
        return retired

    def set_encryption(self, by: Principal, tenant_id: str, on: bool) -> Tenant:
        """Switch sealing of new recordings on or off. Those already stored stay as they are.

        Raises:
            Conflict: `no-proven-key`: no certificate is proven (or vouched for) and inside its validity. Not raised
                where encryption is on already.
            NotFound, Forbidden: `by` may not manage its keys.
        """
        self._trail.require(by, Action.KEYS, tenant_id)
        now = self._clock()
        with self._catalogue.begin() as work:
            tenant = work.tenants.to_change(tenant_id)
            changed = switches.set_encryption(work, tenant, on, now)
            if changed == tenant:
                return tenant
            work.audit.add(
                event(
                    by,
                    "tenant.encryption",
                    now,
                    tenant_id=tenant_id,
                    subject=tenant_id,
                    old=tenant.encryption,
                    new=on,
                )
            )
        return changed


def _provable(held: TenantCertificate) -> TenantCertificate:
    if held.state is CertificateState.RETIRED:
        raise Conflict("retired", "This certificate is retired. Add it again if it is to be used again.")
    if held.state is CertificateState.PROVEN:
        raise Conflict(
            "already-proven", "The private key of this certificate is proven already; nothing is left to do."
        )
    return held
