"""A conversation of several panes: one question to all, each answer on its own, everything on disk first."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from o1lab.errors import O1LabError, UsageError
from o1lab.inference.calls import Message, RequestError
from o1lab.inference.events import Answer, Done, Event, Failed, Sampling
from o1lab.serve.registry import ModelAddress, ModelRef
from store import Store, conversations, problems
from store.errors import StoreError
from store.records import new_id

if TYPE_CHECKING:
    from o1lab.inference.chat_client import ChatClient

Opener = Callable[[ModelRef], Awaitable[ModelAddress]]
Listener = Callable[["PaneEvent"], None]
Verifier = Callable[[str, str], str]
"""(gold answer, the text of an answer) -> verdict: correct, incorrect or unverifiable. May block."""

TITLE_LENGTH = 80
"""How much of its first question a conversation is called by."""


@dataclass(frozen=True)
class Settings:
    """What all panes are asked with."""

    system: str = ""
    sampling: Sampling = field(default_factory=Sampling)
    blind: bool = False


@dataclass(frozen=True)
class Saved:
    """The answer is on disk as ``message``; comes after the event that ended it."""

    message: conversations.Message


@dataclass(frozen=True)
class PaneEvent:
    """What happened in one pane."""

    pane: int
    turn: int
    event: Event | Saved


class ConversationSession:
    """Talks to several models at once. Make it with :meth:`begin` or :meth:`resume`, within one event loop.

    ``listener`` is called in the loop for every event of every pane. What the user typed is on disk before any
    pane starts; an answer, whole or partial, is on disk before its end (``Done``, ``Failed``) is told. Panes
    are tasks of their own: none waits for another, and none fails with another.
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
        self._growing: dict[int, Answer] = {}

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
        """A new conversation with one pane for each of ``refs``."""
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
        """A saved conversation, to go on with. A model that is gone stays as a pane that says so when asked.

        Raises:
            store.errors.MissingError: there is no such conversation.
        """

        def read() -> tuple[conversations.Conversation, list[conversations.Message]]:
            record = conversations.get(store.db, conversation_id)
            return record, conversations.messages(store.db, record.id)

        record, history = await asyncio.to_thread(read)
        refs = [_found(find, pane) for pane in record.panes]
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
        """The saved answer of ``pane`` in ``turn`` (default: the last)."""
        wanted = self.turn if turn is None else turn
        return next((m for m in self.history if m.pane == pane and m.turn == wanted), None)

    def question(self, turn: int | None = None) -> str:
        wanted = self.turn if turn is None else turn
        return next((m.content for m in self.history if m.pane is None and m.turn == wanted), "")

    async def send(self, text: str) -> int:
        """Ask all panes; returns the turn's number once the question is on disk and every pane has begun.

        Raises:
            UsageError: a pane still answers, or there is nothing to ask.
        """
        if self.busy:
            raise UsageError("An answer is still coming.", "Stop it first, or wait for its end.")
        if not text.strip():
            raise UsageError("There is nothing to ask.", "Write a prompt first.")
        asked = conversations.Message(
            new_id(), self.record.id, self.turn + 1, None, "user", "complete", text, settings=asdict(self.settings)
        )
        await self._save(asked)
        for pane in range(len(self.refs)):
            self._start(pane)
        return asked.turn

    def regenerate(self, pane: int) -> None:
        """Answer the last question again in one pane; the old answer stays until there is a new one.

        When sampling, the seed moves on so that the answer may differ; at temperature 0 it will not.

        Raises:
            UsageError: nothing was asked yet, or this pane still answers.
        """
        if self.turn == 0:
            raise UsageError("Nothing was asked yet.", "Write a prompt first.")
        if self.answering(pane):
            raise UsageError("This answer is still coming.", "Stop it first.")
        self._start(pane)

    async def stop(self, pane: int | None = None) -> None:
        """Stop one pane or all; what came so far is kept as a stopped answer."""
        chosen = [pane] if pane is not None else list(self._tasks)
        tasks = [self._tasks[p] for p in chosen if self.answering(p)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def wait(self) -> None:
        """Until every pane that answers now has ended."""
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def close(self) -> None:
        """Stop what runs (partial answers are kept) and let go of the connections."""
        await self.stop()
        if self._owns_client:
            await self._client.close()

    def messages_for(self, pane: int) -> list[Message]:
        """What ``pane`` is sent: the system prompt, the turns it answered, the last question. No thoughts."""
        sent: list[Message] = [{"role": "system", "content": self.settings.system}] if self.settings.system else []
        for turn in range(1, self.turn + 1):
            answered = self.answer(pane, turn)
            if turn == self.turn:
                sent.append({"role": "user", "content": self.question(turn)})
            elif answered is not None and answered.content:
                sent.append({"role": "user", "content": self.question(turn)})
                sent.append({"role": "assistant", "content": answered.content})
        return sent

    def order(self, turn: int | None = None) -> list[int]:
        """Panes in the order they are shown: shuffled anew for each turn when blind, always the same on rereading."""
        panes = list(range(len(self.refs)))
        if self.settings.blind:
            random.Random(f"{self.record.id}:{self.turn if turn is None else turn}").shuffle(panes)  # noqa: S311 - an order, no secret
        return panes

    async def vote(
        self, winner: int | Literal["tie", "none"], annotator: str, *, turn: int | None = None
    ) -> conversations.Vote:
        """Prefer the pane ``winner`` (its number, not its place), or call it a tie, or none good. On disk on return.

        Raises:
            UsageError: there is no answer to vote on.
        """
        voted = self.turn if turn is None else turn
        candidates = [p for p in self.order(voted) if self.answer(p, voted) is not None]
        if len(candidates) < 2 or (isinstance(winner, int) and winner not in candidates):
            raise UsageError("There are not two answers to vote on.", "Wait until they are complete.")
        ballot = conversations.Vote(
            self.record.id,
            voted,
            self.refs[winner].id if isinstance(winner, int) else winner,
            tuple(self.refs[p].id for p in candidates),
            self.settings.blind,
            annotator,
        )
        await asyncio.to_thread(lambda: conversations.vote(self.store.db, ballot))
        return ballot

    def _start(self, pane: int) -> None:
        self._tasks[pane] = asyncio.create_task(self._answer(pane, self.turn), name=f"pane-{pane}")

    async def _answer(self, pane: int, turn: int) -> None:
        """One pane's answer from opening its model to having it on disk."""
        growing = self._growing[pane] = Answer()
        sampling = await self._sampling_for(pane, turn)
        end: Done | Failed | None = None
        try:
            target = await self._opener(self.refs[pane])
            async for event in self._client.stream(target, self.messages_for(pane), sampling):
                growing.apply(event)
                if isinstance(event, Done | Failed):
                    end = event
                else:
                    self._tell(pane, turn, event)
        except asyncio.CancelledError:
            growing.stopped = True
        except O1LabError as error:
            end = Failed(RequestError.of(error.code, error.message, error.hint))
            growing.apply(end)
        except Exception as error:
            end = Failed(RequestError.of("internal", f"Something went wrong: {type(error).__name__}: {error}."))
            growing.apply(end)
        # The disk comes first: shielded, so that closing the app cannot cut the write short.
        saved = None
        try:
            saved = await asyncio.shield(self._keep(pane, turn, growing, sampling))
        except (O1LabError, StoreError) as error:
            sentence = f"The answer could not be saved: {error.message}"
            end = Failed(RequestError.of(error.code, sentence, error.hint))
        if end is not None:
            self._tell(pane, turn, end)
        if saved is not None:
            self._tell(pane, turn, Saved(saved))

    async def _sampling_for(self, pane: int, turn: int) -> Sampling:
        sampling = self.settings.sampling
        before = self.answer(pane, turn)
        if before is None or not sampling.temperature or sampling.seed is None:
            return sampling
        used = before.settings.get("sampling", {}).get("seed")
        return replace(sampling, seed=(used if isinstance(used, int) else sampling.seed) + 1)

    async def _keep(self, pane: int, turn: int, growing: Answer, sampling: Sampling) -> conversations.Message | None:
        """Save the answer and retire the one it replaces; a retry that brought nothing replaces nothing."""
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
            settings=asdict(replace(self.settings, sampling=sampling))
            | {"finish_reason": done.finish_reason if done else growing.state},
        )
        retired = replace(before, state="replaced") if before is not None else None
        await self._save(*([retired] if retired else []), message)
        return message

    async def _verdict(self, turn: int, growing: Answer) -> str | None:
        """What the verifier says when the question is a known problem with a gold answer and the answer whole."""
        if self._verifier is None or growing.done is None or not growing.answer:
            return None
        question, verifier = self.question(turn), self._verifier

        def look() -> str | None:
            problem = problems.find(self.store.db, question)
            return verifier(problem.answer, growing.answer) if problem and problem.answer else None

        return await asyncio.to_thread(look)

    async def _save(self, *messages: conversations.Message) -> None:
        def write() -> None:
            with self.store.explained(), self.store.db.atomic():
                for message in messages:
                    conversations.save_message(self.store.db, message)

        await asyncio.to_thread(write)
        gone = {m.id for m in messages}
        self.history = [m for m in self.history if m.id not in gone]
        self.history += [m for m in messages if m.state != "replaced"]

    def _tell(self, pane: int, turn: int, event: Event | Saved) -> None:
        self._listener(PaneEvent(pane, turn, event))


def _new_client() -> ChatClient:
    from o1lab.inference.chat_client import ChatClient  # openai takes a second to import: not while a screen opens

    return ChatClient()


def settings_from(saved: dict[str, Any]) -> Settings:
    """Settings as the store kept them; what a later version added has its default."""
    sampling = {k: v for k, v in saved.get("sampling", {}).items() if k in Sampling.__dataclass_fields__}
    if "stop" in sampling:
        sampling["stop"] = tuple(sampling["stop"])
    return Settings(str(saved.get("system", "")), Sampling(**sampling), bool(saved.get("blind", False)))


def _found(find: Callable[[str], ModelRef], pane: conversations.Pane) -> ModelRef:
    try:
        return find(pane.model)
    except O1LabError:
        return ModelRef(pane.model, "other", f"{pane.label} (gone)", "server")
