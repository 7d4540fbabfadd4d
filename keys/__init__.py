"""Certificates and CMS envelopes: knows bytes, nothing of recordings, tenants or S3."""
