"""The tree of a conversation in memory: the branch that is shown, walks to other branches, and saving."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from o1lab.chat import prefixes
from o1lab.chat.prefixes import Prefix
from o1lab.errors import UsageError
from o1lab.inference.events import Answer
from o1lab.inference.thoughts import ThoughtSplitter
from store import Store, branches, conversations
from store.conversations import Message
from store.records import new_id


@dataclass(frozen=True)
class Version:
    """The place of a question or an answer among its versions, such as 2 of 3."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


class BranchedHistory:
    """The messages of a conversation, of which one branch is shown.

    Args:
        store: the lab's database.
        record: the stored conversation.
        history: every message so far, those of other branches included.
    """

    def __init__(self, store: Store, record: conversations.Conversation, history: Sequence[Message] = ()) -> None:
        self.store = store
        self.record = record
        self.history = list(history)
        self.turn = record.head or self._newest
        """The number of the last question on the branch that is shown, 0 before the first question."""

    @property
    def _newest(self) -> int:
        return max((one.turn for one in self.history), default=0)

    @property
    def path(self) -> list[int]:
        """The turns of the branch that is shown, from the first question on."""
        return branches.path(self.history, self.turn)

    def answer(self, pane: int, turn: int | None = None) -> Message | None:
        """Return the answer of ``pane`` that is shown in ``turn`` (default: the last); None if there is none."""
        wanted = self.turn if turn is None else turn
        return next((m for m in self.history if m.pane == pane and m.turn == wanted and m.shown), None)

    def question(self, turn: int | None = None) -> str:
        asked = branches.question(self.history, self.turn if turn is None else turn)
        return asked.content if asked is not None else ""

    # Versions.

    def version(self, pane: int | None, turn: int | None = None) -> Version:
        """Return the place of what is shown among its versions: of a pane's answer, or of the question with None."""
        at = self.turn if turn is None else turn
        if pane is None:
            turns = [one.turn for one in branches.questions(self.history, at)]
            return Version(turns.index(at) + 1 if at in turns else 0, len(turns))
        known = branches.answers(self.history, pane, at)
        return Version(next((n for n, one in enumerate(known, 1) if one.shown), 0), len(known))

    def other_answer(self, pane: int, turn: int, steps: int) -> Message | None:
        """Return the version of an answer some steps after the one that is shown; None beyond the first and last."""
        known, here = branches.answers(self.history, pane, turn), self.version(pane, turn)
        at = here.number - 1 + steps
        return known[at] if here.number and 0 <= at < len(known) else None

    def other_question(self, turn: int, steps: int) -> Message | None:
        """Return the version of a question some steps after the one that is shown; None beyond the first and last."""
        known, here = branches.questions(self.history, turn), self.version(None, turn)
        at = here.number - 1 + steps
        return known[at] if here.number and 0 <= at < len(known) else None

    async def walk(self, to: Message) -> None:
        """Show another version of a question or an answer, and the latest branch that follows it."""
        history = [
            replace(one, shown=one.id == to.id) if to.pane is not None and (one.pane, one.turn) == (to.pane, to.turn)
            else one
            for one in branches.with_branch(self.history, to.turn)
        ]  # fmt: skip
        head = branches.latest(history, to.turn)
        history = branches.with_branch(history, head)
        await self._write(lambda: branches.show(self.store.db, self.history, history, head))
        self.history, self.turn = history, head

    async def beginning(self, message: Message, model: str) -> Prefix:
        """Return the whole text of an answer as a beginning, with its tokens where they are known.

        Args:
            message: the answer.
            model: its writer, if none is stored.
        """
        tokens = await self.store.in_thread(branches.tokens_of, message.id)
        return replace(prefixes.of_answer(message, model), tokens=tokens)

    def require_question(self, turn: int) -> None:
        """Check that there is such a question on the branch that is shown.

        Raises:
            UsageError: there is none.
        """
        if turn not in self.path:
            raise UsageError("There is no such question.", "Write a prompt first.")

    # Saving.

    async def add_turn(self, question: str, answer: Prefix, *, panes: int, system: str = "") -> None:
        """Save a question that follows the last answers, and one answer in each pane, without asking a model.

        Args:
            question: the question.
            answer: the answer with its writers; it may have think marks.
            panes: the number of panes.
            system: the system prompt that the answer was asked with; empty for none.
        """
        follows = branches.shown(self.history, self.turn)
        asked = Message(
            new_id(), self.record.id, self._newest + 1, None, "user", "complete", question,
            parent=self.turn, follows=follows,
        )  # fmt: skip
        await self._save(asked)
        thought, content = parts(answer.text)
        for pane in range(panes):
            await self._save(
                Message(
                    new_id(), self.record.id, asked.turn, pane, "assistant", "complete", content, thought=thought,
                    raw=answer.text, spans=answer.spans, settings={"system": system, "finish_reason": "stop"},
                )
            )  # fmt: skip

    async def _save(self, *messages: Message, tokens: branches.Tokens | None = None) -> None:
        """Save messages; a new question becomes the last one, and an answer is shown instead of the one before it."""
        last = messages[-1]
        head = max(self.turn, last.turn) if last.pane is None else self.turn
        newest = max(self._newest, last.turn)
        stored = None if head == newest else head
        await self._write(lambda: branches.save(self.store.db, messages, head=stored, tokens=tokens))
        known = {one.id for one in self.history}
        fresh = {one.id: one for one in messages}
        self.history = [fresh.get(one.id, one) for one in self.history]
        self.history += [one for one in messages if one.id not in known]
        self.turn = head

    async def _write(self, write: Callable[[], None]) -> None:
        def explained() -> None:
            with self.store.explained():
                write()

        await asyncio.to_thread(explained)


def parts(text: str) -> tuple[str, str]:
    """Return thought and answer of a text with think marks, which may be cut off, as a stream would show them."""
    splitter, found = ThoughtSplitter(), Answer()
    for event in [*splitter.feed(text), *splitter.flush()]:
        found.apply(event)
    return found.thought, found.answer
