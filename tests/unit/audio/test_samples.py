"""The calls that the demo drops are what their provenance says."""

from __future__ import annotations

import hashlib
import re

from recpipe import samples
from recpipe.audio.probe import probe


def test_the_samples_are_small_and_cover_what_recorders_write() -> None:
    paths = samples.paths()
    assert sum(path.stat().st_size for path in paths.values()) < 700_000
    facts = {name: probe(path) for name, path in paths.items()}
    assert all(4000 < each.duration_ms < 13_000 for each in facts.values())
    assert {(each.codec, each.channels) for each in facts.values()} == {
        ("pcm_s16le", 1), ("pcm_s16le", 2), ("pcm_alaw", 1), ("gsm", 1), ("mp3", 1)
    }  # fmt: skip
    assert facts["crashed-recorder.wav"].flags == ("repaired-header",)


def test_provenance_names_every_sample_with_its_checksum() -> None:
    paths = samples.paths()
    text = next(iter(paths.values())).with_name("PROVENANCE.md").read_text()
    named = re.findall(r"^ +([0-9a-f]{64})  (\S+)$", text, re.MULTILINE)
    assert sorted(named) == sorted(
        (hashlib.sha256(path.read_bytes()).hexdigest(), name) for name, path in paths.items()
    )
