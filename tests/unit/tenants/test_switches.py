"""A tenant's two switches: directly made or saved as a change and applied, the answers are the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from recpipe.catalogue.repository import new_id
from recpipe.errors import Conflict
from recpipe.model import CertificateState, Tenant, TenantCertificate
from recpipe.tenants import switches
from recpipe.tenants.changes import Kind, PendingChanges
from tests.unit.access.world import World

DAY = timedelta(days=1)
MOMENT = timedelta(microseconds=1)
UNPROVEN, PROVEN, VOUCHED, RETIRED = CertificateState


def directly(world: World, tenant: Tenant, on: bool) -> None:
    world.keyring.set_encryption(world.root, tenant.id, on)


def saved_and_applied(world: World, tenant: Tenant, on: bool) -> None:
    changes = PendingChanges(world.catalogue, world.clock, world.trail)
    change = changes.save(world.root, tenant.id, Kind.ENCRYPTION, {"encryption": on})
    if change is not None:
        assert changes.apply(world.root, tenant.id, [change.id]) == 1


def applied_when_it_was_saved_in_time(world: World, tenant: Tenant, on: bool) -> None:
    """Saved while some good certificate was there, which is retired since."""
    changes = PendingChanges(world.catalogue, world.clock, world.trail)
    good = _certificate(world, tenant, PROVEN, -DAY, DAY)
    change = changes.save(world.root, tenant.id, Kind.ENCRYPTION, {"encryption": on})
    assert change is not None
    with world.catalogue.begin() as work:
        work.of(tenant.id).certificates.decide(good.id, RETIRED, world.now, "root")
    changes.apply(world.root, tenant.id, [change.id])


WAYS = [directly, saved_and_applied, applied_when_it_was_saved_in_time]

# The certificates of a tenant (state, begin and end of validity from now) -> why encryption cannot be switched on.
CERTIFICATES: dict[str, tuple[list[tuple[CertificateState, timedelta, timedelta]], str]] = {
    "none": ([], "has no certificate"),
    "unproven": ([(UNPROVEN, -DAY, DAY)], "not proven yet"),
    "proven": ([(PROVEN, -DAY, DAY)], ""),
    "vouched for": ([(VOUCHED, -DAY, DAY)], ""),
    "retired": ([(RETIRED, -DAY, DAY)], "has no certificate"),
    "not valid yet": ([(PROVEN, MOMENT, DAY)], "not valid before"),
    "valid from now on": ([(PROVEN, timedelta(0), DAY)], ""),
    "valid until now": ([(VOUCHED, -DAY, timedelta(0))], ""),
    "just expired": ([(VOUCHED, -DAY, -MOMENT)], "expired"),
    "expired and unproven": ([(UNPROVEN, -DAY, -MOMENT)], "not proven yet"),
    "expired, and another one unproven": ([(PROVEN, -2 * DAY, -DAY), (UNPROVEN, -DAY, DAY)], "expired"),
    "expired, and its successor proven": ([(PROVEN, -2 * DAY, -DAY), (PROVEN, -DAY, DAY)], ""),
    "expired, and its successor not valid yet": ([(PROVEN, -2 * DAY, -DAY), (PROVEN, DAY, 2 * DAY)], "expired"),
    "one retired, one vouched for": ([(RETIRED, -DAY, DAY), (VOUCHED, -DAY, DAY)], ""),
}


def _certificate(
    world: World, tenant: Tenant, state: CertificateState, begins: timedelta, ends: timedelta
) -> TenantCertificate:
    new = TenantCertificate(
        id=new_id(),
        tenant_id=tenant.id,
        label="",
        der=b"",
        fingerprint=new_id() * 2,
        subject="CN=acme",
        serial="01",
        key_bits=2048,
        not_before=world.now + begins,
        not_after=world.now + ends,
        synthesised=False,
        state=state,
        added_at=world.now,
    )
    with world.catalogue.begin() as work:
        return work.of(tenant.id).certificates.add(new)


@pytest.fixture
def acme(world: World) -> Tenant:
    return world.tenant()


def _now(world: World, tenant: Tenant) -> Tenant:
    with world.catalogue.read() as work:
        return work.tenants.get(tenant.id)


@pytest.mark.parametrize("switch", WAYS)
@pytest.mark.parametrize("case", CERTIFICATES)
def test_encryption_goes_on_by_every_way_or_by_none(
    world: World, acme: Tenant, case: str, switch: Callable[[World, Tenant, bool], None]
) -> None:
    given, why_not = CERTIFICATES[case]
    held = [_certificate(world, acme, *one) for one in given]

    if why_not:
        with pytest.raises(Conflict, match=why_not) as refused:
            switch(world, acme, True)
        assert refused.value.reason == "no-proven-key"
    else:
        switch(world, acme, True)

    assert _now(world, acme).encryption is (not why_not)
    assert switches.may_encrypt(held, world.now) is (not why_not)  # what the page of add-ons shows


@pytest.mark.parametrize("switch", [directly, saved_and_applied])
@pytest.mark.parametrize("case", ["none", "proven", "just expired"])
@pytest.mark.parametrize("on", [True, False])
def test_what_is_so_already_and_switching_off_need_no_certificate(
    world: World, acme: Tenant, case: str, on: bool, switch: Callable[[World, Tenant, bool], None]
) -> None:
    with world.catalogue.begin() as work:
        encrypted = work.tenants.update(replace(work.tenants.to_change(acme.id), encryption=True))
    for one in CERTIFICATES[case][0]:
        _certificate(world, acme, *one)

    switch(world, encrypted, on)

    assert _now(world, acme).encryption is on
    assert len(world.events("tenant.encryption")) == (0 if on else 1)


def recording_directly(world: World, tenant: Tenant, on: bool, agreed: bool) -> None:
    world.tenants.set_recording(world.root, tenant.id, on, agreed=agreed)


def recording_saved_and_applied(world: World, tenant: Tenant, on: bool, agreed: bool) -> None:
    changes = PendingChanges(world.catalogue, world.clock, world.trail)
    if agreed:
        changes.agree(world.root, tenant.id)
    change = changes.save(world.root, tenant.id, Kind.RECORDING, {"recording": on})
    if change is not None:
        assert changes.apply(world.root, tenant.id, [change.id]) == 1


@pytest.mark.parametrize("switch", [recording_directly, recording_saved_and_applied])
@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("agreed_before", [False, True])
@pytest.mark.parametrize("on", [False, True])
@pytest.mark.parametrize("agreed", [False, True])
def test_call_recording_goes_on_by_both_ways_or_by_none(
    world: World,
    acme: Tenant,
    before: bool,
    agreed_before: bool,
    on: bool,
    agreed: bool,
    switch: Callable[[World, Tenant, bool, bool], None],
) -> None:
    if agreed_before:
        PendingChanges(world.catalogue, world.clock, world.trail).agree(world.root, acme.id)
    with world.catalogue.begin() as work:
        tenant = work.tenants.update(replace(work.tenants.to_change(acme.id), recording_enabled=before))

    if on and not before and not agreed and not agreed_before:
        with pytest.raises(Conflict) as refused:
            switch(world, tenant, on, agreed)
        assert refused.value.reason == "disclaimer-not-agreed"
        assert _now(world, acme).recording_enabled is False
    else:
        switch(world, tenant, on, agreed)
        assert _now(world, acme).recording_enabled is on
        assert on is before or len(world.events("tenant.recording")) == 1
