"""The operator's own name, logo and colour on every page, in place of recpipe's.

One colour is asked for, and none is unreadable: it is made darker for light pages, and lighter for dark ones, until
text in it has the contrast that WCAG 2.2 wants (criterion 1.4.3) on everything that the pages put it on.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from recpipe.errors import SettingsInvalid
from recpipe.settings import Settings

MOST_LOGO_BYTES = 256 * 1024
_CONTRAST = 4.5
_TINT = 0.15  # of the colour, at most, in what is behind the entry of the menu where one is
_STEPS = 100
_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)

Rgb = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Logo:
    """An image, and what it is."""

    content: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class Brand:
    """What pages show of the operator.

    Attributes:
        style: the rules that replace colours of `dashboard.css`; empty: none.
    """

    name: str
    style: str = ""
    logo: Logo | None = None

    @classmethod
    def of(cls, settings: Settings) -> Brand:
        """Read the logo, and work out the colours.

        Raises:
            SettingsInvalid: the logo cannot be read, is too large, or neither SVG nor PNG.
        """
        logo = _logo(settings.brand_logo) if settings.brand_logo else None
        return cls(settings.brand_name, stylesheet(settings.brand_color) if settings.brand_color else "", logo)

    @property
    def version(self) -> str:
        """Changes with what is served, for addresses that browsers keep for ever."""
        content = self.style.encode() + (self.logo.content if self.logo else b"")
        return hashlib.sha256(content).hexdigest()[:16]


def stylesheet(color: str) -> str:
    """The rules that give pages this colour, as `#rrggbb`."""
    wanted = _rgb(color)
    light, dark = (_accent(wanted, {name: pair[side] for name, pair in _theme().items()}, side) for side in (0, 1))
    rules = (f"--{name}: light-dark({_hex(light[name])}, {_hex(dark[name])});" for name in light)
    return f":root {{ {' '.join(rules)} }}\n"


def contrast(one: Rgb, other: Rgb) -> float:
    """From 1 (none) to 21. Source: WCAG 2.2, definition of contrast ratio."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _accent(wanted: Rgb, theme: dict[str, Rgb], dark: int) -> dict[str, Rgb]:
    tint = next(
        mixed
        for step in range(_STEPS + 1)
        if _readable((theme["ink"], theme["soft"]), mixed := _mixed(theme["card"], wanted, _TINT * (1 - step / _STEPS)))
    )
    behind = (theme["card"], theme["page"], theme["sunk"], tint)
    away = _WHITE if dark else _BLACK
    accent = next(
        mixed for step in range(_STEPS + 1) if _readable(behind, mixed := _mixed(wanted, away, step / _STEPS))
    )
    return {"accent": accent, "on-accent": theme["card"], "tint": tint}


def _readable(behind: Iterable[Rgb], color: Rgb) -> bool:
    return all(contrast(color, one) >= _CONTRAST for one in behind)


@cache
def _theme() -> dict[str, tuple[Rgb, Rgb]]:
    """The colours of our own style by name, for light and for dark pages."""
    css = files("recpipe.web").joinpath("assets", "dashboard.css").read_text(encoding="utf-8")
    found = re.findall(r"--([a-z-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);", css)
    return {name: (_rgb(light), _rgb(dark)) for name, light, dark in found}


def _mixed(one: Rgb, other: Rgb, share: float) -> Rgb:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _luminance(color: Rgb) -> float:
    """Source: WCAG 2.2, definition of relative luminance."""
    linear = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (value / 255 for value in color))
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _rgb(color: str) -> Rgb:
    red, green, blue = bytes.fromhex(color.removeprefix("#"))
    return red, green, blue


def _hex(color: Rgb) -> str:
    return "#" + bytes(color).hex()


def _logo(path: Path) -> Logo:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_LOGO_BYTES + 1)
    except OSError as error:
        raise SettingsInvalid(
            f"brand_logo {path} cannot be read ({error.strerror}). Name a file, or leave it out."
        ) from error
    if len(content) > MOST_LOGO_BYTES:
        raise SettingsInvalid(
            f"brand_logo {path} is larger than {MOST_LOGO_BYTES // 1024} KiB. Make it smaller: it is 24 pixels high."
        )
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return Logo(content, "image/png")
    if re.match(
        rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*\?>\s*)?(<!--.*?-->\s*)*(<!DOCTYPE svg[^>]*>\s*)?<svg[\s>]", content, re.DOTALL
    ):
        return Logo(content, "image/svg+xml")
    raise SettingsInvalid(f"brand_logo {path} is neither SVG nor PNG. Save it as one of them.")
