"""Charts as the server draws them: bars in per cent of the width, so that text keeps its size on any screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recpipe import languages

HEIGHT = 140  # of the highest bar, in pixels
_STEPS = (1, 2, 5)


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar.

    Attributes:
        x, width: per cent of the chart.
        height: pixels.
        tick: a label below it; "" for most.
        link: where it leads.
    """

    x: float
    width: float
    height: float
    label: str
    value: str
    tick: str
    link: str


@dataclass(frozen=True, slots=True)
class Chart:
    bars: tuple[Bar, ...]
    lines: tuple[tuple[float, str], ...]  # height in pixels, and what it stands for; no words where bars may be


@dataclass(frozen=True, slots=True)
class Point:
    """What a bar is of."""

    label: str
    short: str
    value: float
    shown: str
    link: str


def bars(points: Sequence[Point], ticks: int = 6) -> Chart:
    """A bar for each of the points, lines at round values, and at most so many labels below."""
    top = _round_up(max((point.value for point in points), default=0))
    step, every = 100 / max(1, len(points)), -(-len(points) // ticks)
    drawn = tuple(
        Bar(
            round(n * step + step * 0.1, 2),
            round(step * 0.8, 2),
            round(max(1.5 if point.value else 0, HEIGHT * point.value / top), 1),
            point.label,
            point.shown,
            point.short if n % every == 0 else "",
            point.link,
        )
        for n, point in enumerate(points)
    )
    return Chart(drawn, ((HEIGHT / 2, ""), (HEIGHT, languages.number(int(top) if top == int(top) else top))))


def _round_up(value: float) -> float:
    """The next of 2, 4, 10, 20, 40, 100, ...: its half is a round number too."""
    size = 1.0
    while True:
        for step in _STEPS:
            if value <= 2 * step * size:
                return 2 * step * size
        size *= 10


def level(value: int, highest: int, levels: int = 5) -> int:
    """How strongly a cell is coloured, 0 for nothing to `levels` for the highest."""
    return -(-value * levels // highest) if highest else 0
