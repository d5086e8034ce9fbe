"""The warnings of a training run: in status.json while it trains and afterwards. Does not import torch."""

from __future__ import annotations

import re
from typing import Any

from o1lab.jobs.heartbeat import Heartbeat
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.rows import TrainingRow
from o1lab.train.runs.directory import SPIKES, RunStatus

_MOST = 20


class Warnings:
    """Adds warnings to the status of a run. Those of the sessions before a resume stay.

    Args:
        heartbeat: writes the status.
    """

    def __init__(self, heartbeat: Heartbeat[RunStatus]) -> None:
        self._heartbeat = heartbeat
        earlier = (re.match(rf"{SPIKES}: (\d{{1,9}})\. ", one) for one in heartbeat.status.warnings)
        self._spikes = next((int(found[1]) for found in earlier if found), 0)

    def add(self, text: str, *, instead: str = "") -> None:
        """Add a warning.

        Args:
            text: a sentence; one that is there already is not added again.
            instead: the beginning of a warning that it replaces.
        """
        before = [one for one in self._heartbeat.status.warnings if not (instead and one.startswith(instead))]
        if text not in before:
            self._heartbeat.update(warnings=tuple([*before, text][-_MOST:]))

    def rows(self, rows: list[TrainingRow], lengths: Any, recipe: Recipe) -> None:
        """Warn of rows that are trained differently from the dataset.

        Args:
            rows: the rows of the run.
            lengths: their lengths in tokens, as ``trainers.build_trainer`` returns it.
            recipe: the recipe.
        """
        if lengths.truncated:
            self.add(f"{_rows(lengths.truncated)} cut at {recipe.max_length} tokens.")
        if lengths.dropped:
            self.add(f"{_rows(lengths.dropped)} left out: longer than {recipe.max_length} tokens.")
        if cut := sum(bool(row.cut_off) for row in rows):
            self.add(f"{_rows(cut)} cut off before the end.")

    def spike(self, text: str) -> None:
        """Count a loss spike, also over resumes; only the last one is described."""
        self._spikes += 1
        self.add(f"{SPIKES}: {self._spikes}. The last: {text}", instead=SPIKES)


def _rows(number: int) -> str:
    return f"{number:,} row was" if number == 1 else f"{number:,} rows were"
