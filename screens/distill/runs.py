"""The teacher runs: the jobs pane of the Distill screen, and the actions of teacher runs."""

from __future__ import annotations

from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical

from o1lab.distill import runs
from o1lab.distill.runs import RunInfo
from o1lab.text import visible
from o1lab.widgets.dialogs import PreviewDialog
from o1lab.widgets.keys import Binding
from screens.base.context import LabContext
from screens.base.messages import OpenTraces, OpenTraining
from screens.distill import text as distill_text
from screens.distill.poller import Poller, RunDetail
from screens.jobs import kind as job_kind
from screens.jobs.kind import PaneKind
from screens.jobs.lists import FactsView, JobCells
from screens.jobs.pane import JobsPane
from screens.jobs.text import stop_reason
from store import datasets
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
            stop_note=lambda info: job_kind.stop_note(info.status),
            stopping=job_kind.STOPPING,
            resuming=job_kind.RESUMING,
            why=lambda info: stop_reason(info.status),
            settings=lambda one: one.line.settings.model_dump(mode="json") if one.line.settings else None,
            facts=view.whole,
            can_retry=lambda info: info.status.failed > 0,
            must_change=job_kind.must_change,
        )
        cells = JobCells(distill_text.list_cell, id="teacher-runs")
        self.jobs = Jobs(context, kind, cells, view, id="teacher-run-jobs")

    def compose(self) -> ComposeResult:
        yield self.jobs

    def action_traces(self) -> None:
        """Show the traces of this run."""
        if info := self.jobs.need_line():
            self.post_message(OpenTraces(f"run:{info.id}"))

    @work(group="command")
    async def action_dataset(self) -> None:
        """Make a dataset from a selection of the run's traces."""
        from o1lab.distill.methods import METHODS
        from screens.forms.dataset import DatasetForm, created_text

        if not (info := self.jobs.need_line()):
            return
        if not info.status.done:
            self.app.notify(f"The teacher run {info.id} has no response yet.", markup=False)
            return
        method = info.settings.method if info.settings else "sample"
        kind = METHODS.find(method)
        form = DatasetForm(
            self.context,
            TraceQuery.parse(f"run:{info.id}"),
            title=f"Dataset from run {info.id}",
            name=f"teacher-{info.id[:8]}",
            take="verified",
            phase=kind.phase if kind is not None else 2,
            others=[one.name for one in await self.jobs.lab_screen.read(datasets.all_datasets)],
        )
        made = await self.app.push_screen_wait(form)
        if made is not None and await self.app.push_screen_wait(
            PreviewDialog(f"Dataset {visible(made.dataset.name)}", created_text(made), action="Train a student on it")
        ):
            self.post_message(OpenTraining(made.dataset.name))
