"""Dialogs of the Compare screen: choose the models, change the settings; and the models chosen at first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.widgets import Checkbox, Input, Label, OptionList, Static
from textual.worker import WorkerCancelled

from o1lab.chat.panes import Settings
from o1lab.errors import LabError
from o1lab.inference.events import Sampling
from o1lab.paths import Lab
from o1lab.serve.endpoints import endpoint_address, public_url
from o1lab.serve.registry import ModelRef
from o1lab.text import one_line
from o1lab.train.runs.directory import list_run_dirs
from o1lab.widgets.dialogs import Choice, Dialog, ListDialog, among
from o1lab.widgets.keys import Binding
from o1lab.widgets.line_input import LineInput
from screens.compare.prompt_sets import PromptInput


class ModelsDialog(ListDialog[tuple[str, ...]]):
    """Choose the models to compare; returns their ids in the order of the panes."""

    KEYS = "space choose or drop · enter talk to these · esc back"
    MARKS = True

    def __init__(self, choices: Sequence[Choice], chosen: Sequence[str]) -> None:
        super().__init__("Models to compare", among(choices), empty="No model matches.")
        self.chosen = list(chosen)

    def line(self, choice: Choice) -> Text:
        place = f" {self.chosen.index(choice.id) + 1} " if choice.id in self.chosen else "   "
        return Text.assemble((f"[{place}] ", "bold"), super().line(choice), no_wrap=True, overflow="ellipsis")

    def fill(self, highlighted: int = 0) -> None:
        super().fill(highlighted)
        count = len(self.chosen)
        self.query_one(".hint", Static).update(
            f"{count} pane{'' if count == 1 else 's'}, in the order in which they were chosen."
        )

    async def on_search_line_marked(self) -> None:
        with suppress(WorkerCancelled):
            await self.searching.wait()
        if (choice := self.current) is None:
            return
        if choice.id in self.chosen:
            self.chosen.remove(choice.id)
        else:
            self.chosen.append(choice.id)
        self.fill(self.query_one(OptionList).highlighted or 0)

    def action_take(self) -> None:
        """Return the marked models; if none is marked, the current one."""
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
    _Field("temperature", "temperature", "0 is greedy; empty: server default", float, 0, 10),
    _Field("top_p", "top-p", "0 to 1; empty: server default", float, 0, 1),
    _Field("seed", "seed", "makes an answer repeatable", int, -(2**63), 2**63 - 1),
    _Field("max_tokens", "maximum tokens", "of thought and answer together", int, 1, 1e9),
)


class BlindBox(Checkbox):
    """A checkbox with the words on and off, not only colours. Space toggles it; enter is left to the dialog."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "screen.keep", "Keep", show=False, tooltip="Keep what is chosen")
    ]

    def on_mount(self) -> None:
        self._update_label()

    def watch_value(self) -> None:
        super().watch_value()
        self._update_label()

    def _update_label(self) -> None:
        self.BUTTON_INNER = "X" if self.value else " "  # Textual's has a cross in both states, in different colours
        self.label = "on" if self.value else "off"


_NO_SYSTEM = "none"
"""The text that asks every model without a system prompt."""


class SettingsDialog(Dialog[Settings]):
    """The settings of all panes, or of one. Enter keeps the changes, escape discards them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "keep", "Keep", tooltip="Keep these settings"),
        Binding("down", "app.focus_next", "Next field", id="field_down", show=False, tooltip="Go to the next field"),
        Binding("up", "app.focus_previous", "Previous field", id="field_up", show=False,
                tooltip="Go to the previous field"),
    ]  # fmt: skip

    def __init__(self, settings: Settings, title: str = "Settings, for all panes", *, one_pane: bool = False) -> None:
        super().__init__(title, "tab next field · enter keep · esc discard")
        self.settings = settings
        self.one_pane = one_pane

    def compose_dialog(self) -> ComposeResult:
        yield Label("system prompt", classes="label", markup=False)
        shown = _NO_SYSTEM if self.settings.system == "" else self.settings.system or ""
        yield PromptInput(shown, placeholder="that of each student's run; none for none", id="system")
        for field in _FIELDS:
            value = getattr(self.settings.sampling, field.name)
            with Horizontal(classes="field"):
                yield Label(field.label, classes="label", markup=False)
                yield LineInput("" if value is None else f"{value:g}" if isinstance(value, float) else str(value),
                                id=field.name, compact=True)  # fmt: skip
                yield Label(field.help, classes="help", markup=False)
        if not self.one_pane:
            with Horizontal(classes="field"):
                yield Label("blind", classes="label", markup=False)
                yield BlindBox("on" if self.settings.blind else "off", self.settings.blind, id="blind", compact=True)
                yield Label("space; hides names until you vote", classes="help", markup=False)
        yield Static("", classes="hint", markup=False)

    def on_mount(self) -> None:
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
                self._refuse(entry, f"{field.label}: {one_line(text, 30)} is not valid; {field.help}.")
                return
            values[field.name] = value
        system = self.query_one("#system", PromptInput).text.strip()
        self.dismiss(
            Settings(
                {"": None, _NO_SYSTEM: ""}.get(system, system),
                Sampling(**values, stop=self.settings.sampling.stop),
                self.settings.blind if self.one_pane else self.query_one("#blind", Checkbox).value,
            )
        )

    def _refuse(self, entry: Input, why: str) -> None:
        self.query_one(".hint", Static).update(Text(why, "bold"))
        entry.focus()


def model_choices(refs: Sequence[ModelRef]) -> list[Choice]:
    """Return a choice for each model, with its name, and its origin or what it lacks."""
    return [Choice(ref.id, ref.label, _detail(ref)) for ref in refs]


def _detail(ref: ModelRef) -> str:
    if ref.endpoint is not None:
        try:
            endpoint_address(ref.endpoint)
        except LabError as error:
            return error.message
        return f"{ref.id} · {public_url(ref.endpoint.url)}"
    match ref.source:
        case "checkpoint":
            system = f" · system prompt: {one_line(ref.prompt.system_prompt, 30)}" if ref.prompt.system_prompt else ""
            return f"checkpoint {ref.step} of run {ref.run_id}, on {ref.base}{system}"
        case "imported":
            return f"{'a whole model' if ref.adapter is None else f'an adapter for {ref.base}'} in the lab's models"
        case "base":
            return "" if can_serve() else "needs the train extra (torch), which is not installed"
        case "server":
            return "served on this machine" if ref.record is not None else "no longer running"
    return ""


def can_serve() -> bool:
    """Whether the packages of the embedded server are installed; nothing is imported."""
    return all(find_spec(name) is not None for name in ("torch", "transformers", "peft"))


def default_models(lab: Lab, refs: Sequence[ModelRef]) -> list[ModelRef]:
    """Return the models to begin with: the solver, the newest finished student, and its base."""
    chosen = [ref for ref in refs if ref.source == "solver"]
    if not can_serve():
        return chosen + [ref for ref in refs if ref.source == "endpoint"][:1]
    students: dict[str | None, ModelRef] = {}
    for ref in refs:
        if ref.source == "checkpoint":
            students.setdefault(ref.run_id, ref)  # the latest checkpoint comes first
    finished = [run.id for run in list_run_dirs(lab) if run.id in students and run.info().state == "finished"]
    student = students[finished[0]] if finished else next(iter(students.values()), None)
    chosen += [student] if student is not None else []
    bases = [ref for ref in refs if ref.source == "base"]
    return chosen + [ref for ref in bases if student is None or ref.base == student.base][:1]
