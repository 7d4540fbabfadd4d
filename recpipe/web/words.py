"""The words of scripts in another language, as they fetch them: `assets/words.js` says what stands for what."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from recpipe import languages

_ASSETS = "recpipe/web/assets/"


def of_scripts(language: str, *names: str) -> Mapping[str, Any]:
    """The texts of these assets, by the English; of what depends on a number all forms, by the form for one.

    Args:
        names: of assets; none: all but those of the offline page alone.

    Returns:
        Also, under "", which form each plural category of CLDR takes.
    """
    from babel.core import Locale

    catalogue = languages.po(language)
    wanted = {f"{_ASSETS}{name}" for name in names}
    texts: dict[str, Any] = {}
    for one in catalogue:
        places = {name for name, _ in one.locations if name.startswith(_ASSETS)}
        if one.id and (places & wanted if wanted else places - _OF_THE_OFFLINE_PAGE):
            if one.pluralizable:
                texts[one.id[0]] = list(one.string)
            else:
                texts[one.id] = one.string
    category = Locale.parse(language).plural_form
    plural = languages.catalogue(language)
    numbers = {str(category(n)): plural.plural(n) for n in range(200)}  # type: ignore[attr-defined]  # of gettext
    return {"": numbers, **texts}


_OF_THE_OFFLINE_PAGE = frozenset({f"{_ASSETS}offline.js", f"{_ASSETS}offline.html", f"{_ASSETS}zip.js"})


def as_json(value: Mapping[str, Any]) -> str:
    """As it may stand in a page: nothing in it ends an element."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
