"""The database: tenants, recordings and who may see them. The only home of SQLAlchemy.

    catalogue = Catalogue.open(settings.database)
    with catalogue.begin() as work:                 # a transaction that may write
        added = work.of(tenant_id).recordings.add_many(batch)
    with catalogue.read() as work:                  # one that only reads
        page = work.search({tenant_id}, RecordingQuery(number="0142", number_match=NumberMatch.ENDING))

What comes out are the frozen types of `recpipe.model`; what goes wrong is in `recpipe.errors`.
"""

from recpipe.catalogue.catalogue import Catalogue
from recpipe.catalogue.work import TenantScope, Work
from recpipe.model import Added

__all__ = ["Added", "Catalogue", "TenantScope", "Work"]
