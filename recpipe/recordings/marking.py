"""What people say of calls: who may, and what of it is on the audit log.

Whoever may play a call may star it and say that it was reviewed; notes and tags are a right of their own. Whoever may
search the calls reads all of it. It is kept beside the call, never in a recording, and is not sealed with it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import replace

from recpipe.access.audit import AuditTrail, Detail, event
from recpipe.access.principal import Action, Principal
from recpipe.catalogue import Catalogue
from recpipe.errors import InputInvalid
from recpipe.messages import message
from recpipe.model import Call, Marks
from recpipe.recordings.reader import Reader
from recpipe.times import Clock

LONGEST_NOTE = 2000  # characters
MOST_TAGS = 20
LONGEST_TAG = 40  # characters


class Marking:
    """Marks calls. Thread-safe."""

    def __init__(self, catalogue: Catalogue, reader: Reader, trail: AuditTrail, clock: Clock) -> None:
        self._catalogue = catalogue
        self._reader = reader
        self._trail = trail
        self._clock = clock

    def mark(
        self,
        by: Principal,
        call_id: str,
        *,
        starred: bool | None = None,
        reviewed: bool | None = None,
        note: str | None = None,
        tags: Iterable[str] | None = None,
    ) -> Call:
        """Change what is said of a call; what is None stays as it is.

        Args:
            call_id: its own, or that of a recording that is one of its legs.

        Returns:
            The call as it is now.

        Raises:
            InputInvalid: the note or the tags are too long, or hold control characters. Nothing was changed.
            NotFound: there is no such call, or it is nothing to `by`.
            Forbidden: `by` may not search there; or not play, for a star or a review; or not annotate.
        """
        call = self._reader.call(by, call_id)
        if starred is not None or reviewed is not None:
            self._trail.require(by, Action.PLAY, call.tenant_id, "call", call.id)
        if note is not None or tags is not None:
            self._trail.require(by, Action.ANNOTATE, call.tenant_id, "call", call.id)
        wanted: dict[str, object] = {} if starred is None else {"starred": starred}
        if note is not None:
            wanted["note"] = note_of(note)
        if tags is not None:
            wanted["tags"] = tags_of(tags)
        now = self._clock()
        with self._catalogue.begin() as work:
            scope = work.of(call.tenant_id)
            before = scope.marks.to_change(call.id)
            if reviewed is not None and reviewed is not (before.reviewed_at is not None):
                wanted |= {"reviewed_at": now, "reviewed_by": by.name} if reviewed else _NOT_REVIEWED
            after = replace(before, **wanted)  # type: ignore[arg-type]
            if after != before:
                scope.marks.set(call.id, after)
                happened = event(by, "call.mark", now, tenant_id=call.tenant_id, subject=call.id)
                work.audit.add(replace(happened, detail=_changed(before, after)))
        return replace(call, marks=after)


_NOT_REVIEWED = {"reviewed_at": None, "reviewed_by": ""}


def note_of(written: str) -> str:
    """A note as it is kept: lines without the spaces at their ends.

    Raises:
        InputInvalid: it is longer than `LONGEST_NOTE`, or holds control characters.
    """
    note = unicodedata.normalize("NFC", "\n".join(line.rstrip() for line in written.splitlines())).strip()
    if len(note) > LONGEST_NOTE:
        raise InputInvalid(
            "note",
            message(
                "A note has at most {longest_note:,} characters; this one has {note:,}.",
                longest_note=LONGEST_NOTE,
                note=len(note),
            ),
        )
    if not note.replace("\n", "").isprintable():
        raise InputInvalid("note", "A note is text in lines, without control characters. Remove them.")
    return note


def tags_of(written: Iterable[str]) -> Sequence[str]:
    """Tags as they are kept: each once, whatever its case.

    Raises:
        InputInvalid: there are too many, or one is too long or holds a comma or control characters.
    """
    found: dict[str, str] = {}
    for one in written:
        tag = " ".join(unicodedata.normalize("NFC", one).split())
        if len(tag) > LONGEST_TAG:
            raise InputInvalid(
                "tags",
                message(
                    "A tag has at most {longest_tag} characters. Put the rest into the note.", longest_tag=LONGEST_TAG
                ),
            )
        if "," in tag or not tag.isprintable():
            raise InputInvalid("tags", "A tag is a word or two, without commas and control characters.")
        if tag:
            found.setdefault(tag.casefold(), tag)
    if len(found) > MOST_TAGS:
        raise InputInvalid("tags", message("A call has at most {most_tags} tags.", most_tags=MOST_TAGS))
    return tuple(found.values())


def _changed(before: Marks, after: Marks) -> dict[str, Detail]:
    """For the audit log: what changed. What was written may hold names and numbers, and stays out."""
    told: dict[str, Detail] = {}
    if after.starred is not before.starred:
        told["starred"] = after.starred
    if after.reviewed_at != before.reviewed_at:
        told["reviewed"] = after.reviewed_at is not None
    for name in ("note", "tags"):
        was, is_ = getattr(before, name), getattr(after, name)
        if was != is_:
            told[name] = "removed" if not is_ else "changed" if was else "added"
    return told
