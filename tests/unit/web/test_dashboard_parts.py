"""The small parts of the dashboard: addresses to go on to, words, codes, policies."""

from __future__ import annotations

import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recpipe.access.principal import GRANTABLE_ACTIONS
from recpipe.model import Role
from recpipe.web import packing
from recpipe.web.dashboard import account, assets, filters, pages
from recpipe.web.dashboard.signing_in import ours
from tests.services import need


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "\\/evil",
        "/a\\b",
        "javascript:alert(1)",
        "",
        "/a\nb",
    ],
)
def test_after_the_sign_in_nobody_is_sent_to_another_site(path: str) -> None:
    assert ours(path) == "/"


def test_after_the_sign_in_one_goes_where_one_wanted() -> None:
    assert ours("/recordings?number=0958") == "/recordings?number=0958"


def test_the_policy_allows_nothing_inline_and_nothing_foreign() -> None:
    assert "unsafe" not in pages.POLICY and "http" not in pages.POLICY and "data:" not in pages.POLICY
    assert "default-src 'none'" in pages.POLICY and "frame-ancestors 'none'" in pages.POLICY


def test_every_asset_that_a_page_or_module_names_is_served() -> None:
    folder = Path(assets.__file__).parents[1]
    named = set()
    for template in (folder / "templates").glob("*.html"):
        named |= set(re.findall(r"asset\('([^']+)'\)", template.read_text()))
        for modules in re.findall(r"modules\(([^)]*)\)", template.read_text()):
            named |= set(re.findall(r'"([^"]+)"', modules))
    for module in (folder / "assets").glob("*.js"):
        if module.name in assets._TYPES:
            named |= set(re.findall(r'from "\./([^"]+)"', module.read_text()))
    assert named <= set(assets._TYPES)


def test_a_page_names_at_once_all_that_its_modules_import() -> None:
    text = str(pages._globals()["modules"]("search.js", "player.js"))
    loaded = re.findall(r'<link rel="modulepreload" href="/assets/[0-9a-f]+/([^"]+)">', text)
    scripts = re.findall(r'<script type="module" src="/assets/[0-9a-f]+/([^"]+)"></script>', text)
    assert scripts == ["search.js", "player.js"]
    # Whatever way a module names another one is found: by what browsers read, not by what we look for
    folder = Path(assets.__file__).parents[1] / "assets"
    reached, left = set(scripts), list(scripts)
    while left:
        code = re.sub(r"//.*", "", (folder / left.pop()).read_text())
        more = {name for name in re.findall(r'"\./([\w-]+\.js)"', code) if name in assets._TYPES} - reached
        reached |= more
        left += sorted(more)
    assert set(loaded) == reached - set(scripts) and len(loaded) == len(set(loaded)) > 10


def test_pages_hold_no_inline_script_style_or_handler() -> None:
    for template in (Path(assets.__file__).parents[1] / "templates").glob("*.html"):
        text = template.read_text()
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:|\|\s*safe", text), (
            template
        )


@pytest.mark.parametrize(
    ("milliseconds", "words"), [(0, "0:00"), (1, "0:01"), (61_520, "1:02"), (3_600_000, "1:00:00"), (999, "0:01")]
)
def test_lengths_read_as_clocks(milliseconds: int, words: str) -> None:
    assert filters.length(milliseconds) == words


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 B"), (999, "999 B"), (4_800_000, "4.8 MB"), (2 * 10**12, "2.0 TB")]
)
def test_sizes_read_as_file_managers_give_them(count: int, words: str) -> None:
    assert filters.size(count) == words


def test_ages_read_as_people_say_them() -> None:
    now = datetime(2026, 3, 14, tzinfo=UTC)
    assert [filters.ago(now - timedelta(seconds=s), now) for s in (3, 60, 7200, 90_000)] == [
        "just now",
        "1 minute ago",
        "2 hours ago",
        "1 day ago",
    ]
    assert filters.ago(None, now) == "never"


def test_grants_of_the_audit_log_are_told_by_service_and_an_unseen_one_by_no_name() -> None:
    names = {"1" * 32: "Acme"}
    kept = f"{'1' * 32}: search,keys; {'2' * 32}: all"
    assert filters.by_service(kept, names) == (
        "Acme: Search, Add-ons and keys; another service: all that the role allows"
    )
    assert filters.by_service("", names) == "none"


def test_a_time_is_told_on_the_clock_of_its_zone() -> None:
    assert filters.local(datetime(2026, 7, 1, 23, 30, tzinfo=UTC), "Europe/Berlin") == "2 Jul 2026, 01:30:00"


def test_a_time_that_a_clock_shows_twice_is_known_for_it_and_told_with_its_offset() -> None:
    first, second = (datetime(2026, 10, 25, hour, 30, tzinfo=UTC) for hour in (0, 1))
    assert filters.local(first, "Europe/Berlin") == filters.local(second, "Europe/Berlin")
    assert [filters.repeated(first + timedelta(hours=h), "Europe/Berlin") for h in (-1, 0, 1, 2)] == [
        False,
        True,
        True,
        False,
    ]
    assert [filters.offset(moment, "Europe/Berlin") for moment in (first, second)] == ["+02:00", "+01:00"]
    assert not filters.repeated(datetime(2026, 3, 29, 1, 30, tzinfo=UTC), "Europe/Berlin")


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/130.0 Safari/537.36 Edg/130.0",
            "Edge on Windows",
        ),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1", "Safari on iPhone"),
        ("Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 Chrome/130.0 Mobile Safari/537.36", "Chrome on Android"),
        ("curl/8.5.0", "curl"),
        ("", "not known"),
        ("something else " * 9, ("something else " * 9)[:39] + "…"),
    ],
)
def test_a_browser_is_called_as_people_call_it(agent: str, words: str) -> None:
    assert filters.browser(agent) == words


@pytest.mark.parametrize(
    ("hours", "words"), [(0.2, "1 hour left"), (5, "5 hours left"), (48, "2 days left"), (150, "7 days left")]
)
def test_what_is_left_is_told_in_words(hours: float, words: str) -> None:
    now = datetime(2026, 3, 14, tzinfo=UTC)
    assert filters.left(now + timedelta(hours=hours), now) == words


@pytest.mark.parametrize(
    ("header", "takes"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("gzip;q=0", False),
        ("*;q=0.1", True),
        ("identity", False),
        ("", False),
        ("*, gzip;q=0.0", False),
    ],
)
def test_what_can_be_unpacked_is_read_from_the_header(header: str, takes: bool) -> None:
    assert packing.takes_gzip(header) is takes


def raster(svg: str, scale: int) -> str:
    """The dark modules of a QR code in SVG as a portable bitmap."""
    width = int(re.search(r'viewBox="0 0 (\d+) ', svg)[1])  # type: ignore[index]
    rows = [[0] * width for _ in range(width)]
    x, y = 0.0, 0.0
    for command, numbers in re.findall(r"([Mmh])([-\d. ]+)", re.search(r'stroke="#000" d="([^"]+)"', svg)[1]):  # type: ignore[index]
        across, down = [*map(float, numbers.split()), 0.0][:2]
        if command == "h":
            rows[int(y)][int(x) : int(x + across)] = [1] * int(across)
        x, y = (across, down) if command == "M" else (x + across, y + down)
    lines = [" ".join(str(dark) for dark in row for _ in range(scale)) + "\n" for row in rows for _ in range(scale)]
    return f"P1\n{width * scale} {width * scale}\n" + "".join(lines)


@pytest.mark.parametrize("length", [1, 140, 331])
def test_another_program_reads_our_codes(length: int, tmp_path: Path) -> None:
    text = ("otpauth://totp/recpipe:ann%40example.com?secret=" + "ABCDEFGH234567" * 30)[:length]
    (tmp_path / "code.pbm").write_text(raster(account.qr_code(text), 4))
    read = [need.tool("zbarimg"), "--raw", "-q", "-Sdisable", "-Sqrcode.enable", str(tmp_path / "code.pbm")]
    done = subprocess.run(read, capture_output=True, text=True, timeout=30)
    assert done.stdout == text + "\n"


def test_a_code_has_nothing_that_the_content_security_policy_forbids() -> None:
    svg = account.qr_code("otpauth://totp/recpipe:ann")
    assert not re.search(r"style|href|<script|\bon\w+=", svg)


def test_a_text_that_fits_no_code_is_refused() -> None:
    with pytest.raises(ValueError, match="too large"):
        account.qr_code("x" * 2332)


def test_people_are_shown_every_action_and_role_in_words() -> None:
    assert {one.value for one in (*GRANTABLE_ACTIONS, *Role)} <= filters.WORDS.keys()
