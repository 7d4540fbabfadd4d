"""Sealed recordings in the browser: what may sound, what is fetched, and that the key stays where it is."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import itertools
import re
import socket
import struct
import time
import wave
from collections.abc import Iterator
from pathlib import Path

import lameenc
import pytest
from playwright.sync_api import Page, Request, Response, expect

from recpipe.model import Role
from recpipe.settings import Spool
from recpipe.web import offline
from tests.acceptance.portal import PASSWORD, PLAYING, Portal, choose_key, enter, openssl, portal, until
from tests.services import faxes
from tests.services.browser import Complaints, NewPage
from tests.services.engines import Chromium, Engine, firefox, holds, webkit

AUDIO = "document.getElementById('audio')"
TIME = f"{AUDIO}.currentTime"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    """A tenant with a plain call, and sealed ones: a short one, one of forty minutes, a long MP3, and a fax."""
    root = tmp_path_factory.mktemp("sealed")
    about = {"tenant": "northwind", "timezone": "UTC", "settle_seconds": 0.2}
    spools = [Spool(path=root / name, layout=name, **about) for name in ("freepbx", "fax")]
    with portal(root, spool=spools) as made:
        made.user("carl", Role.CLIENT, {made.northwind.id: []})
        made.drop("opening-hours-alaw.wav", by="02079460444", ago=800)
        made.recordings(1)
        made.seal_from_now_on(made.northwind)
        made.drop("order-inquiry.wav")
        made.drop(tone(made.home / "long.wav", 40 * 60), by="02079460111", ago=200)
        made.drop(quiet_then_loud(made.home / "long.mp3", 2 * 550), by="02079460222", ago=400)
        made.drop("callback-gsm.WAV", by="02079460333", ago=600)
        faxes.tiff(root / "fax/pbx/201/inbox/02079460666-2026-03-14-15-09-26.tif", 2)
        made.recordings(6)
        yield made


def tone(path: Path, seconds: int, rate: int = 8000) -> Path:
    """A WAV of 16-bit mono as a PBX records: a second of a square wave, again and again."""
    second = struct.pack(f"<{rate}h", *(4000 if n // 20 % 2 else -4000 for n in range(rate)))
    with wave.open(str(path), "wb") as sound:
        sound.setparams((1, 2, rate, 0, "NONE", ""))
        for _ in range(seconds):
            sound.writeframes(second)
    return path


def quiet_then_loud(path: Path, seconds: int, rate: int = 8000) -> Path:
    """An MP3 of 64 kbit/s whose second half is four times as loud as its first."""
    encoder = lameenc.Encoder()
    encoder.silence()
    encoder.set_in_sample_rate(rate)
    encoder.set_channels(1)
    encoder.set_bit_rate(64)
    with path.open("wb") as sound:
        for level in (2000, 8000):
            second = struct.pack(f"<{rate}h", *(level if n // 20 % 2 else -level for n in range(rate)))
            for _ in range(seconds // 2):
                sound.write(encoder.encode(second))
        sound.write(encoder.flush())
    return path


def drawn(page: Page, start: float, end: float) -> float:
    """How high the waveform is between two places of the recording, from 0 to 1."""
    return float(
        page.evaluate(
            """([start, end]) => {
                const wave = document.getElementById("wave");
                const [from, to] = [start, end].map((place) => Math.floor(place * wave.width));
                const { data } = wave.getContext("2d").getImageData(from, 0, to - from, wave.height);
                const row = (to - from) * 4;
                const rows = Array.from({ length: wave.height }, (_, y) => data.subarray(y * row, (y + 1) * row));
                return rows.filter((pixels) => pixels.some((value) => value)).length / wave.height;
            }""",
            [start, end],
        )
    )


def until_drawn(page: Page, start: float, end: float) -> None:
    deadline = time.monotonic() + 15
    while drawn(page, start, end) < 0.5:
        assert time.monotonic() < deadline, f"nothing was drawn from {start} to {end}"
        time.sleep(0.05)


@pytest.fixture
def carl(running: Portal, new_page: NewPage) -> Page:
    page = new_page(accept_downloads=True)
    enter(page, running, "carl")
    page.goto(f"{running.url}/recordings")
    return page


def play(page: Page, digits: str) -> None:
    page.locator("#results tr[data-recording]").filter(has_text=digits).get_by_role("button", name="Play").click()


def test_sealed_gsm_plays_its_row_says_so_and_the_keys_work_wherever_one_is(carl: Page, running: Portal) -> None:
    choose_key(carl, running.home / "myprivatekey.pem")
    row = carl.locator("#results tr[data-recording]").filter(has_text="0333")
    row.get_by_role("button", name="Play").press("Enter")
    until(carl, PLAYING)
    expect(row.get_by_role("button", name="Pause the call of")).to_be_visible()
    expect(carl.locator("#toggle")).to_be_focused()  # whoever plays by the keyboard is at the player
    carl.locator("h1").click()
    carl.keyboard.press(" ")
    expect(row.get_by_role("button", name="Play the call of")).to_be_visible()
    at = carl.evaluate(TIME)
    carl.keyboard.press("ArrowRight")
    assert carl.evaluate(TIME) > at + 3
    carl.keyboard.press("?")
    expect(carl.get_by_role("dialog", name="Keys")).to_be_visible()
    carl.keyboard.press("Escape")
    expect(carl.get_by_role("dialog", name="Keys")).to_be_hidden()
    with carl.expect_download() as download:
        carl.get_by_role("button", name="Save decrypted").click()
    saved = Path(download.value.path()).read_bytes()
    assert struct.unpack_from("<H", saved, 20) == (0x31,), "what is saved is what was recorded"
    expect(carl.locator("#player-state")).to_contain_text("Saved ")


@pytest.mark.slow
def test_a_long_recording_plays_and_seeks_without_being_fetched_whole(carl: Page, running: Portal) -> None:
    fetched: list[int] = []

    def count(answer: Response) -> None:
        if answer.url.endswith("/media"):
            fetched.append(int(answer.headers["content-length"]))

    carl.on("response", count)
    choose_key(carl, running.home / "myprivatekey.pem")
    play(carl, "0111")
    until(carl, PLAYING)
    expect(carl.get_by_text("not compared with its SHA-256")).to_be_visible()

    # When the person jumps to the middle
    carl.evaluate("document.getElementById('audio').currentTime = 1200")
    until(carl, f"{TIME} > 1200.2 && {PLAYING}")

    # Then the sound is there, and most of the file was never asked for
    size = running.recordings(2)[1].stored_bytes
    assert size > 38_000_000
    assert sum(fetched) < size / 3
    # And saving it is what compares it
    with carl.expect_download(timeout=60_000) as download:
        carl.get_by_role("button", name="Save decrypted").click()
    assert Path(download.value.path()).stat().st_size == running.recordings(2)[1].content_bytes
    expect(carl.get_by_text("every byte is the same")).to_be_visible()


@pytest.mark.slow
def test_a_long_recording_is_drawn_where_it_was_heard_and_nowhere_else(carl: Page, running: Portal) -> None:
    choose_key(carl, running.home / "myprivatekey.pem")
    play(carl, "0111")
    until_drawn(carl, 0, 0.005)
    assert drawn(carl, 0.25, 0.26) < 0.1
    # When the person jumps, it grows there
    carl.evaluate("document.getElementById('audio').currentTime = 1200")
    until_drawn(carl, 0.5, 0.505)
    assert drawn(carl, 0.25, 0.26) < 0.1 and drawn(carl, 0, 0.005) > 0.5


@pytest.mark.slow
def test_a_long_mp3_is_drawn_as_loud_as_it_is(carl: Page, running: Portal) -> None:
    assert running.recordings(3)[2].stored_bytes > 8.4e6
    choose_key(carl, running.home / "myprivatekey.pem")
    play(carl, "0222")
    until_drawn(carl, 0, 0.01)
    carl.evaluate("document.getElementById('audio').currentTime = 825")
    until_drawn(carl, 0.755, 0.76)
    assert 0.1 < drawn(carl, 0, 0.01) < 0.5
    # And another recording begins with a waveform of its own
    play(carl, "0958")
    until(carl, PLAYING)
    assert drawn(carl, 0.9, 1) > 0.1


def test_no_request_carries_any_part_of_the_private_key(carl: Page, running: Portal) -> None:
    # Given everything that the browser sends
    sent: list[Request] = []
    carl.context.on("request", lambda request: sent.append(request))
    key = running.home / "myprivatekey.pem"
    choose_key(carl, key)
    for digits in ("0958", "0111"):
        play(carl, digits)
        until(carl, PLAYING)
    carl.get_by_role("button", name="Forget this key").click()
    carl.get_by_role("navigation", name="Main").get_by_role("link", name="Voice").click()
    expect(carl.get_by_role("heading", name="Voice")).to_be_visible()

    # Then nothing was posted, of the sound or of its waveform, and none of it holds sixteen bytes of the key in a row,
    # in any of the forms that bytes travel in
    assert len(sent) > 10 and not any(request.post_data_buffer for request in sent)
    traffic = b"".join(
        f"{request.url}\n{sorted(request.all_headers().items())}\n".encode() + (request.post_data_buffer or b"")
        for request in sent
        if not request.url.startswith("blob:")
    )
    openssl("rsa", "-in", key, "-outform", "DER", "-out", running.home / "key.der")
    der = (running.home / "key.der").read_bytes()
    text = re.sub(rb"-----[^-]+-----|\s", b"", key.read_bytes())
    found = [
        piece
        for piece in itertools.chain(
            pieces(der), pieces(der.hex().encode()), pieces(text), pieces(base64.b64encode(der))
        )
        if piece in traffic
    ]
    assert found == []
    # And none of it was kept for later
    kept = carl.evaluate("[JSON.stringify(localStorage), JSON.stringify(sessionStorage), document.cookie].join()")
    assert "PRIVATE" not in kept and len(kept) < 200


def test_a_key_is_kept_from_page_to_page_where_one_wants_it_and_goes_with_the_session(
    carl: Page, running: Portal, complaints: Complaints
) -> None:
    key = running.home / "myprivatekey.pem"
    sent: list[Request] = []
    carl.context.on("request", lambda request: sent.append(request))
    kept, choose = (
        carl.get_by_label("Keep it in this tab until I sign out"),
        carl.get_by_text("Choose private key file"),
    )

    # Given a key that one keeps; what is kept of it cannot be read by any script, not even one of ours
    choose_key(carl, key)
    kept.check()
    until(carl, "sessionStorage.length > 0")
    numbers = running.home / "kept.der"
    openssl("rsa", "-in", key, "-outform", "DER", "-out", numbers)
    held = carl.evaluate("JSON.stringify(sessionStorage)")
    for form in (numbers.read_bytes().hex().encode(), base64.b64encode(numbers.read_bytes())):
        assert not any(piece.decode() in held for piece in pieces(form, 24))
    assert carl.evaluate(WRAPPING) == [False, "not exported"]

    # When one comes back from another page, it plays at once
    carl.get_by_role("navigation", name="Main").get_by_role("link", name="Voice").click()
    carl.get_by_role("navigation", name="Main").get_by_role("link", name="Call Recordings", exact=True).click()
    expect(kept).to_be_checked()
    play(carl, "0958")
    until(carl, PLAYING)
    assert not any(request.post_data_buffer for request in sent)

    # Then it is forgotten: when one says so,
    kept.uncheck()
    until(carl, "sessionStorage.length === 0")
    carl.reload()
    expect(choose).to_be_visible()
    # in another session, which another person may have,
    choose_key(carl, key)
    kept.check()
    until(carl, "sessionStorage.length > 0")
    enter(carl, running, "carl")
    carl.goto(f"{running.url}/services")
    until(carl, "sessionStorage.length === 0")
    # when nobody was there for as long as a session lasts,
    carl.goto(f"{running.url}/recordings")
    choose_key(carl, key)
    kept.check()
    until(carl, "sessionStorage.length > 0")
    carl.evaluate("""() => {
        const kept = JSON.parse(sessionStorage.getItem("recpipe-key"));
        sessionStorage.setItem("recpipe-key", JSON.stringify({ ...kept, touched: kept.touched - 1_801_000 }));
    }""")
    carl.reload()
    expect(choose).to_be_visible()
    # and at signing out, by all tabs: of the database nothing is left.
    choose_key(carl, key)
    kept.check()
    until(carl, "sessionStorage.length > 0")
    carl.get_by_role("button", name="Sign out").click()
    expect(carl.get_by_label("User name")).to_be_visible()
    until(carl, "sessionStorage.length === 0")
    until(carl, "indexedDB.databases().then((found) => found.length === 0)")


# Whether the AES key can be read, and what comes of trying.
WRAPPING = """async () => {
    const database = await new Promise((resolve) => {
        const request = indexedDB.open("recpipe-key");
        request.onsuccess = () => resolve(request.result);
    });
    const [key] = await new Promise((resolve) => {
        const request = database.transaction("keys").objectStore("keys").getAll();
        request.onsuccess = () => resolve(request.result);
    });
    database.close();
    const tried = await crypto.subtle.exportKey("raw", key).then(() => "exported", () => "not exported");
    return [key.extractable, tried];
}"""


def pieces(secret: bytes, length: int = 16) -> Iterator[bytes]:
    return (secret[at : at + length] for at in range(0, len(secret) - length, length // 2))


def test_a_wrong_key_is_named_before_anything_sounds(carl: Page, running: Portal) -> None:
    key, _ = running.key_pair("other")
    carl.evaluate("""() => {
        window.sounded = 0;
        document.getElementById('audio').addEventListener('playing', () => window.sounded++);
    }""")
    choose_key(carl, key)
    for digits in ("0958", "0111"):
        play(carl, digits)
        expect(carl.get_by_role("alert").filter(has_text="does not open this recording")).to_be_visible()
    assert carl.evaluate("window.sounded") == 0


def test_a_protected_key_asks_for_its_passphrase(carl: Page, running: Portal) -> None:
    locked = running.home / "locked.pem"
    pkcs8 = ("pkcs8", "-topk8", "-v2", "aes-256-cbc", "-passout", "pass:Straße 7", "-out", locked)
    openssl(*pkcs8, "-in", running.home / "myprivatekey.pem")
    choose_key(carl, locked)
    carl.get_by_label("Passphrase of").fill("Strasse 7")
    carl.get_by_role("button", name="Unlock").click()
    expect(carl.get_by_role("alert").filter(has_text="The passphrase does not open")).to_be_visible()
    carl.get_by_label("Passphrase of").fill("Straße 7")
    carl.get_by_role("button", name="Unlock").click()
    play(carl, "0958")
    until(carl, PLAYING)


def test_a_flipped_bit_is_caught_and_not_played(carl: Page, running: Portal) -> None:
    # Given a store in which one bit in the middle of the sound was changed
    short = running.recordings(2)[0]
    path = next((running.parts.settings.data_dir / "objects").rglob(short.object_key.rpartition("/")[2]))
    whole = path.read_bytes()
    path.write_bytes(whole[:100_000] + bytes([whole[100_000] ^ 1]) + whole[100_001:])
    try:
        choose_key(carl, running.home / "myprivatekey.pem")
        play(carl, "0958")
        expect(carl.get_by_role("alert").filter(has_text="was damaged or altered")).to_be_visible()
        assert carl.evaluate("document.getElementById('audio').paused")
    finally:
        path.write_bytes(whole)


def test_the_page_may_send_nothing_to_another_place(carl: Page, complaints: Complaints) -> None:
    complaints.expect("policy violation|Refused|Content Security Policy|ERR_BLOCKED_BY_CSP")
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.settimeout(0.5)
        place = f"127.0.0.1:{elsewhere.getsockname()[1]}"
        for way in (
            "fetch('http://PLACE/')",
            "navigator.sendBeacon('http://PLACE/', 'x')",
            "new Promise((_, no) => { const i = new Image(); i.onerror = no; i.src = 'http://PLACE/x.png'; })",
            "new Promise((ok, no) => { const s = new WebSocket('ws://PLACE/'); s.onopen = ok; s.onerror = no; })",
            "new Promise((ok, no) => { const a = new Audio('http://PLACE/x.mp3'); a.onerror = no; a.load(); })",
            "(() => { const f = document.createElement('form'); f.action = 'http://PLACE/'; f.method = 'post';"
            " document.body.append(f); f.submit(); })()",
        ):
            carl.evaluate(f"async () => {{ try {{ await {way.replace('PLACE', place)}; }} catch {{}} }}")
        # A browser may open a connection in advance; what counts is that nothing is said on it
        with contextlib.suppress(TimeoutError):
            while True:
                reached, _ = elsewhere.accept()
                with reached:
                    reached.settimeout(0.5)
                    assert reached.recv(4096) == b""


# Whether the first page of a fax is black in its bar, and in its middle
BLACK = """(() => {
    const page = document.querySelector("#fax-pages canvas");
    const { width, height } = page;
    const red = (y) => page.getContext("2d").getImageData(width / 2, Math.floor(y * height), 1, 1).data[0];
    return [red(125 / 1100) < 128, red(0.5) < 128];
})()"""


# --- other engines ---------------------------------------------------------------------------------------------


@pytest.fixture(params=["chromium", "firefox", "webkit"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    if request.param == "chromium":
        yield Chromium(request.getfixturevalue("new_page")(accept_downloads=True))
        return
    with {"firefox": firefox, "webkit": webkit}[request.param](tmp_path / "person", downloads) as driven:
        yield driven


def test_who_has_another_browser_finds_hears_and_saves_as_well(running: Portal, engine: Engine, tmp_path: Path) -> None:
    short = running.recordings(5)[0]

    def hear(digits: str, to: float) -> None:
        """Find it, play it, and go to a place in it."""
        engine.goto(f"{running.url}/recordings")
        holds(engine, "!document.querySelector('.key-choice').hidden")  # its script is there
        if digits != "0444":
            engine.type("#key-file", str(running.home / "myprivatekey.pem"))
            holds(engine, "!document.querySelector('.key-loaded').hidden")
        engine.type("#find", digits)
        holds(engine, "document.querySelectorAll('#results tr[data-recording]').length === 1")
        engine.run(f"{AUDIO}.muted = true")  # the machine may have nothing that sounds
        engine.click("#results .play")
        holds(engine, PLAYING)
        engine.run(f"{TIME} = {to}")
        holds(engine, f"{PLAYING} && {TIME} > {to} + 0.2")

    # Signs in
    engine.goto(f"{running.url}/sign-in")
    engine.type("#username", "carl")
    engine.type("#password", PASSWORD)
    engine.click("main form button[type=submit]")
    holds(engine, "document.querySelector('form[action=\"/sign-out\"]') !== null")
    # Hears a plain call, a sealed one of forty minutes, and a short one that is saved
    hear("0444", 3)
    hear("0111", 1200)
    hear("0958", 2)
    content = engine.saved("#save")
    assert hashlib.sha256(content).hexdigest() == short.content_sha256
    # Sees a sealed fax, which is the oldest
    fax = running.recordings(6)[-1]
    engine.goto(f"{running.url}/recordings/{fax.id}/pages")
    holds(engine, "!document.querySelector('.key-choice').hidden")
    engine.type("#key-file", str(running.home / "myprivatekey.pem"))
    holds(engine, "document.querySelector('#fax-pages canvas')?.width > 0")
    assert engine.run(BLACK) == [True, False], "there is a bar on the first page where it belongs"
    assert hashlib.sha256(engine.saved("#fax-save")).hexdigest() == fax.content_sha256
    # Opens links, of a plain call and of a sealed one, from which the file is taken
    for recording in (running.recordings(6)[-2], short):
        engine.goto("about:blank")  # or nothing is loaded: two links differ behind the # alone
        engine.goto(f"{running.url}/shared#{running.link('carl', recording.id)}")
        holds(engine, "document.getElementById('code').value !== '' && location.hash === ''")
        engine.click("main form button")
        holds(
            engine, "document.querySelector('h1').textContent === 'A call for you' && !document.querySelector('form')"
        )
        if not recording.sealed:
            engine.run("(document.querySelector('audio').muted = true, document.querySelector('audio').play())")
            holds(engine, "document.querySelector('audio').currentTime > 0.2")
    assert hashlib.sha256(engine.saved("a[download][href*=media]")).hexdigest() == short.stored_sha256
    # And opens one without the portal
    page, sealed = tmp_path / "open-recordings.html", tmp_path / "call.wav.enc"
    page.write_text(offline.page(), encoding="utf-8")
    (tmp_path / "call.wav").write_bytes(content)
    openssl("smime", "-encrypt", "-binary", "-aes256", "-outform", "DER", "-in", tmp_path / "call.wav",
            "-out", sealed, running.home / "mypublickey.pem")  # fmt: skip
    engine.goto(page.as_uri())
    holds(engine, "document.readyState === 'complete'")
    engine.type("#key-file", str(running.home / "myprivatekey.pem"))
    engine.type("#recordings", str(sealed))
    holds(engine, "document.getElementById('summary').textContent.startsWith('1 of 1')")
    engine.run("document.querySelector('li audio').muted = true")
    engine.run("document.querySelector('li audio').play()")
    holds(engine, "document.querySelector('li audio').currentTime > 0.2")
    assert engine.saved("li .save") == content
