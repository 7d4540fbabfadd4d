"""The parts that the sessions of a gateway share; put together once, at its start."""

from __future__ import annotations

from dataclasses import dataclass

from OpenSSL import SSL

from ftp.loop import Loop
from ftp.ports import PassivePorts
from ftp.transfer import LatencyGauge
from ftp.upload_accounts import UploadAccounts
from recpipe.access.login import Access
from recpipe.recordings.reader import Reader
from recpipe.settings import Settings


@dataclass(frozen=True, slots=True)
class Services:
    """Settings, services and limits, as a session and its data connections use them."""

    settings: Settings
    access: Access
    reader: Reader
    tls: SSL.Context
    loop: Loop
    gauge: LatencyGauge  # of the store's folder
    ports: PassivePorts
    uploads: UploadAccounts
