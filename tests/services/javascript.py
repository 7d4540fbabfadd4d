"""Scripts of the pages under Node: one process takes jobs as lines of JSON and answers each.

A driver is a module that defines `operations` (name -> async function of a job) and `m`, what is tested.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

from tests.services import need

_ANSWERING = """
import { createInterface } from "node:readline";
const replacer = (name, value) => (value instanceof Uint8Array ? Buffer.from(value).toString("hex") : value);
for await (const jobs of createInterface({ input: process.stdin })) {
  const results = [];
  for (const job of JSON.parse(jobs)) {
    try {
      results.push(await operations[job.op](job));
    } catch (error) {
      const crash = error instanceof m.EnvelopeError ? {} : { crash: error.stack };
      results.push({ error: error.name, message: error.message, ...crash });
    }
  }
  console.log(JSON.stringify(results, replacer));
}
"""


class Node:
    """Runs jobs of a driver; an error that is not one of the pages' own fails the test."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def __call__(self, *jobs: dict[str, Any]) -> list[Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(jobs, default=str), file=self._process.stdin, flush=True)
        results: list[Any] = json.loads(self._process.stdout.readline() or '[{"crash": "Node ended."}]')
        crashes = [result["crash"] for result in results if isinstance(result, dict) and "crash" in result]
        assert not crashes, crashes
        return results


def copy_scripts(folder: Path) -> None:
    """All scripts of the pages, where Node takes `.js` for ES modules."""
    (folder / "package.json").write_text('{"type": "module"}')
    for script in files("recpipe.web").joinpath("assets").iterdir():
        if script.name.endswith(".js"):
            (folder / script.name).write_text(script.read_text(encoding="utf-8"))


@contextmanager
def running(driver: str, module: Path) -> Iterator[Node]:
    """One Node, which says nothing but its answers; the driver finds `module` as process.argv[1]."""
    command = [need.tool("node"), "--input-type=module", "--eval", driver + _ANSWERING, "--", str(module)]
    with (module.parent / "errors").open("w+") as errors:
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process:
            yield Node(process)
        errors.seek(0)
        assert not errors.read()
