"""A conversation with several models: each pane has one model, and all panes get the same questions."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Literal

from o1lab.chat.contestants import asked_with
from o1lab.chat.panes import PaneEvent, Saved, Settings, settings_from
from o1lab.errors import O1LabError, UsageError
from o1lab.inference.calls import Message, RequestError
from o1lab.inference.events import Answer, Done, Event, Failed, Sampling
from o1lab.serve.endpoints import ModelAddress
from o1lab.serve.registry import ModelRef
from store import Store, conversations, problems
from store.errors import StoreError
from store.records import new_id

if TYPE_CHECKING:
    from o1lab.inference.chat_client import ChatClient

Opener = Callable[[ModelRef], Awaitable[ModelAddress]]
Listener = Callable[[PaneEvent], None]
Verifier = Callable[[str, str], str]
"""Called with (gold answer, text of an answer); returns correct, incorrect or unverifiable. May block."""


class ConversationSession:
    """A conversation with several models at once. Create it with :meth:`begin` or :meth:`resume`, in one event loop.

    A question is saved before any pane starts; an answer, even a partial one, before its last event (``Done``,
    ``Failed``) is reported. Each pane is a separate task: panes neither wait for each other nor fail together.

    Args:
        store: the lab's database.
        record: the stored conversation.
        refs: the model of each pane.
        settings: the settings of all panes.
        opener: starts a model, or finds its server, and returns its address.
        listener: called in the event loop with every event of every pane.
        client: streams the answers; None for a new one, which :meth:`close` closes.
        verifier: judges answers to questions with a gold answer; None for no verdicts.
        history: the messages so far.
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
    ) -> None:
        self.store = store
        self.record = record
        self.refs = list(refs)
        self.settings = settings
        self.history = list(history)
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
        opener: Opener,
        listener: Listener,
        title: str = "",
        client: ChatClient | None = None,
        verifier: Verifier | None = None,
    ) -> ConversationSession:
        """Create a conversation with one pane for each of ``refs``."""
        panes = [(ref.id, ref.label) for ref in refs]
        record = await asyncio.to_thread(lambda: conversations.create(store.db, title, panes, asdict(settings)))
        return cls(store, record, refs, settings, opener=opener, listener=listener, client=client, verifier=verifier)

    @classmethod
    async def resume(
        cls,
        store: Store,
        conversation_id: str,
        find: Callable[[str], ModelRef],
        *,
        opener: Opener,
        listener: Listener,
        client: ChatClient | None = None,
        verifier: Verifier | None = None,
    ) -> ConversationSession:
        """Continue a saved conversation. A pane whose model no longer exists answers with an error.

        Args:
            find: returns the model with an id; raises ``O1LabError`` if there is none.

        Raises:
            store.errors.MissingError: there is no such conversation.
        """

        def read() -> tuple[conversations.Conversation, list[conversations.Message]]:
            record = conversations.get(store.db, conversation_id)
            return record, conversations.messages(store.db, record.id)

        record, history = await asyncio.to_thread(read)
        refs = [model_of(find, pane) for pane in record.panes]
        return cls(
            store,
            record,
            refs,
            settings_from(record.settings),
            opener=opener,
            listener=listener,
            client=client,
            verifier=verifier,
            history=history,
        )

    @property
    def turn(self) -> int:
        """The number of the last turn, 0 before the first question."""
        return max((m.turn for m in self.history), default=0)

    @property
    def busy(self) -> bool:
        return any(not task.done() for task in self._tasks.values())

    def answering(self, pane: int) -> bool:
        task = self._tasks.get(pane)
        return task is not None and not task.done()

    def answer(self, pane: int, turn: int | None = None) -> conversations.Message | None:
        """Return the saved answer of ``pane`` in ``turn`` (default: the last); None if there is none."""
        wanted = self.turn if turn is None else turn
        return next((m for m in self.history if m.pane == pane and m.turn == wanted), None)

    def question(self, turn: int | None = None) -> str:
        wanted = self.turn if turn is None else turn
        return next((m.content for m in self.history if m.pane is None and m.turn == wanted), "")

    async def send(self, text: str) -> int:
        """Save a question and ask all panes; returns the number of the turn.

        Raises:
            UsageError: a pane is still answering, or the question is empty.
        """
        if self.busy:
            raise UsageError("An answer is still in progress.", "Stop it first, or wait for its end.")
        if not text.strip():
            raise UsageError("The prompt is empty.", "Write a prompt first.")
        question = conversations.Message(
            new_id(), self.record.id, self.turn + 1, None, "user", "complete", text, settings=asdict(self.settings)
        )
        await self._save(question)
        for pane in range(len(self.refs)):
            self._start(pane)
        return question.turn

    def regenerate(self, pane: int) -> None:
        """Answer the last question again in one pane; the old answer stays until there is a new one.

        When sampling, the seed is increased so that the answer may differ; at temperature 0 it stays the same.

        Raises:
            UsageError: there is no question yet, or this pane is still answering.
        """
        if self.turn == 0:
            raise UsageError("There is no question yet.", "Write a prompt first.")
        if self.answering(pane):
            raise UsageError("This answer is still in progress.", "Stop it first.")
        self._start(pane)

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

    def messages_for(self, pane: int) -> list[Message]:
        """Return the messages for ``pane``: system prompt, answered turns without their thoughts, last question."""
        found: list[Message] = []
        for turn in range(1, self.turn + 1):
            answer = self.answer(pane, turn)
            if turn == self.turn:
                found.append({"role": "user", "content": self.question(turn)})
            elif answer is not None and answer.content:
                found.append({"role": "user", "content": self.question(turn)})
                found.append({"role": "assistant", "content": answer.content})
        return self.refs[pane].prompt.conversation(found, system=self.settings.of(pane).system)

    def system_of(self, pane: int) -> str:
        """Return the system prompt that ``pane`` is asked with; empty for none."""
        own, system = self.refs[pane].prompt.system_prompt, self.settings.of(pane).system
        return own if system is None else system

    async def change(self, settings: Settings) -> None:
        """Keep settings with the conversation; they apply from the next answer on."""

        def write() -> None:
            with self.store.explained():
                conversations.set_settings(self.store.db, self.record.id, asdict(settings))

        await asyncio.to_thread(write)
        self.settings = settings

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
            UsageError: there are not two answers, or ``winner`` is not one of them.
        """
        voted = self.turn if turn is None else turn
        candidates = [p for p in self.order(voted) if self.answer(p, voted) is not None]
        if len(candidates) < 2 or (isinstance(winner, int) and winner not in candidates):
            raise UsageError("There are not two answers to vote on.", "Wait until they are complete.")
        answers = [one for p in candidates if (one := self.answer(p, voted)) is not None]
        ballot = conversations.Vote(
            self.record.id,
            voted,
            self.refs[winner].id if isinstance(winner, int) else winner,
            tuple(self.refs[p].id for p in candidates),
            self.settings.blind if blind is None else blind,
            annotator,
            tuple(asked_with(one) for one in answers),
            winner if isinstance(winner, int) else None,
        )
        await asyncio.to_thread(lambda: conversations.vote(self.store.db, ballot))
        return ballot

    def _start(self, pane: int) -> None:
        self._tasks[pane] = asyncio.create_task(self._answer(pane, self.turn), name=f"pane-{pane}")

    async def _answer(self, pane: int, turn: int) -> None:
        """Open the model of a pane, stream its answer and save it."""
        growing = Answer()
        sampling = await self._sampling_for(pane, turn)
        end: Done | Failed | None = None
        try:
            target = await self._opener(self.refs[pane])
            async for event in self._client.stream(target, self.messages_for(pane), sampling):
                growing.apply(event)
                if isinstance(event, Done | Failed):
                    end = event
                else:
                    self._notify(pane, turn, event)
        except asyncio.CancelledError:
            growing.stopped = True
        except O1LabError as error:
            end = Failed(RequestError.of(error.code, error.message, error.hint))
            growing.apply(end)
        except Exception as error:
            end = Failed(RequestError.of("internal", f"Unexpected error: {type(error).__name__}: {error}."))
            growing.apply(end)
        # Saved before the end is reported, and shielded, so that closing the app cannot interrupt the write.
        saved = None
        try:
            saved = await asyncio.shield(self._keep(pane, turn, growing, sampling))
        except (O1LabError, StoreError) as error:
            sentence = f"The answer could not be saved: {error.message}"
            end = Failed(RequestError.of(error.code, sentence, error.hint))
        if end is not None:
            self._notify(pane, turn, end)
        if saved is not None:
            self._notify(pane, turn, Saved(saved))

    async def _sampling_for(self, pane: int, turn: int) -> Sampling:
        sampling = self.settings.of(pane).sampling
        before = self.answer(pane, turn)
        if before is None or not sampling.temperature or sampling.seed is None:
            return sampling
        used = before.settings.get("sampling", {}).get("seed")
        return replace(sampling, seed=(used if isinstance(used, int) else sampling.seed) + 1)

    async def _keep(self, pane: int, turn: int, growing: Answer, sampling: Sampling) -> conversations.Message | None:
        """Save the answer and mark the one that it replaces; an empty retry replaces nothing."""
        before = self.answer(pane, turn)
        empty = not (growing.answer or growing.thought)
        if empty and growing.error is None and growing.stopped:
            return None
        if empty and before is not None and before.state != "failed":
            return None
        done, error = growing.done, growing.error
        message = conversations.Message(
            new_id(),
            self.record.id,
            turn,
            pane,
            "assistant",
            "complete" if growing.state == "done" else growing.state,
            growing.answer,
            thought=growing.thought,
            error=f"{error.sentence} {error.hint}".strip() if error else None,
            verdict=await self._verdict(turn, growing),
            prompt_tokens=done.prompt_tokens if done else None,
            output_tokens=done.completion_tokens if done else None,
            thought_tokens=done.thought_tokens if done else None,
            ttft_s=growing.ttft_s,
            seconds=done.seconds if done else None,
            settings=asdict(replace(self.settings.of(pane), sampling=sampling))
            | {
                "system": self.system_of(pane),
                "finish_reason": done.finish_reason if done else growing.state,
                "notes": growing.notes,
            },
        )
        replaced = [replace(before, state="replaced")] if before is not None else []
        await self._save(*replaced, message)
        return message

    async def _verdict(self, turn: int, growing: Answer) -> str | None:
        """Verify a complete answer if the question is a known problem with a gold answer.

        An answer is saved without a verdict if the verifier fails, for example because it is closed.
        """
        if self._verifier is None or growing.done is None or not growing.answer:
            return None
        question, verifier = self.question(turn), self._verifier

        def verify() -> str | None:
            with self.store.explained():
                problem = problems.find(self.store.db, question)
            return verifier(problem.answer, growing.answer) if problem and problem.answer else None

        try:
            return await asyncio.to_thread(verify)
        except (StoreError, RuntimeError):
            return None

    async def _save(self, *messages: conversations.Message) -> None:
        def write() -> None:
            with self.store.explained(), self.store.db.atomic():
                for message in messages:
                    conversations.save_message(self.store.db, message)

        await asyncio.to_thread(write)
        saved = {m.id for m in messages}
        self.history = [m for m in self.history if m.id not in saved]
        self.history += [m for m in messages if m.state != "replaced"]

    def _notify(self, pane: int, turn: int, event: Event | Saved) -> None:
        self._listener(PaneEvent(pane, turn, event))


def _new_client() -> ChatClient:
    from o1lab.inference.chat_client import ChatClient  # late, because importing openai takes a second

    return ChatClient()


def model_of(find: Callable[[str], ModelRef], pane: conversations.Pane) -> ModelRef:
    """Return the model of a pane; one that is no longer in the lab keeps its id."""
    try:
        return find(pane.model)
    except O1LabError:
        return ModelRef(pane.model, "other", f"{pane.label} (gone)", "server")
