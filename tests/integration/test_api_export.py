"""Exports and archives, read by what people have: a CSV reader, unzip, sha256sum."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recpipe.csv_rows import cell
from recpipe.model import Direction
from tests.integration.api import World, world
from tests.services.need import tool


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("export")) as made:
        yield made


def test_a_csv_holds_the_whole_search_and_no_formula(there: World) -> None:
    made = there.add(
        "evil",
        there.acme,
        b"x" * 100,
        minutes=30,
        caller="+442079460958",
        caller_name='=HYPERLINK("http://evil.example","click")',
        callee_name="@SUM(1+1)",
        direction=Direction.OUTBOUND,
    )
    answer = there.client("client").get("/api/v1/recordings/export", params={"tenant": "acme"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="recordings.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))
    assert [row["name"] for row in rows] == ["evil.wav", 'ünï "quoted".wav', "two.wav.enc", "one.wav"]
    evil = rows[0]
    assert evil["id"] == made.id and evil["started_at"] == "2025-03-27T09:55:17Z"
    assert evil["caller"] == "'+442079460958"
    assert evil["caller_name"].startswith("'=HYPERLINK") and evil["callee_name"].startswith("'@")
    assert not any(value.startswith(("=", "+", "-", "@")) for row in rows for value in row.values())


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        *(
            (text, "'" + text)
            for text in ("=1", "+1", "-1", "@a", "  =1", "＝1", "＋1", "－1", "＠a", "−1", "﹦1", "⁼1")
        ),
        *(
            (f"{unseen}=1", f"'{unseen}=1")
            for unseen in "\u200b\ufeff\xa0\xad\u2060\u202e\u3000\x00\x1b\u3164\U000e0041"
        ),
        ("\t=1", "'\t'=1"),
        ("\r=1", "'\r'=1"),
        ("\n=1", "'\n'=1"),
        ("\ta", "'\ta"),
        ("Bob;=1+1;", "Bob;'=1+1;"),
        ("Bob; \u200b=1|@a\t-b", "Bob;' \u200b=1|'@a\t'-b"),
        ('a;"=1"', 'a;\'"=1"'),
        ("a\r\n=1\u2028+2", "a\r\n'=1\u2028'+2"),
        ("a；＝1", "a；'＝1"),
        ("+442079460958", "'+442079460958"),
    ],
)
def test_what_a_spreadsheet_would_calculate_gets_an_apostrophe(text: str, safe: str) -> None:
    assert cell(text) == safe


@given(st.text(alphabet="a';|,\t\r\n\v\u2028=+-@＝−\" \u200b\ufeff\xa0\xad", max_size=12))
def test_no_part_of_a_cell_begins_with_a_formula_wherever_a_spreadsheet_splits_it(text: str) -> None:
    safe = str(cell(text))
    for part in re.split("[;|\t\r\n\v\u2028]", safe):
        assert not part.strip('" \u200b\ufeff\xa0\xad').startswith(("=", "+", "-", "@", "＝", "−")), safe
    assert safe.replace("'", "") == text.replace("'", "")  # nothing else is changed


@pytest.mark.parametrize("digits", ["02079460958", "00442079460958", "442079460958", "0"])
def test_digits_that_a_spreadsheet_would_change_are_kept_as_text(digits: str) -> None:
    assert cell(digits) == (digits if digits == "0" else f"'{digits}")


@pytest.mark.parametrize(
    "value",
    [
        "",
        "a=b",
        "201",
        "79460958",
        "1743067517.4711",
        "Erin - Doyle",
        "a, -b",
        "x;y",
        "O'Neill",
        "2025-03-27T09:55:17Z",
        61.5,
        True,
    ],
)
def test_what_it_would_not_calculate_stays_as_it_is(value: object) -> None:
    assert cell(value) == value


def test_json_lines_are_the_recordings_of_the_search_one_a_line(there: World) -> None:
    answer = there.client("client").get(
        "/api/v1/recordings/export", params={"tenant": "acme", "format": "jsonl", "sealed": "true"}
    )
    lines = [json.loads(line) for line in answer.text.splitlines()]
    one = there.client("client").get(f"/api/v1/recordings/{there.recordings['two'].id}").json()
    assert lines == [one]


def test_an_export_walks_all_pages(tmp_path_factory: pytest.TempPathFactory) -> None:
    with world(tmp_path_factory.mktemp("pages")) as there:
        for number in range(30):
            there.add(f"n{number}", there.acme, b"x" * 50, minutes=100 + number)
        params: dict[str, str | int] = {"limit": 7, "tenant": "acme"}
        seen: list[str] = []
        while True:
            page = there.client("client").get("/api/v1/recordings", params=params).json()
            seen += [item["id"] for item in page["items"]]
            if page["next"] is None:
                break
            params["cursor"] = page["next"]
        answer = there.client("client").get("/api/v1/recordings/export", params={"format": "jsonl"})
        assert [json.loads(line)["id"] for line in answer.text.splitlines()] == seen
        assert len(set(seen)) == 33


def test_an_export_is_on_the_audit_log_of_each_tenant(there: World) -> None:
    there.client("client").get("/api/v1/recordings/export").raise_for_status()
    events = there.client().get("/api/v1/audit", params={"tenant": "acme", "action": "export"}).json()["items"]
    assert events and events[0]["outcome"] == "ok" and events[0]["actor"].startswith("client/rp_")


def test_unzip_and_sha256sum_accept_the_archive(there: World, tmp_path: Path) -> None:
    keys = ["one", "two", "three"]
    answer = there.client("client").post("/api/v1/recordings/zip", json={"ids": [there.recordings[k].id for k in keys]})
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/zip"
    file = tmp_path / "recordings.zip"
    file.write_bytes(answer.content)
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        archive.extractall(tmp_path)
        manifest = json.loads(archive.read("manifest.json"))["recordings"]
    assert names == [
        "2025/03/27/one.wav",
        "2025/03/27/two.wav.enc",
        '2025/03/27/ünï "quoted".wav',
        "manifest.json",
        "SHA256SUMS",
    ]
    assert [row["path"] for row in manifest] == names[:3] and all(row["problem"] is None for row in manifest)
    assert (tmp_path / names[1]).read_bytes() == there.bodies["two"]
    subprocess.run([tool("sha256sum"), "--strict", "-c", "SHA256SUMS"], cwd=tmp_path, check=True, capture_output=True)
    subprocess.run([tool("unzip"), "-tq", file], check=True, capture_output=True)


def test_an_archive_with_somebody_elses_recording_is_not_made(there: World) -> None:
    ids = [there.recordings["one"].id, there.recordings["foreign"].id]
    answer = there.client("client").post("/api/v1/recordings/zip", json={"ids": ids})
    assert answer.status_code == 404 and answer.json()["detail"] == "There is no such recording."


def test_an_archive_names_what_is_missing_or_damaged_and_has_the_rest(tmp_path_factory: pytest.TempPathFactory) -> None:
    with world(tmp_path_factory.mktemp("damage")) as there:
        there.parts.store.delete(there.recordings["one"].object_key)
        [damaged] = [
            path
            for path in (there.parts.settings.data_dir / "objects").rglob("*")
            if path.is_file() and path.read_bytes() == there.bodies["two"]
        ]
        damaged.write_bytes(b"!" + there.bodies["two"][1:])
        ids = [there.recordings[key].id for key in ("one", "two", "three")]
        answer = there.client("client").post("/api/v1/recordings/zip", json={"ids": ids})
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            problems = [row["problem"] for row in json.loads(archive.read("manifest.json"))["recordings"]]
            assert archive.read('2025/03/27/ünï "quoted".wav') == there.bodies["three"]
        assert problems == ["missing", "damaged", None]
