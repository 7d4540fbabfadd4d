"""What an S3 store says, in our words: one table from its codes to store errors, with what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    ProxyConnectionError,
    SSLError,
)
from botocore.exceptions import ConnectionError as UnreachableError  # not Python's, which it would hide

from recpipe.errors import ObjectMissing, ObjectRefused, StoreRejected, StoreUnavailable

_MISSING = {"NoSuchKey", "NotFound", "404"}
_PASSING = {
    "SlowDown", "RequestTimeout", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests",
    "ServiceUnavailable", "InternalError", "OperationAborted", "ConditionalRequestConflict",
    # Damaged on the way: nothing was stored, so sending it again is the cure.
    "BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch", "IncompleteBody",
}  # fmt: skip
_OF_THE_OBJECT = {"EntityTooLarge", "EntityTooSmall", "KeyTooLongError"}
_CREDENTIALS = "Check s3_access_key and s3_secret_key."
_ADVICE = {
    "NoSuchBucket": "Create the bucket, or correct its name in store_url.",
    "AccessDenied": "Allow these credentials to read, write, list and delete in the bucket.",
    "AllAccessDisabled": "The account is closed for access: ask the store's operator.",
    "403": "Check s3_access_key and s3_secret_key, and that they may read, write, list and delete in the bucket.",
    "InvalidAccessKeyId": _CREDENTIALS,
    "SignatureDoesNotMatch": _CREDENTIALS + " If they are right, check s3_region and that no proxy changes requests.",
    "AuthorizationHeaderMalformed": "Set s3_region to the region of the bucket.",
    "PermanentRedirect": "Set s3_endpoint and s3_region to those of the bucket.",
    "301": "Set s3_endpoint and s3_region to those of the bucket.",
    "ExpiredToken": "Renew the credentials.",
    "InvalidToken": "Renew the credentials.",
    "RequestTimeTooSkewed": "Set this machine's clock: it differs too much from the store's.",
    "QuotaExceeded": "Raise the quota or free space in the bucket.",
    "EntityTooLarge": "The store takes no object of this size: raise its limit.",
    "NotImplemented": 'The store lacks something: try s3_checksums = "when_required".',
    "InvalidRequest": 'If the store is not AWS, try s3_checksums = "when_required".',
}
_OTHERWISE = "Look the code up in the documentation of the store."


class RangeBeyondEnd(Exception):
    """The range starts at or behind the end of the object: the caller makes an empty stream of it."""


@contextmanager
def translated(key: str) -> Iterator[None]:
    """Turn boto3's errors about `key` into store errors.

    Raises:
        ObjectMissing, StoreUnavailable, StoreRejected: by the table above.
        RangeBeyondEnd: the answer to a range that starts behind the end.
    """
    try:
        yield
    except ClientError as error:
        raise _answered(key, error) from error
    except (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError) as error:
        raise StoreRejected(f"There are no credentials for the object store ({error}). {_CREDENTIALS}") from error
    except SSLError as error:
        raise StoreRejected(
            f"The object store's certificate is not trusted ({error}). Check s3_endpoint, or make its authority known "
            "to this machine (AWS_CA_BUNDLE)."
        ) from error
    except ProxyConnectionError as error:
        raise StoreUnavailable(
            f"The HTTP proxy does not answer ({error}). Check HTTPS_PROXY and NO_PROXY; the same call may work later."
        ) from error
    except (HTTPClientError, UnreachableError, IncompleteReadError) as error:
        raise StoreUnavailable(
            f"The object store does not answer ({error}). Check that it runs and that s3_endpoint is right; "
            "what waits is stored as soon as it does."
        ) from error
    except BotoCoreError as error:
        raise StoreRejected(f"The object store cannot be asked: {error} Check the s3_ settings.") from error


def code_of(error: ClientError) -> tuple[str, int]:
    """The S3 error code and the HTTP status; HEAD answers have the status for a code, having no body."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return error.response.get("Error", {}).get("Code", "") or str(status), status


def may_be_about_checksums(error: ClientError) -> bool:
    """Whether a request was refused in a way in which stores refuse checksum headers: 400 or 501, in any words."""
    code, status = code_of(error)
    return status in (400, 501) and code not in _PASSING


def _answered(key: str, error: ClientError) -> Exception:
    code, status = code_of(error)
    if key and code in _MISSING:
        return ObjectMissing(key)
    if status == 416 or code == "InvalidRange":
        return RangeBeyondEnd()
    said = error.response.get("Error", {}).get("Message", "") or "no further words"
    if code in _PASSING or status >= 500 or status == 429:
        if status == 501:
            return StoreRejected(f"The object store cannot do this ({code}: {said}). {_ADVICE['NotImplemented']}")
        return StoreUnavailable(f"The object store is busy or failing ({code}: {said}). The same call may work later.")
    refusal = ObjectRefused if code in _OF_THE_OBJECT else StoreRejected
    return refusal(f"The object store refused ({code}: {said}). {_ADVICE.get(code, _OTHERWISE)}")
