"""The sentences of a chain by what they do to its answer, as heat behind the text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Static

from o1lab.lens.anchors import Anchor, Drawing
from o1lab.lens.convergence import Chain
from o1lab.lens.forcing import chain_of
from o1lab.lens.resampling import Resampled, latest, resample
from o1lab.paths import assets_dir
from o1lab.serve.registry import ModelRef, list_models
from o1lab.text import one_line
from o1lab.widgets.chain_reader import ChainReader
from o1lab.widgets.dialogs import Choice, PickDialog, among
from o1lab.widgets.keys import Binding
from o1lab.widgets.sections import Mark
from screens.base.context import LabContext
from screens.base.screen import LabScreen, task
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


class AnchorsScreen(LabScreen):
    """One chain, its sentences marked by their importance."""

    TITLE = "IMPORTANCE OF SENTENCES"
    CSS_PATH = assets_dir() / "styles" / "traces.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ampersand", "models", "Draw", key_display="&",
                tooltip="Let a model write the rest from each sentence"),
        Binding("n", "step(1)", "Next", tooltip="Go to the next important sentence"),
        Binding("p", "step(-1)", "Previous", show=False, tooltip="Go to the important sentence before"),
        Binding("right", "turn_to(1)", "Next sentence", show=False, tooltip="Go to the next sentence"),
        Binding("left", "turn_to(-1)", "Previous sentence", show=False, tooltip="Go to the sentence before"),
        Binding("s", "stop", "Stop", show=False, tooltip="Stop the model that writes"),
        Binding("escape", "back", "Back", tooltip="Close this view"),
    ]  # fmt: skip

    def __init__(self, context: LabContext, trace_id: str) -> None:
        super().__init__(context)
        self.trace_id = trace_id
        self.chain: Chain | None = None
        self.anchors: tuple[Anchor, ...] = ()
        self.model = ""
        self.running = ""
        self.cursor = -1

    def compose_body(self) -> ComposeResult:
        yield Static(id="lens-view", markup=False)
        yield ChainReader(id="reader")
        yield Static(id="lens-token", markup=False)

    @property
    def reader(self) -> ChainReader:
        return self.query_one(ChainReader)

    def on_mount(self) -> None:
        self.reader.body.shading = self.heat
        self.reader.body.raw = True  # sentences are of the text as it is stored
        self.reader.focus()
        self.load()

    @task(exclusive=True, group="load")
    async def load(self) -> None:
        """Show the chain, and what is stored of its sentences."""
        shown, self.chain, self.model, self.anchors = await self.read(_read, self.trace_id)
        if self.reader.document is None:
            self.reader.load(shown.document)
        self._describe()

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

    def _describe(self) -> None:
        line = Text(no_wrap=True, overflow="ellipsis")
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
        self.query_one("#lens-view", Static).update(line)
        self.query_one("#lens-token", Static).update(self._sentence())
        self.reader.body.restyle()

    def _sentence(self) -> Text:
        line = Text(no_wrap=True, overflow="ellipsis")
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
        """Go to the next sentence or the one before."""
        if self.anchors:
            self._go(max(0, min(self.cursor + step, len(self.anchors) - 1)))

    def action_step(self, step: int) -> None:
        """Go to the next important sentence or the one before."""
        here = [at for at, one in enumerate(self.anchors) if self._style(one) is not None]
        found = [at for at in here if (at > self.cursor if step > 0 else at < self.cursor)]
        if found:
            self._go(found[0] if step > 0 else found[-1])
        else:
            self.notify("There is no further important sentence.", timeout=3)

    def _go(self, at: int) -> None:
        self.cursor = at
        self.reader.body.reveal(0, self.anchors[at].start)
        self.reader.body.show_place(0, self.anchors[at].start, margin=3)
        self._describe()

    # Drawing.

    @task(exclusive=True, group="models")
    async def action_models(self) -> None:
        """Choose a model, and let it write the rest of the response from each sentence."""
        if self.running or self.chain is None:
            self.notify("A model is writing; s stops it." if self.running else "The chain is loading.", timeout=3)
            return
        refs = await self.in_thread(lambda: [one for one in list_models(self.context.lab) if one.endpoint is None])
        choices = [Choice(ref.id, one_line(ref.label, 60)) for ref in refs]
        chosen = await self.app.push_screen_wait(
            PickDialog("Which model writes the rest from each sentence?", among(choices), empty="No model matches.")
        )
        ref = next((one for one in refs if one.id == chosen), None)
        if ref is not None:
            self.draw(self.chain, ref)

    @task(exclusive=True, group="draw")
    async def draw(self, chain: Chain, ref: ModelRef) -> None:
        """Let a model write from each sentence, and show which of them change the answer."""
        name = one_line(ref.label, 30)
        self._run(f"{name} writes from each sentence; the first time, it is loaded. s stops.")
        try:
            found: Resampled = await resample(
                self.context.lab,
                self.context.store,
                chain,
                ref,
                self.context.servers,
                samples=SAMPLES,
                drawing=Drawing(),
                on_rollout=lambda done, of: self._run(f"{name}: {done:,} of {of:,} rollouts. s stops."),
            )
            self.model, self.anchors = ref.id, found.anchors
        finally:
            if not self.closing:
                self._run("")

    def _run(self, text: str) -> None:
        self.running = text
        self._describe()

    def action_stop(self) -> None:
        """Stop the model; the rollouts that have arrived are stored."""
        if self.running:
            self.workers.cancel_group(self, "draw")
            self.notify("Stopped. The rollouts so far are stored.", timeout=4)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "stop":
            return bool(self.running)
        return super().check_action(action, parameters)

    def action_back(self) -> None:
        """Close the view; a model that writes is stopped."""
        self.dismiss()

    @on(ChainReader.SpanSelected)
    def _nothing_to_label(self, event: ChainReader.SpanSelected) -> None:
        event.stop()
        self.reader.clear_selection()
