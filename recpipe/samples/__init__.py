"""Small made-up calls for `recpipe demo` and the tests; where they come from is in PROVENANCE.md beside them."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).parent


def paths() -> dict[str, Path]:
    """Every sample by its file name, in the order of names. Copy them; the installed files stay as they are."""
    return {path.name: path for path in sorted(_HERE.iterdir()) if path.suffix.lower() in (".wav", ".mp3")}
