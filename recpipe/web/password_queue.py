"""A short queue for requests that verify or hash a password, so that a flood of sign-ins stops nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from recpipe.access.passwords import MOST_OF_ONE_DOOR
from recpipe.errors import TooManySignIns

MOST_WAITING = 16
LONGEST_WAIT_SECONDS = 10.0


class PasswordQueue:
    """Places for such requests. They wait here without a thread, so the endpoint threads stay free for all others.

    For the event loop's thread alone.
    """

    def __init__(self) -> None:
        self._places = anyio.CapacityLimiter(MOST_OF_ONE_DOOR)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """One place, once there is one.

        Raises:
            TooManySignIns: too many wait already, or it took too long.
        """
        if self._places.statistics().tasks_waiting >= MOST_WAITING:
            raise TooManySignIns
        borrower = object()
        try:
            with anyio.fail_after(LONGEST_WAIT_SECONDS):
                await self._places.acquire_on_behalf_of(borrower)
        except TimeoutError:
            raise TooManySignIns from None
        try:
            yield
        finally:
            self._places.release_on_behalf_of(borrower)
