"""Dialogs that show the traces of a filter before a bulk decision or a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Input, RadioButton, RadioSet, Static

from o1lab.format import short_count
from o1lab.text import one_line, visible
from o1lab.widgets.dialogs.dialog import Answer, Dialog
from o1lab.widgets.line_input import LineInput, caught_up
from o1lab.widgets.tall_text import TallText
from screens.traces.text import DECISIONS, VERDICTS, decision_mark, problem_name, state, verdict_mark
from store.records import NAME_RULE, TraceRow, is_name

_MODELS = 6


@dataclass(frozen=True, slots=True)
class Chosen:
    """The traces of a filter: counts by verdict, model and decision, and the first rows."""

    total: int
    verdicts: Mapping[str, int]
    models: Mapping[str, int]
    decisions: Mapping[str, int]
    incomplete: int
    looping: int
    sample: tuple[TraceRow, ...]

    @property
    def decided(self) -> int:
        return self.total - self.decisions.get("", 0)


def summary(chosen: Chosen, query: str) -> Text:
    """Return the counts, and warnings."""
    text = Text()
    text.append("filter    ", "dim").append(f"{visible(query) or 'everything'}\n")
    text.append("traces    ", "dim").append(f"{chosen.total:,}", "bold").append("\n")
    text.append("verdicts  ", "dim")
    for verdict in VERDICTS:
        if number := chosen.verdicts.get(verdict or "", 0):
            text.append_text(verdict_mark(verdict)).append(f" {number:,} {verdict or 'not verified'}  ")
    text.append("\n").append("decided   ", "dim")
    for decision in DECISIONS:
        if number := chosen.decisions.get(decision or "", 0):
            text.append_text(decision_mark(decision)).append(f" {number:,} {decision or 'to do'}  ")
    text.append("\n").append("teachers  ", "dim")
    models = sorted(chosen.models.items(), key=lambda item: -item[1])
    text.append(", ".join(f"{one_line(name, 30)} {number:,}" for name, number in models[:_MODELS]))
    if len(models) > _MODELS:
        text.append(f" and {len(models) - _MODELS} more")
    warnings = []
    if wrong := chosen.verdicts.get("incorrect", 0):
        warnings.append(f"{wrong:,} have a wrong answer")
    if chosen.incomplete:
        warnings.append(f"{chosen.incomplete:,} were cut off")
    if chosen.looping:
        warnings.append(f"{chosen.looping:,} loop")
    if warnings:
        text.append("\n! ", "bold yellow").append(", ".join(warnings), "yellow")
    return text


def rows(chosen: Chosen) -> Text:
    """Return the first traces, one per line."""
    text = Text(no_wrap=True)
    for row in chosen.sample:
        text.append_text(verdict_mark(row.verdict)).append(" ").append_text(decision_mark(row.decision))
        text.append(f" {problem_name(row)}  {one_line(row.model, 30)}  {short_count(row.chars)} {state(row)}\n")
    if chosen.total > len(chosen.sample):
        text.append(f"… and {chosen.total - len(chosen.sample):,} more", "dim")
    return text


class _ChosenDialog(Dialog[Answer]):
    """The counts of the chosen traces, a scrolling sample of them, and the keys."""

    DEFAULT_CSS = """
    _ChosenDialog {
        .sample { height: auto; max-height: 12; margin-top: 1; }
        #dataset-name { margin-bottom: 1; }
        #dataset-phase { margin-bottom: 1; height: auto; border: none; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("pagedown", "scroll_rows(1)", "Page down", show=False),
        Binding("pageup", "scroll_rows(-1)", "Page up", show=False),
    ]

    FOOTER = True
    TITLE_OF: ClassVar[str]
    """The title; ``{}`` is the number of traces."""

    def __init__(self, chosen: Chosen, query: str) -> None:
        super().__init__(self.TITLE_OF.format(f"{chosen.total:,}"))
        self.chosen = chosen
        self.text = query

    def compose_dialog(self) -> ComposeResult:
        yield from self.compose_question()
        with VerticalScroll(classes="sample", can_focus=False):
            yield Static(rows(self.chosen), markup=False)

    def compose_question(self) -> ComposeResult:
        """Yield the widgets above the sample."""
        yield Static(summary(self.chosen, self.text), markup=False)

    def action_scroll_rows(self, pages: int) -> None:
        """Scroll the sample."""
        scroll = self.query_one(".sample", VerticalScroll)
        scroll.scroll_page_down() if pages > 0 else scroll.scroll_page_up()


class BulkDialog(_ChosenDialog[str]):
    """Asks for one decision on all traces of a filter; escape cancels."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "dismiss('accept')", "Accept all"),
        Binding("x", "dismiss('reject')", "Reject all"),
        Binding("s", "dismiss('skip')", "Skip all"),
    ]

    TITLE_OF = "One decision for {} traces"

    def compose_question(self) -> ComposeResult:
        yield from super().compose_question()
        if self.chosen.decided:
            yield Static(
                f"! {self.chosen.decided:,} already have a decision, which will be replaced. "
                "To keep it, cancel and add decision:none to the filter.",
                classes="warning",
                markup=False,
            )


class DatasetDialog(_ChosenDialog[tuple[str, int]]):
    """Asks for a dataset's name and phase, and shows its content."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+s", "make", "Create", priority=True)]

    TITLE_OF = "A dataset of {} traces"

    def compose_question(self) -> ComposeResult:
        yield LineInput(value=f"set-{datetime.now().astimezone():%m%d-%H%M}", compact=True, id="dataset-name")
        with RadioSet(id="dataset-phase", compact=True):
            yield RadioButton("phase 2: teach the thought and then the solution", value=True)
            yield RadioButton("phase 1: teach the solution alone (the format)")
        yield from super().compose_question()
        yield TallText(id="dataset-error", classes="warning", markup=False)

    def on_mount(self) -> None:
        self.query_one("#dataset-name").focus()

    @on(Input.Submitted)
    async def action_make(self) -> None:
        """Return name and phase if the name is valid."""
        line = self.query_one("#dataset-name", Input)
        await caught_up(line)
        name = line.value.strip()
        if not is_name(name):
            self.query_one("#dataset-error", Static).update(NAME_RULE)
            return
        phase = 1 if self.query_one(RadioSet).pressed_index == 1 else 2
        self.dismiss((name, phase))
