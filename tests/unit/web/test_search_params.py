"""What a search may ask for is said in docs/api.md."""

from __future__ import annotations

import inspect
from pathlib import Path

from recpipe.web.search_params import asked

DOCUMENT = Path(__file__).parents[3] / "docs/api.md"


def test_each_parameter_of_a_search_is_documented() -> None:
    said = DOCUMENT.read_text().partition("## Finding recordings\n")[2].partition("## Getting the file\n")[0]
    lacking = [name for name in inspect.signature(asked).parameters if f"`{name.rstrip('_')}`" not in said]
    assert not lacking, f"docs/api.md lacks {lacking}: the table of Finding recordings, or the text of Calls"
