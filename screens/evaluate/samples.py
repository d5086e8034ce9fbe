"""The samples of an evaluation: a list with a live filter, from which each sample opens in the reader."""

from __future__ import annotations

from typing import ClassVar, cast

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.css.query import NoMatches
from textual.widgets import Static

from o1lab.text import visible
from o1lab.widgets.dialogs import Choice, PickDialog, among
from o1lab.widgets.empty_state import EmptyState
from o1lab.widgets.paged_table import Page, PagedTable
from screens.base.context import LabContext
from screens.base.screen import LabScreen
from screens.evaluate import sample_text as text_of
from screens.evaluate.attribution import AttributionActions
from screens.evaluate.sample_text import COLUMNS, Listing
from screens.filtering.filter_bar import FilterBar
from screens.traces.annotate import Writer
from store import evaluations
from store.evaluations import Evaluation
from store.filters import SampleQuery
from store.sample_list import SampleRow

POLL_S = 2.0


class SamplesPane(Vertical):
    """The list of samples, for any LabScreen; ``show`` selects the evaluation."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", key_display="/", tooltip="Filter the samples"),
        Binding("l", "longest", "Longest", tooltip="The samples with the most tokens first, or in the suite's order"),
        Binding("c", "chains", "Chains", tooltip="The training chains most similar to this sample of a student"),
        Binding("o", "run", "Run", tooltip="The training run behind this model"),
        Binding("d", "pairs", "Pairs", tooltip="Compare with another model: the items that only one got right"),
        Binding("R", "rate", "Rate", tooltip="Mark the samples from 0 to 100, blind, alone or with other evaluations"),
        Binding("K", "calibrate", "Calibrate", show=False, tooltip="Label 40 samples: how far does the scorer agree?"),
        Binding("y", "copy_id", "Copy id", show=False, tooltip="Copy the item's id"),
    ]
    DEFAULT_CSS = """
    SamplesPane {
        height: 1fr;
        #samples-head { height: 1; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
        #samples-list { height: 1fr; }
        #samples-peek { height: 3; padding: 0 1; background: $surface; }
        #no-samples { display: none; }
        &.-none #no-samples { display: block; }
        &.-none > Static, &.-none > FilterBar, &.-none > PagedTable { display: none; }
    }
    """

    def __init__(self, context: LabContext, *, id: str | None = None) -> None:
        super().__init__(id=id, classes="-none")
        self.context = context
        self.attribution = AttributionActions(context)
        self.evaluation: Evaluation | None = None
        self.scorer = ""
        self.query_now = SampleQuery()
        self._to_count = False
        self.writer = Writer(context.store)  # its connection notices writes by jobs and other screens

    @property
    def lab_screen(self) -> LabScreen:
        return cast(LabScreen, self.screen)

    def compose(self) -> ComposeResult:
        yield EmptyState(
            "No evaluation is chosen.", "Press 1 and then enter on one, or a to set one up.", id="no-samples"
        )
        yield Static(id="samples-head", markup=False)
        yield FilterBar(
            SampleQuery, "#samples-list", placeholder="filter: / then for example  outcome:wrong variant:hint triangle"
        )
        yield PagedTable(COLUMNS, id="samples-list", empty="No sample matches this filter. Press / to change it.")
        yield Static(id="samples-peek", markup=False)

    def on_mount(self) -> None:
        self.set_interval(POLL_S, self.look_for_changes)

    async def on_unmount(self) -> None:
        await self.writer.close()
        self.attribution.close()

    @property
    def table(self) -> PagedTable:
        return self.query_one("#samples-list", PagedTable)

    @property
    def filter_bar(self) -> FilterBar:
        return self.query_one(FilterBar)

    @property
    def current_sample(self) -> SampleRow | None:
        """The sample under the cursor."""
        row = self.table.cursor_row
        return cast(SampleRow, row.data) if row is not None else None

    @property
    def listing(self) -> Listing | None:
        """The list that is shown."""
        return None if self.evaluation is None else Listing(self.evaluation.id, self.scorer, self.query_now)

    # The list.

    def show(self, evaluation_id: str, scorer: str | None = None, query: str = "") -> None:
        """List the samples of an evaluation with the scores of a scorer (its current one if None), under a filter."""
        self._open(evaluation_id, scorer, query)

    @work(exclusive=True, group="samples")
    async def _open(self, evaluation_id: str, scorer: str | None, query: str) -> None:
        try:
            wanted = SampleQuery.parse(query)
            one = await self.lab_screen.read(evaluations.get, evaluation_id)
        except Exception as error:
            self.lab_screen.report(error)
            return
        self.evaluation, self.scorer = one, scorer or one.scorer
        self.remove_class("-none")
        self.query_one("#samples-head", Static).update(text_of.heading(one, self.scorer, None))
        self.filter_bar.set_filter(wanted)
        self._to_count = True  # after the first page, which takes less time than the counts
        self._apply(wanted)
        if self.display and self.screen.focused is None:
            self.call_after_refresh(self.table.focus)

    def refresh_samples(self) -> None:
        """Read the list again and keep the cursor."""
        if self.evaluation is not None:
            self.table.reload()
            self._count()

    @work(group="samples-poll")  # not exclusive: a cancelled poll would lose a change
    async def look_for_changes(self) -> None:
        """Show what jobs and other programs have written; do nothing while hidden."""
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
            return  # the app is closing
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
        self.screen.set_focus(self.filter_bar.editable())

    @on(FilterBar.Changed)
    def _filter_changed(self, event: FilterBar.Changed) -> None:
        event.stop()
        query = cast(SampleQuery, event.query)
        if query != self.query_now:
            self._apply(query)

    def action_longest(self) -> None:
        """Sort by length, or in the suite's order again."""
        order = "" if self.query_now.sort == "longest" else "longest"
        query = SampleQuery.parse(SampleQuery.LANGUAGE.with_sort(self.query_now.source, order))
        self.filter_bar.set_filter(query)
        self._apply(query)

    # Actions on a sample.

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("chains", "copy_id"):
            return self.is_mounted and self.table.cursor_row is not None
        if action in ("filter", "longest", "run", "pairs", "rate", "calibrate"):
            return self.evaluation is not None
        return super().check_action(action, parameters)

    @work(exclusive=True, group="samples-lead")
    async def action_chains(self) -> None:
        """List the training chains most similar to this sample."""
        if (row := self.current_sample) is not None:
            await self.attribution.chains(self.lab_screen, self, row.seq)

    @work(exclusive=True, group="samples-lead")
    async def action_run(self) -> None:
        """Show the training run behind this model."""
        if self.evaluation is not None:
            await self.attribution.run(self.lab_screen, self, self.evaluation)

    @work(exclusive=True, group="samples-lead")
    async def action_pairs(self) -> None:
        """Choose another evaluation of this suite and compare the two item by item."""
        from screens.evaluate.pairs import PairsScreen

        if self.evaluation is None:
            return
        other = await self._other("Which model do you want to compare it with?", "No other evaluation of these items.")
        if other is not None:
            await self.app.push_screen(PairsScreen(self.context, self.evaluation.id, other))

    @work(exclusive=True, group="samples-lead")
    async def action_rate(self) -> None:
        """Mark these samples blind, optionally mixed with those of another evaluation."""
        from screens.evaluate.rating import RatingScreen

        if self.evaluation is None:
            return
        other = await self._other("Mix in another evaluation? (escape: none)", "No other evaluation of these items.")
        chosen = [self.evaluation.id, *([other] if other else [])]
        await self.app.push_screen(RatingScreen(self.context, chosen), lambda _: self.refresh_samples())

    def action_calibrate(self) -> None:
        """Label a choice of these samples, to measure how far the scorer agrees."""
        from screens.evaluate.calibrating import CalibrationScreen

        if self.evaluation is not None:
            self.app.push_screen(CalibrationScreen(self.context, self.evaluation.id, self.scorer))

    async def _other(self, question: str, empty: str) -> str | None:
        """Ask for another evaluation of the same items; None if none is chosen."""
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
        if (row := self.current_sample) is not None:
            self.app.copy_to_clipboard(visible(row.item))
            self.app.notify(f"Copied {visible(row.item)}", markup=False)
