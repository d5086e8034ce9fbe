"""Asks the student the recipe's probes during training."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList

from o1lab.chains.parse import parse
from o1lab.chains.verify import VerifierPool
from o1lab.models.prompts import render
from o1lab.train.recipes.probe import Probe
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.trainer.tensors import end_of_turn_ids

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_BATCH = 8


class _Watch(StoppingCriteria):  # type: ignore[misc]  # transformers is not typed for us
    """Ends a generation when the run is asked to stop, and reports how many rows have ended."""

    def __init__(self, stop: Callable[[], bool], ends: Sequence[int], report: Callable[[int], None]) -> None:
        self._stop, self._ends, self._report = stop, ends, report
        self._ended: Any = None
        self._reported = 0

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        now = torch.isin(input_ids[:, -1], torch.tensor(self._ends, device=input_ids.device))
        self._ended = now if self._ended is None else self._ended | now
        if (ended := int(self._ended.sum())) != self._reported:
            self._reported = ended
            self._report(ended)
        return torch.full((input_ids.shape[0],), self._stop(), device=input_ids.device, dtype=torch.bool)


def _from(start: int, total: int, progress: Callable[[int, int], None], answered: int) -> None:
    progress(start + answered, total)


class Prober:
    """Asks the probes in batches with greedy decoding, and verifies the answers to those with a gold answer."""

    def __init__(self, recipe: Recipe, tokenizer: PreTrainedTokenizerBase, stop: Callable[[], bool]) -> None:
        self._recipe = recipe
        self._tokenizer = tokenizer
        self._stop = stop
        self._pool = VerifierPool(workers=1)

    def ask(self, model: Any, step: int, progress: Callable[[int, int], None]) -> list[dict[str, Any]]:
        """Ask all probes. The random state is restored, so that asking does not affect the training.

        Args:
            model: the student.
            step: the step of the training.
            progress: called with the number of probes that are answered and that of all probes.

        Returns:
            One record per probe, for samples.jsonl; fewer if the run is asked to stop meanwhile.
        """
        was_training = model.training
        model.eval()
        found: list[dict[str, Any]] = []
        total = len(self._recipe.probes)
        progress(0, total)
        try:
            with torch.random.fork_rng(devices=[model.device] if model.device.type == "cuda" else []):
                for start in range(0, total, _BATCH):
                    batch = self._recipe.probes[start : start + _BATCH]
                    answers = self._generate(
                        model, [probe.prompt for probe in batch], partial(_from, start, total, progress)
                    )
                    if self._stop():
                        break
                    progress(start + len(batch), total)
                    found += [
                        self._record(probe, step, start + i, answer)
                        for i, (probe, answer) in enumerate(zip(batch, answers, strict=True))
                    ]
        finally:
            model.train(was_training)
        return found

    def close(self) -> None:
        self._pool.close()

    def _generate(
        self, model: Any, prompts: list[str], answered: Callable[[int], None]
    ) -> list[tuple[str, int, bool, float]]:
        """Return (text, tokens, whether it ended by itself, seconds of the batch) for each prompt."""
        tokenizer = self._tokenizer
        asked = self._recipe.prompt
        texts = [
            render(tokenizer, asked.conversation([{"role": "user", "content": prompt}]), asked) for prompt in prompts
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
                stopping_criteria=StoppingCriteriaList([_Watch(self._stop, sorted(ends), answered)]),
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
        final = parsed.answer_of(text)
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
