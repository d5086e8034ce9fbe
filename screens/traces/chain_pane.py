"""One chain with its problem: title, origin, statement, reader and annotations."""

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
from screens.base.screen import LabScreen
from screens.traces.reading import Chain, read_chain, spans_of
from screens.traces.text import origin, remarks, title
from store.connection import Store


class ChainPane(Vertical):
    """Reads and shows a chain."""

    class Shown(Message):
        """The pane shows another chain, none, or the same one with its present annotations."""

    def __init__(self, store: Store, *, id: str) -> None:
        super().__init__(id=id)
        self.store = store
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
    async def read(self, trace_id: str) -> None:
        """Read a chain and show it, unless another one is wanted meanwhile."""
        self._wanted = trace_id
        screen = cast(LabScreen, self.screen)
        try:
            chain = await screen.in_thread(read_chain, self.store, trace_id)
        except Exception as error:
            screen.report(error)
            return
        if self._wanted == trace_id:
            self.show(chain)

    def show(self, chain: Chain | None) -> None:
        """Show a chain; the chain that is shown already keeps its place and gets its present annotations."""
        before, self.shown = self.shown, chain
        self._wanted = chain.row.id if chain else None
        self.query_one("#title", Static).update(title(chain.row, chain.text) if chain else "")
        self.query_one("#origin", Static).update(origin(chain.row) if chain else "")
        self.query_one("#remarks", Static).update(remarks(chain.records) if chain else "")
        if chain and before and before.row.id == chain.row.id:
            self.reader.set_spans(spans_of(chain.records))
        else:
            self.query_one("#statement-text", Static).update(Text(visible(chain.text.statement) if chain else ""))
            self.query_one("#statement").scroll_home(animate=False)
            self.reader.load(chain.document if chain else None)
        self.post_message(self.Shown())
