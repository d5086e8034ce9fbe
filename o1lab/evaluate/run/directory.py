"""The directory of an evaluation, LAB/evals/ID, and its status.

``settings.json``, ``suite.json`` and ``items.jsonl`` are resolved when the evaluation begins; later changes to
the suite's file have no effect. ``model.json`` identifies the model, ``scorer.json`` the current scorer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from o1lab.errors import LabError
from o1lab.evaluate.items import Item
from o1lab.evaluate.run.settings import EvaluationSettings
from o1lab.evaluate.scorers import ScorerSpec
from o1lab.evaluate.suites.suite import Suite
from o1lab.files import atomic_write, write_json
from o1lab.inference.directory import AskingFolder
from o1lab.jobs.directory import Count, CountedStatus, FileIn
from o1lab.serve.identity import Identity
from o1lab.small_files import UnreadableError, open_file, read_json
from o1lab.text import parse_json


@dataclass(frozen=True, slots=True)
class EvalStatus(CountedStatus):
    """The status of an evaluation. ``cached`` samples were taken from earlier evaluations."""

    incomplete: Count = 0
    unextracted: Count = 0
    unscored: Count = 0
    cached: Count = 0


@dataclass(frozen=True, slots=True)
class ScoredBy:
    """A scorer with its ``label``; ``judge`` is the model that it asks, if any."""

    spec: ScorerSpec
    label: str
    judge: str | None = None


@dataclass(frozen=True)
class EvalFolder(AskingFolder[EvalStatus, EvaluationSettings]):
    """The directory of one evaluation."""

    noun = "evaluation"
    verb = "o1lab eval"
    status_type = EvalStatus
    settings_type = EvaluationSettings
    created_file = "suite.json"

    suite_file = FileIn("suite.json", "The suite as it was when the evaluation began.")
    items_file = FileIn("items.jsonl", "The items, one per line.")
    model_file = FileIn("model.json", "What identifies the evaluated model: weights, revision, chat template.")
    scorer_file = FileIn("scorer.json", "The current scorer.")
    prompts_file = FileIn("prompts.json", "The prompt of the judge, if a judge scores.")
    judge_file = FileIn("judge-HASH.jsonl", "One line per response of a judge; HASH is that of its model and settings.")

    def judge_journal(self, judge: str) -> Path:
        """Return the journal of a judge; ``judge`` is a short hash of the model and of its settings."""
        return self.judge_file.with_name(f"judge-{judge}.jsonl")

    @property
    def judge_journals(self) -> list[Path]:
        return sorted(self.path.glob("judge-*.jsonl"))

    @property
    def journals(self) -> list[Path]:
        return [self.journal, *self.judge_journals]

    def suite(self) -> Suite:
        """Read the suite as it was when the evaluation began.

        Raises:
            LabError: it cannot be read.
        """
        try:
            return read_json(self.suite_file, Suite)
        except UnreadableError as error:
            raise _unreadable(self.suite_file) from error

    def identity(self) -> Identity:
        """Read the identity of the evaluated model.

        Raises:
            LabError: it cannot be read.
        """
        return Identity.read(self.model_file)

    def scored_by(self) -> ScoredBy:
        """Read the current scorer.

        Raises:
            LabError: it cannot be read.
        """
        try:
            return read_json(self.scorer_file, ScoredBy)
        except UnreadableError as error:
            raise _unreadable(self.scorer_file) from error

    def set_scored_by(self, scorer: ScoredBy) -> None:
        values = {"spec": scorer.spec.model_dump(mode="json"), "label": scorer.label, "judge": scorer.judge}
        write_json(self.scorer_file, values)

    def write_items(self, items: Iterable[Item]) -> None:
        with atomic_write(self.items_file) as file:
            file.writelines(f"{item.line()}\n" for item in items)

    def items(self) -> Iterator[Item]:
        """Yield the items in order.

        Raises:
            LabError: they cannot be read.
        """
        try:
            with open_file(self.items_file) as file:
                for line in file:
                    yield Item.read(line.decode())
        except (OSError, ValueError) as error:
            raise _unreadable(self.items_file) from error


class ItemsById:
    """Items by id. Only their offsets are in memory; each item is read from the file when it is needed.

    Raises:
        LabError: the file cannot be read.
    """

    def __init__(self, folder: EvalFolder) -> None:
        self._path = folder.items_file
        self._offsets: dict[str, int] = {}
        offset = 0
        try:
            with open_file(self._path) as file:
                for line in file:
                    self._offsets[parse_json(line)["id"]] = offset
                    offset += len(line)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _unreadable(self._path) from error

    def __getitem__(self, item_id: str) -> Item:
        with self._path.open("rb") as file:
            file.seek(self._offsets[item_id])
            return Item.read(file.readline().decode())


def _unreadable(path: Path) -> LabError:
    return LabError(f"{path} cannot be read.", "Start a new evaluation.")
