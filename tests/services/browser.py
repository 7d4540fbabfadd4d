"""A real Chromium: `page` is a fresh profile per test that fails the test on script errors and policy violations.

def test_something(page: Page) -> None: ...
def test_refusal(page: Page, complaints: Complaints) -> None:
    complaints.expect(r"status of 403")
def test_on_a_phone(new_page: NewPage) -> None:
    page = new_page(viewport={"width": 360, "height": 740}, color_scheme="dark")
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from tests.services import need

# The one without windows takes a third less; the whole one does as well.
CHROMIUM = next(filter(Path.exists, map(Path, ("/usr/bin/chromium-headless-shell", "/usr/bin/chromium"))), None)
# Chromium heeds the last switch of this kind alone, so this names again what Playwright switches off. The last two are
# the lists below the address bar, large programs that every profile starts although no test opens them: that took
# longer than signing in.
WITHOUT = """
    AvoidUnnecessaryBeforeUnloadCheckSync DestroyProfileOnBrowserClose HttpsUpgrades HttpsFirstBalancedModeAutoEnable
    LensOverlay MediaRouter PaintHolding ThirdPartyStoragePartitioning AvoidCorsURLLoaderRestartOnRedirect
    OptimizationHints NetworkTimeServiceQuerying AimEnabled PreconnectToSearch
    WebUIOmniboxPopup WebUIOmniboxAimPopup
"""
# A name that is this machine's, over http: to browsers no trustworthy place, as a server in an office is.
OFFICE = "recordings.lan"
# Without these, Chromium looks for its maker's servers: no test may, and a closed network makes it slow.
QUIET = (
    "--disable-background-networking",
    "--disable-client-side-phishing-detection",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    f"--disable-features={','.join(WITHOUT.split())}",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    f"--host-resolver-rules=MAP {OFFICE} 127.0.0.1",
    "--autoplay-policy=no-user-gesture-required",
    "--metrics-recording-only",
    "--no-first-run",
    "--no-pings",
)
REPORT_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy violation: ${event.effectiveDirective} ${event.blockedURI}`));
"""

NewPage = Callable[..., Page]


class Complaints:
    """What pages said on the console as errors, uncaught exceptions included; a test names what it provokes."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self._expected: list[re.Pattern[str]] = []

    def expect(self, pattern: str) -> None:
        """From now on and for what was already heard, complaints that match are part of the test."""
        self._expected.append(re.compile(pattern))

    @property
    def unexpected(self) -> list[str]:
        return [text for text in self.heard if not any(pattern.search(text) for pattern in self._expected)]

    def listen(self, context: BrowserContext) -> None:
        def console(message: ConsoleMessage) -> None:
            if message.type == "error":
                self.heard.append(f"{message.text} ({message.location.get('url', '')})")

        context.add_init_script(REPORT_VIOLATIONS)
        context.on("console", console)
        context.on("weberror", lambda error: self.heard.append(f"uncaught: {error.error}"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for the whole run of this worker."""
    if CHROMIUM is None:
        need.missing("Chromium is not installed; scripts/setup installs it")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, chromium_sandbox=False, args=list(QUIET))
        yield chromium
        chromium.close()


@pytest.fixture
def complaints() -> Iterator[Complaints]:
    """Fails the test at its end if any page of it complained unexpectedly."""
    heard = Complaints()
    yield heard
    assert not heard.unexpected, "the browser complained:\n" + "\n".join(heard.unexpected)


@pytest.fixture
def new_page(browser: Browser, complaints: Complaints) -> Iterator[NewPage]:
    """Pages in profiles of their own: `new_page(**options of Browser.new_context)`, for a second person or a phone."""
    contexts: list[BrowserContext] = []

    def make(**options: Any) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        context.set_default_timeout(15_000)
        complaints.listen(context)
        return context.new_page()

    yield make
    for context in contexts:
        context.close()


@pytest.fixture
def page(new_page: NewPage) -> Page:
    """A page in a profile of its own."""
    return new_page()
