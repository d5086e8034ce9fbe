"""Edited traces: a chain changed by hand becomes a new trace with the original as its parent, verified again."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

from o1lab.chains.marks import PLAIN, UNMARKED
from o1lab.chains.parse import parse, split_unmarked
from o1lab.chains.verify import VerifierPool
from o1lab.errors import LabError, UsageError
from o1lab.ingest.measuring import as_record, measure_new
from o1lab.ingest.verifying import verify_pairs
from store import annotations as annotation_log
from store import traces
from store.connection import Store
from store.records import Annotation, Context, NewTrace, TraceRow

SYNTHESIS = "human"


def add_edited(store: Store, parent_id: str, raw: str, *, annotator: str, pool: VerifierPool) -> Annotation:
    """Add ``raw`` as an edit of a trace.

    The edit keeps the model, source, key and licence of the parent, because most of the text is the model's; its
    synthesis is "human". If an edit with the same text exists, it is not added again.

    Args:
        store: the lab's database.
        parent_id: the edited trace.
        raw: the new text.
        annotator: the person who edited it.
        pool: verifies the new answer.

    Returns:
        The annotation of the parent; its value is the id of the new trace.

    Raises:
        NotFoundError: there is no such parent.
        UsageError: the text is empty or unchanged.
    """
    parent, text = traces.get(store.db, parent_id), traces.text(store.db, parent_id)
    if not raw.strip():
        raise UsageError("An edited chain cannot be empty.", "The trace was not changed.")
    if raw == text.raw:
        raise UsageError("The text is unchanged.", "Nothing was recorded.")
    new = _edited(parent, raw, annotator, text.context)
    found = measure_new(new)
    [verdict] = verify_pairs(store.db, pool, [(text.gold, found.answer)])
    with store.db.atomic():
        traces.add(store.db, [(new, text.statement)])
        traces.set_measures(store.db, [as_record(new.id, found, verdict.status, verdict.reason)])
        return annotation_log.annotate(store.db, parent.id, "edit", new.id, annotator=annotator)


def _edited(parent: TraceRow, raw: str, annotator: str, context: Context) -> NewTrace:
    parsed = parse(raw)
    if parent.format == UNMARKED and parsed.format == PLAIN:
        parsed = split_unmarked(raw)
    return NewTrace(
        parent.problem_id, parent.model, source=parent.source, key=parent.key, licence=parent.licence,
        synthesis=SYNTHESIS, parent_id=parent.id, meta={"edited_by": annotator}, context=context, **parsed.fields(raw),
    )  # fmt: skip


def editor() -> list[str]:
    """Return the command that edits a file: $VISUAL, else $EDITOR, else vi."""
    return shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")


def run_editor(path: Path) -> None:
    """Run the editor on ``path`` and wait; the editor uses the terminal meanwhile.

    Raises:
        LabError: the editor cannot be started or failed.
    """
    command = editor()
    try:
        status = subprocess.call([*command, str(path)])
    except OSError as error:
        raise LabError(
            f"The editor '{' '.join(command)}' cannot be started: {error.strerror}.",
            "Set EDITOR to an installed editor.",
        ) from error
    if status:
        raise LabError(f"The editor '{' '.join(command)}' ended with status {status}.", "Nothing was recorded.")
