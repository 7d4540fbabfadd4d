"""GET, HEAD and PUT of an object on the short way: signed and sent by botocore's own parts, without its client around.

Moving objects is what a store does all day, and botocore's client takes longer to put one request together and to
parse the headers of its answer than a telephone call takes to be sent. Only a plain success is taken from here:
whatever else the store says is asked again of the client, which knows of retries, redirects and errors.

Source: S3 API reference, GetObject, HeadObject, PutObject; RFC 9110 section 14.2 (206 answers a range).
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlsplit

from botocore.auth import SIGNED_HEADERS_BLACKLIST, S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.response import StreamingBody

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from mypy_boto3_s3 import S3Client

CHECKSUM = "x-amz-checksum-sha256"
METADATA = "x-amz-meta-"

_MARK = "key"
_EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
# Answers that say something about the object and nothing about the way it was asked for.
_OF_THE_OBJECT = {404, 409, 412, 416, 500, 501, 502, 503, 504}

Answer = Mapping[str, Any]  # as the client gives it, as far as `S3Store` looks


class ShortWay:
    """Asks for objects of one bucket. Thread-safe.

    Args:
        client: whose connections are used, so that proxies, certificates and time limits are the same.
        credentials: botocore's, renewed by themselves where they expire.
    """

    def __init__(self, client: S3Client, credentials: Any, bucket: str, user_agent: str) -> None:
        self._client = client
        self._credentials = credentials
        self._bucket = bucket
        self._user_agent = user_agent
        self._region = str(client.meta.region_name)
        self._way: _Way | None = None  # not known yet
        self._closed = False

    def get(self, key: str, byte_range: str) -> Any | None:
        """The body of the object, as `get_object` gives it; None: ask the client.

        Args:
            byte_range: a Range header; "" for the whole object.
        """
        answer = self._send("GET", key, {"Range": byte_range} if byte_range else {}, stream=True)
        if answer is None:
            return None
        if answer.status == (206 if byte_range else 200):
            direct = hasattr(answer, "_fp") and hasattr(answer, "_error_catcher")
            stream: Any = _Body(answer) if direct else answer
            return StreamingBody(stream, answer.headers.get("content-length"))
        with contextlib.suppress(Exception):
            answer.close()
        return None

    def head(self, key: str, *, asks: bool = True) -> Answer | None:
        """What `head_object` says, with its ChecksumMode where it `asks` for that; None: ask the client."""
        answer = self._send("HEAD", key, {"x-amz-checksum-mode": "ENABLED"} if asks else {})
        if answer is None or answer.status != 200:
            return None
        headers = answer.headers
        try:
            known: dict[str, Any] = {
                "ContentLength": int(headers["content-length"]),
                "LastModified": parsedate_to_datetime(headers["last-modified"]),
                "Metadata": {
                    name.lower().removeprefix(METADATA): value
                    for name, value in headers.items()
                    if name.lower().startswith(METADATA)
                },
                "ResponseMetadata": {"HTTPHeaders": {name.lower(): value for name, value in headers.items()}},
            }
        except (KeyError, ValueError):
            return None
        return known | _checksum_of(headers)

    def put(self, key: str, body: bytearray, sha256: str, headers: Mapping[str, str]) -> Answer | None:
        """What `put_object` says of an object that is there now; None: ask the client, with the same condition.

        An answer that was lost leaves the object there: asked again, the store refuses a second one.

        Args:
            sha256: of the body, in hex.
            headers: all that go with it.
        """
        answer = self._send("PUT", key, dict(headers), body, sha256)
        return _checksum_of(answer.headers) if answer is not None and answer.status == 200 else None

    def _send(
        self,
        method: str,
        key: str,
        headers: dict[str, str],
        body: bytearray | None = None,
        sha256: str = _EMPTY_SHA256,
        *,
        stream: bool = False,
    ) -> Any | None:
        way = self._way or self._learn()
        if way is None:
            return None
        path = quote(key, safe="/-._~")
        headers["User-Agent"] = self._user_agent
        try:
            request: Any = _Request(method, way.url + path, headers)
            credentials = self._credentials.get_frozen_credentials()
            _Signature(credentials, self._region, sha256, way.host).add_auth(request)
            # What botocore's session does, without the header objects that it makes on the way there and back.
            answer = way.pool.urlopen(
                method,
                way.target + path,
                body,
                headers,
                retries=False,
                redirect=False,
                assert_same_host=False,
                preload_content=False,
                decode_content=False,
                enforce_content_length=False,
            )
            if not stream:
                answer.read()  # gives the connection back
        except Exception:  # the client says what it is, or gets further
            return None
        if answer.status >= 300 and answer.status not in _OF_THE_OBJECT:
            self._closed = True  # another region, another kind of signature: the client knows, and goes on
            self._way = None
        return answer

    def _learn(self) -> _Way | None:
        """Let the client say where the bucket is and how to get there, which depends on a dozen of its settings."""
        if self._closed or self._credentials is None:
            return None
        client: Any = self._client
        try:
            url = client.generate_presigned_url("get_object", Params={"Bucket": self._bucket, "Key": _MARK})
            parts = urlsplit(url)
            base = f"{parts.scheme}://{parts.netloc}{parts.path}".removesuffix(_MARK)
            session = client._endpoint.http_session
            proxy = session._proxy_config.proxy_url_for(base)
            pool = session._get_connection_manager(base, proxy).connection_from_url(base)
            session._setup_ssl_cert(pool, base, session._verify)
            target = session._get_request_target(base, proxy)
        except AttributeError:  # a botocore that is built otherwise
            self._closed = True
            return None
        except Exception:
            return None
        host = S3SigV4Auth(self._credentials, "s3", self._region).headers_to_sign(AWSRequest(url=base))["host"]
        self._way = _Way(base, target, host, pool)
        return self._way


class _Way(NamedTuple):
    """What stands before a key, and the connections that lead there."""

    url: str  # what is signed
    target: str  # of a request: the path, or the whole URL where a proxy is asked
    host: str
    pool: Any


class _Request:
    """What a signature needs of botocore's AWSRequest, with headers in a plain dictionary."""

    __slots__ = ("context", "headers", "method", "params", "url")

    def __init__(self, method: str, url: str, headers: dict[str, str]) -> None:
        self.method = method
        self.url = url
        self.headers = headers
        self.params = None
        self.context: dict[str, Any] = {}


class _Signature(S3SigV4Auth):
    """Signs a body whose SHA-256 is known, instead of hashing it a second time, and headers that stand once each."""

    def __init__(self, credentials: Any, region: str, sha256: str, host: str) -> None:
        super().__init__(credentials, "s3", region)
        self._sha256 = sha256
        self._host = host

    def payload(self, request: Any) -> str:
        return self._sha256

    def headers_to_sign(self, request: Any) -> Any:
        named = ((name.lower(), value) for name, value in request.headers.items())
        once = _Once(pair for pair in named if pair[0] not in SIGNED_HEADERS_BLACKLIST)
        once["host"] = self._host
        return once


class _Once(dict[str, str]):
    """Headers by name, as the signature asks for them."""

    def get_all(self, name: str) -> list[str]:
        return [self[name]]


class _Body:
    """The body of an answer, straight into the reader's buffer: urllib3 reads into one of its own and copies."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def readinto(self, buffer: WriteableBuffer) -> int:
        answer = self._answer
        with answer._error_catcher():  # and gives the connection back at the end
            return int(answer._fp.readinto(buffer))

    def close(self) -> None:
        self._answer.close()


def _checksum_of(headers: Any) -> dict[str, str]:
    kept = headers.get(CHECKSUM)
    kind = {"ChecksumType": named} if (named := headers.get("x-amz-checksum-type")) else {}
    return kind | ({"ChecksumSHA256": kept} if kept else {})
