"""Other people's programs read what we tag, and hear the same samples."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from recpipe import samples
from recpipe.audio.probe import probe
from recpipe.audio.tags import Tags, plan
from tests.services import need
from tests.unit.audio.make import FACTS, write_out

TAGS = Tags.from_call(FACTS, "Northwind Bicycles", "0123456789abcdef0123456789abcdef")
FINISHED = [name for name in samples.paths() if name != "crashed-recorder.wav"]


def tagged(name: str, folder: Path) -> tuple[Path, Path]:
    path = folder / name
    path.write_bytes(samples.paths()[name].read_bytes())
    return path, write_out(plan(path, probe(path), TAGS), folder / f"tagged-{name}")


def run(*command: str | Path) -> bytes:
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    return done.stdout


@pytest.mark.parametrize("name", FINISHED)
def test_sox_hears_the_same_samples_before_and_after_tagging(tmp_path: Path, name: str) -> None:
    sox = need.tool("sox")
    before, after = (run(sox, path, "-t", "s16", "-") for path in tagged(name, tmp_path))
    assert len(before) > 30_000
    assert before == after


def test_sox_hears_all_that_a_crashed_recorder_wrote(tmp_path: Path) -> None:
    sox = need.tool("sox")
    source, copy = tagged("crashed-recorder.wav", tmp_path)
    assert run(sox, copy, "-t", "s16", "-") == source.read_bytes()[44:]


def test_soxi_shows_the_tags_of_an_mp3(tmp_path: Path) -> None:
    shown = run(need.tool("soxi"), "-a", tagged("invoice-request.mp3", tmp_path)[1]).decode()
    assert "Title=Jürgen Groß (+49301234567) to 201" in shown
    assert "Album=Northwind Bicycles" in shown


@pytest.mark.parametrize("name", samples.paths())
def test_ffprobe_reads_tags_and_length(tmp_path: Path, name: str) -> None:
    ffprobe = shutil.which("ffprobe")
    if ffprobe is None:
        pytest.skip("ffmpeg is not installed; sox and mutagen judge alone")
    source, copy = tagged(name, tmp_path)
    shown = json.loads(run(ffprobe, "-v", "error", "-of", "json", "-show_format", copy))["format"]
    tags = {key.lower(): value for key, value in shown["tags"].items()}
    assert tags["title"] == TAGS.title
    assert abs(float(shown["duration"]) * 1000 - probe(source).duration_ms) < 200
