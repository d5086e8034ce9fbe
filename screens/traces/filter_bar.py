"""The filter line: what has been typed so far, completed, explained and checked."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import ClassVar

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.suggester import Suggester
from textual.widgets import Input, Static
from textual.worker import Worker

from o1lab.text import visible
from o1lab.widgets.line_input import LineInput
from o1lab.widgets.tall_text import TallText
from store.errors import QueryError
from store.query import (
    DECISIONS,
    FLAGS,
    NUMBER_FIELDS,
    SORTS,
    SYNONYMS,
    TEXT_FIELDS,
    VERDICTS,
    TraceQuery,
    parse_query,
)

_NAMES = ("sort", *TEXT_FIELDS, *FLAGS, *NUMBER_FIELDS, *(word for word in SYNONYMS if word not in ("right", "wrong")))
_UNFINISHED = re.compile(r"(?:^|\s)-?[a-z]+(?:[:<>=]|>=|<=)-?\"?$")
_LAST = re.compile(r"(?P<before>.*(?:^|\s)-?)(?:(?P<field>[a-z]+):)?(?P<start>[^\s:\"]*)$", re.DOTALL)

PAUSE_S = 0.2  # of not typing, before the list follows

_EXPLAINED = {
    "verdict": "verdict: " + ", ".join(VERDICTS),
    "decision": "decision: " + ", ".join(DECISIONS),
    "sort": "sort by " + ", ".join(SORTS) + "; sort:-chars turns it round",
    "model": "model (or teacher): a part of the name",
    "key": "key: a part of the problem's name at its source",
    "id": "id: how the trace's id begins",
    "problem": "problem: how the problem's id begins",
    "parent": "parent: how the id of the trace it was edited from begins",
    "tag": "tag: one that was given",
    "dataset": "dataset: the name of one that holds the trace",
    "run": "run: how the id of the teacher run that made it begins",
    **dict.fromkeys(FLAGS, "yes or no"),
    "reflective": "reflective: yes or no; it reflects, and goes back or checks as well",
    **dict.fromkeys(NUMBER_FIELDS, "a number, compared: reflect>=3, chars<10k"),
}
HELP = (
    'words or "a phrase" in any text, -word without it · verdict: decision: teacher: tag: source: key: '
    "complete: looping: · rating chars tokens reflect backtrack verify … >=3 · sort:-chars"
)


def explain(text: str) -> str:
    """Help for the word that is being typed."""
    word = re.search(r"(?:^|\s)-?([a-z]+)[:<>=]\S*$", text)
    name = word[1] if word else ""
    return _EXPLAINED.get(SYNONYMS.get(name, name), HELP)


def is_unfinished(text: str) -> bool:
    """Whether the last word is a field that still lacks its value."""
    return bool(_UNFINISHED.search(text))


def begins_a_field(text: str) -> bool:
    """Whether the last word may become a field: it is not searched for until it is more, or enter is pressed."""
    word = re.search(r"(?:^|\s)-?([a-z]+)$", text)
    return word is not None and any(name.startswith(word[1]) for name in _NAMES)


def with_sort(text: str, order: str) -> str:
    """The same filter in another order."""
    kept = re.sub(r"(^|\s)sort:\S*", " ", text)
    return " ".join([*kept.split(), *([f"sort:{order}"] if order and order != "added" else [])])


class QuerySuggester(Suggester):
    """Completes field names, and values where there is a known set of them."""

    def __init__(self) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self.values: Mapping[str, Sequence[str]] = {}

    async def get_suggestion(self, value: str) -> str | None:
        last = _LAST.match(value)
        if last is None or not (last["start"] or last["field"]):
            return None
        start, name = last["start"], SYNONYMS.get(last["field"] or "", last["field"] or "")
        if name:
            found = next((word for word in self.words(name) if word.lower().startswith(start.lower())), None)
            return None if found is None or not start else value + found[len(start) :]
        fields = ("verdict", "decision", "teacher", "tag", "sort", *TEXT_FIELDS, *FLAGS)
        word = next((f"{field}:" for field in fields if field.startswith(start)), None)
        word = word or next((f"{field}>=" for field in NUMBER_FIELDS if field.startswith(start)), None)
        return None if word is None or len(start) < 2 else value + word[len(start) :]

    def words(self, name: str) -> Sequence[str]:
        """The values ``name`` can have."""
        fixed = {"verdict": (*VERDICTS, "right", "wrong"), "decision": DECISIONS, "sort": tuple(SORTS)}
        fixed |= dict.fromkeys(FLAGS, ("yes", "no"))
        return fixed.get(name) or self.values.get(name, ())


class FilterInput(LineInput):
    """The line itself; tab takes what is offered."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "complete", "Complete", show=False),
        Binding("escape", "give_up", "Back", show=True),
    ]

    def action_complete(self) -> None:
        """Take the completion that stands behind the cursor."""
        if self.cursor_at_end and self._suggestion:
            self.value = self._suggestion
            self.cursor_position = len(self.value)

    async def action_submit(self) -> None:
        """Use the filter. The focus leaves at once, so that the next key is already the list's."""
        if self.query_ancestor(FilterBar).use(self.value):
            await super().action_submit()

    def action_give_up(self) -> None:
        """Leave the line with the filter as it was before."""
        self.query_ancestor(FilterBar).give_up()


class FilterBar(Vertical):
    """The filter line with its help, or its error, underneath while it is being typed."""

    class Changed(Message):
        """A filter that means something, as it is being typed (``final``: enter was pressed)."""

        def __init__(self, query: TraceQuery, *, final: bool) -> None:
            super().__init__()
            self.query = query
            self.final = final

    class GivenUp(Message):
        """Escape was pressed in the line."""

    def __init__(self, goes_to: str, *, id: str | None = None) -> None:
        """``goes_to`` selects the widget that gets the focus once a filter is in use."""
        super().__init__(id=id)
        self.goes_to = goes_to
        self.suggester = QuerySuggester()
        self._pause: Worker[None] | None = None

    def compose(self) -> ComposeResult:
        yield FilterInput(
            placeholder="filter and search: / then for example  verdict:wrong reflect>=2 wait",
            suggester=self.suggester,
            select_on_focus=False,
            compact=True,
            id="filter-line",
        )
        yield TallText(id="filter-help", markup=False)

    @property
    def line(self) -> FilterInput:
        return self.query_one(FilterInput)

    def set_text(self, text: str) -> None:
        """Put a filter into the line without asking for anything."""
        with self.prevent(Input.Changed):
            self.line.value = text
            self.line.cursor_position = len(text)
        self.set_class(False, "-wrong")

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._read(event.value, final=False)

    def use(self, text: str) -> bool:
        """Use a filter, if it means something, and hand on the focus."""
        if not self._read(text, final=True):
            return False
        self.screen.set_focus(self.screen.query_one(self.goes_to))
        return True

    def on_descendant_focus(self) -> None:
        self._say(explain(self.line.value))
        self.add_class("-typing")

    def on_descendant_blur(self) -> None:
        self.remove_class("-typing")

    def give_up(self) -> None:
        """Leave the line; the screen puts back the filter it had."""
        self._forget_pause()
        self.post_message(self.GivenUp())
        self.screen.set_focus(self.screen.query_one(self.goes_to))

    def _forget_pause(self) -> None:
        if self._pause is not None:
            self._pause.cancel()

    @work(exclusive=True, group="typing")
    async def _follow(self, query: TraceQuery) -> None:
        """Let the list follow after a pause. No timer: Textual skips one that comes late on a busy machine."""
        await asyncio.sleep(PAUSE_S)
        self.post_message(self.Changed(query, final=False))

    def _read(self, text: str, *, final: bool) -> bool:
        self._forget_pause()
        unfinished = is_unfinished(text)
        try:
            query = parse_query(text)
        except QueryError as error:
            begun = unfinished or text.endswith(("-", '"'))
            self._say(f"{error.message} {error.hint}", wrong=final or not begun)
            return False
        if unfinished and final:
            self._say(explain(text), wrong=True)
            return False
        self._say(explain(text))
        if final:
            self.post_message(self.Changed(query, final=True))
        elif not unfinished and not begins_a_field(text):
            self._pause = self._follow(query)
        return True

    def _say(self, text: str, *, wrong: bool = False) -> None:
        self.set_class(wrong, "-wrong")
        self.query_one("#filter-help", Static).update(Text(("! " if wrong else "") + visible(text)))
