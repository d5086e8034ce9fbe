"""The backend of the embedded language model: serves base and adapters by name."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from o1lab.errors import RefusedError
from o1lab.models.prefixes import prefix_ids
from o1lab.models.prompts import RESERVED, PromptOptions, encode, open_thought, placed_tokens, render
from o1lab.serve.engine.answer_text import AnswerText
from o1lab.serve.engine.engine import Engine
from o1lab.serve.engine.prefill import Job
from o1lab.serve.engine.sampling import TokenScore
from o1lab.serve.engine.weights import Weights, add_adapter, remove_adapter, slot_of
from o1lab.serve.protocol import (
    Answer,
    ApiError,
    ChainScores,
    ChatRequest,
    CompletionRequest,
    End,
    Message,
    Piece,
    SamplingRequest,
    ScoredText,
    ScoreRequest,
    TokenView,
    split_prefix,
)

_Arrival = list[TokenScore] | tuple[int, TokenScore | None] | tuple[str, str]
"""What the engine reports: the scores of the prompt, a token with its score, or the end with its reason."""


class LanguageModel:
    """A backend for :func:`o1lab.serve.http.api.make_api`."""

    engine = "embedded"

    def __init__(self, name: str, weights: Weights, engine: Engine) -> None:
        self._name = name
        self._weights = weights
        self._engine = engine
        self._prompts = {"": PromptOptions.of_checkpoint(weights.folder)}  # of a base, unless a run has trained it
        self.folder: Path | None = weights.folder

    def cards(self) -> list[dict[str, Any]]:
        common = {"object": "model", "owned_by": "o1lab", "max_model_len": self._weights.context}
        base = {"id": self._name, **common, "parent": None, "root": str(self._weights.folder), **self._described("")}
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

    def steps(self) -> int:
        """Return the steps of the engine so far."""
        return self._engine.steps

    def _described(self, name: str) -> dict[str, Any]:
        prompt = self._prompts.get(name, PromptOptions())
        return {"prompt": prompt.as_json()} if prompt else {}

    def render(self, request: ChatRequest, messages: list[Message]) -> dict[str, Any]:
        prompt, ids = self._prompt(messages, self._options(self._adapter(request.model), request), request)
        return {"prompt": prompt, "prompt_tokens": len(ids)}

    def open(self, request: ChatRequest, messages: list[Message], seed: int | None) -> Answer:
        adapter = self._adapter(request.model)
        options = self._options(adapter, request)
        asked, prefix = split_prefix(messages) if request.continue_final_message else (messages, None)
        prompt, ids = self._prompt(asked, options, request)
        begun: list[int] = []
        if prefix is not None:
            given = request.prefix_token_ids
            begun = prefix_ids(self._weights.tokenizer, prompt, prefix) if given is None else self._known(given)
        room = self._room(len(ids) + len(begun), "messages")
        job = self._job([*ids, *begun], min(request.limit or room, room), request, seed, options)
        job.top = request.top
        # Some templates put the opening mark of the thought into the prompt; the answer then gets it back.
        marks = open_thought(prompt) if prefix is None else None
        return self._answer(job, request.stops, marks[0] if marks else "", begun, with_ids=request.return_token_ids)

    def open_text(self, request: CompletionRequest, prompt: str | list[int], seed: int | None) -> Answer:
        adapter = self._adapter(request.model)
        tokenizer = self._weights.tokenizer
        if isinstance(prompt, str):
            ids = list(tokenizer(prompt, add_special_tokens=request.add_special_tokens)["input_ids"])
        else:
            ids = self._known(prompt)
        room = self._room(len(ids), "prompt", spare=min(request.limit, 1))
        job = self._job(ids, min(request.limit, room), request, seed, self._prompts.get(adapter or "", PromptOptions()))
        job.top, job.score_from = request.top, 1 if request.echo and request.top is not None else None
        echoed = "" if not request.echo else prompt if isinstance(prompt, str) else tokenizer.decode(ids)
        return self._answer(job, request.stops, echoed)

    async def score(self, request: ScoreRequest, messages: list[Message]) -> ChainScores:
        adapter = self._adapter(request.model)
        options, tokenizer = self._prompts.get(adapter or "", PromptOptions()), self._weights.tokenizer
        asked = options.conversation(messages) if request.default_system else messages
        try:
            tokens, places = await asyncio.to_thread(placed_tokens, tokenizer, asked, options, request.response)
        except RefusedError as error:
            raise ApiError(400, error.message, error.code) from error
        self._room(len(tokens.prompt) + len(tokens.completion), "chain", spare=0)
        found: asyncio.Future[list[TokenScore]] = asyncio.get_running_loop().create_future()
        job = self._job([*tokens.prompt, *tokens.completion], 0, request, None, options)
        job.top, job.score_from = request.top, len(tokens.prompt)
        scores: list[TokenScore] = []
        job.on_prompt = scores.extend

        def ended(reason: str, sentence: str) -> None:
            if found.done():
                return
            if reason == "error":
                found.set_exception(ApiError(500, sentence, "server_error"))
            else:
                found.set_result(scores)

        def end(reason: str, sentence: str) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the request has ended
                loop.call_soon_threadsafe(ended, reason, sentence)

        loop, job.on_end = asyncio.get_running_loop(), end
        self._engine.submit(job)
        try:
            return ChainScores(
                len(tokens.prompt), places, [TokenView(self._scored(one), one.rank, one.entropy) for one in await found]
            )
        finally:
            job.cancelled.set()

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

    def _known(self, ids: list[int]) -> list[int]:
        """Return token ids that the model knows."""
        if wrong := [one for one in ids if not 0 <= one < self._weights.vocabulary]:
            raise ApiError(400, f"{wrong[0]} is not a token of this model.", "invalid_request", "prompt")
        return ids

    def _room(self, length: int, param: str, spare: int = 1) -> int:
        """Return how many tokens an answer to a prompt of ``length`` tokens may have; there must be ``spare``."""
        room = self._weights.context - length
        if room < spare:
            raise ApiError(
                400,
                f"This model takes at most {self._weights.context} tokens and the {param} has {length}."
                if param == "prompt"
                else f"This model takes at most {self._weights.context} tokens and the {param} are {length}.",
                "context_length_exceeded",
                param,
            )
        return room

    def _job(
        self, ids: list[int], limit: int, request: SamplingRequest, seed: int | None, options: PromptOptions
    ) -> Job:
        return Job(
            ids,
            limit,
            on_token=lambda _token, _score: None,
            on_end=lambda _reason, _sentence: None,
            adapter=slot_of(self._weights, self._adapter(request.model)),
            temperature=1.0 if request.temperature is None else request.temperature,
            top_p=1.0 if request.top_p is None else request.top_p,
            seed=seed,
            end_tokens=self._end_tokens(options),
        )

    async def _answer(
        self, job: Job, stops: tuple[str, ...], before: str, begun: list[int] | None = None, *, with_ids: bool = False
    ) -> Answer:
        """Yield ``before``, with the scores of the prompt if there are any, and the answer of the engine.

        Args:
            job: the request.
            stops: its stop strings.
            before: text before the answer.
            begun: the tokens of a response that the answer continues.
            with_ids: whether pieces have the ids of their tokens.
        """
        loop = asyncio.get_running_loop()
        arrivals: asyncio.Queue[_Arrival] = asyncio.Queue()

        def arrive(item: _Arrival) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the request has ended
                loop.call_soon_threadsafe(arrivals.put_nowait, item)

        job.on_prompt = arrive
        job.on_token = lambda token, score: arrive((token, score))
        job.on_end = lambda reason, sentence: arrive((reason, sentence))
        text = AnswerText(self._weights.tokenizer.backend_tokenizer, stops, begun or ())
        self._engine.submit(job)
        try:
            if before and job.score_from is None:
                yield Piece("content", before)
            tokens: list[ScoredText] = []  # those whose text is not sent yet
            ids: list[int] = []
            reason = ready = ""
            while not reason:
                match await arrivals.get():
                    case list() as scores:
                        first = ScoredText(self._text_of(job.prompt[0]), None)
                        yield Piece("content", before, (first, *map(self._scored, scores)))
                        continue
                    case int() as token, score:
                        if score is not None:
                            tokens.append(self._scored(score))
                        if with_ids:
                            ids.append(token)
                        ready = text.push(token)
                        reason = "stop" if text.stopped else ""
                    case "error", sentence:
                        raise ApiError(500, str(sentence), "server_error")
                    case str() as reason, _:
                        ready = text.flush()
                if ready or (reason and (tokens or ids)):
                    yield Piece("content", ready, tuple(tokens), tuple(ids))
                    tokens, ids = [], []
            yield End(reason, len(job.prompt), text.tokens, text.thought_tokens)
        finally:
            job.cancelled.set()

    def _scored(self, score: TokenScore) -> ScoredText:
        top = tuple((self._text_of(token), _finite(logprob)) for token, logprob in score.top)
        return ScoredText(self._text_of(score.token), _finite(score.logprob), top)

    def _text_of(self, token: int) -> str:
        """Return the text of one token. Decoders of SentencePiece remove the space that it begins with."""
        text = str(self._weights.tokenizer.decode([token]))
        name = self._weights.tokenizer.convert_ids_to_tokens(token)
        return f" {text}" if str(name).startswith("▁") and not text.startswith(" ") else text

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

    def _prompt(self, messages: list[Message], options: PromptOptions, request: ChatRequest) -> tuple[str, list[int]]:
        asked = options.conversation(messages) if request.default_system else messages
        self._check_tools(messages, options)
        try:
            prompt = render(self._weights.tokenizer, asked, options)
        except RefusedError as error:
            raise ApiError(400, error.message, error.code) from error
        return prompt, encode(self._weights.tokenizer, prompt)

    def _check_tools(self, messages: list[Message], options: PromptOptions) -> None:
        """Refuse tool calls and their results if the template would leave them out, or write what no model has read."""
        template = str(options.chat_template or self._weights.tokenizer.chat_template)
        for i, message in enumerate(messages):
            for what, used in (("tool_calls", "tool_calls" in message), ("tool", message["role"] == "tool")):
                if used and what not in template:
                    raise ApiError(
                        400,
                        f"The chat template of this model has no place for {what} in the conversation.",
                        "unsupported_parameter",
                        f"messages.{i}",
                    )


def _finite(logprob: float) -> float:
    """Return a log-probability that JSON can hold; -9999 for 0, as in OpenAI's interface."""
    return max(logprob, -9999.0)
