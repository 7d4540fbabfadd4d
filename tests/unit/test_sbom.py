"""The bill of materials is the one of the lock file."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]


def script() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("sbom", str(ROOT / "scripts/sbom"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("sbom", loader) or _none())
    loader.exec_module(module)
    return module


def _none() -> importlib.machinery.ModuleSpec:
    raise AssertionError("scripts/sbom cannot be loaded")


def test_every_package_of_the_lock_is_in_it_and_no_other() -> None:
    pinned = re.findall(
        r"^([A-Za-z0-9._-]+)(?:\[.*\])?==([^\s;]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE
    )
    told = json.loads((ROOT / "sbom.cdx.json").read_text())
    assert len(pinned) > 40
    assert sorted(pinned) == sorted((one["name"], one["version"]) for one in told["components"])
    assert (told["bomFormat"], told["specVersion"]) == ("CycloneDX", "1.6")


def test_it_is_what_the_script_writes() -> None:
    assert script().main(["--check"]) == 0


def test_who_needs_what_is_told() -> None:
    told = json.loads((ROOT / "sbom.cdx.json").read_text())
    refs = {one["bom-ref"] for one in told["components"]} | {told["metadata"]["component"]["bom-ref"]}
    needs = {one["ref"]: set(one["dependsOn"]) for one in told["dependencies"]}
    assert set(needs) == refs and set().union(*needs.values()) < refs
    by_name = {
        ref.split("/")[1].split("@")[0]: {n.split("/")[1].split("@")[0] for n in found} for ref, found in needs.items()
    }
    assert "cryptography" in by_name["recpipe"] and "starlette" in by_name["fastapi"]


def test_a_lock_with_extras_and_markers_is_read() -> None:
    lock = (
        'Py_YAML[x]==1.0 ; sys_platform == "win32" \\\n    --hash=sha256:00\n    # via\n    #   one[extra]\n'
        "    #   recpipe (pyproject.toml)\nPy_YAML==2.0 \\\n    # via one\n"
    )
    assert script().read(lock) == {
        ("py-yaml", "1.0"): ('sys_platform == "win32"', {"one", "recpipe"}),
        ("py-yaml", "2.0"): ("", {"one"}),
    }
