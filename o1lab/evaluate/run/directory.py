"""An evaluation's folder, LAB/evals/ID: what was asked of whom, what came back, and how it stands.

``settings.json``, ``suite.json`` and ``items.jsonl`` are what it is about, resolved when it began: what becomes of the
suite's file later changes nothing. ``model.json`` says who answers, ``scorer.json`` who scores now.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from o1lab.errors import LabError
from o1lab.evaluate.items import Item
from o1lab.evaluate.run.identity import Identity
from o1lab.evaluate.run.settings import EvaluationSettings
from o1lab.evaluate.scorers import ScorerSpec
from o1lab.evaluate.suites.suite import Suite
from o1lab.jobs.directory import JobFolder, JobStatus, known, replacing, write_json


@dataclass(frozen=True, slots=True)
class EvalStatus(JobStatus):
    """What the status of an evaluation says beside. ``cached`` samples were taken from earlier evaluations."""

    incomplete: int = 0
    unextracted: int = 0
    unscored: int = 0
    cached: int = 0


@dataclass(frozen=True, slots=True)
class ScoredBy:
    """Who scores: ``label`` is the scorer's, ``judge`` the model of the lab that is asked, where one is."""

    spec: ScorerSpec
    label: str
    judge: str | None = None


@dataclass(frozen=True)
class EvalFolder(JobFolder[EvalStatus, EvaluationSettings]):
    """The folder of one evaluation."""

    noun = "evaluation"
    verb = "o1lab eval"

    @property
    def suite_file(self) -> Path:
        return self.path / "suite.json"

    @property
    def items_file(self) -> Path:
        return self.path / "items.jsonl"

    @property
    def model_file(self) -> Path:
        return self.path / "model.json"

    @property
    def scorer_file(self) -> Path:
        return self.path / "scorer.json"

    @property
    def prompts_file(self) -> Path:
        """The judge's prompt as it is asked with, where a judge scores."""
        return self.path / "prompts.json"

    def judge_journal(self, judge: str) -> Path:
        """What a judge said: one journal a judge (``judge`` is a short hash of who it is and how it is asked)."""
        return self.path / f"judge-{judge}.jsonl"

    @property
    def judge_journals(self) -> list[Path]:
        return sorted(self.path.glob("judge-*.jsonl"))

    def settings(self) -> EvaluationSettings:
        return EvaluationSettings.model_validate_json(self.settings_file.read_text("utf-8"))

    def status_of(self, values: Mapping[str, Any]) -> EvalStatus:
        return EvalStatus(**known(EvalStatus, values))

    def suite(self) -> Suite:
        """The suite as it was when the evaluation began.

        Raises:
            LabError: it cannot be read.
        """
        try:
            return Suite.model_validate_json(self.suite_file.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise _unreadable(self.suite_file) from error

    def identity(self) -> Identity:
        """Who answers.

        Raises:
            LabError: it cannot be read.
        """
        return Identity.read(self.model_file)

    def scored_by(self) -> ScoredBy:
        """Who scores now.

        Raises:
            LabError: it cannot be read.
        """
        try:
            kept = json.loads(self.scorer_file.read_text("utf-8"))
            return ScoredBy(ScorerSpec.model_validate(kept["spec"]), kept["label"], kept["judge"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _unreadable(self.scorer_file) from error

    def set_scored_by(self, who: ScoredBy) -> None:
        values = {"spec": who.spec.model_dump(mode="json"), "label": who.label, "judge": who.judge}
        write_json(self.scorer_file, values)

    def write_items(self, items: Iterable[Item]) -> None:
        with replacing(self.items_file) as file:
            file.writelines(f"{item.line()}\n" for item in items)

    def items(self) -> Iterator[Item]:
        """The items in their order, one at a time.

        Raises:
            LabError: they cannot be read.
        """
        try:
            with self.items_file.open(encoding="utf-8") as file:
                for line in file:
                    yield Item.read(line)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _unreadable(self.items_file) from error


class ItemsById:
    """Items as they are needed, by where they stand in the file: texts are not held."""

    def __init__(self, folder: EvalFolder) -> None:
        self._path = folder.items_file
        self._at: dict[str, int] = {}
        offset = 0
        with self._path.open("rb") as file:
            for line in file:
                self._at[json.loads(line)["id"]] = offset
                offset += len(line)

    def __getitem__(self, wanted: str) -> Item:
        with self._path.open("rb") as file:
            file.seek(self._at[wanted])
            return Item.read(file.readline().decode())


def _unreadable(path: Path) -> LabError:
    return LabError(f"{path} cannot be read.", "Start a new evaluation.")
