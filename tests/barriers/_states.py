"""The states of the pages: who is there, and what was done on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.acceptance.portal import ADMIN, PASSWORD, app_code
from tests.barriers._hand import Hand
from tests.barriers._world import CARL, EVE, SUE

CALL = "#results tr[data-recording], #results tr.whole"
LISTED = ".list tbody tr:not(.day)"
SCRIPTED = (
    "!document.querySelector('#fold').disabled && document.querySelector('#results .play:not([hidden])') !== null"
)
PLAYER = "document.getElementById('player')"
SOUND = "document.getElementById('audio')"
TOLD = "document.querySelector('[role=alert]:not([hidden])')?.textContent.trim().length > 3"


@dataclass(frozen=True)
class State:
    """One thing that a page can be."""

    name: str
    who: str  # "": nobody is signed in
    reach: Callable[[Hand], None]
    calls: str = ""  # rows of which one is to be on the first screen of a telephone
    narrow: bool = False  # it is there on small screens alone
    unfold: bool = True  # all details are opened before axe looks
    asks_browser: bool = False  # whether it is to be dark; pages of the portal have a button for that


def _page(path: str, who: str, calls: str = "") -> State:
    return State(path, who, lambda hand: hand.open(path), calls)


def states() -> list[State]:
    """In the order in which somebody is the same for as long as possible."""
    return [*_outside(), *_administrator(), *_manager(), *_lists(), *_player(), *_faxes(), *_forms(), *_little()]


# --- nobody ----------------------------------------------------------------------------------------------------


def _outside() -> list[State]:
    plain = ("/sign-in", "/sign-in/oidc", "/register", "/register/link", "/recover", "/recover/link", "/welcome",
             "/welcome/oidc", "/confirm-email", "/shared")  # fmt: skip

    def wrong_password(hand: Hand) -> None:
        hand.open("/sign-in")
        hand.submit("main form[action='/sign-in']", username=hand.world.newcomer(), password="not this one")
        hand.until(TOLD)

    def no_service(hand: Hand) -> None:
        hand.open("/sign-in/oidc")
        hand.submit("main form", service="nowhere")

    def asked(path: str, **values: str) -> Callable[[Hand], None]:
        def reach(hand: Hand) -> None:
            hand.open(path)
            hand.submit("main form", **values)

        return reach

    def shared(recording: str, passphrase: str = "", typed: str = "") -> Callable[[Hand], None]:
        def reach(hand: Hand) -> None:
            hand.open("about:blank")  # or nothing is loaded: two links differ behind the # alone
            hand.open(f"/shared#{hand.world.portal.link(CARL, getattr(hand.world, recording), passphrase)}")
            hand.until("document.getElementById('code').value.length > 20 || location.hash === ''")
            hand.submit("main form", **({"passphrase": typed or passphrase} if passphrase else {}))

        return reach

    def opened(recording: str) -> Callable[[Hand], None]:
        def reach(hand: Hand) -> None:
            shared(recording)(hand)
            hand.until(
                "document.querySelector('h1').textContent === 'A call for you' && !document.querySelector('form')"
            )

        return reach

    def heard(hand: Hand) -> None:
        opened("plain")(hand)
        hand.engine.run("(() => { const a = document.querySelector('audio'); a.muted = true; return a.play(); })()")
        hand.until("document.querySelector('audio').currentTime > 0")

    def code(hand: Hand) -> None:
        """The second factor, of somebody who has one, and its codes on the way."""
        _recovery_codes(hand)
        who = hand.who
        hand.be("")
        hand.open("/sign-in")
        hand.submit("main form[action='/sign-in']", username=who, password=PASSWORD)
        hand.until("location.pathname.startsWith('/sign-in') && document.querySelector('[name=code]') !== null")

    def wrong_code(hand: Hand) -> None:
        code(hand)
        hand.submit("main form[action$='/code']", code="000000")
        hand.until(TOLD)

    def recovery(hand: Hand) -> None:
        _recovery_codes(hand)

    return [
        *(_page(path, "") for path in plain),
        _page("/nothing-here", ""),
        _page("/sign-in?next=%2Frecordings", ""),
        State("sign-in, wrong password", "", wrong_password),
        State("sign-in elsewhere, no such service", "", no_service),
        State("register, refused", "", asked("/register", username="no address")),
        State("register, asked", "", asked("/register", username="else@example.com", display_name="Else")),
        State("recover, asked", "", asked("/recover", name="nobody@example.com")),
        State("recover, a dead link", "", asked("/recover/link", code="x" * 43, password="a" * 14, again="b" * 14)),
        State("welcome, a dead link", "", asked("/welcome", code="x" * 43, password="a" * 14, again="a" * 14)),
        State("confirm e-mail, a dead link", "", asked("/confirm-email", code="x" * 43)),
        State("share page, a dead link", "", asked("/shared", code="x" * 43)),
        State("share page, wrong passphrase", "", shared("plain", "seven green bottles", "eight green bottles")),
        State("share page, plain", "", opened("plain"), "section.card"),
        State("share page, playing", "", heard, "section.card"),
        State("share page, sealed", "", opened("sealed"), "section.card"),
        State("share page, fax", "", opened("fax"), "section.card"),
        State("share page, three legs", "", opened("called"), "section.card"),
        State("second factor, codes", "", recovery),
        State("second factor, the code is asked for", "", code),
        State("second factor, wrong code", "", wrong_code),
        *_offline(),
    ]


def _recovery_codes(hand: Hand) -> None:
    hand.be(hand.world.person())
    hand.open("/account")
    hand.submit("form[action='/account/second-factor']")
    secret = str(hand.engine.run("document.getElementById('totp-secret').textContent"))
    hand.submit("main form[action$='/confirm']", code=app_code(secret), password=PASSWORD)
    hand.until("/recovery codes/i.test(document.querySelector('main').innerText)")


def _offline() -> list[State]:
    def page(hand: Hand) -> None:
        hand.open((hand.world.files / "open-recordings.html").as_uri())

    def key(name: str) -> Callable[[Hand], None]:
        def reach(hand: Hand) -> None:
            page(hand)
            hand.type("#key-file", str(hand.world.files / name))

        return reach

    def opened(name: str) -> Callable[[Hand], None]:
        def reach(hand: Hand) -> None:
            key(name)(hand)
            hand.until("!document.querySelector('.key-loaded').hidden")
            for sealed in ("call.wav.enc", "notes.txt.enc"):
                hand.type("#recordings", str(hand.world.files / sealed))
            hand.until("document.getElementById('summary').textContent.includes(' of 2')")

        return reach

    def passphrase(hand: Hand) -> None:
        key("locked.pem")(hand)
        hand.until("!document.querySelector('.key-passphrase').hidden")

    def no_key(hand: Hand) -> None:
        key("call.wav")(hand)
        hand.until("!document.getElementById('key-error').hidden")

    return [
        State("offline page", "", page, asks_browser=True),
        State("offline page, passphrase", "", passphrase, asks_browser=True),
        State("offline page, no key", "", no_key, asks_browser=True),
        State("offline page, opened", "", opened("myprivatekey.pem"), asks_browser=True),
        State("offline page, another's key", "", opened("otherprivatekey.pem"), asks_browser=True),
    ]


# --- an administrator ------------------------------------------------------------------------------------------


def _administrator() -> list[State]:
    paths = ("/system", "/services", "/services/new", "/services/northwind/edit", "/identity-providers", "/statistics",
             "/identity-providers?service=northwind", "/users", "/users/new", "/audit", "/nothing-here")  # fmt: skip

    def quarantined(hand: Hand) -> None:
        hand.open(f"/system/quarantine/{hand.world.quarantined()}")

    def not_taken(hand: Hand) -> None:
        quarantined(hand)
        hand.submit("main form[action$='/take']", started_at="")
        hand.until(TOLD)

    def refused_service(hand: Hand) -> None:
        hand.open("/services/new")
        hand.submit("main form", name="Globex Corp!", title="Globex")
        hand.until(TOLD)

    def refused_provider(hand: Hand) -> None:
        hand.open("/identity-providers?service=globex")
        hand.submit("section form[action='/identity-providers']", issuer="http://nowhere", client_id="x")
        hand.until(TOLD)

    def user(hand: Hand) -> None:
        hand.open(f"/users/{hand.world.user_id(CARL)}")

    def refused_user(hand: Hand) -> None:
        hand.open("/users/new")
        hand.submit("main form.two", username="not allowed!")
        hand.until(TOLD)

    def invited(hand: Hand) -> None:
        hand.open("/users/new")
        hand.submit("main form.two", username=f"{hand.world.newcomer()}@example.com", current_password=PASSWORD)

    def token(hand: Hand) -> None:
        user(hand)
        hand.submit("main form[action$='/tokens']", label="fetches", current_password=PASSWORD)

    def every_call(hand: Hand) -> None:
        hand.open("/recordings")
        hand.until(SCRIPTED)

    return [
        State("recordings of all services", ADMIN, every_call, CALL),
        *(_page(path, ADMIN) for path in paths),
        _page("/links?service=northwind", ADMIN, LISTED),
        State("quarantine, a file", ADMIN, quarantined),
        State("quarantine, not taken", ADMIN, not_taken),
        State("new service, refused", ADMIN, refused_service),
        State("identity provider, refused", ADMIN, refused_provider),
        State("a user", ADMIN, user),
        State("new user, refused", ADMIN, refused_user),
        State("new user, invited", ADMIN, invited),
        State("a user's new token", ADMIN, token),
    ]


# --- who manages a service -------------------------------------------------------------------------------------


def _manager() -> list[State]:
    paths = ("/services", "/account", "/addons", "/ftp", "/routing", "/extensions", "/changes", "/history", "/users",
             "/users/new", "/audit", "/audit?actor=nobody", "/completeness?from=2020-01-01&to=2020-01-02",
             "/statistics", "/statistics?show=minutes", "/statistics?from=2020-01-01&to=2020-01-31",
             "/system")  # fmt: skip

    def certificate(name: str) -> Callable[[Hand], None]:
        return lambda hand: hand.open(f"/addons/certificates/{getattr(hand.world, name)}?service=northwind")

    def checked(name: str) -> Callable[[Hand], None]:
        def reach(hand: Hand) -> None:
            hand.open("/addons")
            hand.type("#pasted", (hand.world.files / name).read_text())
            hand.until("document.getElementById('checked').textContent.trim().length > 10")

        return reach

    def not_proven(hand: Hand) -> None:
        certificate("unproven")(hand)
        hand.submit("form#prove", answer="ABCD-ABCD")
        hand.until(TOLD)

    def menu(hand: Hand) -> None:
        hand.open("/account")
        hand.click(".menu-button")
        hand.until("document.querySelector('#menu.open') !== null")

    return [
        *(_page(path, CARL) for path in paths),
        _page("/completeness", CARL, LISTED),
        _page("/links", CARL, LISTED),
        State("certificate, proven", CARL, certificate("certificate")),
        State("certificate, to be proven", CARL, certificate("unproven")),
        State("certificate, not proven", CARL, not_proven),
        State("add-ons, a certificate is pasted", CARL, checked("otherpublickey.pem")),
        State("add-ons, a private key is pasted", CARL, checked("otherprivatekey.pem")),
        State("menu", CARL, menu, narrow=True),
    ]


def _lists() -> list[State]:
    def of(query: str, then: Callable[[Hand], None] | None = None) -> Callable[[Hand], None]:
        def reach(hand: Hand) -> None:
            hand.open(f"/recordings{query}")
            if then:
                hand.until(SCRIPTED)
                then(hand)

        return reach

    def refused(hand: Hand) -> None:
        hand.press("details.more summary")
        hand.until("document.querySelector('details.more').open")
        hand.type("#shortest", "a while")
        hand.until("document.querySelector('#refusal') !== null")

    def selected(hand: Hand) -> None:
        hand.press("#all")
        hand.until("document.querySelector('[name=id]:checked') !== null")

    def selecting(hand: Hand) -> None:
        hand.press("#select")
        hand.until("document.querySelector('#select').getAttribute('aria-pressed') === 'true'")

    def filters(hand: Hand) -> None:
        hand.press("#fold")
        hand.until("document.querySelector('#fold').getAttribute('aria-expanded') === 'true'")

    def legs(hand: Hand) -> None:
        hand.press("#results .legs")
        hand.until("document.querySelector('#results .leg.open') !== null")

    def key(name: str, shown: str) -> Callable[[Hand], None]:
        def then(hand: Hand) -> None:
            hand.type("#key-file", str(hand.world.files / name))
            hand.until(f"!document.querySelector('{shown}').hidden")

        return then

    def doomed(hand: Hand) -> None:
        hand.open(f"/recordings/delete?id={hand.world.plain}&id={hand.world.sealed}")

    def not_doomed(hand: Hand) -> None:
        doomed(hand)
        hand.submit("main form", reason="")
        hand.until(TOLD)

    return [
        State("recordings", CARL, of("", lambda hand: None), CALL),
        State("recordings, a number", CARL, of("?find=0958"), CALL),
        *(State(f"recordings, {kind}", CARL, of(f"?kind={kind}"), CALL) for kind in ("voicemail", "conference", "fax")),
        State("recordings, one call with its legs", CARL, lambda hand: of(f"?call={hand.world.called}")(hand), CALL),
        State("recordings, legs unfolded", CARL, of("?find=0958", legs), CALL),
        State("recordings, starred and noted", CARL, of("?mark=starred"), CALL),
        State("recordings, nothing matches", CARL, of("?find=nobody+of+this+name")),
        State("recordings, refused by its address", CARL, of("?shortest=a+while")),
        State("recordings, refused as one types", CARL, of("", refused)),
        State("recordings, all chosen", CARL, of("", selected)),
        State("recordings, choosing on a telephone", CARL, of("", selecting), CALL, narrow=True),
        State("recordings, filters on a telephone", CARL, of("", filters), narrow=True),
        State("recordings, with a key", CARL, of("", key("myprivatekey.pem", ".key-loaded")), CALL),
        State("recordings, a passphrase is asked for", CARL, of("", key("locked.pem", ".key-passphrase"))),
        State("recordings, no key", CARL, of("", key("call.wav", "#key-error"))),
        State("delete", CARL, doomed, LISTED),
        State("delete, no reason", CARL, not_doomed),
    ]


def _player() -> list[State]:
    def play(which: str, key: str = "", then: Callable[[Hand], None] | None = None) -> Callable[[Hand], None]:
        def reach(hand: Hand) -> None:
            hand.open("/recordings?find=" + {"plain": "0444", "sealed": "0777", "called": "0958"}[which])
            hand.until(SCRIPTED)
            if key:
                hand.type("#key-file", str(hand.world.files / key))
                hand.until("!document.querySelector('.key-loaded').hidden")
            hand.engine.run(f"{SOUND}.muted = true")
            row = {"called": "tr.whole"}.get(which, f"tr[data-recording='{getattr(hand.world, which)}']")
            hand.press(f"#results {row} .play")
            hand.until(f"!{PLAYER}.hidden")
            if then:
                then(hand)
            elif not key.startswith("other"):
                hand.until(f"{SOUND}.currentTime > 0.1")
                hand.engine.run(f"{SOUND}.pause()")

        return reach

    def refused(hand: Hand) -> None:
        hand.until("!document.getElementById('player-error').hidden")

    def keys(hand: Hand) -> None:
        hand.until(f"{SOUND}.currentTime > 0")
        hand.press("#keys-open")
        hand.until("document.getElementById('keys').open")

    return [
        State("player, plain", CARL, play("plain")),
        State("player, sealed", CARL, play("sealed", "myprivatekey.pem")),
        State("player, sealed, no key yet", CARL, play("sealed", then=lambda hand: None)),
        State("player, another's key", CARL, play("sealed", "otherprivatekey.pem", refused)),
        State("player, three legs", CARL, play("called", "myprivatekey.pem")),
        State("player, keys", CARL, play("plain", then=keys), unfold=False),
    ]


def _faxes() -> list[State]:
    def sealed(key: str, then: str) -> Callable[[Hand], None]:
        def reach(hand: Hand) -> None:
            hand.open(f"/recordings/{hand.world.sealed_fax}/pages")
            hand.until("!document.querySelector('.key-choice').hidden")
            if key:
                hand.type("#key-file", str(hand.world.files / key))
            hand.until(then)

        return reach

    return [
        State("fax, plain", CARL, lambda hand: hand.open(f"/recordings/{hand.world.fax}/pages")),
        State("fax, sealed", CARL, sealed("", "!document.getElementById('fax-state').hidden")),
        State(
            "fax, opened", CARL, sealed("myprivatekey.pem", "document.querySelector('#fax-pages canvas')?.width > 0")
        ),
        State(
            "fax, another's key", CARL, sealed("otherprivatekey.pem", "!document.getElementById('fax-error').hidden")
        ),
    ]


def _forms() -> list[State]:
    def marks(hand: Hand) -> None:
        hand.open(f"/recordings/marks?of={hand.world.plain}")

    def refused_marks(hand: Hand) -> None:
        marks(hand)
        hand.submit("main form.card", tags=",".join("W" * 41 for _ in range(2)))
        hand.until(TOLD)

    def share(hand: Hand) -> None:
        hand.open(f"/recordings/share?of={hand.world.called}")

    def refused_share(hand: Hand) -> None:
        share(hand)
        hand.submit("main form.card", openings="0", passphrase="short")
        hand.until(TOLD)

    def shared(hand: Hand) -> None:
        hand.open(f"/recordings/share?of={hand.world.plain}")
        hand.submit("main form.card", label="Their lawyer")
        hand.until("document.getElementById('link') !== null")

    def ftp_made(hand: Hand) -> None:
        hand.open("/ftp")
        hand.submit(
            "section[aria-labelledby=new-title] form", username=hand.world.newcomer(), current_password=PASSWORD
        )
        hand.until("document.getElementById('ftp-password') !== null")

    def ftp_refused(hand: Hand) -> None:
        hand.open("/ftp")
        hand.submit("section[aria-labelledby=new-title] form", username=hand.world.newcomer(), networks="somewhere")
        hand.until(TOLD)

    def ftp_edit(hand: Hand) -> None:
        hand.open("/ftp")
        hand.engine.run("setTimeout(() => document.querySelector('[aria-label^=Edit]').click()) && true")
        hand.until("location.pathname.startsWith('/ftp/') && document.readyState === 'complete'")

    def rule_refused(hand: Hand) -> None:
        hand.open("/routing")
        hand.submit("form[action$='/routing/rules']", **{"name-0": "x" * 300})

    def password_refused(hand: Hand) -> None:
        hand.open("/account")
        hand.submit("form[action='/account/password']", old="not this one", password="a" * 14, again="a" * 14)
        hand.until(TOLD)

    def token(hand: Hand) -> None:
        hand.open("/account")
        hand.submit("form[action='/account/tokens']", label="fetches", current_password=PASSWORD)

    def second_factor(hand: Hand) -> None:
        hand.open("/account")
        hand.submit("form[action='/account/second-factor']")

    return [
        State("note and tags", CARL, marks),
        State("note and tags, refused", CARL, refused_marks),
        State("share", CARL, share),
        State("share, refused", CARL, refused_share),
        State("share, made", CARL, shared),
        State("FTP, an account is made", CARL, ftp_made),
        State("FTP, refused", CARL, ftp_refused),
        State("FTP, one account", CARL, ftp_edit),
        State("routing, refused", CARL, rule_refused),
        State("account, password refused", CARL, password_refused),
        State("account, a token", CARL, token),
        State("second factor, set up", CARL, second_factor),
    ]


def _little() -> list[State]:
    """Who has nothing yet, and who may do little."""
    paths = ("/recordings", "/statistics", "/completeness", "/links", "/services", "/addons", "/ftp", "/routing",
             "/extensions", "/changes", "/history", "/audit")  # fmt: skip
    return [
        *(State(f"{path}, nothing yet", EVE, lambda hand, path=path: hand.open(path)) for path in paths),
        State("/recordings, only listed", SUE, lambda hand: hand.open("/recordings"), CALL),
        State("/users, not allowed", SUE, lambda hand: hand.open("/users")),
    ]
