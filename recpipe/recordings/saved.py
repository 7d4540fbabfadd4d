"""Searches that a person keeps under a name. What they find is asked for anew each time, with the rights of then."""

from __future__ import annotations

from collections.abc import Sequence

from recpipe.access.checks import check_text
from recpipe.access.principal import Kind, Principal
from recpipe.catalogue import Catalogue
from recpipe.errors import Forbidden, InputInvalid, NotFound
from recpipe.messages import message
from recpipe.model import SavedSearch
from recpipe.times import Clock

MOST_SAVED = 50
LONGEST_NAME = 60  # characters
_LONGEST_QUERY = 4000  # characters


class KeptSearches:
    """Each person's own; nobody else sees them. Thread-safe."""

    def __init__(self, catalogue: Catalogue, clock: Clock) -> None:
        self._catalogue = catalogue
        self._clock = clock

    def list(self, by: Principal) -> Sequence[SavedSearch]:
        """Those of this person, by name; of a program there are none."""
        if by.kind is not Kind.USER:
            return []
        with self._catalogue.read() as work:
            return work.saved_searches.list(by.id)

    def save(self, by: Principal, name: str, query: str) -> None:
        """Keep a search; one of this name is replaced.

        Args:
            query: as it stands in an address.

        Raises:
            InputInvalid: it has no name, or a name that cannot be shown; it is no search; or there are too many.
            Forbidden: `by` is no person.
        """
        if by.kind is not Kind.USER:
            raise Forbidden("keep searches")
        name = check_text("name", name.strip(), LONGEST_NAME)
        if not name:
            raise InputInvalid("name", "Give the search a name.")
        if not query or len(query) > _LONGEST_QUERY:
            raise InputInvalid("query", "Search for something first; a list of all calls needs no name.")
        with self._catalogue.begin() as work:
            there = {one.name for one in work.saved_searches.list(by.id)}
            if name not in there and len(there) >= MOST_SAVED:
                raise InputInvalid(
                    "name", message("You have {most_saved} saved searches. Remove one first.", most_saved=MOST_SAVED)
                )
            work.saved_searches.put(by.id, name, query, self._clock())

    def remove(self, by: Principal, search_id: str) -> None:
        """Forget one.

        Raises:
            NotFound: there is none, or it is another person's.
        """
        with self._catalogue.begin() as work:
            if not work.saved_searches.remove(by.id, search_id):
                raise NotFound("saved search", search_id)
