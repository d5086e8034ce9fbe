"""The line below a chain that says where models have its answer, and lets them look for it in the background."""

from __future__ import annotations

from rich.text import Text
from textual.binding import BindingType
from textual.message import Message

from o1lab.errors import RefusedError
from o1lab.lens.convergence import Convergence
from o1lab.lens.forcing import chain_of, force_answers, judged
from o1lab.serve.registry import ModelRef
from o1lab.text import one_line, visible
from o1lab.widgets.keys import Binding
from o1lab.widgets.reader.chain_reader import ReaderStatus
from screens.base.context import LabContext
from screens.base.dialogs import pick_model
from screens.base.screen import ScreenPart, task
from store.sqlite import Database

CONVERGENCE_BINDINGS: list[BindingType] = [
    Binding("semicolon", "converge", "Answers", key_display=";", show=False,
            tooltip="Show where a model has the answer: the chain is cut after each move, and the model answers"),
    Binding("colon", "anchors", "Importance", key_display=":", show=False,
            tooltip="Show which sentences of the chain change its answer"),
    Binding("s", "stop", "Stop answering", show=False, tooltip="Stop the model that answers"),
]  # fmt: skip
_GLYPHS = {True: ("✓", "green"), False: ("✗", "red"), None: ("?", "yellow")}
_MOST_GLYPHS = 32


def answers_line(found: Convergence, others: int = 0) -> Text:
    """Return the answers from the beginning of the chain to its end as signs, then a summary.

    Args:
        found: the convergence.
        others: number of further models that have answered.
    """
    line = Text(no_wrap=True, overflow="ellipsis")
    points = found.points
    shown = [points[at * (len(points) - 1) // max(_MOST_GLYPHS - 1, 1)] for at in range(_MOST_GLYPHS)]
    for one in points if len(points) <= _MOST_GLYPHS else shown:
        line.append(*(("·", "dim") if one.answer is None else _GLYPHS[one.right]))
    last = len(points) - 1
    if found.first_right is not None:
        line.append(f"  right from {found.first_right}/{last}")
    if found.stable is None:
        line.append("  no answer at the end")
    else:
        line.append(f"  stable from {found.stable}/{last}", "bold")
        if found.tokens_after is not None:
            line.append(f", {found.tokens_after:,} of {found.tokens or 0:,} tokens after it")
    if found.overwritten:
        line.append(f"  overwritten {found.overwritten}x" + (", lost" if found.lost else ""), "red")
    line.append(f"  {one_line(found.model, 24)}" + (f" +{others}" if others else ""), "dim")
    return line


def _stored(db: Database, trace_id: str) -> list[Convergence]:
    try:
        chain = chain_of(db, trace_id)
    except RefusedError:  # it has no thought
        return []
    return judged(db, [chain])[0]


class AnswersLine(ReaderStatus, ScreenPart):
    """The line; hidden while it is empty."""

    class Asked(Message):
        """A model was chosen, and begins to answer."""

    DEFAULT_CSS = "AnswersLine { height: 1; padding: 0 1; background: $surface; display: none; }"

    def __init__(self) -> None:
        super().__init__()
        self._trace_id: str | None = None
        self.running = ""
        """What the model that answers has done."""

    @property
    def context(self) -> LabContext:
        return self.lab_screen.context

    def follow(self, trace_id: str | None) -> None:
        """Show what is known of a trace."""
        if trace_id != self._trace_id:
            self._trace_id = trace_id
            self._say(Text(self.running))
        if trace_id is not None:
            self.read_stored(trace_id)

    @task(exclusive=True, group="answers")
    async def read_stored(self, trace_id: str) -> None:
        """Show the latest answers to a trace that are stored."""
        found = await self.lab_screen.read(_stored, trace_id)
        if trace_id == self._trace_id and not self.running:
            self._say(answers_line(found[0], len(found) - 1) if found else Text())

    @task(exclusive=True, group="choose", dialog=True)
    async def choose(self, trace_id: str) -> None:
        """Choose a model, and let it answer at each place of a chain."""
        if self.running:
            self.notify("A model is answering; s stops it.", timeout=3)
            return
        await self.lab_screen.read(chain_of, trace_id)  # refuses a trace without a thought before a model is chosen
        ref = await pick_model(self.lab_screen, "Which model answers after each move?", lambda ref: ref.continues)
        if ref is not None:
            self.post_message(self.Asked())
            self.ask(trace_id, ref)

    @task(exclusive=True, group="ask")
    async def ask(self, trace_id: str, ref: ModelRef) -> None:
        """Let a model answer, and show where its answers are right."""
        name = one_line(ref.label, 30)
        self._run(f"{name} answers; the first time, it is loaded. s stops.")
        try:
            chain = await self.lab_screen.read(chain_of, trace_id)
            done = await force_answers(
                self.context.lab,
                self.context.store,
                [chain],
                ref,
                self.context.servers,
                on_answer=lambda some, of: self._run(f"{name}: {some:,} of {of:,} answers. s stops."),
            )
        finally:
            if not self.lab_screen.closing:
                self._run("")
        for failure in done.failures:
            self.notify(visible(failure.error), severity="error", timeout=10, markup=False)

    def stop(self) -> None:
        """Stop the model; the answers that have arrived are stored."""
        if self.running:
            self.workers.cancel_group(self, "ask")
            self.notify("Stopped. The answers so far are stored.", timeout=4)

    def _run(self, text: str) -> None:
        self.running = text
        self._say(Text(text, "bold"))
        if not text and self._trace_id is not None:
            self.read_stored(self._trace_id)

    def _say(self, text: Text) -> None:
        self.display = bool(text.plain)
        self.show(text)
