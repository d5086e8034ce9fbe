"""Evaluations, their items and samples, and what scorers and persons say of each sample.

An outcome is one of six that exclude each other, in this order: ``failed`` (no response), ``incomplete`` (cut off),
then what the scorer says of a complete one: ``correct``, ``incorrect``, ``unextracted`` (it holds no answer) or
``unscored`` (the scorer could not tell, or has not looked yet).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from store.errors import MissingError
from store.records import now, scrubbed
from store.sqlite import Database

State = Literal["complete", "incomplete", "failed"]
ScoreOutcome = Literal["correct", "incorrect", "unextracted", "unscored"]
OUTCOMES = ("correct", "incorrect", "incomplete", "unextracted", "unscored", "failed")

_COLUMNS = (
    "id, dir, suite, suite_version, items_hash, family, model, role, revision, sampling, settings, items, samples, "
    "scorer, created_at, metric"
)
# Fragments of queries: a sample's outcome, and samples with what one scorer says of them.
OUTCOME = "CASE s.state WHEN 'complete' THEN coalesce(c.outcome, 'unscored') ELSE s.state END"
JOINED = "samples s LEFT JOIN scores c ON c.seq = s.seq AND c.scorer = ?"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One model on one suite under one setting. ``samples`` is of each item, ``scorer`` the label shown by default.

    ``metric`` is the headline that the suite asks for: accuracy or mean_value.
    """

    id: str
    dir: str
    suite: str
    suite_version: int
    items_hash: str
    family: str
    model: str
    role: str
    revision: str
    sampling: dict[str, Any]
    settings: dict[str, Any]
    items: int
    samples: int
    scorer: str
    created_at: str = field(default_factory=now)
    metric: str = "accuracy"

    @property
    def suite_label(self) -> str:
        return f"{self.suite}@{self.suite_version}"


@dataclass(frozen=True, slots=True)
class ItemRow:
    """An item as it was put. ``group`` is shared by items that put one question in several ways (``variant``)."""

    item: str
    question: str
    gold: tuple[str, ...] = ()
    group: str | None = None
    variant: str | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Turn:
    """One exchange of a conversation."""

    user: str
    thought: str
    answer: str


@dataclass(frozen=True, slots=True)
class NewSample:
    """One output as a run hands it over. Tokens are the server's counts, or ours where ``estimated``."""

    item: str
    sample: int
    state: State
    turns: tuple[Turn, ...]
    cache_key: str
    reason: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    thought_tokens: int | None = None
    estimated: bool = False
    cost_usd: float = 0.0
    seconds: float = 0.0
    cached: bool = False
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NewScore:
    """What a scorer says of one sample; ``value`` is from 0 to 1 where it grades."""

    seq: int
    scorer: str
    outcome: ScoreOutcome
    value: float | None = None
    answer: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What figures are made of: one sample's outcome and size, no text."""

    item: str
    sample: int
    outcome: str
    value: float | None
    answer: str | None
    output_tokens: int
    thought_tokens: int | None
    group: str | None
    variant: str | None
    cost_usd: float
    seconds: float
    cached: bool

    @property
    def correct(self) -> bool:
        return self.outcome == "correct"


@dataclass(frozen=True, slots=True)
class Tally:
    """An evaluation's samples by outcome, and the sums its averages are made of. Failed samples count in no average."""

    outcomes: dict[str, int]
    answered: int = 0
    output_tokens: int = 0
    thought_tokens: int = 0
    thought_known: int = 0
    output_where_thought_known: int = 0
    values: float = 0.0
    valued: int = 0
    cost_usd: float = 0.0
    cached: int = 0
    estimated: int = 0

    @property
    def total(self) -> int:
        return sum(self.outcomes.values())


def add(db: Database, evaluation: Evaluation, items: Sequence[ItemRow]) -> None:
    """Register an evaluation with its items; one that is there stays as it is."""
    one = evaluation
    with db.atomic():
        made = db.conn.execute(
            f"INSERT OR IGNORE INTO evaluations({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                one.id, one.dir, one.suite, one.suite_version, one.items_hash, one.family, one.model, one.role,
                one.revision, json.dumps(one.sampling), json.dumps(one.settings), one.items, one.samples, one.scorer,
                one.created_at, one.metric,
            ),
        )  # fmt: skip
        if made.rowcount:
            db.conn.executemany(
                "INSERT INTO evaluation_items VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    (
                        one.id, scrubbed(row.item), position, scrubbed(row.question), json.dumps(list(row.gold)),
                        row.group, row.variant, json.dumps(dict(row.meta)),
                    )
                    for position, row in enumerate(items)
                ),
            )  # fmt: skip


def get(db: Database, identity: str) -> Evaluation:
    """The evaluation of this id, or the only one whose id begins so.

    Raises:
        MissingError: there is none, or there are several.
    """
    rows = db.execute(f"SELECT {_COLUMNS} FROM evaluations WHERE substr(id, 1, ?) = ?", [len(identity), identity])
    found = [_evaluation(row) for row in rows] if identity else []
    exact = [one for one in found if one.id == identity] or found
    if len(exact) != 1:
        raise MissingError(
            f"{'Several evaluations begin' if found else 'No evaluation begins'} with '{identity}'.",
            "`o1lab eval ls` lists them.",
        )
    return exact[0]


def all_evaluations(db: Database, *, suite: str | None = None) -> list[Evaluation]:
    """Every evaluation, of one suite where it is named, the newest first."""
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM evaluations WHERE ? IS NULL OR suite = ? ORDER BY created_at DESC, rowid DESC",
        [suite, suite],
    )
    return [_evaluation(row) for row in rows]


def remove(db: Database, evaluation_id: str) -> None:
    """Delete an evaluation with its items, samples, scores and ratings; traces made from samples stay."""
    of_samples = "WHERE seq IN (SELECT seq FROM samples WHERE evaluation_id = ?)"
    of_evaluation = "WHERE evaluation_id = ?"
    with db.atomic():
        for table in ("ratings", "scores", "sample_texts"):
            db.conn.execute(f"DELETE FROM {table} {of_samples}", [evaluation_id])
        for table in ("samples", "evaluation_items"):
            db.conn.execute(f"DELETE FROM {table} {of_evaluation}", [evaluation_id])
        db.conn.execute("DELETE FROM evaluations WHERE id = ?", [evaluation_id])


def set_scorer(db: Database, evaluation_id: str, scorer: str) -> None:
    """Show this scorer's scores unless another is asked for."""
    with db.atomic():
        db.conn.execute("UPDATE evaluations SET scorer = ? WHERE id = ?", (scorer, evaluation_id))


def items(db: Database, evaluation_id: str) -> list[ItemRow]:
    """The items as they were put, in their order."""
    rows = db.execute(
        "SELECT item, question, gold, grp, variant, meta FROM evaluation_items "
        "WHERE evaluation_id = ? ORDER BY position",
        [evaluation_id],
    )
    return [_item(row) for row in rows]


def item(db: Database, evaluation_id: str, wanted: str) -> ItemRow:
    """One item.

    Raises:
        MissingError: it is not there.
    """
    row = db.execute(
        "SELECT item, question, gold, grp, variant, meta FROM evaluation_items WHERE evaluation_id = ? AND item = ?",
        [evaluation_id, wanted],
    ).fetchone()
    if row is None:
        raise MissingError(
            f"The evaluation {evaluation_id} has no item '{wanted}'.", "`o1lab eval samples` lists them."
        )
    return _item(row)


def add_samples(db: Database, evaluation_id: str, samples: Iterable[NewSample]) -> list[int]:
    """Take samples in, inside the caller's transaction; their seqs, in order.

    A sample that is there already is replaced and loses its scores: only a failed one is asked for again.
    """
    created_at, made = now(), []
    for one in samples:
        seq = db.conn.execute(
            "INSERT INTO samples(evaluation_id, item, sample, state, reason, input_tokens, output_tokens, "
            "thought_tokens, estimated, cost_usd, seconds, cached, cache_key, created_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT(evaluation_id, item, sample) DO UPDATE SET "
            "state = excluded.state, reason = excluded.reason, input_tokens = excluded.input_tokens, "
            "output_tokens = excluded.output_tokens, thought_tokens = excluded.thought_tokens, "
            "estimated = excluded.estimated, cost_usd = excluded.cost_usd, seconds = excluded.seconds, "
            "cached = excluded.cached, cache_key = excluded.cache_key, created_at = excluded.created_at RETURNING seq",
            (
                evaluation_id, one.item, one.sample, one.state, scrubbed(one.reason), one.input_tokens,
                one.output_tokens, one.thought_tokens, one.estimated, one.cost_usd, one.seconds, one.cached,
                one.cache_key, created_at,
            ),
        ).fetchone()[0]  # fmt: skip
        turns = [{"user": turn.user, "thought": turn.thought, "answer": turn.answer} for turn in one.turns]
        db.conn.execute(
            "INSERT OR REPLACE INTO sample_texts VALUES (?, ?, ?)", (seq, json.dumps(turns), json.dumps(dict(one.meta)))
        )
        db.conn.execute("DELETE FROM scores WHERE seq = ?", (seq,))
        made.append(int(seq))
    return made


def add_scores(db: Database, scores: Iterable[NewScore]) -> None:
    """Record what a scorer says, inside the caller's transaction; it replaces what the same scorer said before."""
    created_at = now()
    db.conn.executemany(
        "INSERT OR REPLACE INTO scores VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            (
                one.seq, one.scorer, one.outcome, one.value,
                None if one.answer is None else scrubbed(one.answer), scrubbed(one.reason), created_at,
            )
            for one in scores
        ),
    )  # fmt: skip


def sample(db: Database, seq: int) -> tuple[str, NewSample]:
    """(evaluation id, everything of one sample), as it was taken in.

    Raises:
        MissingError: there is none.
    """
    row = db.execute(
        "SELECT s.evaluation_id, s.item, s.sample, s.state, t.turns, s.cache_key, s.reason, s.input_tokens, "
        "s.output_tokens, s.thought_tokens, s.estimated, s.cost_usd, s.seconds, s.cached, t.meta "
        "FROM samples s JOIN sample_texts t ON t.seq = s.seq WHERE s.seq = ?",
        [seq],
    ).fetchone()
    if row is None:
        raise MissingError(f"There is no sample {seq}.", "`o1lab eval samples` lists them.")
    evaluation_id, name, number, state, turns, key, reason, read, wrote, thought, guessed, cost, seconds, kept, meta = (
        row
    )
    said = tuple(Turn(turn["user"], turn["thought"], turn["answer"]) for turn in json.loads(turns))
    return evaluation_id, NewSample(
        name, number, state, said, key, reason, read, wrote, thought, bool(guessed), cost, seconds, bool(kept),
        json.loads(meta),
    )  # fmt: skip


def find_sample(db: Database, evaluation_id: str, wanted: str, number: int = 0) -> int:
    """The seq of an item's sample.

    Raises:
        MissingError: there is none.
    """
    row = db.execute(
        "SELECT seq FROM samples WHERE evaluation_id = ? AND item = ? AND sample = ?", [evaluation_id, wanted, number]
    ).fetchone()
    if row is None:
        raise MissingError(f"{evaluation_id} has no sample {number} of '{wanted}'.", "`o1lab eval samples` lists them.")
    return int(row[0])


def scores_of(db: Database, seq: int) -> list[NewScore]:
    """What every scorer says of a sample, the latest last."""
    rows = db.execute(
        "SELECT seq, scorer, outcome, value, answer, reason FROM scores WHERE seq = ? ORDER BY created_at, scorer",
        [seq],
    )
    return [NewScore(*row) for row in rows]


def trace_of(db: Database, seq: int) -> str | None:
    """The trace that a sample has become, once a person has labelled it."""
    row = db.execute("SELECT trace_id FROM samples WHERE seq = ?", [seq]).fetchone()
    return None if row is None or row[0] is None else str(row[0])


def scorers(db: Database, evaluation_id: str) -> dict[str, int]:
    """The labels of the scorers that looked at an evaluation, with how many samples each, the latest last."""
    rows = db.execute(
        "SELECT c.scorer, count(*) FROM scores c JOIN samples s ON s.seq = c.seq WHERE s.evaluation_id = ? "
        "GROUP BY c.scorer ORDER BY max(c.created_at), c.scorer",
        [evaluation_id],
    )
    return {str(label): int(number) for label, number in rows}


def tally(db: Database, evaluation_id: str, scorer: str) -> Tally:
    """An evaluation's samples by outcome under one scorer, with sums."""
    outcomes = dict.fromkeys(OUTCOMES, 0)
    sums = [0, 0, 0, 0, 0, 0.0, 0, 0.0, 0, 0]
    for outcome, number, *row in db.execute(
        f"SELECT {OUTCOME} AS outcome, count(*), count(*) FILTER (WHERE s.state != 'failed'), "
        "coalesce(sum(s.output_tokens) FILTER (WHERE s.state != 'failed'), 0), "
        "coalesce(sum(s.thought_tokens) FILTER (WHERE s.state != 'failed'), 0), "
        "count(s.thought_tokens) FILTER (WHERE s.state != 'failed'), "
        "coalesce(sum(s.output_tokens) FILTER (WHERE s.state != 'failed' AND s.thought_tokens IS NOT NULL), 0), "
        "coalesce(sum(c.value), 0.0), count(c.value), coalesce(sum(s.cost_usd), 0.0), "
        "coalesce(sum(s.cached), 0), coalesce(sum(s.estimated), 0) "
        f"FROM {JOINED} WHERE s.evaluation_id = ? GROUP BY 1",
        [scorer, evaluation_id],
    ):
        outcomes[outcome] = number
        sums = [total + part for total, part in zip(sums, row, strict=True)]
    answered, wrote, thought, known, where_known, values, valued, cost, kept, guessed = sums
    return Tally(
        outcomes, int(answered), int(wrote), int(thought), int(known), int(where_known), float(values), int(valued),
        float(cost), int(kept), int(guessed),
    )  # fmt: skip


def results(db: Database, evaluation_id: str, scorer: str) -> Iterator[Result]:
    """Every sample's outcome under one scorer, by item in the suite's order and then by sample."""
    for row in db.execute(
        f"SELECT s.item, s.sample, {OUTCOME}, c.value, c.answer, s.output_tokens, s.thought_tokens, i.grp, i.variant, "
        f"s.cost_usd, s.seconds, s.cached FROM {JOINED} "
        "JOIN evaluation_items i ON i.evaluation_id = s.evaluation_id AND i.item = s.item "
        "WHERE s.evaluation_id = ? ORDER BY i.position, s.sample",
        [scorer, evaluation_id],
    ):
        values: list[Any] = [*row[:-1], bool(row[-1])]
        yield Result(*values)


def set_trace(db: Database, seq: int, trace_id: str) -> None:
    """A person labelled a sample: it has become this trace."""
    with db.atomic():
        db.conn.execute("UPDATE samples SET trace_id = ? WHERE seq = ?", (trace_id, seq))


def _evaluation(row: Sequence[Any]) -> Evaluation:
    *head, sampling, settings, count, samples, scorer, created_at, metric = row
    values = [*head, json.loads(sampling), json.loads(settings), count, samples, scorer, created_at, metric]
    return Evaluation(*values)


def _item(row: Sequence[Any]) -> ItemRow:
    name, question, gold, group, variant, meta = row
    return ItemRow(name, question, tuple(json.loads(gold)), group, variant, json.loads(meta))
