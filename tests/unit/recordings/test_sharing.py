"""Links to calls for people outside: what they open, for how long, by whose rights, and what attackers get."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from recpipe.access.principal import Action, Principal
from recpipe.errors import Conflict, CredentialsRejected, Forbidden, InputInvalid, LockedOut, NotFound
from recpipe.jobs import upkeep
from recpipe.model import Envelope, Outcome, Recording, Role, Tenant, UserStatus
from recpipe.recordings import sharing
from recpipe.recordings.sharing import NewLink
from tests.contracts.catalogue_samples import a_recording
from tests.unit.access.world import ADDRESS, World

OUTSIDE = "198.51.100.4"
PHRASE = "seven green bottles"
ALL = [action.value for action in (Action.SEARCH, Action.PLAY, Action.DOWNLOAD, Action.SHARE, Action.DELETE)]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


@pytest.fixture
def acme(world: World) -> Tenant:
    return world.tenant()


@pytest.fixture
def ann(world: World, acme: Tenant) -> Principal:
    return world.principal(world.user("ann", Role.SERVICE, {acme.id: ALL}))


def stored(world: World, tenant: Tenant, **changes: Any) -> Recording:
    made = replace(a_recording(tenant, **changes), stored_bytes=4)
    world.store.put(made.object_key, io.BytesIO(b"tone"), 4)
    with world.catalogue.begin() as work:
        [added] = work.add_recordings([made])
    return added.recording


def share(world: World, by: Principal, of: Recording, **more: Any) -> NewLink:
    until = more.pop("expires_at", world.now + timedelta(days=7))
    return world.parts.sharing.share(by, of.call, expires_at=until, **more)


def heard(world: World, ticket: str, recording_id: str, action: Action = Action.PLAY) -> bytes:
    who, found = world.parts.sharing.recording(ticket, recording_id, action, OUTSIDE)
    with world.reader.open(who, found, action=action, address=OUTSIDE) as stream:
        return stream.read()


def refused(world: World, secret: str, passphrase: str = "") -> str:
    """Why a link opens nothing, as the audit log alone has it."""
    with pytest.raises(CredentialsRejected) as answer:
        world.parts.sharing.open(secret, passphrase, OUTSIDE)
    assert str(answer.value) == str(CredentialsRejected())
    world.pass_time(minutes=6)  # the counters of failures are another matter
    last = world.events("link.open")[-1]
    assert last.outcome is Outcome.DENIED and last.address == OUTSIDE
    return str(last.detail["reason"])


def test_a_link_opens_the_call_as_often_as_it_says_and_all_of_it_is_on_the_log(
    world: World, acme: Tenant, ann: Principal
) -> None:
    one = stored(world, acme)
    made = share(world, ann, one, openings=2, label="Their lawyer")
    for _ in range(2):
        opened = world.parts.sharing.open(made.secret, "", OUTSIDE)
        assert [leg.id for leg in opened.recordings] == [one.id]
        assert heard(world, opened.ticket, one.id) == b"tone"
    assert refused(world, made.secret) == "used-up"

    [(kept, maker)] = world.parts.sharing.links(ann, acme.id)
    assert (kept.openings, kept.most_openings, kept.label, maker) == (2, 2, "Their lawyer", "ann")
    world.parts.sharing.revoke(ann, made.link.id)
    assert world.parts.sharing.links(ann, acme.id) == []
    told = [(e.action, e.outcome.value, e.actor) for e in world.events() if e.action in ("play", *LINK_EVENTS)]
    as_link = f"ann/link:{made.link.id[:8]}"
    assert told == [
        ("link.create", "ok", "ann"),
        *[("link.open", "ok", as_link), ("play", "ok", as_link), ("link.open", "ok", as_link), ("play", "ok", as_link)],
        ("link.open", "denied", as_link.removeprefix("ann/")),
        ("link.revoke", "ok", "ann"),
    ]
    log = repr(world.events())
    assert made.secret not in log and opened.ticket not in log and "lawyer" not in log


LINK_EVENTS = ("link.create", "link.open", "link.revoke")


def test_what_is_kept_opens_nothing(world: World, acme: Tenant, ann: Principal) -> None:
    made = share(world, ann, stored(world, acme), passphrase=PHRASE)
    opened = world.parts.sharing.open(made.secret, PHRASE, OUTSIDE)
    files = b"".join(
        path.read_bytes() for path in sorted(Path(world.parts.settings.data_dir).parent.glob("*.sqlite3*"))
    )
    for secret in (made.secret, opened.ticket, PHRASE):
        assert secret.encode() not in files


def test_every_link_that_is_not_good_looks_the_same(world: World, acme: Tenant, ann: Principal) -> None:
    one = stored(world, acme)
    revoked, short, locked = share(world, ann, one), share(world, ann, one), share(world, ann, one, passphrase=PHRASE)
    world.parts.sharing.revoke(ann, revoked.link.id)
    assert refused(world, "no such secret") == "unknown"
    assert refused(world, revoked.secret) == "revoked"
    assert refused(world, locked.secret) == refused(world, locked.secret, "seven blue bottles") == "passphrase"
    assert world.parts.sharing.open(locked.secret, PHRASE, OUTSIDE).recordings
    world.pass_time(days=7)
    assert refused(world, short.secret) == "expired"


def test_a_typed_passphrase_costs_the_same_work_whatever_the_link(world: World, acme: Tenant, ann: Principal) -> None:
    one = stored(world, acme)
    plain, locked = share(world, ann, one), share(world, ann, one, passphrase=PHRASE)
    costs = []
    for secret in ("unknown", plain.secret, locked.secret):
        before = world.passwords.verifications
        with suppress(CredentialsRejected):
            world.parts.sharing.open(secret, "a wrong guess", OUTSIDE)
        costs.append(world.passwords.verifications - before)
    assert costs == [1, 1, 1]


def test_guesses_are_limited_for_a_link_whether_it_is_there_or_not(world: World, acme: Tenant, ann: Principal) -> None:
    made = share(world, ann, stored(world, acme), passphrase=PHRASE)
    for secret, network in ((made.secret, 1), ("no such secret", 2)):
        tries = 0
        with pytest.raises(LockedOut):
            for host in range(100):
                with pytest.raises(CredentialsRejected):
                    world.parts.sharing.open(secret, f"guess number {host}", f"203.0.113.{network * 100 + host // 3}")
                tries += 1
        assert tries == 10
    with pytest.raises(LockedOut):
        world.parts.sharing.open(made.secret, PHRASE, OUTSIDE)
    assert [e.detail["reason"] for e in world.events("link.open")].count("locked-out") == 3
    world.pass_time(minutes=6)
    assert world.parts.sharing.open(made.secret, PHRASE, OUTSIDE).recordings


def test_secrets_cannot_be_tried_one_after_another_from_one_place(world: World) -> None:
    for n in range(10):
        with pytest.raises(CredentialsRejected):
            world.parts.sharing.open(f"secret {n}", "", OUTSIDE)
    with pytest.raises(LockedOut):
        world.parts.sharing.open("the next one", "", OUTSIDE)


def test_a_link_opens_its_own_legs_and_no_other_recording(world: World, acme: Tenant, ann: Principal) -> None:
    legs = [stored(world, acme, minutes=n, facts={"linked_id": "1743067517.9"}) for n in range(2)]
    other, globex = stored(world, acme, minutes=9), world.tenant("globex")
    foreign = stored(world, globex)
    made = share(world, ann, legs[0], recordings=[legs[1].id], download=True)
    later = stored(world, acme, minutes=2, facts={"linked_id": "1743067517.9"})
    opened = world.parts.sharing.open(made.secret, "", OUTSIDE)
    assert [leg.id for leg in opened.recordings] == [legs[1].id]
    for wrong in (legs[0], later, other, foreign):
        with pytest.raises(NotFound):
            heard(world, opened.ticket, wrong.id)
    who, _ = world.parts.sharing.recording(opened.ticket, legs[1].id, Action.PLAY, OUTSIDE)
    assert heard(world, opened.ticket, legs[1].id, Action.DOWNLOAD) == b"tone"
    with pytest.raises(NotFound):
        world.reader.open(who, other, action=Action.PLAY)
    for action in set(Action) - {Action.PLAY, Action.DOWNLOAD}:
        assert not who.may(action, acme.id)
    for wrong_choice in ([], [other.id], [legs[0].id, foreign.id]):
        with pytest.raises(InputInvalid):
            share(world, ann, legs[0], recordings=wrong_choice)


@pytest.mark.parametrize("lost", ["right", "grant", "switched-off", "token", "removed", "recording", "setting"])
def test_a_link_ends_with_what_it_lives_by(world: World, acme: Tenant, ann: Principal, lost: str) -> None:
    one = stored(world, acme)
    by = ann
    token = world.tokens.create(world.root, ann.id, "program", [*ALL, f"tenant:{acme.id}"])
    if lost == "token":
        by = world.access.token(token.secret, ADDRESS)
    made = share(world, by, one)
    opened = world.parts.sharing.open(made.secret, "", OUTSIDE)
    who, _ = world.parts.sharing.recording(opened.ticket, one.id, Action.PLAY, OUTSIDE)
    assert world.access.still_valid(who)

    if lost == "right":
        world.accounts.change(world.root, ann.id, grants={acme.id: ["search", "play"]})
    elif lost == "grant":
        world.accounts.change(world.root, ann.id, grants={world.tenant("globex").id: ALL})
    elif lost == "switched-off":
        world.accounts.change(world.root, ann.id, status=UserStatus.INACTIVE)
    elif lost == "token":
        world.tokens.revoke(world.root, token.token.id)
    elif lost == "removed":
        world.accounts.remove(world.root, ann.id)
    elif lost == "recording":
        world.disposal.delete(ann, [one.id])
    else:
        world.parts.sharing.longest_days = 0
    world.pass_time(seconds=1)
    with pytest.raises(NotFound):
        heard(world, opened.ticket, one.id)
    if lost not in ("recording", "setting"):
        assert not world.access.still_valid(who), "and what is being sent breaks off"
    why = {"removed": "unknown", "recording": "deleted", "setting": "links-off"}.get(lost, "maker")
    assert refused(world, made.secret) == why


def test_a_revoked_link_stops_what_is_being_sent_and_an_opening_ends_by_itself(
    world: World, acme: Tenant, ann: Principal
) -> None:
    one = stored(world, acme)
    made = share(world, ann, one)
    opened = world.parts.sharing.open(made.secret, "", OUTSIDE)
    who, _ = world.parts.sharing.recording(opened.ticket, one.id, Action.PLAY, OUTSIDE)
    world.pass_time(minutes=121)
    assert not world.access.still_valid(who)
    with pytest.raises(NotFound):
        heard(world, opened.ticket, one.id)
    opened = world.parts.sharing.open(made.secret, "", OUTSIDE)
    who, _ = world.parts.sharing.recording(opened.ticket, one.id, Action.PLAY, OUTSIDE)
    world.parts.sharing.revoke(ann, made.link.id)
    world.pass_time(seconds=1)
    assert not world.access.still_valid(who)


def test_who_may_share_and_what(world: World, acme: Tenant, ann: Principal) -> None:
    one = stored(world, acme)
    for n, missing in enumerate((Action.SHARE, Action.PLAY, Action.DOWNLOAD)):
        some = [word for word in ALL if word != missing]
        kim = world.principal(world.user(f"kim{n}", Role.SERVICE, {acme.id: some}))
        with pytest.raises(Forbidden):
            share(world, kim, one, download=True)
    stranger = world.principal(world.user("max", Role.SERVICE, {world.tenant("globex").id: ALL}))
    made = share(world, ann, one)
    for attempt in (
        lambda: share(world, stranger, one),
        lambda: world.parts.sharing.revoke(stranger, made.link.id),
        lambda: world.parts.sharing.links(stranger, acme.id),
    ):
        with pytest.raises(NotFound):
            attempt()
    with pytest.raises(Forbidden):
        share(world, world.root, one)  # the command line is nobody whose rights a link could live by


def test_what_is_sealed_is_only_ever_saved(world: World, acme: Tenant, ann: Principal) -> None:
    sealed = stored(world, acme, envelope=Envelope(0, 4, b"\0" * 16, ("f" * 64,)))
    with pytest.raises(InputInvalid, match="only be saved"):
        share(world, ann, sealed)
    opened = world.parts.sharing.open(share(world, ann, sealed, download=True).secret, "", OUTSIDE)
    assert heard(world, opened.ticket, sealed.id, Action.DOWNLOAD) == b"tone"
    plain = stored(world, acme, minutes=1)
    opened = world.parts.sharing.open(share(world, ann, plain).secret, "", OUTSIDE)
    with pytest.raises(Forbidden):
        heard(world, opened.ticket, plain.id, Action.DOWNLOAD)


def test_a_link_that_cannot_be_is_refused_with_what_to_change(
    world: World, acme: Tenant, ann: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = stored(world, acme)
    wrong: list[dict[str, Any]] = [
        {"expires_at": world.now},
        {"expires_at": world.now + timedelta(days=31)},
        {"openings": 0},
        {"openings": 101},
        {"passphrase": "short"},
        {"label": "x" * 101},
    ]
    for given in wrong:
        with pytest.raises(InputInvalid) as answer:
            share(world, ann, one, **given)
        assert answer.value.field in given
    monkeypatch.setattr(sharing, "MOST_LIVE", 1)
    share(world, ann, one)
    with pytest.raises(Conflict) as full:
        share(world, ann, one)
    assert full.value.reason == "too-many-links"
    world.parts.sharing.longest_days = 0
    with pytest.raises(Conflict) as off:
        share(world, ann, one)
    assert off.value.reason == "links-off"


def test_links_that_ended_are_forgotten_after_a_while(world: World, acme: Tenant, ann: Principal) -> None:
    made = share(world, ann, stored(world, acme))
    world.parts.sharing.open(made.secret, "", OUTSIDE)
    world.pass_time(days=13)
    assert upkeep.prune(world.catalogue, world.clock)["shared_links"] == 0
    world.pass_time(days=2)
    assert upkeep.prune(world.catalogue, world.clock)["shared_links"] == 1
