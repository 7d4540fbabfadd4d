from __future__ import annotations

from typing import Any

import pytest

from recpipe.errors import AlreadyExists, Conflict, Forbidden, InputInvalid, NotFound
from recpipe.model import Role, StoreFormat
from tests.unit.access.world import World


def test_a_tenant_is_found_by_its_name_and_aliases(world: World) -> None:
    made = world.tenants.create(
        world.root,
        "acme",
        title="Acme Ltd",
        timezone="Europe/Berlin",
        region="de",
        aliases=["acme.example.com", "4711"],
    )

    assert (made.title, made.region, made.encryption) == ("Acme Ltd", "DE", False)
    with world.catalogue.read() as work:
        assert work.tenants.named("ACME.example.com").id == made.id


@pytest.mark.parametrize(
    "bad",
    [
        {"name": ""},
        {"name": "../acme"},
        {"name": ".acme"},
        {"name": "ac me"},
        {"name": "x" * 64},
        {"timezone": "Berlin"},
        {"timezone": "../../etc/passwd"},
        {"region": "XX"},
        {"region": "Germany"},
        {"title": "a\nb"},
        {"group": "a\u202eb"},
        {"group": "x" * 61},
        {"aliases": [" "]},
        {"aliases": [str(n) for n in range(101)]},
    ],
    ids=str,
)
def test_a_tenant_that_cannot_be_is_refused_with_advice(world: World, bad: dict[str, Any]) -> None:
    with pytest.raises(InputInvalid):
        world.tenants.create(world.root, **{"name": "acme", **bad})
    made = world.tenant()
    if "name" not in bad:
        with pytest.raises(InputInvalid):
            world.tenants.change(world.root, made.id, **bad)


def test_a_tenant_is_put_into_a_group_and_taken_out_again(world: World) -> None:
    made = world.tenants.create(world.root, "acme", group=" North ")
    assert made.group == "North"
    assert world.tenants.change(world.root, made.id, title="Acme").group == "North"
    assert world.tenants.change(world.root, made.id, group="").group == ""
    assert world.events("tenant.change")[-1].detail == {"old_group": "North", "new_group": ""}


def test_an_alias_never_means_two_tenants(world: World) -> None:
    world.tenants.create(world.root, "acme", aliases=["pbx.example.com"])
    with pytest.raises(AlreadyExists):
        world.tenants.create(world.root, "other", aliases=["PBX.example.com"])


def test_a_change_keeps_the_rest_and_is_audited(world: World) -> None:
    made = world.tenants.create(world.root, "acme", timezone="Europe/Berlin", aliases=["a"])

    changed = world.tenants.change(world.root, made.id, store_format=StoreFormat.MP3, aliases=["b"])

    assert (changed.timezone, changed.aliases) == ("Europe/Berlin", ("b",))
    assert world.events("tenant.change")[-1].detail == {
        "old_store_format": "source",
        "new_store_format": "mp3",
        "old_aliases": "a",
        "new_aliases": "b",
    }


def test_recording_starts_once_somebody_agreed_and_who_it_was_is_kept(world: World) -> None:
    acme = world.tenant()
    ann = world.principal(world.user(grants={acme.id: []}))
    with pytest.raises(Conflict) as refused:
        world.tenants.set_recording(ann, acme.id, True)
    assert refused.value.reason == "disclaimer-not-agreed"

    kept = world.tenants.set_recording(ann, acme.id, True, agreed=True)

    assert (kept.recording_enabled, kept.disclaimer_agreed_at, kept.disclaimer_agreed_by) == (True, world.now, "ann")
    assert world.tenants.set_recording(ann, acme.id, False).recording_enabled is False
    assert world.tenants.set_recording(ann, acme.id, True).disclaimer_agreed_by == "ann"
    # Who agreed first stays, whoever says it once more
    assert world.tenants.set_recording(world.root, acme.id, True, agreed=True).disclaimer_agreed_by == "ann"


def test_only_administrators_make_and_change_tenants(world: World) -> None:
    acme, other = world.tenant(), world.tenant("other")
    boss = world.principal(world.user(grants={acme.id: []}))
    chief = world.principal(world.user("chief", Role.ADMINISTRATOR))

    with pytest.raises(Forbidden):
        world.tenants.create(boss, "mine")
    with pytest.raises(Forbidden):
        world.tenants.change(boss, acme.id, aliases=["other.example.com"])
    with pytest.raises(NotFound):
        world.tenants.change(boss, other.id, title="Mine")
    assert world.tenants.change(chief, acme.id, title="Acme Inc").title == "Acme Inc"
