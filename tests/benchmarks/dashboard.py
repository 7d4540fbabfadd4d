"""`scripts/bench dashboard`: how long a person waits, in a real Chromium and over real sockets.

- a sealed WAV of 4.8 MB: from Play to sound
- a sealed WAV of 115 MB: from Play to sound, and from a jump to its middle to sound, with the bytes that were fetched
- the page of recordings over a million of them, whole and narrowed

Beside each time stands its goal; the exit code says whether all were met.
"""

from __future__ import annotations

import argparse
import statistics
import struct
import sys
import tempfile
import time
import wave
from pathlib import Path
from urllib.parse import urlencode

import httpx
from playwright.sync_api import Page, Response, sync_playwright

from recpipe import log
from recpipe.access.login import Door
from recpipe.access.principal import operator
from recpipe.model import Role
from recpipe.web.deps import SESSION_COOKIE
from tests.acceptance.portal import PASSWORD, Portal, choose_key, portal, sign_in, until
from tests.benchmarks.catalogue_load import load
from tests.services.browser import CHROMIUM, QUIET

SHORT_SECONDS, LONG_SECONDS = 300, 7200  # 4.8 MB and 115.2 MB of 8 kHz 16-bit mono
SEARCHES = (
    ("newest", {}),
    ("last four digits", {"number": "0958"}),
    ("four digits inside", {"number": "0958", "match": "containing"}),
    ("a day, outbound", {"from": "2026-02-03", "to": "2026-02-03", "direction": "outbound"}),
    ("one extension, sealed", {"extension": "217", "sealed": "yes"}),
)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench dashboard", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="recordings to search among")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="20,000 recordings and two rounds")
    chosen = parser.parse_args(arguments)
    rows, rounds = (20_000, 2) if chosen.quick else (chosen.rows, chosen.rounds)
    log.set_up("json", "error")
    met: list[bool] = []
    with tempfile.TemporaryDirectory() as folder, portal(Path(folder)) as running:
        running.user("carl", Role.CLIENT, {running.northwind.id: []})
        running.seal_from_now_on(running.northwind)
        running.drop(_wav(running.home / "short.wav", SHORT_SECONDS), by="02079460111")
        running.drop(_wav(running.home / "long.wav", LONG_SECONDS), by="02079460222", ago=200)
        running.recordings(2)
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(
                executable_path=CHROMIUM, chromium_sandbox=False, args=[*QUIET, "--mute-audio"]
            )
            page = chromium.new_page()
            sign_in(page, running, "carl")
            page.goto(f"{running.url}/recordings")
            choose_key(page, running.home / "myprivatekey.pem")
            met += _playback(page, running, rounds)
            chromium.close()
        met += _searching(running, rows, rounds)
    return 0 if all(met) else 1


def _playback(page: Page, running: Portal, rounds: int) -> list[bool]:
    sizes = {r.facts.caller[-4:]: r.stored_bytes for r in running.recordings(2)}
    fetched: list[int] = []

    def count(answer: Response) -> None:
        if answer.url.endswith("/media"):
            fetched.append(int(answer.headers["content-length"]))

    page.on("response", count)
    short, long, seeks, most = [], [], [], 0
    for _ in range(rounds):
        short.append(_play(page, "0111"))
        fetched.clear()
        long.append(_play(page, "0222"))
        page.evaluate(f"document.getElementById('audio').currentTime = {LONG_SECONDS / 2}")
        seeks.append(until(page, f"document.getElementById('audio').currentTime > {LONG_SECONDS / 2 + 0.05}"))
        most = max(most, sum(fetched))
    met = [
        _told(f"sealed WAV, {sizes['0111'] / 1e6:.1f} MB: Play to sound", short, 1.0),
        _told(f"sealed WAV, {sizes['0222'] / 1e6:.1f} MB: Play to sound", long, 1.0),
        _told(f"sealed WAV, {sizes['0222'] / 1e6:.1f} MB: jump to the middle to sound", seeks, 1.0),
    ]
    share = most / sizes["0222"]
    print(f"{'  fetched for both, at most':<58} {most / 1e6:6.1f} MB  {share:6.1%} of the file  goal < 50 %")
    return [*met, share < 0.5]


def _play(page: Page, digits: str) -> float:
    began = time.perf_counter()
    page.locator("#results tr[data-recording]").filter(has_text=digits).get_by_role("button", name="Play").click()
    until(page, "!document.getElementById('audio').paused && document.getElementById('audio').currentTime > 0.05")
    return time.perf_counter() - began


def _searching(running: Portal, rows: int, rounds: int) -> list[bool]:
    print(f"loading {rows:,} recordings ...", file=sys.stderr)
    load(running.parts.catalogue, [running.northwind.id], rows, seed=1)
    access = running.parts.access
    user = running.parts.accounts.named(operator("bench"), "carl").user
    principal = access.password(user.username, PASSWORD, "127.0.0.1", Door.HTTP).principal
    assert principal is not None
    cookie = access.sessions.start(principal, "127.0.0.1", "bench")
    met = []
    with httpx.Client(base_url=running.url, trust_env=False, timeout=60, cookies={SESSION_COOKIE: cookie}) as client:
        for label, query in SEARCHES:
            address = f"/recordings?{urlencode(query)}"
            page = client.get(address).raise_for_status().text
            found = page.count(" data-recording=")
            what = f"{found} calls" if found else "asks for more digits" if 'class="notice warned"' in page else "none"
            taken = []
            for _ in range(rounds):
                began = time.perf_counter()
                client.get(address).raise_for_status()
                taken.append(time.perf_counter() - began)
            met.append(_told(f"of {rows:,}: {label} ({what})", taken, 0.2))
    return met


def _told(label: str, seconds: list[float], goal: float) -> bool:
    middle, worst = statistics.median(seconds), max(seconds)
    print(f"{label:<58} {middle * 1000:6.0f} ms  worst {worst * 1000:6.0f} ms  goal {goal * 1000:.0f} ms", flush=True)
    return middle < goal


def _wav(path: Path, seconds: int) -> Path:
    second = struct.pack("<8000h", *(4000 if n // 20 % 2 else -4000 for n in range(8000)))
    with wave.open(str(path), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        for _ in range(seconds):
            sound.writeframes(second)
    return path
