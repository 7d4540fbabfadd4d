from __future__ import annotations

import base64
import concurrent.futures
import contextlib
from dataclasses import replace

import pytest

from recpipe.access import totp
from recpipe.access.login import Door
from recpipe.access.principal import Action, Kind, Principal
from recpipe.errors import AlreadyExists, CredentialsRejected, LockedOut, RecpipeError
from recpipe.model import FtpAccountKind, LinkPurpose, Outcome, Role, UserStatus
from tests.unit.access.world import ADDRESS, PASSWORD, PROOF, World

ELSEWHERE = "198.51.100.23"


def _answer(world: World, username: str, password: str = "wrong password", address: str = ADDRESS) -> RecpipeError:
    with pytest.raises((CredentialsRejected, LockedOut)) as answer:
        world.access.password(username, password, address, Door.HTTP)
    assert isinstance(answer.value, RecpipeError)
    return answer.value


def _code(world: World, secret: str) -> str:
    return totp.code_at(base64.b32decode(secret), int(world.now.timestamp()) // totp.STEP_SECONDS)


def _with_second_factor(world: World) -> tuple[str, tuple[str, ...]]:
    user = world.user()
    me = world.principal(user)
    enrolment = world.second_factor.begin(me)
    codes = world.second_factor.confirm(me, PROOF, enrolment.secret, _code(world, enrolment.secret))
    world.pass_time(seconds=30)
    return enrolment.secret, tuple(codes)


# --- passwords --------------------------------------------------------------------------------------------


def test_a_right_password_gives_a_principal_with_the_grants_of_its_user(world: World) -> None:
    acme = world.tenant()
    user = world.user(grants={acme.id: ["search"]})

    principal = world.log_in(" ANN ")

    assert (principal.kind, principal.id, principal.name) == (Kind.USER, user.id, "ann")
    assert principal.may(Action.SEARCH, acme.id)
    assert not principal.may(Action.PLAY, acme.id)
    event = world.events("login")[-1]
    assert (event.actor, event.outcome, event.address, event.tenant_id) == ("ann", Outcome.OK, ADDRESS, acme.id)


@pytest.mark.parametrize(
    "why", ["wrong password", "unknown", "inactive", "pending", "API user", "no password", "unusual name"]
)
def test_every_refusal_looks_and_costs_the_same(world: World, why: str) -> None:
    user = world.user(role=Role.API if why == "API user" else Role.CLIENT)
    statuses = {"inactive": UserStatus.INACTIVE, "pending": UserStatus.PENDING}
    if why in statuses:
        world.accounts.change(world.root, user.id, status=statuses[why])
    if why == "no password":
        world.user("bob", password=None)
    name = {"unknown": "nobody", "no password": "bob", "unusual name": "\x00'; --\udcff" * 30}.get(why, "ann")
    password = "wrong password" if why == "wrong password" else PASSWORD
    before = world.passwords.verifications

    answer = _answer(world, name, password)

    assert type(answer) is CredentialsRejected
    assert str(answer) == str(CredentialsRejected())
    assert world.passwords.verifications == before + 1
    event = world.events("login")[-1]
    assert (event.outcome, event.address) == (Outcome.DENIED, ADDRESS)


def test_what_was_typed_as_an_unknown_name_is_kept_nowhere(world: World) -> None:
    _answer(world, "hunter2-my-real-password")

    assert "hunter2" not in repr(world.events())
    assert world.events("login")[-1].actor == "unknown"


def test_a_password_changed_meanwhile_lets_nobody_in(world: World) -> None:
    user = world.user()
    world.log_in()

    world.accounts.set_password(world.root, user.id, "another good one")

    assert isinstance(_answer(world, "ann", PASSWORD), CredentialsRejected)
    world.log_in(password="another good one")


# --- lock-out ---------------------------------------------------------------------------------------------


def test_another_spelling_of_a_name_is_the_same_account_to_the_lock_out(world: World) -> None:
    world.user("admin")
    # Given: names that all mean this user, as full-width letters do for each of the five
    wide = [chr(ord(letter) + 0xFEE0) for letter in "admin"]
    spellings = ["".join(wide[n] if chosen >> n & 1 else "admin"[n] for n in range(5)) for chosen in range(11)]
    for n, spelling in enumerate(spellings[:10]):
        assert isinstance(_answer(world, spelling, address=f"198.51.100.{n}"), CredentialsRejected)

    assert isinstance(_answer(world, spellings[10], PASSWORD, ELSEWHERE), LockedOut)


def test_ten_failures_lock_an_account_for_five_minutes_whatever_is_tried(any_world: World) -> None:
    world = any_world
    world.user()
    for n in range(10):
        assert isinstance(_answer(world, "ann", address=f"198.51.100.{n}"), CredentialsRejected)

    # When: even the right password, from anywhere, and over and over
    for n in range(20):
        world.pass_time(seconds=10)
        locked = _answer(world, "ANN", PASSWORD, f"203.0.113.{n}")
        assert isinstance(locked, LockedOut)
        assert locked.retry_after_seconds == 300 - (n + 1) * 10

    # Then: it opens on time, for tries while it was locked were not counted
    world.pass_time(seconds=100)
    world.log_in(address=ELSEWHERE)


def test_ten_failures_lock_an_address_for_every_account_and_every_door(any_world: World) -> None:
    world = any_world
    acme = world.tenant()
    user = world.user(grants={acme.id: []})
    world.ftp_accounts.create(world.root, acme.id, "acme", password=PASSWORD)
    token = world.tokens.create(world.root, user.id, "nightly", ["search"]).secret

    # Given: failures spread over the doors
    for n in range(4):
        _answer(world, f"guess{n}")
    for n in range(3):
        with pytest.raises(CredentialsRejected):
            world.access.ftp(f"guess{n}", "x", ADDRESS)
    for _ in range(3):
        with pytest.raises(CredentialsRejected):
            world.access.token("rp_nonsense", ADDRESS)

    # Then: all are locked from there, and open from elsewhere
    assert isinstance(_answer(world, "ann", PASSWORD), LockedOut)
    with pytest.raises(LockedOut):
        world.access.ftp("acme", PASSWORD, ADDRESS)
    with pytest.raises(LockedOut):
        world.access.token(token, ADDRESS)
    world.log_in(address=ELSEWHERE)
    world.access.ftp("acme", PASSWORD, ELSEWHERE)
    world.access.token(token, ELSEWHERE)


@pytest.mark.parametrize("known", [True, False], ids=["wrong password", "unknown name"])
def test_a_forgotten_ftp_client_locks_its_account_and_nobody_else_behind_its_address(world: World, known: bool) -> None:
    acme = world.tenant()
    world.user(grants={acme.id: []})
    world.ftp_accounts.create(world.root, acme.id, "other", password=PASSWORD)
    if known:
        world.ftp_accounts.create(world.root, acme.id, "nightly", password=PASSWORD)
    # Given: it tries its old password every ten seconds for ten minutes
    for n in range(60):
        with pytest.raises((CredentialsRejected, LockedOut)):
            world.access.ftp("nightly", "last year's", ADDRESS)
        world.pass_time(seconds=10)
        if n % 20 == 15:  # Then: others behind its address come and go
            world.log_in()
            world.access.ftp("other", PASSWORD, ADDRESS)
    # And: somebody who tries many names from there is an attacker all the same
    with pytest.raises(LockedOut):
        for n in range(11):
            with contextlib.suppress(CredentialsRejected):
                world.access.ftp(f"guess{n}", "x", ADDRESS)
    assert isinstance(_answer(world, "ann", PASSWORD), LockedOut)


@pytest.mark.parametrize("known", [True, False], ids=["wrong password", "unknown name"])
def test_a_forgotten_sign_in_locks_its_account_and_nobody_else_behind_its_address(world: World, known: bool) -> None:
    world.user()
    if known:
        world.user("dashboard")
    # Given: a script signs in with its old password every ten seconds for ten minutes
    for n in range(60):
        assert isinstance(_answer(world, "dashboard", "last year's"), (CredentialsRejected, LockedOut))
        world.pass_time(seconds=10)
        if n % 20 == 15:  # Then: others behind its address come and go
            world.log_in()
    # And: somebody who tries many names from there is an attacker all the same
    for n in range(11):
        _answer(world, f"guess{n}")
    assert isinstance(_answer(world, "ann", PASSWORD), LockedOut)


def test_a_forgotten_code_locks_nobody_else_behind_its_address(world: World) -> None:
    # Given: somebody types codes of an old phone until the account is locked
    _with_second_factor(world)
    ticket = world.access.password("ann", PASSWORD, ADDRESS, Door.HTTP).ticket or ""
    for n in range(12):
        with pytest.raises(CredentialsRejected if n < 10 else LockedOut):
            world.access.second_factor(ticket, "000000", ADDRESS)
    # Then: others behind that address sign in
    world.user("bea")
    world.log_in("bea")


def test_a_token_that_is_wrong_again_and_again_is_no_guess(world: World) -> None:
    world.user()
    for n in range(20):
        with pytest.raises(CredentialsRejected if n < 10 else LockedOut):
            world.access.token("rp_mistyped", ADDRESS)
    # Then: it alone is stopped
    world.log_in()
    with pytest.raises(LockedOut):
        for n in range(11):
            with contextlib.suppress(CredentialsRejected):
                world.access.token(f"rp_guess{n}", ADDRESS)


def test_an_unknown_account_locks_like_a_known_one(world: World) -> None:
    world.user()
    answers = {
        name: [str(_answer(world, name, address=f"198.51.100.{n}")) for n in range(12)] for name in ("ann", "nobody")
    }

    assert answers["ann"] == answers["nobody"]


def test_a_success_clears_the_account_but_not_the_address(world: World) -> None:
    world.user()
    world.user("bob")
    for n in range(6):
        _answer(world, f"guess{n}")
    for _ in range(9):  # of which three count against the address
        _answer(world, "ann")
        world.pass_time(seconds=9)
    world.log_in()

    assert isinstance(_answer(world, "bob"), CredentialsRejected)
    assert isinstance(_answer(world, "bob", PASSWORD), LockedOut)  # ten from this address
    for n in range(9):
        _answer(world, "ann", address=f"198.51.100.{n}")
    world.log_in(address=ELSEWHERE)


def test_one_ipv6_client_cannot_hide_in_its_own_network(world: World) -> None:
    world.user()
    for n in range(10):
        _answer(world, f"guess{n}", address=f"2001:db8:1:2::{n:x}")

    assert isinstance(_answer(world, "ann", PASSWORD, "2001:db8:1:2:ffff::1"), LockedOut)
    world.log_in(address="2001:db8:1:3::1")


def test_an_ipv4_client_is_the_same_over_ipv6(world: World) -> None:
    for n in range(10):
        _answer(world, f"guess{n}", address="::ffff:192.0.2.7" if n % 2 else "192.0.2.7")

    assert isinstance(_answer(world, "ann", address="192.0.2.7"), LockedOut)


def test_a_hundred_guesses_at_once_are_hardly_more_than_ten(any_world: World) -> None:
    world = any_world
    world.user()
    before = world.passwords.verifications

    def guess(n: int) -> str:
        return type(_answer(world, "ann", f"guess number {n}", f"198.51.100.{n}")).__name__

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(guess, range(60)))

    assert set(answers) == {"CredentialsRejected", "LockedOut"}
    # Four verifications run at a time, so at most three more than ten are on their way when the counter is full.
    assert 10 <= world.passwords.verifications - before <= 13


def test_counted_failures_do_not_pile_up_for_ever(world: World) -> None:
    for n in range(5):
        _answer(world, f"guess{n}")
        world.pass_time(hours=2)

    with world.catalogue.begin() as work:
        assert work.failures.prune(world.now) == 4  # account, its network, address and repetition of the last one


def test_being_locked_out_is_on_the_record_once_a_minute_and_not_with_each_try(world: World) -> None:
    for _ in range(10):
        _answer(world, "ann")
        world.pass_time(seconds=9)
    for _ in range(20):
        _answer(world, "ann")

    reasons = [event.detail["reason"] for event in world.events("login")]
    assert reasons == ["unknown"] * 10 + ["locked-out"]


# --- second factor ----------------------------------------------------------------------------------------


def test_a_code_is_asked_for_after_the_password_and_ends_the_login(any_world: World) -> None:
    world = any_world
    secret, _ = _with_second_factor(world)

    result = world.access.password("ann", PASSWORD, ADDRESS, Door.HTTP)
    assert result.principal is None
    assert result.ticket is not None

    principal = world.access.second_factor(result.ticket, _code(world, secret), ADDRESS)
    assert principal.name == "ann"
    assert world.events("login")[-1].detail == {"door": "http", "second_factor": True}


def test_half_a_sign_in_ends_with_a_new_password(world: World) -> None:
    secret, _ = _with_second_factor(world)
    ticket = world.access.password("ann", PASSWORD, ADDRESS, Door.HTTP).ticket or ""
    with world.catalogue.read() as work:
        ann = work.users.by_username("ann")

    world.accounts.set_password(world.root, ann.id, "another good one")

    with pytest.raises(CredentialsRejected):
        world.access.second_factor(ticket, _code(world, secret), ADDRESS)


def test_a_code_is_good_once_even_with_a_fresh_ticket(any_world: World) -> None:
    world = any_world
    secret, _ = _with_second_factor(world)
    code = _code(world, secret)
    first, second = (world.access.password("ann", PASSWORD, ADDRESS, Door.HTTP).ticket for _ in range(2))
    assert first is not None
    assert second is not None
    world.access.second_factor(first, code, ADDRESS)

    for ticket in (first, second):
        with pytest.raises(CredentialsRejected):
            world.access.second_factor(ticket, code, ADDRESS)


def test_a_recovery_code_replaces_the_phone_once(any_world: World) -> None:
    world = any_world
    _, codes = _with_second_factor(world)
    tickets = [world.access.password("ann", PASSWORD, ADDRESS, Door.HTTP).ticket or "" for _ in range(2)]

    assert world.access.second_factor(tickets[0], codes[3].upper(), ADDRESS).name == "ann"
    with pytest.raises(CredentialsRejected):
        world.access.second_factor(tickets[1], codes[3], ADDRESS)


def test_a_wrong_code_leaves_the_ticket_good_for_five_minutes(world: World) -> None:
    secret, _ = _with_second_factor(world)
    ticket = world.access.password("ann", PASSWORD, ADDRESS, Door.HTTP).ticket or ""
    with pytest.raises(CredentialsRejected):
        world.access.second_factor(ticket, "000000", ADDRESS)

    world.pass_time(seconds=299)
    assert world.access.second_factor(ticket, _code(world, secret), ADDRESS).name == "ann"

    late = world.access.password("ann", PASSWORD, ADDRESS, Door.HTTP).ticket or ""
    world.pass_time(seconds=301)
    with pytest.raises(CredentialsRejected):
        world.access.second_factor(late, _code(world, secret), ADDRESS)


def test_guessing_codes_locks_out_although_the_password_is_right_each_time(any_world: World) -> None:
    world = any_world
    secret, _ = _with_second_factor(world)
    tries = 0
    with pytest.raises(LockedOut):
        for tries in range(12):
            address = f"198.51.100.{tries}"
            ticket = world.access.password("ann", PASSWORD, address, Door.HTTP).ticket or ""
            with pytest.raises(CredentialsRejected):
                world.access.second_factor(ticket, "000000", address)
    assert tries == 10
    assert secret


def test_codes_guessed_all_at_once_are_no_more_than_ten(any_world: World) -> None:
    world = any_world
    _with_second_factor(world)
    ticket = world.access.password("ann", PASSWORD, ADDRESS, Door.HTTP).ticket or ""

    def guess(n: int) -> str:
        try:
            world.access.second_factor(ticket, "000000", f"198.51.100.{n}")
        except (CredentialsRejected, LockedOut) as answer:
            return type(answer).__name__
        return "in"

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(guess, range(24)))

    assert answers.count("CredentialsRejected") == 10
    assert answers.count("LockedOut") == 14


def test_the_api_takes_no_password_of_somebody_who_has_a_second_factor(world: World) -> None:
    _with_second_factor(world)

    with pytest.raises(CredentialsRejected):
        world.access.password("ann", PASSWORD, ADDRESS, Door.API)


def test_a_ticket_is_no_recovery_link(world: World) -> None:
    _with_second_factor(world)
    ticket = world.access.password("ann", PASSWORD, ADDRESS, Door.HTTP).ticket or ""

    with pytest.raises(CredentialsRejected):
        world.links.reset(ticket, "a brand new password", ADDRESS)
    with pytest.raises(CredentialsRejected):
        world.links.peek(ticket, LinkPurpose.INVITATION)


# --- tokens -----------------------------------------------------------------------------------------------


def test_a_token_opens_within_its_scopes_and_its_last_use_is_kept(world: World) -> None:
    acme = world.tenant()
    user = world.user(role=Role.API, grants={acme.id: []})
    made = world.tokens.create(world.root, user.id, "nightly", ["search", "download"])

    principal = world.access.token(made.secret, ADDRESS)

    assert principal.may(Action.DOWNLOAD, acme.id)
    assert not principal.may(Action.DELETE, acme.id)
    assert world.tokens.list(world.root, user.id)[0].last_used_at == world.now
    assert world.events("login")[-1].actor == f"ann/{made.token.prefix}"


def test_the_last_use_is_written_at_most_once_a_minute(world: World) -> None:
    user = world.user(role=Role.API)
    made = world.tokens.create(world.root, user.id, "nightly", ["search"])
    start = world.now
    for seconds in range(0, 120, 10):
        world.now = start
        world.pass_time(seconds=seconds)
        world.access.token(made.secret, ADDRESS)
        used = world.tokens.list(world.root, user.id)[0].last_used_at
        assert used is not None
        assert (used - start).total_seconds() == (seconds // 60) * 60


@pytest.mark.parametrize("how", ["revoked", "expired", "user disabled", "mistyped", "empty"])
def test_a_token_that_is_no_longer_good_opens_nothing(world: World, how: str) -> None:
    user = world.user(role=Role.API)
    expires = world.now.replace(hour=16) if how == "expired" else None
    made = world.tokens.create(world.root, user.id, "nightly", ["search"], expires)
    principal = world.access.token(made.secret, ADDRESS)
    if how == "revoked":
        world.tokens.revoke(world.root, made.token.id)
    if how == "expired":
        world.pass_time(hours=1)
    if how == "user disabled":
        world.accounts.change(world.root, user.id, status=UserStatus.INACTIVE)
    world.pass_time(seconds=0.6)
    secret = {"mistyped": made.secret[:-1], "empty": ""}.get(how, made.secret)

    with pytest.raises(CredentialsRejected):
        world.access.token(secret, ADDRESS)
    assert world.access.still_valid(principal) is (how in ("mistyped", "empty"))


def test_an_old_token_in_a_nightly_job_does_not_lock_its_office_out(world: World) -> None:
    user = world.user()
    made = world.tokens.create(world.root, user.id, "nightly", ["search"])
    world.tokens.revoke(world.root, made.token.id)
    for _ in range(20):
        with pytest.raises(CredentialsRejected):
            world.access.token(made.secret, ADDRESS)

    world.log_in()
    denials = [e for e in world.events("login") if e.outcome is Outcome.DENIED]
    assert [e.detail["reason"] for e in denials] == ["ended"]


# --- FTP --------------------------------------------------------------------------------------------------


def test_an_ftp_account_reads_its_tenant_and_nothing_else(world: World) -> None:
    acme, other = world.tenant(), world.tenant("other")
    made = world.ftp_accounts.create(world.root, acme.id, "Acme-Office", extension="201")
    assert made.password is not None

    principal = world.access.ftp("acme-office", made.password, ADDRESS)

    assert principal.may(Action.DOWNLOAD, acme.id)
    assert not principal.may(Action.PLAY, acme.id)
    assert not principal.knows(other.id)
    assert principal.extension == "201"
    assert world.events("login")[-1].tenant_id == acme.id


def test_an_ftp_client_that_logs_in_for_every_file_pays_once_a_minute(world: World) -> None:
    acme = world.tenant()
    world.ftp_accounts.create(world.root, acme.id, "acme", password=PASSWORD)
    before = world.passwords.verifications

    for _ in range(30):
        world.access.ftp("acme", PASSWORD, ADDRESS)
    assert world.passwords.verifications == before + 1

    world.pass_time(seconds=61)
    world.access.ftp("acme", PASSWORD, ADDRESS)
    assert world.passwords.verifications == before + 2


@pytest.mark.parametrize("why", ["wrong", "unknown", "disabled", "network"])
def test_every_ftp_refusal_looks_and_costs_the_same(world: World, why: str) -> None:
    acme = world.tenant()
    networks = ["203.0.113.0/24", "2001:db8::/32"]
    account = world.ftp_accounts.create(
        world.root, acme.id, "acme", password=PASSWORD, allowed_networks=networks
    ).account
    if why == "disabled":
        world.ftp_accounts.disable(world.root, acme.id, account.id)
    inside = "203.0.113.9"
    world_before = world.passwords.verifications

    with pytest.raises(CredentialsRejected) as answer:
        world.access.ftp(
            "nobody" if why == "unknown" else "acme",
            "wrong" if why == "wrong" else PASSWORD,
            ADDRESS if why == "network" else inside,
        )

    assert str(answer.value) == str(CredentialsRejected())
    assert world.passwords.verifications == world_before + 1


def test_allowed_networks_understand_mapped_addresses(world: World) -> None:
    acme = world.tenant()
    world.ftp_accounts.create(world.root, acme.id, "acme", password=PASSWORD, allowed_networks=["192.0.2.0/24"])

    assert world.access.ftp("acme", PASSWORD, "::ffff:192.0.2.7").name == "ftp:acme"
    with pytest.raises(CredentialsRejected):
        world.access.ftp("acme", PASSWORD, "not an address")


@pytest.mark.parametrize("change", ["disabled", "password", "networks", "removed"])
def test_a_changed_ftp_account_ends_its_live_sessions_within_a_second(world: World, change: str) -> None:
    acme = world.tenant()
    account = world.ftp_accounts.create(world.root, acme.id, "acme", password=PASSWORD).account
    principal = world.access.ftp("acme", PASSWORD, ADDRESS)
    assert world.access.still_valid(principal)

    if change == "disabled":
        world.ftp_accounts.disable(world.root, acme.id, account.id)
    elif change == "password":
        world.ftp_accounts.set_password(world.root, acme.id, account.id)
    elif change == "networks":
        world.ftp_accounts.change(world.root, acme.id, account.id, allowed_networks=["203.0.113.0/24"])
    else:
        world.ftp_accounts.remove(world.root, acme.id, account.id)

    world.pass_time(seconds=0.6)
    assert not world.access.still_valid(principal)


def test_a_media_server_may_upload_into_its_spool_and_read_nothing(world: World) -> None:
    made = world.ftp_accounts.create(world.root, None, "pbx1", kind=FtpAccountKind.UPLOADER, spool="berlin")

    principal = world.access.ftp("pbx1", made.password or "", ADDRESS)

    assert principal.may_upload("berlin")
    assert not any(principal.may(action) for action in Action)
    assert principal.tenants(Action.SEARCH) == frozenset()


# --- afterwards -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["disabled", "password", "role", "removed"])
def test_a_changed_user_is_no_longer_valid_within_a_second(world: World, change: str) -> None:
    user = world.user()
    principal = world.log_in()
    assert world.access.still_valid(principal)

    if change == "disabled":
        world.accounts.change(world.root, user.id, status=UserStatus.INACTIVE)
    elif change == "password":
        world.accounts.set_password(world.root, user.id)
    elif change == "role":
        world.accounts.change(world.root, user.id, role=Role.ADMINISTRATOR)
    else:
        world.accounts.remove(world.root, user.id)

    world.pass_time(seconds=0.6)
    assert not world.access.still_valid(principal)


def test_asking_at_every_command_asks_the_database_twice_a_second(world: World) -> None:
    user = world.user()
    principal = world.log_in()
    assert world.access.still_valid(principal)
    world.accounts.set_password(world.root, user.id)

    assert world.access.still_valid(principal)  # remembered
    world.pass_time(seconds=0.5)
    assert not world.access.still_valid(principal)


def test_the_operator_is_always_valid_and_nobody_passes_for_another(world: World) -> None:
    user = world.user()
    principal = world.log_in()

    assert world.access.still_valid(world.root)
    assert not world.access.still_valid(replace(principal, stamp="forged"))
    assert not world.access.still_valid(Principal(kind=Kind.TOKEN, id=user.id, name="x", credential_id="none"))


# --- who can lock out whom --------------------------------------------------------------------------------


def test_an_ftp_account_of_the_same_name_clears_nothing(world: World) -> None:
    world.user("admin@portal.example")
    acme = world.tenant()
    # Given: an account from before such names were refused
    made = world.ftp_accounts.create(world.root, acme.id, "other", password=PASSWORD).account
    with world.catalogue.begin() as work:
        accounts = work.of(acme.id).ftp_accounts
        accounts.remove(made.id)
        accounts.add(replace(made, username="admin@portal.example"))
    answers = []
    for n in range(27):
        answers.append(type(_answer(world, "admin@portal.example", address=f"198.51.100.{n}")))
        if n % 9 == 8:
            world.access.ftp("admin@portal.example", PASSWORD, "203.0.113.5")

    assert answers == [CredentialsRejected] * 10 + [LockedOut] * 17
    # And: nor does its own lock-out reach the person
    for n in range(10):
        with pytest.raises(CredentialsRejected):
            world.access.ftp("bob", "x", f"198.51.101.{n}")
    world.user("bob")
    world.log_in("bob", address=ELSEWHERE)


def test_an_ftp_account_cannot_be_named_like_a_user(world: World) -> None:
    world.user("admin@portal.example")
    acme = world.tenant()
    with pytest.raises(AlreadyExists):
        world.ftp_accounts.create(world.root, acme.id, "Admin@Portal.example", password=PASSWORD)


@pytest.mark.parametrize("door", [Door.HTTP, Door.FTP])
def test_one_client_locks_an_account_out_for_itself_alone(world: World, door: Door) -> None:
    acme = world.tenant()
    world.user(grants={acme.id: []})
    world.ftp_accounts.create(world.root, acme.id, "nightly", password=PASSWORD)

    def knock(password: str, address: str) -> None:
        if door is Door.FTP:
            world.access.ftp("nightly", password, address)
        else:
            world.log_in(password=password, address=address)

    # Given: it goes on for half an hour
    for _ in range(180):
        with pytest.raises((CredentialsRejected, LockedOut)):
            knock("x", ADDRESS)
        world.pass_time(seconds=10)
    with pytest.raises(LockedOut):
        for _ in range(11):
            with contextlib.suppress(CredentialsRejected):
                knock("x", ADDRESS)

    knock(PASSWORD, ELSEWHERE)


def test_many_clients_lock_an_account_where_it_is_not_known(any_world: World) -> None:
    world = any_world
    world.user()
    world.log_in(address=ELSEWHERE)
    for n in range(10):
        _answer(world, "ann", address=f"198.51.100.{n}")

    assert isinstance(_answer(world, "ann", PASSWORD, "203.0.113.77"), LockedOut)
    # Then: from where it signed in before it still does, and is counted there as ever
    for _ in range(10):
        assert isinstance(_answer(world, "ann", address=ELSEWHERE), CredentialsRejected)
        world.pass_time(seconds=9)
    assert isinstance(_answer(world, "ann", PASSWORD, ELSEWHERE), LockedOut)
    # And: three months later it is forgotten
    world.pass_time(days=91)
    for n in range(10):
        _answer(world, "ann", address=f"198.51.100.{n}")
    assert isinstance(_answer(world, "ann", PASSWORD, ELSEWHERE), LockedOut)


def test_guesses_at_the_door_keep_nobody_from_confirming_a_password(world: World) -> None:
    world.user()
    signed_in = replace(world.log_in(), credential_id="session")
    for n in range(12):
        _answer(world, "ann", address=f"198.51.100.{n}")

    world.accounts.reauthentication.require(signed_in, PROOF)


def test_the_record_of_a_lock_out_names_the_account_that_was_attacked(world: World) -> None:
    world.user()
    for n in range(11):
        _answer(world, "ann", address=f"198.51.100.{n}")
    for _ in range(11):
        _answer(world, "typed a password here", address=ELSEWHERE)

    locked = [event.actor for event in world.events("login") if event.detail["reason"] == "locked-out"]
    assert locked == ["ann", "unknown"]
