"""What a student took in all: time and tokens of its training, calls and cost of its teachers and evaluations."""

from __future__ import annotations

from collections.abc import Callable

from o1lab.distill.run_directory import RunFolder
from o1lab.evaluate.run.directory import EvalFolder
from o1lab.format import duration
from o1lab.markdown import table
from o1lab.train.runs.metrics_reader import last_metrics
from o1lab.transparency.lab_facts import LabFacts
from o1lab.transparency.methods import NOT_RECORDED
from store import dataset_facts


def total(facts: LabFacts) -> str:
    """Return the sums over all stages, teacher runs and evaluations of the student, and what is not known."""
    last = [last_metrics(stage.run.metrics) for stage in facts.stages]
    rows = [
        ("time of training", _sum([one.get("elapsed_s") for one in last], duration)),
        ("tokens trained on", _sum([one.get("num_tokens") for one in last], lambda value: f"{int(value):,}")),
        ("energy of training", f"{NOT_RECORDED}: o1lab does not measure it"),
        ("teacher runs", _teachers(facts)),
        ("evaluations of the student", _evaluations(facts)),
    ]
    return "### Compute in total\n\n" + table(("", ""), rows) + "\n"


def _sum(values: list[float | None], show: Callable[[float], str]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return NOT_RECORDED
    missing = len(values) - len(known)
    return show(sum(known)) + (f", without {missing} stages that did not record it" if missing else "")


def _teachers(facts: LabFacts) -> str:
    runs = sorted({run for one in facts.datasets for run in dataset_facts.runs(facts.store.db, one.name)})
    if not runs:
        return "no teacher run of this lab made its rows"
    return _jobs([RunFolder(facts.lab.distill / run) for run in runs])


def _evaluations(facts: LabFacts) -> str:
    if not facts.of_student:
        return "none"
    return _jobs([EvalFolder(facts.lab.root / one.evaluation.dir) for one in facts.of_student])


def _jobs(folders: list[RunFolder] | list[EvalFolder]) -> str:
    """Return the number of jobs, their tokens and their cost; failed and rejected responses count too."""
    states = [folder.info() for folder in folders]
    known = [info.status for info in states if not info.unreadable and info.status.done]
    tokens = f"{sum(one.input_tokens for one in known):,} input and {sum(one.output_tokens for one in known):,} output"
    priced = [one.cost_usd for one in known if one.priced]
    cost = f"${sum(priced):,.2f}" if priced else "no price is stated"
    if priced and (free := len(known) - len(priced)):
        cost += f", without {free} whose prices are not known"
    gone = f"; {len(states) - len(known)} have no record" if len(states) > len(known) else ""
    return f"{len(states)}: {tokens} tokens, {cost}{gone}"
