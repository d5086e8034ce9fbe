"""One sample in the chain reader, with its question, gold answer, scores, turns and labels; n and p show others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, cast

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from o1lab.paths import assets_dir
from o1lab.widgets.keys import Binding, stepping
from o1lab.widgets.reader.chain_reader import ChainReader
from o1lab.widgets.typed_ahead import post_held
from screens.base.context import LabContext
from screens.base.screen import task
from screens.evaluate import sample_text as text_of
from screens.evaluate.labelling import SAMPLE_KEYS, LabellingScreen, compare_message
from screens.evaluate.sample_text import Listing, WholeSample, read_sample
from screens.traces.panes import SHORT
from screens.traces.text import remarks
from store.sample_list import SampleRow
from store.sqlite import Database


class SampleScreen(LabellingScreen):
    """Shows the sample at a position of a list; n and p move in the list."""

    TITLE = "SAMPLE"
    CSS_PATH: ClassVar[list[Any]] = [assets_dir() / "styles" / "evaluate_samples.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "step(1)", "Next", tooltip="The next sample of the list"),
        Binding("p", "step(-1)", "Previous", tooltip="The previous sample of the list"),
        *stepping("sample"),
        *SAMPLE_KEYS,
        Binding("C", "compare", "Compare", show=False, tooltip="Ask this model the question again, in Compare"),
        Binding("less_than_sign", "turn(-1)", "Previous turn", show=False, tooltip="Go to the previous turn"),
        Binding("greater_than_sign", "turn(1)", "Next turn", show=False, tooltip="Go to the next turn"),
        Binding("i", "statement", "Question", show=False, tooltip="Show the whole question, or fold it"),
        Binding("escape", "back", "Back to the list", tooltip="Close the sample"),
    ]

    def __init__(
        self, context: LabContext, listing: Listing, index: int, *, moved: Callable[[int], None] | None = None
    ) -> None:
        super().__init__(context)
        self.listing = listing
        self.index = index
        self.total = 0
        self.turn = 0
        self.shown: WholeSample | None = None
        self._moved = moved

    def compose_body(self) -> ComposeResult:
        yield Static(id="sample-title", markup=False)
        yield Static(id="sample-origin", markup=False)
        yield Static(id="sample-words", markup=False)
        with VerticalScroll(id="statement", can_focus=False):
            yield Static(id="statement-text", markup=False)
        yield ChainReader(labelling=True, id="sample-reader")
        yield Static(id="sample-remarks", markup=False)
        yield self.annotator

    def on_mount(self) -> None:
        self.say("n p other samples · c nearest chains · O run · v label a span · esc list")
        self.reader.focus()
        self.go(self.index)

    @property
    def reader(self) -> ChainReader:
        return self.query_one(ChainReader)

    # Navigation.

    @task(exclusive=True, group="sample")
    async def go(self, index: int) -> None:
        """Show the sample at a position of the list."""
        found, total = await self.read(_read_at, self.listing, index)
        if found is None:
            self.say(
                "This is the last sample of the list."
                if index > self.index
                else "This is the first sample of the list."
            )
            return
        self.index, self.total = index, total
        if self._moved is not None:
            self._moved(index)
        self.show_sample(found)

    def action_step(self, by: int) -> None:
        """Show the next or previous sample of the list."""
        if self.index + by < 0:
            self.say("This is the first sample of the list.")
        else:
            self.go(self.index + by)

    def show_sample(self, whole: WholeSample) -> None:
        """Show a sample; if it is already shown, only update its annotations."""
        before, self.shown = self.shown, whole
        again = before is not None and before.seq == whole.seq
        if whole.trace_id is not None:
            self.seqs[whole.trace_id] = whole.seq
        self.query_one("#sample-origin", Static).update(text_of.origin(whole))
        self.query_one("#sample-words", Static).update(text_of.words(whole, self.listing.scorer))
        self._show_about()
        if again and self.on_last_turn() and whole.documents:
            self.reader.remark(whole.documents[-1])
        elif not again:
            self.show_turn(max(len(whole.sample.turns) - 1, 0))

    def on_resize(self, event: events.Resize) -> None:
        """Leave more lines for the text of the sample on a short terminal."""
        self.set_class(event.size.height < SHORT, "-compact")
        self._show_about()

    def _show_about(self) -> None:
        """Show title and annotations; on a short terminal the title has the reason, and the status the annotations."""
        if (whole := self.shown) is None:
            return
        short = self.has_class("-compact")
        self.query_one("#sample-title", Static).update(text_of.title(whole, self.listing.scorer, reason=short))
        text = remarks(whole.records, whole.view) if whole.labelled else Text()
        self.query_one("#sample-remarks", Static).update(text)
        self.reader.set_aside(text if short else None)

    def show_turn(self, number: int) -> None:
        """Show one turn, with the conversation before it above."""
        if self.shown is None:
            return
        self.turn = number
        turns = len(self.shown.sample.turns)
        several = f"< turn {number + 1} of {turns} > · " if turns > 1 else ""
        self.set_heading(f"{several}sample {self.index + 1:,} of {self.total:,}")
        self.query_one("#statement-text", Static).update(text_of.conversation(self.shown, number))
        statement = self.query_one("#statement", VerticalScroll)
        if number:
            statement.call_after_refresh(statement.scroll_end, animate=False)
        else:
            statement.scroll_home(animate=False)
        self.reader.load(self.shown.documents[number] if self.shown.documents else None)

    def action_turn(self, by: int) -> None:
        """Show the next or previous turn."""
        turns = len(self.shown.sample.turns) if self.shown is not None else 0
        if 0 <= self.turn + by < turns:
            self.show_turn(self.turn + by)
        else:
            self.say("This sample has one turn." if turns < 2 else "This is the last turn in that direction.")

    def on_last_turn(self) -> bool:
        return self.shown is None or self.turn >= len(self.shown.sample.turns) - 1

    def action_compare(self) -> None:
        """Ask this model the question again, in Compare."""
        if self.shown is not None:
            post_held(self, compare_message([self.shown]))

    # Labels.

    def current_sample(self) -> WholeSample | None:
        return self.shown

    def show_again(self, whole: WholeSample) -> None:
        if self.shown is not None and self.shown.seq == whole.seq:
            self.show_sample(whole)


def _read_at(db: Database, listing: Listing, index: int) -> tuple[WholeSample | None, int]:
    page = listing.page(db, index, 1)
    if not page.rows:
        return None, page.total
    return read_sample(db, cast(SampleRow, page.rows[0].data).seq), page.total
