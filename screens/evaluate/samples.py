"""The samples of an evaluation: a list with a live filter, from which each sample opens in the reader."""

from __future__ import annotations

from typing import ClassVar, cast

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.css.query import NoMatches
from textual.widgets import Static

from o1lab.text import visible
from o1lab.widgets.dialogs import Choice, PickDialog, among
from o1lab.widgets.keys import Binding
from o1lab.widgets.paged_table import PagedTable
from o1lab.widgets.text_pane import EmptyState
from screens.base.context import LabContext
from screens.base.screen import task
from screens.evaluate import sample_text as text_of
from screens.evaluate.labelling import SAMPLE_KEYS, AttributionActions
from screens.evaluate.sample_text import COLUMNS, Listing
from screens.filtering.filter_bar import FilterBar
from screens.filtering.pane import FilteredPane
from store import evaluations
from store.evaluations import Evaluation
from store.filters import SampleQuery
from store.sample_list import SampleRow

POLL_S = 2.0
LISTED = "samples.evaluation"
"""The key of the session for the evaluation whose samples are listed."""


class SamplesPane(FilteredPane[SampleQuery]):
    """The list of samples, for any LabScreen; ``show`` selects the evaluation."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", key_display="/", tooltip="Filter the samples"),
        Binding("l", "longest", "Longest", tooltip="The samples with the most tokens first, or in the suite's order"),
        *SAMPLE_KEYS,
        Binding("V", "pairs", "Pairs", tooltip="Compare with another model: the items that only one got right"),
        Binding("B", "rate", "Rate", tooltip="Mark the samples from 0 to 100, blind, alone or with other evaluations"),
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
        super().__init__(context, SampleQuery(), id=id, classes="-none")
        self.attribution = AttributionActions()
        self.evaluation: Evaluation | None = None
        self.scorer = ""
        self._to_count = False

    def compose(self) -> ComposeResult:
        yield EmptyState(
            "No evaluation is chosen.", "Press 1 and then enter on one, or ctrl+n to set one up.", id="no-samples"
        )
        yield Static(id="samples-head", markup=False)
        yield FilterBar(
            SampleQuery,
            "#samples-list",
            placeholder="filter: / then for example  outcome:wrong variant:hint triangle",
            context=self.context,
        )
        yield PagedTable(COLUMNS, id="samples-list", empty="No sample matches this filter. Press / to change it.")
        yield Static(id="samples-peek", markup=False)

    def on_mount(self) -> None:
        self.set_interval(POLL_S, self.look_for_changes)

    async def on_unmount(self) -> None:
        self.attribution.close()

    @property
    def current_sample(self) -> SampleRow | None:
        """The sample under the cursor; None while it is loading."""
        row = self.table.cursor_row
        return cast(SampleRow, row.data) if row is not None else None

    def need_sample(self) -> SampleRow | None:
        """Return the sample under the cursor; if there is none, say why."""
        if self.current_sample is None:
            self.app.notify(self.table.no_row)
        return self.current_sample

    @property
    def listing(self) -> Listing | None:
        """The list that is shown."""
        return None if self.evaluation is None else Listing(self.evaluation.id, self.scorer, self.query_now)

    # The list.

    def show(self, evaluation_id: str, scorer: str | None = None, query: str | None = None) -> None:
        """List the samples of an evaluation with the scores of a scorer (its current one if None), under a filter.

        Without a filter, the evaluation that was listed last keeps its filter and its row.
        """
        self._open(evaluation_id, scorer, query)

    @task(exclusive=True, group="samples")
    async def _open(self, evaluation_id: str, scorer: str | None, query: str | None) -> None:
        session = self.context.session
        if query is None and session.get(LISTED, "") == evaluation_id:
            wanted = cast(SampleQuery, self.filter_bar.remembered())
            self.to_remembered_row()
        else:
            wanted = SampleQuery.parse(query or "")
        one = await self.lab_screen.read(evaluations.get, evaluation_id)
        self.evaluation, self.scorer = one, scorer or one.scorer
        session.set(LISTED, one.id)
        self.remove_class("-none")
        self.query_one("#samples-head", Static).update(text_of.heading(one, self.scorer, None))
        self.filter_bar.set_filter(wanted)
        self._to_count = True  # after the first page, which takes less time than the counts
        self.apply(wanted)
        if self.display and self.screen.focused is None:
            self.call_after_refresh(self.table.focus)

    def reload(self) -> None:
        """Read the list again and keep the cursor."""
        if self.evaluation is not None:
            self.table.reload()
            self._count()

    def can_change(self) -> bool:
        return self.evaluation is not None and self.display and self.screen.is_current

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

    def apply(self, query: SampleQuery) -> None:
        self.query_now = query
        if self.listing is not None:
            self.table.set_source(self.lab_screen.pages(self.listing.page))

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
            self.app.push_screen(reader, lambda _: self.reload())

    # The filter.

    def action_longest(self) -> None:
        """Sort by length, or in the suite's order again."""
        order = "" if self.query_now.sort == "longest" else "longest"
        query = SampleQuery.parse(SampleQuery.LANGUAGE.with_sort(self.query_now.source, order))
        self.filter_bar.set_filter(query)
        self.apply(query)

    # Actions on a sample.

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("chains", "copy_id"):
            return self.is_mounted and self.table.total > 0
        if action in ("filter", "longest", "run", "pairs", "rate", "calibrate"):
            return self.evaluation is not None
        return super().check_action(action, parameters)

    @task(exclusive=True, group="samples-dialog", dialog=True)
    async def action_chains(self) -> None:
        """List the training chains most similar to this sample."""
        if (row := self.need_sample()) is not None:
            await self.attribution.chains(self.lab_screen, row.seq)

    @task(exclusive=True, group="samples-dialog", dialog=True)
    async def action_run(self) -> None:
        """Show the training run behind this model."""
        if self.evaluation is not None:
            await self.attribution.run(self.lab_screen, self.evaluation)

    @task(exclusive=True, group="samples-dialog", dialog=True)
    async def action_pairs(self) -> None:
        """Choose another evaluation of this suite and compare the two item by item."""
        from screens.evaluate.pairs import PairsScreen

        if self.evaluation is None:
            return
        other = await self._other("Which model do you want to compare it with?", "No other evaluation of these items.")
        if other is not None:
            await self.app.push_screen(PairsScreen(self.context, self.evaluation.id, other))

    @task(exclusive=True, group="samples-dialog", dialog=True)
    async def action_rate(self) -> None:
        """Mark these samples blind, optionally mixed with those of another evaluation."""
        from screens.evaluate.rating import RatingScreen

        if self.evaluation is None:
            return
        other = await self._other("Mix in another evaluation? (escape: none)", "No other evaluation of these items.")
        chosen = [self.evaluation.id, *([other] if other else [])]
        await self.app.push_screen(RatingScreen(self.context, chosen), lambda _: self.reload())

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
        if (row := self.need_sample()) is not None:
            self.app.copy_to_clipboard(visible(row.item))
            self.app.notify(f"Copied {visible(row.item)}", markup=False)
