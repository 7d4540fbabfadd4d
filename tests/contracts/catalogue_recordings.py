"""Adding, naming, listing, amending and deleting recordings."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from recpipe.catalogue import Catalogue
from recpipe.catalogue import recordings as recordings_of_a_tenant
from recpipe.catalogue.repository import new_id
from recpipe.catalogue.tables import phone_number, recording
from recpipe.errors import Conflict, NotFound
from recpipe.model import CallFacts, Direction, NumberMatch, RecordingQuery, Tenant
from tests.contracts.catalogue_samples import DAY, NOW, a_recording, keep, kept_tenant

HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "'; DROP TABLE recording; --",
    "x" * 10_000,
    "\N{RIGHT-TO-LEFT OVERRIDE}gnp.exe",
    "%_\\",
    "\N{PILE OF POO}" * 3000,
]


def numbers(catalogue: Catalogue, tenant: Tenant) -> set[str]:
    with catalogue.read() as work:
        found = select(phone_number.c.digits).where(phone_number.c.tenant_id == tenant.id)
        return set(work._connection.execute(found).scalars())


class RecordingContract:
    def test_a_call_of_several_extensions_is_in_the_folders_of_each(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)
        facts = {"extension": "201", "more_extensions": ("202", "203")}
        [both, _] = keep(catalogue, a_recording(tenant, facts=facts), a_recording(tenant, facts={"extension": "204"}))
        with catalogue.read() as work:
            recordings = work.of(tenant.id).recordings
            for extension in ("201", "202", "203"):
                assert [entry.id for entry in recordings.in_day(both.day, extension=extension)] == [both.id]
            assert recordings.get(both.id) == both

    def test_late_facts_change_which_extensions_find_a_call(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)
        [one] = keep(catalogue, a_recording(tenant, facts={"extension": "201"}))
        with catalogue.begin() as work:
            work.of(tenant.id).recordings.set_facts(
                one.id, replace(one.facts, extension="202", more_extensions=("203",), started_at=NOW)
            )
        with catalogue.read() as work:
            search = work.of(tenant.id).recordings.search
            found = [len(search(RecordingQuery(extension=extension)).items) for extension in ("201", "202", "203")]
        assert found == [0, 1, 1]

    def test_the_same_bytes_under_another_name_are_flagged(self, catalogue: Catalogue) -> None:
        mine, other = kept_tenant(catalogue), kept_tenant(catalogue)
        digest = "ab" * 32
        made = [replace(a_recording(tenant), source_sha256=digest) for tenant in (mine, mine, other)]
        first, second = keep(catalogue, made[0])[0], keep(catalogue, made[1])[0]
        batch = keep(catalogue, made[2], replace(a_recording(other), source_sha256=digest))
        assert [one.flags for one in (first, second, *batch)] == [
            made[0].flags, (*made[1].flags, "same-bytes-as-another"), made[2].flags, ("same-bytes-as-another",),
        ]  # fmt: skip
        assert keep(catalogue, made[0])[0].flags == made[0].flags

    @pytest.mark.parametrize(
        ("column", "word"),
        [("direction", "sideways"), ("direction", ""), ("audio", {"container": "tape", "flags": []})],
    )
    def test_a_word_that_no_version_wrote_is_refused_when_it_is_read(
        self, catalogue: Catalogue, column: str, word: object
    ) -> None:
        tenant = kept_tenant(catalogue)
        [kept] = keep(catalogue, a_recording(tenant))
        with catalogue.begin() as work:
            work._connection.execute(update(recording).values({column: word}))
        with catalogue.read() as work, pytest.raises(ValueError, match="is not a valid"):
            work.of(tenant.id).recordings.from_name(kept.day, kept.name, 1)

    def test_a_recording_comes_back_as_it_was_kept(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)
        facts = {"caller_name": "Anna Ä", "extension": "201", "call_id": "1743042317.12206", "route": "q-1"}
        sealed = a_recording(
            tenant, caller="030 901820", callee="201", facts=facts, sealed=True, flags=("repaired-header",)
        )
        plain = a_recording(tenant, peaks=b"\0\1\xff" * 100, facts={"awaits_cdr": True})
        assert keep(catalogue, sealed, plain) == [sealed, plain]
        with catalogue.read() as work:
            recordings = work.of(tenant.id).recordings
            assert recordings.get(sealed.id) == sealed
            assert recordings.get(plain.id) == plain
            assert recordings.by_name(DAY, plain.name) == plain
            assert work.recording({tenant.id}, plain.id) == plain
            assert recordings.search(RecordingQuery(call_id="1743042317.12206")).items == (sealed,)

    @pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
    def test_hostile_text_is_kept_as_it_is_and_never_keeps_a_recording_out(
        self, catalogue: Catalogue, text: str
    ) -> None:
        tenant = kept_tenant(catalogue)
        facts = {"caller_name": text, "callee_name": text, "route": text, "linked_id": text, "tenant_hint": text}
        given = a_recording(tenant, caller=text, facts=facts, name=f"{text[:100]}.mp3", source_name=text)
        [kept] = keep(catalogue, given)
        with catalogue.read() as work:
            assert work.of(tenant.id).recordings.get(kept.id) == given
            assert [entry.name for entry in work.of(tenant.id).recordings.in_day(DAY)] == [given.name]

    @pytest.mark.parametrize("text", ["a\0b", "a\ud800b", "x" * 100_000])
    def test_text_that_no_database_can_keep_is_made_safe(self, catalogue: Catalogue, text: str) -> None:
        tenant = kept_tenant(catalogue)
        facts = {"caller_name": text, "extension": text, "call_id": text}
        [kept] = keep(catalogue, a_recording(tenant, caller=text, facts=facts, name=text[:5] + ".wav"))
        with catalogue.read() as work:
            read = work.of(tenant.id).recordings.get(kept.id)
            assert read.name == kept.name == text[:5].translate({0: 0xFFFD, 0xD800: 0xFFFD}) + ".wav"
            assert read.facts.caller_name == text.translate({0: 0xFFFD, 0xD800: 0xFFFD})
            assert work.of(tenant.id).recordings.search(RecordingQuery(extension=text)).items == (read,)

    @pytest.mark.parametrize("visitor", ["\0", "a\0b", "\ud800", "x" * 5000, "%", "'"])
    def test_an_id_or_name_from_a_visitor_may_be_anything(self, catalogue: Catalogue, visitor: str) -> None:
        tenant = kept_tenant(catalogue)
        with catalogue.read() as work:
            recordings = work.of(tenant.id).recordings
            for look in (recordings.get, lambda name: recordings.by_name(DAY, name), work.of(visitor).recordings.get):
                with pytest.raises(NotFound):
                    look(visitor)
            with pytest.raises(NotFound):
                recordings.by_name(visitor, "a")
            assert not recordings.exists(visitor)
            assert not list(recordings.in_day(visitor))
            assert not recordings.months(visitor)

    # --- idempotence --------------------------------------------------------------------------------------

    def test_adding_twice_changes_nothing_and_tells_what_was_there(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)
        given = a_recording(tenant)
        keep(catalogue, given)
        retried = replace(given, object_key="another/attempt", name="other.wav")
        fresh = a_recording(tenant)
        with catalogue.begin() as work:
            old, new = work.of(tenant.id).recordings.add_many([retried, fresh])
        assert (old.new, old.recording, old.object_key) == (False, given, given.object_key)
        assert (new.new, new.recording) == (True, fresh)
        with catalogue.read() as work:
            assert [one.recordings for one in work.of(tenant.id).recordings.totals(DAY, DAY)] == [2]

    def test_one_id_twice_in_a_batch_is_one_recording(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)
        given = a_recording(tenant)
        assert keep(catalogue, given, given) == [given, given]
        with catalogue.read() as work:
            assert [one.recordings for one in work.of(tenant.id).recordings.totals(DAY, DAY)] == [1]

    def test_a_batch_is_kept_whole_or_not_at_all(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)
        good, bad = a_recording(tenant), a_recording(tenant, name="n" * 2000)
        with pytest.raises(Conflict):
            keep(catalogue, good, bad)
        with catalogue.read() as work:
            assert not work.of(tenant.id).recordings.exists(good.id)

    def test_a_batch_of_several_tenants_answers_in_order(self, catalogue: Catalogue) -> None:
        one, two = kept_tenant(catalogue), kept_tenant(catalogue)
        batch = [a_recording(tenant) for tenant in (two, one, two, one)]
        assert keep(catalogue, *batch) == batch

    def test_a_recording_is_not_taken_by_another_tenants_scope(self, catalogue: Catalogue) -> None:
        one, two = kept_tenant(catalogue), kept_tenant(catalogue)
        with pytest.raises(ValueError, match="belongs to tenant"), catalogue.begin() as work:
            work.of(two.id).recordings.add_many([a_recording(one)])

    # --- names --------------------------------------------------------------------------------------------

    def test_a_taken_name_gets_a_number_before_its_extensions(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)
        names = ["in-1-2.1743042317.12206.mp3.enc"] * 3 + ["a.wav", "a.wav", "a", "a", "A.wav", ".enc", ".enc"]
        kept = keep(catalogue, *(a_recording(tenant, name=name) for name in names))
        assert [recording.name for recording in kept] == [
            "in-1-2.1743042317.12206.mp3.enc",
            "in-1-2.1743042317.12206~2.mp3.enc",
            "in-1-2.1743042317.12206~3.mp3.enc",
            "a.wav",
            "a~2.wav",
            "a",
            "a~2",
            "A.wav",
            ".enc",
            "~2.enc",
        ]

    def test_the_same_name_is_free_on_another_day_and_for_another_tenant(self, catalogue: Catalogue) -> None:
        one, two = kept_tenant(catalogue), kept_tenant(catalogue)
        same = [a_recording(one, name="a.wav"), a_recording(one, name="a.wav", day="2026-03-15")]
        kept = keep(catalogue, *same, a_recording(two, name="a.wav"))
        assert [recording.name for recording in kept] == ["a.wav"] * 3

    def test_the_name_of_the_checksum_file_is_never_given(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)
        kept = keep(catalogue, a_recording(tenant, name="SHA256SUMS"), a_recording(tenant, name="sha256sums"))
        assert [recording.name for recording in kept] == ["SHA256SUMS~2", "sha256sums~2"]

    def test_hundreds_of_one_name_all_find_their_own(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)
        for _ in range(3):
            keep(catalogue, *(a_recording(tenant, name="x.wav") for _ in range(100)))
        with catalogue.read() as work:
            names = {entry.name for entry in work.of(tenant.id).recordings.in_day(DAY)}
        assert names == {"x.wav"} | {f"x~{number}.wav" for number in range(2, 301)}

    def test_a_deleted_recordings_name_is_not_given_again(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)
        [first] = keep(catalogue, a_recording(tenant, name="a.wav"))
        with catalogue.begin() as work:
            work.of(tenant.id).recordings.delete(first.id, NOW, "anna")
        [second] = keep(catalogue, a_recording(tenant, name="a.wav"))
        assert second.name == "a~2.wav"

    def test_several_threads_add_the_same_names_and_numbers_without_loss(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)
        barrier = threading.Barrier(4)

        def add(worker: int) -> list[str]:
            barrier.wait()
            kept = []
            for number in range(10):
                batch = [a_recording(tenant, name="same.wav", caller=f"0309018{number}{n}") for n in range(4)]
                kept += [recording.name for recording in keep(catalogue, *batch)]
            return kept

        with ThreadPoolExecutor(4) as pool:
            names = [name for part in pool.map(add, range(4)) for name in part]
        assert len(set(names)) == len(names) == 160
        with catalogue.read() as work:
            recordings = work.of(tenant.id).recordings
            assert [one.recordings for one in recordings.totals(DAY, DAY)] == [160]
            assert work.count([tenant.id], RecordingQuery(number="030901800")).count == 4

    def test_threads_that_add_the_same_recording_agree_on_one(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)
        given = a_recording(tenant, caller="030901820")
        barrier = threading.Barrier(4)

        def add(worker: int) -> tuple[bool, str]:
            barrier.wait()
            with catalogue.begin() as work:
                [added] = work.add_recordings([replace(given, object_key=f"attempt-{worker}")])
            return added.new, added.object_key

        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(add, range(4)))
        assert sorted(new for new, _ in answers) == [False, False, False, True]
        assert len({key for _, key in answers}) == 1
        with catalogue.read() as work:
            assert [one.recordings for one in work.of(tenant.id).recordings.totals(DAY, DAY)] == [1]

    # --- folders ------------------------------------------------------------------------------------------

    def test_folders_show_what_there_is(self, catalogue: Catalogue) -> None:
        tenant, other = kept_tenant(catalogue), kept_tenant(catalogue)
        days = ["2025-12-31", "2026-03-01", "2026-03-14", "2026-04-01"]
        keep(catalogue, *(a_recording(tenant, day=day) for day in days), a_recording(other, day="2024-01-01"))
        with catalogue.read() as work:
            recordings = work.of(tenant.id).recordings
            assert recordings.years() == ["2025", "2026"]
            assert recordings.months("2026") == ["2026-03", "2026-04"]
            assert recordings.days("2026-03") == ["2026-03-01", "2026-03-14"]
            assert recordings.days() == days
            assert recordings.months("2024") == recordings.days("2026-05") == []
            assert [total.day for total in recordings.totals("2026-03-01", "2026-03-31")] == days[1:3]

    @pytest.mark.parametrize("page", [10, pytest.param(1000, marks=pytest.mark.long)])
    def test_a_folder_streams_in_name_order_and_goes_on_behind_a_name(
        self, catalogue: Catalogue, page: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(recordings_of_a_tenant, "_PAGE", page)
        tenant = kept_tenant(catalogue)
        names = [f"{number:05}.wav" for number in range(2 * page + 5)] + ["Z.wav", "a.wav", "ä.wav"]
        keep(catalogue, *(a_recording(tenant, name=name) for name in reversed(names)))
        with catalogue.read() as work:
            recordings = work.of(tenant.id).recordings
            assert [entry.name for entry in recordings.in_day(DAY)] == names
            assert [entry.name for entry in recordings.in_day(DAY, "00003.wav", 2)] == names[4:6]
            assert [entry.name for entry in recordings.in_day(DAY, limit=page + 1)] == names[: page + 1]
            assert list(recordings.in_day(DAY, limit=0)) == []

    def test_a_folder_can_be_narrowed_to_an_extension_and_a_direction(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)
        mine = a_recording(tenant, facts={"extension": "201"})
        keep(catalogue, mine, a_recording(tenant, facts={"extension": "2011"}))
        with catalogue.read() as work:
            recordings = work.of(tenant.id).recordings
            assert [entry.id for entry in recordings.in_day(DAY, extension="201")] == [mine.id]
            assert not list(recordings.in_day(DAY, extension="201", direction=Direction.OUTBOUND))

    # --- amending and deleting ----------------------------------------------------------------------------

    def test_late_facts_replace_the_old_and_are_found(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)
        given = a_recording(tenant, caller="", callee="201", facts={"awaits_cdr": True}, peaks=b"p")
        keep(catalogue, given)
        late = CallFacts(
            NOW - timedelta(hours=1), "Europe/London", 1, Direction.OUTBOUND, "030 901820", "+442079460958"
        )
        with catalogue.begin() as work:
            recordings = work.of(tenant.id).recordings
            assert [waiting.id for waiting in recordings.awaiting_cdr(given.spool)] == [given.id]
            assert not recordings.awaiting_cdr("another") and not recordings.awaiting_cdr(given.spool, given)
            after = recordings.set_facts(given.id, late)
            assert not recordings.awaiting_cdr(given.spool)
        assert after == replace(
            given,
            facts=late,
            started_at=NOW - timedelta(hours=1),
            timezone="Europe/London",
            caller_e164="+4930901820",
            callee_e164="+442079460958",
        )
        with catalogue.read() as work:
            recordings = work.of(tenant.id).recordings
            assert [found.id for found in recordings.search(RecordingQuery(number="+4930901820")).items] == [given.id]
            assert recordings.search(RecordingQuery(number="201")).items == ()
            assert [one.recordings for one in recordings.totals(DAY, DAY)] == [1]

    def test_a_number_goes_with_the_last_recording_that_has_it(self, catalogue: Catalogue) -> None:
        tenant, other = kept_tenant(catalogue), kept_tenant(catalogue)
        one, two, _ = keep(
            catalogue,
            a_recording(tenant, caller="030111111", callee="201"),
            a_recording(tenant, caller="030222222", callee="030111111"),
            a_recording(other, caller="030222222", callee="202"),
        )
        with catalogue.begin() as work:
            work.of(tenant.id).recordings.delete(one.id, NOW, "erin")
        assert numbers(catalogue, tenant) == {"030111111", "030222222"}
        with catalogue.begin() as work:
            work.of(tenant.id).recordings.set_facts(two.id, replace(two.facts, callee="204"))
        assert numbers(catalogue, tenant) == {"030222222", "204"}
        with catalogue.begin() as work:
            assert [left.id for left in work.of(tenant.id).recordings.delete_many([one.id, two.id], NOW, "erin")] == [
                two.id
            ]
        assert numbers(catalogue, tenant) == set()
        assert numbers(catalogue, other) == {"030222222", "202"}
        with catalogue.read() as work:
            ending = RecordingQuery(number="2222", number_match=NumberMatch.ENDING)
            inside = RecordingQuery(number="3022222", number_match=NumberMatch.CONTAINING)
            for query in (ending, inside):
                assert [len(work.search({one.id}, query).items) for one in (tenant, other)] == [0, 1]

    @pytest.mark.parametrize("deletes_first", [True, False])
    def test_a_number_that_comes_while_its_last_recording_goes_is_found(
        self, catalogue: Catalogue, deletes_first: bool
    ) -> None:
        tenant = kept_tenant(catalogue)
        [last] = keep(catalogue, a_recording(tenant, caller="030111111"))
        fresh = a_recording(tenant, caller="030111111")

        def delete() -> None:
            with catalogue.begin() as work:
                work.of(tenant.id).recordings.delete(last.id, NOW, "erin")

        def add() -> None:
            keep(catalogue, fresh)

        second = add if deletes_first else delete
        with ThreadPoolExecutor(1) as pool:
            with catalogue.begin() as work:
                if deletes_first:
                    work.of(tenant.id).recordings.delete(last.id, NOW, "erin")
                else:
                    work.add_recordings([fresh])
                waiting = pool.submit(second)
                time.sleep(0.1)  # it has come as far as it can
                assert not waiting.done()
            waiting.result()
        with catalogue.read() as work:
            assert work.of(tenant.id).recordings.search(RecordingQuery(number="030111111")).items == (fresh,)

    def test_a_deleted_recording_is_seen_nowhere_and_never_comes_back(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)
        given = a_recording(tenant, caller="030901820", facts={"call_id": "x", "awaits_cdr": True})
        keep(catalogue, given)
        other_id = kept_tenant(catalogue).id
        with catalogue.begin() as work:
            stone = work.of(tenant.id).recordings.delete(given.id, NOW, "anna", "asked for")
        assert (stone.object_key, stone.deleted_by, stone.reason) == (given.object_key, "anna", "asked for")
        with catalogue.begin() as work:
            recordings = work.of(tenant.id).recordings
            for look in (recordings.get, lambda id: work.recording({tenant.id}, id)):
                with pytest.raises(NotFound):
                    look(given.id)
            with pytest.raises(NotFound):
                recordings.delete(given.id, NOW, "anna")
            with pytest.raises(NotFound):
                recordings.by_name(DAY, given.name)
            assert not recordings.exists(given.id)
            for query in (RecordingQuery(), RecordingQuery(number="030901820"), RecordingQuery(call_id="x")):
                assert recordings.search(query).items == ()
                assert work.count([tenant.id], query).count == 0
            assert (
                recordings.years() == recordings.awaiting_cdr("pbx") == recordings.after() == recordings.totals() == []
            )
            assert recordings.tombstone(given.id) == stone
            for scope, asked in ((recordings, "0" * 32), (work.of(other_id).recordings, given.id)):
                with pytest.raises(NotFound):
                    scope.tombstone(asked)
            [again] = recordings.add_many([given])
            assert (again.new, again.deleted, again.object_key) == (False, True, "")
            assert not recordings.exists(given.id)

    def test_walks_and_retention_go_by_call_time(self, catalogue: Catalogue) -> None:
        tenant, other = kept_tenant(catalogue), kept_tenant(catalogue)
        kept = keep(catalogue, *(a_recording(tenant, minutes=minute) for minute in (3, 1, 2)), a_recording(other))
        in_order = [kept[1], kept[2], kept[0]]
        with catalogue.read() as work:
            recordings = work.of(tenant.id).recordings
            assert recordings.for_retention(NOW + timedelta(minutes=3)) == in_order[:2]
            assert recordings.after(limit=2) == in_order[:2]
            assert recordings.after(in_order[1]) == in_order[2:]

    def test_another_tenants_recording_is_as_good_as_missing(self, catalogue: Catalogue) -> None:
        one, two = kept_tenant(catalogue), kept_tenant(catalogue)
        [given] = keep(catalogue, a_recording(one))
        with catalogue.begin() as work:
            recordings = work.of(two.id).recordings
            answers = []
            for recording_id in (given.id, new_id()):
                with pytest.raises(NotFound) as missing:
                    recordings.get(recording_id)
                answers.append(str(missing.value).replace(recording_id, ""))
                for act in (
                    lambda id: recordings.delete(id, NOW, "x"),
                    lambda id: recordings.set_facts(id, CallFacts()),
                ):
                    with pytest.raises(NotFound):
                        act(recording_id)
            assert answers[0] == answers[1]
            assert work.of(one.id).recordings.exists(given.id)
