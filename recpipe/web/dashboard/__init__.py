"""The portal and the dashboard: pages rendered here, made lively by the small modules in `assets/`."""

from __future__ import annotations

from fastapi import FastAPI

from recpipe.web import routes
from recpipe.web.dashboard import (
    account,
    addons,
    assets,
    audit,
    changes,
    completeness,
    federated,
    ftp,
    identity_providers,
    outside,
    passkeys,
    quarantined,
    recordings,
    routing,
    services,
    sharing,
    signing_in,
    statistics,
    system,
    users,
)
from recpipe.web.dashboard.pages import Portal, error_page
from recpipe.web.deps import WebContext

# Most bytes of forms where a thousand rules are pasted, chosen or applied at once; by the beginning of the path.
LIMITS = {"/routing/": 2_000_000, "/extensions/": 2_000_000, "/changes/": 1_000_000}


def mount(app: FastAPI, context: WebContext) -> None:
    """Serve every page at its address; errors outside the API become pages as well."""
    app.state.portal = Portal.of(context)
    app.state.error_page = error_page
    pages = (
        signing_in,
        federated,
        passkeys,
        identity_providers,
        statistics,
        recordings,
        sharing,
        outside,
        completeness,
        services,
        addons,
        ftp,
        routing,
        changes,
        users,
        account,
        audit,
        system,
        quarantined,
    )
    routes.serve(app, assets.router, *(part.router for part in pages))
