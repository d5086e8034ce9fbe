"""An edited trace: a person's version of a chain, a trace of its own with the parent it came from, verified again."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

from o1lab.chains.parse import parse
from o1lab.chains.verify import VerifierPool
from o1lab.errors import LabError, UsageError
from o1lab.ingest.measuring import as_record, measure_new
from store import annotations as annotation_log
from store import traces
from store.connection import Store
from store.records import Annotation, NewTrace, TraceRow

SYNTHESIS = "human"


def add_edited(store: Store, parent_id: str, raw: str, *, annotator: str, pool: VerifierPool) -> Annotation:
    """Add ``raw`` as an edit of a trace and return the annotation on the parent that says so (its value is the new id).

    The edit keeps the parent's model, source, key and licence, because most of its words are the model's; its
    synthesis is "human" and ``parent_id`` leads back. The same text again is the trace that is there already.

    Raises:
        MissingError: there is no such parent.
        UsageError: the text is empty or the parent's own.
    """
    parent, text = traces.get(store.db, parent_id), traces.text(store.db, parent_id)
    if not raw.strip():
        raise UsageError("An edited chain cannot be empty.", "The trace stays as it was.")
    if raw == text.raw:
        raise UsageError("Nothing was changed.", "The trace stays as it was.")
    new = _edited(parent, raw, annotator)
    found = measure_new(new)
    verdict = pool.verify(text.gold, found.answer)
    with store.db.atomic():
        traces.add(store.db, [(new, text.statement)])
        traces.set_measures(store.db, [as_record(new.id, found, verdict.status, verdict.reason)])
        return annotation_log.annotate(store.db, parent.id, "edit", new.id, annotator=annotator)


def _edited(parent: TraceRow, raw: str, annotator: str) -> NewTrace:
    parsed = parse(raw)
    end = (len(raw), len(raw))
    return NewTrace(
        parent.problem_id, parent.model, raw, parsed.thought or (0, 0), parsed.solution or end,
        parsed.complete, str(parsed.format), parent.source, parent.key, parent.licence, SYNTHESIS, parent.id,
        meta={"edited_by": annotator},
    )  # fmt: skip


def editor() -> list[str]:
    """The command that edits a file: $VISUAL, else $EDITOR, else vi."""
    return shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")


def run_editor(path: Path) -> None:
    """Run the editor on ``path`` and wait; the terminal is its own meanwhile.

    Raises:
        LabError: there is no such editor, or it ended with an error.
    """
    command = editor()
    try:
        status = subprocess.call([*command, str(path)])
    except OSError as error:
        raise LabError(
            f"The editor '{' '.join(command)}' cannot be started: {error.strerror}.", "Set EDITOR to one that is there."
        ) from error
    if status:
        raise LabError(f"The editor '{' '.join(command)}' ended with status {status}.", "Nothing was recorded.")
