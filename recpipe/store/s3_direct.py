"""GET, HEAD and PUT of one object, signed by botocore's signer and sent without its client around.

Moving objects is what a store does all day, and botocore's client takes longer to put one request together and to
parse the headers of its answer than a telephone call takes to be sent. Only a plain success is taken from here:
whatever else the store says is asked again of the client, which knows of retries, redirects and errors.

Source: S3 API reference, GetObject, HeadObject, PutObject, UploadPart; RFC 9110 section 14.2 (206 answers a range).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from botocore.auth import SIGNED_HEADERS_BLACKLIST, S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError, ClientError
from botocore.httpsession import ProxyConfiguration
from botocore.response import StreamingBody
from botocore.utils import get_environ_proxies

from recpipe.store.s3_answers import is_here
from recpipe.store.s3_connections import Answer, Connections

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CHECKSUM = "x-amz-checksum-sha256"
METADATA = "x-amz-meta-"

_MARK = "key"
_EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
# Answers that say something about the object and nothing about the way it was asked for.
_OF_THE_OBJECT = {404, 408, 409, 412, 416, 429, 500, 501, 502, 503, 504}

Known = Mapping[str, Any]  # as the client says it, as far as `S3Store` looks


class Direct:
    """Asks for objects of one bucket. Thread-safe.

    Args:
        client: says where the bucket is.
        credentials: botocore's, renewed by themselves where they expire.
        connect: makes connections to an origin, through a proxy or "".
    """

    def __init__(
        self,
        client: S3Client,
        credentials: Any,
        bucket: str,
        *,
        user_agent: str,
        connect: Callable[[str, str], Connections],
    ) -> None:
        self._client = client
        self._credentials = credentials
        self._bucket = bucket
        self._user_agent = user_agent
        self._connect = connect
        self._region = str(client.meta.region_name)
        self._place: _Place | None = None  # not known yet
        self._closed = False

    def get(self, key: str, byte_range: str) -> StreamingBody | None:
        """The body of the object, as `get_object` gives it; None: ask the client.

        Args:
            byte_range: a Range header; "" for the whole object.
        """
        answer = self._send("GET", key, {"Range": byte_range} if byte_range else {})
        if answer is None:
            return None
        if answer.status != (206 if byte_range else 200):
            answer.close()
            return None
        body: Any = answer  # which has what is asked of it
        return StreamingBody(body, body.length)

    def head(self, key: str, *, asks: bool = True) -> Known | None:
        """What `head_object` says, with its ChecksumMode where it `asks` for that; None: ask the client.

        Raises:
            ClientError: there is no such object.
        """
        answer = self._send("HEAD", key, {"x-amz-checksum-mode": "ENABLED"} if asks else {})
        if answer is None:
            return None
        if answer.status == 404:
            raise _refused(404, "404", "HeadObject")
        headers = {name.lower(): value for name, value in answer.headers.items()}
        if answer.status != 200 or "content-length" not in headers:
            return None
        try:
            modified = parsedate_to_datetime(headers["last-modified"])
        except (KeyError, ValueError):
            return None
        known: dict[str, Any] = {
            "ContentLength": int(headers["content-length"]),
            "LastModified": modified,
            "Metadata": {
                name.removeprefix(METADATA): value for name, value in headers.items() if name.startswith(METADATA)
            },
            "ResponseMetadata": {"HTTPHeaders": headers},
        }
        return known | _checksum_of(headers)

    def put(self, key: str, body: bytearray, sha256: str, headers: Mapping[str, str], **query: str) -> Known | None:
        """What `put_object` says of an object that is there now; None: ask the client, with the same condition.

        An answer that was lost leaves the object there: asked again, the store refuses a second one.

        Args:
            sha256: of the body, in hex.
            headers: all that go with it.
            query: partNumber and uploadId, where it is a part of an object, as of `upload_part`.

        Raises:
            ClientError: the condition is not met. To ask the client would be to send the whole body again.
        """
        answer = self._send("PUT", key, dict(headers), body, sha256, urlencode(query, quote_via=quote))
        if answer is None:
            return None
        if answer.status == 412:
            raise _refused(412, "PreconditionFailed", "PutObject")
        if answer.status != 200:
            return None
        return {"ETag": answer.headers.get("etag", "")} | _checksum_of(answer.headers)

    def _send(
        self,
        method: str,
        key: str,
        headers: dict[str, str],
        body: bytearray | None = None,
        sha256: str = _EMPTY_SHA256,
        query: str = "",
    ) -> Answer | None:
        try:
            place = self._place or self._find()
            if place is None:
                return None
            target = place.path + quote(key, safe="/-._~") + (query and f"?{query}")
            headers |= {"Host": place.host, "User-Agent": self._user_agent}
            request: Any = _Request(method, place.origin + target, headers)
            credentials = self._credentials.get_frozen_credentials()
            _Signature(credentials, self._region, sha256).add_auth(request)
            answer = place.connections.request(method, target, body, headers)
            if method != "GET" or answer.status >= 300:
                answer.drain()
        except (BotoCoreError, HTTPException, OSError):  # the client says what it is, or gets further
            return None
        if answer.status >= 300 and answer.status not in _OF_THE_OBJECT:
            self._closed = True  # another region, another kind of signature: the client knows, and goes on
            self._place = None
        return answer

    def _find(self) -> _Place | None:
        """Let the client say where the bucket is, which depends on a dozen of its settings."""
        if self._closed or self._credentials is None:
            return None
        url = self._client.generate_presigned_url("get_object", Params={"Bucket": self._bucket, "Key": _MARK})
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        # No proxy could reach our own loopback.
        proxies = {} if is_here(origin) else get_environ_proxies(origin)
        proxy = ProxyConfiguration(proxies).proxy_url_for(origin) or ""
        if proxy.startswith("https:"):
            self._closed = True  # the client knows how to ask it
            return None
        host = S3SigV4Auth(self._credentials, "s3", self._region).headers_to_sign(AWSRequest(url=origin))["host"]
        self._place = _Place(origin, parts.path.removesuffix(_MARK), host, self._connect(origin, proxy))
        return self._place


class _Place(NamedTuple):
    """What stands before a key, and the connections that lead there."""

    origin: str
    path: str
    host: str  # as it is signed
    connections: Connections


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

    def __init__(self, credentials: Any, region: str, sha256: str) -> None:
        super().__init__(credentials, "s3", region)
        self._sha256 = sha256

    def payload(self, request: Any) -> str:
        return self._sha256

    def headers_to_sign(self, request: Any) -> Any:
        named = ((name.lower(), value) for name, value in request.headers.items())
        return _Once(pair for pair in named if pair[0] not in SIGNED_HEADERS_BLACKLIST)


class _Once(dict[str, str]):
    """Headers by name, as the signature asks for them."""

    def get_all(self, name: str) -> list[str]:
        return [self[name]]


def _refused(status: int, code: str, operation: str) -> ClientError:
    response: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, operation)


def _checksum_of(headers: Any) -> dict[str, str]:
    kept = headers.get(CHECKSUM)
    kind = {"ChecksumType": named} if (named := headers.get("x-amz-checksum-type")) else {}
    return kind | ({"ChecksumSHA256": kept} if kept else {})
