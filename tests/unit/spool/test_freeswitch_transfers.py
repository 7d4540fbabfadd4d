"""Attended transfers on FreeSWITCH: two calls that were bridged are one, whatever order their records come in."""

from __future__ import annotations

import itertools
from pathlib import Path
from urllib.parse import quote

import pytest

from recpipe.spool.freeswitch_cdr import FreeswitchCdr

A, B, B2, C = (f"{n}7a1c0de-1111-4222-8333-0123456789ab" for n in "1234")
PROFILE = "017ae036-cfdb-4e35-9bd8-0686db3897a0"  # of a caller profile: no leg
AT = 1743042317


def bridged(*others: str) -> str:
    """As a channel has it: one line, or an array of them."""
    lines = [f"{AT}:{PROFILE}:uuid_br:{other}" for other in others]
    transfer = f"{AT}:{PROFILE}:att_xfer:203@pbx.example/+4930901820@192.0.2.1"
    return "ARRAY::" + "|:".join((transfer, *lines))


def record(start: int, **variables: str) -> dict[str, str]:
    return {"start_uepoch": f"{AT + start}000000", "caller_id_number": "+4930901820"} | variables


# A customer (A) calls Berta (B), who calls Carl (C) by a second line of hers (B2) and hands the customer over.
BY_THE_PHONE = {
    A: record(0, bridge_uuid=C, signal_bond=C, transfer_history=bridged(C)),
    B: record(1, originating_leg_uuid=A, originator=A, endpoint_disposition="ATTENDED_TRANSFER", last_bridge_to=A),
    B2: record(60, last_bridge_to=C, hangup_cause="ATTENDED_TRANSFER"),
    C: record(61, originating_leg_uuid=B2, originator=B2, bridge_uuid=A, transfer_history=bridged(A)),
}
# The same, where Berta had called the customer.
WHOM_SHE_CALLED = {
    B: record(0, last_bridge_to=A, hangup_cause="ATTENDED_TRANSFER"),
    A: record(1, originating_leg_uuid=B, bridge_uuid=C, transfer_source=f"{AT}:{PROFILE}:uuid_br:{C}"),
    B2: record(60, last_bridge_to=C, endpoint_disposition="ATTENDED_TRANSFER"),
    C: record(61, originating_leg_uuid=B2, bridge_uuid=A, transfer_source=f"{AT}:{PROFILE}:uuid_br:{A}"),
}
# By a code of the PBX (att_xfer): Carl is called by Berta's own leg.
BY_A_CODE = {
    A: record(0, bridge_uuid=C, transfer_history=bridged(C)),
    B: record(1, originating_leg_uuid=A, last_bridge_to=A),
    C: record(61, originating_leg_uuid=B, bridge_uuid=A, transfer_history=bridged(A)),
}


def write(folder: Path, uuid: str, variables: dict[str, str]) -> None:
    inside = "".join(f"<{name}>{quote(value)}</{name}>" for name, value in variables.items())
    (folder / f"a_{uuid}.cdr.xml").write_text(f"<cdr><variables>{inside}</variables></cdr>")


@pytest.mark.parametrize(
    ("legs", "first"), [(BY_THE_PHONE, A), (WHOM_SHE_CALLED, B), (BY_A_CODE, A)], ids=["phone", "called", "code"]
)
def test_the_legs_of_an_attended_transfer_are_one_call(
    tmp_path: Path, legs: dict[str, dict[str, str]], first: str
) -> None:
    for order, coming in enumerate(itertools.permutations(legs)):
        folder = tmp_path / str(order)
        folder.mkdir()
        reader = FreeswitchCdr(folder, "UTC")
        for uuid in coming:
            write(folder, uuid, legs[uuid])
            found = [reader.facts(one) for one in legs]
            # What is said to be sure never changes.
            assert {one.linked_id for one in found if one is not None and not one.awaits_cdr} <= {first}
        assert [(one.linked_id, one.awaits_cdr) for one in found if one is not None] == [(first, False)] * len(legs)


def test_a_blind_transfer_and_a_call_that_was_none_read_no_other_record(tmp_path: Path) -> None:
    write(tmp_path, A, record(0, bridge_uuid=B, transfer_history=f"{AT}:{PROFILE}:bl_xfer:203/default/XML"))
    write(tmp_path, B, record(1, originating_leg_uuid=A))
    reader = FreeswitchCdr(tmp_path, "UTC")
    assert [(one.linked_id, one.awaits_cdr) for uuid in (A, B) if (one := reader.facts(uuid))] == [(A, False)] * 2


def test_records_that_lead_in_a_circle_or_nowhere_end(tmp_path: Path) -> None:
    write(tmp_path, A, record(0, originator=B, transfer_history=bridged(A, B)))
    write(tmp_path, B, record(1, originator=A, transfer_history=bridged("no uuid", A)))
    reader = FreeswitchCdr(tmp_path, "UTC")
    assert [one.awaits_cdr for uuid in (A, B) if (one := reader.facts(uuid))] == [False, False]
    many = [f"{n:08x}-1111-4222-8333-0123456789ab" for n in range(100)]
    for uuid, following in itertools.pairwise(many):
        write(tmp_path, uuid, record(0, transfer_history=bridged(following)))
    assert (found := reader.facts(many[0])) is not None and not found.awaits_cdr
