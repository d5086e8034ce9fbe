"""Repeats the evaluations of a report: each figure must be within the interval that the report states."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from o1lab.errors import NotFoundError, O1LabError
from o1lab.evaluate.report.cells import Interval, figure_text
from o1lab.evaluate.report.selection import EvaluationResult, choose
from o1lab.evaluate.run import control
from o1lab.evaluate.run.runner import EvaluationRunner
from o1lab.evaluate.run.settings import EvaluationSettings
from o1lab.files import write_text
from o1lab.paths import Lab
from o1lab.serve.manager import ServerManager
from o1lab.serve.registry import find_model
from o1lab.settings import validate
from o1lab.transparency.report.manifest import EvaluationRecord
from o1lab.transparency.reproduce.outcome import Outcome, impossible
from o1lab.transparency.reproduce.rows import inside
from o1lab.transparency.reproduce.training import OnProgress
from store import Store
from store.records import is_name


@dataclass
class Evaluator:
    """Evaluates models of a fresh lab with the settings of a report.

    Attributes:
        lab: the fresh lab.
        store: its database.
        report: the folder of the report.
        runs: the ids of the runs here by those in the report.
        manager: runs the servers.
        budget_usd: what may be spent on models on other servers; None: they are not asked.
        on_progress: called with lines of progress.
        spent: what was spent so far.
    """

    lab: Lab
    store: Store
    report: Path
    runs: Mapping[str, str]
    manager: ServerManager
    budget_usd: float | None
    on_progress: OnProgress
    spent: float = field(default=0.0, init=False)

    async def repeat_all(self, records: Sequence[EvaluationRecord]) -> list[Outcome]:
        """Repeat evaluations: one model after the other, the suites of a model on this machine together."""
        outcomes: dict[int, Outcome] = {}
        for model in dict.fromkeys(one.model for one in records):
            own = [at for at, one in enumerate(records) if one.model == model]
            local = [at for at in own if not records[at].paid]  # its server decodes all suites together
            outcomes |= zip(local, await asyncio.gather(*(self.repeat(records[at]) for at in local)), strict=True)
            for at in own:
                if records[at].paid:  # one by one, so that the budget holds
                    outcomes[at] = await self.repeat(records[at])
        return [outcomes[at] for at in range(len(records))]

    async def repeat(self, record: EvaluationRecord) -> Outcome:
        """Evaluate again what the report evaluated, and compare the figure."""
        what = f"{record.metric} of {record.model} on {record.suite}@{record.suite_version}"
        expected = _figure(record.value, record.interval)
        run, slash, step = record.model.partition("/")
        if record.source == "checkpoint" and run not in self.runs:
            return impossible(what, expected, f"the run {run} was not trained here")
        model = self.runs[run] + slash + step if record.source == "checkpoint" else record.model
        try:
            paid = self._is_paid(record, model)
            if why := self._why_not_paid() if paid else "":
                return impossible(what, expected, why)
            _write_suite(self.lab, record, self.report)
            folder = control.start(self.lab, self._settings(record, model, paid=paid))
            self.on_progress(f"Evaluating {model} on {record.suite}...")
            status = await EvaluationRunner(self.lab, folder, manager=self.manager).work()
            self.spent += status.cost_usd if paid else 0.0
            if status.state != "finished":
                return impossible(what, expected, f"the evaluation {status.state}: {status.message}")
            [found] = choose(self.store.db, [folder.id])
            if found.scorer != record.scorer:
                return impossible(what, expected, f"scored by {record.scorer}; the suite has {found.scorer} here")
        except O1LabError as error:
            return impossible(what, expected, error.message)
        except OSError as error:
            return impossible(what, expected, f"its suite cannot be copied: {error.strerror}")
        return _compared(what, record, found)

    def _is_paid(self, record: EvaluationRecord, model: str) -> bool:
        """Return whether models on other servers answer or judge: the report may be wrong about names of this lab."""
        names = (model, *([str(judge)] if (judge := record.settings.get("judge")) else []))
        return record.paid or any(find_model(self.lab, name).endpoint is not None for name in names)

    def _why_not_paid(self) -> str:
        if self.budget_usd is None:
            return "it asks a model on another server, which may cost money: --budget-usd X"
        return f"the budget of {self.budget_usd} US dollars is spent" if self.spent >= self.budget_usd else ""

    def _settings(self, record: EvaluationRecord, model: str, *, paid: bool) -> EvaluationSettings:
        given = {key: value for key, value in record.settings.items() if key in EvaluationSettings.model_fields}
        if items := given.get("items_file"):
            raise NotFoundError(f"Its items are from a file that the report does not contain: {items}.")
        left = (self.budget_usd or 0.0) - self.spent if paid else None
        changed = {"suite": record.suite, "model": model, "budget_usd": left}
        return validate(EvaluationSettings, given | changed, verb="reproduce")


def _compared(what: str, record: EvaluationRecord, found: EvaluationResult) -> Outcome:
    expected, here = _figure(record.value, record.interval), _figure(found.value, found.interval)
    if found.evaluation.items_hash != record.items_hash:
        return Outcome(what, "different", expected, here, "the suite has different items")
    if found.value is None or record.value is None or record.interval is None:
        return Outcome(what, "equal" if found.value == record.value else "different", expected, here)
    low, high = record.interval
    if low <= found.value <= high:
        return Outcome(what, "equal", expected, here, "within the interval" if found.value != record.value else "")
    return Outcome(what, "different", expected, here, "outside the interval")


def _write_suite(lab: Lab, record: EvaluationRecord, report: Path) -> None:
    """Put a suite of the other lab, and its items, into this one."""
    if record.suite_file and is_name(record.suite):
        path = lab.suites / f"{record.suite}.yaml"
        if not path.exists():
            write_text(path, record.suite_file)
    if record.suite_data:
        source = inside(report, record.suite_data)
        target = lab.suites / "data" / source.name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)


def _figure(value: float | None, interval: Interval | None) -> str:
    return "no figure" if value is None else figure_text(value, interval, " %")
