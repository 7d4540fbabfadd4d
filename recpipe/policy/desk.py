"""Where PBXs ask whether to record: answered from memory, refreshed every second, also while the database is away.

One thread reads what changed and writes what was told. It runs while anybody asks, and ends some time after.
"""

from __future__ import annotations

import itertools
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from recpipe import log, metrics
from recpipe.access.principal import Action, Principal
from recpipe.catalogue.catalogue import Catalogue
from recpipe.errors import CatalogueError, CatalogueUnavailable, InputInvalid, NotFound
from recpipe.model import Asker, CallAsked, CallPolicy, Decision, Direction, Ruling, SeenKind
from recpipe.policy import values
from recpipe.policy.judge import judge, number_of, route_of
from recpipe.policy.snapshot import Asking, Snapshot, read
from recpipe.policy.told import Told
from recpipe.times import Clock

_log = log.get(__name__)

REFRESH_SECONDS = 1.0
VALID_SECONDS = 60  # how long an answer may be used again for a call like it
# Who asks first after a pause waits so long for what changed meanwhile.
_FIRST_SECONDS = 0.3
_IDLE_SECONDS = 60.0
_STOP_SECONDS = 3.0
_SAY_AGAIN_SECONDS = 60.0
LONGEST_ID = 200
MOST_EXTENSIONS = 10


@dataclass(frozen=True, slots=True)
class Question:
    """One question of a PBX, as it came."""

    call: CallAsked
    tenant: str = ""  # name, alias or id; "": the one that the token is for
    call_id: str = ""
    linked_id: str = ""
    pbx: str = ""  # which server asks, where several share a token


@dataclass(frozen=True, slots=True)
class Answer:
    """What a PBX is told."""

    decision_id: str
    ruling: Ruling
    policy: CallPolicy
    read_at: datetime  # when the policy was read: older than a second or two while the database is away


class PolicyDesk:
    """Answers PBXs. Thread-safe; what is asked of the database is asked by a thread of its own."""

    def __init__(self, catalogue: Catalogue, clock: Clock, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._catalogue = catalogue
        self._clock = clock
        self._monotonic = monotonic
        self.told = Told(catalogue, clock)
        self._snapshot: Snapshot | None = None
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._first_tried = threading.Event()
        self._process, self._numbers = secrets.token_hex(6), itertools.count()
        self._asked_at = 0.0
        self._said_at = -_SAY_AGAIN_SECONDS

    # --- who asks -----------------------------------------------------------------------------------------

    @property
    def awake(self) -> bool:
        """Whether what is known is refreshed now: then nothing here waits for a database."""
        return self._first_tried.is_set()

    def wake(self) -> None:
        """Begin to refresh, and wait a moment for the first look. For a thread that may wait."""
        self._asked_at = self._monotonic()
        with self._lock:
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._run, name="policy", daemon=True)
                self._thread.start()
        self._first_tried.wait(_FIRST_SECONDS)

    def asking(self, token_hash: str) -> Asking | None:
        """Who asks with this token; None where that is not known here: it may be new, or none of ours."""
        self._asked_at = self._monotonic()
        snapshot = self._snapshot
        found = snapshot.tokens.get(token_hash) if snapshot is not None else None
        if found is None or (found.expires_at is not None and found.expires_at <= self._clock()):
            return None
        return found

    def refresh(self) -> None:
        """Read what changed.

        Raises:
            CatalogueUnavailable: it cannot be read now.
        """
        with self._reading, self._catalogue.read() as work:
            self._snapshot = read(work, self._clock(), self._snapshot)
        metrics.POLICY_READ.set(self._snapshot.read_at.timestamp())

    # --- the answer ---------------------------------------------------------------------------------------

    def answer(self, by: Principal, asker: str, question: Question) -> Answer:
        """Judge a call, and note that it was asked of. Waits for nothing.

        Args:
            asker: what the PBX is called that asks, where the question does not say.

        Raises:
            NotFound: there is no such tenant, or it is nothing to `by`.
            Forbidden: `by` may not ask there.
            InputInvalid: no tenant is named, and the token is for several.
            CatalogueUnavailable: nothing was ever read, and the database is away.
        """
        snapshot = self._snapshot
        if snapshot is None:
            raise CatalogueUnavailable("The policy was not read yet: the database does not answer.")
        policy = self._policy_of(snapshot, by, question.tenant)
        ruling, now = judge(policy, question.call), self._clock()
        name = (question.pbx or asker)[:LONGEST_ID]
        made = Decision(
            id=self._decision_id(now),
            tenant_id=policy.tenant_id,
            at=now,
            asker=name,
            call_id=question.call_id[:LONGEST_ID],
            linked_id=question.linked_id[:LONGEST_ID],
            direction=question.call.direction,
            extension=question.call.extensions[0][:100] if question.call.extensions else "",
            verdict=ruling.verdict,
            rule=ruling.rule,
            policy_version=policy.version,
        )
        if made.call_id or made.linked_id:
            self.told.decision(made, by.name)
        self.told.asked(policy.tenant_id, Asker(name, now, policy.version))
        self._note_unknown(policy, question.call, now)
        metrics.DECISIONS.labels(ruling.verdict.value).inc()
        return Answer(made.id, ruling, policy, snapshot.read_at)

    @staticmethod
    def _policy_of(snapshot: Snapshot, by: Principal, tenant: str) -> CallPolicy:
        if not tenant:
            allowed = by.tenants(Action.DECIDE)
            if allowed is not None and not allowed:
                by.require(Action.DECIDE)
            if allowed is None or len(allowed) != 1:
                raise InputInvalid("tenant", "Name the tenant: this token is not for one alone.")
            [tenant] = allowed
        policy = snapshot.policy(tenant)
        tenant_id = policy.tenant_id if policy is not None else tenant
        by.require(Action.DECIDE, tenant_id, which=tenant)
        if policy is None:
            raise NotFound("tenant", tenant)
        return policy

    def _note_unknown(self, policy: CallPolicy, asked: CallAsked, now: datetime) -> None:
        unknown = [(SeenKind.EXTENSION, one) for one in asked.extensions if one not in policy.extensions]
        if asked.direction is Direction.INBOUND and asked.route and route_of(policy, asked.route) is None:
            unknown.append((SeenKind.ROUTE, number_of(asked.route[: values.LONGEST_SUBJECT + 1], policy.region)))
        for kind, subject in unknown:
            if values.is_subject(subject):  # of anything else nobody could make a rule
                self.told.seen(policy.tenant_id, kind, subject, now)

    def _decision_id(self, now: datetime) -> str:
        """32 hex digits that begin with the time in milliseconds: rows are added at one end of the index."""
        return f"{int(now.timestamp() * 1000):012x}{self._process}{next(self._numbers) & 0xFFFFFFFF:08x}"

    # --- the thread ---------------------------------------------------------------------------------------

    def close(self) -> None:
        """Write what was told, and stop."""
        self._stop.set()
        if (thread := self._thread) is not None:
            thread.join(_STOP_SECONDS)
            if thread.is_alive():  # it waits for a database that is silent, and would let us wait as well
                _log.error("decisions not kept", error="the database does not answer")
                return
        try:
            self.told.flush(everything=True)
        except CatalogueError as error:
            _log.error("decisions not kept", error=type(error).__name__)

    def _run(self) -> None:
        while True:
            try:
                self._look()
            except Exception:  # this thread must go on: without it PBXs would be told old rules for good
                _log.exception("policy not refreshed")
            self._first_tried.set()
            if self._stop.wait(REFRESH_SECONDS):
                return
            if self._monotonic() - self._asked_at > _IDLE_SECONDS:
                with self._lock:
                    self._first_tried.clear()
                    self._thread = None
                self._flush(everything=True)
                return

    def _look(self) -> None:
        try:
            self.refresh()
        except CatalogueError as error:
            self._say(error)
        self._flush()

    def _flush(self, *, everything: bool = False) -> None:
        try:
            self.told.flush(everything=everything)
        except CatalogueError as error:
            self._say(error)

    def _say(self, error: CatalogueError) -> None:
        if self._monotonic() - self._said_at >= _SAY_AGAIN_SECONDS:
            self._said_at = self._monotonic()
            since = self._snapshot.read_at.isoformat() if self._snapshot is not None else "never"
            _log.warning("policy not refreshed", error=type(error).__name__, answered_as_of=since)


def named(asking: Asking, address: str) -> Principal:
    """Who asks, from where."""
    return replace(asking.principal, address=address)
