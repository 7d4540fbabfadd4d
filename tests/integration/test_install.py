"""An install depends neither on the age of the installer nor on what is published after the lock files were written.

The registry of these tests is a folder of wheels with nothing in them but the real metadata of the packages. Each is
there twice: in the version of the lock, and in a newer one, as if it had been published today.
"""

from __future__ import annotations

import base64
import ensurepip
import hashlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import recpipe
from tests.services import need

ROOT = Path(__file__).parents[2]
TO_RUN, TO_DEVELOP, TO_BUILD = "requirements.lock", "requirements-dev.lock", "requirements-build.lock"
TO_INSTALL = "requirements-uv.lock"
OLDEST_PIP = "22.3"  # README, CONTRIBUTING: the one that came with Python 3.11.0
NEWER = "9999.1"


@dataclass(frozen=True, slots=True)
class Pinned:
    """One entry of a lock file that applies to this machine."""

    name: str
    version: str


def entries(lock: str) -> list[Pinned]:
    lines = re.findall(r"^([a-z0-9].*?) *\\?$", (ROOT / lock).read_text(), re.MULTILINE)
    wanted = [one for one in map(Requirement, lines) if one.marker is None or one.marker.evaluate()]
    return [Pinned(canonicalize_name(one.name), str(one.specifier).removeprefix("==")) for one in wanted]


def asked_for(lock: str) -> list[Requirement]:
    """What pyproject.toml asks for, which the lock has to hold."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups: dict[str, list[str | dict[str, str]]] = project["dependency-groups"]

    def of_group(name: str) -> Iterator[str]:
        for one in groups[name]:
            yield from [one] if isinstance(one, str) else of_group(one["include-group"])

    if lock == TO_BUILD:
        return [Requirement(one) for one in (*project["build-system"]["requires"], *of_group("build"))]
    lines = list(project["project"]["dependencies"])
    for extra in project["project"]["optional-dependencies"].values():
        lines += extra
    if lock == TO_DEVELOP:
        lines += of_group("dev")
    return [Requirement(line) for line in lines]


def needs_of(requirement: Requirement) -> Iterator[Requirement]:
    """What an installed package asks for, on this machine and with these extras."""
    for line in importlib.metadata.requires(requirement.name) or ():
        one = Requirement(line)
        environments = [{**default_environment(), "extra": extra} for extra in ("", *requirement.extras)]
        if one.marker is None or any(one.marker.evaluate(environment) for environment in environments):
            yield one


@pytest.mark.parametrize("lock", [TO_RUN, TO_DEVELOP, TO_BUILD])
def test_a_lock_file_holds_all_that_its_packages_ask_for(lock: str) -> None:
    versions = {one.name: one.version for one in entries(lock)}
    missing, seen, left = [], set(), asked_for(lock)
    while left:
        one = left.pop()
        if str(one) in seen:
            continue
        seen.add(str(one))
        if not one.specifier.contains(versions.get(canonicalize_name(one.name), "0.dev0"), prereleases=True):
            missing.append(str(one))
        else:
            left += needs_of(one)
    assert missing == []


def test_what_is_locked_to_run_and_to_build_is_locked_alike_to_develop() -> None:
    versions = {one.name: one.version for one in entries(TO_DEVELOP)}
    assert set(entries(TO_RUN)) <= set(entries(TO_DEVELOP))
    assert [one for one in entries(TO_BUILD) if versions.get(one.name, one.version) != one.version] == []


def test_the_locked_uv_is_one_that_pyproject_asks_for() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["uv"]
    [uv] = entries(TO_INSTALL)
    assert [one.specifier.contains(uv.version) for one in map(Requirement, wanted) if one.name == uv.name] == [True]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of wheels, lock files with their hashes, scripts/lib.sh, and recpipe's own package to be built."""
    folder = tmp_path_factory.mktemp("registry")
    every = {one for lock in (TO_RUN, TO_DEVELOP, TO_BUILD) for one in entries(lock)}
    hashes = {}
    for one in every:
        page = folder / "index" / one.name / "index.html"
        page.parent.mkdir(parents=True)
        wheels = [_wheel(page.parent, each) for each in (one, Pinned(one.name, NEWER))]
        page.write_text("".join(f'<a href="{wheel.name}">{wheel.name}</a>\n' for wheel in wheels))
        hashes[one] = hashlib.sha256(wheels[0].read_bytes()).hexdigest()
    for lock in (TO_RUN, TO_DEVELOP, TO_BUILD):
        lines = [f"{one.name}=={one.version} \\\n    --hash=sha256:{hashes[one]}\n" for one in entries(lock)]
        (folder / lock).write_text("".join(lines))
    shutil.copy(ROOT / "scripts" / "lib.sh", folder)
    for name in ("pyproject.toml", "README.md", "LICENSE", "keys"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def _wheel(folder: Path, one: Pinned) -> Path:
    """Write a wheel of the package's real metadata."""
    text = importlib.metadata.distribution(one.name).read_text("METADATA")
    assert text is not None
    head = text.partition("\n\n")[0]  # the rest is the package's README
    metadata = re.sub(r"^Version: .*$", f"Version: {one.version}", head, count=1, flags=re.MULTILINE)
    stem = f"{one.name.replace('-', '_')}-{one.version}"
    files = {
        f"{stem}.dist-info/METADATA": metadata.encode(),
        f"{stem}.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = [f"{path},sha256={_urlsafe(content)},{len(content)}" for path, content in files.items()]
    files[f"{stem}.dist-info/RECORD"] = "\n".join([*record, f"{stem}.dist-info/RECORD,,", ""]).encode()
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for inside, content in files.items():
            wheel.writestr(inside, content)
    return path


def _urlsafe(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def install(
    registry: Path, lock: str, installer: Iterable[str], **environment: str
) -> subprocess.CompletedProcess[str]:
    """What scripts/setup does, with a registry that has only the folder's wheels."""
    outer = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
    return subprocess.run(
        ["bash", "-euc", 'source ./lib.sh; install_packages "$@"', "install", *installer, lock],
        cwd=registry,
        env={**outer, **environment},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )


def pip_of(which: str, folder: Path) -> Path:
    """A folder to import a pip from."""
    if which == "of this Python":
        bundled = Path(ensurepip.__file__).parent / "_bundled"
        found = [*bundled.glob("pip-*.whl"), *Path("/usr/share/python-wheels").glob("pip-*.whl")]  # Debian has it there
        return _unpacked(found[0], folder) if found else pytest.skip("this Python brings no pip")
    if which == "oldest" and sys.version_info >= (3, 12):
        pytest.skip(f"pip {OLDEST_PIP} does not run on this Python, which came with a newer one")
    name = f"pip=={OLDEST_PIP}" if which == "oldest" else "pip"
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--retries", "0", "--timeout", "15"]
    done = subprocess.run(
        [*command, "download", "-q", "--no-deps", "--only-binary=:all:", "-d", str(folder), name],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        need.missing(f"{name} cannot be had from this machine's registry: {done.stderr[-300:]}")
    return _unpacked(next(folder.glob("pip-*.whl")), folder)


def uv_alone(folder: Path) -> Path:
    """A folder for PATH that holds uv and nothing else."""
    where = folder / "uv"
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "-q", "--no-deps"]
    subprocess.run(
        [*command, "--require-hashes", "--target", str(where), "-r", str(ROOT / TO_INSTALL)],
        capture_output=True,
        check=True,
    )
    return where / "bin"


def _unpacked(wheel: Path, folder: Path) -> Path:
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder)
    return folder


# With --no-deps each entry of a lock stands for itself, and those of one are among those of the other.
@pytest.mark.parametrize(
    ("which", "lock"),
    [
        ("oldest", TO_DEVELOP),
        ("newest", TO_RUN),
        pytest.param("oldest", TO_RUN, marks=pytest.mark.long),
        pytest.param("newest", TO_DEVELOP, marks=pytest.mark.long),
        pytest.param("of this Python", TO_RUN, marks=pytest.mark.long),
        pytest.param("of this Python", TO_DEVELOP, marks=pytest.mark.long),
    ],
)
def test_every_pip_installs_what_is_locked_whatever_was_published_since(
    registry: Path, tmp_path: Path, which: str, lock: str
) -> None:
    done = install(
        registry,
        lock,
        [sys.executable, "-m", "pip", "install"],
        PYTHONPATH=str(pip_of(which, tmp_path)),
        PIP_CONFIG_FILE=os.devnull,
        PIP_INDEX_URL=(registry / "index").as_uri(),
        PIP_DRY_RUN="1",
        PIP_IGNORE_INSTALLED="1",
        PIP_VERBOSE="1",
        PIP_ROOT_USER_ACTION="ignore",
        PIP_DISABLE_PIP_VERSION_CHECK="1",
    )
    assert done.returncode == 0, done.stderr
    chosen = re.findall(r"(\S+)-(\d\S*)", " ".join(re.findall(r"^Would install (.*)$", done.stdout, re.MULTILINE)))
    named = {Pinned(canonicalize_name(name), version) for name, version in chosen}
    assert named == {*entries(lock), *entries(TO_BUILD), Pinned("recpipe", recpipe.__version__)}


@pytest.mark.long
@pytest.mark.parametrize("installer", ["uv of this machine", "uv by pip", "pip"])
@pytest.mark.parametrize("lock", [TO_RUN, TO_DEVELOP])
def test_a_fresh_clone_installs_and_runs(tmp_path: Path, lock: str, installer: str) -> None:
    subprocess.run(["git", "clone", "-q", ROOT, "clone"], cwd=tmp_path, check=True)
    clone = tmp_path / "clone"
    folders = [one for one in os.environ["PATH"].split(os.pathsep) if not Path(one, "uv").exists()]
    if installer == "uv of this machine":
        folders.append(str(uv_alone(tmp_path)))
    environment = {
        **os.environ,
        "PATH": os.pathsep.join(folders),
        "PYTHON": getattr(sys, "_base_executable", sys.executable),
    }
    if installer == "pip":  # uv is had and reaches nothing
        environment |= {"UV_OFFLINE": "1", "UV_NO_CACHE": "1"}
    command = ["bash", "-euc", 'source scripts/lib.sh; ensure_venv "$1"', "setup", lock]
    done = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, timeout=280, check=False)
    if "Could not find a version" in done.stderr:
        need.missing(f"the packages cannot be had from this machine's registry: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr
    assert ("pip installs them" in done.stderr) == (installer == "pip"), done.stderr
    subprocess.run([clone / ".venv" / "bin" / "recpipe", "--help"], check=True, capture_output=True)
