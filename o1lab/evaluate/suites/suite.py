"""A suite is a file: which items, how they are put, who scores, how the model is sampled, and a version of all that.

Suites are YAML files called ``NAME.yaml``: those in LAB/suites go before the ones of the same name that o1lab brings.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator

from o1lab.errors import NotFoundError, UsageError
from o1lab.evaluate.scorers import SCORERS, ScorerSpec
from o1lab.evaluate.scorers import check as check_scorer
from o1lab.paths import Lab, assets_dir
from o1lab.text import one_line

Family = Literal["mathematics", "safety", "factuality", "sycophancy", "hallucination", "general"]

_LONGEST_FILE = 1 << 20


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, to which a key that stands there twice is a fault: the first would be lost unseen."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key '{twice}' stands there twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


class HubSpec(BaseModel):
    """A hub dataset: some of its files, or the Parquet files the hub itself makes of a config and a split."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(min_length=1)
    files: tuple[str, ...] = Field(default=(), description="paths in the dataset's repository")
    config: str = "default"
    split: str = "test"
    revision: str | None = Field(default=None, description="a commit: then the items can never change")
    seen: str = Field(default="", description="where this id is documented")


class InnerSpec(BaseModel):
    """Texts out of a column that holds a list of objects: what is under ``take`` in those with these values."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: str
    take: str
    where: dict[str, Any] = Field(default_factory=dict)


class ItemsSpec(BaseModel):
    """Where the items come from. One of ``file``, ``problems`` and ``hub`` is used, in the order of what is there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str | None = Field(default=None, description="a JSON, JSONL, CSV, TSV, Parquet or text file")
    problems: str | None = Field(default=None, description="problems of the lab, in the pool's filter language")
    hub: HubSpec | None = Field(default=None, description="a hub dataset")
    needs: str = Field(default="", description="which file it needs and in what form, said when there is none")
    build: str = Field(default="plain", description="how rows become items: plain, choice, sycophancy, ...")
    options: dict[str, Any] = Field(default_factory=dict, description="the builder's own options")
    fields: dict[str, str | tuple[str, ...]] = Field(
        default_factory=dict,
        description="which column holds the id, question, gold, wrong, choices, turns, context, system, group, "
        "variant, weight; any other name is kept with the item",
    )
    inner: dict[str, InnerSpec] = Field(default_factory=dict, description="parts that a list of objects holds")
    fixed: dict[str, str] = Field(default_factory=dict, description="the same for every row, such as gold: no")
    values: dict[str, dict[str, str]] = Field(
        default_factory=dict, description="what a column's values stand for, such as gold: {safe: comply}"
    )
    split: dict[str, str] = Field(
        default_factory=dict, description="what stands between several golds or wrongs in one text"
    )
    gold_form: Literal["plain", "boxed"] = Field(
        default="plain", description="boxed: the answer is in the last box of a solution"
    )
    where: dict[str, Any] = Field(default_factory=dict, description="only rows with these values")
    skip: int = Field(default=0, ge=0, description="rows at the start that are none, such as a header in a text file")
    unique: bool = Field(default=False, description="of rows with the same question only the first")
    take: int | None = Field(default=None, ge=1, description="so many questions, drawn once and for all")
    take_seed: int = 1
    longest: int = Field(default=1_000_000, ge=1, description="characters a question may have")

    @field_validator("fixed", mode="before")
    @classmethod
    def _yaml_words(cls, value: Any) -> Any:
        """YAML reads a bare ``no`` as false, and ``gold: no`` is what a person writes."""
        if not isinstance(value, dict):
            return value
        return {name: {True: "yes", False: "no"}.get(one, one) if isinstance(one, bool) else one
                for name, one in value.items()}  # fmt: skip


class SuiteSampling(BaseModel):
    """How a model is asked unless the evaluation says otherwise."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    temperature: float | None = Field(default=0.0, ge=0)
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_tokens: int = Field(default=4096, ge=1)
    samples: int = Field(default=1, ge=1)
    seed: int | None = 42


class Suite(BaseModel):
    """A named set of items with a scorer. Raise ``version`` with any change of meaning: items, prompt or scorer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)
    version: int = Field(ge=1)
    title: str
    family: Family
    about: str = ""
    licence: str = ""
    items: ItemsSpec
    system: str = ""
    prompt: str = Field(default="{{question}}", description="what the user says first; {{column}} is filled in")
    scorer: ScorerSpec
    sampling: SuiteSampling = Field(default_factory=SuiteSampling)
    metric: Literal["accuracy", "mean_value"] = Field(
        default="accuracy", description="the headline: correct over all items, or the mean of the scorer's values"
    )

    _path: Path | None = PrivateAttr(default=None)

    @property
    def label(self) -> str:
        return f"{self.name}@{self.version}"

    @property
    def path(self) -> Path | None:
        """The file it was read from; None of a suite that a run restored."""
        return self._path

    @property
    def needs_gold(self) -> bool:
        """Whether an item without an accepted answer could not be scored or put."""
        scorer = SCORERS.find(self.scorer.name)
        return (scorer is not None and scorer.needs_gold) or self.items.build in ("choice", "sycophancy", "snowballing")


@dataclass(frozen=True, slots=True)
class SuiteFile:
    """A file among the suites; ``suite`` is None where it is broken, and ``problem`` says how."""

    name: str
    path: Path
    own: bool
    suite: Suite | None = None
    problem: str = ""


def suite_folders(lab: Lab | None) -> list[Path]:
    """Where suites are looked for, the lab's own first."""
    return [*([lab.suites] if lab else []), assets_dir() / "suites"]


def all_suites(lab: Lab | None) -> list[SuiteFile]:
    """Every suite by name, the lab's own hiding the built-in one of the same name. Broken files are listed too."""
    found: dict[str, SuiteFile] = {}
    for folder in suite_folders(lab):
        own = folder != assets_dir() / "suites"
        for path in sorted(folder.glob("*.yaml")):
            if path.stem in found:
                continue
            try:
                found[path.stem] = SuiteFile(path.stem, path, own, read_suite(path))
            except UsageError as error:
                found[path.stem] = SuiteFile(path.stem, path, own, problem=str(error))
    return [found[name] for name in sorted(found)]


def find_suite(lab: Lab | None, wanted: str) -> Suite:
    """The suite called ``wanted``, or in the file of that path.

    Raises:
        NotFoundError: there is none.
        UsageError: its file is no suite, with the field that is wrong.
    """
    for folder in suite_folders(lab):
        if Path(wanted).name == wanted and is_file(path := folder / f"{wanted}.yaml"):
            return read_suite(path)
    if wanted and is_file(path := path_of(wanted)):
        return read_suite(path)
    names = [one.name for one in all_suites(lab)]
    near = get_close_matches(wanted, names, 1)
    raise NotFoundError(
        f"There is no suite '{one_line(wanted, 80)}'.",
        f"Did you mean {near[0]}? `o1lab eval suites` lists them." if near else "`o1lab eval suites` lists them.",
    )


def path_of(text: str) -> Path:
    """The path a person wrote; ``~`` is their home."""
    try:
        return Path(text).expanduser()
    except RuntimeError:  # no user of that name
        return Path(text)


def is_file(path: Path) -> bool:
    """Whether there is a file; a name that no file can have, and a folder one may not enter, hold none."""
    try:
        return path.is_file()
    except OSError:
        return False


def read_suite(path: Path) -> Suite:
    """Read one suite file.

    Raises:
        UsageError: it is not one, with the field that is wrong and what to do.
    """
    try:
        if path.stat().st_size > _LONGEST_FILE:
            raise UsageError(f"{path} is larger than a suite file can be.", "Items go in a file of their own.")
        values = yaml.load(path.read_text("utf-8"), _Loader)  # noqa: S506 - a SafeLoader that is stricter
    except OSError as error:
        raise UsageError(f"The suite {path} cannot be read: {error.strerror}.", "Check the file.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"The suite {path} is not UTF-8 (byte {error.start + 1}).", "Save it as UTF-8.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"The suite {path} is not YAML: {one_line(str(error), 200)}.", "Correct the file.") from error
    if not isinstance(values, dict):
        raise UsageError(f"{path} is not a suite.", "It holds name, version, title, family, items and scorer.")
    try:
        suite = Suite.model_validate(values)
    except ValidationError as error:
        raise _explained(path, error) from error
    if suite.name != path.stem:
        raise UsageError(
            f"The suite {path} calls itself '{suite.name}'.",
            f"Call the file {suite.name}.yaml, or set name: {path.stem}.",
        )
    suite._path = path
    _check_names(suite, path)
    return suite


def _check_names(suite: Suite, path: Path) -> None:
    """Check that the builder and the scorer it names exist and take these options."""
    from o1lab.evaluate.suites.builders import read_options

    try:
        read_options(suite.items.build, suite.items.options)
        check_scorer(suite.scorer)
    except ValidationError as error:
        raise _explained(path, error, within="items.options.") from error
    except UsageError as error:
        raise UsageError(f"The suite {path}: {error.message}", error.hint) from error


def _explained(path: Path, error: ValidationError, *, within: str = "") -> UsageError:
    """The first fault as a sentence with the file and the field, and how many more there are."""
    faults = error.errors(include_url=False)
    first = faults[0]
    steps = [str(step) for step in first["loc"] if not str(step).startswith(("str", "tuple", "function-"))]
    where = within + ".".join(steps)
    hint = "Correct it; `o1lab eval suite aime24` shows a suite that is right."
    match first["type"]:
        case "missing":
            said = f"the field {where} is missing"
        case "extra_forbidden":
            said = f"there is no field {where}"
            near = get_close_matches(steps[-1], _names(), 1)
            hint = f"Did you mean {near[0]}?" if near else hint
        case _:
            given = first["input"]
            shown = one_line(repr(given), 60) if isinstance(given, str | int | float) else type(given).__name__
            said = f"{where}: {first['msg'][:1].lower()}{first['msg'][1:]} (it is {shown})"
    more = f" {len(faults) - 1} more faults are there." if len(faults) > 1 else ""
    return UsageError(f"The suite {path}: {said}.{more}", hint)


def _names() -> list[str]:
    return [
        name
        for model in (Suite, ItemsSpec, HubSpec, InnerSpec, ScorerSpec, SuiteSampling)
        for name in model.model_fields
    ]
