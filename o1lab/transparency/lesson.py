"""The bitter lesson, measured: what a student gained beyond its teacher, what it lost, and who wrote its data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from o1lab.evaluate.report.cells import Interval, ends
from o1lab.evaluate.report.changes import change
from o1lab.evaluate.report.selection import EvaluationResult
from o1lab.evaluate.stats.metrics import wilson
from o1lab.evaluate.stats.paired import Paired, compare_evaluations
from o1lab.format import percent
from o1lab.markdown import inline, table
from o1lab.text import json_of
from o1lab.transparency import replay_price
from o1lab.transparency.lab_facts import LabFacts
from o1lab.transparency.replay_price import ReplayPrice
from store import datasets, traces, trees
from store.datasets import DatasetRow

REFLECTIONS = "reflections on tree search"
"""The part of chains of tree search that a teacher wrote; the rest is the text of the tree."""
BY_STUDENT = "the student's part of rescued chains"
"""What a student wrote before a teacher continued."""
BY_TEACHER = frozenset({"distilled", "reformatted", "translated", "multi-agent", "rescued", "solver", REFLECTIONS})
"""The synthesis methods whose tokens another model, or the solver, wrote."""
REPLAY = "replay"


@dataclass(frozen=True)
class TeacherComparison:
    """A student against a teacher on one suite.

    Attributes:
        suite: the suite's label.
        teacher: the teacher's name.
        paired: the comparison by item; A is the teacher, B the student.
    """

    suite: str
    teacher: str
    paired: Paired

    @property
    def above(self) -> float:
        """The share of items that the student got right and the teacher wrong."""
        return len(self.paired.only_b) / self.paired.items

    @property
    def above_interval(self) -> tuple[float, float]:
        """Wilson's interval of :attr:`above` at 95 %."""
        return wilson(len(self.paired.only_b), self.paired.items)

    def as_json(self) -> dict[str, Any]:
        found = self.paired
        return {
            "suite": self.suite, "teacher": self.teacher, "items": found.items,
            "student_only": len(found.only_b), "teacher_only": len(found.only_a), "both": len(found.both),
            "neither": len(found.neither), "student_only_share": self.above, "ci95": list(self.above_interval),
            "difference": found.difference, "mcnemar_p": found.mcnemar_p,
        }  # fmt: skip


@dataclass(frozen=True)
class SuiteFall:
    """The headline of a suite before and after training, in percent, and the interval of the difference."""

    suite: str
    before: float
    after: float
    difference: float
    interval: Interval | None
    p: float

    @property
    def is_clear(self) -> bool:
        """Whether the fall is beyond chance."""
        return self.interval[1] < 0 if self.interval is not None else self.p <= 0.05 and self.difference < 0

    def as_json(self) -> dict[str, Any]:
        return json_of(self, "suite", "before", "after", "difference", "ci95=interval", "p", "clear=is_clear")


@dataclass(frozen=True)
class Lesson:
    """What distillation did to one student.

    Attributes:
        run: the training run.
        ceilings: the student against each teacher that was evaluated on the same items.
        fell: suites whose headline is lower than that of the base, the largest fall first.
        suites: the number of suites with base and student.
        tokens: training tokens by synthesis method, over all stages; None if a row has no token count. ``replay`` are
            those of the base's own answers.
        missing: what could not be computed, and the command that supplies it.
        replay: the suites without and with replay, if there are two such runs.
    """

    run: str
    ceilings: tuple[TeacherComparison, ...]
    fell: tuple[SuiteFall, ...]
    suites: int
    tokens: dict[str, int] | None
    missing: tuple[str, ...]
    replay: ReplayPrice | None = None

    @property
    def teacher_share(self) -> float | None:
        """The share of the training tokens that a teacher wrote."""
        total = sum((self.tokens or {}).values())
        if not total or self.tokens is None:
            return None
        return sum(number for kind, number in self.tokens.items() if kind in BY_TEACHER) / total

    def as_json(self) -> dict[str, Any]:
        return {
            "run": self.run,
            "teacher": self.ceilings[0].teacher if self.ceilings else None,
            "ceiling": [one.as_json() for one in self.ceilings],
            "fell": [one.as_json() for one in self.fell],
            "suites": self.suites,
            "dependence": {"teacher_token_share": self.teacher_share, "tokens": self.tokens},
            "replay": None if self.replay is None else self.replay.as_json(),
            "missing": list(self.missing),
        }


def measure_lesson(facts: LabFacts) -> Lesson:
    """Measure what distillation did to the student of a run."""
    missing: list[str] = []
    ceilings = tuple(_ceilings(facts))
    falls = list(_falls(facts))
    if not facts.of_student:
        missing.append(f"The student was not evaluated: o1lab eval SUITE --model {facts.run.id}")
    elif not ceilings:
        suite = facts.of_student[0].evaluation.suite
        missing.append(f"No teacher was evaluated on a suite of the student: o1lab eval {suite} --model TEACHER")
    if facts.of_student and not falls:
        suite, base = facts.of_student[0].evaluation.suite, facts.stages[-1].recipe.get("base")
        missing.append(f"The base was not evaluated on a suite of the student: o1lab eval {suite} --model {base}")
    tokens = _tokens(facts)
    if tokens is None:
        missing.append("Some rows have no token count, so it is not known who wrote the training tokens.")
    replay = replay_price.replay_price(facts)
    if replay is None and facts.stages[-1].recipe.get("replay"):
        recipe = facts.run.recipe
        missing.append(f"No run differs from this one in replay: o1lab train --recipe {recipe} --set replay=0")
    fell = sorted((one for one in falls if one.difference < 0), key=lambda one: one.difference)
    return Lesson(facts.run.id, ceilings, tuple(fell), len(falls), tokens, tuple(missing), replay)


def _ceilings(facts: LabFacts) -> Iterator[TeacherComparison]:
    for student in facts.of_student:
        for teacher in facts.baselines(student.key):
            if teacher.evaluation.role == "teacher":
                found = compare_evaluations(
                    facts.store.db, teacher.evaluation, student.evaluation, scorer=student.scorer, common=True
                )
                yield TeacherComparison(student.evaluation.suite_label, teacher.evaluation.model, found.paired)


def _falls(facts: LabFacts) -> Iterator[SuiteFall]:
    for after in facts.of_student:
        for before in _bases(facts, after):
            found = change(before, after)
            if found is not None and before.value is not None and after.value is not None:
                label = after.evaluation.suite_label
                yield SuiteFall(label, before.value, after.value, found.difference, found.interval, found.p)


def _bases(facts: LabFacts, student: EvaluationResult) -> Iterable[EvaluationResult]:
    return [one for one in facts.baselines(student.key) if one.evaluation.role == "base"][:1]


def _tokens(facts: LabFacts) -> dict[str, int] | None:
    """Count the training tokens of all stages by synthesis method; None if a row has no count.

    The tokens of a reflection in a chain of tree search are estimated by its share of the characters.
    """
    counted: dict[str, int] = {}
    for kind, tokens in _learned(facts):
        if tokens is None:
            return None
        counted[kind] = counted.get(kind, 0) + tokens
    return dict(sorted(counted.items(), key=lambda one: -one[1]))


def _learned(facts: LabFacts) -> Iterator[tuple[str, int | None]]:
    """Yield the tokens of each training row with its synthesis method; None for a row without a count."""
    db = facts.store.db
    for name in dict.fromkeys(one.dataset.name for one in facts.stages if one.dataset is not None):
        written = trees.written_shares(db, name)
        for row in datasets.rows(db, name):
            if row.writers:
                yield from _in_turn(row)
                continue
            reflections = round((row.tokens or 0) * written.get(row.trace_id, 0))
            if row.tokens is None or row.tokens > reflections:
                yield row.synthesis, None if row.tokens is None else row.tokens - reflections
            if reflections:
                yield REFLECTIONS, reflections
    for stage in facts.stages:
        if stage.replay is not None:
            yield from ((REPLAY, traces.get(db, trace).tokens) for trace in stage.replayed)


def _in_turn(row: DatasetRow) -> Iterator[tuple[str, int | None]]:
    """Yield the tokens of a row that several models wrote, by the characters of the last one and of the others."""
    spans = [one for found in row.writers.values() for one in found]
    total = sum(one.end - one.start for one in spans)
    last = sum(one.end - one.start for one in spans if one.model == spans[-1].model)
    own = None if row.tokens is None else round(row.tokens * last / total)
    yield row.synthesis, own
    yield BY_STUDENT, None if row.tokens is None or own is None else row.tokens - own


def as_markdown(lessons: Sequence[Lesson]) -> str:
    """Return the lessons as Markdown tables."""
    lines = ["## The bitter lesson\n"]
    for one in lessons:
        lines.append(f"### Run {inline(one.run)}\n")
        if one.ceilings:
            heads = ("suite", "teacher", "items", "only the student", "only the teacher", "beyond the teacher, 95 %")
            rows = [
                (
                    each.suite, each.teacher, each.paired.items, len(each.paired.only_b), len(each.paired.only_a),
                    f"{percent(each.above)} [{percent(each.above_interval[0])}, {percent(each.above_interval[1])}]",
                )
                for each in one.ceilings
            ]  # fmt: skip
            lines.append(table(heads, rows))
        if one.fell:
            clear = {True: "yes", False: "no"}
            falls = [
                (each.suite, f"{each.before:.1f}", f"{each.after:.1f}", _difference(each), clear[each.is_clear])
                for each in one.fell
            ]
            lines.append(table(("suite that fell", "before", "after", "difference", "beyond chance"), falls))
        elif one.suites:
            lines.append(f"None of the {one.suites} suites fell.\n")
        if one.tokens:
            share = percent(one.teacher_share)
            lines.append(f"{share} of the training tokens were written by a teacher:\n")
            lines.append(table(("written by", "tokens"), one.tokens.items()))
        if one.replay is not None:
            lines.append(replay_price.as_markdown(one.replay))
        lines += [f"- {inline(words, 400)}\n" for words in one.missing]
    return "\n".join(lines) + "\n"


def _difference(fall: SuiteFall) -> str:
    return f"{fall.difference:+.1f} {ends(fall.interval)}".rstrip()
