"""The dialog that makes a dataset from a filter: selects traces, shows what is left out, mixes in others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, cast

from rich.text import Text
from textual import binding, on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.css.query import NoMatches
from textual.widgets import Input, Select, Static

from o1lab.distill.datasets import building, matched
from o1lab.distill.datasets.building import Created, DatasetPlan, Preview, Take
from o1lab.distill.datasets.selection import PerProblem
from o1lab.errors import UsageError
from o1lab.format import counted
from o1lab.text import one_line, visible
from o1lab.widgets.dialogs import PreviewDialog, ScrollingDialog
from o1lab.widgets.form import Field, FieldRow
from o1lab.widgets.keys import Binding
from o1lab.widgets.line_input import caught_up
from o1lab.widgets.text_pane import TallText
from o1lab.widgets.typed_ahead import post_held
from screens.base.context import LabContext
from screens.base.messages import OpenTraining
from screens.base.screen import LabScreen, words_of
from screens.base.writer import Writer
from store import datasets
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
_TAKE = {
    "accepted": "accepted by hand, whatever the verdict",
    "verified": "verified as correct, by the rules",
    "all": "any verdict, by the rules",
    "pairs": "pairs of a right and a wrong one, for dpo and kto",
}
_BALANCE = {"": "all rows of each", "yes": "as many from each"}
_PHASE = {"2": "2: train on the thought and the solution", "1": "1: train on the solution only (the format)"}


class DatasetForm(ScrollingDialog[Created]):
    """Choose the traces of a filter, see what is left out, name the dataset."""

    DEFAULT_CSS = """
    DatasetForm {
        .chosen { height: auto; max-height: 12; margin-top: 1; }
        #dataset-message { height: auto; }
    }
    """
    FOOTER = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "make_here", "Create", priority=True, tooltip="In a line of text: create the dataset"),
        Binding(
            "ctrl+r,ctrl+s",
            "make",
            "Create",
            priority=True,
            tooltip="Create the dataset; it never changes",
        ),
        Binding("tab", "app.focus_next", "Next field", tooltip="Go to the next field"),
        Binding("shift+tab", "app.focus_previous", "Previous field", show=False, tooltip="Go to the previous field"),
    ]

    def __init__(
        self,
        context: LabContext,
        query: TraceQuery,
        *,
        title: str,
        name: str,
        take: Take = "accepted",
        phase: int = 2,
        others: Sequence[str] = (),
        about: Text | None = None,
    ) -> None:
        """Create the dialog.

        Args:
            context: The lab.
            query: The filter that the traces come from.
            title: The title.
            name: The name to begin with.
            take: Which traces are taken at first.
            phase: The training phase at first.
            others: Names of datasets, which completion offers to mix in.
            about: What is known of the traces of the filter, shown below the fields.
        """
        super().__init__(title)
        self.context = context
        self.filter = query
        self.start = {"name": name, "keep": take, "phase": str(phase)}
        self.others = tuple(others)
        self.about = about or Text()
        self.writer = Writer(context.store)

    def compose_dialog(self) -> ComposeResult:
        start = self.start
        yield FieldRow(Field("name", "line", "letters, digits, dots, dashes; enter creates", ""), start["name"])
        yield FieldRow(_choices("keep", _TAKE, "which traces"), start["keep"])
        yield FieldRow(_choices("per_problem", _PER_PROBLEM, "traces per problem"), "all")
        length = Field("longest", "line", "characters of a trace at most, such as 20k", "", placeholder="any length")
        yield FieldRow(length, "")
        yield FieldRow(
            Field(
                "mix", "line", "names of datasets, separated by commas", "", suggestions=self.others,
                placeholder="with no other dataset",
            ),
            "",
        )  # fmt: skip
        yield FieldRow(_choices("balance", _BALANCE, "if it is mixed"), "")
        yield FieldRow(_choices("phase", _PHASE, "what the student is trained on"), start["phase"])
        with VerticalScroll(classes="chosen", can_focus=False):
            yield TallText("Counting …", id="dataset-message", markup=False)

    def on_mount(self) -> None:
        editor = self._row("name").editor
        if isinstance(editor, Input):
            editor.select_on_focus = True  # what is typed replaces the suggested name
        editor.focus()
        self.preview()

    async def on_unmount(self) -> None:
        await self.writer.close()

    def _row(self, name: str) -> FieldRow:
        return self.query_one(f"#row-{name}", FieldRow)

    def plan(self) -> DatasetPlan:
        """Return what the fields say.

        Raises:
            UsageError: the length is not a number.
        """
        text = self._row("longest").text.strip().lower()
        number, thousand = (text[:-1], 1000) if text.endswith("k") else (text, 1)
        if text and not number.isdecimal():
            raise UsageError(f"'{one_line(text, 20)}' is not a number of characters.", "For example 20000 or 20k.")
        return DatasetPlan(
            self.filter,
            cast(Take, self._row("keep").text),
            cast(PerProblem, self._row("per_problem").text),
            int(number) * thousand if text else None,
            tuple(name for part in self._row("mix").text.split(",") if (name := part.strip())),
            bool(self._row("balance").text),
            int(self._row("phase").text),
        )

    @on(Select.Changed)
    @on(Input.Changed)
    def _changed(self) -> None:
        self.preview()

    @work(exclusive=True, group="preview")
    async def preview(self) -> None:
        """Show how many rows the dataset would have, and what would be left out."""
        try:
            plan = self.plan()
            found = await self.writer.do(building.preview, self.context.store, plan)
        except Exception as error:
            self._say(Text(words_of(error), "bold red"))
            return
        self._say(preview_text(found, plan).append_text(self.about))

    def _say(self, text: Text) -> None:
        try:
            self.query_one("#dataset-message", Static).update(text)
        except NoMatches:
            return  # the dialog was closed

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "make_here" or isinstance(self.focused, Input)  # in a choice, enter opens it

    def in_footer(self, key: binding.Binding) -> bool:
        """Whether the footer shows a key: of the keys that create, the shortest that works."""
        return key.action != "make" or not isinstance(self.focused, Input)

    def action_make_here(self) -> None:
        """Make the dataset from a line of text."""
        self.action_make()

    @work(exclusive=True, group="make")
    async def action_make(self) -> None:
        """Make the dataset if its name is valid and it has rows."""
        row = self._row("name")
        for editor in {row.editor, self.focused or row.editor}:
            await caught_up(editor)
        name = row.text.strip()
        row.show_fault("" if is_name(name) else NAME_RULE)
        if not is_name(name):
            row.editor.focus()
            return
        try:
            made = await self.writer.do(building.create, self.context.store, name, self.plan())
        except Exception as error:
            row.show_fault(words_of(error))
            return
        self.dismiss(made)


def _choices(name: str, words: Mapping[str, str], help_text: str) -> Field:
    return Field(name, "choice", help_text, "", tuple((shown, value) for value, shown in words.items()))


async def make_dataset(
    screen: LabScreen,
    query: TraceQuery,
    *,
    title: str,
    name: str,
    take: Take = "accepted",
    phase: int = 2,
    about: Text | None = None,
    created: Callable[[Created], object] = lambda _: None,
) -> None:
    """Make a dataset with the form, show it, and offer to train on it.

    Args:
        screen: The screen that opens the form.
        query: The filter; this and the next arguments are those of the form.
        title: Its title.
        name: The name to begin with.
        take: Which traces are taken at first.
        phase: The training phase at first.
        about: What is known of the traces of the filter.
        created: Called with the new dataset before it is shown.
    """
    others = [one.name for one in await screen.read(datasets.all_datasets)]
    made = await screen.app.push_screen_wait(
        DatasetForm(screen.context, query, title=title, name=name, take=take, phase=phase, others=others, about=about)
    )
    if made is not None:
        created(made)
        await offer_training(screen, made.dataset, created_text(made))


async def offer_training(screen: LabScreen, dataset: Dataset, about: Text) -> None:
    """Show a new dataset, and open the form of a training run on it if the person wants that."""
    title = f"Dataset {one_line(dataset.name, 40)}"
    if await screen.app.push_screen_wait(PreviewDialog(title, about, action="Train a student on it")):
        post_held(screen, OpenTraining(dataset.name))


def preview_text(found: Preview, plan: DatasetPlan) -> Text:
    """Format the number of rows, and what is left out by reason."""
    choice, own = found.choice, len(found.choice.ids)
    text = Text()
    if plan.take == "pairs":
        text.append(counted(own, "pair"), "bold green" if own else "bold yellow").append(" of chains\n")
        return text.append_text(_dropped(choice.counts))
    if plan.mix:
        text.append(_rows(found.rows), "bold green" if found.rows else "bold yellow")
        text.append(f", mixed with {one_line(', '.join(plan.mix), 60)}; of them, ")
    text.append(_rows(own), "bold green" if own else "bold yellow")
    total = own + len(choice.drops)
    text.append(f" of {counted(total, 'trace')}\n")
    if plan.take == "accepted" and not own and not choice.drops:
        text.append("No trace of this filter is accepted yet. Press a on a trace to accept it, or keep others.\n")
        return text
    return text.append_text(_dropped(choice.counts))


def created_text(made: Created) -> Text:
    """Format a new dataset."""
    one = made.dataset
    tokens = "unknown" if one.tokens is None else f"{one.tokens:,}"
    text = Text.assemble(
        ("hash    ", "dim"), (one.hash, "bold"), "\n",
        ("rows    ", "dim"), f"{counted(one.rows, 'pair')}\n" if one.kind == "pairs" else f"{one.rows:,}\n",
        ("tokens  ", "dim"), f"{tokens}\n",
        ("phase   ", "dim"), f"{_PHASE[str(one.phase)]}\n",
        ("filter  ", "dim"), f"{one_line(one.query, 200) or 'everything'}\n\n",
    )  # fmt: skip
    if made.own is not None:
        text.append(f"The traces of the filter are the dataset {made.own.name} ({_rows(made.own.rows)}).\n")
    text.append_text(_dropped(made.dropped))
    for sentence in matched.sentences(made.own or one):
        text.append(f"\n{visible(sentence)}\n")
    return text.append("\nThe dataset never changes; later decisions are not included.")


def _rows(number: int) -> str:
    return counted(number, "row")


def _dropped(counts: Mapping[str, int]) -> Text:
    if not counts:
        return Text("nothing is left out\n", "dim")
    text = Text(f"left out {sum(counts.values()):,}:\n")
    for reason, number in counts.items():
        text.append(f"{number:>7,}  {one_line(reason, 100)}\n")
    return text
