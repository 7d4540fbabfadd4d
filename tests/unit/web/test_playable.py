"""Recordings whose format no browser knows are played as PCM, and what is no recording is named to administrators."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import soundfile

from recpipe import samples, wiring
from recpipe.access.principal import operator
from recpipe.model import Node, RecordingQuery, Role, RunState
from recpipe.pipeline.ingest import Ingest
from recpipe.settings import Settings, Spool
from recpipe.web.deps import WebContext
from tests.integration.api import served
from tests.unit.audio.make import speech
from tests.unit.web.test_dashboard_safety import PASSWORD, client, sign_in

NAME = "out-03012340000-201-20260901-092500-1790000000.{}"


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, dict[str, str]]]:
    """A signed-in browser, and the ids of recordings by their ending."""
    root = tmp_path_factory.mktemp("playable")
    spool = root / "spool"
    spool.mkdir()
    shutil.copy(samples.paths()["callback-gsm.WAV"], spool / f"{NAME.format(1)}.wav49")
    shutil.copy(samples.paths()["order-inquiry.wav"], spool / f"{NAME.format(2)}.wav")
    soundfile.write(spool / f"{NAME.format(3)}.sln16", speech(160_000), 16_000, format="RAW", subtype="PCM_16")
    (spool / f"{NAME.format(4)}.g722").write_bytes(bytes(range(1, 201)) * 50)
    settings = Settings(
        data_dir=root / "data",
        spool=(Spool(path=spool, tenant="acme", layout="freepbx", settle_seconds=0),),
    )
    with wiring.open_parts(settings) as parts:
        acme = parts.tenants.create(operator("test"), "acme", title="Acme")
        assert Ingest(settings, parts.catalogue, parts.store, clock=parts.clock).drain(patience_seconds=10)
        parts.accounts.create(operator("test"), "bea@example.com", Role.CLIENT, password=PASSWORD, grants={acme.id: []})
        with parts.catalogue.read() as work:
            found = work.of(acme.id).recordings.search(RecordingQuery()).items
        parts.accounts.create(operator("test"), "root@example.com", Role.ADMINISTRATOR, password=PASSWORD)
        with parts.catalogue.begin() as work:
            listed = {"ignored": 2, "ignored_files": "README (not-a-recording)\n<b>.wav (symbolic-link)"}
            listed["sidecars_alone"] = "3 descriptions that were sent lie without a recording (3 of ftp:<pbx>)."
            listed["gone_untaken"] = 2
            run = work.job_runs.claim(
                "expired-logins", datetime.now(UTC), "here-1", datetime.now(UTC), timedelta(minutes=3)
            )
            assert run and work.job_runs.end(run, RunState.FAILED, {}, "The <b>mail</b> server said no.")
            run = work.job_runs.claim(
                "job-history", datetime.now(UTC), "here-1", datetime.now(UTC), timedelta(minutes=3)
            )
            assert run and work.job_runs.end(run, RunState.DONE, {"deleted": 1234})
            work.nodes.beat(Node("here:1", "ingest", "spool", datetime.now(UTC), datetime.now(UTC), detail=listed))
        with served(WebContext.of(parts)) as url, client(url) as browser:
            sign_in(browser, "bea@example.com")
            yield browser, {Path(one.source_name).suffix: one.id for one in found}


def test_the_player_is_led_to_what_it_can_play(portal: tuple[httpx.Client, dict[str, str]]) -> None:
    browser, ids = portal
    page = browser.get("/recordings").text
    for ending, what in ((".wav49", "playable"), (".wav", "media"), (".sln16", "playable"), (".g722", "media")):
        assert f'data-source="/recordings/{ids[ending]}/{what}"' in page, ending


@pytest.mark.parametrize("ending", [".wav49", ".sln16"])
def test_a_format_that_no_browser_knows_plays_as_pcm_whole_and_from_anywhere(
    portal: tuple[httpx.Client, dict[str, str]], ending: str
) -> None:
    browser, ids = portal
    path = f"/recordings/{ids[ending]}/playable"
    whole = browser.get(path)
    assert (whole.status_code, whole.headers["content-type"]) == (200, "audio/wav")
    assert len(whole.content) == int(whole.headers["content-length"])
    heard = soundfile.read(io.BytesIO(whole.content), dtype="int16", always_2d=True)[0]
    if ending == ".sln16":
        assert heard.tobytes() == speech(160_000).tobytes()
    else:
        gsm = soundfile.read(samples.paths()["callback-gsm.WAV"], dtype="int16", always_2d=True)[0]
        assert heard.tobytes() == gsm[: len(heard)].tobytes() and len(heard) > 0.9 * len(gsm)
    for asked, start, end in (("bytes=0-99", 0, 100), ("bytes=30-", 30, None), ("bytes=70001-80000", 70_001, 80_001)):
        part = browser.get(path, headers={"range": asked})
        assert part.status_code == 206 and part.content == whole.content[start:end]
    assert browser.head(path).headers["content-length"] == whole.headers["content-length"]
    assert browser.get(path, headers={"range": "bytes=99999999-"}).status_code == 416
    assert browser.get(path, headers={"if-none-match": whole.headers["etag"]}).status_code == 304
    stored = browser.get(f"/recordings/{ids[ending]}/media")
    assert stored.headers["etag"] != whole.headers["etag"] and stored.content != whole.content


@pytest.mark.parametrize("ending", [".wav", ".g722"])
def test_what_plays_as_it_is_or_cannot_be_decoded_is_not_converted(
    portal: tuple[httpx.Client, dict[str, str]], ending: str
) -> None:
    browser, ids = portal
    assert browser.get(f"/recordings/{ids[ending]}/playable").status_code == 422
    assert browser.get(f"/recordings/{'0' * 32}/playable").status_code == 404


def test_the_system_page_names_what_is_ignored_and_how_jobs_ended(portal: tuple[httpx.Client, dict[str, str]]) -> None:
    browser, _ = portal
    with client(str(browser.base_url)) as admin:
        sign_in(admin, "root@example.com")
        page = admin.get("/system")
    assert page.status_code == 200, page.text
    assert "The &lt;b&gt;mail&lt;/b&gt; server said no." in page.text and "1234 deleted" in page.text
    assert "README (not-a-recording)" in page.text and "&lt;b&gt;.wav (symbolic-link)" in page.text
    assert "spool: 2 files were" in page.text
    assert page.text.count("spool: 3 descriptions that were sent lie without a recording (3 of ftp:&lt;pbx&gt;)") == 1
