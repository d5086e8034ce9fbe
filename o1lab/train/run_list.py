"""The training runs of a lab as a list: the figures of each run, and which runs a filter lists.

The command line and the Train screen show the same figures, under the names of the JSON of ``o1lab runs ls``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from o1lab.errors import UsageError
from o1lab.files import StampedCache, size_stamp, time_stamp
from o1lab.paths import Lab
from o1lab.small_files import UnreadableError
from o1lab.train.launch import RUNS
from o1lab.train.recipes.recipe_file import load_values
from o1lab.train.recipes.variants import label
from o1lab.train.runs.directory import GroupTag, RunDir, RunState
from o1lab.train.runs.metrics_reader import last_metrics
from o1lab.train.runs.metrics_summary import MetricsSummary, finite
from store.filters import RunQuery
from store.filters.jobs import matching

_NUMBERS = ("learning_rate", "lora_r", "batch_size", "seed", "phase")
_UNKNOWN = ("best_loss", "eval_loss", "best_eval_loss", "tokens", "elapsed_s")


@dataclass(frozen=True)
class RunEntry:
    """A run of the list: its directory, its state, and its figures by the names of the JSON."""

    run: RunDir
    info: RunState
    figures: Mapping[str, Any]


@dataclass(frozen=True)
class RunListing:
    """Runs, the newest first.

    Attributes:
        entries: The runs.
        complete: Whether all figures were read; otherwise some are missing.
    """

    entries: tuple[RunEntry, ...]
    complete: bool


@dataclass(frozen=True)
class _Recipe:
    values: Mapping[str, Any] = field(default_factory=dict)
    fault: str = ""


@dataclass
class RunReader:
    """Reads the runs of a lab, and of each file only what is new. Use it in one thread at a time."""

    lab: Lab
    _recipes: StampedCache[_Recipe] = field(default_factory=StampedCache)
    _losses: StampedCache[float | None] = field(default_factory=StampedCache)
    _groups: StampedCache[tuple[GroupTag | None, str]] = field(default_factory=StampedCache)
    _summaries: dict[str, MetricsSummary] = field(default_factory=dict)
    _known: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def read(self, budget_s: float = math.inf) -> RunListing:
        """Return all runs.

        Args:
            budget_s: seconds after which the lowest losses of the remaining runs are left for the next call.
        """
        entries, complete, until = [], True, time.monotonic() + budget_s
        found = RUNS.directories(self.lab)
        for run in found:
            entry = self._entry(run)
            summary = self._summaries.setdefault(run.id, MetricsSummary(run.metrics))
            if time.monotonic() < until and summary.poll(until):
                self._known[run.id] = summary.figures()
            else:
                complete = False
            entries.append(replace(entry, figures={**entry.figures, **self._known.get(run.id, {})}))
        for gone in self._summaries.keys() - {run.id for run in found}:
            del self._summaries[gone]
        return RunListing(tuple(entries), complete)

    def entry(self, run: RunDir) -> RunEntry:
        """Return one run with all its figures."""
        entry, summary = self._entry(run), MetricsSummary(run.metrics)
        summary.poll()
        return replace(entry, figures={**entry.figures, **summary.figures()})

    def recipe(self, run: RunDir) -> Mapping[str, Any]:
        """Return the values of a run's recipe; empty if it cannot be read."""
        return self._recipe(run).values

    def _entry(self, run: RunDir) -> RunEntry:
        info, recipe = run.info(), self._recipe(run)
        tag, damage = self._groups.get(run.id, time_stamp(run.group_file), lambda: _group(run))
        info = replace(info, unreadable="; ".join(filter(None, (info.unreadable, recipe.fault, damage))))
        status, created = info.status, run.created_at()
        figures: dict[str, Any] = {
            "id": run.id,
            "state": info.state,
            "step": status.step,
            "total_steps": status.total_steps,
            "loss": self._losses.get(run.id, size_stamp(run.metrics), lambda: _last_loss(run)),
            "base": _text(recipe.values.get("base")),
            "dataset_hash": _text(recipe.values.get("dataset_hash")),
            "heartbeat_age_s": None if info.heartbeat_age_s is None else round(info.heartbeat_age_s, 1),
            "name": info.name,
            "group": None if tag is None else tag.name,
            "varies": {} if tag is None else tag.varies,
            "unreadable": info.unreadable or None,
            "tags": list(info.tags),
            "archived": info.archived,
            "notes": list(info.notes),
            "dataset": _text(recipe.values.get("dataset")),
            "init_from": _text(recipe.values.get("init_from")),
            "variant": label(recipe.values),
            **{name: _number(recipe.values.get(name)) for name in _NUMBERS},
            "device": status.device or None,
            "progress": 100 * status.step / status.total_steps if status.total_steps else None,
            "created_at": datetime.fromtimestamp(created, UTC).isoformat(timespec="seconds"),
            "age_s": round(max(time.time() - created, 0.0), 1),
            **dict.fromkeys(_UNKNOWN),
        }
        return RunEntry(run, info, figures)

    def _recipe(self, run: RunDir) -> _Recipe:
        return self._recipes.get(run.id, time_stamp(run.recipe), lambda: _read_recipe(run))


def listed(entries: Sequence[RunEntry], query: RunQuery) -> list[RunEntry]:
    """Return the runs of a filter, in its order."""
    return [entries[place] for place in matching((entry.figures for entry in entries), query)]


def _read_recipe(run: RunDir) -> _Recipe:
    try:
        return _Recipe(load_values(run.recipe))
    except UsageError as error:
        return _Recipe(fault=error.message)


def _group(run: RunDir) -> tuple[GroupTag | None, str]:
    try:
        return run.group(), ""
    except UnreadableError as error:
        return None, error.brief


def _last_loss(run: RunDir) -> float | None:
    return last_metrics(run.metrics).get("loss")


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _number(value: Any) -> float | int | None:
    return value if finite(value) is not None else None
