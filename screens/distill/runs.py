"""The teacher runs: the jobs pane of the Distill screen, and the actions of teacher runs."""

from __future__ import annotations

from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical

from o1lab.distill import runs
from o1lab.distill.runs import RunInfo
from o1lab.widgets.keys import Binding
from o1lab.widgets.typed_ahead import post_held
from screens.base.context import LabContext
from screens.base.messages import OpenTraces
from screens.distill import text as distill_text
from screens.distill.poller import Poller, RunDetail
from screens.jobs.kind import PaneKind
from screens.jobs.lists import FactsView, JobCells
from screens.jobs.pane import JobsPane
from store.filters import TraceQuery

Jobs = JobsPane[RunInfo, RunDetail]


class RunsPane(Vertical):
    """The list at the left, the selected run at the right."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("T", "traces", "Traces", tooltip="Show the traces of this run"),
        Binding("d", "dataset", "Dataset", tooltip="Make a dataset from the traces of this run"),
    ]

    def __init__(self, context: LabContext, *, id: str) -> None:
        super().__init__(id=id)
        self.context = context
        view = FactsView("the run", distill_text.header, distill_text.facts, id="teacher-run")
        kind = PaneKind(
            jobs=runs.TEACHER_RUNS,
            next_action="Press ctrl+n to set one up: teacher, problems, samples per problem. The solver needs no key.",
            poll=Poller(context.lab, context.store).poll,
            facts=view.whole,
        )
        cells = JobCells(distill_text.list_cell, id="teacher-runs")
        self.jobs = Jobs(context, kind, cells, view, id="teacher-run-jobs")

    def compose(self) -> ComposeResult:
        yield self.jobs

    def action_traces(self) -> None:
        """Show the traces of this run."""
        if info := self.jobs.need_line():
            post_held(self, OpenTraces(f"run:{info.id}"))

    @work(group="command")
    async def action_dataset(self) -> None:
        """Make a dataset from a selection of the run's traces."""
        from o1lab.distill.methods import METHODS
        from screens.forms.dataset import make_dataset

        if not (info := self.jobs.need_line()):
            return
        if not info.status.done:
            self.app.notify(f"The teacher run {info.id} has no response yet.", markup=False)
            return
        method = info.settings.method if info.settings else "sample"
        kind = METHODS.find(method)
        await make_dataset(
            self.jobs.lab_screen,
            TraceQuery.parse(f"run:{info.id}"),
            title=f"Dataset from run {info.id}",
            name=f"teacher-{info.id[:8]}",
            take="verified",
            phase=kind.phase if kind is not None else 2,
        )
