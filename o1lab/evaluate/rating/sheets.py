"""Persons' marks from 0 to 100: who marks sees neither whose answer it is nor in which order the answers were made.

The order is by a hash of annotator and sample, so it is another for each annotator, mixes the evaluations, and is the
same again after an interruption. A sample is named by a ticket, another hash: its number would tell its evaluation.
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
from o1lab.text import visible
from store import Store, evaluations, ratings
from store.evaluations import NewScore, Turn
from store.ratings import Mark, Ratable
from store.sqlite import Database

if TYPE_CHECKING:
    from o1lab.evaluate.stats.agreement import Agreement

HIGHEST = 100
COLUMNS = ("ticket", "question", "answer", "value", "note")
"""Of a sheet that is rated elsewhere; only ticket, value and note are read back."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class Blind:
    """A sample as an annotator sees it: no model, no evaluation, no score. ``mark`` is what they said before."""

    ticket: str
    seq: int
    question: str
    turns: tuple[Turn, ...]
    mark: Mark | None = None


@dataclass(frozen=True)
class Sheet:
    """What one annotator has to mark, in their order, and their marks so far."""

    annotator: str
    order: tuple[tuple[str, int], ...]
    """(ticket, seq) of each sample."""
    marks: Mapping[int, Mark] = field(default_factory=dict)

    @property
    def done(self) -> int:
        return sum(seq in self.marks for _, seq in self.order)

    @property
    def next_at(self) -> int | None:
        """The place of the first sample without a mark."""
        return next((at for at, (_, seq) in enumerate(self.order) if seq not in self.marks), None)

    def seq_of(self, ticket: str) -> int:
        """The sample of a ticket.

        Raises:
            NotFoundError: it is not on this sheet: tickets are of one annotator and of these evaluations.
        """
        for known, seq in self.order:
            if known == ticket:
                return seq
        raise NotFoundError(
            f"There is no sample '{ticket}' on the sheet of {self.annotator}.",
            "Tickets are of one annotator and one set of evaluations; `o1lab eval rate ID...` names the next one.",
        )


@dataclass(frozen=True)
class EvaluationMarks:
    """The marks of one evaluation: the mean over samples of their mean marks, 0 to 100."""

    evaluation_id: str
    model: str
    suite: str
    samples: int
    rated: int
    mean: float | None
    ci95: tuple[float, float] | None

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.evaluation_id,
            "model": self.model,
            "suite": self.suite,
            "samples": self.samples,
            "rated": self.rated,
            "mean": None if self.mean is None else round(self.mean, 4),
            "ci95": None if self.ci95 is None else [round(end, 4) for end in self.ci95],
        }


@dataclass(frozen=True)
class Results:
    """What came of it. ``progress`` is how many samples each annotator has marked, of ``total``."""

    total: int
    progress: Mapping[str, int]
    evaluations: tuple[EvaluationMarks, ...]
    alpha: Agreement

    @property
    def finished(self) -> bool:
        """Whether everyone who began has marked everything."""
        return bool(self.progress) and all(done == self.total for done in self.progress.values())

    def as_json(self) -> dict[str, Any]:
        return {
            "total": self.total,
            "finished": self.finished,
            "annotators": dict(self.progress),
            "evaluations": [one.as_json() for one in self.evaluations],
            "alpha": self.alpha.as_json(),
        }


def label() -> str:
    """The scorer's label that persons' marks stand under."""
    from o1lab.evaluate.scorers.human import HumanScorer

    return label_of(HumanScorer.name, HumanScorer.version)


def ticket(annotator: str, one: Ratable) -> str:
    """A sample's name for one annotator: 12 hexadecimal digits that tell nothing of where it is from."""
    said = json.dumps([annotator, one.evaluation_id, one.item, one.sample])
    return hashlib.sha256(said.encode()).hexdigest()[:12]


def sheet(db: Database, evaluation_ids: Sequence[str], annotator: str) -> Sheet:
    """What an annotator has to mark, in their order."""
    order = sorted((ticket(annotator, one), one.seq) for one in ratings.ratable(db, evaluation_ids))
    return Sheet(annotator, tuple(order), ratings.standing(db, evaluation_ids, annotator))


def read(db: Database, of: Sheet, at: int) -> Blind:
    """The sample in one place of a sheet.

    Raises:
        MissingError: it is gone.
    """
    name, seq = of.order[at]
    evaluation_id, one = evaluations.sample(db, seq)
    item = evaluations.item(db, evaluation_id, one.item)
    return Blind(name, seq, item.question, one.turns, of.marks.get(seq))


def mark_of(text: str) -> float:
    """A mark as it was written.

    Raises:
        UsageError: it is no number from 0 to 100.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= HIGHEST:  # nan is not either
        raise UsageError(f"'{text}' is no mark.", f"A mark is a number from 0 to {HIGHEST}.")
    return value


def results(db: Database, evaluation_ids: Sequence[str]) -> Results:
    """Means with intervals (of whole items drawn with replacement) and the annotators' agreement."""
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
                None if interval is None else (interval.low, interval.high),
            )
        )  # fmt: skip
    progress = {name: len(given) for name, given in sorted(by_annotator.items())}
    return Results(len(ratable), progress, tuple(found), krippendorff_alpha(by_annotator))


def as_lines(found: Results) -> list[str]:
    """The results for a person to read."""
    lines = [f"{name}: {done:,} of {found.total:,} marked" for name, done in found.progress.items()]
    for one in found.evaluations:
        mean = "no mark yet" if one.mean is None else f"{one.mean:.1f}"
        if one.ci95 is not None:
            mean += f"  95 % {one.ci95[0]:.1f} to {one.ci95[1]:.1f}"
        lines.append(f"{one.suite} {one.model} ({one.evaluation_id}): {mean}  {one.rated:,} of {one.samples:,} samples")
    if found.alpha.value is None:
        return [*lines, f"Krippendorff's alpha: not defined, {found.alpha.why_not}"]
    within = f"  95 % {found.alpha.ci95[0]:.2f} to {found.alpha.ci95[1]:.2f}" if found.alpha.ci95 else ""
    of = f"{found.alpha.units:,} samples by {found.alpha.raters} annotators"
    return [*lines, f"Krippendorff's alpha (interval): {found.alpha.value:.3f}{within}  {of}"]


def write_scores(db: Database, evaluation_ids: Sequence[str]) -> int:
    """Put the mean marks beside the other scorers' words, so that tables can show them; how many samples.

    A graded sample is neither right nor wrong: its outcome stays ``unscored``, its value is the mean mark over 100. One
    whose marks were all taken back has no value any more.
    """
    given: dict[int, list[tuple[str, float]]] = {}
    for seq, annotator, value in ratings.marks(db, evaluation_ids):
        given.setdefault(seq, []).append((annotator, value))
    scores = [
        NewScore(
            seq,
            label(),
            "unscored",
            math.fsum(value for _, value in marks) / len(marks) / HIGHEST,
            None,
            "rated " + ", ".join(f"{value:g} by {annotator}" for annotator, value in marks),
        )
        for seq, marks in given.items()
    ]
    with db.atomic():
        bare = ratings.graded(db, evaluation_ids, label()) - set(given)
        taken_back = [NewScore(seq, label(), "unscored", reason="its marks were taken back") for seq in sorted(bare)]
        evaluations.add_scores(db, [*scores, *taken_back])
    return len(scores)


def export(db: Database, of: Sheet, path: Path) -> int:
    """Write a sheet to be marked elsewhere, CSV or JSONL by the file's name, blind and shuffled; how many rows.

    Raises:
        UsageError: the name ends in neither, or it cannot be written.
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
        raise UsageError(f"{path} cannot be written: {error.strerror}.", "Choose another place.") from error
    return len(rows)


def take_in(store: Store, of: Sheet, path: Path) -> int:
    """Record the marks of a sheet that was filled in elsewhere, all or none; rows without a mark are passed over.

    Raises:
        UsageError: the file cannot be read so, a mark is none, a ticket comes twice; with the row.
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
            seq, value = of.seq_of(row["ticket"].strip()), mark_of(written)
        except (UsageError, NotFoundError) as error:
            raise type(error)(f"Row {number} of {path}: {error.message}", error.hint) from error
        if seq in marks:
            raise UsageError(f"Row {number} of {path} marks '{row['ticket']}' again.", "Keep one row of each ticket.")
        marks[seq] = (value, str(row.get("note") or ""))
    with store.db.atomic():
        for seq, (value, note) in marks.items():
            if of.marks.get(seq) != Mark(value, note):
                ratings.rate(store.db, seq, value, annotator=of.annotator, note=note)
    return len(marks)


def transcript(turns: Sequence[Turn]) -> str:
    """What the model said, its thoughts left out; with several turns all that was said from the first answer on."""
    if len(turns) == 1:
        return turns[0].answer
    said = []
    for number, turn in enumerate(turns):
        said += [*([f"USER: {turn.user}"] if number else []), f"MODEL: {turn.answer}"]
    return "\n\n".join(said)


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
        raise UsageError(f"{path} cannot be read: {why}.", "Give the sheet that `eval rate --export` wrote.") from error
    if not all(isinstance(row, dict) for row in rows):
        raise UsageError(f"{path} holds lines that are no objects.", "Give the sheet that `eval rate --export` wrote.")
    return rows


def _no_sheet(path: Path) -> UsageError:
    return UsageError(f"{path.name} is neither CSV nor JSONL.", "Name it .csv or .jsonl.")


def _no_formula(key: str, text: str) -> str:
    """A cell that no spreadsheet takes for a formula: the text is a model's."""
    return f"'{text}" if key in ("question", "answer") and text.startswith(_FORMULA) else text
