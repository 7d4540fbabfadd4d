"""GSM 06.10 as the page decodes it, run by Node and judged by libsndfile, sample by sample."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import numpy as np
import soundfile

from recpipe import samples
from tests.services import need
from tests.services.javascript import copy_scripts

DRIVER = """
import { readFileSync, writeFileSync } from "node:fs";
const [, module, ...sounds] = process.argv;
const { playableOf } = await import(module);
for (const sound of sounds) {
  const made = await playableOf(new Blob([readFileSync(sound)]));
  writeFileSync(`${sound}.out`, Buffer.from(await made.arrayBuffer()));
}
"""


def in_the_page(folder: Path, *sounds: bytes) -> list[bytes]:
    copy_scripts(folder)
    paths = [folder / f"{n}.sound" for n in range(len(sounds))]
    for path, sound in zip(paths, sounds, strict=True):
        path.write_bytes(sound)
    command = (need.tool("node"), "--input-type=module", "-e", DRIVER, folder / "gsm.js", *paths)
    subprocess.run(list(map(str, command)), check=True, capture_output=True, timeout=60)
    return [path.with_name(f"{path.name}.out").read_bytes() for path in paths]


def encoded(sound: np.ndarray) -> bytes:
    body = io.BytesIO()
    soundfile.write(body, sound, 8000, format="WAV", subtype="GSM610")
    return body.getvalue()


def noise() -> np.ndarray:
    """What reaches every corner: silence, full scale, noise and a falling tone."""
    random = np.random.default_rng(4)
    tone = np.sin(np.arange(8000) ** 1.3 / 40) * np.linspace(1, 0, 8000)
    square = np.where(np.arange(4000) // 11 % 2, 1.0, -1.0)
    return np.concatenate([np.zeros(2000), square, random.uniform(-1, 1, 8000), tone]).astype("float32")


def test_every_sample_is_what_libsndfile_makes_of_it(tmp_path: Path) -> None:
    sounds = [samples.paths()["callback-gsm.WAV"].read_bytes(), encoded(noise())]
    for sound, made in zip(sounds, in_the_page(tmp_path, *sounds), strict=True):
        expected, rate = soundfile.read(io.BytesIO(sound), dtype="int16")
        decoded, decoded_rate = soundfile.read(io.BytesIO(made), dtype="int16")
        assert decoded_rate == rate and np.array_equal(decoded, expected[: len(decoded)])
        assert 0 <= len(expected) - len(decoded) <= 320, "libsndfile makes up a block that is cut off"


def test_what_is_no_gsm_stays_as_it_is(tmp_path: Path) -> None:
    others = [b"", b"RIFF", b"ID3" + bytes(100), b"RIFF" + bytes(4) + b"WAVEfmt " + b"\xff" * 60]
    others.append(samples.paths()["order-inquiry.wav"].read_bytes())
    assert in_the_page(tmp_path, *others) == others
