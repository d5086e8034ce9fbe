"""Evaluations, their items and samples, and the scores of each sample.

A sample has one of six outcomes: ``failed`` (no response), ``incomplete`` (cut off), or for a complete one the outcome
of the scorer: ``correct``, ``incorrect``, ``unextracted`` (no answer found) or ``unscored`` (not decided, or not yet).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from store.errors import MissingError
from store.naming import resolved
from store.records import now, scrubbed
from store.sqlite import Database

State = Literal["complete", "incomplete", "failed"]
ScoreOutcome = Literal["correct", "incorrect", "unextracted", "unscored"]
OUTCOMES = ("correct", "incorrect", "incomplete", "unextracted", "unscored", "failed")

_COLUMNS = (
    "id, dir, suite, suite_version, items_hash, family, model, role, revision, sampling, settings, items, samples, "
    "scorer, created_at, metric"
)
_SAMPLE = (
    "evaluation_id", "item", "sample", "state", "reason", "input_tokens", "output_tokens", "thought_tokens",
    "dropped_tokens", "estimated", "cost_usd", "seconds", "cached", "cache_key", "created_at",
)  # fmt: skip
_ITEMS = "SELECT item, question, gold, grp, variant, meta FROM evaluation_items WHERE evaluation_id = ?"
# Fragments of queries: the outcome of a sample, and samples joined with the scores of one scorer.
OUTCOME = "CASE s.state WHEN 'complete' THEN coalesce(c.outcome, 'unscored') ELSE s.state END"
JOINED = "samples s LEFT JOIN scores c ON c.seq = s.seq AND c.scorer = ?"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One model on one suite with one sampling.

    Attributes:
        items_hash: Hash of the items and of how they are asked; evaluations with equal hashes can be compared by item.
        model: A model reference of the registry.
        revision: Identifies the weights: a checkpoint's hash, a hub revision, or what the server reports.
        samples: Number of samples per item.
        scorer: Label of the scorer shown by default.
        metric: The headline metric of the suite: accuracy or mean_value.
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
    """An item as it was asked. ``group`` is shared by items that ask one question in several ways (``variant``)."""

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
    """A sample to add. Token counts are the server's, or our own if ``estimated``.

    ``dropped_tokens`` were generated and paid for, but are not in the response: answers that were left out so that the
    model thinks on.
    """

    item: str
    sample: int
    state: State
    turns: tuple[Turn, ...]
    cache_key: str
    reason: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    thought_tokens: int | None = None
    dropped_tokens: int = 0
    estimated: bool = False
    cost_usd: float = 0.0
    seconds: float = 0.0
    cached: bool = False
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NewScore:
    """The score of one sample; ``value`` is from 0 to 1 if the scorer grades."""

    seq: int
    scorer: str
    outcome: ScoreOutcome
    value: float | None = None
    answer: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """One sample without its texts, for statistics."""

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
    """Counts of an evaluation's samples by outcome, and the sums for its averages, without failed samples.

    Attributes:
        answered: Number of samples that did not fail.
        thought_known: Number of those with known thought tokens; ``output_where_thought_known``: their output tokens.
        values: Sum of the values of graded samples; ``valued`` is their number.
        cost_usd: Of all samples. The same for ``cached`` and ``estimated``, which are numbers of samples.
    """

    outcomes: dict[str, int]
    answered: int = 0
    output_tokens: int = 0
    thought_tokens: int = 0
    thought_known: int = 0
    output_where_thought_known: int = 0
    dropped_tokens: int = 0
    values: float = 0.0
    valued: int = 0
    cost_usd: float = 0.0
    cached: int = 0
    estimated: int = 0

    @property
    def total(self) -> int:
        return sum(self.outcomes.values())


def add(db: Database, evaluation: Evaluation, items: Sequence[ItemRow]) -> None:
    """Register an evaluation with its items; an existing one is left unchanged."""
    one = evaluation
    with db.atomic():
        cursor = db.conn.execute(
            f"INSERT OR IGNORE INTO evaluations({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                one.id, one.dir, one.suite, one.suite_version, one.items_hash, one.family, one.model, one.role,
                one.revision, json.dumps(one.sampling), json.dumps(one.settings), one.items, one.samples, one.scorer,
                one.created_at, one.metric,
            ),
        )  # fmt: skip
        if cursor.rowcount:
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
    """Return the evaluation with this id, or the only one whose id begins with it.

    Raises:
        MissingError: No evaluation, or several evaluations, have such an id.
    """
    rows = db.execute(f"SELECT {_COLUMNS} FROM evaluations WHERE substr(id, 1, ?) = ?", [len(identity), identity])
    return resolved([*map(_evaluation, rows)], identity, "evaluation", "`o1lab eval ls` lists them.")


def all_evaluations(db: Database, *, suite: str | None = None) -> list[Evaluation]:
    """Return every evaluation, or those of one suite, the newest first."""
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM evaluations WHERE ? IS NULL OR suite = ? ORDER BY created_at DESC, rowid DESC",
        [suite, suite],
    )
    return [_evaluation(row) for row in rows]


def remove(db: Database, evaluation_id: str) -> None:
    """Delete an evaluation with its items, samples, scores, ratings and labels; traces made from samples stay."""
    of_samples = "WHERE seq IN (SELECT seq FROM samples WHERE evaluation_id = ?)"
    with db.atomic():
        for table in ("ratings", "sample_labels", "scores", "sample_moves", "sample_texts"):
            db.conn.execute(f"DELETE FROM {table} {of_samples}", [evaluation_id])
        for table in ("calibration_samples", "forced_evaluations", "samples", "evaluation_items"):
            db.conn.execute(f"DELETE FROM {table} WHERE evaluation_id = ?", [evaluation_id])
        db.conn.execute("DELETE FROM evaluations WHERE id = ?", [evaluation_id])


def update(db: Database, identity: str, **values: str) -> None:
    """Replace columns of an evaluation: its ``scorer`` shown by default, its ``sampling`` or ``settings`` as JSON."""
    with db.atomic():
        db.execute(f"UPDATE evaluations SET {' = ?, '.join(values)} = ? WHERE id = ?", [*values.values(), identity])


def items(db: Database, evaluation_id: str) -> list[ItemRow]:
    """Return the items in order."""
    return [_item(row) for row in db.execute(f"{_ITEMS} ORDER BY position", [evaluation_id])]


def item(db: Database, evaluation_id: str, wanted: str) -> ItemRow:
    """Return one item.

    Raises:
        MissingError: There is no such item.
    """
    row = db.execute(f"{_ITEMS} AND item = ?", [evaluation_id, wanted]).fetchone()
    if row is None:
        raise MissingError(f"Evaluation {evaluation_id} has no item '{wanted}'.", "`o1lab eval samples` lists them.")
    return _item(row)


def add_samples(db: Database, evaluation_id: str, samples: Iterable[NewSample]) -> list[int]:
    """Add samples inside the caller's transaction and return their seqs, in order.

    An existing sample is replaced and its scores and moves are deleted: only failed samples are asked again.
    """
    created_at, seqs = now(), []
    updates = ", ".join(f"{column} = excluded.{column}" for column in _SAMPLE[3:])
    insert = (
        f"INSERT INTO samples({', '.join(_SAMPLE)}) VALUES ({', '.join('?' * len(_SAMPLE))}) "
        f"ON CONFLICT(evaluation_id, item, sample) DO UPDATE SET {updates} RETURNING seq"
    )
    for one in samples:
        seq = db.conn.execute(
            insert,
            (
                evaluation_id, one.item, one.sample, one.state, scrubbed(one.reason), one.input_tokens,
                one.output_tokens, one.thought_tokens, one.dropped_tokens, one.estimated, one.cost_usd, one.seconds,
                one.cached, one.cache_key, created_at,
            ),
        ).fetchone()[0]  # fmt: skip
        turns = [{"user": turn.user, "thought": turn.thought, "answer": turn.answer} for turn in one.turns]
        db.conn.execute(
            "INSERT OR REPLACE INTO sample_texts VALUES (?, ?, ?)", (seq, json.dumps(turns), json.dumps(dict(one.meta)))
        )
        for table in ("scores", "sample_moves"):
            db.conn.execute(f"DELETE FROM {table} WHERE seq = ?", (seq,))
        seqs.append(int(seq))
    return seqs


def add_scores(db: Database, scores: Iterable[NewScore]) -> None:
    """Save scores inside the caller's transaction; a score replaces one of the same scorer and sample."""
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
    """Return (evaluation id, sample) of one sample.

    Raises:
        MissingError: There is no such sample.
    """
    row = db.execute(
        "SELECT s.evaluation_id, s.item, s.sample, s.state, t.turns, s.cache_key, s.reason, s.input_tokens, "
        "s.output_tokens, s.thought_tokens, s.dropped_tokens, s.estimated, s.cost_usd, s.seconds, s.cached, t.meta "
        "FROM samples s JOIN sample_texts t ON t.seq = s.seq WHERE s.seq = ?",
        [seq],
    ).fetchone()
    if row is None:
        raise MissingError(f"There is no sample {seq}.", "`o1lab eval samples` lists them.")
    values = dict(zip((field.name for field in fields(NewSample)), row[1:], strict=True))
    turns = tuple(Turn(turn["user"], turn["thought"], turn["answer"]) for turn in json.loads(values["turns"]))
    flags = {name: bool(values[name]) for name in ("estimated", "cached")}
    return row[0], NewSample(**values | flags | {"turns": turns, "meta": json.loads(values["meta"])})


def find_sample(db: Database, evaluation_id: str, wanted: str, number: int = 0) -> int:
    """Return the seq of sample ``number`` of an item.

    Raises:
        MissingError: There is no such sample.
    """
    row = db.execute(
        "SELECT seq FROM samples WHERE evaluation_id = ? AND item = ? AND sample = ?", [evaluation_id, wanted, number]
    ).fetchone()
    if row is None:
        raise MissingError(f"{evaluation_id} has no sample {number} of '{wanted}'.", "`o1lab eval samples` lists them.")
    return int(row[0])


def scores_of(db: Database, seq: int) -> list[NewScore]:
    """Return all scores of a sample, the latest last."""
    columns = "seq, scorer, outcome, value, answer, reason"
    rows = db.execute(f"SELECT {columns} FROM scores WHERE seq = ? ORDER BY created_at, scorer", [seq])
    return [NewScore(*row) for row in rows]


def scorers(db: Database, evaluation_id: str) -> dict[str, int]:
    """Return the number of samples scored by each scorer of an evaluation, by label, the latest last."""
    rows = db.execute(
        "SELECT c.scorer, count(*) FROM scores c JOIN samples s ON s.seq = c.seq WHERE s.evaluation_id = ? "
        "GROUP BY c.scorer ORDER BY max(c.created_at), c.scorer",
        [evaluation_id],
    )
    return {str(label): int(number) for label, number in rows}


def tally(db: Database, evaluation_id: str, scorer: str) -> Tally:
    """Count an evaluation's samples by outcome under one scorer."""
    outcomes = dict.fromkeys(OUTCOMES, 0)
    sums: list[Any] = [0, 0, 0, 0, 0, 0, 0.0, 0, 0.0, 0, 0]
    for outcome, number, *row in db.execute(
        f"SELECT {OUTCOME} AS outcome, count(*), count(*) FILTER (WHERE s.state != 'failed'), "
        "coalesce(sum(s.output_tokens) FILTER (WHERE s.state != 'failed'), 0), "
        "coalesce(sum(s.thought_tokens) FILTER (WHERE s.state != 'failed'), 0), "
        "count(s.thought_tokens) FILTER (WHERE s.state != 'failed'), "
        "coalesce(sum(s.output_tokens) FILTER (WHERE s.state != 'failed' AND s.thought_tokens IS NOT NULL), 0), "
        "coalesce(sum(s.dropped_tokens) FILTER (WHERE s.state != 'failed'), 0), "
        "coalesce(sum(c.value), 0.0), count(c.value), coalesce(sum(s.cost_usd), 0.0), "
        "coalesce(sum(s.cached), 0), coalesce(sum(s.estimated), 0) "
        f"FROM {JOINED} WHERE s.evaluation_id = ? GROUP BY 1",
        [scorer, evaluation_id],
    ):
        outcomes[outcome] = number
        sums = [total + part for total, part in zip(sums, row, strict=True)]
    return Tally(outcomes, *sums)


def results(db: Database, evaluation_id: str, scorer: str) -> Iterator[Result]:
    """Yield the results of all samples under one scorer, by item in the suite's order and then by sample."""
    for row in db.execute(
        f"SELECT s.item, s.sample, {OUTCOME}, c.value, c.answer, s.output_tokens, s.thought_tokens, i.grp, i.variant, "
        f"s.cost_usd, s.seconds, s.cached FROM {JOINED} "
        "JOIN evaluation_items i ON i.evaluation_id = s.evaluation_id AND i.item = s.item "
        "WHERE s.evaluation_id = ? ORDER BY i.position, s.sample",
        [scorer, evaluation_id],
    ):
        yield Result(*(*row[:-1], bool(row[-1])))


def _evaluation(row: Sequence[Any]) -> Evaluation:
    *head, sampling, settings, count, samples, scorer, created_at, metric = row
    values = [*head, json.loads(sampling), json.loads(settings), count, samples, scorer, created_at, metric]
    return Evaluation(*values)


def _item(row: Sequence[Any]) -> ItemRow:
    name, question, gold, group, variant, meta = row
    return ItemRow(name, question, tuple(json.loads(gold)), group, variant, json.loads(meta))
