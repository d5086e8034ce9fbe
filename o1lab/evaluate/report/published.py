"""Published figures with their sources, and their rows in our tables, which come first and are marked."""

from __future__ import annotations

import re
from typing import Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from o1lab.errors import LabError
from o1lab.evaluate.report.cells import NOTHING, Cell, Interval, TableRow, verdict
from o1lab.evaluate.stats.metrics import wilson_interval
from o1lab.evaluate.suites.suite import Family
from o1lab.paths import assets_dir
from o1lab.small_files import UnreadableError, read_yaml, validated

ModelT = TypeVar("ModelT", bound=BaseModel)


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Frozen):
    """Where the figures were published."""

    authors: str
    title: str
    year: int
    arxiv: str
    where: str

    @property
    def citation(self) -> str:
        return f"{self.authors} ({self.year}), {self.title}, arXiv:{self.arxiv}, {self.where}"


class PublishedResult(_Frozen):
    """The result of a model on a benchmark: a count or a percentage, and the average output tokens per response."""

    correct: int | None = None
    n: int | None = None
    accuracy: float | None = None
    tokens: float | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        counted = self.correct is not None and self.n is not None
        if counted == (self.accuracy is not None):
            raise ValueError("give either correct and n, or accuracy")
        return self

    @property
    def percent(self) -> float:
        if self.correct is not None and self.n:
            return 100 * self.correct / self.n
        return self.accuracy or 0.0

    @property
    def interval(self) -> Interval | None:
        """Wilson's interval of a count at 95 %, in percent; None for a percentage."""
        return None if self.correct is None or self.n is None else wilson_interval(self.correct, self.n).percent


class PublishedModel(_Frozen):
    """The results of one model, by benchmark."""

    name: str
    results: dict[str, PublishedResult]


class Benchmark(_Frozen):
    """A benchmark and the names that suites may have for it."""

    name: str
    suites: list[str]
    items: int | None = None

    def is_suite(self, suite: str) -> bool:
        return _normalised(suite) in {_normalised(self.name), *map(_normalised, self.suites)}


class PublishedAccuracy(_Frozen):
    """The paper's first table."""

    kind: Literal["accuracy"]
    title: str
    source: Source
    notes: list[str] = Field(default_factory=list)
    benchmarks: list[Benchmark]
    models: list[PublishedModel]

    @model_validator(mode="after")
    def _known(self) -> Self:
        names = {one.name for one in self.benchmarks}
        for model in self.models:
            if unknown := set(model.results) - names:
                raise ValueError(f"{model.name} has results on unknown benchmarks: {', '.join(sorted(unknown))}")
        return self


class PublishedSet(Benchmark):
    """A test set before and after, in percent. ``n`` is the number of questions, if the paper states it."""

    family: Family
    n: int | None = None
    before: float
    after: float

    def correct(self, percent: float) -> int | None:
        """Return the count behind a percentage of ``n``; None unless it is a whole number."""
        count = None if self.n is None else percent * self.n / 100
        return round(count) if count is not None and abs(count - round(count)) < 1e-6 else None


class PublishedMean(_Frozen):
    """A mean over several sets, as published."""

    name: str
    family: Family
    of: list[str]
    before: float
    after: float


class PublishedChanges(_Frozen):
    """The paper's generalization table."""

    kind: Literal["changes"]
    title: str
    source: Source
    before: str
    after: str
    notes: list[str] = Field(default_factory=list)
    sets: list[PublishedSet]
    overall: list[PublishedMean] = Field(default_factory=list)


def published_accuracy() -> PublishedAccuracy:
    """Return the accuracies that the paper published.

    Raises:
        LabError: the file, which comes with the program, is missing or invalid.
    """
    return _published(PublishedAccuracy, "o1-journey-2-accuracy")


def published_changes() -> PublishedChanges:
    """Return the changes that the paper published.

    Raises:
        LabError: the file, which comes with the program, is missing or invalid.
    """
    return _published(PublishedChanges, "o1-journey-2-general")


def published_row(model: PublishedModel, benchmark: Benchmark) -> TableRow:
    """Return the row of a model on a benchmark. The interval of a count is Wilson's, computed here."""
    result = model.results[benchmark.name]
    cells = {
        "accuracy": Cell(result.percent, result.interval),
        "correct": NOTHING if result.correct is None else Cell(result.correct, of=result.n),
        "tokens": NOTHING if result.tokens is None else Cell(result.tokens),
    }
    return TableRow(model.name, cells, published=True)


def published_change(one: PublishedSet) -> TableRow:
    """Return the row of a set before and after, with as many decimals as published."""
    digits = 1 if all(round(value, 1) == value for value in (one.before, one.after)) else 2

    def cell(percent: float) -> Cell:
        correct = one.correct(percent)
        if correct is None or one.n is None:
            return Cell(percent, digits=digits)
        return Cell(percent, wilson_interval(correct, one.n).percent)

    difference = _published_difference(one.before, one.after, digits)
    cells = {"before": cell(one.before), "after": cell(one.after), "difference": difference}
    if one.n is not None:
        cells["samples"] = Cell(one.n)
    return TableRow(one.name, cells, published=True)


def published_mean(name: str, before: float, after: float) -> TableRow:
    """Return the row of a mean over sets, as published."""
    cells = {"before": Cell(before), "after": Cell(after), "difference": _published_difference(before, after, 1)}
    return TableRow(name, cells, published=True, mean=True)


def _published(kind: type[ModelT], name: str) -> ModelT:
    path = assets_dir() / "published" / f"{name}.yaml"
    try:
        return validated(path, read_yaml(path), kind)
    except UnreadableError as error:
        raise LabError(
            f"The published figures in {path} cannot be read: {error.reason}.",
            "The file comes with the program: reinstall it.",
        ) from error


def _normalised(name: str) -> str:
    """Return a name without case and punctuation, so that MATH-500, math_500 and math500 are equal."""
    return re.sub(r"[\W_]+", "", name.casefold())


def _published_difference(before: float, after: float, digits: int) -> Cell:
    difference = round(after - before, 2)
    return Cell(difference, verdict=verdict(difference, None), digits=digits)
