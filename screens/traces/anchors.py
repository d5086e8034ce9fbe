"""The sentences of a chain by what they do to its answer, as heat behind the text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual.binding import BindingType

from o1lab.lens.anchors import Anchor, RolloutSettings
from o1lab.lens.convergence import Chain
from o1lab.lens.forcing import chain_of
from o1lab.lens.resampling import Resampled, latest, resample
from o1lab.serve.registry import ModelRef
from o1lab.text import one_line
from o1lab.widgets.keys import Binding
from o1lab.widgets.sections import Mark
from screens.base.context import LabContext
from screens.base.dialogs import pick_model
from screens.base.screen import task
from screens.traces.heat import HeatScreen, next_of
from screens.traces.reading import Chain as ShownChain
from screens.traces.reading import read_chain
from store.sqlite import Database

SAMPLES = 10
"""Rollouts from each sentence."""
_BANDS = (
    (0.75, Style(color="black", bgcolor="#ff7a5c", bold=True)),
    (0.4, Style(color="black", bgcolor="#ffb35c", underline=True)),
    (0.15, Style(color="black", bgcolor="#ffe08a")),
)
"""Shares of the greatest importance, with the styles from them on. Without colours, lines remain."""
_CURSOR = Style(reverse=True)


def _read(db: Database, trace_id: str) -> tuple[ShownChain, Chain, str, tuple[Anchor, ...]]:
    """Read a chain, with the latest model that drew rollouts, and what they say.

    Raises:
        RefusedError: the chain has no thought.
    """
    chain = chain_of(db, trace_id)
    return read_chain(db, trace_id), chain, *latest(db, chain)


class AnchorsScreen(HeatScreen):
    """One chain, its sentences marked by their importance."""

    TITLE = "IMPORTANCE OF SENTENCES"
    STOPPED = "Stopped. The rollouts so far are stored."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ampersand", "models", "Draw", key_display="&",
                tooltip="Let a model write the rest from each sentence"),
        Binding("n", "step(1)", "Next", tooltip="Go to the next important sentence"),
        Binding("p", "step(-1)", "Previous", show=False, tooltip="Go to the previous important sentence"),
        Binding("right", "turn_to(1)", "Next sentence", show=False, tooltip="Go to the next sentence"),
        Binding("left", "turn_to(-1)", "Previous sentence", show=False, tooltip="Go to the previous sentence"),
        Binding("s", "stop", "Stop", show=False, tooltip="Stop the model that writes"),
        Binding("escape", "back", "Back", tooltip="Close this view"),
    ]  # fmt: skip

    def __init__(self, context: LabContext, trace_id: str) -> None:
        super().__init__(context, trace_id)
        self.chain: Chain | None = None
        self.anchors: tuple[Anchor, ...] = ()
        self.model = ""

    @task(exclusive=True, group="load")
    async def load(self) -> None:
        """Show the chain, and what is stored of its sentences."""
        shown, self.chain, self.model, self.anchors = await self.read(_read, self.trace_id)
        if self.reader.document is None:
            self.reader.load(shown.document)
        self.describe()

    # What is shown.

    @property
    def most(self) -> float:
        """The greatest importance."""
        return max((one.importance or 0.0 for one in self.anchors), default=0.0)

    def _style(self, one: Anchor) -> Style | None:
        if not one.importance or not self.most:
            return None
        share = one.importance / self.most
        return next((style for limit, style in _BANDS if share >= limit), None)

    def heat(self, section: int, start: int, end: int) -> Iterable[Mark]:
        """Yield the marks of the sentences in [start, end) of a section of the reader."""
        if section:
            return
        for at, one in enumerate(self.anchors):
            if one.start < end and start < one.end:
                if (style := self._style(one)) is not None:
                    yield Mark(one.start, one.end, style)
                if at == self.cursor:
                    yield Mark(one.start, one.end, _CURSOR)

    def lines(self) -> tuple[Text, Text]:
        line = Text()
        if self.running:
            line.append(self.running, "bold")
        elif not self.anchors:
            line.append("No model has written from its sentences yet: & chooses one.")
        else:
            known = [one for one in self.anchors if one.importance is not None]
            line.append(one_line(self.model, 30), "bold")
            line.append(f"  {len(self.anchors):,} sentences, at most {self.most:.2f} nats")
            if len(known) < len(self.anchors):
                line.append(f"; {len(self.anchors) - len(known):,} unknown: always written again", "dim")
        return line, self._sentence()

    def _sentence(self) -> Text:
        line = Text()
        if not 0 <= self.cursor < len(self.anchors):
            return line.append(
                "n goes to the next important sentence, right to the next" if self.anchors else "", "dim"
            )
        one = self.anchors[self.cursor]
        line.append(f"{self.cursor + 1}/{len(self.anchors)}  ", "bold")
        line.append("unknown" if one.importance is None else f"{one.importance:.2f} nats", "bold")
        if one.share is not None:
            answer = "no answer" if one.answer is None else one_line(one.answer, 20)
            line.append(f"  {answer}: {one.share:.0%} of {one.kept} with it")
            if one.before is not None:
                line.append(f", {one.before:.0%} of {one.different} without it")
        return line

    # Moving.

    def action_turn_to(self, step: int) -> None:
        """Go to the next sentence or the previous one."""
        if self.anchors:
            self._go(max(0, min(self.cursor + step, len(self.anchors) - 1)))

    def action_step(self, step: int) -> None:
        """Go to the next important sentence or the previous one."""
        important = (at for at, one in enumerate(self.anchors) if self._style(one) is not None)
        if (at := next_of(important, self.cursor, step)) is None:
            self.notify("There is no further important sentence.", timeout=3)
        else:
            self._go(at)

    def _go(self, at: int) -> None:
        self.go_to(at, 0, self.anchors[at].start)

    # Drawing.

    @task(exclusive=True, group="models", dialog=True)
    async def action_models(self) -> None:
        """Choose a model, and let it write the rest of the response from each sentence."""
        if self.running or self.chain is None:
            self.notify("A model is writing; s stops it." if self.running else "The chain is loading.", timeout=3)
            return
        ref = await pick_model(self, "Which model writes the rest from each sentence?", lambda ref: ref.continues)
        if ref is not None:
            self.draw(self.chain, ref)

    @task(exclusive=True, group="model")
    async def draw(self, chain: Chain, ref: ModelRef) -> None:
        """Let a model write from each sentence, and show which of them change the answer."""
        name = one_line(ref.label, 30)
        self.show_running(f"{name} writes from each sentence; the first time, it is loaded. s stops.")
        try:
            found: Resampled = await resample(
                self.context.lab,
                self.context.store,
                chain,
                ref,
                self.context.servers,
                samples=SAMPLES,
                settings=RolloutSettings(),
                on_rollout=lambda done, of: self.show_running(f"{name}: {done:,} of {of:,} rollouts. s stops."),
            )
            self.model, self.anchors = ref.id, found.anchors
        finally:
            self.show_running("")
