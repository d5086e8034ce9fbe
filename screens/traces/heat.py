"""The base of the screens that show what a model finds in one chain, as heat behind its text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.widgets import Static

from o1lab.paths import assets_dir
from o1lab.widgets.reader.chain_reader import ChainReader
from o1lab.widgets.sections import Mark
from screens.base.context import LabContext
from screens.base.screen import LabScreen


class HeatScreen(LabScreen):
    """One chain with a line above and one below it. Subclasses implement ``load``, ``heat`` and ``lines``.

    Attributes:
        STOPPED: The message after the model was stopped.
        running: What the model that works on the chain does; empty if none does. Its worker has the group ``model``.
        cursor: The index of the current part of the chain, a token or a sentence; -1 for none.
    """

    CSS_PATH = assets_dir() / "styles" / "traces.tcss"
    STOPPED: ClassVar[str]

    def __init__(self, context: LabContext, trace_id: str) -> None:
        super().__init__(context)
        self.trace_id = trace_id
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
        self.reader.body.raw = True  # offsets are those of the text as it is stored; M renders it
        self.reader.focus()
        self.load()

    def load(self) -> object:
        """Read and show the chain, and what is stored of it."""
        raise NotImplementedError

    def heat(self, section: int, start: int, end: int) -> Iterable[Mark]:
        """Yield the marks of the code points [start, end) of a section of the reader."""
        raise NotImplementedError

    def lines(self) -> tuple[Text, Text]:
        """Return the lines above and below the chain."""
        raise NotImplementedError

    def describe(self) -> None:
        """Draw both lines and the heat."""
        for name, line in zip(("#lens-view", "#lens-token"), self.lines(), strict=True):
            line.no_wrap, line.overflow = True, "ellipsis"
            self.query_one(name, Static).update(line)
        self.reader.body.restyle()

    def show_running(self, text: str) -> None:
        """Show what the model does, unless the screen was closed."""
        self.running = text
        if not self.closing:
            self.describe()

    def go_to(self, at: int, section: int, offset: int) -> None:
        """Move the cursor to a part of the chain, which begins at a code point of a section."""
        self.cursor = at
        self.reader.body.reveal(section, offset)
        self.reader.body.show_place(section, offset, margin=3)
        self.describe()

    def action_stop(self) -> None:
        """Stop the model."""
        if self.running:
            self.workers.cancel_group(self, "model")
            self.notify(self.STOPPED, timeout=4)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "stop":
            return bool(self.running)
        return super().check_action(action, parameters)

    @on(ChainReader.SpanSelected)
    def _nothing_to_label(self, event: ChainReader.SpanSelected) -> None:
        event.stop()
        self.reader.clear_selection()


def next_of(found: Iterable[int], here: int, step: int) -> int | None:
    """Return the first of ascending indices after ``here``, or with a negative step the last before it."""
    beyond = [at for at in found if (at > here if step > 0 else at < here)]
    return (beyond[0] if step > 0 else beyond[-1]) if beyond else None
