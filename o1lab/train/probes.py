"""Asks the student the recipe's probes during training."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList

from o1lab.chains.answers import extract_answer
from o1lab.chains.parse import parse
from o1lab.chains.verify import VerifierPool
from o1lab.train.recipe import Probe, Recipe
from o1lab.train.tensors import end_of_turn_ids, messages

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_BATCH = 8


class _Asked(StoppingCriteria):  # type: ignore[misc]  # transformers is not typed for us
    """Ends a generation when the run is asked to stop."""

    def __init__(self, stop: Callable[[], bool]) -> None:
        self._stop = stop

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        return torch.full((input_ids.shape[0],), self._stop(), device=input_ids.device, dtype=torch.bool)


class Prober:
    """Asks the probes in batches with greedy decoding, and verifies the answers to those with a gold answer."""

    def __init__(self, recipe: Recipe, tokenizer: PreTrainedTokenizerBase, stop: Callable[[], bool]) -> None:
        self._recipe = recipe
        self._tokenizer = tokenizer
        self._stop = stop
        self._pool = VerifierPool(workers=1)

    def ask(self, model: Any, step: int) -> list[dict[str, Any]]:
        """Ask all probes. The random state is restored, so that asking does not affect the training.

        Returns:
            One record per probe, for samples.jsonl; fewer if the run is asked to stop meanwhile.
        """
        was_training = model.training
        model.eval()
        found: list[dict[str, Any]] = []
        try:
            with torch.random.fork_rng(devices=[model.device] if model.device.type == "cuda" else []):
                for start in range(0, len(self._recipe.probes), _BATCH):
                    batch = self._recipe.probes[start : start + _BATCH]
                    answers = self._generate(model, [probe.prompt for probe in batch])
                    if self._stop():
                        break
                    found += [
                        self._record(probe, step, start + i, answer)
                        for i, (probe, answer) in enumerate(zip(batch, answers, strict=True))
                    ]
        finally:
            model.train(was_training)
        return found

    def close(self) -> None:
        self._pool.close()

    def _generate(self, model: Any, prompts: list[str]) -> list[tuple[str, int, bool, float]]:
        """Return (text, tokens, whether it ended by itself, seconds of the batch) for each prompt."""
        tokenizer = self._tokenizer
        texts = [
            tokenizer.apply_chat_template(
                messages(prompt, self._recipe.system_prompt), tokenize=False, add_generation_prompt=True
            )
            for prompt in prompts
        ]
        inputs = tokenizer(texts, return_tensors="pt", padding=True, padding_side="left", add_special_tokens=False)
        ends = end_of_turn_ids(model.generation_config, tokenizer)
        config = GenerationConfig(
            max_new_tokens=self._recipe.probe_tokens,
            do_sample=False,
            eos_token_id=sorted(ends),
            pad_token_id=tokenizer.pad_token_id,
        )
        began = time.perf_counter()
        with torch.no_grad():
            output = model.generate(
                input_ids=inputs["input_ids"].to(model.device),
                attention_mask=inputs["attention_mask"].to(model.device),
                generation_config=config,
                stopping_criteria=StoppingCriteriaList([_Asked(self._stop)]),
            )
        seconds = time.perf_counter() - began
        answers = []
        for row in output[:, inputs["input_ids"].shape[1] :].tolist():
            end = next((i for i, token in enumerate(row) if token in ends), None)
            kept = row if end is None else row[:end]
            text = tokenizer.decode(kept, skip_special_tokens=False, clean_up_tokenization_spaces=False)
            answers.append((text, len(kept), end is not None, seconds))
        return answers

    def _record(self, probe: Probe, step: int, index: int, answer: tuple[str, int, bool, float]) -> dict[str, Any]:
        text, tokens, ended, seconds = answer
        parsed = parse(text)
        final = extract_answer(parsed.solution_of(text), parsed.thought_of(text))
        correct = None
        if probe.gold is not None:
            correct = self._pool.verify(probe.gold, final.text if final else None).status == "correct"
        return {
            "step": step,
            "index": index,
            "prompt": probe.prompt,
            "gold": probe.gold,
            "answer": text,
            "final": final.text if final else None,
            "correct": correct,
            "tokens": tokens,
            "complete": ended,
            "seconds": round(seconds, 2),
        }
