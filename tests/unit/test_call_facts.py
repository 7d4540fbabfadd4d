"""A call fact is one line of `CallFacts`: its names outside follow from that, and published ones stay."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest
from fastapi.routing import APIRoute

from recpipe.audio.tags import Tags
from recpipe.catalogue.rows import values_of_facts
from recpipe.catalogue.tables import recording
from recpipe.errors import Unfit
from recpipe.model import TEXT_FACTS, CallFacts, RecordingKind
from recpipe.spool import rtpengine_meta, sidecar
from recpipe.spool.generic_names import GROUPS
from recpipe.times import utc_now
from recpipe.web.api import uploads
from recpipe.web.export import COLUMNS
from recpipe.web.schemas import RecordingResponse

ROOT = Path(__file__).parents[2]
FACTS = CallFacts(**{name: f"the {name}" for name in TEXT_FACTS})  # type: ignore[arg-type]


def test_the_columns_of_the_csv_stay_where_they_are() -> None:
    assert COLUMNS == (
        "id", "tenant", "name", "started_at", "timezone", "duration_seconds", "direction", "caller", "callee",
        "caller_e164", "callee_e164", "caller_name", "callee_name", "extension", "route", "call_id", "linked_id",
        "sealed", "size_bytes", "sha256", "content_size_bytes", "content_sha256", "call", "started_local", "kind",
        "pages", "mailbox", "conference", "station_id", "starred", "reviewed_at", "reviewed_by", "tags", "note",
        "started_by", "masked",
    ), "programs read the CSV by place: a new column stands at the end, here as well"  # fmt: skip
    assert set(TEXT_FACTS) - set(COLUMNS) == {"channels"}


def test_each_text_is_a_tag_of_its_name_and_the_older_ones_keep_their_order() -> None:
    names = list(Tags.from_call(FACTS, "Acme", "5" * 32).facts)
    assert names[:10] == [
        *("call_id", "linked_id", "direction", "caller", "caller_name", "callee", "callee_name", "extension", "route"),
        "channels",
    ]
    assert set(names) == {*TEXT_FACTS, "direction", "kind", "timezone"} - {"started_by"}  # which may be told later


def test_the_tags_of_a_call_are_those_of_before_and_other_kinds_say_what_they_are() -> None:
    call = Tags.from_call(CallFacts(caller="1", callee="2"), "Acme", "5" * 32)
    message = Tags.from_call(CallFacts(caller="1", callee="2", kind=RecordingKind.VOICEMAIL), "Acme", "5" * 32)
    assert "recpipe:kind" not in call.id3_frames().user and call.comment == "recorded call, 1 to 2"
    assert message.id3_frames().user["recpipe:kind"] == "voicemail"
    assert message.comment == "recorded voicemail, 1 to 2"


def test_each_text_is_a_column_and_a_field_of_the_answer() -> None:
    assert {*TEXT_FACTS} <= values_of_facts(FACTS).keys() <= {column.name for column in recording.columns}
    lacking = {*TEXT_FACTS} - RecordingResponse.model_fields.keys()
    assert not lacking, f"RecordingResponse (web/schemas/recordings.py) lacks {lacking}"


def test_each_text_can_be_stated_by_pattern_sidecar_and_metadata() -> None:
    given = {name: f"the {name}" for name in TEXT_FACTS}
    assert {*TEXT_FACTS} <= GROUPS
    assert sidecar.facts_from_json(given, "UTC") == FACTS
    assert sidecar.facts_from_json(json.loads(sidecar.write(given, "UTC")), "UTC") == FACTS
    said = rtpengine_meta.facts_of("|".join(f"{name}:{text}" for name, text in given.items()), "UTC", utc_now())
    assert all(getattr(said, name) == given[name] for name in TEXT_FACTS if name != "call_id")


@pytest.mark.parametrize("kind", RecordingKind)
def test_a_sidecar_can_say_of_what_kind_a_recording_is(kind: RecordingKind) -> None:
    assert sidecar.facts_from_json({"kind": kind.upper()}, "UTC").kind is kind
    assert sidecar.facts_from_json(json.loads(sidecar.write({"kind": kind}, "UTC")), "UTC").kind is kind


def test_a_kind_that_there_is_not_is_refused() -> None:
    with pytest.raises(Unfit, match="kind must be one of call, voicemail, conference, fax") as refused:
        sidecar.facts_from_json({"kind": "telex"}, "UTC")
    assert refused.value.reason == "sidecar-invalid"


# Where the names stand that may be given: each list ends with an empty line.
LISTS = [
    ("docs/operators.md", "| group | what it holds |"),
    ("docs/operators.md", "A JSON sidecar may lie beside any recording"),
    ("docs/api.md", "Facts: `started_at`"),
]


@pytest.mark.parametrize(("document", "begins"), LISTS)
def test_the_documents_name_each_text_in_each_list_of_facts(document: str, begins: str) -> None:
    listed = (ROOT / document).read_text().partition(begins)[2].partition("\n\n")[0]
    lacking = [name for name in TEXT_FACTS if f"`{name}`" not in listed]
    assert not lacking, f"{document} lacks {lacking} in what begins with {begins!r}"


@pytest.mark.parametrize("operation", ["put_upload", "post_upload"])
def test_an_upload_says_which_texts_it_takes(operation: str) -> None:
    [route] = [one for one in uploads.router.routes if getattr(one, "operation_id", "") == operation]
    assert isinstance(route, APIRoute)
    assert [name for name in TEXT_FACTS if f" {name}," not in route.description] == []


def test_every_other_fact_is_one_that_is_no_plain_text() -> None:
    assert {field.name for field in fields(CallFacts)} - {*TEXT_FACTS} == {
        "started_at", "timezone", "duration_ms", "direction", "more_extensions", "tenant_hint", "start_is_local",
        "awaits_cdr", "kind", "masked",
    }  # fmt: skip
