"""The traces of a filter before a bulk decision or a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from o1lab.format import counted, short_count
from o1lab.text import one_line, visible
from o1lab.widgets.dialogs import ScrollingDialog
from o1lab.widgets.keys import Binding
from screens.traces.text import DECISIONS, VERDICTS, decision_mark, problem_name, state, verdict_mark
from store.records import TraceRow

_MODELS = 6


@dataclass(frozen=True, slots=True)
class Chosen:
    """The traces of a filter: counts by verdict, model and decision, and the first rows.

    ``own`` is the number of those on which the person has decided.
    """

    total: int
    verdicts: Mapping[str, int]
    models: Mapping[str, int]
    decisions: Mapping[str, int]
    incomplete: int
    looping: int
    own: int
    sample: tuple[TraceRow, ...]


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
        text.append_text(verdict_mark(row.verdict)).append(" ").append_text(
            decision_mark(row.decision, disputed=row.disputed)
        )
        text.append(f" {problem_name(row)}  {one_line(row.model, 30)}  {short_count(row.chars)} {state(row)}\n")
    if chosen.total > len(chosen.sample):
        text.append(f"… and {chosen.total - len(chosen.sample):,} more", "dim")
    return text


class BulkDialog(ScrollingDialog[str]):
    """Asks for one decision on all traces of a filter, with a sample of them; escape cancels."""

    DEFAULT_CSS = """
    BulkDialog {
        .sample { height: auto; max-height: 12; margin-top: 1; }
    }
    """
    FOOTER = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "dismiss('accept')", "Accept all", tooltip="Accept every trace of the filter"),
        Binding("x", "dismiss('reject')", "Reject all", tooltip="Reject every trace of the filter"),
        Binding("z", "dismiss('skip')", "Skip all", tooltip="Skip every trace of the filter"),
    ]

    def __init__(self, chosen: Chosen, query: str) -> None:
        super().__init__(f"One decision for {counted(chosen.total, 'trace')}")
        self.chosen = chosen
        self.text = query

    def compose_dialog(self) -> ComposeResult:
        yield Static(summary(self.chosen, self.text), markup=False)
        if self.chosen.own:
            yield Static(
                f"! {self.chosen.own:,} already have a decision of yours, which will be replaced. "
                "To keep it, cancel and add mine:none to the filter.",
                classes="warning",
                markup=False,
            )
        with VerticalScroll(classes="sample", can_focus=False):
            yield Static(rows(self.chosen), markup=False)
