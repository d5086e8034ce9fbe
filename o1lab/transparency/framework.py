"""Frameworks of transparency: dimensions, items and points, read from YAML.

The built-in one is the Technical Transparency Index of Huang et al. (2024), arXiv:2411.16489, section 5. Files of the
same format in LAB/tti add others.
"""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from o1lab.errors import NotFoundError, UsageError
from o1lab.paths import Lab, assets_dir
from o1lab.small_files import UnreadableError, read_yaml, validated
from o1lab.text import one_line

DEFAULT = "o1-journey-2"


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Citation(_Frozen):
    """Where a framework was published."""

    authors: str
    title: str
    year: int
    arxiv: str = ""
    where: str = ""

    def __str__(self) -> str:
        parts = (f"{self.authors} ({self.year})", self.title, f"arXiv:{self.arxiv}" if self.arxiv else "", self.where)
        return ", ".join(filter(None, parts))


class Item(_Frozen):
    """A question with its points.

    Attributes:
        evidence: what counts as evidence for "yes".
        may_be_unused: whether "not used" is an answer, if the work states it; it earns the points too.
    """

    id: str = Field(pattern=r"^[a-z0-9_.-]+$", max_length=60)
    points: int = Field(ge=1)
    title: str
    question: str
    evidence: str = ""
    may_be_unused: bool = False


class Dimension(_Frozen):
    """Items on one aspect of a work."""

    id: str = Field(pattern=r"^[a-z0-9_]+$", max_length=40)
    title: str
    items: tuple[Item, ...] = Field(min_length=1)

    @property
    def points(self) -> int:
        return sum(item.points for item in self.items)


class PublishedWork(_Frozen):
    """A work that the source of the framework scored; the scores of its items were not published."""

    name: str
    scores: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.scores.values())


class Framework(_Frozen):
    """An index: its dimensions, its items and the published scores of works.

    Attributes:
        total: the points of all items together, as published; the file is refused if its items do not add up to it.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)
    title: str
    source: Citation
    total: int
    dimensions: tuple[Dimension, ...] = Field(min_length=1)
    published: tuple[PublishedWork, ...] = ()

    @cached_property
    def items(self) -> tuple[Item, ...]:
        return tuple(item for dimension in self.dimensions for item in dimension.items)

    def item(self, identity: str) -> Item:
        """Return the item with this id, or the only one whose id ends with ``.identity``.

        Raises:
            NotFoundError: there is none, or there are several.
        """
        found = [one for one in self.items if one.id == identity] or [
            one for one in self.items if one.id.endswith(f".{identity}")
        ]
        if len(found) != 1:
            raise NotFoundError(
                f"{self.title} has no item '{one_line(identity, 60)}'.",
                f"Its items: {', '.join(one.id for one in self.items)}.",
            )
        return found[0]

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        found = sum(dimension.points for dimension in self.dimensions)
        if found != self.total:
            parts = " + ".join(f"{dimension.points} ({dimension.id})" for dimension in self.dimensions)
            raise ValueError(f"the points of the items add up to {parts} = {found}, but total is {self.total}")
        for what, names in (
            ("dimensions", [dimension.id for dimension in self.dimensions]),
            ("items", [item.id for item in self.items]),
            ("published works", [work.name for work in self.published]),
        ):
            if twice := next((name for name, number in Counter(names).items() if number > 1), None):
                raise ValueError(f"two {what} are called '{twice}'")
        limits = {dimension.id: dimension.points for dimension in self.dimensions}
        for work in self.published:
            if work.scores.keys() != limits.keys():
                raise ValueError(
                    f"the published scores of '{work.name}' need one value for each of {', '.join(limits)}"
                )
            if over := next((name for name, score in work.scores.items() if not 0 <= score <= limits[name]), None):
                raise ValueError(f"the published score of '{work.name}' in {over} is not between 0 and {limits[over]}")
        return self


def framework_files(lab: Lab | None) -> dict[str, Path]:
    """Return the files of the frameworks by name; those of the lab replace built-in ones of the same name."""
    folders = [assets_dir() / "tti", *([lab.indices] if lab else [])]
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.yaml"))}


def find_framework(lab: Lab | None, name: str = DEFAULT) -> Framework:
    """Return a framework.

    Raises:
        NotFoundError: there is none of this name.
        UsageError: its file is not a valid framework; the message says which field is wrong.
    """
    files = framework_files(lab)
    if name not in files:
        raise NotFoundError(f"There is no framework '{one_line(name, 80)}'.", f"Available: {', '.join(files)}.")
    return read_framework(files[name])


def read_framework(path: Path) -> Framework:
    """Read one file.

    Raises:
        UsageError: it cannot be read or is not a valid framework.
    """
    try:
        return validated(path, read_yaml(path), Framework)
    except UnreadableError as error:
        message = f"{path} is not a valid framework: {one_line(error.reason, 400)}."
        raise UsageError(message, "Compare it with the built-in one.") from error
