"""What is looked for on a page as it stands: what axe finds, what runs out at the side, a call on the first screen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from tests.barriers._hand import Hand
from tests.services import need

_AXE = Path(__file__).parents[1] / "browser" / "node_modules" / "axe-core" / "axe.min.js"
# Every rule that axe has on of itself, warnings of its best practices too, and the size of what is pressed. In the dark
# colours are all that differs.
_RULES = {
    "light": {"resultTypes": ["violations"], "preload": False, "rules": {"target-size": {"enabled": True}}},
    "dark": {"resultTypes": ["violations"], "preload": False, "runOnly": ["color-contrast"]},
}
_WIDE = """
[document.documentElement, ...document.querySelectorAll("form, section, main")]
    .filter((e) => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== "inline")
    .map((e) => `${e.tagName}${e.id && "#" + e.id}: ${e.scrollWidth} px in ${e.clientWidth}`)
"""
# How far down the first call ends, and where the screen does: at the player, where that is open (which names its call).
_FIRST = """
(() => {
    scrollTo(0, 0);
    const seen = (css) => [...document.querySelectorAll(css)].find((one) => one.checkVisibility());
    const [row, player] = [seen(%s), seen("#player")];
    const floor = player ? player.getBoundingClientRect().top : innerHeight;
    return row ? [Math.round(row.getBoundingClientRect().bottom), Math.round(floor)] : [];
})()
"""


def axe() -> str:
    if not _AXE.is_file():
        need.missing("axe-core is not installed; scripts/setup installs it")
    return _AXE.read_text(encoding="utf-8")


def barriers(hand: Hand, scheme: str, source: str) -> Iterator[str]:
    """Rule, weight, and up to three of the elements that break it."""
    engine = hand.engine
    engine.run("scrollTo(0, 0)")  # what lies half below the head of the page is no smaller for it
    if engine.run("typeof axe") == "undefined":
        engine.run(f"(() => {{ {source}\n; return true; }})()")
    # Only what is told crosses over: an engine's driver need not understand axe's own objects.
    html = "n.html.replace(' style=\"\"', '').slice(0, 160)"
    told = f"found.violations.map((v) => [v.id, v.impact, v.nodes.slice(0, 3).map((n) => {html})])"
    for rule, weight, nodes in engine.run(f"axe.run(document, {json.dumps(_RULES[scheme])}).then((found) => {told})"):
        yield f"{rule} ({weight}): {' | '.join(nodes)}"


def runs_out(hand: Hand) -> Iterator[str]:
    for what in hand.engine.run(_WIDE):
        yield f"runs out at the side: {what}"


def first_screen(hand: Hand, calls: str) -> Iterator[str]:
    """Whether a call is to be seen whole before anybody scrolls."""
    found = hand.engine.run(_FIRST % json.dumps(calls))
    if not found:
        yield "lists no call"
    elif found[0] > found[1]:
        yield f"no call on the first screen: the first one ends at {found[0]} of {found[1]} px"
