"""Evaluations, their items and samples, and the scores of each sample.

A sample has one of six outcomes: ``failed`` (no response), ``incomplete`` (cut off), or for a complete one the outcome
of the scorer: ``correct``, ``incorrect``, ``unextracted`` (no answer found) or ``unscored`` (not decided, or not yet).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from store.errors import NotFoundError
from store.naming import resolved
from store.records import now
from store.rows import columns, insert, insertion, parameters, read, read_all, values
from store.sqlite import Database

State = Literal["complete", "incomplete", "failed"]
ScoreOutcome = Literal["correct", "incorrect", "unextracted", "unscored"]
OUTCOMES = ("correct", "incorrect", "incomplete", "unextracted", "unscored", "failed")

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
        cost_usd: Sum over all samples. ``cached`` and ``estimated`` are numbers of samples, out of all.
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
    with db.atomic():
        if insert(db, "evaluations", [evaluation], on_conflict="IGNORE"):
            rows = (
                {
                    "evaluation_id": evaluation.id, "item": row.item, "position": position, "question": row.question,
                    "gold": row.gold, "grp": row.group, "variant": row.variant, "meta": row.meta,
                }
                for position, row in enumerate(items)
            )  # fmt: skip
            insert(db, "evaluation_items", rows)


def get(db: Database, identity: str) -> Evaluation:
    """Return the evaluation with this id, or the only one whose id begins with it.

    Raises:
        NotFoundError: No evaluation, or several evaluations, have such an id.
    """
    found = read_all(db, Evaluation, "FROM evaluations WHERE substr(id, 1, ?) = ?", [len(identity), identity])
    return resolved(found, identity, "evaluation", "`o1lab eval ls` lists them.")


def all_evaluations(db: Database, *, suite: str | None = None) -> list[Evaluation]:
    """Return every evaluation, or those of one suite, the newest first."""
    order = "ORDER BY created_at DESC, rowid DESC"
    return read_all(db, Evaluation, f"FROM evaluations WHERE ? IS NULL OR suite = ? {order}", [suite, suite])


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
    return [read(ItemRow, row) for row in db.execute(f"{_ITEMS} ORDER BY position", [evaluation_id])]


def item(db: Database, evaluation_id: str, wanted: str) -> ItemRow:
    """Return one item.

    Raises:
        NotFoundError: There is no such item.
    """
    row = db.execute(f"{_ITEMS} AND item = ?", [evaluation_id, wanted]).fetchone()
    if row is None:
        raise NotFoundError(f"Evaluation {evaluation_id} has no item '{wanted}'.", "`o1lab eval samples` lists them.")
    return read(ItemRow, row)


def add_samples(db: Database, evaluation_id: str, samples: Iterable[NewSample]) -> list[int]:
    """Add samples inside the caller's transaction and return their seqs, in order.

    An existing sample is replaced and its scores and moves are deleted: only failed samples are asked again.
    """
    created_at, seqs = now(), []
    for one in samples:
        row = {"evaluation_id": evaluation_id, **values(one), "created_at": created_at}
        turns, meta = [asdict(turn) for turn in row.pop("turns")], row.pop("meta")
        statement = insertion("samples", tuple(row), "UPDATE")
        [seq] = db.conn.execute(f"{statement} RETURNING seq", parameters(row)).fetchone()
        insert(db, "sample_texts", [{"seq": seq, "turns": turns, "meta": meta}], on_conflict="REPLACE")
        for table in ("scores", "sample_moves"):
            db.conn.execute(f"DELETE FROM {table} WHERE seq = ?", (seq,))
        seqs.append(int(seq))
    return seqs


def add_scores(db: Database, scores: Iterable[NewScore]) -> None:
    """Save scores inside the caller's transaction; a score replaces one of the same scorer and sample."""
    created_at = now()
    rows = ({**values(one), "created_at": created_at} for one in scores)
    insert(db, "scores", rows, on_conflict="REPLACE")


def sample(db: Database, seq: int) -> tuple[str, NewSample]:
    """Return (evaluation id, sample) of one sample.

    Raises:
        NotFoundError: There is no such sample.
    """
    require_sample(db, seq)
    evaluation_id, *row = db.execute(
        f"SELECT s.evaluation_id, {columns(NewSample)} FROM samples s JOIN sample_texts t ON t.seq = s.seq "
        "WHERE s.seq = ?",
        [seq],
    ).fetchone()
    return evaluation_id, read(NewSample, row)


def require_sample(db: Database, seq: int) -> None:
    """Raise ``NotFoundError`` if there is no such sample."""
    if db.value("SELECT 1 FROM samples WHERE seq = ?", [seq]) is None:
        raise NotFoundError(f"There is no sample {seq}.", "`o1lab eval samples` lists them.")


def find_sample(db: Database, evaluation_id: str, wanted: str, number: int = 0) -> int:
    """Return the seq of sample ``number`` of an item.

    Raises:
        NotFoundError: There is no such sample.
    """
    seq = db.value(
        "SELECT seq FROM samples WHERE evaluation_id = ? AND item = ? AND sample = ?", [evaluation_id, wanted, number]
    )
    if seq is None:
        raise NotFoundError(
            f"{evaluation_id} has no sample {number} of '{wanted}'.", "`o1lab eval samples` lists them."
        )
    return int(seq)


def scores_of(db: Database, seq: int) -> list[NewScore]:
    """Return all scores of a sample, the latest last."""
    return read_all(db, NewScore, "FROM scores WHERE seq = ? ORDER BY created_at, scorer", [seq])


def scorers(db: Database, evaluation_id: str) -> dict[str, int]:
    """Return the number of samples scored by each scorer of an evaluation, by label, the latest last."""
    return dict(
        db.execute(
            "SELECT c.scorer, count(*) FROM scores c JOIN samples s ON s.seq = c.seq WHERE s.evaluation_id = ? "
            "GROUP BY c.scorer ORDER BY max(c.created_at), c.scorer",
            [evaluation_id],
        )
    )


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
        yield read(Result, row)
