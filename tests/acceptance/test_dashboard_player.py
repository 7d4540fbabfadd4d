"""Listening in Chromium: how loud, to whom, what is left out or heard again, and which call comes next."""

from __future__ import annotations

import re
import struct
import wave
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from recpipe.access.principal import operator
from recpipe.model import CallEventKind, Role
from tests.acceptance.portal import PLAYING, Portal, enter, portal, until
from tests.acceptance.test_dashboard_pages import AXE, barriers_of, too_wide_at
from tests.services import need
from tests.services.browser import NewPage

AUDIO = "document.getElementById('audio')"
TIME = f"{AUDIO}.currentTime"
SECONDS = (5, 20, 5)  # the left voice, nobody, the right voice


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    with portal(tmp_path_factory.mktemp("player")) as made:
        made.user("carl", Role.CLIENT, {made.northwind.id: []})
        made.drop("opening-hours-alaw.wav", by="02079460111", ago=30)
        made.drop(two_voices(made.home / "voices.wav"), by="02079460222", ago=20)
        made.drop("order-inquiry.wav", by="02079460333", ago=10)
        made.recordings(3)
        yield made


def two_voices(path: Path, rate: int = 8000) -> Path:
    """A WAV of 16-bit stereo, as a PBX writes that records each party for itself: one speaks, nobody, the other."""
    loud = [4000 if n // 20 % 2 else -4000 for n in range(rate)]
    silent = [0] * rate
    with wave.open(str(path), "wb") as sound:
        sound.setparams((2, 2, rate, 0, "NONE", ""))
        for seconds, (left, right) in zip(SECONDS, ((loud, silent), (silent, silent), (silent, loud)), strict=True):
            both = struct.pack(f"<{2 * rate}h", *(sample for pair in zip(left, right, strict=True) for sample in pair))
            sound.writeframes(both * seconds)
    return path


@pytest.fixture
def carl(running: Portal, new_page: NewPage) -> Page:
    page = new_page(permissions=["clipboard-read", "clipboard-write"])
    enter(page, running, "carl")
    page.goto(f"{running.url}/recordings")
    return page


def play(page: Page, digits: str) -> None:
    row = page.locator("#results tr[data-recording]").filter(has_text=digits)
    row.get_by_role("button", name="Play").click()
    until(page, PLAYING)


def more(page: Page) -> None:
    page.locator(".player-more summary").click()


def test_silence_is_left_out_once_that_is_asked(carl: Page) -> None:
    play(carl, "0222")
    until(carl, "!document.getElementById('voices').disabled")  # the waveform has come
    carl.evaluate(f"window.seeks = 0; {AUDIO}.addEventListener('seeking', () => {{ seeks++; }}); {TIME} = 8")
    until(carl, f"{TIME} > 8.5")
    assert carl.evaluate("seeks") == 1, "nobody asked for more than that one"
    more(carl)
    carl.get_by_label("Skip silence").check()
    until(carl, f"{TIME} > 24")
    assert carl.evaluate(TIME) > 24.5, "the first word is whole"
    carl.evaluate(f"seeks = 0; {TIME} = 1")
    until(carl, f"{TIME} > 1.5")
    assert carl.evaluate(f"seeks === 1 || {TIME} > 4.5"), "somebody speaks"


# Whether the very first line of the waveform, which no voice reaches, is painted at a share of its width.
PAINTED = """(share) => {
    const wave = document.getElementById("wave");
    return wave.getContext("2d").getImageData(Math.floor(wave.width * share), 0, 1, 1).data[3] > 0;
}"""


def test_masked_parts_are_said_and_hatched(running: Portal, carl: Page) -> None:
    one = next(one for one in running.recordings(3) if one.facts.caller.endswith("0222"))
    by, tell = operator("test"), running.parts.telling.tell
    for seconds, kind in ((0, "started"), (6, "masked"), (12, "unmasked"), (18, "paused")):
        at = one.started_at + timedelta(seconds=seconds)
        tell(by, running.northwind, one.facts.call_id, CallEventKind(kind), at, done_by="201")
    carl.reload()
    row = carl.locator("#results tr[data-recording]").filter(has_text="0222")
    expect(row.get_by_text("Masked 0:06 to 0:12; paused at 0:18")).to_be_visible()
    expect(row.get_by_text("Recorded by 201")).to_be_visible()
    play(carl, "0222")
    expect(carl.get_by_label("Player").get_by_text("Masked 0:06 to 0:12; paused at 0:18")).to_be_visible()
    until(carl, "!document.getElementById('voices').disabled")  # the waveform has come
    assert [carl.evaluate(PAINTED, at / 30) for at in (3, 6.5, 11.5, 15, 18, 25)] == [
        *(False, True, True, False, True, False)
    ]
    play(carl, "0333")
    expect(carl.get_by_label("Player").get_by_text("Masked")).to_be_hidden()


def test_one_of_two_voices_is_heard_in_both_ears(carl: Page) -> None:
    play(carl, "0333")
    more(carl)
    expect(carl.get_by_label("Voices")).to_be_disabled()  # there is one
    play(carl, "0222")
    carl.get_by_label("Voices").select_option("right")
    at = carl.evaluate(TIME)
    until(carl, f"{TIME} > {at} + 0.3")
    heard = carl.evaluate(
        """async () => {
            const player = [...document.scripts].find(({ src }) => src.endsWith("/player.js")).src;
            const { route } = await import(new URL("mixer.js", player));
            const sound = new AudioBuffer({ length: 400, numberOfChannels: 2, sampleRate: 8000 });
            sound.getChannelData(0).fill(0.25);
            sound.getChannelData(1).fill(0.75);
            const all = {};
            for (const side of ["left", "right", "both"]) {
                const context = new OfflineAudioContext(2, 400, 8000);
                const source = new AudioBufferSourceNode(context, { buffer: sound });
                route(source, "both");
                route(source, side);
                source.start();
                const rendered = await context.startRendering();
                all[side] = [0, 1].map((ear) => rendered.getChannelData(ear)[200]);
            }
            return all;
        }"""
    )
    assert heard == {"left": [0.25, 0.25], "right": [0.75, 0.75], "both": [0.25, 0.75]}


def test_a_place_is_heard_again_and_again(carl: Page) -> None:
    play(carl, "0222")
    carl.evaluate(f"{AUDIO}.pause()")
    carl.evaluate(f"{TIME} = 2")
    carl.keyboard.press("r")
    carl.evaluate(f"{TIME} = 4")
    carl.keyboard.press("r")
    carl.evaluate(f"{AUDIO}.dispatchEvent(new Event('timeupdate'))")  # a browser tells it when it likes
    assert carl.evaluate(f"{AUDIO}.paused"), "to mark a place starts nothing"
    more(carl)
    expect(carl.get_by_role("button", name="Stop repeating")).to_be_visible()
    carl.evaluate(f"{TIME} = 3.8")
    carl.keyboard.press("k")
    until(carl, f"{TIME} < 3")
    assert carl.evaluate(f"{TIME} >= 2 && !{AUDIO}.paused")
    carl.keyboard.press("r")
    carl.evaluate(f"{TIME} = 3.8")
    until(carl, f"{TIME} > 4.5")


def test_a_place_has_an_address(carl: Page, running: Portal, new_page: NewPage) -> None:
    play(carl, "0222")
    carl.evaluate(f"{AUDIO}.pause()")
    carl.evaluate(f"{TIME} = 26")
    more(carl)
    carl.get_by_role("button", name="Copy the address of this place").click()
    expect(carl.locator("#player-state")).to_contain_text("Copied the address of 0:26")
    address = carl.evaluate("navigator.clipboard.readText()")
    assert re.fullmatch(rf"{re.escape(running.url)}/recordings\?call=\w+#t=26", address)
    colleague = new_page()
    enter(colleague, running, "carl")
    colleague.goto(address)
    until(colleague, f"{TIME} >= 26")
    expect(colleague.locator("#player-title")).to_contain_text("02079460222")


def test_everybody_can_use_all_of_it_on_a_phone_too(carl: Page) -> None:
    if not AXE.is_file():
        need.missing("axe-core is not installed; scripts/setup installs it")
    play(carl, "0222")
    more(carl)
    carl.evaluate(AXE.read_text())
    assert list(barriers_of(carl)) == [] and list(too_wide_at(carl)) == []


def test_the_next_call_is_one_key_away_and_as_loud(carl: Page, running: Portal) -> None:
    title = carl.locator("#player-title")
    play(carl, "0333")
    carl.get_by_label("Volume").fill("30")
    assert carl.evaluate(f"{AUDIO}.volume") == 0.3
    carl.keyboard.press("m")
    assert carl.evaluate(f"{AUDIO}.muted")
    carl.keyboard.press("m")
    assert carl.evaluate(f"!{AUDIO}.muted && {AUDIO}.volume === 0.3")
    carl.keyboard.press("n")
    expect(title).to_contain_text("02079460222")
    # Given a network that takes its time: what is said meanwhile stays when it plays.
    carl.evaluate(
        """() => { const play = HTMLMediaElement.prototype.play;
            HTMLMediaElement.prototype.play = function () {
                return play.call(this).then(() => new Promise((plays) => setTimeout(plays, 300)))
                    .then(() => { document.body.dataset.played = this.src; });
            }; }"""
    )
    carl.keyboard.press("p")
    expect(title).to_contain_text("02079460333")
    carl.keyboard.press("p")
    until(carl, f"document.body.dataset.played === {AUDIO}.src")
    expect(carl.locator("#player-state")).to_have_text("There is no call above on this page.")
    more(carl)
    carl.get_by_label("Go on with the next call").check()
    until(carl, f"{AUDIO}.duration > 0")
    carl.evaluate(f"{TIME} = {AUDIO}.duration - 0.2")
    expect(title).to_contain_text("02079460222")
    carl.reload()
    play(carl, "0111")
    assert carl.evaluate(f"{AUDIO}.volume") == 0.3


def test_the_scripts_speak_the_language_of_the_page(running: Portal, new_page: NewPage) -> None:
    page = new_page(locale="de-DE")
    page.goto(f"{running.url}/sign-in")
    expect(page.locator("html")).to_have_attribute("lang", "de")
    enter(page, running, "carl")
    page.goto(f"{running.url}/recordings")
    row = page.locator("#results tr[data-recording]").filter(has_text="0333")
    button = row.get_by_role("button", name="Den Anruf vom", exact=False).first
    row.locator(".play").click()
    until(page, PLAYING)
    expect(row.locator(".play")).to_have_attribute("aria-label", re.compile(r"^Den Anruf vom .* anhalten$"))
    expect(page.locator("#toggle")).to_have_text("Pause")
    page.locator("#toggle").click()
    expect(page.locator("#toggle")).to_have_text("Abspielen")
    expect(button).to_be_visible()
