"""Searching, held against a filter in plain Python."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from recpipe.catalogue import Catalogue, phone, search
from recpipe.catalogue.anything import alternatives
from recpipe.catalogue.repository import read_cursor, write_cursor
from recpipe.errors import NotFound, QueryInvalid, TooManyMatches
from recpipe.model import Direction, NumberMatch, Recording, RecordingKind, RecordingQuery, Tenant
from recpipe.numbers import digits, e164
from tests.contracts.catalogue_samples import NOW, a_recording, keep, kept_tenant

NUMBERS = [
    "201",
    "2011",
    "030 901820",
    "+4930901820",
    "004930901820",
    "+442079460958",
    "sip:alice@pbx",
    "anonymous",
    "",
]

# One number of each region as PBXs write it, other numbers that look like it, and more ways to type it.
SPELLINGS = {
    "GB": ["+442079460958", "442079460958", "00442079460958", "02079460958", "020 7946 0958", "+44 (0)20 7946 0958",
           "sip:+442079460958@pbx.example;user=phone", "tel:+44-20-7946-0958", "%2B442079460958", "#31#02079460958"],
    "AU": ["+61255501234", "61255501234", "001161255501234", "0255501234", "(02) 5550 1234", "+61 (0)2 5550 1234"],
    "DE": ["+4930901820", "4930901820", "004930901820", "030901820", "030/90182-0", "+49 (30) 901820"],
    "US": ["+12125550123", "12125550123", "0012125550123", "2125550123", "(212) 555-0123", "1 212 555 0123"],
}  # fmt: skip
OTHERS = {
    "GB": ["+12079460958", "+442079460957", "0035312079460"],
    "AU": ["+61355501234", "0255501235", "+61255501"],
    "DE": ["+4989901820", "+3930901820"],
    "US": ["+12135550123", "2125550124", "+4412125550"],
}
TYPED = {
    "GB": [
        "0044 20 7946 0958", "+44 (0) 20 7946 0958", "(+44) 20-7946-0958", "020 7946 0958 ext 5", "02079460958x5",
        "+442079460958;ext=5", "sip:02079460958@pbx.example",
        "\uff10\uff12\uff10\uff17\uff19\uff14\uff16\uff10\uff19\uff15\uff18",
        "020\u00a07946\u00a00958", "\u202a+44 20 7946\u20110958\u202c", "*31#020 7946 0958",
        "Tel. 020 7946 0958 (office)",
        "+0044 20 7946 0958", "011 44 20 7946 0958", "tel:7946-0958;phone-context=+44-20",
    ],
    "AU": ["0011 61 2 5550 1234", "+61 2 5550 1234", "02 5550 1234", "02 5550 1234 x 77", "0061 2 5550 1234"],
    "DE": ["0049 30 901820", "+49 (0)30 901820", "030 901820", "030-901820", "\uff0b49 30 901820"],
    "US": ["011 1 212 555 0123", "+1 (212) 555-0123", "1-212-555-0123", "212.555.0123 ext. 9", "*67 212 555 0123"],
}  # fmt: skip


def matches(recording: Recording, query: RecordingQuery, tenant: Tenant) -> bool:
    """What `query` means, said once more in another way."""
    facts = recording.facts
    if query.noted:
        return False  # nothing was said of these calls
    if query.number:
        wanted = digits(query.number)
        berlin = {"4930901820", "004930901820", *(["030901820"] if tenant.region == "DE" else [])}
        alike = (
            berlin if wanted in {*berlin, "49030901820"} else {wanted, digits(e164(query.number, tenant.region))} - {""}
        )
        begins = "493" if wanted == "00493" and tenant.region else "-"
        forms = {
            digits(facts.caller),
            digits(facts.callee),
            digits(recording.caller_e164),
            digits(recording.callee_e164),
        }
        test: Callable[[str], bool] = {
            NumberMatch.EXACT: lambda form: form in alike,
            NumberMatch.ENDING: lambda form: form in alike or form.endswith(wanted),
            NumberMatch.CONTAINING: lambda form: form in alike or wanted in form,
        }[query.number_match]
        if query.number_match is NumberMatch.CONTAINING:
            internationals = (digits(recording.caller_e164), digits(recording.callee_e164))
            forms |= {wanted for form in internationals if form.startswith(begins)}
        if not any(test(form) for form in forms):
            return False
    texts = (recording.name, facts.caller_name, facts.callee_name)
    return (
        (query.started_from is None or recording.started_at >= query.started_from)
        and (query.started_before is None or recording.started_at < query.started_before)
        and (query.direction is None or facts.direction is query.direction)
        and (query.kind is None or facts.kind is query.kind)
        and (not query.extension or query.extension in (facts.extension, *facts.more_extensions))
        and (query.duration_min_ms is None or recording.duration_ms >= query.duration_min_ms)
        and (query.duration_max_ms is None or recording.duration_ms <= query.duration_max_ms)
        and (not query.call_id or facts.call_id == query.call_id)
        and (not query.route or facts.route == query.route)
        and (not query.week_hours or _hour_of_week(recording, query.timezone) in query.week_hours)
        and (query.sealed is None or recording.sealed is query.sealed)
        and (not query.text or any(query.text.lower() in text.lower() for text in texts))
    )


def _hour_of_week(recording: Recording, zone: str) -> int:
    at = recording.started_at.astimezone(ZoneInfo(zone))
    return int(at.strftime("%w")) * 24 - 24 + at.hour if at.strftime("%w") != "0" else 144 + at.hour


def some_recordings(random_: random.Random, tenant: Tenant, count: int) -> list[Recording]:
    made = []
    for _ in range(count):
        extension, *others = random_.choice([["201"], ["202"], ["202", "201"], ["203", "204", "201"], [""]])
        facts = {
            "extension": extension,
            "more_extensions": tuple(others),
            "caller_name": random_.choice(["Anna Meyer", "100% sure_", "", "O'Neill"]),
            "call_id": str(random_.randrange(20)),
            "kind": random_.choice(list(RecordingKind)),
            "route": random_.choice(["", "sales"]),
        }
        recording = a_recording(
            tenant,
            caller=random_.choice(NUMBERS),
            callee=random_.choice(NUMBERS),
            facts=facts,
            minutes=random_.randrange(20),  # several begin at the same time
            sealed=random_.random() < 0.5,
            duration_ms=random_.randrange(5) * 1000,
        )
        direction = random_.choice(list(Direction))
        made.append(replace(recording, facts=replace(recording.facts, direction=direction)))
    return made


# Criteria that `some_criteria` leaves out: what `some_query` adds by itself, and what has tests of its own.
WITH_TESTS_OF_THEIR_OWN = ("anything", "call", "starred", "reviewed", "tag", "noted")
ADDED = ("number", "number_match", "timezone", "oldest_first")


def some_criteria(random_: random.Random) -> dict[str, Any]:
    return {
        "started_from": NOW + timedelta(minutes=random_.randrange(10)),
        "started_before": NOW + timedelta(minutes=random_.randrange(10, 20)),
        "direction": random_.choice(list(Direction)),
        "kind": random_.choice(list(RecordingKind)),
        "extension": "201",
        "duration_min_ms": random_.randrange(3000),
        "duration_max_ms": random_.randrange(3000, 5000),
        "text": random_.choice(["anna", "MEY", "%", "_", "call-0", "'"]),
        "call_id": str(random_.randrange(20)),
        "sealed": random_.random() < 0.5,
        "route": "sales",
        "week_hours": random_.choice([(5 * 24 + 20,), (5 * 24 + 21, 3)]),  # a quarter past and to: see the zone
        "of_whole_calls": True,
    }


def some_query(random_: random.Random) -> RecordingQuery:
    parts = some_criteria(random_)
    chosen = {name: parts[name] for name in random_.sample(sorted(parts), random_.choice([0, 0, 1, 1, 2, 3]))}
    if "week_hours" in chosen:
        chosen["timezone"] = "Asia/Kathmandu"
    if random_.random() < 0.6:
        match = random_.choice(list(NumberMatch))
        typed = {
            NumberMatch.EXACT: ["201", "030901820", "+49 30 901820", "4930901820", "02079460958"],
            NumberMatch.ENDING: ["1820", "01", "4930901820", "030/901820", "958"],
            NumberMatch.CONTAINING: ["201", "3090", "00493", "794", "+49 (0)30 901820"],
        }[match]
        chosen |= {"number": random_.choice(typed), "number_match": match}
    return RecordingQuery(**chosen, oldest_first=random_.random() < 0.3)


def all_pages(search: Callable[..., Any], *given: Any, limit: int) -> list[Recording]:
    found: list[Recording] = []
    cursor: str | None = None
    while True:
        page = search(*given, cursor, limit)
        assert len(page.items) <= limit
        assert page.next_cursor is None or len(page.items) == limit or page.searched_to is not None
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            return found


class SearchContract:
    @pytest.mark.parametrize(
        ("seed", "queries"), [(0, 12), *(pytest.param(more, 30, marks=pytest.mark.long) for more in range(10))]
    )
    def test_a_search_finds_what_a_filter_in_python_finds_in_the_same_order(
        self, catalogue: Catalogue, seed: int, queries: int
    ) -> None:
        random_ = random.Random(seed)
        tenants = [kept_tenant(catalogue), kept_tenant(catalogue, region="GB"), kept_tenant(catalogue, region="")]
        kept = keep(catalogue, *(made for tenant in tenants for made in some_recordings(random_, tenant, 40)))
        by_id = {tenant.id: tenant for tenant in tenants}
        for _ in range(queries):
            query = some_query(random_)
            ids = {tenant.id for tenant in random_.sample(tenants, random_.choice([1, 2, 3]))}
            expected = sorted(
                (made for made in kept if made.tenant_id in ids and matches(made, query, by_id[made.tenant_id])),
                key=lambda made: (made.started_at, made.id),
                reverse=not query.oldest_first,
            )
            with catalogue.read() as work:
                limit = random_.choice([3, 7, 50])
                assert all_pages(work.search, ids, query, limit=limit) == expected, query
                count = work.count(ids, query, cap=10)
                assert (count.count, count.capped) == (min(10, len(expected)), len(expected) > 10), query
                total = work.total(ids, query, cap=500)
                assert (total.count, total.stored_bytes) == (len(expected), sum(one.stored_bytes for one in expected))

    @pytest.mark.parametrize("queries", [15, pytest.param(40, marks=pytest.mark.long)])
    def test_a_search_that_stops_early_says_where_and_its_cursor_finds_the_rest(
        self, catalogue: Catalogue, queries: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(search, "FIRST_STEP", 7)
        monkeypatch.setattr(search, "LOOK_SECONDS", -1)
        random_ = random.Random(3)
        tenants = [kept_tenant(catalogue), kept_tenant(catalogue, region="GB")]
        kept = keep(catalogue, *(made for tenant in tenants for made in some_recordings(random_, tenant, 40)))
        by_id = {tenant.id: tenant for tenant in tenants}
        stopped = 0
        for _ in range(queries):
            query = some_query(random_)
            ids = {tenant.id for tenant in random_.sample(tenants, random_.choice([1, 2]))}
            expected = sorted(
                (made for made in kept if made.tenant_id in ids and matches(made, query, by_id[made.tenant_id])),
                key=lambda made: (made.started_at, made.id),
                reverse=not query.oldest_first,
            )
            with catalogue.read() as work:
                assert all_pages(work.search, ids, query, limit=random_.choice([3, 50])) == expected, query
                first = work.search(ids, query, limit=50)
                count = work.count(ids, query)
            if first.searched_to is not None:
                stopped += 1
                looked_at = [
                    made
                    for made in expected
                    if (
                        made.started_at <= first.searched_to
                        if query.oldest_first
                        else made.started_at >= first.searched_to
                    )
                ]
                assert list(first.items) == looked_at and first.next_cursor
                assert count.capped and count.count <= len(expected)
            elif not count.capped:
                assert count.count == len(expected)
        assert stopped > 5

    @pytest.mark.parametrize("more", [12, pytest.param(60, marks=pytest.mark.long)])
    def test_one_box_finds_names_numbers_extensions_and_call_ids_as_a_filter_in_python_does(
        self, catalogue: Catalogue, more: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        random_ = random.Random(11)
        tenant = kept_tenant(catalogue, region="GB")
        erin = {"caller_name": "Erin Doyle", "extension": "203", "call_id": "1743067517.4711", "route": ""}
        kept = keep(
            catalogue,
            *some_recordings(random_, tenant, more),
            a_recording(tenant, caller="+442079460958", minutes=3, facts=erin),
            a_recording(tenant, caller="+442079464711", callee="203", minutes=2),
            a_recording(tenant, minutes=1, facts={"callee_name": "erin", "call_id": "ab4711@198.51.100.7"}),
        )
        typed = (
            "201",
            "erin",
            "Erin 0958",
            "0958 doyle",
            "+44 20 7946",
            "1743067517.4711",
            "ab4711@198.51.100.7",
            "203",
        )
        for step, seconds in ((5000, 1.0), (7, -1.0)):
            monkeypatch.setattr(search, "FIRST_STEP", step)
            monkeypatch.setattr(search, "LOOK_SECONDS", seconds)
            for words in typed:
                for oldest_first in (False, True):
                    query = RecordingQuery(
                        anything=words, number_match=NumberMatch.CONTAINING, oldest_first=oldest_first
                    )
                    expected = sorted(
                        (one for one in kept if any(matches(one, part, tenant) for part in alternatives(query))),
                        key=lambda one: (one.started_at, one.id),
                        reverse=not oldest_first,
                    )
                    with catalogue.read() as work:
                        assert expected, words
                        assert all_pages(work.search, {tenant.id}, query, limit=3) == expected, words
                        count, total = work.count({tenant.id}, query), work.total({tenant.id}, query, 500)
                    assert (total.count, total.capped) == (count.count, count.capped)
                    assert count.count == len(expected) or (count.capped and seconds < 0), words
        with catalogue.read() as work:
            found = {
                w: len(work.search({tenant.id}, RecordingQuery(anything=w)).items) for w in ("Erin 4711", "erin 77")
            }
        assert found == {"Erin 4711": 0, "erin 77": 0}, "of a name and a number both must hold"

    def test_of_one_digit_there_are_extensions_alone(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)
        [five] = keep(catalogue, a_recording(tenant, facts={"extension": "5"}))
        keep(catalogue, a_recording(tenant, caller="030901825"))
        query = RecordingQuery(anything="5", number_match=NumberMatch.ENDING)
        with catalogue.read() as work:
            assert work.search({tenant.id}, query).items == (five,)
            with pytest.raises(QueryInvalid, match="one box"):
                work.search({tenant.id}, replace(query, number="30"))

    def test_a_rare_text_is_found_however_far_back(self, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
        tenant = kept_tenant(catalogue)
        kept = keep(catalogue, *(a_recording(tenant, minutes=minute) for minute in range(30)))
        [rare] = keep(catalogue, a_recording(tenant, minutes=-10, facts={"callee_name": "Ærø Færge 50%"}))
        monkeypatch.setattr(search, "FIRST_STEP", 7)
        with catalogue.read() as work:
            recordings = work.of(tenant.id).recordings
            for typed in ("Færge", "ÆRØ", "50%", "ø f"):
                assert recordings.search(RecordingQuery(text=typed)).items == (rare,), typed
            assert recordings.search(RecordingQuery(text="e 50_")).items == ()
            assert recordings.search(RecordingQuery(text="call"), limit=40).items == (*kept[::-1], rare)

    @pytest.mark.parametrize("region", SPELLINGS)
    def test_a_number_is_found_however_it_was_written_and_is_typed_in_every_mode(
        self, catalogue: Catalogue, region: str
    ) -> None:
        tenant = kept_tenant(catalogue, region=region)
        written, others = SPELLINGS[region], OTHERS[region]
        kept = keep(catalogue, *(a_recording(tenant, caller=number) for number in written))
        keep(catalogue, *(a_recording(tenant, caller=number) for number in others))
        with catalogue.read() as work:
            for number in (*written, *TYPED[region]):
                for match in NumberMatch:
                    page = work.of(tenant.id).recordings.search(RecordingQuery(number=number, number_match=match))
                    assert {found.id for found in page.items} == {made.id for made in kept}, (number, match)

    @pytest.mark.parametrize(
        ("region", "stored", "typed"),
        [
            ("GB", "02079460958", "+44 20 7946 0958"),
            ("", "+442079460958", "0044 20 7946 0958"),
            ("DE", "030901820", "+49 30 901820"),
        ],
    )
    def test_a_number_is_found_that_was_stored_before_its_tenant_had_a_region(
        self, catalogue: Catalogue, region: str, stored: str, typed: str
    ) -> None:
        nowhere = kept_tenant(catalogue, region="")
        keep(catalogue, a_recording(nowhere, caller=stored))
        with catalogue.begin() as work:
            work.tenants.update(replace(nowhere, region=region))
        with catalogue.read() as work:
            for match in NumberMatch:
                query = RecordingQuery(number=typed, number_match=match)
                assert len(work.of(nowhere.id).recordings.search(query).items) == 1, match

    @pytest.mark.parametrize("typed", ["020 7946", "0044 (0)20 7946", "+44 (0)20 7946", "００44 20 7946"])
    def test_the_beginning_of_a_number_is_found_in_whichever_form_it_is_typed(
        self, catalogue: Catalogue, typed: str
    ) -> None:
        tenant = kept_tenant(catalogue, region="GB")
        kept = keep(catalogue, *(a_recording(tenant, caller=number) for number in SPELLINGS["GB"]))
        keep(catalogue, a_recording(tenant, caller="+33 4 42 07 94 60"))
        query = RecordingQuery(number=typed, number_match=NumberMatch.CONTAINING)
        with catalogue.read() as work:
            assert {found.id for found in work.of(tenant.id).recordings.search(query).items} == {m.id for m in kept}

    def test_a_national_number_is_read_in_the_region_of_each_tenant(self, catalogue: Catalogue) -> None:
        london, berlin = kept_tenant(catalogue, region="GB"), kept_tenant(catalogue, region="DE")
        [found, _] = keep(
            catalogue, a_recording(london, caller="+442079460958"), a_recording(berlin, caller="+442079460958")
        )
        with catalogue.read() as work:
            for match in NumberMatch:
                query = RecordingQuery(number="020 7946 0958", number_match=match)
                assert work.search({london.id, berlin.id}, query).items == (found,)

    def test_an_extension_is_not_taken_for_a_part_of_a_number(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)
        internal, _ = keep(catalogue, a_recording(tenant, callee="201"), a_recording(tenant, callee="030201201"))
        with catalogue.read() as work:
            assert work.of(tenant.id).recordings.search(RecordingQuery(number="201")).items == (internal,)

    def test_too_many_numbers_are_refused_rather_than_cut_off(
        self, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(phone, "MOST_NUMBERS", 20)
        tenant = kept_tenant(catalogue)
        keep(catalogue, *(a_recording(tenant, caller=f"777{number:06}") for number in range(20)))
        query = RecordingQuery(number="777", number_match=NumberMatch.CONTAINING)
        with catalogue.read() as work:
            assert work.count([tenant.id], query, cap=5000).count == 20
        keep(catalogue, a_recording(tenant, caller="777999999"))
        with catalogue.read() as work:
            for ask in (partial(work.search, [tenant.id]), partial(work.count, [tenant.id])):
                with pytest.raises(TooManyMatches):
                    ask(query)

    def test_other_tenants_numbers_do_not_count_towards_too_many(
        self, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(phone, "MOST_NUMBERS", 20)
        crowd, tenant = kept_tenant(catalogue), kept_tenant(catalogue)
        keep(catalogue, *(a_recording(crowd, caller=f"777{number:06}") for number in range(21)))
        [mine] = keep(catalogue, a_recording(tenant, caller="777000001"))
        for match in NumberMatch:
            typed = "777000001" if match is NumberMatch.EXACT else "777000001"[-6:]
            with catalogue.read() as work:
                page = work.of(tenant.id).recordings.search(RecordingQuery(number=typed, number_match=match))
            assert page.items == (mine,)

    @pytest.mark.parametrize(
        "query",
        [
            RecordingQuery(number="anna"),
            RecordingQuery(number="1", number_match=NumberMatch.ENDING),
            RecordingQuery(number="12", number_match=NumberMatch.CONTAINING),
            RecordingQuery(started_from=NOW, started_before=NOW),
            RecordingQuery(started_from=NOW.replace(tzinfo=None)),
            RecordingQuery(duration_min_ms=2, duration_max_ms=1),
            RecordingQuery(duration_min_ms=2**70),
            RecordingQuery(duration_max_ms=-1),
        ],
    )
    def test_a_search_without_sense_is_refused(self, catalogue: Catalogue, query: RecordingQuery) -> None:
        tenant = kept_tenant(catalogue)
        with catalogue.read() as work:
            for ask in (partial(work.search, [tenant.id]), partial(work.count, [tenant.id])):
                with pytest.raises(QueryInvalid):
                    ask(query)

    def test_a_search_needs_its_tenants(self, catalogue: Catalogue) -> None:
        with catalogue.read() as work:
            with pytest.raises(ValueError, match="tenants"):
                work.search(set(), RecordingQuery())
            with pytest.raises(ValueError, match="tenant"):
                work.of("")

    def test_a_search_of_every_tenant_goes_on_when_another_tenant_comes(self, catalogue: Catalogue) -> None:
        one, two = kept_tenant(catalogue), kept_tenant(catalogue)
        mine, theirs = keep(catalogue, *(a_recording(tenant, minutes=n) for n, tenant in enumerate((one, two))))
        with catalogue.read() as work:
            assert work.recording(None, mine.id) == work.recording([one.id], mine.id)
            with pytest.raises(NotFound):
                work.recording([one.id], theirs.id)
            with pytest.raises(NotFound):
                work.recording(None, "0" * 32)
            first = work.search(None, RecordingQuery(), limit=1)
            with pytest.raises(QueryInvalid):
                work.search([one.id, two.id], RecordingQuery(), first.next_cursor)
        kept_tenant(catalogue)
        with catalogue.read() as work:
            every, cursor = [one.id for one in first.items], first.next_cursor
            while cursor is not None:
                page = work.search(None, RecordingQuery(), cursor, limit=1)
                every, cursor = [*every, *(one.id for one in page.items)], page.next_cursor
            assert {mine.id, theirs.id} <= set(every) and len(every) == len(set(every))
            assert work.count(None, RecordingQuery()).count == len(every)

    def test_a_cursor_is_good_for_its_own_search_alone(self, catalogue: Catalogue) -> None:
        one, two = kept_tenant(catalogue), kept_tenant(catalogue)
        keep(catalogue, *(a_recording(tenant, minutes=minute) for tenant in (one, two) for minute in range(3)))
        with catalogue.read() as work:
            cursor = work.of(one.id).recordings.search(RecordingQuery(), limit=1).next_cursor
            assert cursor is not None
            with pytest.raises(QueryInvalid):
                work.of(two.id).recordings.search(RecordingQuery(), cursor)
            with pytest.raises(QueryInvalid):
                work.of(one.id).recordings.search(RecordingQuery(extension="201"), cursor)
            for forged in ("", "x", cursor[:-3], cursor + "A", "bnVsbA", "W10", "WzEsMiwzXQ", "é", "A" * 10_000):
                with pytest.raises(QueryInvalid):
                    work.of(one.id).recordings.search(RecordingQuery(), forged)
            for limit in (0, -1, 1001):
                with pytest.raises(QueryInvalid):
                    work.of(one.id).recordings.search(RecordingQuery(), limit=limit)

    def test_a_page_link_to_a_time_that_no_calendar_has_is_refused(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)
        keep(catalogue, *(a_recording(tenant, minutes=minute) for minute in range(2)))
        with catalogue.read() as work:
            mine = work.of(tenant.id)
            cursor = mine.recordings.search(RecordingQuery(), limit=1).next_cursor
            assert cursor is not None
            fingerprint, _, _ = read_cursor(cursor, str, int, str)
            for far in (2**61, -(2**61)):
                with pytest.raises(QueryInvalid):
                    mine.recordings.search(RecordingQuery(), write_cursor(fingerprint, far, "a"))
                with pytest.raises(QueryInvalid):
                    work.audit.list(cursor=write_cursor(far, 1))
                with pytest.raises(QueryInvalid):
                    work.quarantine.list(write_cursor(far, "a"))
                with pytest.raises(QueryInvalid):
                    mine.changes.history(write_cursor(far, "a"))

    def test_text_is_found_in_either_case_beyond_a_to_z(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)
        written = ("Müller Überland", "MÜLLER ÜBERLAND", "müller überland")
        kept = keep(catalogue, *(a_recording(tenant, facts={"caller_name": name}) for name in written))
        with catalogue.read() as work:
            for typed in written:
                found = work.of(tenant.id).recordings.search(RecordingQuery(text=typed)).items
                assert {one.id for one in found} == {one.id for one in kept}

    def test_pages_keep_their_place_while_calls_come_in(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)
        kept = keep(catalogue, *(a_recording(tenant, minutes=minute) for minute in range(6)))
        with catalogue.read() as work:
            first = work.of(tenant.id).recordings.search(RecordingQuery(), limit=3)
        keep(catalogue, a_recording(tenant, minutes=100))
        with catalogue.read() as work:
            second = work.of(tenant.id).recordings.search(RecordingQuery(), first.next_cursor, limit=3)
        assert [*first.items, *second.items] == kept[::-1]
