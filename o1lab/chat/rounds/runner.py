"""Runs a round: every prompt to every contestant, paused and stopped by control files, without loss when killed.

A response is journalled before it counts. Each prompt is a conversation of its own; an answer is saved to it in one
transaction. A resumed round skips answers that are saved, and makes no call again that is in the journal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from o1lab.chat.panes import TITLE_LENGTH, AnswerVerifier
from o1lab.chat.rounds.directory import RoundFolder, RoundPane, RoundSettings
from o1lab.config import load_config
from o1lab.inference.backend import CallContext
from o1lab.inference.calls import CallKey, Message, Response, digest
from o1lab.inference.client import CompletionClient
from o1lab.inference.journal import Journal, index_journal
from o1lab.inference.models import ModelClient, check_priced, open_model_client
from o1lab.inference.runner import AskingRunner
from o1lab.inference.thoughts import split
from o1lab.jobs.control import RunStopped
from o1lab.jobs.directory import CountedStatus
from o1lab.jobs.pipeline import BatchWriter, Feed, StoreThread, run_concurrently
from o1lab.serve.manager import ServerManager
from o1lab.serve.registry import ModelRef, find_model
from o1lab.text import one_line
from store import conversations, problems, rounds
from store.batches import batched
from store.connection import Store

_BATCH = 50


@dataclass(frozen=True)
class _Asked:
    """One prompt to one contestant."""

    number: int
    prompt: str
    pane: int

    @property
    def key(self) -> CallKey:
        return CallKey(str(self.number), self.pane)


@dataclass(frozen=True)
class _Contestant:
    """An open contestant: its model, and the client with its settings."""

    pane: RoundPane
    ref: ModelRef
    client: CompletionClient

    def messages(self, prompt: str) -> list[Message]:
        return self.ref.prompt.conversation([{"role": "user", "content": prompt}], system=self.pane.system)

    @property
    def system(self) -> str:
        """The system prompt that the model is asked with; empty for none."""
        return self.ref.prompt.system_prompt if self.pane.system is None else self.pane.system


class RoundRunner(AskingRunner[CountedStatus, RoundSettings]):
    """One session of a round."""

    folder: RoundFolder

    async def execute(self, stack: AsyncExitStack, store: Store, before: CountedStatus | None) -> None:
        read, judge = StoreThread(), StoreThread()  # two, so that a slow verdict does not delay the next calls
        stack.callback(read.close)
        stack.callback(judge.close)
        prompts = await read(self.folder.prompts)
        saved = await read(self._saved, store)
        index = await read(index_journal, self.folder.journal, lambda _items: set())
        counts = self.counts
        counts.requested = len(prompts) * len(self.settings.panes)
        counts.continue_from({(str(n), pane) for (n, pane), state in saved.items() if state == "failed"}, before)
        counts.done = sum(state != "failed" for state in saved.values())
        counts.usage.add(index.total)
        context = self.context(await stack.enter_async_context(Journal(self.folder.journal)))
        contestants = await self._open(stack, await self.servers(stack), context)
        verifier = AnswerVerifier(store)
        stack.callback(verifier.close)
        self.begin()

        async def ask(one: _Asked) -> tuple[_Asked, Response] | None:
            contestant = contestants[one.pane]
            messages = contestant.messages(one.prompt)
            if (known := index.find(one.key, digest("teacher", messages))) is not None:
                return one, known
            try:
                return one, await contestant.client.call(one.key, messages)
            except RunStopped:
                return None

        async def keep(results: list[tuple[_Asked, Response]]) -> None:
            messages = [
                as_message(self.folder, contestants[one.pane].pane, contestants[one.pane].system, one, response)
                for one, response in results
            ]
            asked = [one for one, _ in results]
            messages = await judge(verified, store, verifier, asked, messages)
            await judge(save, store, self.folder, self.settings, asked, messages)
            for one, message in zip(asked, messages, strict=True):
                counts.correct += message.verdict == "correct"
                counts.incorrect += message.verdict == "incorrect"
                counts.count_end(str(one.number), one.pane, self.clock, failed=message.state == "failed")

        def batches() -> Iterator[list[_Asked]]:
            for some in batched(enumerate(prompts), _BATCH):
                yield [
                    _Asked(number, prompt, pane)
                    for number, prompt in some
                    for pane in range(len(self.settings.panes))
                    if saved.get((number, pane), "failed") == "failed"
                ]

        async with BatchWriter(keep) as writer:
            await run_concurrently(Feed(batches(), read), ask, writer.put, self.control, workers=self.workers)

    def left_over(self) -> str:
        return f"Vote on it in Compare: b lists the rounds. Or: {self.folder.verb} show {self.folder.id}"

    def _saved(self, store: Store) -> dict[tuple[int, int], str]:
        """Return the states of the saved answers by (number of the prompt, pane)."""
        numbers = {self.folder.conversation_id(number): number for number in range(len(self.folder.prompts()))}
        with store.explained():
            found = rounds.answers(store.db, self.folder.id)
        return {(numbers[one], pane): state for one, pane, state in found if one in numbers}

    async def _open(self, stack: AsyncExitStack, manager: ServerManager, context: CallContext) -> list[_Contestant]:
        """Open the models; one with several panes is opened once.

        Raises:
            LabError: a model cannot be opened.
        """
        config = load_config(self.lab)
        refs = [find_model(self.lab, one.model, config) for one in self.settings.panes]
        check_priced(self.settings, refs)  # the lab's prices may have changed
        clients: dict[str, ModelClient] = {}
        opened = []
        for pane, (asked, ref) in enumerate(zip(self.settings.panes, refs, strict=True)):
            if ref.id not in clients:
                clients[ref.id] = await open_model_client(ref, self.settings, manager, self.control, self.clock)
            sampling = {
                "temperature": asked.temperature,
                "top_p": asked.top_p,
                "max_tokens": asked.max_tokens,
                "seed": None if asked.seed is None else asked.seed - pane,  # a call adds its sample, here the pane
            }
            client = CompletionClient(self.settings.model_copy(update=sampling), {"teacher": clients[ref.id]}, context)
            opened.append(_Contestant(asked, ref, await stack.enter_async_context(client)))
        self.priced = all(one.price.known for one in clients.values())
        return opened


def as_message(
    folder: RoundFolder, pane: RoundPane, system: str, one: _Asked, response: Response
) -> conversations.Message:
    """Make the message of an answer; a repeated call gives the same id, so that it replaces a failed answer."""
    thought, answer = split(response)
    fault = response.fault
    whole = fault is None or (fault.code in ("refusal", "length", "content_filter") and bool(thought or answer))
    state: Literal["complete", "failed"] = "complete" if whole else "failed"
    conversation = folder.conversation_id(one.number)
    return conversations.Message(
        f"{conversation}-{one.pane}",
        conversation,
        1,
        one.pane,
        "assistant",
        state,
        answer,
        thought=thought,
        error=fault.sentence if fault is not None and not whole else None,
        prompt_tokens=response.input_tokens,
        output_tokens=response.output_tokens,
        thought_tokens=response.thought_tokens,
        seconds=response.seconds,
        settings=asdict(pane.settings())
        | {
            "system": system,
            "finish_reason": response.finish_reason or (fault.code if fault is not None else ""),
            "notes": [],
        },
    )


def verified(
    store: Store, verifier: AnswerVerifier, asked: Sequence[_Asked], messages: Sequence[conversations.Message]
) -> list[conversations.Message]:
    """Return the messages with their verdicts, where the prompt is a problem of the lab with a gold answer."""
    found = []
    for one, message in zip(asked, messages, strict=True):
        with store.explained():
            problem = problems.find(store.db, one.prompt)
        gold = problem.answer if problem is not None else None
        if gold and message.state == "complete" and message.content:
            found.append(replace(message, verdict=verifier(gold, message.content)))
        else:
            found.append(message)
    return found


def save(
    store: Store,
    folder: RoundFolder,
    settings: RoundSettings,
    asked: Sequence[_Asked],
    messages: Sequence[conversations.Message],
) -> None:
    """Save answers; the first one of a prompt creates its conversation."""
    db, together = store.db, conversation_settings(settings)
    panes = [(each.model, each.label) for each in settings.panes]
    with store.explained(), db.atomic():
        for one, message in zip(asked, messages, strict=True):
            identity = folder.conversation_id(one.number)
            if not conversations.exists(db, identity):
                title = one_line(one.prompt, TITLE_LENGTH)
                conversations.create(db, title, panes, together, identity=identity, round=folder.id)
                question = conversations.Message(
                    f"{identity}-q", identity, 1, None, "user", "complete", one.prompt, settings=together
                )
                conversations.save_message(db, question)
            rounds.save_answer(db, message)


def conversation_settings(settings: RoundSettings) -> dict[str, Any]:
    """Return the settings of the round's conversations, in which each pane has its own."""
    first, *others = (one.settings() for one in settings.panes)
    found = first
    for pane, one in enumerate(others, 1):
        found = found.with_pane(pane, one)
    return asdict(found)
