"""Convert a row to a problem and its traces. Importers recognise rows by their columns; the file name does not matter.

Reports call the formats: ``recorded`` (a response as this project stores it), ``s1``, ``sharegpt``, ``messages``,
``reasoning`` (thought and answer side by side), ``alpaca`` (a problem with responses) and ``problems``.

Every string of a row is used, kept with the trace or the problem, or counted as unused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from o1lab.chains.answers import How, extract_answer
from o1lab.chains.equality.notation import normalise
from o1lab.chains.marks import PLAIN, UNMARKED
from o1lab.chains.parse import parse, split_unmarked
from o1lab.ingest.importers.base import IMPORTERS, Found, Importer, Recognise, RowError, TraceText
from o1lab.ingest.importers.columns import columns, recognise
from o1lab.ingest.importers.roles import Layout, layout
from o1lab.ingest.importers.texts import string, strings
from o1lab.ingest.trees import tree_record, walk_record
from store.records import NewProblem, NewTrace
from store.trees import NewTree, NewWalk

SYNTHESES = (
    "distilled", "reformatted", "translated", "solver", "tree search", "multi-agent", "rescued", "human", "replay",
    "unknown",
)  # fmt: skip
UNKNOWN = "unknown"
KEPT = "kept"
"""What a small value is taken for that has no role: it is stored with the trace or the problem."""

_LONGEST_GOLD = 200
_MOST_KEPT = 40


@dataclass(frozen=True)
class FileOrigin:
    """Metadata of a file given by the user; a model or licence in the row takes precedence.

    ``mapping`` has pairs of a column and its role, see :data:`~o1lab.ingest.importers.roles.ROLES`.
    """

    source: str
    licence: str | None = None
    teacher: str | None = None
    synthesis: str | None = None
    mapping: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ParsedRow:
    """The content of one row: a problem, and the traces that answer it.

    Attributes:
        format: the name of its format.
        problem: the problem.
        traces: the traces.
        used: what each column was taken for.
        unused: the number of characters of each column that are stored nowhere.
        tree: the search tree that its only trace was made from.
        walk: the walk through that tree.
        notes: what of the row is guessed, not kept or not used.
    """

    format: str
    problem: NewProblem
    traces: Sequence[NewTrace]
    used: Mapping[str, str] = field(default_factory=dict)
    unused: Mapping[str, int] = field(default_factory=dict)
    tree: NewTree | None = None
    walk: NewWalk | None = None
    notes: Sequence[str] = ()


def read_row(row: Mapping[str, Any], provenance: FileOrigin, line: int) -> ParsedRow:
    """Parse a row into its problem and traces.

    Args:
        row: the row as JSON.
        provenance: metadata of the file, given by the user.
        line: the line of the row, used as key if the row has none.

    Raises:
        RowError: no importer recognises it, or it is empty.
    """
    importer, found = _recognised(row, provenance)
    if importer is None or found is None:
        raise RowError(f"no format known here has these keys: {_keys(row)}; --map COLUMN=ROLE says what they are")
    if not found.statement.strip():
        raise RowError("the problem is empty")
    return _Row(row, provenance, found, line).parsed(importer)


def _recognised(row: Mapping[str, Any], provenance: FileOrigin) -> tuple[Importer | None, Found | None]:
    importers = IMPORTERS.all()
    functions: set[Recognise] = set()
    for importer in importers.values():
        if importer.recognise in functions:
            continue
        functions.add(importer.recognise)
        if provenance.mapping and importer.recognise is columns:  # the user says what the columns are
            found = recognise(row, layout(tuple(row), provenance.mapping))
        else:
            found = _tried(importer, row)
        if found is not None:
            return importers.get(found.form, importer), found
    return None, None


class _Row:
    """Converts one recognised row, and records what its columns were taken for."""

    def __init__(self, row: Mapping[str, Any], provenance: FileOrigin, found: Found, line: int) -> None:
        self.row = row
        self.provenance = provenance
        self.found = found
        self.known: Layout = layout(tuple(row), provenance.mapping)
        self.used: dict[str, str] = {**dict.fromkeys(self.known.of("ignore"), "ignore"), **found.used}
        self.key = self._first("key") or str(line)
        self.licence = self._first("licence") or provenance.licence or UNKNOWN

    def parsed(self, importer: Importer) -> ParsedRow:
        problem = self._problem()
        responses = [response for response in self.found.responses if string(response.raw)]
        if self.found.responses and not responses:
            raise RowError("the response is empty")
        model = self._first("model") if responses else None
        synthesis = self._first("synthesis", SYNTHESES) if responses else None
        meta = self._meta()
        traces = [self._trace(response, problem.id, model, synthesis, meta) for response in responses]
        if not traces:
            problem = replace(problem, key=self.key, meta=meta)
        tree, walk = self._tree(traces)
        return ParsedRow(
            self._format(importer, traces), problem, traces, self.used, self._unused(problem, traces), tree, walk,
            [*self.found.notes, *_notes(traces)],
        )  # fmt: skip

    def _tree(self, traces: Sequence[NewTrace]) -> tuple[NewTree | None, NewWalk | None]:
        """Return the records of the search tree of this row and of the walk of its trace; None if it has no tree."""
        if self.found.tree is None:
            return None, None
        walk, chain = self.found.tree
        [trace] = traces
        made = tree_record(
            walk.tree, trace.problem_id, model=trace.model, source=trace.source, key=trace.key, licence=trace.licence
        )
        return made, walk_record(made.id, walk, chain)

    def _problem(self) -> NewProblem:
        reference = gold = None
        for column in self.known.of("reference", "solution"):
            if column not in self.used and (reference := _reference(self.row[column])):
                self.used[column] = "reference"
                break
        for column in self.known.of("answer"):
            if column not in self.used and (gold := _gold(self.row[column])):
                self.used[column] = "answer"
                break
        if gold is None and reference is not None:
            boxed = extract_answer(reference)
            if boxed is not None and boxed.how is How.BOXED:
                gold = boxed.text
            elif self.found.responses and len(reference) <= _LONGEST_GOLD and "\n" not in reference.strip():
                gold = reference.strip()  # s1K keeps a short gold answer there
        if reference is None:
            answers = (string(self.row[column]) for column, role in self.used.items() if role == "answer")
            reference = next((text for text in answers if text and "####" in text), None)
        source = self._first("source") or self.provenance.source
        # Use the key of the problem, not of the response: a problem with many traces is one row of one source.
        key = _text(self.row.get("problem_id")) or ""
        return NewProblem(self.found.statement, source, key, gold, reference, self.licence)

    def _trace(
        self, response: TraceText, problem_id: str, model: str | None, synthesis: str | None, meta: Mapping[str, Any]
    ) -> NewTrace:
        parsed = parse(response.raw)
        if response.unmarked and parsed.format == PLAIN:
            parsed = split_unmarked(response.raw)
        model = model or self.provenance.teacher or response.model or UNKNOWN
        if self.found.tree is not None:  # whatever the user or the row says of the searcher
            synthesis = response.synthesis
        synthesis = synthesis or self.provenance.synthesis or response.synthesis
        if synthesis is None:
            synthesis = "distilled" if model != UNKNOWN else UNKNOWN
        return NewTrace(
            problem_id=problem_id,
            model=model,
            source=self.provenance.source,
            key=self.key,
            licence=self.licence,
            synthesis=synthesis,
            meta={**meta, "turns": response.turns} if response.turns > 1 else meta,
            context=response.context,
            **parsed.fields(response.raw) | {"complete": parsed.complete and not response.cut_off},
        )

    def _first(self, role: str, choices: Sequence[str] = ()) -> str | None:
        """Return the first text or integer of this role, one of ``choices`` if there are some."""
        for column in self.known.of(role):
            text = _text(self.row[column])
            if column not in self.used and text is not None and (not choices or text in choices):
                self.used[column] = role
                return text
        return None

    def _meta(self) -> dict[str, Any]:
        """Return the small values without a role, by column, without NaN and infinity."""
        kept: dict[str, Any] = {}
        for column, value in self.row.items():
            if column in self.used or len(kept) == _MOST_KEPT or not _is_small(value):
                continue
            if not isinstance(value, str) or value not in self.found.statement:
                self.used[column] = KEPT
                kept[column] = value
        return kept

    def _unused(self, problem: NewProblem, traces: Sequence[NewTrace]) -> dict[str, int]:
        """Count the characters of strings that are stored nowhere, by column."""
        unused = {}
        stored: list[str] | None = None
        for column, value in self.row.items():
            asked = not traces and self.used.get(column) in ("system", "history", "messages")  # of no response
            if column not in self.used or asked:
                left: Iterator[str] | Sequence[str] = strings(value)
            elif not (left := self.found.left.get(column, ())):
                continue
            if stored is None:
                stored = [problem.statement, problem.answer or "", problem.solution or ""]
                for trace in traces:
                    stored += [trace.raw, *(turn["content"] for turn in trace.context)]
            if chars := sum(len(text) for text in set(left) if not _is_in(text, stored)):
                unused[column] = chars
        return unused

    def _format(self, importer: Importer, traces: Sequence[NewTrace]) -> str:
        """Return the format for reports: thought marks in the responses are more informative than ``alpaca``."""
        marks = traces[0].format if traces else PLAIN
        return importer.name if importer.own_name or marks == PLAIN else f"{marks} ({importer.name})"


def _notes(traces: Sequence[NewTrace]) -> list[str]:
    """Return what was guessed about thoughts without marks."""
    bare = [trace for trace in traces if trace.format == UNMARKED]
    split_at = "a thought without marks was split at the sentence or heading that states its answer"
    whole = (
        "a thought without marks names no conclusion: all of it is the thought (--map COLUMN=response: the solution)"
    )
    return list(dict.fromkeys(split_at if trace.solution[0] < trace.solution[1] else whole for trace in bare))


def _tried(importer: Importer, row: Mapping[str, Any]) -> Found | None:
    """Return what the importer finds in the row. If it fails, the row is rejected and the import continues."""
    try:
        return importer.recognise(row)
    except RowError:
        raise
    except Exception as error:
        raise RowError(f"the importer {importer.name} failed: {type(error).__name__}: {error}"[:200]) from error


def _gold(value: Any) -> str | None:
    """Return a gold answer as text: the part after GSM8K's ``####``, the values of a list, 27 for 27.0."""
    if isinstance(value, bool) or value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, list):
        return ", ".join(text for one in value if (text := _gold(one))) or None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = str(value) if isinstance(value, int | float) else string(value)
    if text is None:
        return None
    return (normalise(text) if "####" in text else text.strip()) or None


def _is_in(text: str, stored: Sequence[str]) -> bool:
    if any(text in one for one in stored):
        return True
    text = text.strip()
    return any(text in one for one in stored)


def _is_small(value: Any) -> bool:
    if isinstance(value, float) and not math.isfinite(value):
        return False
    return isinstance(value, str | int | float) and 0 < len(str(value)) <= _LONGEST_GOLD


def _reference(value: Any) -> str | None:
    """Return a reference solution: a text, or the texts of a list."""
    if isinstance(value, list):
        return "\n\n".join(text for one in value if (text := string(one))) or None
    return string(value)


def _text(value: Any) -> str | None:
    """Return a non-empty text or an integer as text."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else string(value)


def _keys(row: Mapping[str, Any]) -> str:
    names = [str(name) for name in row]
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "") if names else "none"
