"""Which call the legs of an attended transfer on FreeSWITCH belong to: two calls that were bridged are one.

Somebody calls (leg a to leg b), waits while b calls a colleague (leg b2 to leg c), and is handed over: a and c are
bridged. Each of these two then names the other in `transfer_history`, as `EPOCH:PROFILE:uuid_br:UUID`. The legs that
fell away ended as ATTENDED_TRANSFER, and name their last other side. So the way from each of them to the others leads
through records, and the last of these is written when the call ends.

Source: FreeSWITCH switch_ivr_uuid_bridge, mod_sofia sofia_handle_sip_i_refer, mod_dptools att_xfer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

# All legs name the first one: an agent's knows it as the queue's member, any other as its originator. The first one has
# another side, or was in a queue.
FIRST_LEG = ("cc_member_session_uuid", "originating_leg_uuid", "ent_originate_aleg_uuid", "originator")
OTHER_LEG = ("bridge_uuid", "last_bridge_to", "signal_bond", "cc_member_uuid")

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_BRIDGED = re.compile(rf":uuid_br:({_UUID})")
_HISTORY = ("transfer_history", "transfer_source")
_HOW_ENDED = ("endpoint_disposition", "hangup_cause")
_ATTENDED = "ATTENDED_TRANSFER"
_MOST = 32  # records of one call that are read

Variables = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Linked:
    """Attributes:
    linked_id: the first leg, as far as it is known; "" of a leg that has no other side.
    sure: whether no record that may say otherwise is still to come.
    """

    linked_id: str
    sure: bool = True


def linked(uuid: str, variables: Variables, read: Callable[[str], Variables | None]) -> Linked:
    """The first leg of the call that a leg belongs to.

    Args:
        read: the variables of another leg; None while its record is not there.
    """
    mine = _first(variables) or (uuid if _has_other_side(variables) else "")
    if not _transfers(variables):
        return Linked(mine)
    found, to_read, firsts = {uuid: variables}, [uuid], dict[tuple[str, str], str]()
    while to_read:
        leg = to_read.pop()
        its = found[leg]
        if not (first := _first(its)):
            firsts[its.get("start_uepoch", ""), leg] = leg
        for other in dict.fromkeys(filter(None, (first, *_transfers(its)))):
            if other in found or len(found) >= _MOST:
                continue
            more = read(other)
            if more is None:
                return Linked(mine, sure=False)
            found[other] = more
            to_read.append(other)
    return Linked(firsts[min(firsts)] if firsts else mine)


def _first(variables: Variables) -> str:
    return next((variables[name].lower() for name in FIRST_LEG if variables.get(name)), "")


def _has_other_side(variables: Variables) -> bool:
    return any(variables.get(name) for name in OTHER_LEG)


def _transfers(variables: Variables) -> list[str]:
    """The legs that it was bridged to by a transfer, or left behind by one."""
    others = [other for name in _HISTORY for other in _BRIDGED.findall(variables.get(name, "").lower())]
    if any(variables.get(name) == _ATTENDED for name in _HOW_ENDED):
        left = (variables.get(name, "").lower() for name in OTHER_LEG)
        others += [one for one in left if re.fullmatch(_UUID, one)]
    return others
