"""From the setting to a store."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from recpipe.errors import SettingsInvalid
from recpipe.settings import Settings
from recpipe.store.base import Store
from recpipe.store.directory import DirectoryStore
from recpipe.store.memory import MemoryStore

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}", re.ASCII)
_FORMS = "Write file:///an/absolute/folder or s3://bucket/prefix."


def open_store(settings: Settings) -> Store:
    """Open the store that `settings.store` names: `file:///folder`, `s3://bucket/prefix`, or `memory:` (gone at exit).

    Nothing is asked of an S3 server yet; `ready` does that.

    Raises:
        SettingsInvalid: the URL is none of these; the message says what to write.
        StoreRejected, StoreUnavailable: the folder cannot be made or used.
    """
    url = settings.store
    try:
        parts = urlsplit(url)
        has_port = parts.port is not None
    except ValueError as error:
        raise _invalid(f"is not a URL ({error})") from error
    if parts.query or parts.fragment or has_port or parts.username is not None:
        raise _invalid("has more than a place in it; endpoint and credentials are settings of their own (s3_*)")
    if url == "memory:":
        return MemoryStore()
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost") or not parts.path.startswith("/") or parts.path == "/":
            raise _invalid(f"{url!r} does not name an absolute folder")
        return DirectoryStore(Path(unquote(parts.path)))
    if parts.scheme == "s3":
        return _open_s3(settings, parts.netloc, parts.path.strip("/"))
    raise _invalid(f"{url!r} is of no kind that is known")


def ready(store: Store) -> None:
    """Ask the store for one entry, so that a wrong bucket or credential shows now and not with the first recording.

    Raises:
        StoreUnavailable, StoreRejected: it cannot be used; the message says what to do.
    """
    next(store.list(), None)


def _open_s3(settings: Settings, bucket: str, prefix: str) -> Store:
    if _BUCKET.fullmatch(bucket) is None:
        raise _invalid(f"names no bucket: {bucket!r} is not a bucket name")
    if bool(settings.s3_access_key.get_secret_value()) != bool(settings.s3_secret_key.get_secret_value()):
        raise SettingsInvalid(
            "s3_access_key and s3_secret_key belong together: set both, or neither to use boto3's chain."
        )
    if settings.s3_endpoint and urlsplit(settings.s3_endpoint).scheme not in ("http", "https"):
        raise SettingsInvalid(
            "s3_endpoint is not an http:// or https:// URL. Write one such as https://s3.example.com."
        )
    # boto3 takes longer to import than everything else here together, and a directory store never needs it.
    from recpipe.store.s3 import S3Store

    return S3Store(settings, bucket, prefix)


def _invalid(what: str) -> SettingsInvalid:
    return SettingsInvalid(f"store_url {what}. {_FORMS}")
