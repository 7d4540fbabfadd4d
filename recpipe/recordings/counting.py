"""Counting figures anew: of a day whose recordings come to something else, and of recordings older than figures."""

from __future__ import annotations

from collections.abc import Callable

from recpipe.catalogue import Catalogue


def recount(catalogue: Catalogue, tenant_id: str, day: int) -> None:
    """Count a day, since 1970, and its month anew.

    Raises:
        CatalogueUnavailable: the database does not answer; may be repeated.
    """
    with catalogue.begin() as work:
        work.of(tenant_id).figure_counts.recount(day)
    with catalogue.begin() as work:
        work.of(tenant_id).figure_counts.sum_month_of(day)


def fill(catalogue: Catalogue, go_on: Callable[[], None]) -> int:
    """Count what was not counted yet, a day at a time, the newest first. May be interrupted, and goes on from there.

    Args:
        go_on: called before each day.

    Returns:
        How many days were counted.

    Raises:
        CatalogueUnavailable: the database does not answer; what was counted stays so.
    """
    with catalogue.read() as work:
        waiting = work.figures(None).uncounted_tenants()
    counted = 0
    for tenant_id in waiting:
        while True:
            go_on()
            with catalogue.begin() as work:
                day = work.of(tenant_id).figure_counts.fill_on()
            if day is None:
                break
            counted += 1
    return counted
