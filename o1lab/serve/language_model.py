"""The backend of the embedded language model: serves base and adapters by name."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from o1lab.errors import RefusedError
from o1lab.models.prompts import RESERVED, PromptOptions, encode, open_thought, render
from o1lab.serve.answer_text import AnswerText
from o1lab.serve.api import ApiError, ChatRequest, End, Piece
from o1lab.serve.engine import Engine, Job
from o1lab.serve.weights import Weights, add_adapter, remove_adapter, slot_of


class LanguageModel:
    """A backend for :func:`o1lab.serve.api.make_api`."""

    engine = "embedded"

    def __init__(self, name: str, weights: Weights, engine: Engine) -> None:
        self._name = name
        self._weights = weights
        self._engine = engine
        self._prompts: dict[str, PromptOptions] = {}

    def cards(self) -> list[dict[str, Any]]:
        common = {"object": "model", "owned_by": "o1lab", "max_model_len": self._weights.context}
        base = {"id": self._name, **common, "parent": None, "root": str(self._weights.folder)}
        adapters = [
            {"id": name, **common, "parent": self._name, "root": str(path), **self._described(name)}
            for name, path in self._weights.sources.items()
        ]
        return [base, *adapters]

    def status(self) -> dict[str, Any]:
        running, waiting = self._engine.load
        return {
            "engine": self.engine,
            "device": self._weights.device,
            "dtype": self._weights.dtype,
            "running": running,
            "waiting": waiting,
        }

    def _described(self, name: str) -> dict[str, Any]:
        prompt = self._prompts.get(name, PromptOptions())
        return {"prompt": prompt.as_json()} if prompt else {}

    def render(self, request: ChatRequest, messages: list[dict[str, str]]) -> dict[str, Any]:
        prompt, ids = self._prompt(messages, self._options(self._adapter(request.model), request), request)
        return {"prompt": prompt, "prompt_tokens": len(ids)}

    def open(
        self, request: ChatRequest, messages: list[dict[str, str]], seed: int | None
    ) -> AsyncIterator[Piece | End]:
        adapter = self._adapter(request.model)
        options = self._options(adapter, request)
        prompt, ids = self._prompt(messages, options, request)
        room = self._weights.context - len(ids)
        if room <= 0:
            raise ApiError(
                400,
                f"This model takes at most {self._weights.context} tokens and the messages are {len(ids)}.",
                "context_length_exceeded",
                "messages",
            )
        job = Job(
            ids,
            min(request.limit or room, room),
            on_token=lambda _token: None,
            on_end=lambda _reason, _sentence: None,
            adapter=slot_of(self._weights, adapter),
            temperature=1.0 if request.temperature is None else request.temperature,
            top_p=1.0 if request.top_p is None else request.top_p,
            seed=seed,
            end_tokens=self._end_tokens(options),
        )
        # Some templates put the opening mark of the thought into the prompt; the answer then gets it back.
        marks = open_thought(prompt)
        text = AnswerText(self._weights.tokenizer.backend_tokenizer, request.stops)
        return self._answer(job, text, marks[0] if marks else "")

    def load_adapter(self, name: str, path: Path) -> None:
        if name == self._name:
            raise ApiError(400, f"{name} is the name of the base model.", "invalid_request", "name")
        add_adapter(self._weights, self._engine, name, path)
        self._prompts[name] = PromptOptions.of_checkpoint(path.expanduser().absolute())

    def remove_adapter(self, name: str) -> None:
        remove_adapter(self._weights, self._engine, name)
        self._prompts.pop(name, None)

    def close(self) -> None:
        self._engine.close()

    async def _answer(self, job: Job, text: AnswerText, opened: str) -> AsyncIterator[Piece | End]:
        loop = asyncio.get_running_loop()
        arrivals: asyncio.Queue[int | tuple[str, str]] = asyncio.Queue()

        def arrive(item: int | tuple[str, str]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the request has ended
                loop.call_soon_threadsafe(arrivals.put_nowait, item)

        job.on_token = arrive
        job.on_end = lambda reason, sentence: arrive((reason, sentence))
        self._engine.submit(job)
        try:
            if opened:
                yield Piece("content", opened)
            reason = ""
            while not reason:
                item = await arrivals.get()
                if isinstance(item, int):
                    ready = text.push(item)
                    reason = "stop" if text.stopped else ""
                else:
                    reason, sentence = item
                    if reason == "error":
                        raise ApiError(500, sentence, "server_error")
                    ready = text.flush()
                if ready:
                    yield Piece("content", ready)
            yield End(reason, len(job.prompt), text.tokens, text.thought_tokens)
        finally:
            job.cancelled.set()

    def _adapter(self, model: str) -> str | None:
        """Return the adapter of a model name, None for the base."""
        if model == self._name:
            return None
        if model in self._weights.slots:
            return model
        raise ApiError(404, f"There is no model called {model} here.", "model_not_found", "model")

    def _options(self, adapter: str | None, request: ChatRequest) -> PromptOptions:
        """Return what the student was trained with; the request's options of the template go before."""
        options = self._prompts.get(adapter or "", PromptOptions())
        given = request.chat_template_kwargs or {}
        if wrong := sorted(RESERVED & given.keys()):
            raise ApiError(
                400, f"{wrong[0]} is not an option of a template.", "invalid_request", "chat_template_kwargs"
            )
        return replace(options, chat_template_kwargs={**options.chat_template_kwargs, **given})

    def _end_tokens(self, options: PromptOptions) -> frozenset[int]:
        token = self._weights.tokenizer.get_vocab().get(options.eos_token) if options.eos_token else None
        return frozenset() if token is None else frozenset({token})

    def _prompt(
        self, messages: list[dict[str, str]], options: PromptOptions, request: ChatRequest
    ) -> tuple[str, list[int]]:
        asked = options.conversation(messages) if request.default_system else messages
        try:
            prompt = render(self._weights.tokenizer, asked, options)
        except RefusedError as error:
            raise ApiError(400, error.message, error.code) from error
        return prompt, encode(self._weights.tokenizer, prompt)
