"""The pane of one chain: title, origin, statement of the problem, reader and annotations."""

from __future__ import annotations

from typing import cast

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.message import Message
from textual.widgets import Static

from o1lab.text import visible
from o1lab.widgets.chain_reader import ChainReader
from o1lab.widgets.tall_text import TallText
from screens.base.screen import LabScreen, reported
from screens.traces.reading import Chain, question_of, read_chain, spans_of
from screens.traces.text import origin, remarks, title


class ChainPane(Vertical):
    """Reads and shows a chain."""

    class Shown(Message):
        """The pane shows another chain, no chain, or the same chain with its current annotations."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.shown: Chain | None = None
        self._wanted: str | None = None

    def compose(self) -> ComposeResult:
        yield Static(id="title", markup=False)
        yield Static(id="origin", markup=False)
        with VerticalScroll(id="statement", can_focus=False):
            yield TallText(id="statement-text", markup=False)
        yield ChainReader(id="reader")
        yield Static(id="remarks", markup=False)

    @property
    def reader(self) -> ChainReader:
        return self.query_one(ChainReader)

    @work(exclusive=True, group="chain")
    @reported
    async def read(self, trace_id: str) -> None:
        """Read a chain and show it, unless another one is requested in the meantime."""
        self._wanted = trace_id
        chain = await cast(LabScreen, self.screen).read(read_chain, trace_id)
        if self._wanted == trace_id:
            self.show(chain)

    def show(self, chain: Chain | None) -> None:
        """Show a chain. The same chain keeps its scroll position and gets its current annotations."""
        before, self.shown = self.shown, chain
        self._wanted = chain.row.id if chain else None
        self.query_one("#title", Static).update(title(chain.row, chain.text) if chain else "")
        self.query_one("#origin", Static).update(origin(chain.row) if chain else "")
        self.query_one("#remarks", Static).update(remarks(chain.records) if chain else "")
        if chain and before and before.row.id == chain.row.id:
            self.reader.set_spans(spans_of(chain.records))
        else:
            self.query_one("#statement-text", Static).update(Text(visible(question_of(chain.text)) if chain else ""))
            self.query_one("#statement").scroll_home(animate=False)
            self.reader.load(chain.document if chain else None)
        self.post_message(self.Shown())
