"""Users, grants, tokens, sessions, links and lock-out counters."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from recpipe.catalogue import Catalogue
from recpipe.catalogue.people import Users
from recpipe.catalogue.repository import new_id
from recpipe.errors import AlreadyExists, NotFound
from recpipe.model import (
    FactorsAtProvider,
    Grant,
    Identity,
    IdentityProvider,
    LinkPurpose,
    OneTimeLink,
    Passkey,
    Role,
    Token,
    User,
    UserStatus,
    WebSession,
)
from tests.contracts.catalogue_samples import NOW, a_user, kept_tenant


def kept_user(catalogue: Catalogue, **changes: object) -> User:
    with catalogue.begin() as work:
        return work.users.add(a_user(**changes))


def a_token(user: User, **changes: object) -> Token:
    made = Token(new_id(), user.id, "nightly", "rp_abcd", new_id() * 2, ("search", "download"), NOW)
    return replace(made, **changes)  # type: ignore[arg-type]


def a_session(user: User, **changes: object) -> WebSession:
    made = WebSession(new_id(), new_id() * 2, user.id, NOW, NOW, NOW + timedelta(hours=8), "::1", "Firefox")
    return replace(made, **changes)  # type: ignore[arg-type]


def a_link(user: User, **changes: object) -> OneTimeLink:
    made = OneTimeLink(new_id(), new_id() * 2, LinkPurpose.RECOVERY, user.id, NOW, NOW + timedelta(hours=1))
    return replace(made, **changes)  # type: ignore[arg-type]


class PeopleContract:
    def test_a_user_comes_back_as_it_was_kept(self, catalogue: Catalogue) -> None:
        user = a_user(
            username="Anna@Example.org",
            email="Anna@Example.org",
            password_hash="$argon2id$secret",
            role=Role.SERVICE,
            status=UserStatus.PENDING,
            contact={"phone": "\0 odd"},
            notifications={"expiry": True},
            totp_secret="JBSWY3DP",
            recovery_hashes=("a", "b"),
        )
        with catalogue.begin() as work:
            assert work.users.add(user) == user
            assert work.users.by_username("anna@example.ORG") == user
            assert list(work.users.by_email("ANNA@example.org")) == [user]
            assert list(work.users.list()) == [user]
            assert not work.users.list("zzz")
        assert "argon2id" not in repr(user)
        assert "JBSWY3DP" not in repr(user)

    def test_a_user_name_is_unique_in_any_case(self, catalogue: Catalogue) -> None:
        kept_user(catalogue, username="anna")
        ben = kept_user(catalogue, username="ben")
        with catalogue.begin() as work:
            for taken in ("ANNA", " anna", "\uff41nna"):
                with pytest.raises(AlreadyExists):
                    work.users.add(a_user(username=taken))
                with pytest.raises(AlreadyExists):
                    work.users.update(replace(ben, username=taken))
            assert work.users.update(replace(ben, status=UserStatus.INACTIVE)).status is UserStatus.INACTIVE
            with pytest.raises(NotFound):
                work.users.update(a_user())

    def test_every_user_is_every_user(self, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
        page = Users.list
        monkeypatch.setattr(Users, "list", lambda work, after="": page(work, after, limit=3))
        acme = kept_tenant(catalogue)
        with catalogue.begin() as work:
            users = [work.users.add(a_user()) for _ in range(7)]
            work.users.set_grants(users[0].id, [Grant(users[0].id, acme.id, ("search",))])
        with catalogue.read() as work:
            found = [user.id for user in work.users.every()]
            granted = work.users.every_grant()
        assert len(found) == len(set(found))
        assert set(found) >= {user.id for user in users}
        assert granted[users[0].id] == [Grant(users[0].id, acme.id, ("search",))]
        assert users[1].id not in granted

    def test_grants_are_replaced_whole_and_go_with_their_user(self, catalogue: Catalogue) -> None:
        user, one, two = kept_user(catalogue), kept_tenant(catalogue), kept_tenant(catalogue)
        with catalogue.begin() as work:
            work.users.set_grants(user.id, [Grant(user.id, one.id, ("search",)), Grant(user.id, two.id)])
            work.users.set_grants(user.id, [Grant(user.id, two.id, ("play", "download"))])
            assert list(work.users.grants(user.id)) == [Grant(user.id, two.id, ("play", "download"))]
            assert [grant.user_id for grant in work.users.granted(two.id)] == [user.id]
            work.users.remove(user.id)
            assert not work.users.granted(two.id)
        with pytest.raises(NotFound), catalogue.begin() as work:
            work.users.set_grants(user.id, [Grant(user.id, one.id)])

    def test_a_time_step_and_a_recovery_code_are_good_once(self, catalogue: Catalogue) -> None:
        user = kept_user(catalogue, recovery_hashes=("a", "b"))
        with catalogue.begin() as work:
            assert work.users.use_totp_step(user.id, 100)
            assert not work.users.use_totp_step(user.id, 100)
            assert not work.users.use_totp_step(user.id, 99)
            assert work.users.use_recovery_hash(user.id, "a")
            assert not work.users.use_recovery_hash(user.id, "a")
            assert not work.users.use_recovery_hash(new_id(), "b")
            assert work.users.get(user.id).recovery_hashes == ("b",)

    def test_a_code_used_by_several_at_once_is_good_for_one(self, catalogue: Catalogue) -> None:
        user = kept_user(catalogue, recovery_hashes=("a",))

        def attempt(_: int) -> tuple[bool, bool]:
            with catalogue.begin() as work:
                return work.users.use_totp_step(user.id, 7), work.users.use_recovery_hash(user.id, "a")

        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(attempt, range(4)))
        assert sorted(step for step, _ in answers) == sorted(code for _, code in answers) == [False] * 3 + [True]

    # --- tokens, sessions, links --------------------------------------------------------------------------

    def test_tokens_are_known_by_their_hash_and_can_be_revoked(self, catalogue: Catalogue) -> None:
        user = kept_user(catalogue)
        token = a_token(user)
        with catalogue.begin() as work:
            assert work.tokens.add(token) == token
            assert work.tokens.by_hash(token.hash) == token
            with pytest.raises(NotFound):
                work.tokens.by_hash("0" * 64)
            work.tokens.note_use(token.id, NOW, "192.0.2.7")
            assert work.tokens.revoke(token.id, NOW).revoked_at == NOW
            assert work.tokens.revoke(token.id, NOW + timedelta(days=1)).revoked_at == NOW
            assert [kept.last_used_at for kept in work.tokens.list(user.id)] == [NOW]
            assert not work.tokens.list(new_id())
        assert token.hash not in repr(token)

    def test_sessions_rotate_and_end(self, catalogue: Catalogue) -> None:
        user, other = kept_user(catalogue), kept_user(catalogue)
        sessions = [a_session(user) for _ in range(3)]
        with catalogue.begin() as work:
            for session in sessions:
                work.sessions.add(session)
            first = sessions[0]
            work.sessions.rotate(first.id, "f" * 64)
            with pytest.raises(NotFound):
                work.sessions.by_hash(first.hash)
            work.sessions.touch(first.id, NOW + timedelta(minutes=1), "127.0.0.1")
            seen = work.sessions.by_hash("f" * 64)
            assert (seen.last_seen_at, seen.address) == (NOW + timedelta(minutes=1), "127.0.0.1")
            assert next(iter(work.sessions.list(user.id))).id == first.id
            with pytest.raises(NotFound):
                work.sessions.revoke(other.id, first.id, NOW)
            assert work.sessions.revoke_all(user.id, NOW, but=first.id) == 2
            work.sessions.revoke(user.id, first.id, NOW)
            assert work.sessions.by_hash("f" * 64).revoked_at == NOW
            with pytest.raises(NotFound):
                work.sessions.rotate(first.id, "e" * 64)
            assert not work.sessions.list(user.id)
            assert work.sessions.prune(NOW + timedelta(hours=9)) == 3

    def test_a_tenant_and_the_installation_have_one_identity_provider_each(self, catalogue: Catalogue) -> None:
        acme, user = kept_tenant(catalogue), kept_user(catalogue)
        own = IdentityProvider(new_id(), None, "https://id.example", "portal", NOW)
        first = replace(own, id=new_id(), tenant_id=acme.id, factors=FactorsAtProvider.CLAIMED, acr_values=("gold",))
        opened, other = a_session(user, provider_id=first.id, second_factor=True), a_session(user)
        with catalogue.begin() as work:
            assert (work.identity_providers.put(own), work.identity_providers.put(first)) == (own, first)
            # Another one for the same takes its place and its id
            again = work.identity_providers.put(replace(first, id=new_id(), client_id="other", enabled=False))
            assert again == replace(first, client_id="other", enabled=False)
            assert work.identity_providers.list() == [own, again]
            assert [work.identity_providers.of(None), work.identity_providers.get(first.id)] == [own, again]
            for session in (opened, other):
                work.sessions.add(session)
            assert work.sessions.by_hash(opened.hash) == opened
            assert work.sessions.revoke_of_provider(first.id, NOW, new_id()) == 0
            assert work.sessions.revoke_of_provider(first.id, NOW) == 1
            assert work.sessions.list(user.id) == [other]
            work.identity_providers.remove(first.id)
            with pytest.raises(NotFound):
                work.identity_providers.of(acme.id)
            with pytest.raises(NotFound):
                work.identity_providers.remove(first.id)

    def test_a_person_of_an_issuer_is_linked_once_letter_by_letter(self, catalogue: Catalogue) -> None:
        ann, bob = kept_user(catalogue), kept_user(catalogue)
        linked = Identity(new_id(), ann.id, "https://id.example", "Sub-1", "ann", NOW)
        with catalogue.begin() as work:
            work.identities.add(linked)
            with pytest.raises(AlreadyExists):
                work.identities.add(replace(linked, id=new_id(), user_id=bob.id))
            work.identities.note_use(linked.id, NOW)
            assert work.identities.find("https://id.example", "Sub-1") == replace(linked, last_used_at=NOW)
            for issuer, subject in (("https://id.example/", "Sub-1"), ("https://id.example", "sub-1")):
                with pytest.raises(NotFound):
                    work.identities.find(issuer, subject)
            with pytest.raises(NotFound):
                work.identities.remove(bob.id, linked.id)
            assert work.identities.remove(ann.id, linked.id).subject == "Sub-1"
            assert work.identities.list(ann.id) == []

    def test_a_passkey_is_of_one_user_who_knows_how_many_there_are(self, catalogue: Catalogue) -> None:
        ann, bob = kept_user(catalogue), kept_user(catalogue)
        one = Passkey(new_id(), ann.id, "AbC_-", b"\x00key", 3, "laptop", NOW)
        with catalogue.begin() as work:
            work.passkeys.add(one)
            with pytest.raises(AlreadyExists):
                work.passkeys.add(replace(one, id=new_id(), user_id=bob.id))
            # Whoever changes a user meanwhile does not change the count
            work.users.update(replace(ann, display_name="Ann"))
            assert (work.users.get(ann.id).passkeys, work.users.get(bob.id).passkeys) == (1, 0)
            assert work.passkeys.find("AbC_-") == one
            for other in ("abc_-", ""):
                with pytest.raises(NotFound):
                    work.passkeys.find(other)
            assert work.passkeys.use(one, 4, NOW)
            assert not work.passkeys.use(one, 5, NOW)
            assert work.passkeys.list(ann.id) == [replace(one, sign_count=4, last_used_at=NOW)]
            with pytest.raises(NotFound):
                work.passkeys.remove(bob.id, one.id)
            work.passkeys.remove(ann.id, one.id)
            assert (work.passkeys.list(ann.id), work.users.get(ann.id).passkeys) == ([], 0)
            link = a_link(ann, purpose=LinkPurpose.PASSKEY)
            assert work.links.add_once(link)
            assert not work.links.add_once(replace(link, id=new_id()))

    def test_a_link_is_good_once_and_not_for_long(self, catalogue: Catalogue) -> None:
        user = kept_user(catalogue)
        link = a_link(user)
        with catalogue.begin() as work:
            work.links.add(link)
            for digest, purpose, at in (
                ("0" * 64, LinkPurpose.RECOVERY, NOW),
                (link.hash, LinkPurpose.INVITATION, NOW),
                (link.hash, LinkPurpose.RECOVERY, link.expires_at),
            ):
                with pytest.raises(NotFound):
                    work.links.use(digest, purpose, at)
            assert work.links.peek(link.hash, LinkPurpose.RECOVERY, NOW) == link
            assert work.links.use(link.hash, LinkPurpose.RECOVERY, NOW) == link
            with pytest.raises(NotFound):
                work.links.use(link.hash, LinkPurpose.RECOVERY, NOW)
            work.links.add(newer := a_link(user))
            work.links.drop(user.id, LinkPurpose.RECOVERY)
            with pytest.raises(NotFound):
                work.links.peek(newer.hash, LinkPurpose.RECOVERY, NOW)

    # --- failures -----------------------------------------------------------------------------------------

    def test_failures_are_kept_by_key_and_time_until_they_are_cleared(self, catalogue: Catalogue) -> None:
        with catalogue.begin() as work:
            for minute in range(5):
                work.failures.note("user:anna", NOW + timedelta(minutes=minute))
            work.failures.note("user:ben\0" + "x" * 1000, NOW)
            assert list(work.failures.latest("user:anna", 2)) == [NOW + timedelta(minutes=m) for m in (4, 3)]
            work.failures.clear("user:anna")
            assert work.failures.latest("user:anna") == []
            assert work.failures.latest("user:ben\0" + "x" * 1000) == [NOW]
            assert work.failures.prune(NOW + timedelta(seconds=1)) == 1

    def test_failures_at_the_same_time_are_all_counted_and_each_sees_those_before(self, catalogue: Catalogue) -> None:
        def fail(_: int) -> int:
            with catalogue.begin() as work:
                work.failures.note("address:::1", NOW)
                return len(work.failures.latest("address:::1", 50))

        with ThreadPoolExecutor(4) as pool:
            assert sorted(pool.map(fail, range(20))) == list(range(1, 21))
