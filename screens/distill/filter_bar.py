"""The filter line of the pool: read as it is typed, its help or its error underneath."""

from __future__ import annotations

import asyncio
import re
from typing import ClassVar

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Input, Static
from textual.worker import Worker

from o1lab.text import visible
from o1lab.widgets.line_input import LineInput
from o1lab.widgets.tall_text import TallText
from store.errors import QueryError
from store.problem_query import ProblemQuery, parse_problem_query

PAUSE_S = 0.3  # of not typing, before the list follows
HELP = (
    'words or "a phrase" of the statement · source: licence: key: id: · excluded:yes, no, person or a rule · '
    "has:answer, solution or trace · -word or -field: without it"
)
_UNFINISHED = re.compile(r"(?:^|\s)-?[a-z]*:?\"?$")


class PoolInput(LineInput):
    """The line itself."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "use", "Use the filter"),
        Binding("escape", "give_up", "Back"),
    ]

    def action_use(self) -> None:
        """Use the filter. The focus leaves at once, so that the next key is already the list's."""
        self.query_ancestor(PoolFilter).use(self.value)

    def action_give_up(self) -> None:
        """Leave the line with the filter as it was before."""
        self.query_ancestor(PoolFilter).give_up()


class PoolFilter(Vertical):
    """The line and what stands under it while it is being typed."""

    class Changed(Message):
        """A filter that means something. ``final``: enter was pressed."""

        def __init__(self, query: ProblemQuery, *, final: bool) -> None:
            super().__init__()
            self.query = query
            self.final = final

    class GivenUp(Message):
        """Escape was pressed in the line."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._pause: Worker[None] | None = None

    def compose(self) -> ComposeResult:
        yield PoolInput(
            placeholder='filter: / then for example  excluded:no source:math "triangle"',
            select_on_focus=False,
            compact=True,
            id="pool-line",
        )
        yield TallText(id="pool-help", markup=False)

    @property
    def line(self) -> PoolInput:
        return self.query_one(PoolInput)

    def set_text(self, text: str) -> None:
        """Put a filter into the line without asking for anything."""
        with self.prevent(Input.Changed):
            self.line.value = text
            self.line.cursor_position = len(text)
        self.set_class(False, "-wrong")

    def use(self, text: str) -> None:
        """Use a filter, if it means something."""
        self._forget_pause()
        if (query := self._read(text, final=True)) is not None:
            self.post_message(self.Changed(query, final=True))

    def give_up(self) -> None:
        """Leave the line; the pool puts back the filter it had."""
        self._forget_pause()
        self.post_message(self.GivenUp())

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self._forget_pause()
        query = self._read(event.value, final=False)
        if query is not None and not (event.value and _UNFINISHED.search(event.value)):
            self._pause = self._follow(query)

    def on_descendant_focus(self) -> None:
        self._say(HELP)
        self.add_class("-typing")

    def on_descendant_blur(self) -> None:
        self.remove_class("-typing")

    def _forget_pause(self) -> None:
        if self._pause is not None:
            self._pause.cancel()

    @work(exclusive=True, group="typing")
    async def _follow(self, query: ProblemQuery) -> None:
        """Let the list follow after a pause."""
        await asyncio.sleep(PAUSE_S)
        self.post_message(self.Changed(query, final=False))

    def _read(self, text: str, *, final: bool) -> ProblemQuery | None:
        try:
            query = parse_problem_query(text)
        except QueryError as error:
            self._say(f"{error.message} {error.hint}", wrong=final or not _UNFINISHED.search(text))
            return None
        self._say(HELP)
        return query

    def _say(self, text: str, *, wrong: bool = False) -> None:
        self.set_class(wrong, "-wrong")
        self.query_one("#pool-help", Static).update(Text(("! " if wrong else "") + visible(text)))
