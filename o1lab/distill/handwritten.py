"""Long thoughts written by hand, in an editor or in the writing screen, without a model.

The text is never lost: it is kept in a file of the lab until the trace is in the database, and the next ``write`` of
the same problem opens a file that was left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from o1lab.chains.parse import parse
from o1lab.chains.segmentation.moves import Move, pack
from o1lab.chains.verify import VerifierPool
from o1lab.distill.drafts import Draft, body_of, draft_of, draft_path, is_by_lines, list_drafts, read_draft, template
from o1lab.errors import LabError, O1LabError, UsageError
from o1lab.ingest.edit import SYNTHESIS, run_editor
from o1lab.ingest.measuring import measure_trace
from o1lab.paths import Lab
from store import problems, traces
from store.connection import Store
from store.records import OWN_MOVES, NewTrace, Problem, TraceRow, decode, encode
from store.sqlite import Database

SOURCE = "written"


@dataclass(frozen=True)
class WrittenDraft:
    """A draft of the lab, for lists.

    Attributes:
        writer: the writer's name, as the name of the file has it.
        saved_at: when it was saved last, in UTC.
        moves: the number of lines of the thought that are not empty.
        statement: the statement of the problem; empty if the lab has no such problem.
        unreadable: why the file cannot be read; empty if it can.
    """

    problem_id: str
    writer: str
    path: Path
    saved_at: str
    moves: int = 0
    chars: int = 0
    statement: str = ""
    unreadable: str = ""


def described_drafts(db: Database, lab: Lab) -> list[WrittenDraft]:
    """Return the drafts of a lab, the latest first; one that cannot be read costs only its own facts.

    Raises:
        LabError: the folder cannot be read.
    """
    found = []
    for file in list_drafts(lab):
        problem = problems.get(db, file.problem_id)
        statement = problem.statement if problem else ""
        saved_at = datetime.fromtimestamp(file.saved_at, UTC).isoformat(timespec="seconds")
        try:
            draft, _ = read_draft(file.path)
            about: dict[str, Any] = {
                "moves": sum(bool(line.text.strip()) for line in draft.lines),
                "chars": len(draft.thought) + len(draft.solution),
            }
        except LabError as error:
            about = {"unreadable": error.message}
        found.append(WrittenDraft(file.problem_id, file.writer, file.path, saved_at, statement=statement, **about))
    return found


def write(
    store: Store,
    lab: Lab,
    problem: Problem,
    *,
    annotator: str,
    licence: str | None = None,
    edit: Callable[[Path], None] = run_editor,
    pool: VerifierPool | None = None,
) -> TraceRow | None:
    """Open an editor for a trace of ``problem``, then record, measure and verify the text.

    Args:
        store: the lab's database.
        lab: the lab, for the draft file.
        problem: the problem to solve.
        annotator: the author, recorded as the model of the trace.
        licence: the licence of the text.
        edit: opens the file and returns when the author has finished.
        pool: verifies the answer; a temporary pool if None.

    Returns:
        The recorded trace; None if nothing was written.

    Raises:
        LabError: the editor or the database failed; the text is kept in the file that the hint names.
    """
    path = draft_path(lab, problem.id, annotator)
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode(template(problem)))
        edit(path)
        text = decode(path.read_bytes())
        raw = written(text)
        row = None
        if raw is not None:
            draft = draft_of(text) if is_by_lines(text) else None
            with store.explained():
                row = _record(store, _trace(problem, raw, annotator, licence, draft), problem.statement, pool)
    except (O1LabError, OSError, UnicodeDecodeError) as error:
        message = error.message if isinstance(error, O1LabError) else f"{path} cannot be read or written: {error}."
        if _edited(path, problem):
            raise LabError(message, f"Your text is in {path}; the same command opens it again.") from error
        path.unlink(missing_ok=True)
        raise LabError(message, error.hint if isinstance(error, O1LabError) else "") from error
    path.unlink(missing_ok=True)
    return row


def written(text: str) -> str | None:
    """Return the text of the trace in an edited file, None if it is empty.

    An empty thought is removed together with its marks; everything else is kept as typed.
    """
    body = body_of(text).strip()
    parsed = parse(body)
    if parsed.thought is None:
        body = parsed.solution_of(body)
    return body or None


def check_complete(draft: Draft) -> None:
    """Check that a draft can be recorded.

    Raises:
        UsageError: the thought or the solution is empty.
    """
    if not draft.thought.strip() or not draft.solution.strip():
        part = "solution" if draft.thought.strip() else "thought"
        raise UsageError(f"The {part} is empty.", "Write it first, or leave with esc: the draft is kept.")


def record(
    store: Store, problem: Problem, draft: Draft, *, annotator: str, licence: str | None, pool: VerifierPool
) -> TraceRow:
    """Record a draft as a trace, with a move for each line of its thought; measure and verify it.

    Raises:
        UsageError: the thought or the solution is empty.
        StoreError: the database failed.
    """
    check_complete(draft)
    with store.explained():
        raw = draft.raw.strip()
        return _record(store, _trace(problem, raw, annotator, licence, draft), problem.statement, pool)


def _trace(problem: Problem, raw: str, annotator: str, licence: str | None, draft: Draft | None) -> NewTrace:
    parsed = parse(raw)
    meta = {"written_by": annotator}
    if draft is not None and (packed := _own_moves(draft, parsed.thought_of(raw))):
        meta[OWN_MOVES] = packed
    return NewTrace(
        problem.id, annotator, source=SOURCE, licence=licence, synthesis=SYNTHESIS, meta=meta, **parsed.fields(raw)
    )


def _own_moves(draft: Draft, thought: str) -> str:
    """Return the moves of a draft, packed, in code points of the thought of its trace, which has no margins."""
    if not thought or (shift := draft.thought.find(thought)) < 0:
        return ""
    cut = [Move(kind, max(start - shift, 0), min(end - shift, len(thought))) for kind, start, end in draft.moves()]
    return pack(move for move in cut if move.start < move.end)


def _record(store: Store, new: NewTrace, statement: str, pool: VerifierPool | None) -> TraceRow:
    with store.db.atomic():
        traces.add(store.db, [(new, statement)])
    measure_trace(store, new.id, pool=pool)
    return traces.get(store.db, new.id)


def _edited(path: Path, problem: Problem) -> bool:
    """Return whether the file differs from the template."""
    try:
        return path.read_bytes() != encode(template(problem))
    except OSError:
        return False
