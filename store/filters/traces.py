"""The filter of the list of traces: ``verdict:wrong teacher:sky-t1 reflect>=3 sort:-chars "wait"``.

It is used by the Traces screen, by the command line, and by datasets, which store the filter they were made from.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

from store import suitability
from store.annotation_sql import ALIVE, PRESENT_LABEL, traces_with
from store.corrections import IN_FORCE
from store.decisions import ASSIGNMENTS
from store.filters.clauses import begins, cases, contains, like, number, prefix
from store.filters.language import Condition, Field, Language, Query, Sql
from store.policy import DIFFERING, DISPUTED, NOT_SEEN, OWN_DECISION, SETTLED
from store.schema.migrations import MOVE_KINDS
from store.search import expressions, match_expression, require_words

SORTS = {  # each has an index over exactly this expression (migration 0003)
    "added": "t.seq",
    "problem": "t.problem_id",
    "model": "t.model",
    "verdict": "coalesce(t.verdict, '')",
    "decision": "coalesce(t.decision, '')",
    "rating": "coalesce(t.rating, -1)",
    "chars": "t.chars",
    "tokens": "coalesce(t.tokens, -1)",
    **{kind: f"coalesce(t.{kind}, -1)" for kind in MOVE_KINDS},
}
_KINDS_BY = "t.seq IN (SELECT s.seq FROM trace_segments s WHERE {})"
OF_STUDENT = {
    "nll": "the student's mean loss on its tokens in nats",
    "local-nll": "the student's mean loss on its sentences, each after the four before it alone; lower is more natural",
    "rsr": "its rank-surprisal ratio for the student; lower is more suitable",
    "pass-rate": "the share of the student's answers to its problem that are right, from 0 to 1",
}
"""The fields and orders of the student that `o1lab suitability` chose: see :mod:`store.suitability`."""
_REFLECTIVE = "(t.reflect >= 1 AND (t.backtrack >= 1 OR t.verify >= 1))"  # null, like the moves, until measured
_STEPS_OF = "wrong_steps WHERE trace_id = t.id"
_STEPS = f"EXISTS (SELECT 1 FROM {_STEPS_OF} AND {{}})"
_LABELLED = (
    f"{PRESENT_LABEL} = (SELECT coalesce((SELECT n.name FROM label_names n WHERE n.earlier = g.v), g.v) "
    "FROM (SELECT ? AS v) g)"
)
_NOTED = r"a.value LIKE ? ESCAPE '\'"
_BY = rf"a.annotator LIKE ? ESCAPE '\' AND a.kind NOT IN {ASSIGNMENTS!r}"
_HAS = {
    "label": f"t.id IN ({traces_with('span')})",
    "note": f"t.id IN ({traces_with('note')})",
    "tag": "t.id IN (SELECT trace_id FROM trace_tags)",
    "correction": f"t.id IN ({traces_with('move', IN_FORCE)})",
}
_VOTES = "(SELECT seq FROM decisions WHERE decision IS NOT NULL GROUP BY seq HAVING count(*) {})"
_DIFFERING, _DISPUTED, _SETTLED = (f"t.seq IN ({seqs})" for seqs in (DIFFERING, DISPUTED, SETTLED))
_ASSIGNED = "t.seq IN (SELECT seq FROM assignments WHERE annotator = {})"
_DONE = {"accepted": ("accept",), "rejected": ("reject",), "skipped": ("skip",), "todo": ("none",)}
_FIRST_MOVES = ("reflect", "backtrack", "verify")


def _flag(name: str, sql: str, help: str = "") -> Field:
    return Field(name, cases("", {"yes": f"{sql} = 1", "no": f"{sql} = 0"}), help, values=("yes", "no"))


def _search(text: str) -> list[Sql]:
    require_words(text)
    wanted, unwanted = expressions(text)
    found: list[Sql] = []
    if wanted:
        # The plus keeps SQLite from using the table's index on seq: each row is looked up among the matches instead.
        found.append(("+t.seq IN (SELECT rowid FROM traces_fts WHERE traces_fts MATCH ?)", [wanted]))
    if unwanted:
        found.append(("t.seq NOT IN (SELECT rowid FROM traces_fts WHERE traces_fts MATCH ?)", [unwanted]))
    return found


TRACES = Language(
    fields=(
        Field(
            "verdict", cases("t.verdict = ?", {"none": "t.verdict IS NULL"}),
            values=("correct", "incorrect", "unverifiable", "none"),
            synonyms={"right": ("correct",), "wrong": ("incorrect",)},
        ),
        Field(
            "decision", cases("t.decision = ?", {"none": "t.decision IS NULL"}),
            values=("accept", "reject", "skip", "none"), synonyms=_DONE,
        ),
        Field("model", contains("t.model"), "part of the teacher's name", aliases=("teacher",)),
        Field("tag", cases("t.id IN (SELECT trace_id FROM trace_tags WHERE tag = ?)"), "a tag of the trace", lab="tag"),
        Field(
            "label", cases(f"t.id IN ({traces_with('span', _LABELLED)})"), "a label of a span of the thought",
            lab="label",
        ),
        Field(
            "note", cases(f"t.id IN ({traces_with('note', _NOTED)})", bound=like),
            "part of a note on the trace",
        ),
        Field(
            "by", cases(f"t.id IN (SELECT a.trace_id FROM annotations a WHERE {_BY} AND {ALIVE})", bound=like),
            "part of the name of an annotator or judge of the trace", lab="annotator", exact=False,
        ),
        Field("has", cases("", _HAS), "what was written on the trace", values=tuple(_HAS)),
        Field(
            "mine", cases(f"{OWN_DECISION} = ?", {"none": NOT_SEEN}),
            "what you decided, whatever the policy; none: not seen by you",
            values=("accept", "reject", "skip", "none"), synonyms={"unseen": ("none",), **_DONE},
        ),
        Field(
            "agreement",
            cases(
                "",
                {
                    "disputed": _DISPUTED,
                    "differ": f"({_DIFFERING} AND NOT {_DISPUTED} AND NOT {_SETTLED})",
                    "agreed": f"(t.seq IN {_VOTES.format('> 1')} AND NOT {_DIFFERING} AND NOT {_SETTLED})",
                    "adjudicated": _SETTLED,
                    "single": f"(t.seq IN {_VOTES.format('= 1')} AND NOT {_SETTLED})",
                    "none": f"NOT (t.seq IN {_VOTES.format('> 0')} OR {_SETTLED})",
                },
            ),
            "disputed: annotators differ and nothing settles it; differ: they differ, but the majority decides",
            values=("disputed", "differ", "agreed", "adjudicated", "single", "none"),
        ),
        Field(
            "assigned",
            cases(
                _ASSIGNED.format("?"),
                {
                    "me": _ASSIGNED.format("me()"),
                    "any": "t.seq IN (SELECT seq FROM assignments)",
                    "none": "t.seq NOT IN (SELECT seq FROM assignments)",
                },
            ),
            "the annotator it is assigned to; me, any, none", lab="assignment to",
        ),
        Field(
            "wrong-step",
            cases(
                "",
                {
                    "marked": _STEPS.format("step > 0"),
                    "right": f"({_STEPS.format('step = 0')} AND NOT {_STEPS.format('step > 0')})",
                    "disputed": f"(SELECT count(DISTINCT step) > 1 FROM {_STEPS_OF})",
                    "none": f"NOT {_STEPS.format('1')}",
                },
            ),
            "whether an annotator or judge marks a first wrong step, or they differ",
            values=("marked", "right", "disputed", "none"),
        ),
        Field(
            "moves-by", cases(_KINDS_BY.format("s.kinds_by = ? AND s.labeller IS NOT NULL"), {
                "pending": _KINDS_BY.format("s.labeller IS NULL"),
            }),
            "who gave the moves their kinds: the classifier (model), the rules, the writer; pending: it comes later",
            values=("model", "rules", "writer", "pending"),
        ),
        Field("source", contains("t.source"), "part of the name of the trace's source"),
        Field("key", contains("t.key"), "part of the problem's name in its source"),
        _flag("complete", "t.complete"),
        _flag("looping", "t.looping"),
        _flag("reflective", _REFLECTIVE, "at least one reflection, and a backtracking or a check"),
        Field("id", begins("t.id"), "the beginning of the trace's id"),
        Field("problem", begins("t.problem_id"), "the beginning of the problem's id"),
        Field("parent", begins("t.parent_id"), "the beginning of the id of the trace it was made from"),
        Field(
            "dataset", cases("t.id IN (SELECT trace_id FROM dataset_traces WHERE name = ?)"),
            "the name of a dataset that contains the trace", lab="dataset",
        ),
        Field(
            "run", cases("t.id IN (SELECT trace_id FROM responses WHERE run_id GLOB ?)", bound=prefix),
            "the beginning of the id of the teacher run that made the trace",
        ),
        Field("synthesis", contains("t.synthesis"), "part of the way the trace was made"),
        Field("licence", contains("t.licence"), "part of the licence", aliases=("license",)),
        Field("format", contains("t.format"), "part of the name of the import format"),
        *(
            Field(name, number(f"t.{name}"), is_number=True)
            for name in dict.fromkeys(("rating", "chars", "tokens", *_FIRST_MOVES, *MOVE_KINDS))
        ),
        *(Field(name, number(suitability.COLUMNS[name]), about, is_number=True) for name, about in OF_STUDENT.items()),
    ),
    search=_search,
    searched="in any text",
    sorts={**SORTS, **{name: suitability.COLUMNS[name] for name in OF_STUDENT}},
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TraceQuery(Query):
    """A filter of traces. ``ids`` limits it to these traces (a queue)."""

    NAME: ClassVar[str] = "traces"
    LANGUAGE: ClassVar[Language] = TRACES

    sort: str = "added"
    ids: tuple[str, ...] | None = None

    @property
    def only_text(self) -> bool:
        """Whether it is a text search without conditions."""
        return not self.conditions and self.ids is None and match_expression(self.text) is not None

    @property
    def direction(self) -> str:
        return "DESC" if self.descending else "ASC"

    @property
    def by(self) -> str:
        """The expression that the traces are in the order of. Traces unknown to the student come last, both ways."""
        if self.sort not in OF_STUDENT:
            return SORTS[self.sort]
        return f"coalesce({suitability.COLUMNS[self.sort]}, {'-' if self.descending else ''}1e300)"

    @property
    def order(self) -> str:
        """The terms of ORDER BY."""
        added = f"t.seq {self.direction}"
        return added if self.sort == "added" else f"{self.by} {self.direction}, {added}"

    @property
    def of_student(self) -> bool:
        """Whether it selects or sorts by figures of the chosen student."""
        return self.sort in OF_STUDENT or self.asks(*OF_STUDENT)

    def without_student(self) -> TraceQuery:
        """Return the traces that the selection by figures of the student is made from: those that have the figures."""
        named = (*(one.field for one in self.conditions if one.field in OF_STUDENT), self.sort)
        known = [Condition(name, ("0",), ">=") for name in dict.fromkeys(named) if name in OF_STUDENT]
        kept = tuple(one for one in self.conditions if one.field not in OF_STUDENT)
        sort = "added" if self.sort in OF_STUDENT else self.sort
        return replace(self, conditions=(*kept, *known), sort=sort)

    def clauses(self) -> Iterator[Sql]:
        if self.ids is not None:
            yield "t.id IN (SELECT value FROM json_each(?))", [json.dumps(self.ids)]
        yield from Query.clauses(self)


class Selection(NamedTuple):
    """The SQL of a query.

    Attributes:
        sql: What follows FROM; it ends in a condition.
        parameters: Its parameters.
        seq: The expression of a trace's seq.
        order: The terms of ORDER BY.
    """

    sql: str
    parameters: list[str | float]
    seq: str
    order: str

    def walking(self, query: TraceQuery) -> Selection:
        """The same selection, by walking the index of the query's order. Without a text search only."""
        plain = query.sort in ("chars", "model", "problem")
        index = f"traces_{query.sort}" if plain else f"traces_by_{query.sort}"
        return self._replace(sql=self.sql.replace("traces t WHERE", f"traces t INDEXED BY {index} WHERE", 1))

    def among(self, seqs: Sequence[int]) -> Selection:
        """The same selection, limited to these traces."""
        more: list[str | float]
        if self.seq == "t.seq":
            sql, more = "t.seq IN (SELECT value FROM json_each(?))", [json.dumps(seqs)]
        else:  # with an IN alone, SQLite would repeat the search for each number
            sql = "f.rowid BETWEEN ? AND ? AND +f.rowid IN (SELECT value FROM json_each(?))"
            more = [min(seqs, default=0), max(seqs, default=0), json.dumps(seqs)]
        return self._replace(sql=f"{self.sql} AND {sql}", parameters=[*self.parameters, *more])


def selection(query: TraceQuery, *, in_order: bool = False, only_seq: bool = False) -> Selection:
    """Make the SQL that selects the traces of a query.

    A text search drives the query if possible: it returns rows one by one, in the order in which they were added. With
    another order it becomes a condition, and SQLite collects all matches before it returns the first row.

    Args:
        query: The filter.
        in_order: Whether the rows are needed in the order of the query.
        only_seq: Whether only the seq of each trace is needed.
    """
    found = match_expression(query.text)
    if found is None or (in_order and query.sort != "added"):
        condition, parameters = query.where()
        return Selection(f"traces t WHERE {condition}", parameters, "t.seq", query.order)
    order = f"f.rowid {query.direction}"
    if only_seq and query.only_text:
        return Selection("traces_fts f WHERE f.traces_fts MATCH ?", [found], "f.rowid", order)
    condition, parameters = replace(query, text="").where()
    joined = "traces_fts f CROSS JOIN traces t ON t.seq = f.rowid"
    return Selection(f"{joined} WHERE f.traces_fts MATCH ? AND {condition}", [found, *parameters], "f.rowid", order)
