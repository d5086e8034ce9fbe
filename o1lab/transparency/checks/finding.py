"""What a check answers, the table of checks, and what checks of datasets share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from o1lab.transparency.lab_facts import LabFacts
from store.records import Dataset


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found.

    Attributes:
        answer: yes, no, not_used, or person if a person must judge.
        evidence: where a reader sees that the answer is right: files and commands, one each.
        missing: what is missing; empty for yes and not_used.
        fix: the command that supplies it.
    """

    answer: Literal["yes", "no", "not_used", "person"]
    evidence: tuple[str, ...] = ()
    missing: str = ""
    fix: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"evidence": list(self.evidence)}


ANSWER_WORDS = {"yes": "yes", "not_used": "not used, and says so", "no": "no", "person": "a person must judge"}
"""The answers in words."""
Check = Callable[[LabFacts], Finding]
CHECKS: dict[str, Check] = {}
"""The checks by the id of their item. An item of another framework without a check is for a person."""


def check(item: str) -> Callable[[Check], Check]:
    """Register a check of an item."""

    def register(function: Check) -> Check:
        CHECKS[item] = function
        return function

    return register


def yes(*evidence: str) -> Finding:
    return Finding("yes", evidence)


def no(missing: str, fix: str) -> Finding:
    return Finding("no", (), missing, fix)


def of_datasets(facts: LabFacts, look: Callable[[Dataset], Finding]) -> Finding:
    """Return the first no of ``look`` over the datasets of all stages, or yes with the evidence of all."""
    for stage in facts.stages:
        if stage.fault:
            return no(stage.fault, f"o1lab train --recipe {stage.run.recipe}")
    findings = [look(one) for one in facts.datasets]
    refused = next((one for one in findings if one.answer == "no"), None)
    return refused or yes(*dict.fromkeys(line for one in findings for line in one.evidence))
