"""Recorded chains in conversations: a model continues a chain of the lab from a move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from o1lab.chat import prefixes
from o1lab.chat.answering import cannot_continue
from o1lab.chat.conversation import ConversationSession
from o1lab.chat.prefixes import Prefix
from o1lab.errors import UsageError
from o1lab.ingest.measuring import moves_of
from o1lab.serve.registry import ModelRef
from store import Store, traces
from store.conversations import Span
from store.errors import NotFoundError
from store.writers import writers_of


@dataclass(frozen=True)
class Chain:
    """A recorded chain as the beginning of an answer.

    Attributes:
        trace_id: the trace.
        asked: what was asked, the question last.
        model: the model that wrote it, or the first that did.
        whole: the whole response, with its writers.
        ends: the offset in it at which each move of the thought ends; empty without a thought.
    """

    trace_id: str
    asked: tuple[dict[str, str], ...]
    model: str
    whole: Prefix
    ends: tuple[int, ...]

    @property
    def question(self) -> str:
        return self.asked[-1]["content"]

    def up_to(self, move: int | None) -> tuple[Prefix, str]:
        """Return the chain up to the end of a move, and what a cut there was inside of.

        Args:
            move: the number of moves that are kept; 0 keeps what is before the thought. None keeps the whole response.

        Raises:
            UsageError: the chain has fewer moves.
        """
        if move is None:
            return self.whole, ""
        if not 0 <= move <= len(self.ends) or not self.ends:
            have = f"{len(self.ends)} moves" if self.ends else "no thought"
            raise UsageError(f"{self.trace_id[:8]} has {have}.", "`o1lab traces show` lists them.")
        at, inside = prefixes.snapped(self.whole.text, self.ends[move - 1] if move else self._begin)
        return prefixes.cut(self.whole, at), inside

    @property
    def _begin(self) -> int:
        return self.whole.text.find("\n") + 1 if self.whole.text.startswith("<think>\n") else 0


def read_chain(store: Store, trace_id: str) -> Chain:
    """Read a chain of the lab.

    Raises:
        NotFoundError: there is no such trace.
    """
    with store.explained():
        row = traces.get(store.db, trace_id)
        text = traces.text(store.db, row.id)
    several = [Span(one.start, one.end, "model", one.model) for one in writers_of(text.meta, len(text.raw))]
    spans = tuple(several) or prefixes.written_by(text.raw, row.model)
    asked = tuple({"role": str(one["role"]), "content": str(one["content"])} for one in text.context)
    start, end = text.thought_span
    ends = tuple(start + move.end for move in moves_of(text)) if end > start and not text.outside else ()
    asked = asked or ({"role": "user", "content": text.statement},)
    return Chain(row.id, asked, row.model, Prefix(text.raw, spans), ends)


def find_chain(store: Store, name: str) -> tuple[Chain, int | None]:
    """Return the chain that ``TRACE`` or ``TRACE:MOVE`` names, and the number of moves.

    Raises:
        NotFoundError: there is no such trace.
    """
    trace, _, number = name.rpartition(":")
    try:
        return read_chain(store, name), None
    except NotFoundError:
        if not trace or not number.isdecimal():
            raise
    return read_chain(store, trace), int(number)


async def open_chain(session: ConversationSession, chain: Chain) -> None:
    """Put what was asked, and the chain as the answer of each pane, into a new conversation; no model is asked.

    A system prompt of the chain becomes that of the conversation. Without one, that of the settings stays.
    """
    system = "\n\n".join(one["content"] for one in chain.asked if one["role"] == "system")
    if system:
        settings = session.settings
        panes = tuple({name: value for name, value in own.items() if name != "system"} for own in settings.panes)
        await session.change(replace(settings, system=system, panes=panes))
    *turns, last = [one for one in chain.asked if one["role"] != "system"]
    asked: list[str] = []
    for one in turns:
        if one["role"] == "assistant":
            answer = Prefix(one["content"], prefixes.written_by(one["content"], chain.model))
            await session.add_turn("\n\n".join(asked), answer, panes=len(session.refs), system=system)
            asked = []
        else:
            asked.append(one["content"])
    question = "\n\n".join([*asked, last["content"]])
    await session.add_turn(question, chain.whole, panes=len(session.refs), system=system)


@dataclass(frozen=True)
class ContinuedChain:
    """The part of a chain that models continue, each in its pane.

    Attributes:
        chain: the chain.
        prefix: its beginning, perhaps with text that a person appended.
        refs: the models.
        move: the number of moves that are kept; None for all of it.
        inside: what the end of the last move was inside; the prefix ends before it. Empty if it was inside nothing.
    """

    chain: Chain
    prefix: Prefix
    refs: Sequence[ModelRef]
    move: int | None
    inside: str

    @classmethod
    def of(cls, store: Store, name: str, refs: Sequence[ModelRef], *, appended: str, by: str) -> Self:
        """Return the chain that ``TRACE`` or ``TRACE:MOVE`` names, up to there, with the text that a person appended.

        Raises:
            UsageError: one of the models cannot continue a text, or the chain has fewer moves.
            NotFoundError: there is no such trace.
        """
        if whys := [why for ref in refs if (why := cannot_continue(ref))]:
            raise UsageError(*whys[0])
        chain, move = find_chain(store, name)
        prefix, inside = chain.up_to(move)
        if appended:
            prefix = prefixes.changed(prefix, prefix.text + appended, by)
        return cls(chain, prefix, refs, move, inside)

    async def start(self, session: ConversationSession) -> None:
        """Put the chain into a new conversation, and let each model continue it in its pane."""
        await open_chain(session, self.chain)
        for pane, ref in enumerate(self.refs):
            await session.continue_from(pane, self.prefix, ref=ref)

    def facts(self) -> dict[str, Any]:
        """Return what a script may want to know of it."""
        continues = {"trace": self.chain.trace_id, "move": self.move, "characters": len(self.prefix.text)}
        return {"prompt": self.chain.question, "continues": continues}
