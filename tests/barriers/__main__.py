"""Find what keeps people out of any page, in any of its states: axe's rules in Chromium, Firefox and WebKit, light and
dark, at 360, 768 and 1280 px; whether anything runs out at the side, and whether a phone's first screen shows a call.

`python -m tests.barriers` prints what it found and one table, and ends with 1 if it found anything.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Error, sync_playwright

from recpipe import log
from tests.barriers._hand import Hand
from tests.barriers._look import axe, barriers, first_screen, runs_out
from tests.barriers._states import State, states
from tests.barriers._world import world
from tests.services.browser import CHROMIUM, QUIET
from tests.services.engines import Chromium, Engine, firefox, webkit

ENGINES = ("chromium", "firefox", "webkit")
SCHEMES = ("light", "dark")
WIDTHS = (360, 768, 1280)


@dataclass
class Walked:
    """What one engine came to."""

    engine: str
    states: int = 0
    looks: int = 0
    seconds: float = 0
    findings: int = 0  # one that is there at several widths, or in both schemes, counts once


def main(arguments: list[str]) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is stopped on the way
    parser = argparse.ArgumentParser(prog="python -m tests.barriers", description=__doc__)
    parser.add_argument("--engine", choices=ENGINES, action="append", help="default: all, one after the other")
    parser.add_argument("--only", metavar="WORD", action="append", help="states whose names hold this; may be repeated")
    parser.add_argument("--pictures", metavar="FOLDER", type=Path, help="keep what Chromium shows")
    parser.add_argument("--list", action="store_true", help="name the states")
    chosen = parser.parse_args(arguments)
    wanted = [one for one in states() if not chosen.only or any(word in one.name for word in chosen.only)]
    if chosen.list:
        print("\n".join(f"{one.name}, as {one.who or 'nobody'}" for one in wanted))
        return 0
    log.set_up("json", "critical")
    walked = [walk(engine, wanted, chosen.pictures) for engine in chosen.engine or ENGINES]
    print("\n| engine | states | looks | findings | seconds |\n| --- | --- | --- | --- | --- |")
    for one in walked:
        print(f"| {one.engine} | {one.states} | {one.looks} | {one.findings} | {round(one.seconds)} |")
    return 1 if any(one.findings for one in walked) else 0


def walk(engine: str, wanted: Sequence[State], pictures: Path | None = None) -> Walked:
    """Bring an engine into one state after the other, in an installation of its own, and look at each."""
    done = Walked(engine)
    began = time.monotonic()
    source = axe()
    with tempfile.TemporaryDirectory(prefix="recpipe-barriers-") as folder:
        root = Path(folder)
        (root / "run").mkdir()
        with world(root / "run") as made:
            # Pages of the portal are asked to be dark. The offline page asks the browser, which is another one then.
            for scheme in SCHEMES:
                mine = [one for one in wanted if one.asks_browser or scheme == SCHEMES[0]]
                if not mine:
                    continue
                (root / scheme).mkdir()
                with started(engine, scheme, root / scheme) as browser:
                    hand = Hand(browser, made)
                    for state in mine:
                        schemes = (scheme,) if state.asks_browser else SCHEMES
                        _tell(state, engine, _looked(hand, state, schemes, source, done, pictures), done)
    done.seconds = time.monotonic() - began
    return done


def _tell(state: State, engine: str, looked: Iterator[tuple[str, str]], done: Walked) -> None:
    found: dict[str, list[str]] = {}
    for what, where in looked:
        found.setdefault(what, []).append(where)
    for what, places in found.items():
        print(f"{engine}, {', '.join(places)}: {state.name}: {what}", flush=True)
    done.findings += len(found)
    done.states += 1


def _looked(
    hand: Hand, state: State, schemes: Sequence[str], source: str, done: Walked, pictures: Path | None
) -> Iterator[tuple[str, str]]:
    try:
        # Menus and folded filters are there on small screens alone; everything else is reached at a desk.
        hand.resize(WIDTHS[0] if state.narrow else WIDTHS[-1])
        hand.be(state.who)
        state.reach(hand)
        if state.calls:
            hand.resize(WIDTHS[0])
            for what in first_screen(hand, state.calls):
                yield what, str(WIDTHS[0])
        if state.unfold:
            hand.engine.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        widths = WIDTHS[:2] if state.narrow else WIDTHS
        for width in widths if hand.width == WIDTHS[0] else widths[::-1]:
            hand.resize(width)
            for what in runs_out(hand):
                yield what, str(width)
            for scheme in schemes:
                done.looks += 1
                if not state.asks_browser:
                    hand.engine.run(f"document.documentElement.dataset.theme = '{scheme}'")
                for what in barriers(hand, scheme, source):
                    yield what, f"{width} {scheme}"
                if pictures and isinstance(hand.engine, Chromium):
                    pictures.mkdir(parents=True, exist_ok=True)
                    name = "".join(letter if letter.isalnum() else "-" for letter in f"{state.name} {state.who}")
                    hand.engine.picture(pictures / f"{name}-{scheme}-{width}.png")
    except (AssertionError, Error, OSError) as error:
        yield f"cannot be reached: {str(error)[:400]}", str(hand.width)


@contextmanager
def started(name: str, scheme: str, root: Path) -> Iterator[Engine]:
    """An engine whose person has chosen a scheme for all pages."""
    if name == "chromium":
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, chromium_sandbox=False, args=[*QUIET])
            page = browser.new_page(color_scheme=scheme, accept_downloads=True)  # type: ignore[arg-type]
            page.set_default_timeout(15_000)
            yield Chromium(page)
            browser.close()
        return
    downloads = root / "downloads"
    downloads.mkdir()
    with {"firefox": firefox, "webkit": webkit}[name](root / "person", downloads, scheme == "dark") as driven:
        driven.resize(WIDTHS[-1], 740)
        yield driven


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
