"""boto3's client as this store wants it, and what a store makes us do without."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import boto3.session
import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.httpsession import get_cert_path

from recpipe import __version__, log
from recpipe.settings import Settings
from recpipe.store.s3_answers import is_here
from recpipe.store.s3_connections import Connections
from recpipe.store.s3_direct import Direct
from recpipe.store.s3_errors import may_be_about_checksums

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")
_log = log.get(__name__)
_USER_AGENT = f"recpipe/{__version__}"


@dataclass(frozen=True, slots=True)
class Manner:
    """How requests are sent.

    Attributes:
        threads: connections kept open; more are made where more threads come, and closed after use.
        attempts: tries of one request, with growing random pauses in between (botocore's "standard" mode).
        connect_seconds, read_seconds: how long one try waits for the connection, and for each piece of an answer.
    """

    threads: int
    attempts: int
    connect_seconds: float
    read_seconds: float


@dataclass(slots=True)
class Clients:
    """The clients of one bucket: with checksums in their requests until the store refuses them.

    Some stores (Backblaze B2 was one) answer 400 to any checksum header, also to the HEAD that asks for one. The same
    request is sent without then, and where that is understood, all later ones are.
    """

    settings: Settings
    bucket: str
    manner: Manner
    client: S3Client = field(init=False)
    direct: Direct = field(init=False)
    asks: bool = field(default=True, init=False)  # for the checksum, with HEAD
    sends: bool = field(default=True, init=False)
    choices: dict[str, str] = field(default_factory=dict, init=False)
    _session: boto3.session.Session = field(init=False)  # one: each loads a description of S3 of several MB
    _ca_file: str = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _patient: S3Client | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        core = botocore.session.get_session()
        self._session = boto3.session.Session(
            self.settings.s3_access_key.get_secret_value() or None,
            self.settings.s3_secret_key.get_secret_value() or None,
            botocore_session=core,
        )
        # Where botocore looks too, in its order.
        configured = core.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE")
        self._ca_file = str(configured or get_cert_path(True))
        self.sends = self.settings.s3_checksums == "when_supported"
        self._use(self.sends)

    def trying(self, request: Callable[[bool], T], wanted: bool) -> T:
        """Make a request, with checksums if `wanted`; without, where the store refuses those.

        Raises:
            ClientError: the store's answer, with checksums where those were not the reason.
        """
        try:
            return request(wanted)
        except ClientError as error:
            if not wanted or not may_be_about_checksums(error):
                raise
            former = self.client, self.direct
            self._use(False)
            try:
                answer = request(False)
            except ClientError as second:
                if may_be_about_checksums(second):
                    self.client, self.direct = former
                    raise error from None
                self._do_without()
                raise
        self._do_without()
        return answer

    def chose(self, setting: str, why: str) -> None:
        """Keep, and say once, that the store is treated as if this were set."""
        if setting not in self.choices:
            self.choices[setting] = why
            _log.warning("store setting chosen", setting=setting, why=why)

    def _do_without(self) -> None:
        self.asks = self.sends = False
        self._patient = None
        self.chose(
            's3_checksums = "when_required"',
            "The store refuses checksum headers. Each upload is verified by reading it back.",
        )

    def patient(self) -> S3Client:
        """For the one request that may take a store minutes: putting the parts of an object together."""
        if self._patient is None:
            self._patient = self._connect(self.sends, max(self.manner.read_seconds, 300))[0]
        return self._patient

    def _use(self, checksums: bool) -> None:
        self.client, credentials = self._connect(checksums, self.manner.read_seconds)
        manner = self.manner
        self.direct = Direct(
            self.client,
            credentials,
            self.bucket,
            user_agent=_USER_AGENT,
            connect=partial(
                Connections,
                ca_file=self._ca_file,
                spare=manner.threads,
                connect_seconds=manner.connect_seconds,
                read_seconds=manner.read_seconds,
            ),
        )

    def _connect(self, checksums: bool, read_seconds: float) -> tuple[S3Client, Any]:
        with self._lock:  # making clients of one session is not for several threads at once
            return self._made(checksums, read_seconds)

    def _made(self, checksums: bool, read_seconds: float) -> tuple[S3Client, Any]:
        settings = self.settings
        # No proxy could reach our own loopback.
        options: dict[str, Any] = {"proxies": {}} if is_here(settings.s3_endpoint) else {}
        client = self._session.client(
            "s3",
            region_name=settings.s3_region,
            endpoint_url=settings.s3_endpoint or None,
            config=Config(
                # Saves composing botocore's own for every request, 7 % of its time.
                user_agent=_USER_AGENT,
                parameter_validation=False,  # the calls are ours and always alike; the tests make each of them
                signature_version="s3v4",
                s3={"addressing_style": settings.s3_addressing},
                max_pool_connections=self.manner.threads,
                connect_timeout=self.manner.connect_seconds,
                read_timeout=read_seconds,
                retries={"mode": "standard", "total_max_attempts": self.manner.attempts},
                request_checksum_calculation="when_supported" if checksums else "when_required",
                # Ranges have no checksum of their own, and whole objects are hashed by those who must be sure.
                response_checksum_validation="when_required",
                **options,
            ),
        )
        return client, self._session.get_credentials()
