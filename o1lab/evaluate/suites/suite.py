"""Suite files: which items, how they are asked, the scorer, the sampling settings, and a version.

Suites are YAML files called ``NAME.yaml``. Those in LAB/suites take precedence over built-in ones of the same name.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator

from o1lab.errors import NotFoundError, UsageError
from o1lab.evaluate.scorers import SCORERS, ScorerSpec
from o1lab.evaluate.scorers import check as check_scorer
from o1lab.paths import Lab, assets_dir
from o1lab.small_files import UnreadableError, parse_yaml, read_text
from o1lab.text import one_line

Family = Literal["mathematics", "safety", "factuality", "sycophancy", "hallucination", "general"]

_LONGEST_FILE = 1 << 20


class HubSpec(BaseModel):
    """A hub dataset: named files of it, or the Parquet files that the hub publishes for a config and a split."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(min_length=1, description="the id of the dataset at the hub")
    files: tuple[str, ...] = Field(default=(), description="paths in the dataset's repository")
    config: str = Field(default="default", description="the config, where no files are named")
    split: str = Field(default="test", description="the split, where no files are named")
    revision: str | None = Field(default=None, description="a commit, so that the items never change")
    seen: str = Field(default="", description="where this id is documented")


class InnerSpec(BaseModel):
    """Takes texts from a column of objects: the value of ``take`` in every object that matches ``where``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: str = Field(description="the column that holds a list of objects")
    take: str = Field(description="the key whose values are taken")
    where: dict[str, Any] = Field(default_factory=dict, description="only objects with these values")


class ItemsSpec(BaseModel):
    """Where the items come from: the first of ``file``, ``problems`` and ``hub`` that is available."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str | None = Field(default=None, description="a JSON, JSONL, CSV, TSV, Parquet or text file")
    problems: str | None = Field(default=None, description="problems of the lab, in the pool's filter language")
    hub: HubSpec | None = Field(default=None, description="a hub dataset")
    needs: str = Field(default="", description="which file the suite needs, shown when its items are missing")
    build: str = Field(default="plain", description="how rows become items: plain, choice, sycophancy, ...")
    options: dict[str, Any] = Field(default_factory=dict, description="the builder's own options")
    fields: dict[str, str | tuple[str, ...]] = Field(
        default_factory=dict,
        description="which column holds the id, question, gold, wrong, choices, turns, context, system, group, "
        "variant, weight, edited_from, edited_by; any other name is kept with the item",
    )
    inner: dict[str, InnerSpec] = Field(default_factory=dict, description="parts that are read from a list of objects")
    fixed: dict[str, str] = Field(
        default_factory=dict, description="values that are the same for every row, such as gold: no"
    )
    values: dict[str, dict[str, str]] = Field(
        default_factory=dict, description="translations of a part's values, such as gold: {safe: comply}"
    )
    split: dict[str, str] = Field(
        default_factory=dict, description="the separator of several gold or wrong answers in one text"
    )
    gold_form: Literal["plain", "boxed"] = Field(
        default="plain", description="boxed: the answer is in the last \\boxed of a solution"
    )
    where: dict[str, Any] = Field(default_factory=dict, description="only rows with these values")
    skip: int = Field(default=0, ge=0, description="rows to skip at the start, such as a header in a text file")
    unique: bool = Field(default=False, description="keep only the first of several rows with the same question")
    take: int | None = Field(default=None, ge=1, description="draw this many questions, always the same ones")
    take_seed: int = Field(default=1, description="seed of this draw")
    longest: int = Field(default=1_000_000, ge=1, description="maximum number of characters of a text")

    @field_validator("fixed", mode="before")
    @classmethod
    def _yaml_words(cls, value: Any) -> Any:
        """Turn booleans back into yes and no: YAML reads the bare word ``no`` in ``gold: no`` as false."""
        if not isinstance(value, dict):
            return value
        return {name: {True: "yes", False: "no"}.get(one, one) if isinstance(one, bool) else one
                for name, one in value.items()}  # fmt: skip


class SuiteSampling(BaseModel):
    """The default sampling settings; an evaluation can override them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    temperature: float | None = Field(default=0.0, ge=0, description="null: the server's default")
    top_p: float | None = Field(default=None, gt=0, le=1, description="null: the server's default")
    max_tokens: int = Field(default=4096, ge=1, description="maximum length of a response in tokens, thought included")
    samples: int = Field(default=1, ge=1, description="samples per item")
    seed: int | None = Field(default=42, description="seed of the first sample; null sends none")
    budget_forcing: int = Field(default=0, ge=0, description="how often a thought is continued after it ends")
    wait: str = Field(default="Wait", min_length=1, description="the word that continues it")
    max_thought_tokens: int | None = Field(
        default=None, ge=1, description="tokens after which a thought is closed, so that the model has to answer"
    )


class Suite(BaseModel):
    """A named set of items with a scorer. Raise ``version`` when the items, the prompt or the scorer change meaning."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80, description="the name of the file, without .yaml"
    )
    version: int = Field(ge=1, description="raised when the items, the prompt or the scorer change meaning")
    title: str = Field(description="the heading of its column in tables")
    family: Family = Field(description="where tables put it")
    about: str = Field(default="", description="what it asks, for people")
    level: Literal["answer", "step"] | None = Field(default=None, description="whether answers or steps are judged")
    licence: str = Field(default="", description="the licence of the items")
    items: ItemsSpec = Field(description="where the items come from, see below")
    system: str = Field(default="", description="the system message")
    prompt: str = Field(default="{{question}}", description="the first user message; {{column}} is filled in")
    scorer: ScorerSpec = Field(description="`name` and `options` of the scorer, see below")
    sampling: SuiteSampling = Field(default_factory=SuiteSampling, description="the default sampling, see below")
    metric: Literal["accuracy", "mean_value"] = Field(
        default="accuracy",
        description="the headline figure: correct over all items, or the mean of the scorer's values",
    )

    _path: Path | None = PrivateAttr(default=None)

    @property
    def label(self) -> str:
        return f"{self.name}@{self.version}"

    @property
    def path(self) -> Path | None:
        """The file the suite was read from; None if it was restored from a run."""
        return self._path

    @property
    def needs_gold(self) -> bool:
        """Whether every item needs a gold answer, to be scored or to be built."""
        scorer = SCORERS.find(self.scorer.name)
        return (scorer is not None and scorer.needs_gold) or self.items.build in ("choice", "sycophancy", "snowballing")


@dataclass(frozen=True, slots=True)
class SuiteFile:
    """A suite file. If it is broken, ``suite`` is None and ``problem`` says why; ``own`` marks the lab's own files."""

    name: str
    path: Path
    own: bool
    suite: Suite | None = None
    problem: str = ""


def suite_folders(lab: Lab | None) -> list[Path]:
    """Return the folders with suites, the lab's own first."""
    return [*([lab.suites] if lab else []), assets_dir() / "suites"]


def all_suites(lab: Lab | None) -> list[SuiteFile]:
    """Return all suites by name, broken files included. The lab's own hide built-in ones of the same name."""
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
    """Return the suite with this name or path.

    Raises:
        NotFoundError: there is no such suite.
        UsageError: its file is not a valid suite.
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
        f"Did you mean {near[0]}? `o1lab eval suites` lists all." if near else "`o1lab eval suites` lists all.",
    )


def path_of(text: str) -> Path:
    """Return a path as typed, with ``~`` expanded where possible."""
    try:
        return Path(text).expanduser()
    except RuntimeError:  # no such user
        return Path(text)


def is_file(path: Path) -> bool:
    """Whether the file exists; False also for an impossible name or a folder without access."""
    try:
        return path.is_file()
    except OSError:
        return False


def read_suite(path: Path) -> Suite:
    """Read one suite file.

    Raises:
        UsageError: the file is not a valid suite; the message names the field that is wrong.
    """
    try:
        text = read_text(path)
        if len(text) > _LONGEST_FILE:
            raise UsageError(f"{path} is too large for a suite file.", "Put the items in a separate file.")
        values = parse_yaml(path, text)
    except UnreadableError as error:
        raise UsageError(f"The suite {error.message}", error.hint) from error
    if not isinstance(values, dict):
        raise UsageError(f"{path} is not a suite.", "A suite has a name, version, title, family, items and scorer.")
    try:
        suite = Suite.model_validate(values)
    except ValidationError as error:
        raise _explained(path, error) from error
    if suite.name != path.stem:
        raise UsageError(
            f"The name of the suite {path} is '{suite.name}', which is not its file name.",
            f"Rename the file to {suite.name}.yaml, or set name: {path.stem}.",
        )
    suite._path = path
    _check_names(suite, path)
    return suite


def _check_names(suite: Suite, path: Path) -> None:
    """Raise UsageError unless the builder and the scorer exist and accept their options."""
    from o1lab.evaluate.suites.builders import read_options

    try:
        read_options(suite.items.build, suite.items.options)
        check_scorer(suite.scorer)
    except ValidationError as error:
        raise _explained(path, error, within="items.options.") from error
    except UsageError as error:
        raise UsageError(f"The suite {path}: {error.message}", error.hint) from error


def _explained(path: Path, error: ValidationError, *, within: str = "") -> UsageError:
    """Return the first validation error as a sentence with file and field, and the number of further errors."""
    errors = error.errors(include_url=False)
    first = errors[0]
    steps = [str(step) for step in first["loc"] if not str(step).startswith(("str", "tuple", "function-"))]
    where = within + ".".join(steps)
    hint = "Correct it; `o1lab eval suite aime24` shows a valid suite."
    match first["type"]:
        case "missing":
            problem = f"the field {where} is missing"
        case "extra_forbidden":
            problem = f"there is no field {where}"
            near = get_close_matches(steps[-1], _names(), 1)
            hint = f"Did you mean {near[0]}?" if near else hint
        case _:
            given = first["input"]
            shown = one_line(repr(given), 60) if isinstance(given, str | int | float) else type(given).__name__
            problem = f"{where}: {first['msg'][:1].lower()}{first['msg'][1:]} (it is {shown})"
    more = f" {len(errors) - 1} more error{'s' * (len(errors) > 2)}." if len(errors) > 1 else ""
    return UsageError(f"The suite {path}: {problem}.{more}", hint)


def _names() -> list[str]:
    return [
        name
        for model in (Suite, ItemsSpec, HubSpec, InnerSpec, ScorerSpec, SuiteSampling)
        for name in model.model_fields
    ]
