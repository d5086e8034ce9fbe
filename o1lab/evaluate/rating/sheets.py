"""Blind human ratings from 0 to 100: annotators see neither the model of an answer nor the order of the samples.

Samples are ordered by a hash of annotator and sample, so each annotator has a different order that mixes the
evaluations and is stable across interruptions. A sample is identified by that hash, its ticket, because its number
would reveal its evaluation.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from o1lab.errors import NotFoundError, UsageError
from o1lab.evaluate.scorers.base import label_of
from o1lab.format import counted
from o1lab.text import json_of, visible
from store import Store, evaluations, ratings
from store.evaluations import NewScore, Turn
from store.ratings import Mark, Ratable
from store.sqlite import Database

if TYPE_CHECKING:
    from o1lab.evaluate.stats.agreement import Agreement

HIGHEST = 100
COLUMNS = ("ticket", "question", "answer", "value", "note")
"""The columns of an exported sheet; only ticket, value and note are read back."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class BlindSample:
    """A sample as an annotator sees it, without model, evaluation and score. ``mark`` is the earlier mark."""

    ticket: str
    seq: int
    question: str
    turns: tuple[Turn, ...]
    mark: Mark | None = None


@dataclass(frozen=True)
class Sheet:
    """The samples that one annotator rates, in their order as (ticket, seq), and the marks so far."""

    annotator: str
    order: tuple[tuple[str, int], ...]
    marks: Mapping[int, Mark] = field(default_factory=dict)

    @property
    def done(self) -> int:
        return sum(seq in self.marks for _, seq in self.order)

    @property
    def next_at(self) -> int | None:
        """The position of the first sample without a mark; None if all are marked."""
        return next((at for at, (_, seq) in enumerate(self.order) if seq not in self.marks), None)

    def seq_of(self, ticket: str) -> int:
        """Return the number of a ticket's sample.

        Raises:
            NotFoundError: the ticket belongs to another annotator or other evaluations.
        """
        for known, seq in self.order:
            if known == ticket:
                return seq
        raise NotFoundError(
            f"There is no sample '{ticket}' on the sheet of {self.annotator}.",
            "A ticket is valid for one annotator and one set of evaluations; `o1lab eval rate ID...` shows the next.",
        )


@dataclass(frozen=True)
class EvaluationMarks:
    """The ratings of one evaluation: ``mean`` is the mean over samples of their mean marks, 0 to 100."""

    evaluation_id: str
    model: str
    suite: str
    samples: int
    rated: int
    mean: float | None
    ci95: tuple[float, float] | None

    def as_json(self) -> dict[str, Any]:
        return json_of(self, "id=evaluation_id", "model", "suite", "samples", "rated", "mean", "ci95", digits=4)


@dataclass(frozen=True)
class RatingResults:
    """The ratings of several evaluations. ``progress`` is the number of samples, of ``total``, per annotator."""

    total: int
    progress: Mapping[str, int]
    evaluations: tuple[EvaluationMarks, ...]
    alpha: Agreement

    @property
    def finished(self) -> bool:
        """Whether every annotator who has begun has marked all samples."""
        return bool(self.progress) and all(done == self.total for done in self.progress.values())

    def as_json(self) -> dict[str, Any]:
        return json_of(self, "total", "finished", "annotators=progress", "evaluations", "alpha")


def human_label() -> str:
    """Return the scorer label of human ratings."""
    from o1lab.evaluate.scorers.base import HumanScorer

    return label_of(HumanScorer.name, HumanScorer.version)


def ticket(annotator: str, one: Ratable) -> str:
    """Return a sample's name for one annotator: 12 hexadecimal digits that do not reveal its evaluation."""
    key = json.dumps([annotator, one.evaluation_id, one.item, one.sample])
    return hashlib.sha256(key.encode()).hexdigest()[:12]


def sheet(db: Database, evaluation_ids: Sequence[str], annotator: str) -> Sheet:
    """Return the sheet of an annotator for these evaluations."""
    order = sorted((ticket(annotator, one), one.seq) for one in ratings.ratable(db, evaluation_ids))
    return Sheet(annotator, tuple(order), ratings.standing(db, evaluation_ids, annotator))


def read(db: Database, of: Sheet, at: int) -> BlindSample:
    """Return the sample at a position of a sheet.

    Raises:
        NotFoundError: the sample no longer exists.
    """
    name, seq = of.order[at]
    evaluation_id, one = evaluations.sample(db, seq)
    item = evaluations.item(db, evaluation_id, one.item)
    return BlindSample(name, seq, item.question, one.turns, of.marks.get(seq))


def parse_mark(text: str) -> float:
    """Parse a mark.

    Raises:
        UsageError: it is not a number from 0 to 100.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= HIGHEST:  # NaN fails the comparison
        raise UsageError(f"'{text}' is not a valid mark.", f"A mark is a number from 0 to {HIGHEST}.")
    return value


def results(db: Database, evaluation_ids: Sequence[str]) -> RatingResults:
    """Return mean marks with 95 % intervals (bootstrap over items) and the agreement of the annotators."""
    from o1lab.evaluate.stats.agreement import krippendorff_alpha
    from o1lab.evaluate.stats.metrics import clustered_bootstrap

    ratable = ratings.ratable(db, evaluation_ids)
    by_sample: dict[int, list[float]] = {}
    by_annotator: dict[str, dict[str, float]] = {}
    known = {one.seq for one in ratable}
    for seq, annotator, value in ratings.marks(db, evaluation_ids):
        if seq in known:
            by_sample.setdefault(seq, []).append(value)
            by_annotator.setdefault(annotator, {})[str(seq)] = value
    found = []
    for identity in evaluation_ids:
        own = [one for one in ratable if one.evaluation_id == identity]
        rated = [one for one in own if one.seq in by_sample]
        means = [math.fsum(by_sample[one.seq]) / len(by_sample[one.seq]) for one in rated]
        interval = clustered_bootstrap(means, [one.cluster for one in rated]) if means else None
        evaluation = evaluations.get(db, identity)
        found.append(
            EvaluationMarks(
                identity, evaluation.model, evaluation.suite_label, len(own), len(rated),
                math.fsum(means) / len(means) if means else None,
                interval and interval.ends,
            )
        )  # fmt: skip
    progress = {name: len(given) for name, given in sorted(by_annotator.items())}
    return RatingResults(len(ratable), progress, tuple(found), krippendorff_alpha(by_annotator))


def as_lines(found: RatingResults) -> list[str]:
    """Return the results as text lines."""
    lines = [f"{name}: {done:,} of {found.total:,} marked" for name, done in found.progress.items()]
    for one in found.evaluations:
        mean = "no marks yet" if one.mean is None else f"{one.mean:.1f}"
        if one.ci95 is not None:
            mean += f"  95 % {one.ci95[0]:.1f} to {one.ci95[1]:.1f}"
        lines.append(f"{one.suite} {one.model} ({one.evaluation_id}): {mean}  {one.rated:,} of {one.samples:,} samples")
    return [*lines, f"Krippendorff's alpha of {counted(found.alpha.raters, 'annotator')}: {found.alpha.text('sample')}"]


def write_scores(db: Database, evaluation_ids: Sequence[str]) -> int:
    """Store the mean marks as scores, so that tables can show them.

    The outcome of a rated sample stays ``unscored``; its value is the mean mark divided by 100. A sample whose marks
    were all removed loses its value.

    Returns:
        The number of rated samples.
    """
    given: dict[int, list[tuple[str, float]]] = {}
    for seq, annotator, value in ratings.marks(db, evaluation_ids):
        given.setdefault(seq, []).append((annotator, value))
    scores = [
        NewScore(
            seq,
            human_label(),
            "unscored",
            math.fsum(value for _, value in marks) / len(marks) / HIGHEST,
            None,
            "rated " + ", ".join(f"{value:g} by {annotator}" for annotator, value in marks),
        )
        for seq, marks in given.items()
    ]
    with db.atomic():
        bare = ratings.graded(db, evaluation_ids, human_label()) - set(given)
        taken_back = [NewScore(seq, human_label(), "unscored", reason="its marks were removed") for seq in sorted(bare)]
        evaluations.add_scores(db, [*scores, *taken_back])
    return len(scores)


def export(db: Database, of: Sheet, path: Path) -> int:
    """Write a sheet to be filled in elsewhere, as CSV or JSONL by suffix, blind and shuffled.

    Returns:
        The number of rows.

    Raises:
        UsageError: the suffix is neither, or the file cannot be written.
    """
    from o1lab.files import atomic_write

    rows: list[dict[str, Any]] = []
    for at in range(len(of.order)):
        one = read(db, of, at)
        row = {
            "ticket": one.ticket,
            "question": one.question,
            "answer": transcript(one.turns),
            "value": "" if one.mark is None else f"{one.mark.value:g}",
            "note": "" if one.mark is None else one.mark.note,
        }
        rows.append({key: visible(text) for key, text in row.items()})
    if path.suffix == ".jsonl":
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    elif path.suffix == ".csv":
        out = io.StringIO()
        writer = csv.DictWriter(out, COLUMNS)
        writer.writeheader()
        writer.writerows({key: _no_formula(key, text) for key, text in row.items()} for row in rows)
        text = out.getvalue()
    else:
        raise _no_sheet(path)
    try:
        with atomic_write(path) as file:
            file.write(text)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.", "Choose another path.") from error
    return len(rows)


def import_marks(store: Store, of: Sheet, path: Path) -> int:
    """Store the marks of a sheet that was filled in elsewhere, all or none; rows without a mark are skipped.

    Returns:
        The number of marks.

    Raises:
        UsageError: the file cannot be read, a mark is invalid, or a ticket occurs twice; the message names the row.
        NotFoundError: a ticket is not on this annotator's sheet.
    """
    marks: dict[int, tuple[float, str]] = {}
    for number, row in enumerate(_rows(path), 1):
        written = str(row.get("value") if row.get("value") is not None else "").strip()
        if not written:
            continue
        if not isinstance(row.get("ticket"), str):
            raise UsageError(f"Row {number} of {path} has no ticket.", f"Its columns are {', '.join(COLUMNS)}.")
        try:
            seq, value = of.seq_of(row["ticket"].strip()), parse_mark(written)
        except (UsageError, NotFoundError) as error:
            raise type(error)(f"Row {number} of {path}: {error.message}", error.hint) from error
        if seq in marks:
            raise UsageError(f"Row {number} of {path} marks '{row['ticket']}' again.", "Keep one row per ticket.")
        marks[seq] = (value, str(row.get("note") or ""))
    with store.db.atomic():
        for seq, (value, note) in marks.items():
            if of.marks.get(seq) != Mark(value, note):
                ratings.rate(store.db, seq, value, annotator=of.annotator, note=note)
    return len(marks)


def transcript(turns: Sequence[Turn]) -> str:
    """Return the model's answer without thoughts; with several turns, the conversation from the first answer on."""
    if len(turns) == 1:
        return turns[0].answer
    lines = []
    for number, turn in enumerate(turns):
        lines += [*([f"USER: {turn.user}"] if number else []), f"MODEL: {turn.answer}"]
    return "\n\n".join(lines)


def _rows(path: Path) -> list[dict[str, Any]]:
    if path.suffix not in (".csv", ".jsonl"):
        raise _no_sheet(path)
    try:
        text = path.read_text("utf-8-sig")
        if path.suffix == ".csv":
            return list(csv.DictReader(io.StringIO(text, newline="")))
        rows = [json.loads(line) for line in text.split("\n") if line.strip()]
    except (OSError, UnicodeDecodeError, ValueError, csv.Error) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"{path} cannot be read: {why}.", "Use a sheet of `o1lab eval rate --export`.") from error
    if not all(isinstance(row, dict) for row in rows):
        raise UsageError(f"{path} has lines that are not JSON objects.", "Use a sheet of `o1lab eval rate --export`.")
    return rows


def _no_sheet(path: Path) -> UsageError:
    return UsageError(f"{path.name} is neither CSV nor JSONL.", "Name it .csv or .jsonl.")


def _no_formula(key: str, text: str) -> str:
    """Return a cell that spreadsheets do not run as a formula: the text comes from a model."""
    return f"'{text}" if key in ("question", "answer") and text.startswith(_FORMULA) else text
