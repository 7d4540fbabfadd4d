"""The parts of a service that can run in a process of their own."""

from __future__ import annotations

from enum import StrEnum


class RoleName(StrEnum):
    INGEST = "ingest"
    WEB = "web"
    FTP = "ftp"
    JOBS = "jobs"
