"""A long thought that a person writes, in their own editor: the way that needs no model.

What was typed is never lost: it stands in a file of the lab from the first key to the moment the trace is in the
database, and the next ``write`` of the same problem opens a file that was left over.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from o1lab.chains.parse import parse
from o1lab.chains.verify import VerifierPool
from o1lab.errors import LabError, O1LabError, from_store
from o1lab.ingest.edit import SYNTHESIS, run_editor
from o1lab.ingest.measuring import measure_trace
from o1lab.paths import Lab
from o1lab.text import visible
from store import problems, traces
from store.connection import Store
from store.errors import MissingError, StoreError
from store.filters import Condition, ProblemQuery
from store.records import NewTrace, Problem, TraceRow, decode, encode

SOURCE = "written"

_SCISSORS = "# ------------------------ >8 ------------------------"
_CUT = re.compile(rf"^{re.escape(_SCISSORS)}[ \t\r]*$", re.MULTILINE)
_BODY = "<think>\n\n</think>\n\n"
_HEADER = """\
# Write the long thought between <think> and </think>: how you understand the problem, what you try, every doubt, every
# check, every dead end and how you came back from it. Below </think> stands the solution, its answer in \\boxed{{}}.
# Lines above the cut are left out. If nothing is written below it, nothing is recorded.
#
# Problem {id}{gold}
#
{statement}
#
{scissors}
"""


def find_problem(store: Store, identity: str) -> Problem:
    """The problem with this id, or with the only id that begins so.

    Raises:
        MissingError: there is none, or several begin so.
    """
    by_id = ProblemQuery(conditions=(Condition("id", (identity,)),))
    found = list(problems.select(store.db, by_id, limit=2)) if identity else []
    if len(found) != 1:
        raise MissingError(
            f"{'Several problems begin' if found else 'No problem begins'} with '{identity}'.",
            "`o1lab problems ls` lists them.",
        )
    return found[0]


def draft_path(lab: Lab, problem: Problem, annotator: str) -> Path:
    """Where the text stands while it is written."""
    return lab.root / "drafts" / f"{problem.id}-{re.sub(r'[^A-Za-z0-9_.-]', '_', annotator)}.md"


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
    """Let a person write a trace of ``problem`` and record it, measured and verified; None when nothing was written.

    Args:
        annotator: the person; the trace's model.
        licence: of what they write.
        edit: opens the file and returns when the person is done.

    Raises:
        LabError: the editor or the database stands in the way; the text is kept in the file that the hint names.
    """
    path = draft_path(lab, problem, annotator)
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode(template(problem)))
        edit(path)
        raw = written(decode(path.read_bytes()))
        row = None
        if raw is not None:
            with store.explained():
                row = _record(store, _trace(problem, raw, annotator, licence), problem.statement, pool)
    except (O1LabError, StoreError, OSError, UnicodeDecodeError) as error:
        told = from_store(error) if isinstance(error, StoreError) else error
        message = told.message if isinstance(told, O1LabError) else f"{path} cannot be read or written: {told}."
        if _typed(path, problem):
            raise LabError(message, f"What you wrote is in {path}; the same command opens it again.") from error
        path.unlink(missing_ok=True)
        raise LabError(message, told.hint if isinstance(told, O1LabError) else "") from error
    path.unlink(missing_ok=True)
    return row


def template(problem: Problem) -> str:
    """The file a person begins with."""
    statement = "\n".join(f"# {line}".rstrip() for line in visible(problem.statement).splitlines())
    gold = "" if problem.answer is None else f" (gold answer: {visible(problem.answer)!r})"
    return _HEADER.format(id=problem.id, gold=gold, statement=statement, scissors=_SCISSORS) + _BODY


def written(text: str) -> str | None:
    """The trace's text in a file that was edited, None if there is none.

    A thought that was left empty leaves the solution alone; all else stays as it was typed.
    """
    cut = _CUT.search(text)
    body = text[cut.end() if cut else 0 :].strip()
    parsed = parse(body)
    if parsed.thought is None:
        body = parsed.solution_of(body)
    return body or None


def _trace(problem: Problem, raw: str, annotator: str, licence: str | None) -> NewTrace:
    parsed = parse(raw)
    return NewTrace(
        problem.id,
        annotator,
        raw,
        parsed.thought or (0, 0),
        parsed.solution or (len(raw), len(raw)),
        parsed.complete,
        str(parsed.format),
        SOURCE,
        licence=licence,
        synthesis=SYNTHESIS,
        meta={"written_by": annotator},
    )


def _record(store: Store, new: NewTrace, statement: str, pool: VerifierPool | None) -> TraceRow:
    with store.db.atomic():
        traces.add(store.db, [(new, statement)])
    measure_trace(store, new.id, pool=pool)
    return traces.get(store.db, new.id)


def _typed(path: Path, problem: Problem) -> bool:
    """Whether the file holds more than a person was given."""
    try:
        return path.read_bytes() != encode(template(problem))
    except OSError:
        return False
