"""Shared fixtures; the real servers live in tests/services, one plugin each."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Iterator
from functools import cache

import httpx
import pytest
import structlog

from recpipe import log

# What is imported and collected stays. To look for garbage in it, again and again, would take a tenth of the time.
gc.disable()

PLUGINS = (
    "tests.services.s3",
    "tests.services.postgres",
    "tests.services.sqlite",
    "tests.services.certificates",
    "tests.services.passwords",
    "tests.services.browser",
    "tests.services.mail",
)
pytest.register_assert_rewrite(*PLUGINS)


# A developer's own RECPIPE_* or AWS_* variables must not reach a test, nor what a test starts.
for name in [name for name in os.environ if name.startswith(("RECPIPE_", "AWS_"))]:
    del os.environ[name]


# Loggers keep the form that they meet first: that of the product, so `caplog` has every event, whatever ran before.
log.set_up()


def pytest_configure(config: pytest.Config) -> None:
    """Load the fixtures, but not where workers run the tests: importing what they need takes a second."""
    is_controller = config.getoption("dist", "no") != "no" and not hasattr(config, "workerinput")
    if is_controller:
        return
    for name in PLUGINS:
        config.pluginmanager.import_plugin(name)
    from hypothesis import HealthCheck, settings
    from hypothesis.internal.conjecture import providers

    # How long an example takes tells how busy the machine is, and nothing of what is tested. The suite tries a few
    # examples, others in each run but for CI, where they are always the same; with the long forms it tries many, and
    # the numbers and texts that stand in our source among them: to read all of it takes every worker seconds.
    few = "not long" in config.option.markexpr
    unhurried = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
    settings.register_profile("unhurried", settings(), **unhurried, max_examples=30 if few else 300)
    settings.load_profile("unhurried")
    if few:
        providers._get_local_constants = lambda: providers._local_constants


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def _authorities_read_once() -> Iterator[None]:
    """Clients of HTTP share the certificates of authorities: reading them is all but the whole cost of making one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpx._transports.default, "create_ssl_context", cache(httpx.create_ssl_context))
        yield


@pytest.fixture(scope="session", autouse=True)
def _as_slow_as_the_machine() -> Iterator[None]:
    """A busy machine takes longer for a first answer than the five seconds after which clients of HTTP give up."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "read", "write", "pool"):
            patch.setattr(httpx._config.DEFAULT_TIMEOUT_CONFIG, name, 60.0)
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Iterator[None]:
    """A command that a test ran has pointed the log at that test's captured output, which is closed afterwards."""
    _stop_printing()
    try:
        return (yield)
    finally:
        _stop_printing()


def _stop_printing() -> None:
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler.formatter, structlog.stdlib.ProcessorFormatter):
            root.removeHandler(handler)
