"""One reader fed by atheris, which keeps what reaches code that nothing reached before.

    python -m tests.fuzz.guided READER FOLDER INPUTS SEED SECONDS

It ends after so many inputs, or so many seconds (0: it takes what it takes).
Ends with another status than 0 where the reader answered with an error that is none of its own, or took ten seconds;
the input that did it lies in FOLDER then.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

import atheris  # type: ignore[import-not-found,unused-ignore]  # in no lock file: who runs the long form installs it

with atheris.instrument_imports(include=["recpipe", "keys"]):
    from tests.fuzz.targets import TARGETS

MOST_BYTES = 16_384
SLOW_SECONDS = 10


def main(name: str, folder: Path, inputs: int, seed: int, seconds: int) -> None:
    """Feed it until so many inputs are done or so many seconds are over, which ends the process."""
    work, corpus = folder / "work", folder / "corpus"
    for made in (work, corpus):
        made.mkdir(parents=True, exist_ok=True)
    reader, known, allowed = TARGETS[name]
    for number, sample in enumerate(known() if callable(known) else known):
        (corpus / f"sample-{number}").write_bytes(sample)

    def feed(data: bytes) -> None:
        with suppress(*allowed):
            reader(work, data)

    options = {
        "runs": inputs,
        "max_total_time": seconds,
        "seed": seed % 2**32 or 1,  # libFuzzer takes 0 for the clock
        "max_len": MOST_BYTES,
        "timeout": SLOW_SECONDS,
        "rss_limit_mb": 0,
        "print_final_stats": 1,
        "artifact_prefix": f"{folder}/",
    }
    atheris.Setup([sys.argv[0], *(f"-{key}={value}" for key, value in options.items()), str(corpus)], feed)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *(int(number) for number in sys.argv[3:6]))
