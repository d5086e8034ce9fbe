"""Two models' samples of one item side by side, each in its own reader, with an export as a case study."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.widgets import Static

from o1lab.evaluate.items import sample_name
from o1lab.paths import assets_dir
from o1lab.text import one_line
from o1lab.widgets.keys import Binding, stepping
from o1lab.widgets.reader.chain_reader import ChainReader
from o1lab.widgets.typed_ahead import post_held
from screens.base.context import LabContext
from screens.base.dialogs import export_file
from screens.base.screen import task
from screens.evaluate import sample_text as text_of
from screens.evaluate.labelling import SAMPLE_KEYS, LabellingScreen, compare_message
from screens.evaluate.sample_text import WholeSample, read_sample
from screens.traces.side_by_side import ReaderColumn
from screens.traces.text import remarks
from store import evaluations
from store.sqlite import Database


class SampleColumn(ReaderColumn):
    """One sample: three lines about it, and its last turn."""

    def __init__(self, letter: str) -> None:
        super().__init__()
        self.letter = letter
        self.whole: WholeSample | None = None

    def show(self, whole: WholeSample, scorer: str) -> None:
        """Show a sample; if it is already shown, keep the position."""
        before, self.whole = self.whole, whole
        score = whole.score(scorer)
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append(f"{self.letter} ", "bold").append_text(text_of.verdict(whole, scorer))
        line.append(f"  {one_line(score.answer, 24) if score and score.answer else 'no answer'}")
        line.append(f"  {whole.sample.output_tokens:,} tok", "dim").append(f"  {one_line(whole.evaluation.model, 30)}")
        reason = whole.sample.reason if whole.sample.state != "complete" else score.reason if score else ""
        line.append(f"\n{one_line(reason, 200) or '-'}", "dim").append("\n")
        line.append_text(remarks(whole.records, whole.view) if whole.labelled else Text("not labelled", "dim"))
        document = whole.documents[-1] if whole.documents else None
        self.draw(line, document, again=before is not None and before.seq == whole.seq)


class SamplePairScreen(LabellingScreen):
    """Shows both answers to an item; n and p move in the list of items."""

    TITLE = "SIDE BY SIDE"
    CSS_PATH: ClassVar[list[Any]] = [assets_dir() / "styles" / "evaluate_samples.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab,shift+tab", "column", "Other side", tooltip="Go to the sample of the other side"),
        Binding("n", "step(1)", "Next", tooltip="The next item of the list"),
        Binding("p", "step(-1)", "Previous", tooltip="The previous item of the list"),
        *stepping("item"),
        Binding("C", "compare", "Ask both", tooltip="Ask both models the question again, in Compare"),
        Binding("E", "case", "Case study", tooltip="Write this pair with its labels as Markdown, HTML or LaTeX"),
        *SAMPLE_KEYS,
        Binding("less_than_sign", "sample(-1)", "Previous sample", show=False,
                tooltip="Show the previous sample of this item"),
        Binding("greater_than_sign", "sample(1)", "Next sample", show=False,
                tooltip="Show the next sample of this item"),
        Binding("i", "statement", "Question", show=False, tooltip="Show the whole question, or fold it"),
        Binding("escape", "back", "Back to the list", tooltip="Close the pair"),
    ]  # fmt: skip

    def __init__(
        self, context: LabContext, pair: tuple[str, str], scorer: str, items: Sequence[str], index: int,
        *, moved: Callable[[int], None] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(context)
        self.pair = pair
        self.scorer = scorer
        self.items = items
        self.index = index
        self.number = 0  # which of the item's samples
        self.side = 0
        self._moved = moved

    def compose_body(self) -> ComposeResult:
        yield Static(id="pair-question", markup=False)
        with Horizontal(id="pair-columns"):
            yield SampleColumn("A")
            yield SampleColumn("B")
        yield self.annotator

    def on_mount(self) -> None:
        self.columns[0].add_class("-first")
        self.go(self.index, 0)

    @property
    def columns(self) -> list[SampleColumn]:
        return list(self.query(SampleColumn))

    @task(exclusive=True, group="pair")
    async def go(self, index: int, number: int) -> None:
        """Read both samples of an item."""
        item = self.items[index]
        found = await self.read(_read_pair, self.pair, item, number)
        self.index, self.number = index, number
        if self._moved is not None:
            self._moved(index)
        for column, whole in zip(self.columns, found, strict=True):
            self._show(column, whole)
        self._mark()

    def _show(self, column: SampleColumn, whole: WholeSample) -> None:
        if whole.trace_id is not None:
            self.seqs[whole.trace_id] = whole.seq
        column.show(whole, self.scorer)

    def _mark(self) -> None:
        for at, column in enumerate(self.columns):
            column.set_class(at == self.side, "-here")
        self.set_focus(self.columns[self.side].reader.body)
        whole = self.current_sample()
        if whole is not None:
            asked = text_of.conversation(whole, max(len(whole.sample.turns) - 1, 0))
            gold = one_line(", ".join(whole.item.gold), 60) or "none"
            self.query_one("#pair-question", Static).update(Text.assemble((f"gold {gold}  ", "bold"), asked))
            several = f" · {whole.evaluation.samples} samples" if whole.evaluation.samples > 1 else ""
            name = sample_name(whole.sample.item, self.number, width=40)
            self.set_heading(f"{name}{several} · {self.index + 1:,} of {len(self.items):,}")

    def action_column(self) -> None:
        """Move to the other side."""
        self.side = 1 - self.side
        self._mark()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """A click moves to the other side as tab does."""
        for at, column in enumerate(self.columns):
            if column.has_focus_within and at != self.side:
                self.side = at
                self._mark()

    def action_step(self, by: int) -> None:
        """Show the next or previous item of the list."""
        if 0 <= self.index + by < len(self.items):
            self.go(self.index + by, 0)
        else:
            self.say("This is the last item of the list." if by > 0 else "This is the first item of the list.")

    def action_sample(self, by: int) -> None:
        """Show another sample of the same item."""
        whole = self.current_sample()
        if whole is not None and 0 <= self.number + by < whole.evaluation.samples:
            self.go(self.index, self.number + by)
        else:
            self.say("No other sample of this item in that direction.")

    def action_compare(self) -> None:
        """Ask both models the question again, in Compare."""
        if wholes := self.samples_shown():
            post_held(self, compare_message(wholes))

    @task(exclusive=True, group="case", dialog=True)
    async def action_case(self) -> None:
        """Write this pair with its labels in the format of the file ending."""
        from o1lab.evaluate.report import cases

        item = self.items[self.index]
        one = await self.read(cases.case, *self.pair, item, sample=self.number)
        safe = "".join(letter if letter.isalnum() else "-" for letter in item)[:60]
        forms = {suffix: suffix for suffix in (".html", ".md", ".tex")}
        names = [f"case-{safe}{suffix}" for suffix in forms]
        await export_file(self, "case study", names, forms, lambda form: cases.FORMATS[form](one))

    # Labels.

    def current_sample(self) -> WholeSample | None:
        return self.columns[self.side].whole

    def trace_in(self, reader: ChainReader) -> str | None:
        return next((c.whole.trace_id for c in self.columns if c.reader is reader and c.whole is not None), None)

    def samples_shown(self) -> list[WholeSample]:
        return [column.whole for column in self.columns if column.whole is not None]

    def show_again(self, whole: WholeSample) -> None:
        for column in self.columns:
            if column.whole is not None and column.whole.seq == whole.seq:
                self._show(column, whole)


def _read_pair(db: Database, pair: tuple[str, str], item: str, number: int) -> list[WholeSample]:
    return [read_sample(db, evaluations.find_sample(db, evaluation, item, number)) for evaluation in pair]
