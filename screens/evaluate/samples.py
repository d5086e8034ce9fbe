"""The samples of an evaluation: a list that is filtered as one types, from which each opens in the reader."""

from __future__ import annotations

import asyncio
from typing import ClassVar, cast

from rich.text import Text
from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.css.query import NoMatches
from textual.message import Message
from textual.widgets import Input, Static
from textual.worker import Worker

from o1lab.evaluate.sample_filter import HELP, SampleQuery, parse_sample_query
from o1lab.text import visible
from o1lab.widgets.dialogs import Choice, PickDialog, among
from o1lab.widgets.empty_state import EmptyState
from o1lab.widgets.line_input import LineInput
from o1lab.widgets.paged_table import Page, PagedTable
from o1lab.widgets.tall_text import TallText
from screens.base.context import LabContext
from screens.base.screen import LabScreen
from screens.evaluate import sample_text as text_of
from screens.evaluate.attribution import AttributionActions
from screens.evaluate.sample_text import COLUMNS, Listing
from screens.traces.annotate import Writer
from store import evaluations
from store.errors import QueryError
from store.evaluations import Evaluation
from store.sample_list import SampleRow

PAUSE_S = 0.3  # of not typing, before the list follows
POLL_S = 2.0


class SampleLine(LineInput):
    """The line of the filter. It takes the focus only when it is asked to: whoever comes to the pane wants the list."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "use", "Use the filter"),
        Binding("escape", "give_up", "Back"),
    ]

    class Ended(Message):
        """Enter (``used``) or escape was pressed."""

        def __init__(self, *, used: bool) -> None:
            super().__init__()
            self.used = used

    def on_mount(self) -> None:
        self.can_focus = False

    def on_blur(self) -> None:
        self.can_focus = False

    def write(self) -> None:
        """Take the focus."""
        self.can_focus = True
        self.screen.set_focus(self)

    def on_click(self) -> None:
        self.write()

    def action_use(self) -> None:
        self.post_message(self.Ended(used=True))

    def action_give_up(self) -> None:
        self.post_message(self.Ended(used=False))


class SamplesPane(Vertical):
    """Mount it anywhere in a LabScreen, then ``show`` an evaluation."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", key_display="/", tooltip="Filter the samples"),
        Binding("l", "longest", "Longest", tooltip="The samples with the most tokens first, or in the suite's order"),
        Binding("c", "chains", "Chains", tooltip="The training chains most like this sample of a student"),
        Binding("o", "run", "Run", tooltip="The training run behind this model"),
        Binding("d", "pairs", "Pairs", tooltip="Beside another model: the items that only one got right"),
        Binding("R", "rate", "Rate", tooltip="Mark the samples from 0 to 100, blind, alone or with other evaluations"),
        Binding("y", "copy_id", "Copy id", show=False, tooltip="Copy the item's id"),
    ]
    DEFAULT_CSS = """
    SamplesPane {
        height: 1fr;
        #samples-head { height: 1; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
        #samples-line { height: 1; border: none; padding: 0 1; background: $surface; }
        #samples-help { height: auto; max-height: 3; padding: 0 1; color: $text-muted; display: none; }
        &.-typing #samples-help, &.-wrong #samples-help { display: block; }
        &.-wrong #samples-help { color: $text-warning; text-style: bold; }
        #samples-list { height: 1fr; }
        #samples-peek { height: 3; padding: 0 1; background: $surface; }
        #no-samples { display: none; }
        &.-none #no-samples { display: block; }
        &.-none > Static, &.-none > Input, &.-none > PagedTable { display: none; }
    }
    """

    def __init__(self, context: LabContext, *, id: str | None = None) -> None:
        super().__init__(id=id, classes="-none")
        self.context = context
        self.leads = AttributionActions(context)
        self.evaluation: Evaluation | None = None
        self.scorer = ""
        self.query_now = SampleQuery()
        self._before = self.query_now  # the filter that escape comes back to
        self._pause: Worker[None] | None = None
        self._to_count = False
        self.writer = Writer(context.store)  # its connection notices what a run at work, or another screen, writes

    @property
    def lab_screen(self) -> LabScreen:
        return cast(LabScreen, self.screen)

    def compose(self) -> ComposeResult:
        yield EmptyState(
            "No evaluation is chosen.", "Press 1 and then enter on one, or a to set one up.", id="no-samples"
        )
        yield Static(id="samples-head", markup=False)
        yield SampleLine(
            placeholder="filter: / then for example  outcome:wrong variant:hint triangle",
            select_on_focus=False, compact=True, id="samples-line",
        )  # fmt: skip
        yield TallText(HELP, id="samples-help", markup=False)
        yield PagedTable(COLUMNS, id="samples-list", empty="No sample matches this filter. Press / to change it.")
        yield Static(id="samples-peek", markup=False)

    def on_mount(self) -> None:
        self.set_interval(POLL_S, self.look_for_changes)

    async def on_unmount(self) -> None:
        await self.writer.close()
        self.leads.close()

    @property
    def table(self) -> PagedTable:
        return self.query_one("#samples-list", PagedTable)

    @property
    def line(self) -> SampleLine:
        return self.query_one(SampleLine)

    @property
    def at_hand(self) -> SampleRow | None:
        """The sample under the cursor."""
        row = self.table.cursor_row
        return cast(SampleRow, row.data) if row is not None else None

    @property
    def listing(self) -> Listing | None:
        """What is listed."""
        return None if self.evaluation is None else Listing(self.evaluation.id, self.scorer, self.query_now)

    # What is shown.

    def show(self, evaluation_id: str, scorer: str | None = None, query: str = "") -> None:
        """List the samples of an evaluation, by a scorer's word (its own without one), under a filter."""
        self._open(evaluation_id, scorer, query)

    @work(exclusive=True, group="samples")
    async def _open(self, evaluation_id: str, scorer: str | None, query: str) -> None:
        try:
            wanted = parse_sample_query(query)
            one = await self.lab_screen.read(evaluations.get, evaluation_id)
        except Exception as error:
            self.lab_screen.report(error)
            return
        self.evaluation, self.scorer = one, scorer or one.scorer
        self.remove_class("-none")
        self.query_one("#samples-head", Static).update(text_of.heading(one, self.scorer, None))
        self._set_line(query)
        self._to_count = True  # once the first page is there: counting every outcome takes longer than that
        self._apply(wanted)
        if self.display and self.screen.focused is None:
            self.call_after_refresh(self.table.focus)

    def refresh_samples(self) -> None:
        """Something was written: read the list again; the cursor stays."""
        if self.evaluation is not None:
            self.table.reload()
            self._count()

    @work(group="samples-poll")  # not exclusive: a look that was cancelled would take a change with it
    async def look_for_changes(self) -> None:
        """Show what a run at work, or another program, wrote meanwhile; nothing while it is out of sight."""
        if self.evaluation is None or not self.display or not self.screen.is_current:
            return
        try:
            if await self.writer.do(self.writer.others_wrote):
                self.refresh_samples()
        except Exception as error:
            self.lab_screen.report(error)

    @work(exclusive=True, group="samples-count")
    async def _count(self) -> None:
        one, scorer = self.evaluation, self.scorer
        if one is None:
            return
        try:
            tally = await self.lab_screen.read(evaluations.tally, one.id, scorer)
            self.query_one("#samples-head", Static).update(text_of.heading(one, scorer, tally))
        except NoMatches:
            return  # the app closes
        except Exception as error:
            self.lab_screen.report(error)

    def _apply(self, query: SampleQuery) -> None:
        self.query_now = query
        listing = self.listing
        if listing is None:
            return

        async def fetch(offset: int, limit: int) -> Page:
            return await self.lab_screen.read(listing.page, offset, limit)

        self.table.set_source(fetch)

    @on(PagedTable.FetchFailed)
    def _fetch_failed(self, event: PagedTable.FetchFailed) -> None:
        self.lab_screen.report(event.error)

    @on(PagedTable.PageLoaded)
    def _page_loaded(self, event: PagedTable.PageLoaded) -> None:
        if not event.total:
            self.query_one("#samples-peek", Static).update("")
        if self._to_count:
            self._to_count = False
            self._count()
        self.refresh_bindings()

    @on(PagedTable.RowHighlighted)
    def _row_highlighted(self, event: PagedTable.RowHighlighted) -> None:
        row = cast(SampleRow, event.row.data)
        self.query_one("#samples-peek", Static).update(text_of.peek(row, self.scorer))

    @on(PagedTable.RowSelected)
    def _row_selected(self, event: PagedTable.RowSelected) -> None:
        from screens.evaluate.reader import SampleScreen

        event.stop()
        listing = self.listing
        if listing is not None:
            reader = SampleScreen(self.context, listing, event.index, moved=self.table.move_to)
            self.app.push_screen(reader, lambda _: self.refresh_samples())

    # The filter.

    def action_filter(self) -> None:
        """Type a filter."""
        self._before = self.query_now
        self.line.write()

    def _set_line(self, text: str) -> None:
        with self.prevent(Input.Changed):
            self.line.value = text
            self.line.cursor_position = len(text)
        self._say(HELP)

    def _say(self, said: str, *, wrong: bool = False) -> None:
        self.set_class(wrong, "-wrong")
        self.query_one("#samples-help", Static).update(Text(("! " if wrong else "") + visible(said)))

    def _read(self, text: str) -> SampleQuery | None:
        try:
            query = parse_sample_query(text)
        except QueryError as error:
            self._say(f"{error.message} {error.hint}", wrong=True)
            return None
        self._say(HELP)
        return query

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        if self._pause is not None:
            self._pause.cancel()
        self._pause = self._follow(event.value)

    @work(exclusive=True, group="samples-typing")
    async def _follow(self, text: str) -> None:
        """Let the list follow after a pause."""
        await asyncio.sleep(PAUSE_S)
        if (query := self._read(text)) is not None and query != self.query_now:
            self._apply(query)

    @on(SampleLine.Ended)
    def _line_ended(self, event: SampleLine.Ended) -> None:
        event.stop()
        if self._pause is not None:
            self._pause.cancel()
        if not event.used:
            self._set_line(self._before.source)
        query = self._read(self.line.value)
        if query is None:
            return
        if query != self.query_now:
            self._apply(query)
        self.screen.set_focus(self.table)

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        self.set_class(event.widget is self.line, "-typing")

    def on_descendant_blur(self) -> None:
        self.remove_class("-typing")

    def action_longest(self) -> None:
        """The longest first, or the suite's order again."""
        kept = " ".join(word for word in self.query_now.source.split() if not word.startswith("sort:"))
        text = kept if self.query_now.longest_first else f"{kept} sort:longest".strip()
        self._set_line(text)
        self._apply(parse_sample_query(text))

    # Where a sample leads.

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("chains", "copy_id"):
            return self.is_mounted and self.table.cursor_row is not None
        if action in ("filter", "longest", "run", "pairs", "rate"):
            return self.evaluation is not None
        return super().check_action(action, parameters)

    @work(exclusive=True, group="samples-lead")
    async def action_chains(self) -> None:
        """The training chains most like this sample."""
        if (row := self.at_hand) is not None:
            await self.leads.chains(self.lab_screen, self, row.seq)

    @work(exclusive=True, group="samples-lead")
    async def action_run(self) -> None:
        """The training run behind this model."""
        if self.evaluation is not None:
            await self.leads.run(self.lab_screen, self, self.evaluation)

    @work(exclusive=True, group="samples-lead")
    async def action_pairs(self) -> None:
        """Choose the other evaluation of this suite, and look at who is right where the other is not."""
        from screens.evaluate.pairs import PairsScreen

        if self.evaluation is None:
            return
        other = await self._other("Which other model is it to be set beside?", "No other evaluation of these items.")
        if other is not None:
            await self.app.push_screen(PairsScreen(self.context, self.evaluation.id, other))

    @work(exclusive=True, group="samples-lead")
    async def action_rate(self) -> None:
        """Mark these samples, blind; another evaluation may be mixed in, so that none can tell which is which."""
        from screens.evaluate.rating import RatingScreen

        if self.evaluation is None:
            return
        other = await self._other(
            "Mix which other evaluation in? (escape: none)", "No other evaluation of these items."
        )
        chosen = [self.evaluation.id, *([other] if other else [])]
        await self.app.push_screen(RatingScreen(self.context, chosen), lambda _: self.refresh_samples())

    async def _other(self, question: str, empty: str) -> str | None:
        """Another evaluation of the same items, None for none."""
        this = cast(Evaluation, self.evaluation)
        found = [
            one
            for one in await self.lab_screen.read(evaluations.all_evaluations, suite=this.suite)
            if one.items_hash == this.items_hash and one.id != this.id
        ]
        choices = [Choice(one.id, f"{one.model}  {one.created_at[:16].replace('T', ' ')}", one.id) for one in found]
        return await self.app.push_screen_wait(PickDialog(question, among(choices), empty=empty))

    def action_copy_id(self) -> None:
        """Copy the item's id."""
        if (row := self.at_hand) is not None:
            self.app.copy_to_clipboard(visible(row.item))
            self.app.notify(f"Copied {visible(row.item)}", markup=False)
