"""Counters for Prometheus, one registry; names follow its naming guide (base units, `_total`)."""

from __future__ import annotations

import functools

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

REGISTRY = CollectorRegistry()

STORED = Counter("recpipe_recordings_stored", "Recordings stored and committed", ["spool"], registry=REGISTRY)
STORED_BYTES = Counter("recpipe_stored_bytes", "Bytes put into the store", ["spool"], registry=REGISTRY)
REPEATED = Counter("recpipe_recordings_repeated", "Files that had been stored before", ["spool"], registry=REGISTRY)
HELD = Counter("recpipe_recordings_held", "Times a file was held for a person", ["spool", "reason"], registry=REGISTRY)
HELD_NOW = Gauge("recpipe_files_held", "Files that are held now", ["spool", "reason"], registry=REGISTRY)
QUARANTINED = Counter(
    "recpipe_recordings_quarantined", "Files moved to quarantine", ["spool", "reason"], registry=REGISTRY
)
RETRIED = Counter("recpipe_ingest_retries", "Attempts that failed and will be repeated", ["spool"], registry=REGISTRY)
WAITING = Gauge("recpipe_spool_files_waiting", "Files seen and not yet stored", ["spool"], registry=REGISTRY)
AWAY = Gauge("recpipe_away", "1 while recordings wait for it: store or database", ["part"], registry=REGISTRY)
SPOOL_AWAY = Gauge(
    "recpipe_spool_away",
    "1 while a spool is not served: not there, not mounted or another's",
    ["spool"],
    registry=REGISTRY,
)
STUCK = Gauge(
    "recpipe_ingest_workers_stuck", "Workers at one file for longer than its size explains", registry=REGISTRY
)
IGNORED = Gauge(
    "recpipe_spool_files_ignored",
    "Files that are no recordings and stay in the spool",
    ["spool", "reason"],
    registry=REGISTRY,
)
GONE_UNTAKEN = Counter(
    "recpipe_spool_gone_untaken_total",
    "Files of the PBX's own that it removed before they were stored",
    ["spool"],
    registry=REGISTRY,
)
SIDECARS_ALONE = Gauge(
    "recpipe_spool_sidecars_alone",
    "Sidecars that were sent and have lain for an hour without a recording",
    ["spool"],
    registry=REGISTRY,
)
JOB_RUNS = Counter(
    "recpipe_job_runs", "Runs of background jobs that ended: done or failed", ["job", "outcome"], registry=REGISTRY
)
PROBLEMS = Gauge("recpipe_verify_problems", "Disagreements of catalogue and store, at the last look", registry=REGISTRY)
COMPLETENESS = Gauge(
    "recpipe_completeness_findings",
    "Open findings of the comparison of calls and recordings, by kind, at the last look",
    ["kind"],
    registry=REGISTRY,
)
LATENCY = Histogram(
    "recpipe_ingest_latency_seconds",
    "From the last write to a file until its row was committed",
    ["spool"],
    buckets=(0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 900, 3600),
    registry=REGISTRY,
)
DECISIONS = Counter(
    "recpipe_decisions", "Questions of PBXs that were answered: record, skip or default", ["verdict"], registry=REGISTRY
)
DECISIONS_LOST = Counter(
    "recpipe_decisions_lost",
    "Answers to PBXs that could not be kept for the comparison with recordings",
    registry=REGISTRY,
)
POLICY_READ = Gauge(
    "recpipe_policy_read_timestamp_seconds", "When the rules were read that PBXs are answered by", registry=REGISTRY
)
FTP_SESSIONS = Gauge("recpipe_ftp_sessions", "Connected FTP clients", registry=REGISTRY)
FTP_LOGGED_IN = Gauge("recpipe_ftp_sessions_logged_in", "FTP clients that are logged in", registry=REGISTRY)
FTP_TRANSFERRING = Gauge("recpipe_ftp_sessions_transferring", "FTP clients with a data connection", registry=REGISTRY)
FTP_TRANSFERS = Counter(
    "recpipe_ftp_transfers", "Transfers that ended: complete or broken off", ["verb", "outcome"], registry=REGISTRY
)
FTP_BYTES = Counter(
    "recpipe_ftp_transfer_bytes", "Bytes of these transfers, both ways", ["verb", "outcome"], registry=REGISTRY
)
FTP_LOGINS = Counter(
    "recpipe_ftp_logins",
    "Logins: ok, rejected, locked-out, busy or too-many-sessions",
    ["outcome"],
    registry=REGISTRY,
)
FTP_TURNED_AWAY = Counter(
    "recpipe_ftp_connections_refused",
    "Connections over the limit of an address or the server",
    ["limit"],
    registry=REGISTRY,
)
FTP_UPLOADS_REFUSED = Counter(
    "recpipe_ftp_uploads_refused", "Files sent over FTP that were not kept, by reason", ["reason"], registry=REGISTRY
)
HTTP_UPLOADS_REFUSED = Counter(
    "recpipe_http_uploads_refused", "Files sent over HTTP that were not kept, by reason", ["reason"], registry=REGISTRY
)
LETTERS = Counter(
    "recpipe_letters", "Letters: sent, failed, or dropped since too many wait", ["outcome"], registry=REGISTRY
)


def exposition() -> bytes:
    """The text format of Prometheus, version 0.0.4."""
    return generate_latest(REGISTRY)


def count_transfer(verb: str, outcome: str, moved_bytes: int) -> None:
    """One FTP transfer that is over."""
    transfers, moved = _of_transfers(verb, outcome)
    transfers.inc()
    moved.inc(moved_bytes)


@functools.cache
def _of_transfers(verb: str, outcome: str) -> tuple[Counter, Counter]:
    # Finding the one of a verb and an outcome takes longer than counting.
    return FTP_TRANSFERS.labels(verb, outcome), FTP_BYTES.labels(verb, outcome)
