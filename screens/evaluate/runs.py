"""The evaluations: all of them, the one under the cursor in full, and what can be done with it; followed live."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, cast

from rich.text import Text
from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Static

from o1lab.widgets.dialogs import ConfirmDialog, PreviewDialog, PromptDialog
from o1lab.widgets.empty_state import EmptyState
from o1lab.widgets.paged_table import Page, PagedTable, Row
from o1lab.widgets.text_pane import TextPane
from screens.base.context import LabContext
from screens.base.screen import LabScreen
from screens.evaluate import commands
from screens.evaluate import text as evaluate_text
from screens.evaluate.poller import Detail, Line, Poller, Snapshot
from screens.jobs.poll_loop import PollLoop


class EvaluationsPane(Vertical):
    """The list on top, the evaluation under the cursor below."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "mark", "Mark", tooltip="Mark two evaluations to compare them with v"),
        Binding("v", "compare", "Compare", tooltip="The items only one of the two marked evaluations got right"),
        Binding("p", "pause", "Pause", tooltip="Make no new call for now; or go on"),
        Binding("s", "stop", "Stop", tooltip="Stop the evaluation; calls in flight are waited for"),
        Binding("r", "resume", "Resume", tooltip="Go on with one that stopped, failed or died; nothing is asked twice"),
        Binding("R", "rescore", "Rescore", tooltip="Score its samples again, without asking the model again"),
        Binding("e", "export", "Export", show=False, tooltip="Write the paper's table of these evaluations to a file"),
        Binding("c", "columns", "Columns", show=False, tooltip="Incomplete, unextracted, unscored and failed; or back"),
        Binding("A", "new_like_this", "New like this", show=False, tooltip="The form with this one's settings"),
        Binding("i", "whole", "All facts", show=False, tooltip="Everything about it over the whole screen"),
        Binding("y", "copy_id", "Copy id", show=False, tooltip="Copy the evaluation's id"),
    ]

    class Opened(Message):
        """Enter on an evaluation: its samples are to be shown."""

        def __init__(self, evaluation_id: str, scorer: str) -> None:
            super().__init__()
            self.evaluation_id, self.scorer = evaluation_id, scorer

    class Looked(Message):
        """Another look at the evaluations was taken."""

        def __init__(self, look: Snapshot) -> None:
            super().__init__()
            self.look = look

    class Compare(Message):
        """Two evaluations are to be compared item by item."""

        def __init__(self, first: str, second: str) -> None:
            super().__init__()
            self.first, self.second = first, second

    class NewLikeThis(Message):
        """An evaluation is to be set up with these values."""

        def __init__(self, values: dict[str, Any]) -> None:
            super().__init__()
            self.values = values

    class Export(Message):
        """A table of these evaluations is to be written; of all where none is marked."""

        def __init__(self, ids: tuple[str, ...]) -> None:
            super().__init__()
            self.ids = ids

    def __init__(self, context: LabContext, *, id: str) -> None:
        super().__init__(id=id)
        self.context = context
        self.watch_evaluations = Poller(context.lab, context.store)
        self.detail: Detail | None = None
        self.look: Snapshot | None = None
        self.marked: list[str] = []
        self._rows: dict[str, Row] = {}
        self._outcomes_only = False
        self._wanted: str | None = None
        self._under_cursor: str | None = None
        self.follower = PollLoop()

    @property
    def lab_screen(self) -> LabScreen:
        return cast(LabScreen, self.screen)

    @property
    def table(self) -> PagedTable:
        return self.query_one(PagedTable)

    @property
    def selected(self) -> str | None:
        """The evaluation under the cursor."""
        key = self.table.cursor_key
        return None if key is None else str(key)

    @property
    def line(self) -> Line | None:
        """What is known of the evaluation under the cursor."""
        row = self.table.cursor_row
        return row.data if row is not None and isinstance(row.data, Line) else None

    def compose(self) -> ComposeResult:
        yield EmptyState(
            "No evaluation yet.",
            "Press a to set one up: a suite, a model, how often. The solver needs no key and no download.",
            id="no-evaluations",
        )
        yield PagedTable(evaluate_text.COLUMNS, self._page, id="evaluation-list")
        with Vertical(id="evaluation"):
            yield Static(id="evaluation-head", markup=False)
            yield TextPane("the evaluation", id="evaluation-facts")

    # Following: only while the screen is shown; it tells us when.

    def start_following(self) -> None:
        self.follow()

    def stop_following(self) -> None:
        self.workers.cancel_group(self, "follow")

    @work(exclusive=True, group="follow")
    async def follow(self) -> None:
        """Look at the evaluations again and again, sooner when something was chosen."""
        await self.follower.follow(self._look, self._show, self.lab_screen.report)

    async def _look(self) -> Snapshot:
        return await self.lab_screen.in_thread(self.watch_evaluations.look, self._wanted or self._under_cursor)

    def _show(self, look: Snapshot) -> None:
        self.look = look
        self.set_class(not look.lines, "-empty")
        self.marked = [one for one in self.marked if any(line.id == one for line in look.lines)]
        self._draw_rows()
        self._show_detail(look.detail)
        self.post_message(self.Looked(look))
        if look.partial:
            self.follower.wake()

    def _show_detail(self, detail: Detail | None) -> None:
        if detail is None or detail.line.id != (self._wanted or self.selected or detail.line.id):
            return
        self.detail = detail
        head, text = self.query_one("#evaluation-head", Static), evaluate_text.header(detail)
        if head.content != text:
            head.update(text)
        self.query_one(TextPane).show(evaluate_text.facts(detail))

    def _draw_rows(self) -> None:
        """Only the rows that changed; all of them when others came or went."""
        lines = self.look.lines if self.look else ()
        rows = {line.id: evaluate_text.row(line, marked=line.id in self.marked) for line in lines}
        before, self._rows = self._rows, rows
        if list(rows) != list(before):
            self.table.reload()
        else:
            for identity, row in rows.items():
                if row.cells != before[identity].cells:
                    self.table.update_row(row)

    async def _page(self, offset: int, limit: int) -> Page:
        rows = list(self._rows.values())
        return Page(rows[offset : offset + limit], len(rows))

    # Choosing.

    def open_evaluation(self, identity: str) -> None:
        """Put the cursor on this evaluation; on one just made as soon as it is in the list."""
        self._wanted = identity
        self._go_to_wanted()
        self.follower.wake()

    def _go_to_wanted(self) -> None:
        if self._wanted in self._rows:
            self.table.move_to(list(self._rows).index(self._wanted))
            if self.selected == self._wanted:
                self._wanted = None

    @on(PagedTable.PageLoaded)
    def _page_loaded(self, event: PagedTable.PageLoaded) -> None:
        event.stop()
        self._go_to_wanted()

    @on(PagedTable.RowHighlighted)
    def _highlighted(self, event: PagedTable.RowHighlighted) -> None:
        event.stop()
        self._under_cursor = str(event.row.key)
        if self.detail is None or self.detail.line.id != event.row.key:
            self.query_one(TextPane).scroll_home(animate=False)
            self.follower.wake()

    @on(PagedTable.RowSelected)
    def _chosen(self, event: PagedTable.RowSelected) -> None:
        event.stop()
        line = self.line
        if line is None or line.record is None:
            self.app.notify("It has no samples yet.", markup=False)
        else:
            self.post_message(self.Opened(line.id, line.record.scorer))

    def on_key(self, event: events.Key) -> None:
        """The arrows to the side turn to the other columns, where a terminal has no room for all."""
        if event.key in ("left", "right") and self.table.has_focus:
            event.stop()
            self._show_columns(outcomes=event.key == "right")

    def action_columns(self) -> None:
        """What is neither right nor wrong in place of tokens and cost; or back."""
        self._show_columns(outcomes=not self._outcomes_only)

    def _show_columns(self, *, outcomes: bool) -> None:
        self._outcomes_only = outcomes
        self.table.set_columns(evaluate_text.OUTCOME_COLUMNS if outcomes else evaluate_text.COLUMNS)

    def action_mark(self) -> None:
        """Mark the evaluation under the cursor, or take its mark away; of three the first mark goes."""
        if (identity := self.selected) is None:
            return
        if identity in self.marked:
            self.marked.remove(identity)
        else:
            self.marked = [*self.marked, identity][-2:]
        self._draw_rows()

    def unmark(self) -> None:
        """Take all marks away."""
        self.marked = []
        self._draw_rows()

    def action_compare(self) -> None:
        """The two marked evaluations side by side; with one mark, that one and the one under the cursor."""
        here = self.selected
        pair = list(dict.fromkeys([*self.marked, *([here] if len(self.marked) == 1 and here else [])]))
        if len(pair) != 2:
            self.app.notify("Mark two evaluations of one suite with space, then press v.", markup=False)
            return
        self.post_message(self.Compare(pair[0], pair[1]))

    # What can be done with an evaluation.

    @work(group="command")
    async def action_pause(self) -> None:
        """Make no new call for now, or go on."""
        if not (detail := self._need_one()):
            return
        if detail.pausing and detail.line.active:
            await self._command(commands.go_on, "It goes on.", detail.line.id)
        else:
            await self._command(commands.pause, "It makes no new call until p is pressed again.", detail.line.id)

    @work(group="command")
    async def action_stop(self) -> None:
        """Ask the evaluation to stop."""
        if not (detail := self._need_one()):
            return
        line = detail.line
        if not line.active or line.info is None:
            self.app.notify(f"The evaluation {line.id} is {line.state}: there is nothing to stop.", markup=False)
            return
        if await self.app.push_screen_wait(
            ConfirmDialog(
                f"Stop the evaluation {line.id}?",
                f"{line.info.status.in_flight:,} calls in flight are waited for; what came is kept. "
                "r goes on from there.",
                yes="Stop it",
                no="Let it run",
                danger=True,
            )
        ):
            await self._command(commands.stop, "It waits for the calls in flight and stops.", line.id)

    @work(group="command")
    async def action_resume(self) -> None:
        """Go on with an evaluation that has ended or died; a budget that is spent has to be raised."""
        if not (detail := self._need_one()):
            return
        changes: dict[str, Any] = {}
        if (spent := commands.spent_budget(detail.line)) is not None:
            name, budget = spent
            question = f"Its budget of {budget:,} {commands.BUDGETS[name]} is spent. Go on up to how many?"
            typed = await self.app.push_screen_wait(PromptDialog(question, value=str(2 * budget)))
            if typed is None:
                return
            changes[name] = typed.strip()
        await self._command(commands.resume, "It goes on; no sample is asked twice.", detail.line.id, changes)

    @work(group="command")
    async def action_rescore(self) -> None:
        """Score its samples again by the suite's scorer of now."""
        if not (detail := self._need_one()):
            return
        identity = detail.line.id
        try:
            found = await self.lab_screen.in_thread(commands.rescoring, self.context.lab, identity)
        except Exception as error:
            self.lab_screen.report(error)
            return
        changes = {}
        if found.judged:
            judge = await self.app.push_screen_wait(
                PromptDialog("Which model judges?", value=found.judge, completions=found.models)
            )
            if judge is None or not judge.strip():
                return
            changes["judge"] = judge.strip()
        who = f"{found.label}{', which asks ' + changes['judge'] if changes else ''}"
        shown = detail.line.figures.scorer if detail.line.figures else "?"
        if await self.app.push_screen_wait(
            ConfirmDialog(
                f"Score the samples of {identity} again?",
                f"By {who}; what is shown comes from {shown}. The model is not asked again. Scores of different "
                "scorers are both kept, and never mixed.",
                yes="Score again",
                no="Not now",
            )
        ):
            await self._command(
                commands.rescore, "It is being scored again; the model is not asked.", identity, changes
            )

    async def _command(self, what: Callable[..., Any], done: str, identity: str, *more: Any) -> None:
        try:
            await self.lab_screen.in_thread(what, self.context.lab, identity, *more)
        except Exception as error:
            self.lab_screen.report(error)
        else:
            self.app.notify(done, markup=False)
        self.follower.wake()

    def action_export(self) -> None:
        """Write a table of the marked evaluations, or of all, to a file."""
        if self._need_one():
            self.post_message(self.Export(tuple(self.marked)))

    def action_new_like_this(self) -> None:
        """The form with the settings of this evaluation."""
        if (detail := self._need_one()) and detail.line.info and detail.line.info.settings:
            self.post_message(self.NewLikeThis(detail.line.info.settings.model_dump(mode="json")))

    @work(group="command")
    async def action_whole(self) -> None:
        """Everything about this evaluation over the whole screen."""
        if detail := self._need_one():
            text = Text("\n").join([evaluate_text.header(detail), evaluate_text.facts(detail)])
            await self.app.push_screen_wait(PreviewDialog(f"evaluation {detail.line.id}", text))

    def action_copy_id(self) -> None:
        """Copy the evaluation's id."""
        if detail := self._need_one():
            self.app.copy_to_clipboard(detail.line.id)
            self.app.notify(f"copied the id {detail.line.id}", markup=False)

    def _need_one(self) -> Detail | None:
        """The evaluation under the cursor, once it has been read."""
        found = self.detail if self.detail and self.detail.line.id == self.selected else None
        if found is None:
            empty = self.look is not None and not self.look.lines
            self.app.notify(
                "There is no evaluation yet: press a to set one up." if empty else "It is still being read.",
                markup=False,
            )
        return found
