"""A conversation with several models: each pane has one model, and all panes get the same questions."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Literal, NotRequired, TypedDict, Unpack

from o1lab.chat.answering import (
    ContinuedAnswer,
    PendingAnswer,
    cannot_continue,
    continuation_of,
    next_sampling,
    origin,
    saving_every,
)
from o1lab.chat.branches import BranchedHistory, parts
from o1lab.chat.panes import PaneEvent, Saved, Settings, Verifier, model_of, settings_from, verdict_on
from o1lab.chat.prefixes import Prefix
from o1lab.chat.votes import ballot_on
from o1lab.errors import O1LabError, UsageError
from o1lab.inference.calls import Message, RequestError
from o1lab.inference.events import Done, Event, Failed
from o1lab.serve.endpoints import ModelAddress
from o1lab.serve.registry import ModelRef
from store import Store, branches, conversations
from store.errors import StoreError
from store.records import new_id

if TYPE_CHECKING:
    from o1lab.inference.chat_client import ChatClient

Opener = Callable[[ModelRef], Awaitable[ModelAddress]]
Listener = Callable[[PaneEvent], None]


class SessionOptions(TypedDict):
    """What a session works with; see :class:`ConversationSession`."""

    opener: Opener
    listener: Listener
    client: NotRequired[ChatClient | None]
    verifier: NotRequired[Verifier | None]


KEEP_EVERY_S = 1.0
"""Seconds after which the text that has arrived of an answer is saved, for a program that is killed."""


class ConversationSession(BranchedHistory):
    """A conversation with several models at once. Create it with :meth:`begin` or :meth:`resume`, in one event loop.

    A question, or the beginning of an answer that is continued, is saved before any pane starts; an answer, even a
    partial one, before its last event (``Done``, ``Failed``) is reported, and every second until then. Each pane is a
    separate task: panes neither wait for each other nor fail together.

    Args:
        store: the lab's database.
        record: the stored conversation.
        refs: the model of each pane.
        settings: the settings of all panes.
        opener: starts a model, or finds its server, and returns its address.
        listener: called in the event loop with every event of every pane.
        client: streams the answers; None for a new one, which :meth:`close` closes.
        verifier: judges answers to questions with a gold answer; None for no verdicts.
        history: the messages so far, those of all branches.
        find: returns the model with an id, for answers that another model than that of their pane continued.
    """

    def __init__(
        self,
        store: Store,
        record: conversations.Conversation,
        refs: Sequence[ModelRef],
        settings: Settings,
        *,
        opener: Opener,
        listener: Listener,
        client: ChatClient | None = None,
        verifier: Verifier | None = None,
        history: Sequence[conversations.Message] = (),
        find: Callable[[str], ModelRef] | None = None,
    ) -> None:
        super().__init__(store, record, history)
        self.refs = list(refs)
        self.settings = settings
        self._guests: dict[str, ModelRef] = {}
        self._find = find
        self._opener = opener
        self._listener = listener
        self._client = client or _new_client()
        self._owns_client = client is None
        self._verifier = verifier
        self._tasks: dict[int, asyncio.Task[None]] = {}

    @classmethod
    async def begin(
        cls,
        store: Store,
        refs: Sequence[ModelRef],
        settings: Settings,
        *,
        title: str = "",
        **options: Unpack[SessionOptions],
    ) -> ConversationSession:
        """Create a conversation with one pane for each of ``refs``."""
        panes = [(ref.id, ref.label) for ref in refs]
        record = await store.in_thread(conversations.create, title, panes, asdict(settings))
        return cls(store, record, refs, settings, **options)

    @classmethod
    async def resume(
        cls,
        store: Store,
        conversation_id: str,
        find: Callable[[str], ModelRef],
        **options: Unpack[SessionOptions],
    ) -> ConversationSession:
        """Continue a saved conversation. A pane whose model no longer exists answers with an error.

        Args:
            find: returns the model with an id; raises ``O1LabError`` if there is none.

        Raises:
            store.errors.NotFoundError: there is no such conversation.
        """

        def read() -> tuple[conversations.Conversation, list[conversations.Message]]:
            record = conversations.get(store.db, conversation_id)
            return record, conversations.messages(store.db, record.id, branches=True)

        record, history = await asyncio.to_thread(read)
        refs = [model_of(find, pane) for pane in record.panes]
        return cls(store, record, refs, settings_from(record.settings), history=history, find=find, **options)

    @property
    def busy(self) -> bool:
        return any(not task.done() for task in self._tasks.values())

    def answering(self, pane: int) -> bool:
        task = self._tasks.get(pane)
        return task is not None and not task.done()

    async def send(self, text: str, *, instead_of: int | None = None) -> int:
        """Save a question and ask all panes; returns the number of its turn.

        Args:
            text: the question.
            instead_of: the turn of a question that this one is another version of: it begins a branch there. None: it
                follows the last answers.

        Raises:
            UsageError: a pane is still answering, or the question is empty.
        """
        if self.busy:
            raise UsageError("An answer is still in progress.", "Stop it first, or wait for its end.")
        if not text.strip():
            raise UsageError("The prompt is empty.", "Write a prompt first.")
        earlier = branches.question(self.history, instead_of) if instead_of is not None else None
        follows = branches.shown(self.history, self.turn) if earlier is None else earlier.follows
        question = conversations.Message(
            new_id(), self.record.id, self._newest + 1, None, "user", "complete", text, settings=asdict(self.settings),
            parent=self.turn if earlier is None else earlier.before, follows=follows,
        )  # fmt: skip
        await self._save(question)
        for pane in range(len(self.refs)):
            self._start(pane)
        return question.turn

    def regenerate(self, pane: int) -> None:
        """Answer the last question again in one pane; the old answer stays until there is a new one.

        An answer that continues a beginning is continued again from there, by the same model. When sampling, the seed
        is increased so that the answer may differ; at temperature 0 it stays the same.

        Raises:
            UsageError: there is no question yet, or this pane is still answering.
        """
        if self.turn == 0:
            raise UsageError("There is no question yet.", "Write a prompt first.")
        if self.answering(pane):
            raise UsageError("This answer is still in progress.", "Stop it first.")
        before, known = self.answer(pane), (*self.refs, *self._guests.values())
        self._start(pane, continuation_of(before, known, self._find) if before is not None else None)

    async def continue_from(self, pane: int, prefix: Prefix, *, turn: int | None = None, ref: ModelRef) -> None:
        """Save the beginning of an answer as a new version, and let a model continue it.

        Args:
            pane: the pane whose answer it is.
            prefix: the beginning.
            turn: the turn of the answer; None for the last. The turns after it stay on their branch.
            ref: the model that continues it; it need not have a pane.

        Raises:
            UsageError: an answer is still arriving, there is no such question, or the model cannot continue a text.
        """
        at = self.turn if turn is None else turn
        if self.answering(pane) or (self.busy and at != self.turn):
            raise UsageError("An answer is still in progress.", "Stop it first, or wait for its end.")
        self.require_question(at)
        if why := cannot_continue(ref):
            raise UsageError(*why)
        before = self.answer(pane, at)
        thought, answer = parts(prefix.text)
        message = conversations.Message(
            new_id(), self.record.id, at, pane, "assistant", "stopped", answer, thought=thought, raw=prefix.text,
            spans=prefix.spans,
            settings=asdict(self._asked_with(pane, ref)) | origin(prefix, ref) | {"finish_reason": "stopped"},
        )  # fmt: skip
        self.turn = at
        await self._save(*([replace(before, shown=False)] if before else []), message)
        self._guests[ref.id] = ref
        self._start(pane, ContinuedAnswer(prefix, ref, message))

    async def stop(self, pane: int | None = None) -> None:
        """Stop one pane or all; the text so far is saved as a stopped answer."""
        chosen = [pane] if pane is not None else list(self._tasks)
        tasks = [self._tasks[p] for p in chosen if self.answering(p)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def wait(self) -> None:
        """Wait until every current answer has ended."""
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def close(self) -> None:
        """Stop all answers (partial ones are saved) and close the connections."""
        await self.stop()
        if self._owns_client:
            await self._client.close()

    def messages_for(self, pane: int, ref: ModelRef | None = None) -> list[Message]:
        """Return the messages for ``pane``: system prompt, answered turns without their thoughts, last question.

        Args:
            pane: the pane.
            ref: the model that is asked; None for that of the pane.
        """
        found: list[Message] = []
        for turn in self.path:
            answer = self.answer(pane, turn)
            if turn == self.turn:
                found.append({"role": "user", "content": self.question(turn)})
            elif answer is not None and answer.content:
                found.append({"role": "user", "content": self.question(turn)})
                found.append({"role": "assistant", "content": answer.content})
        return (ref or self.refs[pane]).prompt.conversation(found, system=self.settings.of(pane).system)

    def system_of(self, pane: int) -> str:
        """Return the system prompt that ``pane`` is asked with; empty for none."""
        return self._asked_with(pane, self.refs[pane]).system or ""

    def _asked_with(self, pane: int, ref: ModelRef) -> Settings:
        """Return the settings of a pane, with the system prompt that ``ref`` is asked with."""
        settings = self.settings.of(pane)
        return replace(settings, system=ref.prompt.system_prompt if settings.system is None else settings.system)

    async def change(self, settings: Settings) -> None:
        """Keep settings with the conversation; they apply from the next answer on."""

        def write() -> None:
            with self.store.explained():
                conversations.set_settings(self.store.db, self.record.id, asdict(settings))

        await asyncio.to_thread(write)
        self.settings, self.record = settings, replace(self.record, settings=asdict(settings))

    def order(self, turn: int | None = None) -> list[int]:
        """Return the panes in display order; if blind, shuffled for each turn, with a seed that makes it repeatable."""
        panes = list(range(len(self.refs)))
        if self.settings.blind:
            random.Random(f"{self.record.id}:{self.turn if turn is None else turn}").shuffle(panes)  # noqa: S311 - an order, no secret
        return panes

    async def vote(
        self,
        winner: int | Literal["tie", "none"],
        annotator: str,
        *,
        turn: int | None = None,
        blind: bool | None = None,
    ) -> conversations.Vote:
        """Save a vote.

        Args:
            winner: the number of the preferred pane (not its place on the screen), ``tie``, or ``none`` if no answer
                is good.
            annotator: who votes.
            turn: the turn; None for the last.
            blind: whether the names were hidden; None for the setting of the conversation.

        Raises:
            UsageError: there are not two answers, ``winner`` is not one of them, or not all of an answer is by the
                model of its pane.
        """
        voted = self.turn if turn is None else turn
        answers = [one for pane in self.order(voted) if (one := self.answer(pane, voted)) is not None]
        hidden = self.settings.blind if blind is None else blind
        ballot = ballot_on(self.record, answers, winner, annotator, blind=hidden)
        await self.store.in_thread(conversations.vote, ballot)
        return ballot

    def _start(self, pane: int, continued: ContinuedAnswer | None = None) -> None:
        self._tasks[pane] = asyncio.create_task(self._answer(pane, self.turn, continued), name=f"pane-{pane}")

    async def _answer(self, pane: int, turn: int, continued: ContinuedAnswer | None) -> None:
        """Open the model of a pane, stream its answer and save it."""
        ref = continued.ref if continued else self.refs[pane]
        settings = self._asked_with(pane, ref)  # they may change before the answer is saved
        sampling = next_sampling(settings.sampling, self.answer(pane, turn), continued)
        pending = PendingAnswer(ref, replace(settings, sampling=sampling), continued)
        asked = self.messages_for(pane, ref)
        received = pending.received
        end: Done | Failed | None = None
        try:
            target = await self._opener(pending.ref)
            messages = await pending.prepare(target, asked)
            ids = pending.prefix.tokens_for(pending.ref.id) if pending.prefix is not None else None
            async with saving_every(lambda: self._keep_partial(pane, turn, pending), KEEP_EVERY_S):
                async for event in self._client.stream(
                    target, messages, sampling, prefix_token_ids=ids, reader=pending.reader
                ):
                    received.apply(event)
                    if isinstance(event, Done | Failed):
                        end = event
                    else:
                        self._notify(pane, turn, event)
        except asyncio.CancelledError:
            received.stopped = True
        except O1LabError as error:
            end = Failed(RequestError.of(error.code, error.message, error.hint))
            received.apply(end)
        except Exception as error:
            end = Failed(RequestError.of("internal", f"Unexpected error: {type(error).__name__}: {error}."))
            received.apply(end)
        # Saved before the end is reported, and shielded, so that closing the app cannot interrupt the write.
        saved = None
        try:
            saved = await asyncio.shield(self._keep(pane, turn, pending))
        except O1LabError as error:
            sentence = f"The answer could not be saved: {error.message}"
            end = Failed(RequestError.of(error.code, sentence, error.hint))
        if end is not None:
            self._notify(pane, turn, end)
        if saved is not None:
            self._notify(pane, turn, Saved(saved))

    async def _keep_partial(self, pane: int, turn: int, pending: PendingAnswer) -> None:
        """Save what has arrived since the last time; the end of the answer overwrites it, or says why it cannot."""
        if (length := pending.length) == pending.saved_length:
            return
        before, message = self.answer(pane, turn), pending.message(self.record.id, turn, pane, state="stopped")
        older = [replace(before, shown=False)] if before is not None and before.id != message.id else []
        head = self.turn if self.turn != self._newest else None
        with contextlib.suppress(StoreError):
            await self._write(lambda: branches.save(self.store.db, [*older, message], head=head))
            pending.saved_length = length

    async def _keep(self, pane: int, turn: int, pending: PendingAnswer) -> conversations.Message | None:
        """Save the answer instead of the one before it; an empty retry replaces nothing."""
        before, received = self.answer(pane, turn), pending.received
        empty = not (received.answer or received.thought) and pending.prefix is None
        if empty and received.error is None and received.stopped:
            return None
        if empty and before is not None and before.state != "failed":
            return None
        verdict = None
        if self._verifier is not None and received.done is not None and received.answer:
            verdict = await verdict_on(self.store, self._verifier, self.question(turn), received.answer)
        state = "complete" if received.state == "done" else received.state
        message = pending.message(self.record.id, turn, pane, state=state, verdict=verdict)
        older = [replace(before, shown=False)] if before is not None and before.id != message.id else []
        await self._save(*older, message, tokens=pending.tokens())
        return message

    def _notify(self, pane: int, turn: int, event: Event | Saved) -> None:
        self._listener(PaneEvent(pane, turn, event))


def _new_client() -> ChatClient:
    from o1lab.inference.chat_client import ChatClient  # late, because importing openai takes a second

    return ChatClient()
