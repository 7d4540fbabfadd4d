"""Run one benchmark: `scripts/bench NAME [--quick] ...`; each module beside this file with a `main` is one."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import tests.benchmarks


def names() -> list[str]:
    return sorted(
        found.name for found in pkgutil.iter_modules(tests.benchmarks.__path__) if not found.name.startswith("_")
    )


def main(arguments: list[str]) -> int:
    if not arguments or arguments[0] not in names():
        print(f"usage: scripts/bench {{{'|'.join(names())}}} [--quick] ...", file=sys.stderr)
        return 2
    result: int = importlib.import_module(f"tests.benchmarks.{arguments[0]}").main(arguments[1:])
    return result


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
