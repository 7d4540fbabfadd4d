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
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError, HTTPClientError
from botocore.response import StreamingBody

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CHECKSUM = "x-amz-checksum-sha256"

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
        self._base: str | None = None  # what stands before a key; "" where the short way is none

    def get(self, key: str, byte_range: str) -> Any | None:
        """The body of the object, as `get_object` gives it; None: ask the client.

        Args:
            byte_range: a Range header; "" for the whole object.
        """
        answer = self._send("GET", key, {"Range": byte_range} if byte_range else {}, stream=True)
        if answer is None:
            return None
        if answer.status_code == (206 if byte_range else 200):
            return StreamingBody(answer.raw, answer.headers.get("content-length"))
        with contextlib.suppress(Exception):
            answer.raw.close()
        return None

    def head(self, key: str) -> Answer | None:
        """What `head_object` with its ChecksumMode says; None: ask the client."""
        answer = self._send("HEAD", key, {"x-amz-checksum-mode": "ENABLED"})
        if answer is None or answer.status_code != 200:
            return None
        headers = answer.headers
        try:
            known: dict[str, Any] = {
                "ContentLength": int(headers["content-length"]),
                "LastModified": parsedate_to_datetime(headers["last-modified"]),
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
        return _checksum_of(answer.headers) if answer is not None and answer.status_code == 200 else None

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
        base = self._base if self._base is not None else self._learn()
        if not base:
            return None
        headers["User-Agent"] = self._user_agent
        request: Any = AWSRequest(method, base + quote(key, safe="/-._~"), headers, body, stream_output=stream)
        request.context["signing"] = {"disableDoubleEncoding": True}
        try:
            credentials = self._credentials.get_frozen_credentials()
            _Signature(credentials, self._client.meta.region_name, sha256).add_auth(request)
            session: Any = self._client._endpoint.http_session  # type: ignore[attr-defined]
            answer = session.send(request.prepare())
        except (BotoCoreError, HTTPClientError):
            return None
        if answer.status_code >= 300 and answer.status_code not in _OF_THE_OBJECT:
            self._base = ""  # another region, another kind of signature: the client knows, and goes on
        return answer

    def _learn(self) -> str:
        """Let the client say where the bucket is, which depends on a dozen of its settings."""
        if self._credentials is None or not hasattr(getattr(self._client, "_endpoint", None), "http_session"):
            self._base = ""
            return ""
        try:
            url = self._client.generate_presigned_url("get_object", Params={"Bucket": self._bucket, "Key": _MARK})
        except BotoCoreError:
            return ""
        parts = urlsplit(url)
        self._base = f"{parts.scheme}://{parts.netloc}{parts.path}".removesuffix(_MARK)
        return self._base


class _Signature(S3SigV4Auth):
    """Signs a body whose SHA-256 is known, instead of hashing it a second time."""

    def __init__(self, credentials: Any, region: str, sha256: str) -> None:
        super().__init__(credentials, "s3", region)
        self._sha256 = sha256

    def payload(self, request: Any) -> str:
        return self._sha256


def _checksum_of(headers: Any) -> dict[str, str]:
    kept = headers.get(CHECKSUM)
    return {"ChecksumSHA256": kept} if kept else {}
