"""Lab: an overview of the lab, and the next steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from o1lab.format import counted
from o1lab.text import one_line
from o1lab.widgets.keys import Binding
from o1lab.widgets.typed_ahead import post_held
from screens.base.messages import (
    OpenCompare,
    OpenDistill,
    OpenEvaluation,
    OpenRun,
    OpenTraces,
    OpenTraining,
    Visit,
)
from screens.base.screen import LabScreen, task
from store import datasets, evaluations, problems, runs, teacher_runs, traces
from store.evaluations import Evaluation
from store.filters import ProblemQuery, TraceQuery
from store.records import Dataset, RunRecord
from store.sqlite import Database

# Problems for a teacher run: not excluded, without a trace, and with an answer to verify traces against.
UNDISTILLED = "excluded:no has:answer -has:trace"


@dataclass(frozen=True)
class Overview:
    """The counts of a lab."""

    problems: int
    undistilled: int
    teacher_runs: list[str]
    decisions: dict[str, int]
    verdicts: dict[str, int]
    datasets: list[Dataset]
    runs: list[RunRecord]
    evaluations: list[Evaluation]

    @property
    def traces(self) -> int:
        return sum(self.decisions.values())


@dataclass(frozen=True)
class Step:
    """A next step: what makes the message that goes there, its title, and the reason for it."""

    visit: Callable[[], Visit]
    title: str
    why: str


def overview_of(db: Database) -> Overview:
    """Read the counts of a lab."""
    everything = TraceQuery()
    return Overview(
        problems.count(db),
        problems.count(db, ProblemQuery.parse(UNDISTILLED)),
        [run.id for run in teacher_runs.all_runs(db)],
        traces.counts(db, everything, "decision"),
        traces.counts(db, everything, "verdict"),
        datasets.all_datasets(db),
        runs.all_runs(db),
        evaluations.all_evaluations(db),
    )


def next_steps(overview: Overview) -> list[Step]:
    """Return the next steps, the most useful first."""
    distill = Step(
        partial(OpenDistill, UNDISTILLED),
        "Distill long thoughts (f3)",
        f"{overview.undistilled:,} problems have no trace yet",
    )
    to_distill = [distill] if overview.undistilled else []
    if not overview.traces:
        words = "quit and run: o1lab import FILE..., or try o1lab demo"
        return [*to_distill, *_to_evaluate(overview), Step(OpenTraces, "Import chains", words)]
    steps = []
    undecided = overview.decisions.get("", 0)
    curate = Step(OpenTraces, "Curate traces", f"{undecided:,} without a decision" if undecided else "all are decided")
    if overview.datasets:
        newest = overview.datasets[0]
        why = f"{newest.rows:,} rows, hash {newest.hash}"
        train = Step(partial(OpenTraining, newest.name), f"Train a student on {newest.name}", why)
        who = "teacher and student" if overview.runs else "teacher and base"
        compare = Step(OpenCompare, f"Talk to {who}", "side by side, from one prompt")
        steps = [compare, train] if overview.runs else [train, compare]
        if overview.runs:
            run = overview.runs[0].id
            steps.append(Step(partial(OpenRun, run), f"Open run {run}", "curve, samples, log"))
        return [*steps, *_to_evaluate(overview), curate, *to_distill]
    if overview.decisions.get("accept", 0):
        dataset = "Make a dataset of the accepted traces"
        steps.append(Step(partial(OpenTraces, "decision:accept"), dataset, "press d on the Traces screen"))
    talk = Step(OpenCompare, "Talk to the models", "the base and any teacher")
    return [*steps, curate, *to_distill, talk, *_to_evaluate(overview)]


def _to_evaluate(overview: Overview) -> list[Step]:
    """Return the step to the newest evaluation, or to the first one once there is a training run."""
    if overview.evaluations:
        newest = overview.evaluations[0]
        words = f"{newest.suite_label} by {newest.model}"
        visit = partial(OpenEvaluation, newest.id)
        return [Step(visit, "Open the evaluations (f6)", f"the newest: {one_line(words, 60)}")]
    return [Step(OpenEvaluation, "Evaluate base and student (f6)", "gains and losses")] if overview.runs else []


class OverviewScreen(LabScreen):
    """The first screen: counts on top, the next steps below."""

    TITLE = "LAB"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "refresh", "Refresh", tooltip="Read the lab again"),
        Binding("j", "move('down')", "Next step", show=False, tooltip="Go to the next step"),
        Binding("k", "move('up')", "Previous step", show=False, tooltip="Go to the previous step"),
    ]

    def compose_body(self) -> ComposeResult:
        with VerticalScroll(id="overview", can_focus=False):
            yield Static(id="counts", markup=False)
            yield Static("What to do next", classes="section", markup=False)
            yield OptionList(id="steps", markup=False)

    def on_mount(self) -> None:
        self.query_one("#steps").focus()

    def on_screen_resume(self) -> None:
        self.action_refresh()

    async def action_move(self, direction: str) -> None:
        """Move the cursor of the list of next steps."""
        await self.query_one("#steps", OptionList).run_action(f"cursor_{direction}")

    @task(exclusive=True)
    async def action_refresh(self) -> None:
        """Read the counts again."""
        overview = await self.read(overview_of)
        self.query_one("#counts", Static).update(_counts(overview, self.context.store.note))
        options = self.query_one("#steps", OptionList)
        kept = options.highlighted or 0
        self.steps = next_steps(overview)
        options.set_options(Option(_step(step)) for step in self.steps)
        options.highlighted = min(kept, len(self.steps) - 1)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        post_held(self, self.steps[event.option_index].visit())


def _counts(overview: Overview, note: str) -> Text:
    decisions, verdicts = overview.decisions, overview.verdicts
    lines = [
        ("problems", f"{overview.problems:,}"),
        (
            "traces",
            f"{overview.traces:,}   {decisions.get('accept', 0):,} accepted · "
            f"{decisions.get('reject', 0):,} rejected · "
            f"{decisions.get('', 0):,} to do",
        ),
        (
            "verdicts",
            f"{verdicts.get('correct', 0):,} correct · {verdicts.get('incorrect', 0):,} incorrect · "
            f"{verdicts.get('unverifiable', 0):,} unverifiable · {verdicts.get('', 0):,} not verified",
        ),
        ("distilled", _newest(overview.teacher_runs)),
        ("datasets", "  ".join(f"{one_line(d.name, 24)} ({d.rows:,})" for d in overview.datasets[:4]) or "none yet"),
        ("runs", "  ".join(f"{run.id} on {one_line(run.dataset, 24)}" for run in overview.runs[:4]) or "none yet"),
    ]
    if overview.evaluations:
        suites = len({one.suite_label for one in overview.evaluations})
        words = f"{len(overview.evaluations):,} on {counted(suites, 'suite')}"
        lines.append(("evaluated", f"{words}, the newest {one_line(overview.evaluations[0].suite_label, 30)}"))
    if note:
        lines.append(("note", note))
    text = Text()
    for name, value in lines:
        text.append(f"{name:>10}  ", "dim").append(value + "\n")
    return text


def _newest(ids: list[str]) -> str:
    """Return the number of teacher runs, and the newest one."""
    if not ids:
        return "no teacher run yet"
    return f"{counted(len(ids), 'teacher run')}, the newest {one_line(ids[0], 10)}"


def _step(step: Step) -> Text:
    return Text.assemble(("› ", "dim"), (step.title, "bold"), "  ", (step.why, "dim"))
