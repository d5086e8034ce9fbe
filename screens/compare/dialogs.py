"""Dialogs of the Compare screen, all of them for the keyboard: choose from a list, choose models, settings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from rich.text import Text
from textual import events, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Checkbox, Input, Label, OptionList, Static
from textual.widgets.option_list import Option
from textual.worker import Worker, WorkerCancelled

from o1lab.chat.conversation import Settings
from o1lab.inference.events import Sampling
from o1lab.text import one_line, visible
from o1lab.widgets.line_input import LineInput
from screens.compare.prompt import PromptInput

Picked = TypeVar("Picked")


@dataclass(frozen=True)
class Choice:
    """A line one can choose: what it stands for, what it says, and what is said dimly beside it."""

    id: str
    title: str
    detail: str = ""


Search = Callable[[str], Awaitable[Sequence[Choice]]]


def among(choices: Sequence[Choice]) -> Search:
    """A search in a list that is all there: every word must be in the title or the detail."""

    async def search(text: str) -> Sequence[Choice]:
        words = text.lower().split()
        return [c for c in choices if all(word in f"{c.title} {c.detail}".lower() for word in words)]

    return search


class SearchLine(LineInput):
    """The search line of a list; with ``marks`` a space is no letter but marks the line in sight."""

    @dataclass
    class Marked(Message):
        """Space was pressed."""

    def __init__(self, *, marks: bool = False) -> None:
        super().__init__(placeholder="type to search", compact=True)
        self.marks = marks

    async def _on_key(self, event: events.Key) -> None:
        if self.marks and event.key == "space":  # here, not as a binding: in the order it was typed
            event.stop()
            event.prevent_default()
            self.post_message(self.Marked())


class ListDialog(ModalScreen[Picked | None]):
    """A list under a search line: letters search, arrows move, enter takes, escape gives up."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,ctrl+n", "move(1)", "Down", show=False, priority=True),
        Binding("up", "move(-1)", "Up", show=False, priority=True),
        Binding("pagedown", "move(10)", "Page down", show=False, priority=True),
        Binding("pageup", "move(-10)", "Page up", show=False, priority=True),
        Binding("escape", "give_up", "Back"),
    ]
    KEYS = "type to search · enter take · esc back"
    MARKS = False

    def __init__(self, title: str, search: Search, *, empty: str = "Nothing is found.", hint: str = "") -> None:
        super().__init__()
        self.heading = title
        self.find = search
        self.empty = empty
        self.hint = hint
        self.choices: list[Choice] = []
        self.looking: Worker[None]

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield SearchLine(marks=self.MARKS)
            options = OptionList(markup=False, compact=True)
            options.can_focus = False
            yield options
            yield Static(self.hint, classes="hint", markup=False)

    def on_mount(self) -> None:
        box = self.query_one(".dialog")
        box.border_title, box.border_subtitle = Content(one_line(self.heading, 90)), Content(self.KEYS)
        self.query_one(SearchLine).focus()
        self.looking = self.look("")

    def on_input_changed(self, event: Input.Changed) -> None:
        self.looking = self.look(event.value)

    async def on_input_submitted(self) -> None:
        with suppress(WorkerCancelled):  # enter takes what the whole word finds, however fast it was typed
            await self.looking.wait()
        self.action_take()

    @work(exclusive=True)
    async def look(self, text: str) -> None:
        """Fill the list with what is found; a later search takes this one's place."""
        self.choices = list(await self.find(text))
        self.fill()

    def fill(self, highlighted: int = 0) -> None:
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options(Option(self.line(choice)) for choice in self.choices)
        if self.choices:
            options.highlighted = min(highlighted, len(self.choices) - 1)
        else:
            options.add_option(Option(Text(self.empty, "dim"), disabled=True))

    def line(self, choice: Choice) -> Text:
        return Text.assemble(
            visible(choice.title), "  ", (visible(choice.detail), "dim"), no_wrap=True, overflow="ellipsis"
        )

    @property
    def current(self) -> Choice | None:
        at = self.query_one(OptionList).highlighted
        return self.choices[at] if at is not None and at < len(self.choices) else None

    def action_move(self, rows: int) -> None:
        options = self.query_one(OptionList)
        if self.choices:
            options.highlighted = max(0, min((options.highlighted or 0) + rows, len(self.choices) - 1))

    def action_take(self) -> None:
        raise NotImplementedError

    def action_give_up(self) -> None:
        self.dismiss(None)

    def on_option_list_option_selected(self) -> None:
        self.action_take()


class PickDialog(ListDialog[str]):
    """Choose one; gives its id."""

    def action_take(self) -> None:
        if (choice := self.current) is not None:
            self.dismiss(choice.id)


class ModelsDialog(ListDialog[tuple[str, ...]]):
    """Choose the models to compare; gives their ids in the order of their panes."""

    KEYS = "space choose or drop · enter talk to these · esc back"
    MARKS = True

    def __init__(self, choices: Sequence[Choice], chosen: Sequence[str]) -> None:
        super().__init__("Models to compare", among(choices), empty="No model is called so.")
        self.chosen = list(chosen)

    def line(self, choice: Choice) -> Text:
        place = f" {self.chosen.index(choice.id) + 1} " if choice.id in self.chosen else "   "
        return Text.assemble((f"[{place}] ", "bold"), super().line(choice), no_wrap=True, overflow="ellipsis")

    def fill(self, highlighted: int = 0) -> None:
        super().fill(highlighted)
        count = len(self.chosen)
        self.query_one(".hint", Static).update(
            f"{count} pane{'' if count == 1 else 's'}; they stand in the order they were chosen."
        )

    async def on_search_line_marked(self) -> None:
        with suppress(WorkerCancelled):
            await self.looking.wait()
        if (choice := self.current) is None:
            return
        if choice.id in self.chosen:
            self.chosen.remove(choice.id)
        else:
            self.chosen.append(choice.id)
        self.fill(self.query_one(OptionList).highlighted or 0)

    def action_take(self) -> None:
        """Give what was marked; with nothing marked, the line in sight."""
        if not self.chosen and (choice := self.current) is not None:
            self.chosen.append(choice.id)
        if self.chosen:
            self.dismiss(tuple(self.chosen))


@dataclass(frozen=True)
class _Field:
    name: str
    label: str
    help: str
    convert: Callable[[str], Any]
    low: float
    high: float


_FIELDS = (
    _Field("temperature", "temperature", "0 is greedy; empty: the server's own", float, 0, 10),
    _Field("top_p", "top-p", "0 to 1; empty: the server's own", float, 0, 1),
    _Field("seed", "seed", "makes an answer repeatable", int, -(2**63), 2**63 - 1),
    _Field("max_tokens", "maximum tokens", "of thought and answer together", int, 1, 1e9),
)


class BlindBox(Checkbox):
    """A checkbox that says on or off, not by colour alone, and leaves enter to its dialog; space toggles it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "screen.keep", "Keep", show=False)]

    def on_mount(self) -> None:
        self._say()

    def watch_value(self) -> None:
        super().watch_value()
        self._say()

    def _say(self) -> None:
        self.BUTTON_INNER = "X" if self.value else " "  # Textual's cross stands there in both, in other colours
        self.label = "on" if self.value else "off"


class SettingsDialog(ModalScreen[Settings | None]):
    """What all panes are asked with. Enter keeps, escape leaves everything as it was."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "keep", "Keep"),
        Binding("down", "app.focus_next", "Next field", show=False),
        Binding("up", "app.focus_previous", "Previous field", show=False),
        Binding("escape", "give_up", "Back"),
    ]

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Label("system prompt", classes="label", markup=False)
            yield PromptInput(self.settings.system, placeholder="none", id="system")
            for field in _FIELDS:
                value = getattr(self.settings.sampling, field.name)
                with Horizontal(classes="field"):
                    yield Label(field.label, classes="label", markup=False)
                    yield LineInput("" if value is None else f"{value:g}" if isinstance(value, float) else str(value),
                                    id=field.name, compact=True)  # fmt: skip
                    yield Label(field.help, classes="help", markup=False)
            with Horizontal(classes="field"):
                yield Label("blind", classes="label", markup=False)
                yield BlindBox("on" if self.settings.blind else "off", self.settings.blind, id="blind", compact=True)
                yield Label("space; no names until you vote", classes="help", markup=False)
            yield Static("", classes="hint", markup=False)

    def on_mount(self) -> None:
        box = self.query_one(".dialog")
        box.border_title = Content("Settings, for all panes")
        box.border_subtitle = Content("tab next field · enter keep · esc leave as it was")
        self.query_one("#temperature").focus()

    def on_prompt_input_sent(self) -> None:
        self.action_keep()

    def on_input_submitted(self) -> None:
        self.action_keep()

    def action_keep(self) -> None:
        values: dict[str, Any] = {}
        for field in _FIELDS:
            entry = self.query_one(f"#{field.name}", Input)
            text = entry.value.strip()
            try:
                value = field.convert(text) if text else None
            except ValueError:
                value = float("nan")
            if value is not None and not field.low <= value <= field.high:
                self._refuse(entry, f"{field.label}: {one_line(text, 30)} will not do; {field.help}.")
                return
            values[field.name] = value
        self.dismiss(
            Settings(
                self.query_one("#system", PromptInput).text.strip(),
                Sampling(**values, stop=self.settings.sampling.stop),
                self.query_one("#blind", Checkbox).value,
            )
        )

    def _refuse(self, entry: Input, why: str) -> None:
        self.query_one(".hint", Static).update(Text(why, "bold"))
        entry.focus()

    def action_give_up(self) -> None:
        self.dismiss(None)
