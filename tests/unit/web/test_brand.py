"""The operator's own name, logo and colour: on every page, readable, and harmless."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recpipe import wiring
from recpipe.access.principal import operator
from recpipe.errors import SettingsInvalid
from recpipe.model import Role
from recpipe.settings import Settings
from recpipe.web import brand
from recpipe.web.brand import Brand, contrast, stylesheet
from recpipe.web.deps import WebContext
from tests.integration.api import served

CSS = (Path(brand.__file__).parent / "assets/dashboard.css").read_text()
SVG = b'<?xml version="1.0"?>\n<!-- ours -->\n<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
PASSWORD = "correct horse battery"


def colors(css: str, side: int) -> dict[str, brand.Rgb]:
    found = re.findall(r"--([a-z-]+): light-dark\(#(\w{6}), #(\w{6})\)", css)
    return {name: tuple(bytes.fromhex(pair[side])) for name, *pair in found}  # type: ignore[misc]


@given(st.integers(0, 0xFFFFFF).map("#{:06x}".format))
def test_no_colour_makes_a_page_unreadable(color: str) -> None:
    for side in (0, 1):
        seen = colors(CSS, side) | colors(stylesheet(color), side)
        for behind in ("card", "page", "sunk", "tint"):
            assert contrast(seen["accent"], seen[behind]) >= 4.5, (color, side, behind)
        for text in ("ink", "soft"):
            assert contrast(seen[text], seen["tint"]) >= 4.5, (color, side, text)
        assert contrast(seen["on-accent"], seen["accent"]) >= 4.5, (color, side)


def test_a_colour_that_can_be_read_stays_as_it_is() -> None:
    assert colors(stylesheet("#0b5cad"), 0)["accent"] == (0x0B, 0x5C, 0xAD)
    assert colors(stylesheet("#7db8f5"), 1)["accent"] == (0x7D, 0xB8, 0xF5)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "cannot be read"),
        (b"\xff\xd8\xff\xe0 a JPEG", "neither SVG nor PNG"),
        (b"<html><svg></svg></html>", "neither SVG nor PNG"),
        (b"\x89PNG\r\n\x1a\n" + bytes(brand.MOST_LOGO_BYTES), "larger than 256 KiB"),
    ],
)
def test_a_logo_that_cannot_be_shown_is_refused(tmp_path: Path, content: bytes | None, why: str) -> None:
    logo = tmp_path / "logo"
    if content is not None:
        logo.write_bytes(content)
    with pytest.raises(SettingsInvalid, match=f"brand_logo .*{why}"):
        Brand.of(Settings(brand_logo=logo))


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"brand_name": " "}, "name of one line"),
        ({"brand_name": "two\nlines"}, "name of one line"),
        ({"brand_name": "x" * 41}, "at most 40"),
        ({"brand_color": "blue"}, "no colour"),
        ({"brand_color": "#fff"}, "no colour"),
        ({"brand_color": "#00000}; body { display: none"}, "no colour"),
    ],
)
def test_a_name_or_colour_that_is_none_is_refused(given: dict[str, str], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Settings.model_validate(given)


def test_pages_have_the_operators_name_logo_and_colour(tmp_path: Path) -> None:
    logo = tmp_path / "logo.svg"
    logo.write_bytes(SVG)
    settings = Settings(data_dir=tmp_path / "data", brand_name="Acme <Voice>", brand_color="#FFCC00", brand_logo=logo)
    with wiring.open_parts(settings) as parts:
        parts.accounts.create(operator("test"), "ann", Role.ADMINISTRATOR, password=PASSWORD)
        with served(WebContext.of(parts)) as url, httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
            door = client.get("/sign-in").text
            client.post("/sign-in", data={"username": "ann", "password": PASSWORD}, headers={"origin": url})
            enrolling = client.post("/account/second-factor", headers={"origin": url}).text
            for page in (door, client.get("/services").text, client.get("/nothing-here").text):
                assert "· Acme &lt;Voice&gt;</title>" in page and "<span>Acme &lt;Voice&gt;</span>" in page
                assert "recpipe" not in re.sub(r"recpipe-[a-z-]+", "", page)
            style, shown = (
                re.findall(pattern, door)[0]
                for pattern in (r'href="(/brand/\w+/style\.css)"', r'src="(/brand/\w+/logo)"')
            )
            assert client.get(style).text == stylesheet("#ffcc00")
            answer, unasked = client.get(shown), client.get("/favicon.ico")
            gone = [client.get(f"/brand/{'0' * 16}/logo"), client.get(shown.replace("logo", "logo.svg"))]
    assert answer.content == SVG and answer.headers["content-type"] == "image/svg+xml"
    assert (unasked.content, unasked.headers["content-type"]) == (SVG, "image/svg+xml")
    assert all("sandbox" in one.headers["content-security-policy"] for one in (answer, unasked))
    assert [one.status_code for one in gone] == [404, 404]
    assert "issuer=Acme%20%3CVoice%3E" in enrolling.replace("&amp;", "&")
