"""The dialog that makes a dataset from a teacher run: selects traces, shows what is left out, asks for a name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, cast

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.css.query import NoMatches
from textual.widgets import Input, Select, Static

from o1lab.distill import selection
from o1lab.distill.methods import METHODS
from o1lab.distill.selection import Choice, Keep, PerProblem
from o1lab.text import one_line
from o1lab.widgets.dialogs import Dialog
from o1lab.widgets.form import Field, FieldRow
from o1lab.widgets.line_input import caught_up
from o1lab.widgets.tall_text import TallText
from screens.base.context import LabContext
from screens.base.screen import words_of
from screens.traces.annotate import Writer
from store import datasets
from store.connection import Store
from store.filters import TraceQuery
from store.records import NAME_RULE, Dataset, is_name

_PER_PROBLEM = {
    "all": "all traces of a problem",
    "first": "one: the first",
    "shortest": "one: the shortest",
    "longest": "one: the longest",
    "most-reflective": "one: the most reflective",
    "person": "one: accepted by a person",
}
_KEEP = {"verified": "only traces verified as correct", "all": "any verdict, recorded with each row"}
_PHASE = {"2": "2: train on the thought and the solution", "1": "1: train on the solution only (the format)"}


@dataclass(frozen=True)
class Selection:
    """Which traces of a run become rows."""

    keep: Keep
    per_problem: PerProblem
    phase: int


@dataclass(frozen=True)
class Created:
    """A new dataset, with the number of dropped traces by reason."""

    dataset: Dataset
    dropped: Mapping[str, int]


class TeacherDatasetDialog(Dialog[Created]):
    """Choose the traces, see what is left out, name the dataset."""

    DEFAULT_CSS = """
    TeacherDatasetDialog {
        #dataset-said { height: auto; max-height: 12; margin-top: 1; }
        VerticalScroll { height: auto; max-height: 12; }
    }
    """
    FOOTER = True

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "ctrl+s", "make", "Create", priority=True, tooltip="Create the dataset; it cannot be changed afterwards"
        ),
        Binding("tab", "app.focus_next", "Next field"),
        Binding("shift+tab", "app.focus_previous", "Previous field", show=False),
    ]

    def __init__(self, context: LabContext, run_id: str, method: str) -> None:
        super().__init__(f"Dataset from run {run_id}")
        self.context = context
        self.run_id = run_id
        self.method = method
        self.writer = Writer(context.store)
        self.choice: Choice | None = None

    def compose_dialog(self) -> ComposeResult:
        kind = METHODS.find(self.method)
        phase = str(kind.phase) if kind is not None else "2"
        yield FieldRow(_choices("keep", _KEEP, "verdicts to include"), "verified")
        yield FieldRow(_choices("per_problem", _PER_PROBLEM, "traces per problem"), "all")
        yield FieldRow(_choices("phase", _PHASE, "what the student is trained on"), phase)
        yield FieldRow(Field("name", "line", "letters, digits, dots, dashes", ""), f"teacher-{self.run_id[:8]}")
        with VerticalScroll(can_focus=False):
            yield TallText("Counting …", id="dataset-said", markup=False)

    def on_mount(self) -> None:
        self.query_one("#row-keep", FieldRow).editor.focus()
        self.preview()

    async def on_unmount(self) -> None:
        await self.writer.close()

    @property
    def wanted(self) -> Selection:
        keep, per_problem, phase = (self._text(name) for name in ("keep", "per_problem", "phase"))
        return Selection(cast(Keep, keep), cast(PerProblem, per_problem), int(phase))

    def _text(self, name: str) -> str:
        return self.query_one(f"#row-{name}", FieldRow).text

    @on(Select.Changed)
    def _changed(self) -> None:
        self.preview()

    @work(exclusive=True, group="preview")
    async def preview(self) -> None:
        """Show how many traces the dataset would have, and what would be left out."""
        wanted, self.choice = self.wanted, None
        try:
            choice = await self.writer.do(choose, self.context.store, self.run_id, wanted)
        except Exception as error:
            self._say(Text(words_of(error), "bold red"))
            return
        if wanted == self.wanted:
            self.choice = choice
            self._say(choice_text(choice))

    def _say(self, text: Text) -> None:
        try:
            self.query_one("#dataset-said", Static).update(text)
        except NoMatches:
            return  # the dialog was closed

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self.action_make()

    @work(exclusive=True, group="make")
    async def action_make(self) -> None:
        """Make the dataset if its name is valid and it has rows."""
        row = self.query_one("#row-name", FieldRow)
        await caught_up(row.editor)
        name = row.text.strip()
        row.show_fault("" if is_name(name) else NAME_RULE)
        if not is_name(name):
            row.editor.focus()
            return
        wanted = self.wanted
        try:
            made = await self.writer.do(make, self.context.store, self.run_id, name, wanted)
        except Exception as error:
            row.show_fault(words_of(error))
            return
        self.dismiss(made)


def _choices(name: str, words: Mapping[str, str], help_text: str) -> Field:
    return Field(name, "choice", help_text, "", tuple((shown, value) for value, shown in words.items()))


def choose(store: Store, run_id: str, wanted: Selection) -> Choice:
    """Select the traces of a run that become rows. Call it in a thread."""
    return selection.choose(
        store, TraceQuery.parse(f"run:{run_id}"), phase=wanted.phase, keep=wanted.keep, per_problem=wanted.per_problem
    )


def make(store: Store, run_id: str, name: str, wanted: Selection) -> Created:
    """Choose again and store the dataset with the dropped rows and their reasons. Call it in a thread."""
    choice = choose(store, run_id, wanted)
    made = datasets.snapshot(
        store.db, name, choice.ids, phase=wanted.phase, query=f"run:{run_id}", selection=choice.selection,
        drops=choice.drops,
    )  # fmt: skip
    return Created(made, datasets.drop_counts(store.db, made.name))


def choice_text(choice: Choice) -> Text:
    """Format the number of rows, and what is left out by reason."""
    text = Text()
    text.append(f"{len(choice.ids):,} rows", "bold green" if choice.ids else "bold yellow")
    text.append(f" of {len(choice.ids) + len(choice.drops):,} traces of this run\n")
    return text.append_text(_dropped(choice.counts))


def made_text(made: Created) -> Text:
    """Format a new dataset."""
    one = made.dataset
    tokens = "unknown" if one.tokens is None else f"{one.tokens:,}"
    text = Text.assemble(
        ("hash    ", "dim"), (one.hash, "bold"), "\n",
        ("rows    ", "dim"), f"{one.rows:,}\n",
        ("tokens  ", "dim"), f"{tokens}\n",
        ("phase   ", "dim"), f"{_PHASE[str(one.phase)]}\n",
        ("filter  ", "dim"), f"{one_line(one.query, 200)}\n\n",
    )  # fmt: skip
    return text.append_text(_dropped(made.dropped)).append("\nThe dataset never changes.")


def _dropped(counts: Mapping[str, int]) -> Text:
    if not counts:
        return Text("nothing is left out\n", "dim")
    text = Text(f"left out {sum(counts.values()):,}:\n")
    for reason, number in counts.items():
        text.append(f"{number:>7,}  {one_line(reason, 100)}\n")
    return text
