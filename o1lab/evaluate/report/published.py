"""What papers published, as data with its source: the rows that stand first in our tables, and are marked so."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from o1lab.errors import LabError
from o1lab.evaluate.suites.suite import Family
from o1lab.paths import assets_dir

ACCURACY = "o1-journey-2-accuracy"
GENERAL = "o1-journey-2-general"
_Kind = TypeVar("_Kind", bound=BaseModel)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Part):
    """Where the figures stand in print."""

    authors: str
    title: str
    year: int
    arxiv: str
    where: str

    @property
    def citation(self) -> str:
        return f"{self.authors} ({self.year}), {self.title}, arXiv:{self.arxiv}, {self.where}"


class PublishedResult(_Part):
    """A model on a benchmark, as it was given: a count, or a percentage alone; ``tokens`` a response on average."""

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


class PublishedModel(_Part):
    """A row: what one model did, by benchmark."""

    name: str
    results: dict[str, PublishedResult]


class Benchmark(_Part):
    """A benchmark and the names our suites may have for it."""

    name: str
    suites: list[str]
    items: int | None = None

    def is_suite(self, suite: str) -> bool:
        return _plain(suite) in {_plain(self.name), *map(_plain, self.suites)}


class PublishedAccuracy(_Part):
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
    """One set before and after, out of 100. ``n``: how many questions, where the paper says so."""

    family: Family
    n: int | None = None
    before: float
    after: float

    def correct(self, percent: float) -> int | None:
        """The count behind a percentage of ``n``, where there is exactly one."""
        count = None if self.n is None else percent * self.n / 100
        return round(count) if count is not None and abs(count - round(count)) < 1e-6 else None


class PublishedMean(_Part):
    """A mean over several sets, as printed."""

    name: str
    family: Family
    of: list[str]
    before: float
    after: float


class PublishedChanges(_Part):
    """The paper's generalization table."""

    kind: Literal["changes"]
    title: str
    source: Source
    before: str
    after: str
    notes: list[str] = Field(default_factory=list)
    sets: list[PublishedSet]
    overall: list[PublishedMean] = Field(default_factory=list)


def published_accuracy(name: str = ACCURACY) -> PublishedAccuracy:
    """The published accuracies of this name.

    Raises:
        LabError: the file is missing or wrong; it comes with the program.
    """
    return _checked(PublishedAccuracy, name)


def published_changes(name: str = GENERAL) -> PublishedChanges:
    """The published changes of this name.

    Raises:
        LabError: the file is missing or wrong; it comes with the program.
    """
    return _checked(PublishedChanges, name)


@lru_cache(maxsize=8)
def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _checked(kind: type[_Kind], name: str) -> _Kind:
    path = assets_dir() / "published" / f"{name}.yaml"
    try:
        return kind.model_validate(_read(path))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise LabError(
            f"The published figures in {path} cannot be read: {str(error).splitlines()[0]}",
            "The file comes with the program: install it again.",
        ) from error


def _plain(name: str) -> str:
    """A suite's name without case and punctuation: MATH-500, math_500 and math500 are one."""
    return re.sub(r"[\W_]+", "", name.casefold())
