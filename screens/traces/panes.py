"""The list of traces and the chain under its cursor: side by side, or one at a time on a narrow terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical, VerticalScroll
from textual.geometry import Size
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from o1lab.paths import Lab
from o1lab.remembered import Session
from o1lab.widgets.keys import Binding
from o1lab.widgets.paged_table import PagedTable
from o1lab.widgets.reader.chain_reader import ChainReader
from o1lab.widgets.rendered import rendered_text
from o1lab.widgets.text_pane import TallText
from o1lab.widgets.typed_ahead import post_held
from screens.base.messages import ContinueChain
from screens.base.screen import ScreenPart, reported, task
from screens.base.split import Split
from screens.traces.converging import CONVERGENCE_BINDINGS, AnswersLine
from screens.traces.reading import Chain, read_chain
from screens.traces.text import origin, question_of, remarks, title
from screens.traces.trace_list import TraceList
from store import traces
from store.connection import Store
from store.filters import TraceQuery
from store.records import Annotation
from store.sqlite import Database

CHAIN_BINDINGS: list[BindingType] = [
    Binding("ctrl+e", "edit_answer", "Edit and continue", key_display="^e", show=False,
            tooltip="Cut or change this chain in Compare, and let a model continue from there"),
    Binding("percent_sign", "lens", "Lens", key_display="%", show=False,
            tooltip="Show how likely models find each token of the chain"),
    Binding("H", "tree", "Tree", show=False, tooltip="Show the search tree that the chain was made from"),
    Binding("e", "edit", "Edit", tooltip="Edit the chain in $EDITOR: a new trace with this one as its parent"),
    Binding("c", "side_by_side", "Side by side", tooltip="Read the chains of this problem side by side"),
    Binding("i", "statement", "Problem", show=False, tooltip="Show or fold the statement of the problem"),
    Binding("y", "copy_id", "Copy id", show=False, tooltip="Copy the trace's id"),
]  # fmt: skip
"""The keys for the chain under the cursor, other than those that annotate it."""


class ChainPane(Vertical, ScreenPart):
    """Reads and shows a chain, and below it where models have its answer."""

    class Shown(Message):
        """The pane shows another chain, no chain, or the same chain with its current annotations."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.shown: Chain | None = None
        self._wanted: str | None = None
        self._compact = False

    def compose(self) -> ComposeResult:
        yield Static(id="title", markup=False)
        yield Static(id="origin", markup=False)
        with VerticalScroll(id="statement", can_focus=False):
            yield TallText(id="statement-text", markup=False)
        yield ChainReader(labelling=True, correcting=True, id="reader")
        yield AnswersLine()
        yield Static(id="remarks", markup=False)

    @property
    def reader(self) -> ChainReader:
        return self.query_one(ChainReader)

    @property
    def answers(self) -> AnswersLine:
        return self.query_one(AnswersLine)

    @task(exclusive=True, group="chain")
    async def read(self, trace_id: str) -> None:
        """Read a chain and show it, unless another one is requested in the meantime."""
        self._wanted = trace_id
        chain = await self.lab_screen.read(read_chain, trace_id, self.lab_screen.context.writable)
        if self._wanted == trace_id:
            self.show(chain)

    def show(self, chain: Chain | None) -> None:
        """Show a chain. The same chain keeps its scroll position and gets its current annotations."""
        before, self.shown = self.shown, chain
        self._wanted = chain.row.id if chain else None
        self.query_one("#title", Static).update(title(chain.row, chain.text) if chain else "")
        self.query_one("#origin", Static).update(origin(chain.row, chain.text, chain.fit) if chain else "")
        self._show_remarks()
        self.answers.follow(self._wanted)
        if chain and before and before.row.id == chain.row.id:
            self.reader.remark(chain.document)
        else:
            self.query_one("#statement-text", Static).update(rendered_text(question_of(chain.text)) if chain else "")
            self.query_one("#statement").scroll_home(animate=False)
            self.reader.load(chain.document if chain else None)
        self.post_message(self.Shown())

    def set_compact(self, compact: bool) -> None:
        """Leave more lines for the text: the annotations are shown in the status line of the reader."""
        if compact != self._compact:
            self._compact = compact
            self._show_remarks()

    def _show_remarks(self) -> None:
        text = remarks(self.shown.records, self.shown.view) if self.shown else Text()
        self.query_one("#remarks", Static).update(text)
        self.reader.set_aside(text if self._compact else None)


_CURSOR = "traces.cursor"
WIDE = 110
SHORT = 30
"""On a terminal with fewer rows, and a narrow one, what is around the text of a chain takes fewer lines."""


class TracePanes(Split, ScreenPart):
    """A ``TraceList`` and a ``ChainPane`` that show the same trace.

    On a narrow terminal the screen has the class ``-narrow`` and, while the chain is shown, ``-reading``.
    """

    BINDINGS = CONVERGENCE_BINDINGS

    def __init__(self, store: Store, session: Session, say: Callable[[str], None], *, id: str) -> None:
        """Create both panes; ``say`` shows a message."""
        super().__init__(session=session, name="traces", id=id)
        self.say = say
        self.list = TraceList(store, id="list")
        self.chain = ChainPane(id="chain")
        self._to_read = False  # enter was pressed on a row whose chain is loading

    def compose(self) -> ComposeResult:
        yield self.list
        yield self.chain

    # Which trace.

    def in_reader(self) -> tuple[str | None, Sequence[Annotation]]:
        """Return the trace in the reader, None unless it is under the cursor, with its annotations."""
        chain = self.chain.shown
        return (chain.row.id, chain.records) if chain and chain.row.id == self.list.target else (None, ())

    def show(self, query: TraceQuery, trace_id: str | None = None) -> None:
        """List the traces of a filter, from the top or from ``trace_id``."""
        self._to_read = False
        self.list.show(query)
        if trace_id is not None:
            self.go_to(trace_id)

    @work(exclusive=True, group="go")
    async def go_to(self, trace_id: str) -> None:
        """Show a trace in list and reader."""
        await self.go(trace_id)

    @task(exclusive=True, group="go")
    async def go_to_undecided(self) -> None:
        """Show the next trace that the person has not decided on in list and reader."""
        query, wanted = self.list.query_now, self.list.wanted
        if wanted is None:
            return
        found = await self.lab_screen.read(traces.next_undecided, query, wanted)
        if found is None:
            self.say("There is nothing left to decide in this list.")
        else:
            await self.go(found)

    @reported
    async def go(self, trace_id: str, *, leaving: str | None = None) -> None:
        """Read a trace, then show it in list and reader, unless the user has left ``leaving`` in the meantime."""
        query = self.list.query_now
        chain, index = await self.lab_screen.read(_read_placed, query, trace_id, self.lab_screen.context.writable)
        if (leaving is not None and self.list.wanted != leaving) or self.list.query_now is not query:
            return
        if index is None:
            self.say(f"Trace {chain.row.id[:8]} does not match the filter; shown anyway.")
        self.list.point(chain.row.id, index)
        self.chain.show(chain)

    async def remembered(self, query: TraceQuery) -> str | None:
        """Return the trace that was under the cursor when the app closed, if the filter still finds it."""
        trace_id = self.session.get(_CURSOR, "")
        known = trace_id and await self.lab_screen.read(traces.position, query, trace_id) is not None
        return trace_id if known else None

    @on(TraceList.Pointed)
    def _pointed(self, event: TraceList.Pointed) -> None:
        if event.trace_id is None:
            self.chain.show(None)
        else:
            self.session.set(_CURSOR, event.trace_id)
            self.chain.read(event.trace_id)

    # The chain under the cursor, also while the reader still shows another one.

    def need_target(self) -> str | None:
        """Return the trace under the cursor; if there is none, say why."""
        if self.list.target is None:
            self.notify(self.list.no_target)
        return self.list.target

    def action_converge(self) -> None:
        """Let a model answer after each move of the chain."""
        if (trace_id := self.need_target()) is not None:
            self.chain.answers.choose(trace_id)

    @on(AnswersLine.Asked)
    def _show_answers(self) -> None:
        """Show the chain, which has the line of the answers below it, if only the list is shown."""
        if self.screen.has_class("-narrow"):
            self.show_reader()

    def action_stop(self) -> None:
        """Stop the model that answers."""
        self.chain.answers.stop()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "stop":
            return self.is_mounted and bool(self.chain.answers.running)
        return super().check_action(action, parameters)

    def action_anchors(self) -> None:
        """Show which sentences of the chain change its answer."""
        from screens.traces.anchors import AnchorsScreen

        if (trace_id := self.need_target()) is not None:
            self.app.push_screen(AnchorsScreen(self.lab_screen.context, trace_id))

    def open_lens(self) -> None:
        """Show how likely models find each token of the chain under the cursor."""
        from screens.traces.lens import LensScreen

        if (trace_id := self.need_target()) is not None:
            self.app.push_screen(LensScreen(self.lab_screen.context, trace_id))

    def edit_answer(self) -> None:
        """Open the chain under the cursor in Compare, at the end of the current move: a model continues from there."""
        if (trace_id := self.need_target()) is not None:
            reader, chain, at = self.chain.reader, self.chain.shown, None
            move = reader.current_move if reader.has_focus_within else None
            if move is not None and chain is not None and chain.row.id == trace_id:
                at = chain.text.thought_span[0] + move[1].end
            post_held(self, ContinueChain(trace_id, at))

    @task(exclusive=True, group="tree", dialog=True)
    async def open_tree(self) -> None:
        """Show the search tree that the chain under the cursor was made from."""
        from screens.traces.tree import show_tree

        if (trace_id := self.need_target()) is not None:
            await show_tree(self.lab_screen, trace_id)

    # Which pane.

    def fit(self, size: Size) -> None:
        """Show both panes, or on a narrow terminal the focused one, with little around it if it is also short."""
        narrow = size.width < WIDE
        self.screen.set_class(narrow, "-narrow")
        self.screen.set_class(narrow and size.height < SHORT, "-compact")
        self.chain.set_compact(narrow and size.height < SHORT)
        if narrow and self.chain.reader.has_focus_within:
            self.screen.add_class("-reading")

    def on_descendant_focus(self) -> None:
        self.screen.set_class(self.chain.reader.has_focus_within, "-reading")

    def show_reader(self, *, when_loaded: bool = False) -> None:
        """Go to the chain; with ``when_loaded``, as soon as it has loaded."""
        loaded = self.chain.shown is not None
        self._to_read = when_loaded and not loaded
        if loaded:
            self.screen.add_class("-reading")
            self.focus_now(self.chain.reader.body)

    def show_list(self, focus: Widget | None = None) -> None:
        """Go to the list, or to the widget ``focus``."""
        self._to_read = False
        self.screen.remove_class("-reading")
        self.focus_now(focus or self.list)

    def focus_now(self, widget: Widget) -> None:
        """Move the focus before the next key is handled, so that keys typed ahead do not go to the other pane."""
        if widget.focusable:
            self.screen.set_focus(widget)
        else:
            widget.focus()  # not laid out yet

    @on(PagedTable.RowSelected)
    def _row_selected(self) -> None:
        self.show_reader(when_loaded=True)

    @on(ChainPane.Shown)
    def _chain_shown(self) -> None:
        if self._to_read:
            self.show_reader()


def _read_placed(db: Database, query: TraceQuery, trace_id: str, lab: Lab | None) -> tuple[Chain, int | None]:
    chain = read_chain(db, trace_id, lab)
    return chain, traces.position(db, query, chain.row.id)
