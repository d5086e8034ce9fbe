"""The evaluations: the jobs pane of the Evaluate screen, and the actions of evaluations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.message import Message

from o1lab.config import load_config
from o1lab.errors import NotFoundError
from o1lab.evaluate.run import control
from o1lab.evaluate.run.directory import EvalFolder
from o1lab.evaluate.scorers import needs_judge, scorer_label
from o1lab.evaluate.suites.suite import find_suite
from o1lab.paths import Lab
from o1lab.serve.registry import list_models
from o1lab.widgets.dialogs import ConfirmDialog, PromptDialog
from o1lab.widgets.keys import Binding
from o1lab.widgets.typed_ahead import post_held
from screens.base.context import LabContext
from screens.base.screen import task
from screens.evaluate import text as evaluate_text
from screens.evaluate.poller import Detail, Line, Poller
from screens.jobs.kind import PaneKind
from screens.jobs.lists import FactsView, JobTable
from screens.jobs.pane import JobsPane

Jobs = JobsPane[Line, Detail]


class EvaluationsPane(Vertical):
    """The list on top, the evaluation under the cursor below."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "mark", "Mark", tooltip="Mark two evaluations to compare them with V"),
        Binding("V", "pairs", "Pairs", tooltip="The items only one of the two marked evaluations got right"),
        Binding("R", "rescore", "Rescore", tooltip="Score the samples again, without asking the model again"),
        Binding("E", "export", "Export", show=False, tooltip="Write the paper's table of these evaluations to a file"),
        Binding("vertical_line", "columns", "Columns", show=False, key_display="|",
                tooltip="Show incomplete, unextracted, unscored and failed"),
    ]  # fmt: skip

    @dataclass
    class Compare(Message):
        """Compare two evaluations item by item."""

        first: str
        second: str

    @dataclass
    class Export(Message):
        """Write a table of these evaluations; of all if there are none."""

        ids: tuple[str, ...]

    def __init__(self, context: LabContext, *, id: str) -> None:
        super().__init__(id=id)
        self.context = context
        self._outcomes_only = False
        view = FactsView("the evaluation", evaluate_text.header, evaluate_text.facts, id="evaluation")
        kind = PaneKind(
            jobs=control.EVALUATIONS,
            next_action="Press ctrl+n to set one up: a suite, a model, samples per item. The solver needs no key.",
            poll=Poller(context.lab, context.store).poll,
            facts=view.whole,
        )
        self.table = JobTable(evaluate_text.COLUMNS, evaluate_text.row, id="evaluation-list")
        self.jobs = Jobs(context, kind, self.table, view, id="evaluation-jobs")

    def compose(self) -> ComposeResult:
        yield self.jobs

    def on_key(self, event: events.Key) -> None:
        """Switch between the columns with left and right if the terminal is too narrow for all."""
        if event.key in ("left", "right") and self.table.has_focus:
            event.stop()
            self._show_columns(outcomes=event.key == "right")

    def action_columns(self) -> None:
        """Show either tokens and cost or the outcomes other than correct and incorrect."""
        self._show_columns(outcomes=not self._outcomes_only)

    def _show_columns(self, *, outcomes: bool) -> None:
        self._outcomes_only = outcomes
        self.table.set_columns(evaluate_text.OUTCOME_COLUMNS if outcomes else evaluate_text.COLUMNS)

    def action_mark(self) -> None:
        """Mark the evaluation under the cursor, or remove its mark; at most two are marked."""
        self.jobs.toggle_mark(2)

    def action_pairs(self) -> None:
        """Compare the two marked evaluations; with one mark, that one and the one under the cursor."""
        selected, marked = self.jobs.selected, self.jobs.marked
        pair = list(dict.fromkeys([*marked, *([selected] if len(marked) == 1 and selected else [])]))
        if len(pair) != 2:
            self.app.notify("Mark two evaluations of one suite with space, then press V.", markup=False)
            return
        post_held(self, self.Compare(pair[0], pair[1]))

    @task(group="command", dialog=True)
    async def action_rescore(self) -> None:
        """Score the samples again with the suite's current scorer."""
        if not (line := self.jobs.need_line()):
            return
        found = await self.jobs.lab_screen.in_thread(rescoring, self.context.lab, line.id)
        changes = {}
        if found.judged:
            judge = await self.app.push_screen_wait(
                PromptDialog("Which model judges?", value=found.judge, completions=found.models)
            )
            if judge is None or not judge.strip():
                return
            changes["judge"] = judge.strip()
        scorer = f"{found.label}{', which asks ' + changes['judge'] if changes else ''}"
        shown = line.figures.scorer if line.figures else "?"
        if await self.app.push_screen_wait(
            ConfirmDialog(
                f"Score the samples of {line.id} again?",
                f"With {scorer}; the scores shown now come from {shown}. The model is not asked again. The scores of "
                "both scorers are kept, and never mixed.",
                yes="Score again",
                no="Not now",
            )
        ):
            await self.jobs.run_command(self._rescore, "Scoring again; the model is not asked.", line.id, changes)

    def _rescore(self, folder: EvalFolder, changes: Mapping[str, Any]) -> None:
        control.EVALUATIONS.launch(control.rescore(self.context.lab, folder.id, changes), "--scores-only")

    def action_export(self) -> None:
        """Write a table of the marked evaluations, or of all, to a file."""
        if self.jobs.need_line():
            self.post_message(self.Export(tuple(self.jobs.marked)))


@dataclass(frozen=True)
class Rescoring:
    """The scorer that would score the samples again.

    Attributes:
        label: Its label; the label of a judge has no model.
        judged: Whether it asks a model.
        judge: The model that judged last.
        models: The models that could judge.
    """

    label: str
    judged: bool
    judge: str
    models: tuple[str, ...]


def rescoring(lab: Lab, identity: str) -> Rescoring:
    """Find the scorer that would score an evaluation's samples now."""
    folder = EvalFolder(lab.evals / identity)
    try:
        suite = find_suite(lab, folder.settings().suite)
    except NotFoundError:
        suite = folder.suite()  # its file is gone: use the copy made when the evaluation began
    judged = needs_judge(suite.scorer)
    models = tuple(ref.id for ref in list_models(lab, load_config(lab))) if judged else ()
    return Rescoring(scorer_label(suite.scorer, lab, None), judged, folder.scored_by().judge or "", models)
