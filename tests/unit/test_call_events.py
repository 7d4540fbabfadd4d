"""Which parts of a recording are masked, from what was done at which time, and as text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from recpipe.model import MOST_MASKED, CallEventKind, Masked, masked_by, masked_from, masked_text
from recpipe.web.dashboard.filters import masked as in_words

BEGAN = datetime(2026, 11, 28, 9, 0, tzinfo=UTC)
LENGTH_MS = 300_000


def parts(*done: tuple[float, str], length_ms: int = LENGTH_MS) -> Masked:
    """Of seconds after the start of the recording, and what was done then."""
    events = [(BEGAN + timedelta(seconds=seconds), CallEventKind(kind)) for seconds, kind in done]
    return masked_by(events, BEGAN, length_ms)


@pytest.mark.parametrize(
    ("done", "found"),
    [
        ([(130, "masked"), (161, "unmasked")], ((130_000, 161_000),)),
        ([(161, "unmasked"), (130, "masked")], ((130_000, 161_000),)),  # in whatever order they are told
        ([(130, "masked")], ((130_000, LENGTH_MS),)),  # until the end
        ([(130, "masked"), (140, "masked"), (161, "unmasked"), (162, "unmasked")], ((130_000, 161_000),)),
        ([(-20, "masked"), (5.25, "unmasked")], ((0, 5_250),)),  # before the recording began
        ([(-20, "masked"), (-10, "unmasked"), (400, "masked")], ()),
        ([(10, "masked"), (12, "unmasked"), (20, "masked"), (21, "unmasked")], ((10_000, 12_000), (20_000, 21_000))),
        # a pause is a place, and what comes after it stands that much earlier in the file
        ([(60, "paused"), (90, "resumed"), (100, "masked"), (110, "unmasked")], ((60_000, 60_000), (70_000, 80_000))),
        ([(50, "masked"), (60, "paused"), (70, "unmasked"), (90, "resumed")], ((50_000, 60_000), (60_000, 60_000))),
        ([(60, "paused")], ((60_000, 60_000),)),
        ([(0, "started"), (200, "stopped")], ()),
    ],
)
def test_what_is_masked_follows_from_what_was_done(done: list[tuple[float, str]], found: Masked) -> None:
    assert parts(*done) == found


def test_no_more_parts_are_kept_than_a_sidecar_may_state() -> None:
    done = [(n / 10, kind) for n in range(2 * MOST_MASKED + 50) for kind in (("masked", "unmasked")[n % 2],)]
    assert len(parts(*done)) == MOST_MASKED


def test_as_text_it_is_seconds_and_is_read_back_as_it_was() -> None:
    masked = ((130_000, 161_000), (200_500, 230_007), (1_234_567, 1_234_567))
    assert masked_text(masked) == "130-161 200.5-230.007 1234.567-1234.567"
    assert masked_from(masked_text(masked)) == masked and masked_from("") == () and masked_text(()) == ""
    assert masked_from("200-230, 130-161") == ((130_000, 161_000), (200_000, 230_000))


@pytest.mark.parametrize(
    "said",
    ["161-130", "12", "a-b", "1-2-3", "-1-2", "1e3-2e3", "1-9999999", [1, 2], [[1]], [["1", 2]], [[True, 2]],
     [[float("nan"), 2]], [[2, 1]], [[1, 2]] * (MOST_MASKED + 1)],
)  # fmt: skip
def test_what_is_no_part_is_refused(said: str | list[object]) -> None:
    with pytest.raises(ValueError):
        masked_from(said)


def test_in_words_it_says_from_where_to_where() -> None:
    assert in_words(((130_000, 161_000), (185_000, 185_000))) == "Masked 2:10 to 2:41; paused at 3:05"
    assert in_words(((0, 5_000),)) == "Masked 0:00 to 0:05" and in_words(()) == ""
