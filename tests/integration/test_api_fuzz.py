"""schemathesis over the OpenAPI document, as each role: no 5xx, nothing that the document does not declare."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from recpipe.settings import Spool
from tests.integration.api import World, world

if TYPE_CHECKING:
    import schemathesis

HELD = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
)
ROLES = ("administrator", "client", "service", "api", "nobody")


@contextmanager
def fuzzed(root: Path) -> Iterator[World]:
    with world(root, spool=(Spool(path=root / "acme", tenant="acme"),)) as there:
        yield there


@pytest.fixture
def worlds(tmp_path: Path) -> Iterator[dict[str, World]]:
    """A world for each role."""
    with ExitStack() as stack:
        yield {who: stack.enter_context(fuzzed(tmp_path / who)) for who in ROLES}


@pytest.mark.slow
def test_schemathesis_finds_nothing_that_is_not_declared(worlds: dict[str, World]) -> None:
    """Every role sends the same requests: to think of one takes longer than to answer it five times."""
    import schemathesis  # half a second, which every worker would take that runs other files
    from schemathesis.checks import CHECKS, load_all_checks
    from schemathesis.core.failures import FailureGroup
    from schemathesis.generation import GenerationMode

    load_all_checks()
    document = schemathesis.openapi.from_url(f"{worlds['nobody'].url}/api/v1/openapi.json")
    failed: list[str] = []

    def ask(case: schemathesis.Case) -> None:
        for who, there in worlds.items():
            headers = {} if who == "nobody" else {"Authorization": f"Bearer {there.tokens[who]}"}
            try:
                case.call_and_validate(there.url, sessions[who], headers, CHECKS.get_by_names(HELD))
            except FailureGroup as failure:
                failed.append(f"{who}: {failure}")

    with ExitStack() as stack:
        sessions = {who: stack.enter_context(session()) for who in worlds}
        for found in document.get_all_operations():
            operation = found.ok()
            for documented in operation.get_strategies_from_examples():
                asked(ask, documented, 1)
            asked(ask, st.one_of([operation.as_strategy(generation_mode=mode) for mode in GenerationMode]), 2)
    assert not failed, "\n".join(failed)


def session() -> requests.Session:
    """Keeps a connection, but neither cookies nor what the environment says of proxies."""
    made = requests.Session()
    made.trust_env = False
    made.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return made


def asked(ask: Callable[[schemathesis.Case], None], cases: st.SearchStrategy[schemathesis.Case], count: int) -> None:
    """Ask this many of the cases, the same in each run."""
    unhurried = settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    seed(1)(unhurried(given(cases)(ask)))()


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("who", ROLES)
def test_schemathesis_finds_nothing_when_it_looks_for_long(tmp_path: Path, who: str) -> None:
    fuzz(tmp_path, who, "examples,coverage,fuzzing", examples=50)


def fuzz(root: Path, who: str, phases: str, examples: int) -> None:
    """Let schemathesis try every operation with a token of this role."""
    with fuzzed(root) as there:
        header = [] if who == "nobody" else ["-H", f"Authorization: Bearer {there.tokens[who]}"]
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{there.url}/api/v1/openapi.json", *header]
        command += ["--checks", ",".join(HELD), "--max-examples", str(examples), "--phases", phases]
        command += ["--no-shrink", "--continue-on-failure", "--seed", "1", "--warnings", "off", "--no-color"]
        command += ["--suppress-health-check", "all"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=root, timeout=800)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
