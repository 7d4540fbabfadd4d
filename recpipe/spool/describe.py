"""All that is known of a spool file before its bytes are read: name, sidecar, call detail record, tenant.

Each fact comes from the most specific source that states it: the sidecar (written for this very file), then what the
proxy said while the call lasted, then the name (of this recording), then the call detail record (of the call, which
may have several recordings).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from recpipe.errors import Held, NotARecording, Unfit
from recpipe.model import CallFacts, Direction, RecordingKind, Settled
from recpipe.settings import Spool
from recpipe.spool import asterisk_voicemail, generic_names, layouts, naming, rtpengine_names, sidecar
from recpipe.spool.asterisk_cdr import AsteriskCdr
from recpipe.spool.beneath import Beneath
from recpipe.spool.files import CONTROL_FOLDER, recording_name, safe_text, sidecars_of
from recpipe.spool.freeswitch_cdr import FreeswitchCdr
from recpipe.spool.grammar import completed
from recpipe.spool.json_cdr import JsonCdr
from recpipe.spool.kazoo_cdr import KazooCdr
from recpipe.spool.live_calls import LiveCalls
from recpipe.spool.told_calls import ToldCall
from recpipe.times import Clock, from_ns, is_credible

# PBXs write the record when the last leg ends; a day covers calls on hold overnight and a spool that was behind.
RECORD_COMES_WITHIN = timedelta(days=1)
# A uuid anywhere, or the unique id of Asterisk at the end.
_ID_IN_NAME = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9]{9,10}\.[0-9]+(?=\.\w+$)")
Teller = AsteriskCdr | FreeswitchCdr | KazooCdr
_READERS: dict[str, type[FreeswitchCdr | JsonCdr | KazooCdr]] = {"rtpengine": JsonCdr, "kazoo": KazooCdr}  # of cdr_dir
_UNSAID = (None, "", (), Direction.UNKNOWN, RecordingKind.CALL)


class Describer:
    """Describes the files of one spool. Thread-safe.

    Args:
        control: the spool's control folder, where it is not `.recpipe` in the spool.

    Raises:
        SettingsInvalid: the pattern of layout "generic" has groups that mean nothing.
    """

    def __init__(
        self,
        spool: Spool,
        clock: Clock,
        control: Path | None = None,
    ) -> None:
        if spool.layout == "generic":
            generic_names.check_pattern(spool.pattern)
        self._spool = spool
        self._clock = clock
        self._below = Beneath(spool.path.absolute())
        self._live = None
        if spool.meta_dir is not None:
            self._live = LiveCalls(spool, control or spool.state_dir or spool.path.absolute() / CONTROL_FOLDER)
        self._cdrs: list[Teller | JsonCdr] = []
        if spool.cdr_csv is not None:
            self._cdrs.append(AsteriskCdr(spool.cdr_csv, spool.timezone))
        if spool.cdr_dir is not None:
            reader = _READERS.get(spool.layout, FreeswitchCdr)
            self._cdrs.append(reader(spool.cdr_dir, spool.timezone))

    def follow_calls(self) -> None:
        """Take note of the calls that last, every `LOOK_SECONDS`; costs nothing where there is no `meta_dir`."""
        if self._live is not None:
            self._live.look()

    def describe(self, settled: Settled) -> CallFacts:
        """Facts of one file; `awaits_cdr` when its call detail record is promised and not there yet.

        A start in the future (a clock that has gone wrong) counts only where no source has a credible one.

        Raises:
            Unfit: `name-not-understood`, `name-ambiguous`, `sidecar-invalid`, or `unknown-tenant` for a file outside
                any tenant's folder.
            Held: `sidecar-missing` (layouts "sidecar" and "asterisk-voicemail"), `sidecar-unfinished`.
            NotARecording: it is another format of a message that is beside it.
            SourceChanged: its folder is gone, or a link by now.
        """
        spool, now = self._spool, self._clock()
        name = recording_name(self._below_tenant(settled.relative))
        unread: Unfit | None = None
        try:
            facts = naming.parse(name, spool.layout, spool.pattern, spool.timezone)
        except Unfit as refused:
            facts, unread = CallFacts(), refused
        if self._live is not None:
            facts = _with_live(self._live, facts, name, now)
        with self._below.parent(settled.relative) as recording:
            if unread is not None and not sidecars_of(recording):
                raise unread
            if layouts.has_better_format(recording, spool.layout):
                raise NotARecording(safe_text(settled.relative), other_format=True)
            if spool.layout == "asterisk-voicemail":
                facts = _dated(_read(recording, lambda: asterisk_voicemail.description_of(recording, now)), facts, now)
            found = sidecars_of(recording)
            if spool.layout == "sidecar" and not found:
                raise Held(
                    "sidecar-missing",
                    f"{safe_text(settled.relative)} waits for its description: put "
                    f"{safe_text(settled.path.stem)}.json beside it.",
                )
            for path in reversed(found):  # the most specific last, so that it wins
                with suppress(FileNotFoundError):
                    facts = _dated(_read(path, partial(sidecar.read, path, spool.timezone)), facts, now)
        if unread is not None and facts.started_at is None:
            raise unread  # what is beside it does not say of which call it is either
        if self._cdrs:
            late = self.late_facts(facts.call_id)
            facts = replace(facts if late is None else _dated(facts, sure(late), now), awaits_cdr=is_to_come(late))
        return completed(facts)

    def name_of(self, settled: Settled, facts: CallFacts) -> str:
        """The path that tells a recording from others: as the PBX wrote it, or one that stays where it renames."""
        if self._spool.layout == "asterisk-voicemail":
            return asterisk_voicemail.name_of(settled.relative, facts)
        return settled.relative

    def late_facts(self, call_id: str) -> CallFacts | None:
        """What the call detail record of this call says by now; None when there is none. Join it with `fill`."""
        if not call_id:
            return None
        for cdr in self._cdrs:
            facts = cdr.facts(call_id)
            if facts is not None:
                return facts
        return None

    @property
    def tellers(self) -> list[Teller]:
        """The readers that tell of every call, whether a recording of it came or not."""
        return [cdr for cdr in self._cdrs if not isinstance(cdr, JsonCdr)]

    def recorded_as(self, told: ToldCall) -> str:
        """The call id that the recording will have which a record names; "" where it names none."""
        if not told.recording_name:
            return ""
        spool = self._spool
        with suppress(Unfit):
            call_id = naming.parse(told.recording_name, spool.layout, spool.pattern, spool.timezone).call_id
            if call_id:
                return call_id
        found = _ID_IN_NAME.search(told.recording_name)
        return found[0] if found is not None else ""

    def tenant_word_of(self, told: ToldCall) -> str:
        """The text that names the tenant of a call: as `tenant_of`, of which there may be no file."""
        how = self._spool.tenant
        return told.tenant_hint if how in ("from-path", "from-facts") else how

    def tenant_of(self, settled: Settled, facts: CallFacts) -> str:
        """The text that names the tenant: a tenant's name or alias. Never a guess.

        Raises:
            Unfit: `unknown-tenant`, nothing names one.
            Held: `record-missing`, the call detail record that may name one can still come.
        """
        how = self._spool.tenant
        if how == "from-path":
            folder, separator, _ = settled.relative.partition("/")
            if not separator:
                raise _outside_folders(settled.relative)
            return safe_text(folder)  # exact: no two folders become one tenant
        if how == "from-facts":
            if not facts.tenant_hint and facts.awaits_cdr and facts.call_id and self._is_young(settled):
                raise Held(
                    "record-missing",
                    f"{safe_text(settled.relative)} waits for the call detail record that says whose it is, for up to "
                    "a day. See that the PBX writes it where cdr_csv or cdr_dir says.",
                )
            if not facts.tenant_hint:
                raise Unfit(
                    "unknown-tenant",
                    f"Neither name, sidecar nor call detail record of {safe_text(settled.relative)} names a tenant. "
                    "Set the spool's tenant, or see that the PBX writes a domain or account, then retry.",
                )
            return facts.tenant_hint
        return how

    def _is_young(self, settled: Settled) -> bool:
        """Whether the file was written, or came into the spool, less than a day ago: its record may yet come."""
        now = self._clock()
        times = [settled.mtime_ns]
        with suppress(OSError):
            times.append(settled.path.lstat().st_ctime_ns)
        known = [at for at in map(from_ns, times) if is_credible(at, now)]
        return not known or now - max(known) < RECORD_COMES_WITHIN

    def lane(self, settled: Settled) -> str:
        """Files of one lane share workers in turn with those of others: as near to the tenant as the path can tell."""
        if self._spool.tenant not in ("from-path", "from-facts"):
            return ""
        folder, separator, _ = settled.relative.partition("/")
        return safe_text(folder) if separator else ""

    def _below_tenant(self, relative: str) -> str:
        if self._spool.tenant != "from-path":
            return relative
        _, separator, rest = relative.partition("/")
        if not separator:
            raise _outside_folders(relative)
        return rest


def _read(path: Path, how: Callable[[], CallFacts]) -> CallFacts:
    """Raises:
    FileNotFoundError: it is gone.
    Held: `sidecar-unreadable`.
    """
    try:
        return how()
    except FileNotFoundError:
        raise
    except OSError as error:
        text = f"The description of {safe_text(path.name)} cannot be read: {error.strerror}."
        raise Held("sidecar-unreadable", text) from error


def _with_live(live: LiveCalls, facts: CallFacts, name: str, now: datetime) -> CallFacts:
    """Facts of a name, with what was said of the call while it lasted."""
    parts = rtpengine_names.split(name)
    known = live.facts(parts.call_ids, now) if parts is not None else None
    if known is None:
        return facts
    said, seen_at = known
    return _dated(_dated(said, facts, now), CallFacts(started_at=seen_at), now)


def _dated(facts: CallFacts, more: CallFacts, now: datetime) -> CallFacts:
    """`fill`, but a start that cannot be true gives way to one that can."""
    ours, theirs = facts.started_at, more.started_at
    if ours is not None and theirs is not None and is_credible(theirs, now) and not is_credible(ours, now):
        facts = replace(facts, started_at=None)
    return fill(facts, more)


def fill(facts: CallFacts, more: CallFacts) -> CallFacts:
    """`facts`, with what they leave open taken from `more`."""
    changes = {}
    for field in fields(CallFacts):
        ours, theirs = getattr(facts, field.name), getattr(more, field.name)
        if ours in _UNSAID and theirs not in _UNSAID:
            changes[field.name] = theirs
    if facts.extension and more.extension not in ("", facts.extension, *facts.more_extensions):
        # Two sources name two of ours, as a name does who was called and a record who answered.
        others = (*facts.more_extensions, more.extension, *more.more_extensions)
        changes["more_extensions"] = tuple(one for one in dict.fromkeys(others) if one != facts.extension)
    if "started_at" in changes:
        changes["start_is_local"] = more.start_is_local
    return replace(facts, **changes)


def is_to_come(late: CallFacts | None) -> bool:
    """Whether a call detail record, or one that it leads to, is not there yet."""
    return late is None or late.awaits_cdr


def sure(late: CallFacts) -> CallFacts:
    """What a record says that no later one can change."""
    return replace(late, linked_id="") if late.awaits_cdr else late


def _outside_folders(relative: str) -> Unfit:
    return Unfit(
        "unknown-tenant",
        f"{safe_text(relative)} lies outside any tenant's folder, and this spool tells tenants by the first folder. "
        "Move it into the tenant's folder, or set the spool's tenant.",
    )
