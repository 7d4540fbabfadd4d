"""The life of a spool file, state by state. Time is a number here: nothing sleeps."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from recpipe.spool.header import Inside
from recpipe.spool.settle import ASK_AGAIN_SECONDS, FileIdentity, Settler, State, Writer

WALL = 1_800_000_000
SETTLE = 5.0
QUIET = 300.0


@dataclass
class Bench:
    """A settler with a clock and one spool that it is told about; `writer` and `inside` are the answers it gets."""

    settler: Settler
    now: float = 1000.0
    writer: Writer = Writer.CLOSED
    inside: Inside = Inside.SOUND

    def see(self, path: str = "a.wav", size: int = 100, mtime: float | None = None, inode: int = 1) -> None:
        wall_ns = int((WALL + self.now) * 1e9)
        mtime_ns = wall_ns if mtime is None else int((WALL + mtime) * 1e9)
        self.settler.seen(path, size, mtime_ns, inode, self.now, wall_ns)

    def answer(self) -> None:
        for path, seen in self.settler.still():
            self.settler.answer(path, seen, self.writer, self.inside, self.now)

    def take(self) -> list[str]:
        self.answer()
        return [taken.path for taken in self.settler.take(100)]

    def look(self, seconds: float, **what: float) -> list[str]:
        """Time passes, whatever is due is looked at, and what settled is taken."""
        self.now += seconds
        for path in self.settler.due(self.now):
            self.see(path, **what)  # type: ignore[arg-type]
        return self.take()


@pytest.fixture
def bench() -> Bench:
    made = Bench(Settler(SETTLE, QUIET))
    made.settler.scan_started()
    made.settler.scan_finished(made.now)
    return made


def test_a_fresh_file_is_growing_until_it_stood_still_for_settle_seconds(bench: Bench) -> None:
    bench.see(mtime=1000)
    bench.now += SETTLE - 0.1
    bench.see(mtime=1000)
    assert bench.settler.state("a.wav") is State.GROWING
    bench.now += 0.2
    bench.see(mtime=1000)
    assert bench.take() == ["a.wav"]


def test_a_question_that_nobody_answered_is_asked_again_at_the_next_sight(bench: Bench) -> None:
    bench.see(mtime=0)
    assert len(bench.settler.still()) == 1 and bench.settler.still() == []
    bench.see(mtime=0)
    bench.see(mtime=0)
    assert [path for path, _ in bench.settler.still()] == ["a.wav"]


def test_a_file_that_grows_starts_its_stillness_anew(bench: Bench) -> None:
    for step in range(5):
        bench.see(size=100 + step)
        bench.now += SETTLE - 0.1
    assert bench.take() == []
    bench.see(size=104, mtime=bench.now - SETTLE + 0.1)
    bench.now += SETTLE
    bench.see(size=104, mtime=bench.now - 2 * SETTLE + 0.1)
    assert bench.take() == ["a.wav"]


def test_the_same_size_with_another_modification_time_is_growth(bench: Bench) -> None:
    bench.see(mtime=1000)
    bench.now += SETTLE
    bench.see(mtime=1004)
    assert bench.settler.state("a.wav") is State.GROWING


def test_a_backlog_file_settles_at_first_sight(bench: Bench) -> None:
    bench.see(mtime=bench.now - SETTLE)
    assert bench.take() == ["a.wav"]


def test_a_modification_time_in_the_future_has_to_stand_still_by_our_clock(bench: Bench) -> None:
    bench.see(mtime=bench.now + 3600)
    assert bench.take() == []
    bench.now += SETTLE
    bench.see(mtime=1000 + 3600)
    assert bench.take() == ["a.wav"]


def test_age_at_first_sight_counts_towards_stillness(bench: Bench) -> None:
    bench.see(mtime=bench.now - 3)
    assert bench.settler.next_due() == pytest.approx(bench.now + 2)


def test_a_settled_file_is_handed_out_once(bench: Bench) -> None:
    bench.see(mtime=0)
    assert bench.take() == ["a.wav"]
    for _ in range(3):
        bench.now += 60
        bench.see(mtime=0)
        assert bench.take() == []


def test_a_settled_file_that_is_reopened_before_it_is_taken_settles_again(bench: Bench) -> None:
    bench.see(mtime=0)
    bench.see(size=200, mtime=bench.now)
    assert bench.take() == []
    assert bench.settler.count(State.SETTLED) == 0
    bench.now += SETTLE
    bench.see(size=200, mtime=bench.now - SETTLE)
    assert bench.take() == ["a.wav"]


def test_a_file_reopened_in_work_is_handed_out_again_after_release(bench: Bench) -> None:
    bench.see(mtime=0)
    bench.take()
    bench.see(size=200, mtime=bench.now)
    bench.settler.release("a.wav", bench.now, bench.now)
    assert bench.take() == []
    bench.now += SETTLE
    bench.see(size=200, mtime=bench.now - SETTLE)
    assert bench.take() == ["a.wav"]


def test_another_file_under_the_name_of_a_finished_one_settles_on_its_own(bench: Bench) -> None:
    bench.see(mtime=0, inode=1)
    bench.take()
    bench.settler.done("a.wav", bench.now)
    bench.see(mtime=bench.now, inode=2)
    assert bench.settler.state("a.wav") is State.GROWING
    bench.now += SETTLE
    bench.see(mtime=bench.now - SETTLE, inode=2)
    assert bench.take() == ["a.wav"]


def test_a_file_replaced_in_work_is_handed_out_after_done(bench: Bench) -> None:
    bench.see(mtime=0, inode=1)
    bench.take()
    bench.see(mtime=bench.now, inode=2)
    replaced = FileIdentity(100, int((WALL + bench.now) * 1e9), 2)
    bench.settler.done("a.wav", bench.now, replaced)
    bench.now += SETTLE
    bench.see(mtime=bench.now - SETTLE, inode=2)
    assert bench.take() == ["a.wav"]


def test_a_file_replaced_by_an_equally_large_one_is_not_the_inherited_one(bench: Bench) -> None:
    first = Bench(Settler(SETTLE, QUIET))
    first.settler.scan_started()
    first.see(mtime=first.now, inode=1)
    first.now += 1
    first.see(mtime=first.now, inode=2)
    first.now += SETTLE
    first.see(mtime=first.now - SETTLE, inode=2)
    first.answer()
    assert [taken.inherited for taken in first.settler.take(9)] == [False]


def test_a_vanished_file_is_forgotten(bench: Bench) -> None:
    bench.see(mtime=0)
    bench.settler.gone("a.wav")
    assert bench.take() == []
    assert bench.settler.state("a.wav") is None


def test_a_renamed_file_is_handed_out_under_its_new_name_alone(bench: Bench) -> None:
    bench.see("old.wav", mtime=bench.now)
    bench.settler.gone("old.wav")
    bench.see("new.wav", mtime=bench.now)
    bench.settler.hint_moved_in("new.wav", bench.now)
    bench.now += SETTLE
    bench.see("new.wav", mtime=bench.now - SETTLE)
    assert bench.take() == ["new.wav"]


def test_what_a_scan_did_not_see_is_gone(bench: Bench) -> None:
    bench.see("a.wav", mtime=bench.now)
    bench.see("b.wav", mtime=bench.now)
    bench.settler.scan_started()
    bench.see("b.wav", mtime=bench.now)
    assert bench.settler.scan_finished(bench.now) == ["a.wav"]


@pytest.mark.parametrize(("blind", "kept"), [(("x",), ["x/a.wav"]), (("",), ["x/a.wav", "xy/b.wav"]), (("x/y",), [])])
def test_what_lies_in_an_unreadable_folder_is_not_gone(bench: Bench, blind: tuple[str, ...], kept: list[str]) -> None:
    bench.see("x/a.wav")
    bench.see("xy/b.wav")
    bench.settler.scan_started()
    bench.settler.scan_finished(bench.now, blind)
    assert [path for path in ("x/a.wav", "xy/b.wav") if bench.settler.state(path)] == kept


def test_a_scan_that_saw_a_file_just_before_it_was_removed_does_not_bring_it_back(bench: Bench) -> None:
    bench.see(mtime=0)
    bench.settler.scan_started()
    bench.take()
    bench.settler.done("a.wav", bench.now)
    bench.see(mtime=0)  # this scan had read the folder before
    bench.settler.scan_finished(bench.now)
    assert bench.take() == []
    bench.settler.scan_started()
    bench.settler.scan_finished(bench.now)
    assert bench.settler.state("a.wav") is None


def test_a_restored_file_with_unchanged_times_is_handed_out_again(bench: Bench) -> None:
    bench.see(mtime=0)
    bench.take()
    bench.settler.done("a.wav", bench.now)
    bench.settler.scan_started()
    bench.see(mtime=0)
    bench.settler.scan_finished(bench.now)
    bench.now += SETTLE
    bench.see(mtime=0)
    assert bench.take() == ["a.wav"]


def test_a_finished_file_that_stays_is_not_handed_out_again_until_it_changes(bench: Bench) -> None:
    bench.see(mtime=0)
    bench.answer()
    [taken] = bench.settler.take(1)
    bench.settler.done("a.wav", bench.now, taken.print)
    for _ in range(3):
        bench.settler.scan_started()
        bench.see(mtime=0)
        bench.settler.scan_finished(bench.now)
    assert bench.take() == []
    bench.see(size=300, mtime=1)
    assert bench.take() == ["a.wav"]


def test_a_released_file_waits_for_its_time(bench: Bench) -> None:
    bench.see(mtime=0)
    bench.take()
    bench.settler.release("a.wav", bench.now + 30, bench.now)
    assert bench.settler.state("a.wav") is State.DEFERRED
    bench.now += 29
    bench.settler.due(bench.now)
    bench.see(mtime=0)
    assert bench.take() == []
    bench.now += 1
    bench.settler.due(bench.now)
    assert bench.take() == ["a.wav"]


def test_a_deferred_file_that_grows_has_to_settle(bench: Bench) -> None:
    bench.see(mtime=0)
    bench.take()
    bench.settler.release("a.wav", bench.now + 1, bench.now)
    written_at = bench.now
    bench.see(size=200, mtime=written_at)
    bench.now += 2
    bench.settler.due(bench.now)
    bench.see(size=200, mtime=written_at)
    assert bench.take() == []


def test_growing_files_are_due_when_they_may_have_settled(bench: Bench) -> None:
    bench.see(mtime=bench.now)
    assert bench.settler.due(bench.now + SETTLE - 0.01) == []
    assert bench.settler.due(bench.now + SETTLE) == ["a.wav"]


def test_a_layout_that_promises_whole_files_is_believed_at_once() -> None:
    bench = Bench(Settler(SETTLE, QUIET, moved_in_whole=True))
    bench.see(mtime=bench.now)
    assert bench.take() == ["a.wav"]


def test_a_broken_promise_means_standing_still_until_the_writer_closes_again() -> None:
    bench = Bench(Settler(SETTLE, QUIET, moved_in_whole=True))
    bench.see(mtime=bench.now)
    bench.see(size=200, mtime=bench.now)
    assert bench.take() == []
    bench.settler.hint_closed("a.wav", bench.now)
    assert bench.take() == ["a.wav"]


def test_closing_means_standing_still_from_then_on_without_that_promise(bench: Bench) -> None:
    bench.see(mtime=bench.now - SETTLE + 1)
    bench.settler.hint_closed("a.wav", bench.now)
    bench.settler.hint_moved_in("a.wav", bench.now)
    assert bench.look(SETTLE - 0.1, mtime=996.0) == []
    assert bench.look(0.1, mtime=996.0) == ["a.wav"]


def test_a_file_that_somebody_can_write_to_is_never_taken_however_long_it_stands_still(bench: Bench) -> None:
    bench.writer = Writer.OPEN
    bench.see(mtime=0)
    for _ in range(100):
        assert bench.look(3600.0, mtime=0) == []
    assert bench.settler.state("a.wav") is State.GROWING
    bench.writer = Writer.CLOSED
    assert bench.look(ASK_AGAIN_SECONDS, mtime=0) == ["a.wav"]


def test_a_promise_that_files_are_whole_does_not_count_while_somebody_writes() -> None:
    bench = Bench(Settler(SETTLE, QUIET, moved_in_whole=True), writer=Writer.OPEN)
    bench.see(mtime=bench.now)
    assert bench.take() == []


@pytest.mark.parametrize(
    ("writer", "inside", "seconds"),
    [
        (Writer.CLOSED, Inside.SOUND, SETTLE),
        (Writer.CLOSED, Inside.UNFINISHED, 6 * SETTLE),  # a crash, or a writer that will open it once more
        (Writer.CLOSED, Inside.EMPTY, QUIET),
        (Writer.READ, Inside.SOUND, QUIET),
        (Writer.UNKNOWN, Inside.SOUND, QUIET),
        (Writer.UNKNOWN, Inside.EMPTY, QUIET),
        (Writer.UNKNOWN, Inside.UNFINISHED, 6 * QUIET),
    ],
)
def test_how_long_a_file_must_stand_still(bench: Bench, writer: Writer, inside: Inside, seconds: float) -> None:
    bench.writer, bench.inside = writer, inside
    start = bench.now
    bench.see(mtime=start)
    while bench.now < start + seconds - 1.5:
        assert bench.look(1.0, mtime=start) == []
    assert bench.look(2.0, mtime=start) == ["a.wav"]


def test_a_file_that_nobody_can_say_anything_of_is_asked_about_twice_and_not_all_the_time(bench: Bench) -> None:
    bench.writer = Writer.UNKNOWN
    bench.see(mtime=bench.now)
    asked = 0
    for _ in range(int(QUIET) + 1):
        bench.now += 1.0
        for path in bench.settler.due(bench.now):
            bench.see(path, mtime=1000.0)
        asked += bool(still := bench.settler.still())
        for path, seen in still:
            bench.settler.answer(path, seen, bench.writer, bench.inside, bench.now)
    assert asked == 2


def test_an_answer_about_a_file_that_has_changed_since_says_nothing(bench: Bench) -> None:
    bench.see(mtime=0)
    ((path, seen),) = bench.settler.still()
    bench.see(size=200)
    bench.settler.answer(path, seen, Writer.CLOSED, Inside.SOUND, bench.now)
    assert bench.take() == []


@pytest.fixture
def formats() -> Bench:
    """A spool whose `.wav` is to be kept where both formats stay."""
    return Bench(Settler(SETTLE, QUIET, rank_of=lambda path: not path.endswith(".wav")))


def converting(bench: Bench, seconds: float) -> list[str]:
    """A converter reads the WAV and writes the MP3 all the time."""
    taken: list[str] = []
    for size in range(int(seconds)):
        bench.now += 1
        bench.see("call.mp3", size=size)
        for path in bench.settler.due(bench.now):
            if path == "call.wav":
                bench.see(path, mtime=0)
        taken += bench.take()
    return taken


def test_the_input_of_a_converter_is_not_taken_and_its_output_is_when_it_has_removed_the_input(formats: Bench) -> None:
    formats.see("call.mp3", size=0)
    formats.see("call.wav", mtime=0)
    assert converting(formats, 600) == []
    formats.settler.gone("call.wav")
    assert formats.look(SETTLE, size=599, mtime=1600) == ["call.mp3"]


@pytest.mark.parametrize(("kept", "other"), [("call.wav", "call.mp3"), ("call.mp3", "call.wav")])
def test_where_both_formats_stay_one_is_taken_and_the_other_when_that_is_done(kept: str, other: str) -> None:
    bench = Bench(Settler(SETTLE, QUIET, rank_of=lambda path: path != kept))
    bench.see("call.wav", mtime=1000)
    bench.see("call.mp3", mtime=1000)
    assert [taken for _ in range(100) for taken in bench.look(1.0, mtime=1000)] == [kept]
    bench.settler.done(kept, bench.now)
    assert [taken for _ in range(3) for taken in bench.look(SETTLE, mtime=1000)] == [other]


@pytest.mark.parametrize("output", ["call.mp3", "call.webm"])  # asked about before the WAV, and after it
def test_a_converter_has_a_moment_to_remove_its_input(formats: Bench, output: str) -> None:
    formats.see("call.wav", mtime=1000)
    formats.see(output, mtime=1000)
    while formats.now < 1000 + 6 * SETTLE - 1:
        assert formats.look(1.0, mtime=1000) == []
    formats.settler.gone("call.wav")
    assert formats.look(SETTLE, mtime=1000) == [output]


@pytest.mark.parametrize(("one", "other"), [("a/b", "a/c"), ("1790000000.5", "1790000000.6"), ("a.b/c", "a.b/d")])
def test_names_without_an_audio_ending_are_no_formats_of_each_other(formats: Bench, one: str, other: str) -> None:
    formats.see(one, size=0)
    formats.see(other, mtime=0)
    assert formats.take() == [other]


def test_files_of_other_names_and_a_spool_that_takes_all_formats_wait_for_nobody(formats: Bench) -> None:
    formats.see("other/call.mp3", size=0)
    formats.see("call.wav", mtime=0)
    assert formats.take() == ["call.wav"]
    every = Bench(Settler(SETTLE, QUIET))
    every.see("call.mp3", size=0)
    every.see("call.wav", mtime=0)
    assert every.take() == ["call.wav"]


def test_files_are_taken_in_turn_from_each_group() -> None:
    bench = Bench(Settler(SETTLE, QUIET, group_of=lambda path: path.partition("/")[0]))
    for number in range(50):
        bench.see(f"big/{number}.wav", mtime=0)
    bench.see("small/1.wav", mtime=0)
    bench.see("small/2.wav", mtime=0)
    bench.answer()
    taken = [one.path for one in bench.settler.take(4)]
    assert taken == ["big/0.wav", "small/1.wav", "big/1.wav", "small/2.wav"]


def test_only_files_of_the_first_scan_are_inherited() -> None:
    bench = Bench(Settler(SETTLE, QUIET))
    bench.settler.scan_started()
    bench.see("old.wav", mtime=0)
    bench.settler.scan_finished(bench.now)
    bench.see("new.wav", mtime=0)
    bench.answer()
    assert {taken.path: taken.inherited for taken in bench.settler.take(9)} == {"old.wav": True, "new.wav": False}


class Lives(RuleBasedStateMachine):
    """Any order of events: never handed out twice, never while it moves, never forgotten while it is there."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench(Settler(SETTLE, QUIET))
        self.size, self.mtime, self.changed_at = 100, 1000.0, 1000.0
        self.there, self.in_work, self.is_open = True, False, False

    @rule(seconds=strategies.floats(0, 20))
    def time_passes(self, seconds: float) -> None:
        self.bench.now += seconds

    @rule()
    def written(self) -> None:
        self.size, self.there = self.size + 1, True
        self.mtime = self.changed_at = self.bench.now

    @rule()
    def opened(self) -> None:
        if self.bench.settler.state("a.wav") is not State.SETTLED:  # the watcher asks again before it hands out
            self.is_open, self.bench.writer = True, Writer.OPEN

    @rule()
    def closed(self) -> None:
        self.is_open, self.bench.writer = False, Writer.CLOSED
        self.bench.settler.hint_closed("a.wav", self.bench.now)

    @rule()
    def deleted(self) -> None:
        self.there = False

    @rule()
    def scanned(self) -> None:
        self.bench.settler.scan_started()
        if self.there:
            self.bench.see(size=self.size, mtime=self.mtime)
        self.bench.settler.scan_finished(self.bench.now)

    @rule()
    def taken(self) -> None:
        self.bench.answer()
        for one in self.bench.settler.take(9):
            assert not self.in_work
            assert not self.is_open
            assert self.bench.now - (one.print.mtime_ns / 1e9 - WALL) >= SETTLE - 0.001
            self.in_work = True

    @rule(seconds=strategies.floats(0, 20))
    def released(self, seconds: float) -> None:
        self.bench.settler.release("a.wav", self.bench.now + seconds, self.bench.now)
        self.in_work = False

    @rule()
    def finished(self) -> None:
        if self.in_work:
            self.there = False
        self.bench.settler.done("a.wav", self.bench.now)
        self.in_work = False

    @invariant()
    def counts_agree(self) -> None:
        settler = self.bench.settler
        assert settler.count(*State) == (settler.state("a.wav") is not None)

    def teardown(self) -> None:
        """Left alone, whatever is there and not in work comes out in the end."""
        if not self.there or self.in_work:
            return
        self.bench.writer = Writer.CLOSED
        for _ in range(4):
            self.bench.now += 30
            self.bench.settler.due(self.bench.now)
            self.scanned()
        assert self.bench.take() == ["a.wav"]


TestLives = Lives.TestCase
TestLives.settings = settings(stateful_step_count=30)
