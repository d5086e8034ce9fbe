"""An answer that is being made: what has arrived of it, the beginning that it continues, and the message to save."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from o1lab.chains import parse
from o1lab.chat import prefixes
from o1lab.chat.branches import parts
from o1lab.chat.panes import Settings, model_of
from o1lab.chat.prefixes import Prefix
from o1lab.errors import NotFoundError
from o1lab.inference.calls import Message
from o1lab.inference.continuing import refusal_to_continue
from o1lab.inference.events import Answer, Noted, Sampling
from o1lab.models.prompts import open_thought
from o1lab.serve.endpoints import ModelAddress
from o1lab.serve.registry import ModelRef
from store import branches, conversations
from store.records import new_id

if TYPE_CHECKING:
    from o1lab.inference.stream import Reply, ReplyReader


@dataclass(frozen=True)
class ContinuedAnswer:
    """An answer that a model continues: the beginning, its model, and the message that is saved already."""

    prefix: Prefix
    ref: ModelRef
    message: conversations.Message

    @property
    def bare(self) -> bool:
        """Whether nothing was written after the beginning yet."""
        return self.message.raw == self.prefix.text


class PendingAnswer:
    """An answer that is being made.

    Args:
        ref: the model that writes it.
        settings: what it is asked with, with the system prompt that is sent.
        continued: what it continues; None for an answer from the start.
    """

    def __init__(self, ref: ModelRef, settings: Settings, continued: ContinuedAnswer | None) -> None:
        self.identity = continued.message.id if continued is not None and continued.bare else new_id()
        self.ref = ref
        self.settings = settings
        self.prefix = continued.prefix if continued is not None else None
        self.received = Answer()
        self.reader: ReplyReader | None = None
        self.saved_length = 0
        """The characters of it that are saved."""

    async def prepare(self, target: ModelAddress, messages: Sequence[Message]) -> list[Message]:
        """Return the messages to send, with the beginning of the answer in the think marks of its model."""
        from o1lab.inference.chat_client import rendered_prompt
        from o1lab.inference.stream import ReplyReader

        self.reader = ReplyReader(target)
        if self.prefix is None:
            return list(messages)
        if not self.prefix.writers <= {self.ref.id}:
            prompt = await rendered_prompt(target, messages) if target.continues == "messages" else None
            opening, closing = open_thought(prompt or "") or prefixes.STUDENT_MARKS
            own = prefixes.in_marks(self.prefix, opening, closing)
            if own.text != self.prefix.text:
                note = f"The think marks of the beginning are now those of {self.ref.label}: {opening} and {closing}."
                self.received.apply(Noted(note))
            self.prefix = own
        return [*messages, {"role": "assistant", "content": self.prefix.text}]

    @property
    def _reply(self) -> Reply | None:
        return self.reader.so_far() if self.reader is not None else None

    @property
    def length(self) -> int:
        """The characters that have arrived so far, those of the beginning included."""
        return len(self.received.thought) + len(self.received.answer)

    def raw(self) -> str:
        """Return the text as it was written so far, with its think marks."""
        reply, beginning = self._reply, self.prefix.text if self.prefix is not None else ""
        if reply is None:
            return beginning
        text = reply.answer or reply.refusal
        if beginning or not reply.thought:
            return beginning + reply.thought + text
        return parse.join(reply.thought, text)

    def tokens(self) -> branches.Tokens | None:
        """Return the tokens of the whole text; None if those of some part are not known."""
        reply, model = self._reply, self.ref.id
        if reply is None or not reply.token_ids or reply.thought:
            return None
        if self.prefix is None:
            return branches.Tokens(model, tuple(reply.token_ids), tuple(reply.token_ends))
        known = self.prefix.tokens
        if known is None or known.model != model:
            return None
        ends = (end if end < 0 else len(self.prefix.text) + end for end in reply.token_ends)
        return branches.Tokens(model, (*known.ids, *reply.token_ids), (*known.ends, *ends))

    def message(
        self,
        conversation: str,
        turn: int,
        pane: int,
        *,
        state: str,
        verdict: str | None = None,
    ) -> conversations.Message:
        """Return the message to save.

        Args:
            conversation: the conversation's id.
            turn: the turn of its question.
            pane: its pane.
            state: complete, stopped or failed.
            verdict: the verdict on it, if there is one.
        """
        received, raw, prefix = self.received, self.raw(), self.prefix
        done, error = received.done, received.error
        thought, answer = received.thought, received.answer
        if prefix is not None and not (thought or answer):
            thought, answer = parts(prefix.text)
        written = prefixes.written_by(raw, self.ref.id, start=len(prefix.text) if prefix is not None else 0)
        known = {
            "finish_reason": done.finish_reason if done else state,
            "notes": received.notes,
            **(origin(prefix, self.ref) if prefix is not None else {}),
        }
        return conversations.Message(
            self.identity,
            conversation,
            turn,
            pane,
            "assistant",
            state,
            answer,
            thought=thought,
            error=f"{error.sentence} {error.hint}".strip() if error else None,
            verdict=verdict,
            prompt_tokens=done.prompt_tokens if done else None,
            output_tokens=done.completion_tokens if done else None,
            thought_tokens=done.thought_tokens if done and prefix is None else None,  # else of its end alone
            ttft_s=received.ttft_s,
            seconds=done.seconds if done else None,
            settings={**asdict(self.settings), **known},
            raw=raw,
            spans=prefixes.merged((*(prefix.spans if prefix is not None else ()), *written)),
        )


@asynccontextmanager
async def saving_every(save: Callable[[], Awaitable[None]], every_s: float) -> AsyncIterator[None]:
    """Save again and again while an answer arrives, also when nothing comes for a while. On exit no save is under way.

    Args:
        save: saves what there is; it raises nothing.
        every_s: seconds between two saves.
    """
    over = asyncio.Event()

    async def repeat() -> None:
        while not over.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), every_s)
            if not over.is_set():
                await save()

    task = asyncio.create_task(repeat())
    try:
        yield
    finally:
        over.set()
        cancelled: asyncio.CancelledError | None = None
        while not task.done():  # a person may stop it a second time
            try:
                await asyncio.shield(task)
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled


def continuation_of(
    answer: conversations.Message, known: Sequence[ModelRef], find: Callable[[str], ModelRef] | None
) -> ContinuedAnswer | None:
    """Return what an answer continues; None if a model wrote it from the start.

    Args:
        answer: the answer.
        known: models, of which one may have continued it.
        find: returns the model with an id, also one that is not in ``known``; None to look only in ``known``.
    """
    length = answer.settings.get("prefix")
    if not isinstance(length, int):
        return None
    name = str(answer.settings.get("model"))
    gone = conversations.Pane(answer.pane or 0, name, name)
    ref = next((one for one in known if one.id == name), None) or model_of(find or _no_model, gone)
    return ContinuedAnswer(prefixes.cut(prefixes.of_answer(answer, name), length), ref, answer)


def _no_model(name: str) -> ModelRef:
    raise NotFoundError(f"{name} is not in the lab.")


def next_sampling(
    sampling: Sampling, before: conversations.Message | None, continued: ContinuedAnswer | None
) -> Sampling:
    """Return the sampling of an answer that may replace another one: with the next seed, unless it is greedy.

    Args:
        sampling: the settings.
        before: the answer before it, if there is one.
        continued: what it continues. An answer that has only its beginning is continued with the seed of the settings.
    """
    if (
        before is None
        or not sampling.temperature
        or sampling.seed is None
        or (continued is not None and continued.bare)
    ):
        return sampling
    used = before.settings.get("sampling", {}).get("seed")
    return replace(sampling, seed=(used if isinstance(used, int) else sampling.seed) + 1)


def origin(prefix: Prefix, ref: ModelRef) -> dict[str, Any]:
    """Return what the settings of an answer say about the beginning that it continues."""
    return {"prefix": len(prefix.text), "model": ref.id}


def cannot_continue(ref: ModelRef) -> tuple[str, str] | None:
    """Return why a model cannot continue a text, and what to do; None if it can."""
    return None if ref.continues else refusal_to_continue(ref.label)
