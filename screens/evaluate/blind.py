"""The base of the screens that judge samples blind: one sample at a time, without its model, scores or run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from o1lab.paths import assets_dir
from o1lab.text import visible
from o1lab.widgets.line_view import LineView
from o1lab.widgets.sections import Section
from screens.base.context import LabContext
from screens.base.screen import LabScreen
from screens.base.writer import Writer
from store.evaluations import Turn


class BlindScreen(LabScreen):
    """Question, answer, a line for the judgement and one for messages; the results in their place when all is judged.

    Attributes:
        writer: Writes the judgements; each is committed before the next sample is shown.
        busy: A judgement is being written or a sample read, so keys are ignored.
    """

    CSS_PATH: ClassVar[list[Any]] = [assets_dir() / "styles" / "evaluate_samples.tcss"]

    def __init__(self, context: LabContext) -> None:
        super().__init__(context)
        self.writer = Writer(context.store)
        self.busy = True

    def compose_body(self) -> ComposeResult:
        yield Static(id="blind-question", markup=False)
        yield LineView(id="blind-answer")
        with VerticalScroll(id="blind-results", can_focus=False):
            yield Static(markup=False)
        yield Static(id="blind-judgement", markup=False)
        yield Static(id="blind-said", markup=False)

    def on_mount(self) -> None:
        self.focus_answer()

    def focus_answer(self) -> None:
        """Give the answer the focus, so that keys scroll it."""
        self.query_one(LineView).focus()

    async def on_unmount(self) -> None:
        await self.writer.close()

    def show_sample(
        self, question: str, turns: Sequence[Turn], *, gold: str | None = None, thoughts: bool = False
    ) -> None:
        """Show a sample: its gold answer if given, and its turns, with their thoughts if ``thoughts``."""
        self.remove_class("-over")
        self.query_one("#blind-question", Static).update(Text(visible(question)))
        parts = [] if gold is None else [("gold", gold)]
        for number, turn in enumerate(turns):
            if number:
                parts.append(("user", turn.user))
            if thoughts and turn.thought:
                parts.append(("thought", turn.thought))
            parts.append(("answer" if len(turns) == 1 else f"answer {number + 1}", turn.answer or "(empty)"))
        view = self.query_one(LineView)
        view.show_sections([Section(view.laid_out(f"{body}\n"), header) for header, body in parts])

    def show_judgement(self, text: Text) -> None:
        """Show the line of the judgement."""
        self.query_one("#blind-judgement", Static).update(text)

    def show_results(self, text: Text) -> None:
        """Show the results instead of a sample."""
        self.add_class("-over")
        self.query_one("#blind-results Static", Static).update(text)

    def say(self, message: str) -> None:
        """Show a line at the bottom."""
        self.query_one("#blind-said", Static).update(Text(visible(message)))

    def action_back(self) -> None:
        """Leave; every judgement is saved."""
        self.dismiss()
