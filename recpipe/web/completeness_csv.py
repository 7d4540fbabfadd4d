"""The report of what was recorded as CSV, for the API and for the dashboard."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from enum import StrEnum

from recpipe.access.principal import Principal
from recpipe.completeness.report import Asked
from recpipe.model import DayCompleteness, Finding, Tenant
from recpipe.web.csv_stream import csv_stream
from recpipe.web.delivery import still
from recpipe.web.deps import WebContext
from recpipe.web.schemas import CompletenessDayResponse, FindingResponse

_PAGE = 1000
_DAY = tuple(name for name in CompletenessDayResponse.model_fields if name != "counts")
_FINDING = tuple(FindingResponse.model_fields)


class Of(StrEnum):
    """What the rows are."""

    DAYS = "days"
    FINDINGS = "findings"


def written(context: WebContext, by: Principal, tenant: Tenant, asked: Asked, of: Of) -> Generator[bytes, None, None]:
    """Everything that was asked for, however much.

    Raises:
        NotFound, Forbidden, QueryInvalid: as `CompletenessReport.days`, before the first byte.
    """
    report = context.parts.completeness
    if of is Of.DAYS:
        return csv_stream(_DAY, [[_day(one) for one in report.days(by, tenant, asked)]])
    first = report.findings(by, tenant, asked, None, _PAGE)

    def pages() -> Iterator[list[tuple[object, ...]]]:
        check, page = still(context, by), first
        while True:
            yield [_finding(one) for one in page.items]
            if page.next_cursor is None:
                return
            check()
            page = report.findings(by, tenant, asked, page.next_cursor, _PAGE)

    return csv_stream(_FINDING, pages())


def file_name(tenant: Tenant, asked: Asked, of: Of) -> str:
    return f"completeness-{tenant.name}-{asked.first}-{asked.last}-{of.value}.csv"


def _day(one: DayCompleteness) -> tuple[object, ...]:
    shown = CompletenessDayResponse.of(one).model_dump(mode="json")
    return tuple(shown[name] for name in _DAY)


def _finding(one: Finding) -> tuple[object, ...]:
    shown = FindingResponse.of(one).model_dump(mode="json")
    return tuple("" if shown[name] is None else shown[name] for name in _FINDING)
