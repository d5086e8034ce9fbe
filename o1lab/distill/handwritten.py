"""Long thoughts written by hand in an editor, without a model.

The text is never lost: it is kept in a file of the lab until the trace is in the database, and the next ``write`` of
the same problem opens a file that was left.
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
# check, every dead end and how you return from it. Write the solution below </think>, with its answer in \\boxed{{}}.
# Lines above the cut are removed. If you write nothing below it, nothing is recorded.
#
# Problem {id}{gold}
#
{statement}
#
{scissors}
"""


def find_problem(store: Store, identity: str) -> Problem:
    """Return the problem whose id is or starts with ``identity``.

    Raises:
        MissingError: no id, or several ids, start with it.
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
    """Return the file of the text while it is being written."""
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
        cause = from_store(error) if isinstance(error, StoreError) else error
        message = cause.message if isinstance(cause, O1LabError) else f"{path} cannot be read or written: {cause}."
        if _edited(path, problem):
            raise LabError(message, f"Your text is in {path}; the same command opens it again.") from error
        path.unlink(missing_ok=True)
        raise LabError(message, cause.hint if isinstance(cause, O1LabError) else "") from error
    path.unlink(missing_ok=True)
    return row


def template(problem: Problem) -> str:
    """Return the initial content of the file."""
    statement = "\n".join(f"# {line}".rstrip() for line in visible(problem.statement).splitlines())
    gold = "" if problem.answer is None else f" (gold answer: {visible(problem.answer)!r})"
    return _HEADER.format(id=problem.id, gold=gold, statement=statement, scissors=_SCISSORS) + _BODY


def written(text: str) -> str | None:
    """Return the text of the trace in an edited file, None if it is empty.

    An empty thought is removed together with its marks; everything else is kept as typed.
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
        parsed.format,
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


def _edited(path: Path, problem: Problem) -> bool:
    """Return whether the file differs from the template."""
    try:
        return path.read_bytes() != encode(template(problem))
    except OSError:
        return False
