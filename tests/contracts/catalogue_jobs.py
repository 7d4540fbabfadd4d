"""Runs of background jobs: who may have one, and for how long."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

from sqlalchemy import text

from recpipe.catalogue import Catalogue
from recpipe.catalogue.job_runs import MOST_ATTEMPTS
from recpipe.model import JobRun, RunState
from tests.contracts.catalogue_samples import NOW

LEASE = timedelta(minutes=3)
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
EXPIRED = NOW + LEASE + SECOND


class JobRunContract:
    def test_a_run_is_had_by_whoever_claims_it_first(self, catalogue: Catalogue) -> None:
        with catalogue.begin() as work:
            run = work.job_runs.claim("tidy", NOW, "one", NOW, LEASE)
            assert run == JobRun("tidy", NOW, RunState.RUNNING, "one", 1, NOW, NOW + LEASE)
        with catalogue.begin() as work:
            assert work.job_runs.claim("tidy", NOW, "two", NOW + LEASE, LEASE) is None
            assert work.job_runs.claim("letters", NOW, "two", NOW, LEASE)
            assert [one.job for one in work.job_runs.latest()] == ["letters", "tidy"]
            assert run in work.job_runs.latest()

    def test_of_many_who_claim_at_the_same_moment_one_has_it(self, catalogue: Catalogue) -> None:
        at_once, others = threading.Barrier(4), Catalogue(catalogue._engine)  # a lock of its own, as another process

        def claim(number: int) -> list[bool]:
            got = []
            for tick in range(5):
                at_once.wait(30)
                with (catalogue if number % 2 else others).begin() as work:
                    now = NOW + tick * HOUR
                    got.append(work.job_runs.claim("tidy", now, f"node-{number}", now, LEASE) is not None)
            return got

        with ThreadPoolExecutor(4) as pool:
            assert [sum(tick) for tick in zip(*pool.map(claim, range(4)), strict=True)] == [1] * 5

    def test_while_it_runs_no_other_run_of_the_job_begins(self, catalogue: Catalogue) -> None:
        with catalogue.begin() as work:
            run = work.job_runs.claim("tidy", NOW, "one", NOW, LEASE)
            later = NOW + 2 * SECOND
            assert run and work.job_runs.claim("tidy", later, "two", later, LEASE) is None
            assert work.job_runs.end(run, RunState.DONE, {})
            assert work.job_runs.claim("tidy", later, "two", later, LEASE)

    def test_a_lease_that_is_renewed_is_kept_and_one_that_expires_is_lost(self, catalogue: Catalogue) -> None:
        with catalogue.begin() as work:
            for job in ("tidy", "letters", "old"):
                assert work.job_runs.claim(job, NOW, "one", NOW, LEASE)
            assert work.job_runs.renew("one", ["tidy", "letters"], NOW + 2 * SECOND, LEASE) == {"tidy", "letters"}
            assert work.job_runs.renew("one", [], NOW + HOUR, LEASE) == set()
            assert work.job_runs.claim("tidy", NOW, "two", EXPIRED, LEASE) is None
            taken = work.job_runs.claim("old", NOW, "two", EXPIRED, LEASE)
            assert taken == JobRun("old", NOW, RunState.RUNNING, "two", 2, EXPIRED, EXPIRED + LEASE)
            assert work.job_runs.renew("one", ["tidy", "old"], EXPIRED, LEASE) == {"tidy"}

    def test_who_lost_a_run_can_neither_end_it_nor_give_it_back(self, catalogue: Catalogue) -> None:
        with catalogue.begin() as work:
            lost = work.job_runs.claim("tidy", NOW, "one", NOW, LEASE)
            taken = work.job_runs.claim("tidy", NOW, "two", EXPIRED, LEASE)
            assert lost and taken and not work.job_runs.end(lost, RunState.FAILED, {}, "too late")
            work.job_runs.give_back(lost)
            assert work.job_runs.latest() == [taken]

    def test_a_run_that_ended_is_not_run_again_and_says_how_it_ended(self, catalogue: Catalogue) -> None:
        with catalogue.begin() as work:
            done = work.job_runs.claim("tidy", NOW, "one", NOW, LEASE)
            failed = work.job_runs.claim("letters", NOW, "one", NOW, LEASE)
            assert done and failed
            assert work.job_runs.end(done, RunState.DONE, {"sessions": 3})
            assert work.job_runs.end(failed, RunState.FAILED, {}, "No mail server.")
            assert not work.job_runs.end(done, RunState.FAILED, {})
            for job in ("tidy", "letters"):
                assert work.job_runs.claim(job, NOW, "two", NOW + HOUR, LEASE) is None
            letters, tidy = work.job_runs.latest()
        assert (tidy.state, tidy.summary, tidy.error) == (RunState.DONE, {"sessions": 3}, "")
        assert (letters.state, letters.summary, letters.error) == (RunState.FAILED, {}, "No mail server.")
        assert tidy.ended_at and tidy.took_ms == (tidy.ended_at - NOW) // timedelta(milliseconds=1)

    def test_what_is_given_back_is_due_again_at_once(self, catalogue: Catalogue) -> None:
        with catalogue.begin() as work:
            run = work.job_runs.claim("tidy", NOW, "one", NOW, LEASE)
            assert run
            work.job_runs.give_back(run)
            again = work.job_runs.claim("tidy", NOW, "two", NOW, LEASE)
            assert again and again.attempts == 1

    def test_a_job_that_kills_its_process_is_left_to_its_next_time(self, catalogue: Catalogue) -> None:
        with catalogue.begin() as work:
            for number in range(MOST_ATTEMPTS):
                assert work.job_runs.claim("tidy", NOW, f"node-{number}", NOW + number * HOUR, LEASE)
            assert work.job_runs.claim("tidy", NOW, "last", NOW + 9 * HOUR, LEASE) is None
            [lost] = work.job_runs.latest()
            assert (lost.state, lost.attempts, lost.took_ms) == (RunState.LOST, MOST_ATTEMPTS, None)
            assert work.job_runs.claim("tidy", NOW + 9 * HOUR, "last", NOW + 9 * HOUR, LEASE)

    def test_a_lost_run_makes_room_for_the_next_one(self, catalogue: Catalogue) -> None:
        with catalogue.begin() as work:
            work.job_runs.claim("tidy", NOW, "one", NOW, LEASE)
            assert work.job_runs.claim("tidy", NOW + HOUR, "two", NOW + HOUR, LEASE)
            assert work.job_runs.claim("tidy", NOW, "two", NOW + HOUR, LEASE) is None

    def test_a_clock_that_was_years_ahead_keeps_no_job_from_running(self, catalogue: Catalogue) -> None:
        ahead = NOW + timedelta(days=4000)
        with catalogue.begin() as work:
            assert work.job_runs.claim("tidy", ahead, "one", ahead, LEASE)
            assert work.job_runs.claim("tidy", NOW, "two", NOW, LEASE)
            assert work.job_runs.forget(NOW - HOUR, NOW) == 1
            assert [run.owner for run in work.job_runs.latest()] == ["two"]

    def test_old_runs_are_forgotten(self, catalogue: Catalogue) -> None:
        with catalogue.begin() as work:
            for days in (1, 29, 31, 32):
                at = NOW - timedelta(days=days)
                run = work.job_runs.claim("tidy", at, "one", at, LEASE)
                assert run and work.job_runs.end(run, RunState.DONE, {})
            assert work.job_runs.forget(NOW - timedelta(days=30), NOW) == 2
            assert work.job_runs.forget(NOW - timedelta(days=30), NOW) == 0
            [latest] = work.job_runs.latest()
            assert latest.due_at == NOW - timedelta(days=1)

    def test_hostile_text_of_an_error_is_kept(self, catalogue: Catalogue) -> None:
        with catalogue.begin() as work:
            run = work.job_runs.claim("tidy", NOW, "n" * 64, NOW, LEASE)
            assert run and work.job_runs.end(run, RunState.FAILED, {}, "a\0\ud800")
            [kept] = work.job_runs.latest()
        assert kept == replace(run, state=RunState.FAILED, ended_at=kept.ended_at, error="a\ufffd\ufffd")

    def test_the_time_is_the_databases(self, catalogue: Catalogue) -> None:
        server = "SELECT extract(epoch FROM clock_timestamp())"
        here = "SELECT (julianday('now') - 2440587.5) * 86400"
        with catalogue.read() as work:
            asked = text(server if work._connection.dialect.name == "postgresql" else here)
            before = float(work._connection.execute(asked).scalar_one())
            assert before - 0.01 <= work.job_runs.now().timestamp() < before + 60
