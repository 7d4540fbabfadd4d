"""A small catalogue, and the search box: what is typed there is answered or refused with a reason."""

from __future__ import annotations

import atexit
import shutil
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from zoneinfo import ZoneInfo

from pydantic import TypeAdapter, ValidationError

from recpipe import times
from recpipe.catalogue import Catalogue
from recpipe.errors import QueryInvalid, TooManyMatches
from recpipe.model import NumberMatch, RecordingQuery
from recpipe.web.schemas import SingleLine
from tests.contracts.catalogue_samples import a_recording, keep, kept_tenant
from tests.services.sqlite import new_catalogue

REFUSALS = (ValidationError,)
_LINE: TypeAdapter[str] = TypeAdapter(SingleLine)


@cache
def _catalogue() -> tuple[Catalogue, list[str]]:
    folder = mkdtemp(prefix="fuzz-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    catalogue = Catalogue.open(new_catalogue(Path(folder) / "recpipe.sqlite3"))
    atexit.register(catalogue.close)
    tenants = [kept_tenant(catalogue, region=region) for region in ("DE", "US")]
    for tenant in tenants:
        keep(catalogue, a_recording(tenant, caller="+4930901820", facts={"callee_name": 'Müller "100%" _x\\'}))
    return catalogue, [tenant.id for tenant in tenants]


def search(_folder: Path, data: bytes) -> object:
    """Type it into every field of the search, one after the other.

    Raises:
        ValidationError: it is no line of text; words of its own come for everything else.
    """
    typed = _LINE.validate_python(data.decode("utf-8", "replace")[:255])
    catalogue, tenants = _catalogue()
    queries = [
        *(RecordingQuery(number=typed, number_match=match) for match in NumberMatch),
        *(RecordingQuery(text=typed), RecordingQuery(extension=typed), RecordingQuery(call_id=typed)),
    ]
    with catalogue.read() as work:
        for query in queries:
            with suppress(QueryInvalid, TooManyMatches):
                work.search(tenants, query)
        with suppress(QueryInvalid):
            work.search(tenants, RecordingQuery(), cursor=typed)
    with suppress(ValueError):
        return times.from_iso(typed, ZoneInfo("Europe/Berlin"), whole_day=True)
    return None
