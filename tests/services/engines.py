"""Firefox and WebKit beside Chromium, behind the few verbs that a short walk needs.

Firefox is asked by its own Marionette, WebKit by the driver that WebKitGTK comes with: the commands are those of the
W3C WebDriver in both.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

from playwright.sync_api import Page

from tests.services import need

# Source: W3C WebDriver section 12.1, the key of a reference to an element.
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
# A window that a page opens without bars may be as small as a telephone; one with bars may not.
_OPENER = "data:text/html,<button onclick=\"open('about:blank','','popup,width=360,height=740')\">open</button>"
_QUIET = """
user_pref("app.update.auto", false);
user_pref("browser.aboutwelcome.enabled", false);
user_pref("browser.download.alwaysOpenPanel", false);
user_pref("browser.download.folderList", 2);
user_pref("browser.newtabpage.enabled", false);
user_pref("browser.region.network.url", "");
user_pref("browser.safebrowsing.malware.enabled", false);
user_pref("browser.safebrowsing.phishing.enabled", false);
user_pref("browser.search.update", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("browser.startup.homepage", "about:blank");
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("dom.push.connection.enabled", false);
user_pref("extensions.getAddons.cache.enabled", false);
user_pref("extensions.systemAddon.update.enabled", false);
user_pref("extensions.update.enabled", false);
user_pref("fission.autostart", false);
user_pref("marionette.port", 0);
user_pref("media.autoplay.default", 0);
user_pref("media.gmp-manager.updateEnabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("services.settings.server", "data:,");
user_pref("toolkit.telemetry.server", "data:,");
"""


class Engine(Protocol):
    """One browser with one page."""

    def goto(self, url: str) -> None:
        """Leave for an address; what is there may still be loading its scripts."""
        ...

    def run(self, expression: str) -> Any:
        """What a script expression gives; a promise is waited for."""
        ...

    def click(self, css: str) -> None: ...

    def type(self, css: str, text: str) -> None:
        """Text into a field; the path of a file into one that takes files."""
        ...

    def saved(self, css: str) -> bytes:
        """What a click saves."""
        ...

    def resize(self, width: int, height: int) -> None:
        """Give the page a room of so many px; before its first page where it ever becomes smaller than a desk's."""
        ...


class Chromium:
    """The page of the other tests."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def goto(self, url: str) -> None:
        self._page.goto(url)

    def run(self, expression: str) -> Any:
        return self._page.evaluate(f"async () => ({expression})")

    def click(self, css: str) -> None:
        self._page.locator(css).first.click()

    def type(self, css: str, text: str) -> None:
        found = self._page.locator(css).first
        if found.get_attribute("type") == "file":
            found.set_input_files(text)
        else:
            found.fill(text)

    def saved(self, css: str) -> bytes:
        with self._page.expect_download() as download:
            self.click(css)
        return Path(download.value.path()).read_bytes()

    def resize(self, width: int, height: int) -> None:
        self._page.set_viewport_size({"width": width, "height": height})
        _wait(lambda: bool(self.run(f"innerWidth === {width}")), "the window has its size")

    def picture(self, path: Path) -> None:
        """Keep what is shown."""
        self._page.screenshot(path=path)


# Name and path of a command, and what it is told; without that it only asks.
_Ask = Callable[[str, str, dict[str, Any] | None], Any]


def holds(engine: Engine, expression: str) -> None:
    """Wait until a script says true."""
    deadline = time.monotonic() + 20
    while engine.run(expression) is not True:
        said = "document.body.innerText.slice(-400)"
        assert time.monotonic() < deadline, f"not within 20 s: {expression}; the page ends: {engine.run(said)}"
        time.sleep(0.1)


class _Driven:
    """What a driver is told in the words of WebDriver, by whichever way it listens."""

    def __init__(self, ask: _Ask, downloads: Path) -> None:
        self._ask = ask
        self._downloads = downloads
        self._bare = False

    def goto(self, url: str) -> None:
        self._ask("Navigate", "url", {"url": url})

    def run(self, expression: str) -> Any:
        script = "const [done] = [...arguments].slice(-1);" + (
            f"(async () => ({expression}))().then(done, (error) => done('script failed: ' + error))"
        )
        told = self._ask("ExecuteAsyncScript", "execute/async", {"script": script, "args": []})
        assert not str(told).startswith("script failed"), f"{expression}: {told}"
        return told

    def click(self, css: str) -> None:
        self._ask("ElementClick", f"element/{(found := self._find(css))}/click", {"id": found})

    def type(self, css: str, text: str) -> None:
        found = self._find(css)
        self._ask("ElementSendKeys", f"element/{found}/value", {"id": found, "text": text})

    def saved(self, css: str) -> bytes:
        there = set(self._downloads.iterdir())
        self.click(css)

        def whole() -> list[Path]:
            # Each engine writes beside the name first, or into it: it is whole when nothing is added any more.
            new = sorted(set(self._downloads.iterdir()) - there)
            return new if len(new) == 1 and new[0].suffix not in (".part", ".wkdownload") else []

        _wait(lambda: bool(whole()) and self._stays(whole()), "something is saved")
        return whole()[0].read_bytes()

    def resize(self, width: int, height: int) -> None:
        if not self._bare:
            self._leave_the_bars()
        for _ in range(2):  # what is around the page is known when it is there
            inner, outer = self.run("[[innerWidth, innerHeight], [outerWidth, outerHeight]]")
            around = [whole - part for whole, part in zip(outer, inner, strict=True)]
            rect = {"x": 0, "y": 0, "width": width + around[0], "height": height + around[1]}
            self._ask("SetWindowRect", "window/rect", rect)
            time.sleep(0.1)
        _wait(lambda: bool(self.run(f"innerWidth === {width} && innerHeight === {height}")), "the window has its size")

    def _leave_the_bars(self) -> None:
        first = self._ask("GetWindowHandle", "window", None)
        self.goto(_OPENER)
        self.click("button")

        def others() -> list[str]:
            return [one for one in self._ask("GetWindowHandles", "window/handles", None) if one != first]

        _wait(lambda: bool(others()), "a window opens")
        self._ask("SwitchToWindow", "window", {"handle": others()[0]})
        self._bare = True

    @staticmethod
    def _stays(paths: list[Path]) -> bool:
        try:
            before = paths[0].stat().st_size
            time.sleep(0.2)
            return before > 0 and paths[0].stat().st_size == before
        except FileNotFoundError:
            return False

    def _find(self, css: str) -> str:
        found = self._ask("FindElement", "element", {"using": "css selector", "value": css})
        return str(found.get("value", found)[_ELEMENT])


@contextmanager
def firefox(profile: Path, downloads: Path, dark: bool = False) -> Iterator[Engine]:
    """Firefox without a window, in a profile of its own."""
    program = need.tool("firefox-esr")
    profile.mkdir()
    folder = f'user_pref("browser.download.dir", {json.dumps(str(downloads))});\n'
    colours = f'user_pref("layout.css.prefers-color-scheme.content-override", {0 if dark else 1});\n'
    (profile / "user.js").write_text(_QUIET + folder + colours)
    command = (program, "--headless", "--marionette", "--no-remote", "--profile", str(profile), "about:blank")
    with _started(command, {"HOME": str(profile), "MOZ_CRASHREPORTER_DISABLE": "1"}), ExitStack() as stack:
        port_file = profile / "MarionetteActivePort"
        _wait(lambda: port_file.exists() and port_file.read_text().strip() != "", "Firefox listens")
        wire = stack.enter_context(socket.create_connection(("127.0.0.1", int(port_file.read_text())), 60))
        lines = stack.enter_context(wire.makefile("rb"))

        def hear() -> Any:
            size = b""
            while (byte := lines.read(1)) != b":":
                assert byte, "Firefox hung up"
                size += byte
            return json.loads(lines.read(int(size)))

        def ask(name: str, _path: str, parameters: dict[str, Any] | None) -> Any:
            body = json.dumps([0, 1, f"WebDriver:{name}", parameters or {}]).encode()
            wire.sendall(b"%d:%s" % (len(body), body))
            _kind, _id, error, result = hear()
            assert error is None, f"Firefox: {name} {str(parameters)[:400]}: {error['message']}"
            return result.get("value", result) if isinstance(result, dict) else result

        hear()  # who it is
        ask("NewSession", "", {"capabilities": {"alwaysMatch": {"acceptInsecureCerts": True}}})
        yield _Driven(ask, downloads)


@contextmanager
def webkit(home: Path, downloads: Path, dark: bool = False) -> Iterator[Engine]:
    """WebKitGTK's small browser, on a screen that nobody sees."""
    program, screen = need.tool("WebKitWebDriver"), need.tool("Xvfb")
    (browser,) = Path("/usr/lib").glob("*/webkit2gtk-4.*/MiniBrowser")  # of the same package
    (home / ".config").mkdir(parents=True)
    (home / ".config" / "user-dirs.dirs").write_text(f'XDG_DOWNLOAD_DIR="{downloads}"\n')
    read, write = os.pipe()
    with ExitStack() as stack:
        command = (screen, "-displayfd", str(write), "-screen", "0", "1280x900x24", "-nolisten", "tcp", "-noreset")
        stack.enter_context(_started(command, {}, keep=write))
        os.close(write)
        with os.fdopen(read) as told:
            display = f":{told.readline().strip()}"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        surroundings = {"DISPLAY": display, "HOME": str(home), "XDG_CONFIG_HOME": str(home / ".config")}
        surroundings |= {"LIBGL_ALWAYS_SOFTWARE": "1", "WEBKIT_DISABLE_COMPOSITING_MODE": "1", "GDK_BACKEND": "x11"}
        surroundings |= {"GTK_THEME": "Adwaita:dark"} if dark else {}
        stack.enter_context(_started((program, f"--port={port}", "--host=127.0.0.1"), surroundings))
        base = f"http://127.0.0.1:{port}/session"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

        def send(method: str, url: str, body: dict[str, Any] | None = None) -> Any:
            given = None if body is None else json.dumps(body).encode()
            request = urllib.request.Request(url, given, {"content-type": "application/json"}, method=method)
            try:
                with opener.open(request, timeout=60) as answer:
                    return json.load(answer)["value"]
            except urllib.error.HTTPError as refused:
                raise AssertionError(f"WebKit: {url}: {refused.read().decode()}") from None

        _wait(lambda: _listens(port), "WebKitWebDriver listens")
        options = {"binary": str(browser), "args": ["--automation"]}
        session = send("POST", base, {"capabilities": {"alwaysMatch": {"webkitgtk:browserOptions": options}}})
        mine = f"{base}/{session['sessionId']}"
        stack.callback(send, "DELETE", mine)

        def ask(_name: str, path: str, parameters: dict[str, Any] | None) -> Any:
            return send("GET" if parameters is None else "POST", f"{mine}/{path}", parameters)

        yield _Driven(ask, downloads)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _wait(done: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)


@contextmanager
def _started(command: tuple[str, ...], surroundings: dict[str, str], keep: int | None = None) -> Iterator[None]:
    """A program with its children, in a group of their own, ended together."""
    process = subprocess.Popen(
        command,
        env={**os.environ, **surroundings},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        pass_fds=() if keep is None else (keep,),
    )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
