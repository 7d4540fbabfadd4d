"""The REST API, `/api/v1`: one module a thing, each endpoint one check and one call."""
