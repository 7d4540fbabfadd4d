"""The GET of an object on the short way: signed and sent by botocore's own parts, without its client around them.

Reading is what a store does all day, and botocore's client takes longer to put one request together and to parse the
headers of its answer than a telephone call takes to be sent. Only a plain success is taken from here: whatever else
the store says is asked again of the client, which knows of retries, redirects and errors.

Source: S3 API reference, GetObject; RFC 9110 section 14.2 (206 answers a range).
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError, HTTPClientError
from botocore.response import StreamingBody

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_MARK = "key"
# Answers that say something about the object and nothing about the way it was asked for.
_OF_THE_OBJECT = {404, 416, 500, 502, 503, 504}


class ShortGet:
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
        base = self._base if self._base is not None else self._learn()
        if not base:
            return None
        headers = {"User-Agent": self._user_agent} | ({"Range": byte_range} if byte_range else {})
        request: Any = AWSRequest("GET", base + quote(key, safe="/-._~"), headers, stream_output=True)
        request.context["signing"] = {"disableDoubleEncoding": True}
        try:
            S3SigV4Auth(self._credentials.get_frozen_credentials(), "s3", self._client.meta.region_name).add_auth(
                request
            )
            session: Any = self._client._endpoint.http_session  # type: ignore[attr-defined]
            answer = session.send(request.prepare())
        except (BotoCoreError, HTTPClientError):
            return None
        if answer.status_code == (206 if byte_range else 200):
            return StreamingBody(answer.raw, answer.headers.get("content-length"))
        with contextlib.suppress(Exception):
            answer.raw.close()
        if answer.status_code not in _OF_THE_OBJECT:
            self._base = ""  # another region, another kind of signature: the client knows, and goes on
        return None

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
