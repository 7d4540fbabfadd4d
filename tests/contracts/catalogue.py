"""What the catalogue promises on every database: inherit `CatalogueContract` and give it a `catalogue` fixture."""

from __future__ import annotations

from tests.contracts.catalogue_call_events import CallEventContract
from tests.contracts.catalogue_calls import CallContract
from tests.contracts.catalogue_completeness import CompletenessContract
from tests.contracts.catalogue_figures import FigureContract
from tests.contracts.catalogue_jobs import JobRunContract
from tests.contracts.catalogue_marks import MarkContract
from tests.contracts.catalogue_people import PeopleContract
from tests.contracts.catalogue_policy import PolicyContract
from tests.contracts.catalogue_recordings import RecordingContract
from tests.contracts.catalogue_running import RunningContract
from tests.contracts.catalogue_search import SearchContract
from tests.contracts.catalogue_sharing import SharingContract
from tests.contracts.catalogue_tenants import TenantContract


class CatalogueContract(
    TenantContract,
    RecordingContract,
    SearchContract,
    CallContract,
    CallEventContract,
    MarkContract,
    FigureContract,
    PeopleContract,
    PolicyContract,
    CompletenessContract,
    RunningContract,
    JobRunContract,
    SharingContract,
):
    """All of it."""
