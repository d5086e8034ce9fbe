"""The dialog that keeps or leaves out one problem by hand."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static

from o1lab.text import one_line, visible
from o1lab.widgets.dialogs import Dialog, PromptDialog
from screens.distill.problem import RULED, WholeProblem
from store.exclusions import Ruled


class OverruleDialog(Dialog[tuple[Ruled, str]]):
    """Returns the ruling and a note on it."""

    DEFAULT_CSS = "OverruleDialog #overrule-words { height: auto; max-height: 12; }"
    FOOTER = True

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("k", "rule('keep')", "Keep it", tooltip="Keep the problem, whatever the rules say"),
        Binding("x", "rule('exclude')", "Leave it out", tooltip="Leave the problem out, whatever the rules say"),
        Binding("l", "rule('none')", "As the rules say", tooltip="Remove the ruling, so that the rules decide"),
        Binding("m", "note", "Note", tooltip="Add a reason first"),
        Binding("escape,q", "cancel", "Cancel"),
    ]

    def __init__(self, whole: WholeProblem) -> None:
        super().__init__("Overrule the rules on this problem?")
        self.whole = whole
        self.note = ""

    def compose_dialog(self) -> ComposeResult:
        yield Static(self._words(), id="overrule-words", markup=False)

    def _words(self) -> Text:
        problem = self.whole.problem
        text = Text()
        text.append(f"{one_line(f'{problem.source} {problem.key}', 60)}\n", "bold")
        text.append(f"{one_line(problem.statement, 200)}\n\n")
        text.append("now    ", "dim").append("✓ kept" if problem.excluded_by is None else "✗ left out")
        text.append("\nrules  ", "dim")
        text.append(
            "; ".join(f"{one.rule}: {one_line(one.reason, 90)}" for one, _ in self.whole.findings) or "no finding"
        )
        if self.whole.rulings:
            text.append("\nruling ", "dim").append(
                f"{RULED[self.whole.ruling]}, {visible(self.whole.rulings[-1].annotator)}"
            )
        text.append("\nnote   ", "dim").append(visible(self.note) or "none; press m to add one")
        return text

    def action_rule(self, ruling: Ruled) -> None:
        """Return this ruling."""
        self.dismiss((ruling, self.note))

    @work
    async def action_note(self) -> None:
        """Ask for a note on the ruling."""
        note = await self.app.push_screen_wait(PromptDialog("Reason for the ruling", value=self.note))
        if note is not None:
            self.note = note.strip()
            self.query_one("#overrule-words", Static).update(self._words())
