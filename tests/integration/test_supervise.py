"""What scripts/test runs the tests under: it interrupts them as a person expects, and leaves nothing running."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
SUPERVISE = [sys.executable, "-m", "tests.supervise"]

# A test that waits, with a server that is to be stopped after it.
WAITING = """
import subprocess, time
from pathlib import Path
import pytest

HERE = Path(__file__).parent

@pytest.fixture(scope="session")
def server():
    process = subprocess.Popen(["sleep", "600"], start_new_session=True)
    yield
    process.kill()
    process.wait()
    (HERE / "stopped").touch()

def test_waits(server):
    (HERE / "begun").touch()
    time.sleep(120)
"""


def supervised(program: str) -> subprocess.CompletedProcess[str]:
    command = [*SUPERVISE, sys.executable, "-c", program]
    return subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)


@contextmanager
def running(home: Path) -> Iterator[subprocess.Popen[str]]:
    """A run of the waiting test, as a shell starts it in the background; it has begun."""
    (home / "test_waiting.py").write_text(WAITING)
    pytest_alone = [sys.executable, "-m", "pytest", "-c", "/dev/null", "-p", "xdist", "-p", "no:cacheprovider"]
    process = subprocess.Popen(
        [*SUPERVISE, *pytest_alone, "-n", "1", "--rootdir", str(home), str(home / "test_waiting.py")],
        cwd=ROOT,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=_ignore_interrupts,
    )
    try:
        deadline = time.monotonic() + 60
        while not (home / "begun").exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        yield process
    finally:
        for left in psutil.Process(process.pid).children(recursive=True) if process.poll() is None else ():
            left.kill()
        process.kill()
        process.wait()


def test_an_exit_code_is_kept_and_cpu_time_counts_what_lost_its_parent() -> None:
    done = supervised(
        """if True:
        import os, time
        if os.fork():
            raise SystemExit(7)  # the child goes on
        while time.process_time() < 0.4: pass
        os._exit(0)
        """
    )
    assert done.returncode == 7
    told = re.search(r"CPU time: ([\d.]+) s \(user ([\d.]+) s, system ([\d.]+) s\), in ([\d.]+) s", done.stderr)
    assert told is not None and float(told[1]) >= 0.4
    assert "left behind" not in done.stderr, "it ended by itself"


def test_what_is_left_behind_is_named_and_ended() -> None:
    done = supervised("import subprocess; print(subprocess.Popen(['sleep', '613'], start_new_session=True).pid)")
    assert done.returncode == 0
    assert f"left behind by the tests: {done.stdout.strip()} sleep 613" in done.stderr
    assert not psutil.pid_exists(int(done.stdout))


@pytest.mark.parametrize("whole_group", [False, True], ids=["the process", "its group"])
def test_an_interrupt_ends_tests_in_the_background_cleanly(tmp_path: Path, whole_group: bool) -> None:
    with running(tmp_path) as process:
        started = psutil.Process(process.pid).children(recursive=True)
        assert "sleep" in {one.name() for one in started}
        if whole_group:
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=60)
    assert process.returncode == 2, printed  # as pytest: interrupted
    assert "KeyboardInterrupt" in printed
    assert "left behind" not in printed
    assert (tmp_path / "stopped").exists(), "the server of the tests was not stopped"
    assert not [one for one in started if one.is_running()]


def test_the_script_that_runs_the_tests_does_not_ignore_interrupts_in_the_background() -> None:
    head = (
        (ROOT / "scripts/test").read_text().partition("source scripts/lib.sh")[0].replace('cd "$(dirname "$0")/.."', "")
    )
    again, told = "exec env --default-signal=INT ", "trap -p INT"
    assert again in head
    script = re.sub(again + '.*?"\\$@"', f"{again}bash -c '{told}'", head) + told
    done = subprocess.run(["bash", "-c", script], preexec_fn=_ignore_interrupts, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
