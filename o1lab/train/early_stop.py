"""Trainer callback that stops a hopeless run of a group early (see :mod:`o1lab.train.median_rule`)."""

from __future__ import annotations

import traceback
from typing import Any

from transformers import TrainerCallback

from o1lab.files import write_json
from o1lab.models.library_errors import first_line
from o1lab.train.median_rule import MEDIAN_RULE, MedianRule, Verdict, stopped_early
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.runs.directory import RunDir
from o1lab.train.runs.warnings import Warnings


class EarlyStop(TrainerCallback):  # type: ignore[misc]  # transformers is not typed for us
    """Decides after each evaluation whether the run should stop. It then saves a checkpoint, and can be resumed.

    A run that a person resumes is not judged again.

    Args:
        run: the run.
        recipe: its recipe; without ``stop_hopeless`` nothing happens.
        warnings: the warnings of the run.
        judges: whether this process decides: the first one of the run does.
    """

    def __init__(self, run: RunDir, recipe: Recipe, warnings: Warnings, *, judges: bool) -> None:
        self._run, self._warnings = run, warnings
        self._rule: MedianRule | None = None
        self._verdict: Verdict | None = None
        if judges and recipe.stop_hopeless and not stopped_early(run):
            if run.group_file.exists():
                self._rule = MedianRule(run, recipe.stop_hopeless)
            else:
                warnings.add("stop_hopeless does nothing: the run is in no group.")

    @property
    def hopeless(self) -> bool:
        """Whether the run should stop."""
        return self._verdict is not None

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        if self._rule is None or self._verdict is not None or state.global_step >= state.max_steps - 1:
            return control  # the next step is the last one: there is nothing to save
        try:
            self._verdict = self._rule.judge(state.global_step)
        except Exception as error:  # an error of the rule must not end the training
            traceback.print_exc()
            failed = "stop_hopeless could not compare the run"
            words = f"{failed} at step {state.global_step}: {type(error).__name__}: {first_line(error)}."
            self._warnings.add(words, instead=failed)
        return control

    def ending(self, end: dict[str, str]) -> dict[str, str]:
        """Return the final fields of status.json, with the reason if the rule has stopped the run."""
        if self._verdict is None or end["state"] != "stopped":
            return end
        write_json(self._run.early_stop, self._verdict.as_json())
        return end | {
            "message": f"Stopped as hopeless: {self._verdict}.",
            "hint": f"`o1lab runs resume {self._run.id}` continues it, and it is not judged again.",
            "stopped_by": MEDIAN_RULE,
        }
