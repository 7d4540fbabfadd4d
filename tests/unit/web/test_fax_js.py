"""Faxes as the page decodes them, run by Node and judged by libtiff, dot by dot."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.services import faxes, need
from tests.services.javascript import copy_scripts

DRIVER = """
import { readFileSync, writeFileSync } from "node:fs";
const [, module, ...faxes] = process.argv;
const { FaxUnreadable, pagesOf } = await import(module);
const answers = faxes.map((fax) => {
  try {
    return pagesOf(new Uint8Array(readFileSync(fax))).map(({ width, height, ratio, paint }, n) => {
      const dots = new Uint8Array(width * height);
      const whole = paint((line, from, to) => dots.fill(1, line * width + from, line * width + to));
      writeFileSync(`${fax}.${n}`, dots);
      return { width, height, ratio, whole };
    });
  } catch (error) {
    if (!(error instanceof FaxUnreadable)) throw error;
    return error.message;
  }
});
console.log(JSON.stringify(answers));
"""
EVERY_RUN = 2700  # dots: runs beyond the longest code


def in_the_page(folder: Path, *paths: Path) -> list[list[dict[str, float]] | str]:
    copy_scripts(folder)
    command = (need.tool("node"), "--input-type=module", "-e", DRIVER, folder / "fax.js", *paths)
    done = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True, timeout=60)
    answers: list[list[dict[str, float]] | str] = json.loads(done.stdout)
    return answers


def drawn(path: Path, number: int, width: int, height: int) -> np.ndarray:
    return np.frombuffer(Path(f"{path}.{number}").read_bytes(), np.uint8).reshape(height, width).astype(bool)


def hard_page() -> Image.Image:
    """What reaches every code: runs of both colours, edges that move by every step, and noise."""
    noise = random.Random(4)
    lines = []
    for run in (*range(70), *range(127, EVERY_RUN, 64), *range(128, EVERY_RUN, 64)):
        line = np.zeros(EVERY_RUN, bool)
        line[run : run + noise.randrange(1, EVERY_RUN)] = True
        lines += [line, ~line]
    edge = 100
    for _ in range(100):
        edge = min(2500, max(0, edge + noise.randrange(-5, 6)))
        line = np.zeros(EVERY_RUN, bool)
        line[edge : edge + 40], line[2600:] = True, noise.random() < 0.5
        lines.append(line)
    lines += [np.array([noise.random() < 0.3 for _ in range(EVERY_RUN)]) for _ in range(20)]
    return Image.fromarray(~np.array(lines))


WAYS = [
    ("g4", ()), ("g3:1d", ()), ("g3:2d", ()), ("g3:2d:fill", ()), ("g3:1d:fill", ()), ("g4", ("-B",)), ("g4", ("-L",)),
    ("g4", ("-f", "lsb2msb")), ("g3:2d", ("-f", "lsb2msb")), ("g4", ("-r", "100000")), ("g3:1d", ("-r", "7")),
]  # fmt: skip


def test_every_dot_is_what_libtiff_makes_of_it(tmp_path: Path) -> None:
    source = tmp_path / "source.tif"
    hard_page().save(source, "TIFF", dpi=(204, 98))
    paths = [tmp_path / f"{n}.tif" for n in range(len(WAYS))]
    for path, (codec, options) in zip(paths, WAYS, strict=True):
        faxes.run(need.tool("tiffcp"), "-c", codec, *options, source, path)
    for compression, name in (("tiff_ccitt", "runs"), ("group3", "group3"), ("group4", "group4")):
        paths.append(tmp_path / f"{name}.tif")
        hard_page().save(paths[-1], "TIFF", compression=compression, dpi=(204, 98))
    paths += [faxes.from_a_modem(tmp_path / "modem.tif"), faxes.tiff(tmp_path / "inverted.tif", 3, paper=0)]
    for path, found in zip(paths, in_the_page(tmp_path, *paths), strict=True):
        assert isinstance(found, list), f"{path.name}: {found}"
        with Image.open(path) as judge:
            assert len(found) == getattr(judge, "n_frames", 1)
            for number, said in enumerate(found):
                judge.seek(number)
                width, height = judge.size
                assert (said["width"], said["height"], said["whole"]) == (width, height, True), path.name
                assert np.array_equal(drawn(path, number, width, height), ~np.array(judge.convert("1"))), path.name
                if path.name != "modem.tif":
                    assert said["ratio"] == pytest.approx(204 / 98, rel=0.02)


def test_a_pdf_of_a_fax_is_drawn_as_the_tiff_it_was_made_of(tmp_path: Path) -> None:
    pages = 3
    source, made = faxes.tiff(tmp_path / "a.tif", pages), faxes.pdf(tmp_path / "a.pdf", pages)
    inverted = faxes.tiff(tmp_path / "b.tif", pages, paper=0)
    of_inverted = tmp_path / "b.pdf"
    faxes.run(need.tool("tiff2pdf"), "-o", of_inverted, inverted)
    first, second = in_the_page(tmp_path, made, of_inverted)
    for path, found, judge_path in ((made, first, source), (of_inverted, second, inverted)):
        assert isinstance(found, list) and len(found) == pages, found
        with Image.open(judge_path) as judge:
            for number in range(pages):
                judge.seek(number)
                expected = ~np.array(judge.convert("1"))
                assert np.array_equal(drawn(path, number, *judge.size), expected), f"{path.name} {number}"
        assert found[0]["ratio"] == pytest.approx(204 / 98, rel=0.03)


def test_what_is_no_such_fax_is_said_and_damage_harms_nobody(tmp_path: Path) -> None:
    whole = faxes.tiff(tmp_path / "whole.tif", 2, codec="g3:2d").read_bytes()
    broken = random.Random(7)
    paths = []
    for n in range(60):
        body = bytearray(whole if n % 2 else whole[: broken.randrange(4, len(whole))])
        for _ in range(broken.randrange(1, 8)):
            body[broken.randrange(8, len(body)) if len(body) > 8 else 4] = broken.randrange(256)
        paths.append(tmp_path / f"broken-{n}.tif")
        paths[-1].write_bytes(body)
    others = {"a.pdf": b"%PDF-1.4 of words alone", "b.tif": b"II*\0", "c.tif": b"no fax at all", "d.tif": b""}
    for name, body in others.items():
        (tmp_path / name).write_bytes(body)
        paths.append(tmp_path / name)
    answers = in_the_page(tmp_path, *paths)
    assert all(isinstance(one, str) and "Save it decrypted" in one for one in answers[60:])
    assert any(isinstance(one, list) for one in answers[:60])
