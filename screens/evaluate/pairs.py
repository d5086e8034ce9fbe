"""Two evaluations item by item: what only one of them got right, the significance of the difference, both answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Static

from o1lab.format import percent
from o1lab.paths import assets_dir
from o1lab.text import one_line
from o1lab.widgets.columns import Column, Page, Row
from o1lab.widgets.keys import Binding
from o1lab.widgets.paged_table import PagedTable
from o1lab.widgets.typed_ahead import post_held
from screens.base.context import LabContext
from screens.base.messages import OpenCompare
from screens.base.screen import LabScreen, task
from screens.evaluate import sample_text as text_of
from store import evaluations
from store.evaluations import ItemRow
from store.sqlite import Database

if TYPE_CHECKING:
    from o1lab.evaluate.stats.paired import Comparison

KINDS = ("only_a", "only_b", "both", "neither")
COLUMNS = (
    Column("item", "item", 12, flex=1),
    Column("question", "question", 20, flex=4),
    Column("gold", "gold", 8, flex=1, priority=1),
    Column("tokens_a", "A tok", 7, priority=2, justify="right"),
    Column("tokens_b", "B tok", 7, priority=2, justify="right"),
)


@dataclass(frozen=True)
class SamplePair:
    """A comparison of two evaluations, with each item's tokens and the outcomes of its samples on both sides."""

    comparison: Comparison
    outcomes: tuple[dict[str, list[str]], dict[str, list[str]]]
    tokens: tuple[dict[str, int], dict[str, int]]

    @property
    def samples(self) -> int:
        """The largest number of samples of an item."""
        return max(self.comparison.a.samples, self.comparison.b.samples)

    def verdict(self, side: int, item: str) -> Text:
        """Format whether A (0) or B (1) gets an item right; of several samples with the number of correct ones."""
        from o1lab.evaluate.stats.paired import is_right

        outcomes = self.outcomes[side].get(item, ["unscored"])
        if len(outcomes) == 1:
            return text_of.mark(outcomes[0])
        correct = outcomes.count("correct")
        right = is_right(correct, len(outcomes))
        return text_of.mark("correct" if right else "incorrect").append(f" {correct}/{len(outcomes)}")


def read_pair(db: Database, a: str, b: str) -> SamplePair:
    """Compare two evaluations on the items that both have.

    Raises:
        NotFoundError: One of them is gone.
        UsageError: They cannot be compared; the message says why.
    """
    from o1lab.evaluate.stats.paired import compare_evaluations

    one, other = evaluations.get(db, a), evaluations.get(db, b)
    comparison = compare_evaluations(db, one, other, common=True)
    outcomes: tuple[dict[str, list[str]], dict[str, list[str]]] = ({}, {})
    tokens: tuple[dict[str, int], dict[str, int]] = ({}, {})
    for side, evaluation in enumerate((one, other)):
        for found in evaluations.results(db, evaluation.id, comparison.scorer):
            outcomes[side].setdefault(found.item, []).append(found.outcome)
            tokens[side][found.item] = tokens[side].get(found.item, 0) + found.output_tokens
    return SamplePair(comparison, outcomes, tokens)


class PairsScreen(LabScreen):
    """Four lists: only A, only B, both, neither."""

    TITLE = "PAIRS"
    CSS_PATH: ClassVar[list[Any]] = [assets_dir() / "styles" / "evaluate_samples.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(str(number), f"kind('{kind}')", kind.replace("_", " "), show=False, tooltip="Show this list")
            for number, kind in enumerate(KINDS, 1)
        ),
        Binding("tab", "next_kind(1)", "Next list", tooltip="Only A, only B, both, neither"),
        Binding("shift+tab", "next_kind(-1)", "Previous list", show=False, tooltip="Neither, both, only B, only A"),
        Binding("C", "compare", "Ask both", tooltip="Ask both models the question again, in Compare"),
        Binding("escape", "back", "Back", tooltip="Close the pairs"),
    ]

    def __init__(self, context: LabContext, a: str, b: str) -> None:
        super().__init__(context)
        self.a, self.b = a, b
        self.kind = "only_a"
        self.both: SamplePair | None = None

    def compose_body(self) -> ComposeResult:
        yield Static("Comparing …", id="pairs-line", markup=False)
        yield Static(id="pairs-strip", markup=False)
        yield PagedTable(columns(1), id="pairs-list", empty="No items in this list. Press tab for the next list.")
        yield Static(id="pairs-peek", markup=False)

    def on_mount(self) -> None:
        self.table.focus()
        self.load()

    @property
    def table(self) -> PagedTable:
        return self.query_one(PagedTable)

    @work(exclusive=True, group="pairs")
    async def load(self) -> None:
        """Compare the two evaluations."""
        try:
            self.both = await self.read(read_pair, self.a, self.b)
        except Exception as error:
            self.query_one("#pairs-line", Static).update("These two evaluations cannot be compared.")
            self.report(error)
            return
        self.query_one("#pairs-line", Static).update(headline(self.both.comparison))
        self.table.set_columns(columns(self.both.samples))
        paired = self.both.comparison.paired
        self.action_kind(next((kind for kind in KINDS[:2] if getattr(paired, kind)), self.kind))

    def items(self) -> tuple[str, ...]:
        """The items of the list that is shown."""
        return () if self.both is None else cast(tuple[str, ...], getattr(self.both.comparison.paired, self.kind))

    def action_kind(self, kind: str) -> None:
        """Show one of the lists."""
        self.kind = kind
        both = self.both
        if both is None:
            return
        items = self.items()

        def page(db: Database, offset: int, limit: int) -> Page:
            rows = [evaluations.item(db, both.comparison.a.id, name) for name in items[offset : offset + limit]]
            return Page([_row(both, row) for row in rows], len(items))

        self.query_one("#pairs-strip", Static).update(strip(both, kind))
        self.query_one("#pairs-peek", Static).update("")
        self.table.set_source(self.pages(page))

    def action_next_kind(self, by: int) -> None:
        """Show the next list."""
        self.action_kind(KINDS[(KINDS.index(self.kind) + by) % len(KINDS)])

    @on(PagedTable.RowHighlighted)
    def _row_highlighted(self, event: PagedTable.RowHighlighted) -> None:
        row = cast(ItemRow, event.row.data)
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append(one_line(row.item, 60), "bold").append("  gold ", "dim")
        text.append(one_line(", ".join(row.gold), 100) or "none")
        if self.both is not None:
            for name, side in (("A", 0), ("B", 1)):
                verdict = self.both.verdict(side, row.item)
                words = words_for(self.both.outcomes[side].get(row.item, ["unscored"]))
                text.append(f"  {name} ", "dim").append(f"{verdict.plain} {words}", verdict.style)
        text.append("\n").append(one_line(row.question, 400))
        self.query_one("#pairs-peek", Static).update(text)

    @on(PagedTable.RowSelected)
    def _row_selected(self, event: PagedTable.RowSelected) -> None:
        from screens.evaluate.side_by_side import SamplePairScreen

        items, item = self.items(), str(event.row.key)
        if self.both is not None and item in items:  # else the row is one of a list that was shown before
            one, index = self.both.comparison, items.index(item)
            pair = (one.a.id, one.b.id)
            screen = SamplePairScreen(self.context, pair, one.scorer, items, index, moved=self.table.move_to)
            self.app.push_screen(screen)

    @task(exclusive=True, group="compare")
    async def action_compare(self) -> None:
        """Ask both models the original question again in Compare."""
        row = self.table.cursor_row
        if row is None or self.both is None:
            self.app.notify(self.table.no_row)
            return
        one = self.both.comparison
        question = await self.read(first_question, one.a.id, str(row.key))
        post_held(self, OpenCompare(tuple(dict.fromkeys((one.a.model, one.b.model))), question))


def first_question(db: Database, evaluation_id: str, item: str) -> str:
    """Read the first message of an item."""
    _, one = evaluations.sample(db, evaluations.find_sample(db, evaluation_id, item))
    return one.turns[0].user if one.turns else evaluations.item(db, evaluation_id, item).question


def headline(one: Comparison) -> Text:
    """Format both accuracies, and their difference with its interval and p-value."""
    paired = one.paired
    text = Text(no_wrap=True, overflow="ellipsis")
    for name, evaluation, rate in (("A", one.a, paired.a), ("B", one.b, paired.b)):
        share = percent(rate.correct / rate.n if rate.n else None)
        text.append(f"{name} ", "bold").append(f"{one_line(evaluation.model, 28)} {share}   ")
    text.append(f"{one.a.suite_label} by {one_line(one.scorer, 30)}", "dim").append("\n")
    text.append(f"B - A {100 * paired.difference:+.1f} points", "bold")
    if paired.interval is not None:
        text.append(f" (95% {100 * paired.interval.low:+.1f} to {100 * paired.interval.high:+.1f})")
    text.append(f" · McNemar p {p_text(paired.mcnemar_p)}")
    if one.left_out:
        text.append(f" · {one.left_out:,} items left out: samples missing on one side", "yellow")
    if one.other:
        text.append(f" · different settings: {one_line(', '.join(one.other), 60)}", "yellow")
    return text


def p_text(p: float) -> str:
    """Format a p-value with its relation; a tiny one is ``< 0.001``, never zero."""
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def words_for(outcomes: Sequence[str]) -> str:
    """Name the outcome of an item's only sample; of several, say what is counted."""
    return outcomes[0] if len(outcomes) == 1 else "samples correct"


def columns(samples: int) -> tuple[Column, ...]:
    """Return the columns of the list for this number of samples of an item."""
    width = 2 if samples == 1 else len(f"✓ {samples}/{samples}")
    return (Column("a", "A", width), Column("b", "B", width), *COLUMNS)


def strip(both: SamplePair, kind: str) -> Text:
    """Format the titles of the four lists, the one that is shown in brackets."""
    one = both.comparison
    text = Text(no_wrap=True)
    for number, name in enumerate(KINDS, 1):
        title = name.replace("only_a", "only A").replace("only_b", "only B")
        words = f"{title} {len(getattr(one.paired, name)):,}"
        text.append(f"{number} ", "dim")
        text.append(f"[{words}]" if name == kind else f" {words} ", "bold reverse" if name == kind else "dim").append(
            "  "
        )
    return text.append("right by most samples", "dim") if both.samples > 1 else text


def _row(both: SamplePair, row: ItemRow) -> Row:
    cells: dict[str, str | Text] = {
        "item": one_line(row.item, 60),
        "question": one_line(row.question, 300),
        "gold": one_line(", ".join(row.gold), 60) or "-",
    }
    for side, name in enumerate("ab"):
        cells[name] = both.verdict(side, row.item)
        cells[f"tokens_{name}"] = f"{both.tokens[side].get(row.item, 0):,}"
    return Row(row.item, cells, row)
