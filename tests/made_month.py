"""A month of an office's calls, for pages that show what they come to."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from recpipe.model import Direction, Recording, Tenant
from tests.contracts.catalogue_samples import a_recording

_PARTIES = ("02079460958", "02079460777", "02079460842", "02079460321", "02079460400", "03069990129", "01632960961")


def a_month_of_calls(tenant: Tenant, until: datetime, days: int = 45) -> Iterator[Recording]:
    """Busy before noon and quiet at the weekend; always the same for one end."""
    random_ = random.Random("month")
    last = until.astimezone(ZoneInfo(tenant.timezone)).replace(hour=0, minute=0, second=0, microsecond=0)
    for ago in range(days, 0, -1):
        day = last - timedelta(days=ago)
        for _ in range(random_.randrange(2, 5) if day.weekday() > 4 else random_.randrange(18, 36)):
            at = day + timedelta(minutes=round(min(max(random_.gauss(11.5 * 60, 150), 420), 1200)))
            party, extension = random_.choice(_PARTIES), str(random_.choice((201, 201, 201, 202, 202, 203, 204, 205)))
            inbound = random_.random() < 0.65
            made = a_recording(
                tenant,
                caller=party if inbound else extension,
                callee="02079460100" if inbound else party,
                facts={
                    "extension": extension,
                    "route": random_.choice(("Sales", "Sales", "Support", "")) if inbound else "",
                },
                started_at=at.astimezone(ZoneInfo("UTC")),
                duration_ms=round(random_.expovariate(1 / 160_000)) + 4000,
                sealed=ago < 30,
                day=at.date().isoformat(),
            )
            direction = Direction.INBOUND if inbound else Direction.OUTBOUND
            yield replace(made, facts=replace(made.facts, direction=direction, started_at=made.started_at))
