"""Answers chat completion requests on a cluster with copies of a model in Ray actors.

The cluster's nodes import this module, perhaps in an environment with vLLM and little else. Therefore it imports only
the standard library at the top.

A custom stage is a class, named as ``[cluster] stage = "module:Class"`` in o1lab.toml. Each copy creates one instance
with a :class:`StageModel`. Its method ``async def respond(self, body: dict) -> dict`` receives the body of a chat
completion request and returns that of the answer; many calls run concurrently. A :class:`Refused` exception is treated
like an error of a server; any other exception fails the request, which is then repeated.
"""

from __future__ import annotations

import asyncio
import importlib
import itertools
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class StageModel:
    """The model that a copy loads.

    Attributes:
        model: a hub id, or a folder that every node can read.
        adapter: the folder of an adapter; None for the base alone.
        gpus: number of GPUs of the copy.
        engine: vLLM's engine arguments.
        prompt: the values of the ``PromptOptions`` that a student was trained with.
    """

    model: str
    adapter: str | None = None
    gpus: int = 0
    engine: dict[str, Any] = field(default_factory=dict)
    prompt: dict[str, Any] = field(default_factory=dict)


class Stage(Protocol):
    """Answers requests."""

    async def respond(self, body: dict[str, Any]) -> dict[str, Any]: ...


class Refused(Exception):  # noqa: N818 - it is an answer
    """The request cannot be answered.

    Args:
        status: the HTTP status that a server would send.
        error: the protocol's error object.
    """

    def __init__(self, status: int, error: Mapping[str, Any]) -> None:
        super().__init__(str(error.get("message")))
        self.status = status
        self.error = dict(error)


class BrokenStageError(Exception):
    """The model of the copy cannot be loaded."""


class StageActor:
    """The callable in each Ray Data actor: takes rows of requests and yields rows of answers as they arrive."""

    def __init__(self, stage: str, model: dict[str, Any]) -> None:
        module, _, name = stage.partition(":")
        self._stage: Stage = getattr(importlib.import_module(module), name)(StageModel(**model))

    async def __call__(self, batch: Mapping[str, Any]) -> AsyncIterator[dict[str, list[Any]]]:
        rows = zip(batch["key"].tolist(), batch["prompt"].tolist(), batch["body"].tolist(), strict=True)
        asked = [asyncio.ensure_future(self._answer(key, prompt, body)) for key, prompt, body in rows]
        try:
            for one in asyncio.as_completed(asked):
                key, prompt, status, answer = await one
                yield {"key": [key], "prompt": [prompt], "status": [status], "answer": [answer]}
        finally:
            for task in asked:
                task.cancel()

    async def _answer(self, key: str, prompt: int, body: str) -> tuple[str, int, int, str]:
        try:
            answer = await self._stage.respond(json.loads(body))
        except Refused as refused:
            return key, prompt, refused.status, json.dumps({"error": refused.error})
        except BrokenStageError:
            raise
        except Exception as error:
            error_body = {"message": f"{type(error).__name__}: {error}"}
            return key, prompt, 500, json.dumps({"error": error_body})
        return key, prompt, 200, json.dumps(answer)


class VllmStage:
    """vLLM in the actor's process. Concurrent requests are decoded in one batch."""

    def __init__(self, model: StageModel) -> None:
        self._model = model
        self._loading: asyncio.Task[None] | None = None
        self._numbers = itertools.count()

    async def respond(self, body: dict[str, Any]) -> dict[str, Any]:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        if self._loading is None:  # not in __init__, because the engine belongs to this event loop
            self._loading = asyncio.create_task(self._load())
        await asyncio.shield(self._loading)
        ids = await asyncio.to_thread(self._tokens, body["messages"])
        room = self._engine.model_config.max_model_len - len(ids)
        if room < 1:
            message = f"This model's maximum context length is {len(ids) + room} tokens, the prompt has {len(ids)}."
            raise Refused(400, {"message": message, "code": "context_length_exceeded"})
        sampling = SamplingParams(
            temperature=body.get("temperature", 1.0),
            top_p=body.get("top_p", 1.0),
            seed=body.get("seed"),
            max_tokens=min(room, body.get("max_tokens") or body.get("max_completion_tokens") or room),
            stop_token_ids=self._ends,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        last = None
        name = f"o1lab-{next(self._numbers)}"
        async for output in self._engine.generate(
            {"prompt_token_ids": ids}, sampling, name, lora_request=self._adapter
        ):
            last = output
        if last is None:
            raise Refused(500, {"message": "vLLM ended without an answer."})
        written = last.outputs[0]
        return {
            "object": "chat.completion",
            "model": body["model"],
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": written.text},
                    "finish_reason": written.finish_reason,
                }
            ],
            "usage": {
                "prompt_tokens": len(ids),
                "completion_tokens": len(written.token_ids),
                "total_tokens": len(ids) + len(written.token_ids),
            },
        }

    async def _load(self) -> None:
        try:
            from transformers import AutoTokenizer
            from vllm import AsyncEngineArgs
            from vllm.lora.request import LoRARequest
            from vllm.v1.engine.async_llm import AsyncLLM

            model, arguments = self._model, dict(self._model.engine)
            if model.gpus > 1:
                arguments.setdefault("tensor_parallel_size", model.gpus)
            if model.adapter is not None:
                arguments |= {"enable_lora": True, "max_lora_rank": arguments.get("max_lora_rank", 64)}
            trusted = bool(arguments.get("trust_remote_code"))
            self._tokenizer = AutoTokenizer.from_pretrained(model.model, trust_remote_code=trusted)
            end = model.prompt.get("eos_token")
            self._ends = [self._tokenizer.convert_tokens_to_ids(end)] if end else []
            self._engine = AsyncLLM.from_engine_args(AsyncEngineArgs(model=model.model, **arguments))
            self._adapter = LoRARequest("adapter", 1, model.adapter) if model.adapter is not None else None
        except Exception as error:
            raise BrokenStageError(f"{self._model.model} does not load: {type(error).__name__}: {error}") from error

    def _tokens(self, messages: list[dict[str, str]]) -> list[int]:
        """Return the token ids of the prompt by the chat template, which adds the special tokens.

        They are those of ``o1lab.models.prompts.render``, which needs more libraries than a node may have.
        """
        asked = self._model.prompt
        found = self._tokenizer.apply_chat_template(
            messages,
            chat_template=asked.get("chat_template") or None,
            add_generation_prompt=True,
            return_dict=True,
            **asked.get("chat_template_kwargs", {}),
        )
        return list(found["input_ids"])


class SolverStage:
    """The demo's solver, which needs no GPU and no weights; its answers say that it is not a language model."""

    def __init__(self, model: StageModel) -> None:
        from o1lab.serve.embedded import student_tokenizer
        from o1lab.serve.solver_model import Solver

        del model  # it loads none
        self._solver = Solver(student_tokenizer())

    async def respond(self, body: dict[str, Any]) -> dict[str, Any]:
        from o1lab.serve.http.api import complete
        from o1lab.serve.protocol import ApiError

        try:
            return await complete(self._solver, body)
        except ApiError as error:
            raise Refused(error.status, error.body["error"]) from error
