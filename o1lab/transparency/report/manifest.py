"""report.json: what another lab needs to repeat the work of a report and to compare its own results with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from o1lab.small_files import UnreadableError, read_text, validated
from o1lab.text import parse_json
from store.records import DatasetKind

MANIFEST = "report.json"
VERSION = 2
ANNOTATIONS = "datasets/annotations.jsonl"
PROBLEMS = "data/problems.jsonl"
TRACES = "data/traces.jsonl"

Values = Mapping[str, Any]


@dataclass(frozen=True)
class FileRecord:
    """An imported file; ``copy`` is the path of its copy in the report, empty if there is none."""

    name: str
    sha256: str
    bytes: int
    options: Values
    counts: Values
    copy: str = ""


@dataclass(frozen=True)
class RuleRecord:
    """The last run of a rule over the pool of problems."""

    rule: str
    version: int
    looked: int
    excluded: int


@dataclass(frozen=True)
class DatasetRecord:
    """A dataset; ``traces`` is the path of the file with the ids of its rows, in order.

    Attributes:
        drops: the number of traces that were dropped, by reason.
        trained: whether a stage was trained on it; else others are made from it.
        decided: whose decisions counted when it was made, as in the store, with the name that the report gives.
        kind: sft, or pairs; then the file has two ids on each line, the better trace first.
    """

    name: str
    hash: str
    phase: int
    query: str
    rows: int
    selection: Values
    drops: dict[str, int]
    traces: str
    trained: bool
    decided: Values = field(default_factory=dict)
    kind: DatasetKind = "sft"


@dataclass(frozen=True)
class StageRecord:
    """A training run: its resolved recipe and what it took.

    Attributes:
        base: revision of the base, the hash of its files; empty if it is not on the machine of the report.
        steps: the number of training steps.
        tokens: the number of tokens that it was trained on.
        seconds: the time it took.
        adapter: hash of the last checkpoint's weights; empty if they are gone.
    """

    run: str
    recipe: dict[str, Any]
    base: str = ""
    steps: int = 0
    tokens: int | None = None
    seconds: float | None = None
    adapter: str = ""


@dataclass(frozen=True)
class EvaluationRecord:
    """One evaluation with its settings and figures, in percent.

    Attributes:
        suite_file: the text of the suite's file, if it is one of the lab.
        suite_data: the path of the copy of its items in the report, empty if there is none.
        source: base, checkpoint, solver, endpoint, ...: where the model comes from.
        paid: whether models on other servers answer or judge.
    """

    suite: str
    suite_version: int
    items_hash: str
    items: int
    scorer: str
    metric: str
    model: str
    role: str
    source: str
    paid: bool
    settings: Values
    value: float | None
    interval: tuple[float, float] | None
    suite_file: str = ""
    suite_data: str = ""


@dataclass(frozen=True)
class Manifest:
    """The content of report.json.

    Attributes:
        version: the version of this format.
        made_by: the version of o1lab that wrote it.
        versions: the versions of Python and of packages in training.
        benchmarks: the sources that the rule ``contaminated`` compares with.
        marks: think marks of the lab.
        imports: the imported files, in order.
        rules: the rules that were run over the pool.
        teachers: the teacher runs that made rows, as [run, model].
        rulings: rulings by hand on problems, as [problem, keep or exclude].
        datasets: each after the ones it is made from.
        with_data: whether rows and files were written with the report.
        left_out: what ``--with-data`` left out, with the reasons.
    """

    version: int
    made_by: str
    run: str
    stages: list[StageRecord]
    datasets: list[DatasetRecord]
    imports: list[FileRecord]
    rules: list[RuleRecord]
    evaluations: list[EvaluationRecord]
    versions: Values = field(default_factory=dict)
    teachers: list[tuple[str, str]] = field(default_factory=list)
    rulings: list[tuple[str, str]] = field(default_factory=list)
    benchmarks: list[str] = field(default_factory=list)
    marks: list[dict[str, Any]] = field(default_factory=list)
    tti: Values = field(default_factory=dict)
    with_data: bool = False
    left_out: list[str] = field(default_factory=list)

    def as_json(self, redact: Callable[[str], str]) -> dict[str, Any]:
        """Return the content with every text redacted; keys stay as they are."""
        found: dict[str, Any] = _redacted(asdict(self), redact)
        return found


def read_manifest(folder: Path) -> Manifest:
    """Read the report.json of a report.

    Raises:
        UnreadableError: the folder is not a report, or report.json is damaged or from another version.
    """
    path = folder / MANIFEST
    again = "Write the report again: o1lab report RUN"
    if not path.is_file():
        raise UnreadableError(folder, f"it is not a report: it has no {MANIFEST}", "Name the folder of a report.")
    try:
        values = parse_json(read_text(path))
    except UnreadableError:
        raise
    except ValueError as error:
        raise UnreadableError(path, str(error), again) from error
    version = values.get("version") if isinstance(values, dict) else None
    if not isinstance(version, int):
        raise UnreadableError(path, "it does not state its version", again)
    if version > VERSION:
        raise UnreadableError(
            path, f"it has version {version}, and this o1lab reads up to version {VERSION}", "Upgrade o1lab."
        )
    if version < VERSION:
        raise UnreadableError(path, f"it has version {version} of an earlier o1lab, which lacks data", again)
    try:
        return validated(path, values, Manifest)
    except UnreadableError as error:
        raise UnreadableError(path, error.reason, again) from error


def _redacted(value: Any, redact: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {key: _redacted(one, redact) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(one, redact) for one in value]
    return value
