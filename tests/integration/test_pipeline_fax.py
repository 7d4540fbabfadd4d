"""Faxes from the spool to what opens them: stored, sealed, found by number; what is no fax waits with its reason."""

from __future__ import annotations

from pathlib import Path

from recpipe.access.audit import AuditTrail
from recpipe.access.principal import operator
from recpipe.audio import fax
from recpipe.intake import Intake
from recpipe.model import Container, Direction, NumberMatch, RecordingKind, RecordingQuery, StoreFormat
from recpipe.times import utc_now
from tests.integration.pipeline_rig import TENANT_ID, Rig
from tests.services import faxes
from tests.services.certificates import KeyPair, smime_decrypt
from tests.unit.audio.test_fax import PAGE, written


def test_a_fax_is_stored_as_it_is_with_its_pages_and_both_numbers(tmp_path: Path) -> None:
    rig = Rig.make(tmp_path, layout="fax")
    rig.change_tenant(store_format=StoreFormat.MP3)  # which says nothing of faxes
    inbox = rig.spool.path / "pbx.example.com/201/inbox"
    made = faxes.tiff(inbox / "02079460958-2026-03-14-15-09-26.tif", 3)
    faxes.tiff(rig.spool.path / "pbx.example.com/201/temp/half.tif")
    faxes.pdf(rig.spool.path / "pbx.example.com/201/sent/+4930901820-2026-03-14-16-00-00.pdf", 2)
    (inbox / "02079460958-2026-03-14-15-09-26.pdf").write_bytes(b"%PDF- of the same")
    before = rig.files()
    ingest = rig.drain()
    received, sent = sorted(rig.recordings(), key=lambda one: one.started_at)
    assert (received.facts.kind, received.audio.pages, received.audio.container) == (
        RecordingKind.FAX,
        3,
        Container.TIFF,
    )
    assert (received.facts.caller, received.facts.callee) == ("02079460958", "201")
    assert (received.facts.direction, received.facts.extension) == (Direction.INBOUND, "201")
    assert (sent.facts.direction, sent.facts.callee, sent.audio.pages) == (Direction.OUTBOUND, "+4930901820", 2)
    assert received.name == "02079460958-2026-03-14-15-09-26.tif" and sent.name.endswith(".pdf")
    assert rig.store.read(received.object_key).read() == made.read_bytes()
    assert received.peaks == b"" and received.flags == ()
    assert rig.files() == before and rig.waiting() == []
    ignored = {one.relative.rpartition("/")[2]: one.reason.value for one in ingest.ignored()["spool"]}
    assert ignored == {"half.tif": "not-a-recording", "02079460958-2026-03-14-15-09-26.pdf": "other-format"}
    query = RecordingQuery(kind=RecordingKind.FAX, number="460958", number_match=NumberMatch.ENDING)
    with rig.catalogue.read() as work:
        assert [one.id for one in work.search([TENANT_ID], query).items] == [received.id]
    rig.catalogue.close()


def test_a_sealed_fax_is_opened_by_openssl_alone(tmp_path: Path, key_pair: KeyPair) -> None:
    rig = Rig.make(tmp_path, layout="fax")
    rig.add_certificate(key_pair.pem)
    rig.change_tenant(encryption=True)
    made = faxes.tiff(rig.spool.path / "1743067517.12.tif", 2)
    rig.drain()
    [stored] = rig.recordings()
    assert stored.sealed and stored.name == "1743067517.12.tif.enc" and stored.audio.pages == 2
    assert stored.facts.call_id == "1743067517.12"
    envelope, out = tmp_path / "fax.tif.enc", tmp_path / "fax.tif"
    envelope.write_bytes(rig.store.read(stored.object_key).read())
    assert smime_decrypt(envelope, out, key_pair.key_path).returncode == 0
    opened = out.read_bytes()
    assert opened == made.read_bytes()
    assert fax.page(opened, 1).startswith(b"\x89PNG")
    rig.catalogue.close()


def test_what_is_no_fax_is_put_aside_with_its_reason_and_nothing_is_lost(tmp_path: Path) -> None:
    rig = Rig.make(tmp_path, layout="fax", after="delete")
    bomb = written((PAGE, None), (PAGE, 32))
    (rig.spool.path / "bomb.tif").write_bytes(bomb)
    (rig.spool.path / "page.pdf").write_bytes(b"<script>alert(1)</script>" * 9)
    faxes.tiff(rig.spool.path / "good.tif")
    rig.drain()
    assert [one.name for one in rig.recordings()] == ["good.tif"] and rig.files() == []
    found = {entry.relative: (entry.reason, entry.message) for entry in rig.waiting()}
    assert found["bomb.tif"][0] == "unsupported-fax" and "go round in a circle" in found["bomb.tif"][1]
    assert found["page.pdf"][0] == "not-a-fax"
    assert (rig.spool.path / ".recpipe/quarantine/bomb.tif").read_bytes() == bomb
    # Nor by a crash between the move and the list
    with rig.catalogue.begin() as work:
        for entry in rig.waiting():
            work.quarantine.remove(entry.id)
    rig.crash()
    rig.drain()
    assert {entry.relative: entry.reason for entry in rig.waiting()} == dict.fromkeys(found, "found-in-quarantine")
    rig.catalogue.close()


def test_a_fax_that_was_sent_is_looked_at_as_one_that_the_pbx_wrote(tmp_path: Path) -> None:
    rig = Rig.make(tmp_path, layout="fax", after="delete")
    door = Intake([rig.spool], rig.catalogue, AuditTrail(rig.catalogue, utc_now), utc_now, 0)
    place = door.destination(operator("test"), rig.spool.label)
    said = b'{"caller": "+442071234567", "callee": "201", "direction": "inbound", "station_id": "Northwind"}'
    made = faxes.from_a_modem(tmp_path / "modem.tif").read_bytes()
    for name, body in (("1743067517.12.tif", made), ("no.pdf", b"no fax" * 99), ("bomb.tif", written((PAGE, 16_000)))):
        upload = place.begin(name, said)
        upload.write(body)
        upload.commit()
    rig.drain()
    [stored] = rig.recordings()
    assert (stored.facts.kind, stored.audio.pages, stored.facts.station_id) == (RecordingKind.FAX, 1, "Northwind")
    assert (stored.facts.caller, stored.facts.extension, stored.facts.call_id) == (
        *("+442071234567", "201", "1743067517.12"),
    )
    assert {one.relative: one.reason for one in rig.waiting()} == {
        "no.pdf": "not-a-fax",
        "bomb.tif": "unsupported-fax",
    }
    assert rig.files() == []
    rig.catalogue.close()
