"""Signing in with OpenID Connect, against a real provider over TLS: what is believed, what is not, whom it opens."""

from __future__ import annotations

import base64
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from recpipe.access import totp
from recpipe.access.federation import Begun, Finished
from recpipe.access.issuer_http import IssuerHttp, is_public
from recpipe.access.login import Door
from recpipe.access.principal import Principal
from recpipe.access.reauthentication import NO_PROOF, Proof
from recpipe.addresses import parse_address
from recpipe.errors import (
    CredentialsRejected,
    Forbidden,
    InputInvalid,
    IssuerUnavailable,
    LockedOut,
    NotFound,
    ReauthenticationRequired,
    SecondFactorRequired,
    SignInRefused,
)
from recpipe.model import FactorsAtProvider, Role, UserStatus
from tests.services.certificates import KeyPair, KeyPairs
from tests.services.issuer import Claims, Issuer, Person, loopback_pair, new_key, say_yes, serve_issuer
from tests.unit.access.world import ADDRESS, PROOF, World

CLIENT = "recpipe-at-acme"


@pytest.fixture(scope="module")
def pair(key_pairs: KeyPairs) -> KeyPair:
    return loopback_pair(key_pairs)


@pytest.fixture(scope="module")
def served(pair: KeyPair) -> Iterator[Issuer]:
    with serve_issuer(pair) as issuer:
        yield issuer


@pytest.fixture
def issuer(served: Issuer) -> Issuer:
    served.reset()
    return served


class Company:
    """A tenant with its provider, and ann who belongs to it."""

    def __init__(self, folder: Path, issuer: Issuer, pair: KeyPair, **settings: object) -> None:
        self.world = World(folder, oidc_networks=["127.0.0.0/8"], oidc_ca_file=str(pair.certificate_path), **settings)
        self.issuer, self.pair = issuer, pair
        issuer.clock = lambda: self.world.now.timestamp()
        self.acme = self.world.tenant("acme")
        self.ann = self.world.user("ann@example.com", grants={self.acme.id: []})
        self.provider = self.set_up(self.acme.id)

    def set_up(self, tenant_id: str | None, client_id: str = CLIENT, secret: str = "s3cret", **options: Any) -> Any:
        made = self.world.parts.identity_providers.set(
            self.world.root, tenant_id, self.issuer.url, client_id, client_secret=secret, **options
        )
        self.issuer.client(client_id, self.world.parts.federation.redirect_uri(made), secret)
        return made

    def begin(self, provider: Any = None) -> Begun:
        return self.world.parts.federation.begin((provider or self.provider).id, "/recordings")

    def finish(
        self, begun: Begun, answer: dict[str, str] | None = None, provider: Any = None, viewer: Principal | None = None
    ) -> Finished:
        answer = say_yes(begun.url, self.pair) if answer is None else answer
        chosen = (provider or self.provider).id
        return self.world.parts.federation.finish(chosen, answer, begun.cookie, ADDRESS, viewer)

    def signed_in(self, provider: Any = None) -> Principal:
        done = self.finish(self.begin(provider), provider=provider)
        assert done.login is not None
        assert done.login.principal is not None
        return done.login.principal

    def link(self, name: str = "ann@example.com", provider: Any = None) -> None:
        viewer = self.world.log_in(name)
        begun = self.world.parts.federation.begin_link(viewer, (provider or self.provider).id, PROOF)
        assert self.finish(begun, provider=provider, viewer=viewer).login is None

    def refused(self, reason: str) -> None:
        """The last sign-in was refused for this reason, on the record, and nobody was let in."""
        denied = [e for e in self.world.events("login") if e.outcome == "denied"]
        assert denied[-1].detail["reason"] == reason


@pytest.fixture
def company(tmp_path: Path, issuer: Issuer, pair: KeyPair) -> Iterator[Company]:
    made = Company(tmp_path, issuer, pair)
    yield made
    made.world.close()


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory, served: Issuer, pair: KeyPair) -> Iterator[Company]:
    """One for tests that change nothing but what the issuer says; ann is linked."""
    served.reset()
    made = Company(tmp_path_factory.mktemp("standing"), served, pair)
    made.link()
    yield made
    made.world.close()


@pytest.fixture
def linked(standing: Company, issuer: Issuer) -> Company:
    issuer.clock = lambda: standing.world.now.timestamp()
    return standing


# --- what is believed -----------------------------------------------------------------------------------------


def test_a_linked_person_signs_in_and_the_log_says_by_whom(company: Company) -> None:
    company.link()
    done = company.finish(company.begin())
    assert done.login is not None and done.login.principal is not None
    assert (done.login.principal.id, done.wanted) == (company.ann.id, "/recordings")
    happened = company.world.events("login")[-1]
    assert happened.detail == {"door": "http", "second_factor": False, "provider": company.provider.id}
    assert [e.action for e in company.world.events() if e.action.startswith("identity")] == [
        "identity-provider.set",
        "identity.link",
    ]
    session = company.world.access.sessions.start(done.login.principal, ADDRESS, "a browser")
    assert company.world.access.sessions.open(session, ADDRESS).provider_id == company.provider.id
    # And: a password that was made for somebody who does not use it is in nobody's way.
    company.world.accounts.set_password(company.world.root, company.ann.id, end_sessions=False)
    assert company.world.access.sessions.open(session, ADDRESS).id == company.ann.id


def bent(**changes: Any) -> Callable[[Claims], Claims]:
    return lambda claims: {name: value for name, value in {**claims, **changes}.items() if value is not None}


@pytest.mark.parametrize(
    ("bend", "reason"),
    [
        (bent(nonce="another"), "claim-nonce"),
        (bent(nonce=None), "claim-nonce"),
        (bent(aud="somebody-else"), "claim-aud"),
        (bent(aud=[CLIENT, "somebody-else"]), "claim-azp"),
        (bent(azp="somebody-else"), "claim-azp"),
        (bent(iss="https://issuer.example"), "claim-iss"),
        (bent(exp=1), "expired"),
        (bent(exp=None), "claim-exp"),
        (bent(iat=4_000_000_000), "claim-iat"),
        (bent(nbf=4_000_000_000), "claim-nbf"),
        (bent(sub=""), "claim-sub"),
        (bent(sub="x" * 256), "claim-sub"),
        (bent(sub=7), "claim-sub"),
        (bent(at_hash="bm90IGl0"), "claim-at_hash"),
    ],
)
def test_a_token_that_is_not_the_answer_to_our_question_is_refused(
    linked: Company, issuer: Issuer, bend: Callable[[Claims], Claims], reason: str
) -> None:
    issuer.bend = bend
    with pytest.raises(SignInRefused) as refused:
        linked.finish(linked.begin())
    assert refused.value.reason == reason
    linked.refused(reason)
    # And one as it should be still opens
    issuer.bend = bent()
    assert linked.signed_in().id == linked.ann.id


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).decode().rstrip("=")


def unsigned(header: Claims, claims: Claims) -> str:
    return ".".join(encoded(json.dumps(part).encode()) for part in (header, claims))


@pytest.mark.parametrize("how", ["another key", "no signature", "the public key as a shared one", "an unknown key id"])
def test_a_token_that_the_issuer_did_not_sign_is_refused(
    linked: Company, issuer: Issuer, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    ours = issuer.key
    if how == "another key":
        monkeypatch.setattr(issuer, "published", [ours])
        monkeypatch.setattr(issuer, "key", new_key(ours.kid))
    elif how == "an unknown key id":
        issuer.header = {"kid": "never-published"}
    else:

        def encode(_header: Any, claims: Claims, _key: Any, _algorithms: Any) -> str:
            if how == "no signature":
                return f"{unsigned({'alg': 'none'}, claims)}."
            text = unsigned({"alg": "HS256", "kid": ours.kid}, claims)
            return f"{text}.{encoded(hmac.digest(ours.as_pem(private=False), text.encode(), 'sha256'))}"

        monkeypatch.setattr("tests.services.issuer.sign", encode)
    with pytest.raises(SignInRefused) as refused:
        linked.finish(linked.begin())
    assert refused.value.reason == "signature"


def test_a_new_key_of_the_issuer_is_fetched_when_it_is_first_seen(
    company: Company, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    company.link()
    monkeypatch.setattr("recpipe.access.oidc._NEW_KEYS_SECONDS", 0.0)
    monkeypatch.setattr(issuer, "key", new_key("two"))
    assert company.signed_in().id == company.ann.id


def test_a_code_is_good_once_and_for_the_browser_that_asked(linked: Company) -> None:
    begun = linked.begin()
    answer = say_yes(begun.url, linked.pair)
    assert linked.finish(begun, answer).login is not None
    # The same answer again: the issuer takes no code twice
    with pytest.raises(SignInRefused, match="did not take the code") as refused:
        linked.finish(begun, answer)
    assert refused.value.reason == "code"
    # The answer in another browser, which began one of its own
    stolen = say_yes(linked.begin().url, linked.pair)
    with pytest.raises(SignInRefused) as refused:
        linked.finish(linked.begin(), stolen)
    assert refused.value.reason == "stale"
    # The code in an answer with the right state: PKCE binds it to who asked
    other = linked.begin()
    mine = say_yes(other.url, linked.pair)
    with pytest.raises(SignInRefused) as refused:
        linked.finish(other, {**mine, "code": say_yes(linked.begin().url, linked.pair)["code"]})
    assert refused.value.reason == "code"
    for cookie in ("", "rp1.0.AA", begun.cookie[:-4]):
        with pytest.raises(SignInRefused) as refused:
            linked.finish(replace(begun, cookie=cookie), answer)
        assert refused.value.reason == "stale"


def test_an_answer_ten_minutes_late_or_without_consent_opens_nothing(company: Company) -> None:
    company.link()
    late = company.begin()
    company.world.pass_time(minutes=10)
    with pytest.raises(SignInRefused) as refused:
        company.finish(late)
    assert refused.value.reason == "stale"
    begun = company.begin()
    state = say_yes(begun.url, company.pair)["state"]
    with pytest.raises(SignInRefused, match=r"did not sign you in \(access_denied\)"):
        company.finish(begun, {"state": state, "error": "access_denied"})


def test_the_answer_of_another_issuer_is_refused(company: Company) -> None:
    company.link()
    globex = company.set_up(company.world.tenant("globex").id, "recpipe-at-globex")
    begun = company.begin()
    answer = say_yes(begun.url, company.pair)
    for iss in ("https://issuer.example", ""):
        with pytest.raises(SignInRefused) as refused:
            company.finish(begun, {**answer, "iss": iss})
        assert refused.value.reason == "issuer-mixed-up"
    with pytest.raises(SignInRefused) as refused:
        company.finish(begun, answer, provider=globex)
    assert refused.value.reason == "issuer-mixed-up"
    assert company.finish(begun, answer).login is not None


# --- whom it opens --------------------------------------------------------------------------------------------


def test_an_equal_address_links_nobody(company: Company, issuer: Issuer) -> None:
    assert issuer.person.email == company.ann.username == company.ann.email
    with pytest.raises(SignInRefused, match="The same e-mail address is not enough") as refused:
        company.finish(company.begin())
    assert refused.value.reason == "unlinked"
    company.refused("unlinked")
    company.link()
    # Another person there, with the same address
    issuer.person = Person("sub-eve", company.ann.email)
    with pytest.raises(SignInRefused) as refused:
        company.finish(company.begin())
    assert refused.value.reason == "unlinked"


def test_linking_takes_the_password_and_the_session_that_began_it(company: Company) -> None:
    federation, ann = company.world.parts.federation, company.world.log_in("ann@example.com")
    for proof in (NO_PROOF, Proof("wrong")):
        with pytest.raises(ReauthenticationRequired):
            federation.begin_link(ann, company.provider.id, proof)
    bob = company.world.principal(company.world.user("bob", grants={company.acme.id: []}))
    begun = federation.begin_link(ann, company.provider.id, PROOF)
    for viewer in (None, bob):
        with pytest.raises(SignInRefused) as refused:
            company.finish(begun, viewer=viewer)
        assert refused.value.reason == "signed-out"
    with pytest.raises(SignInRefused) as refused:
        company.finish(company.begin())
    assert refused.value.reason == "unlinked"


def test_one_person_there_is_one_person_here(company: Company) -> None:
    company.link()
    company.world.user("bob", grants={company.acme.id: []})
    bob = company.world.log_in("bob")
    begun = company.world.parts.federation.begin_link(bob, company.provider.id, PROOF)
    with pytest.raises(SignInRefused) as refused:
        company.finish(begun, viewer=bob)
    assert refused.value.reason == "linked-already"
    assert company.signed_in().id == company.ann.id


def test_the_provider_of_a_tenant_opens_nothing_of_another(company: Company) -> None:
    company.link()
    session = company.world.access.sessions.start(company.signed_in(), ADDRESS, "")
    # Granted another tenant: whoever runs the provider of acme must not get in there as ann
    globex = company.world.tenant("globex")
    company.world.accounts.change(company.world.root, company.ann.id, grants={company.acme.id: [], globex.id: []})
    with pytest.raises(CredentialsRejected):
        company.world.access.sessions.open(session, ADDRESS)
    with pytest.raises(SignInRefused) as refused:
        company.finish(company.begin())
    assert refused.value.reason == "not-vouched"
    assert company.world.parts.federation.linkable(company.world.principal(company.ann)) == []
    # Nor as an administrator, though that of the installation does
    boss = company.world.user("boss", Role.ADMINISTRATOR)
    with pytest.raises(NotFound):
        company.world.parts.federation.begin_link(company.world.principal(boss), company.provider.id, PROOF)
    own = company.set_up(None, "recpipe-installation")
    company.issuer.person = Person("sub-boss")
    company.link("boss", own)
    assert company.signed_in(own).everything


def test_who_is_disabled_or_unlinked_is_out_at_once(company: Company) -> None:
    company.link()
    first = company.world.access.sessions.start(company.signed_in(), ADDRESS, "")
    ann = company.world.log_in("ann@example.com")
    (linked,) = company.world.parts.federation.list(ann)
    with pytest.raises(ReauthenticationRequired):
        company.world.parts.federation.unlink(ann, linked.id, NO_PROOF)
    company.world.parts.federation.unlink(ann, linked.id, PROOF)
    with pytest.raises(CredentialsRejected):
        company.world.access.sessions.open(first, ADDRESS)
    company.link()
    company.world.accounts.change(company.world.root, company.ann.id, status=UserStatus.INACTIVE)
    with pytest.raises(SignInRefused) as refused:
        company.finish(company.begin())
    assert refused.value.reason == "inactive"


def test_a_provider_that_is_switched_off_or_changed_ends_what_it_opened(company: Company) -> None:
    company.link()
    providers, root = company.world.parts.identity_providers, company.world.root
    session = company.world.access.sessions.start(company.signed_in(), ADDRESS, "")
    company.set_up(company.acme.id, label="Acme")
    assert company.world.access.sessions.open(session, ADDRESS).id == company.ann.id
    on_its_way = company.begin()
    company.set_up(company.acme.id, enabled=False)
    with pytest.raises(CredentialsRejected):
        company.world.access.sessions.open(session, ADDRESS)
    with pytest.raises(NotFound):
        company.begin()
    with pytest.raises(SignInRefused):
        company.finish(on_its_way)
    assert providers.offered("acme") is None
    providers.remove(root, company.acme.id)
    with pytest.raises(NotFound):
        providers.remove(root, company.acme.id)
    assert providers.list(root) == []


def test_an_invitation_that_names_the_provider_is_accepted_there_and_nowhere_else(
    company: Company, issuer: Issuer
) -> None:
    links, federation, root = company.world.links, company.world.parts.federation, company.world.root
    grants = {company.acme.id: ["search"]}
    with pytest.raises(InputInvalid, match="own service alone"):
        links.invite(root, "eve", Role.ADMINISTRATOR, provider_id=company.provider.id)
    invited = links.invite(root, "carl", Role.SERVICE, grants=grants, provider_id=company.provider.id)
    with pytest.raises(CredentialsRejected):
        links.accept(invited.secret, "four loud candles", ADDRESS)
    issuer.person = Person("sub-carl")
    done = company.finish(federation.begin_acceptance(invited.secret))
    assert done.login is not None and done.login.principal is not None
    assert done.login.principal.name == "carl"
    # Once
    with pytest.raises(CredentialsRejected):
        federation.begin_acceptance(invited.secret)
    assert company.signed_in().name == "carl"
    # Who has no password cannot take away the only way in
    carl = done.login.principal
    (linked,) = federation.list(carl)
    with pytest.raises(ReauthenticationRequired):
        federation.unlink(carl, linked.id, PROOF)
    # And an ordinary invitation is none for there
    with pytest.raises(CredentialsRejected):
        federation.begin_acceptance(links.invite(root, "dora", Role.SERVICE, grants=grants).secret)


# --- second factors -------------------------------------------------------------------------------------------


def test_what_a_second_factor_is_at_a_provider(company: Company, issuer: Issuer) -> None:
    company.link()
    world = company.world
    secret = world.second_factor.begin(world.log_in("ann@example.com")).secret
    with world.catalogue.begin() as work:
        kept = world.totp_secrets.closed(company.ann.id, secret)
        work.users.update(replace(work.users.get(company.ann.id), totp_secret=kept))
    for factors, amr, acr, both in (
        (FactorsAtProvider.ONE, ("pwd", "mfa"), "gold", False),
        (FactorsAtProvider.BOTH, (), "", True),
        (FactorsAtProvider.CLAIMED, ("pwd", "mfa"), "", True),
        (FactorsAtProvider.CLAIMED, ("pwd",), "gold", True),
        (FactorsAtProvider.CLAIMED, ("pwd", "otp"), "silver", False),
        (FactorsAtProvider.CLAIMED, (), "", False),
    ):
        company.set_up(company.acme.id, factors=factors, acr_values=["gold"])
        issuer.person = replace(issuer.person, amr=amr, acr=acr)
        login = company.finish(company.begin()).login
        assert login is not None
        assert (login.principal is not None) is both, (factors, amr, acr)
        if login.principal is not None:
            assert login.principal.second_factor
            continue
        # The code is owed here, and the session is still the provider's
        world.pass_time(seconds=totp.STEP_SECONDS)
        code = totp.code_at(base64.b32decode(secret), int(world.now.timestamp()) // totp.STEP_SECONDS)
        assert login.ticket is not None
        ann = world.access.second_factor(login.ticket, code, ADDRESS)
        assert (ann.provider_id, ann.second_factor) == (company.provider.id, True)


def test_two_factors_there_are_enough_where_everybody_needs_them(tmp_path: Path, issuer: Issuer, pair: KeyPair) -> None:
    company = Company(tmp_path, issuer, pair, http_second_factor="required")
    company.link()
    sessions = company.world.access.sessions
    with pytest.raises(SecondFactorRequired):
        sessions.open(sessions.start(company.signed_in(), ADDRESS, ""), ADDRESS)
    company.set_up(company.acme.id, factors=FactorsAtProvider.BOTH)
    assert sessions.open(sessions.start(company.signed_in(), ADDRESS, ""), ADDRESS).id == company.ann.id
    company.world.close()


# --- setting it up, and when it is not there --------------------------------------------------------------------


def test_the_client_secret_is_encrypted_at_rest_and_stays_when_it_is_not_named(company: Company) -> None:
    kept = company.provider.client_secret
    assert kept.startswith("rp1.") and "s3cret" not in kept
    again = company.world.parts.identity_providers.set(company.world.root, company.acme.id, company.issuer.url, CLIENT)
    assert (again.id, again.client_secret) == (company.provider.id, kept)
    # For another client it is asked for anew
    other = company.world.parts.identity_providers.set(company.world.root, company.acme.id, company.issuer.url, "other")
    assert other.client_secret == ""


def test_a_public_client_signs_in_by_pkce_alone(company: Company) -> None:
    company.link()
    company.set_up(company.acme.id, "public", secret="")
    assert company.signed_in().id == company.ann.id


def test_only_who_manages_tenants_sets_it_up_and_with_the_password(company: Company) -> None:
    providers = company.world.parts.identity_providers
    ann = company.world.principal(company.ann)
    for act in (
        lambda: providers.list(ann),
        lambda: providers.set(ann, company.acme.id, company.issuer.url, CLIENT, proof=PROOF),
        lambda: providers.remove(ann, company.acme.id, PROOF),
    ):
        with pytest.raises(Forbidden):
            act()
    boss = company.world.principal(company.world.user("boss", Role.ADMINISTRATOR))
    with pytest.raises(ReauthenticationRequired):
        providers.set(boss, company.acme.id, company.issuer.url, CLIENT)
    assert providers.set(boss, company.acme.id, company.issuer.url, CLIENT, proof=PROOF).id == company.provider.id


@pytest.mark.parametrize(
    "issuer_url",
    [
        "http://id.example",
        "https://",
        "https://user@id.example",
        "https://id.example?x=1",
        "https://id.example#x",
        "id",
    ],
)
def test_an_issuer_is_an_https_url(linked: Company, issuer_url: str) -> None:
    with pytest.raises(InputInvalid, match="https URL"):
        linked.world.parts.identity_providers.set(linked.world.root, linked.acme.id, issuer_url, CLIENT)


@pytest.mark.parametrize(
    ("says", "why"),
    [
        ({"issuer": "https://issuer.example"}, "another issuer"),
        ({"jwks_uri": "http://127.0.0.1/keys"}, "cannot be used"),
        ({"token_endpoint": None}, "cannot be used"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "cannot be used"),
    ],
)
def test_a_provider_that_says_odd_things_of_itself_is_not_set_up(
    linked: Company, issuer: Issuer, says: Claims, why: str
) -> None:
    issuer.metadata = says
    with pytest.raises(IssuerUnavailable, match=why):
        linked.set_up(linked.acme.id, "another")
    kept = linked.world.parts.identity_providers.of(linked.world.root, linked.acme.id)
    assert kept is not None and kept.client_id == CLIENT


def test_a_provider_that_is_down_is_said_to_be_and_asked_again_later(
    company: Company, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    company.link()
    begun = company.begin()
    answer = say_yes(begun.url, company.pair)
    issuer.down = True
    with pytest.raises(IssuerUnavailable, match=r"status 503|not a JSON object"):
        company.finish(begun, answer)
    issuer.down = False
    assert company.finish(begun, answer).login is not None


def test_guesses_at_the_way_back_lock_the_address(company: Company) -> None:
    bare = Begun("", "", company.begin().offer)
    with pytest.raises(LockedOut):
        for at in range(30):
            with pytest.raises(SignInRefused):
                company.world.parts.federation.finish(f"{at:032}", {}, bare.cookie, ADDRESS, None)
    assert company.world.access.password("ann@example.com", "three quiet lamps", "192.0.2.99", Door.HTTP).principal


# --- the bounds of asking -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1", False),
        ("fd00::1", False),
        ("::ffff:10.0.0.1", False),
        ("::10.0.0.1", False),
        ("64:ff9b::a00:1", False),
        ("2002:0a00:0001::1", False),
        ("ff0e::1", False),
    ],
)
def test_what_a_public_address_is(address: str, public: bool) -> None:
    parsed = parse_address(address)
    assert parsed is not None
    assert is_public(parsed) is public


def test_an_address_of_our_own_network_is_not_asked_unless_it_is_named(issuer: Issuer, pair: KeyPair) -> None:
    url = f"{issuer.url}/.well-known/openid-configuration"
    with pytest.raises(IssuerUnavailable, match="RECPIPE_OIDC_NETWORKS"):
        IssuerHttp([], pair.certificate_path).get(url)
    assert issuer.asked == []
    assert IssuerHttp(["127.0.0.0/8"], pair.certificate_path).get(url).document["issuer"] == issuer.url
    with pytest.raises(IssuerUnavailable, match="certificate is not trusted"):
        IssuerHttp(["127.0.0.0/8"]).get(url)
    with pytest.raises(IssuerUnavailable, match="was not reached"):
        IssuerHttp(["127.0.0.0/8"], pair.certificate_path).get("https://127.0.0.1:1/")


def test_an_answer_that_never_ends_is_given_up(issuer: Issuer, pair: KeyPair, monkeypatch: pytest.MonkeyPatch) -> None:
    http = IssuerHttp(["127.0.0.0/8"], pair.certificate_path, seconds=0.5)
    with pytest.raises(IssuerUnavailable, match=r"did not answer within 0\.5 seconds"):
        http.get(f"{issuer.url}/drip")
    monkeypatch.setattr("recpipe.access.issuer_http.MOST_BYTES", 100)
    whole = IssuerHttp(["127.0.0.0/8"], pair.certificate_path)
    with pytest.raises(IssuerUnavailable, match="larger than 100 bytes"):
        whole.get(f"{issuer.url}/.well-known/openid-configuration")
    for path in ("/list", "/missing"):
        with pytest.raises(IssuerUnavailable, match="not a JSON object"):
            IssuerHttp(["127.0.0.0/8"], pair.certificate_path).get(f"{issuer.url}{path}")


def test_so_many_that_wait_for_an_issuer_and_no_more(
    issuer: Issuer, pair: KeyPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recpipe.access.issuer_http.AT_ONCE", 1)
    monkeypatch.setattr("recpipe.access.issuer_http._PLACE_SECONDS", 0.0)
    http = IssuerHttp(["127.0.0.0/8"], pair.certificate_path, seconds=30)
    ended: list[str] = []

    def hang() -> None:
        try:
            http.get(f"{issuer.url}/hold")
        except IssuerUnavailable as error:
            ended.append(error.why)

    waiting = threading.Thread(target=hang)
    waiting.start()
    assert issuer.holding.wait(20)
    with pytest.raises(IssuerUnavailable, match="too many wait"):
        http.get(f"{issuer.url}/keys")
    issuer.let_go.set()
    waiting.join()
    assert len(ended) == 1
