"""Deleting while the object store cannot be reached."""

from __future__ import annotations

import secrets
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from recpipe.errors import NotFound, ObjectMissing
from recpipe.jobs import upkeep
from recpipe.jobs.job import Tick
from recpipe.model import Outcome
from recpipe.recordings.deletion import RecordingDeletion
from recpipe.recordings.verify import IN_WORK
from recpipe.store.layout import new_object_key
from recpipe.store.s3 import S3Store
from tests.contracts.catalogue_samples import a_recording
from tests.contracts.store import put
from tests.services.proxy import flaky_proxy
from tests.services.s3 import S3Server
from tests.unit.access.world import World


@pytest.mark.parametrize("fault", ["stall", "cut_requests"])
def test_a_deletion_stands_while_the_store_is_away_and_the_object_goes_later(
    s3_server: S3Server, tmp_path: Path, fault: str
) -> None:
    made, prefix = World(tmp_path), secrets.token_hex(8)
    direct = S3Store(s3_server.settings(), s3_server.bucket, prefix)
    tenant = made.tenant()
    recording = a_recording(tenant)
    recording = replace(recording, object_key=new_object_key(tenant.id, recording.id, "s1"))
    put(direct, recording.object_key, b"what was said")
    with made.catalogue.begin() as work:
        work.add_recordings([recording])

    # When a recording is deleted while the store takes requests and never answers, or does not even take them
    with flaky_proxy(s3_server.endpoint) as proxy:
        setattr(proxy, fault, 1000)
        settings = replace(s3_server, endpoint=proxy.endpoint).settings()
        away = S3Store(settings, s3_server.bucket, prefix, attempts=2, read_seconds=0.5)
        disposal = RecordingDeletion(made.catalogue, away, made.reader, made.clock)
        assert [left.id for left in disposal.delete(made.root, [recording.id], "asked for")] == [recording.id]

    # Then the recording is gone all the same
    with pytest.raises(NotFound):
        made.reader.get(made.root, recording.id)
    # And the next look removes the object, whether the store had done so already or not
    put(direct, recording.object_key, b"what was said")
    after = datetime.now(UTC) + 2 * IN_WORK
    look = upkeep.look(made.catalogue, direct, made.trail, lambda: after, Tick(after, threading.Event()), sample=0)
    assert (look["removed"], look["problems"]) == (1, 0)
    with pytest.raises(ObjectMissing):
        direct.head(recording.object_key)
    made.close()


def test_a_deletion_takes_every_version_that_a_bucket_keeps(s3_server: S3Server) -> None:
    admin = replace(s3_server, access_key="root")
    client, bucket = admin.client(), f"versioned-{secrets.token_hex(4)}"
    client.create_bucket(Bucket=bucket)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    store = S3Store(admin.settings(), bucket, "recordings")
    for key in ("t/5f/r-1", "t/5f/r-12"):
        put(store, key, b"what was said")
    client.put_object(Bucket=bucket, Key="recordings/t/5f/r-1", Body=b"somebody else's")
    client.delete_object(Bucket=bucket, Key="recordings/t/5f/r-1")

    store.delete("t/5f/r-1")

    left = client.list_object_versions(Bucket=bucket)
    assert [one["Key"] for one in left.get("Versions", ())] == ["recordings/t/5f/r-12"]
    assert not left.get("DeleteMarkers")
    store.delete("t/5f/r-1")


def test_what_a_bucket_does_not_let_go_of_is_told_and_on_the_audit_log(s3_server: S3Server, tmp_path: Path) -> None:
    admin = replace(s3_server, access_key="root")
    client, bucket = admin.client(), f"locked-{secrets.token_hex(4)}"
    client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    store, made = S3Store(admin.settings(), bucket), World(tmp_path)
    tenant = made.tenant()
    recording = a_recording(tenant)
    recording = replace(recording, object_key=new_object_key(tenant.id, recording.id, "s1"))
    put(store, recording.object_key, b"what was said")
    client.put_object_legal_hold(Bucket=bucket, Key=recording.object_key, LegalHold={"Status": "ON"})
    with made.catalogue.begin() as work:
        work.add_recordings([recording])

    [left] = RecordingDeletion(made.catalogue, store, made.reader, made.clock).delete(
        made.root, [recording.id], "asked for"
    )

    assert "1 version(s)" in left.remains
    with made.catalogue.read() as work:
        told = next(e for e in work.of(tenant.id).audit.list().items if e.action == "delete.versions-remain")
    assert (told.subject, told.outcome, told.detail) == (recording.id, Outcome.FAILED, {"versions": "1"})
    made.close()
