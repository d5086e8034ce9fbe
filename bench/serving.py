"""How much faster requests are decoded together than one after another, and what adapters cost.

``python -m bench.serving [--base smollm2-135m] [--prompts 64] [--tokens 16] [--json]`` measures the engine in
this process, greedy, on the same prompts. One at a time is measured on the first four of them. The two LoRA
adapters are random ones of rank 16 on all linear layers: their cost does not depend on their values.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
import warnings
from pathlib import Path

from o1lab.models.base import resolve_base
from o1lab.serve.engine.engine import Engine
from o1lab.serve.engine.prefill import BASE, Job
from o1lab.serve.engine.weights import Weights, add_adapter, load_weights

ONE_AT_A_TIME = 4


def timed(engine: Engine, weights: Weights, jobs: list[tuple[str, str]], tokens: int) -> tuple[float, float, int]:
    """(seconds, seconds to the last request's first token, tokens) of ``jobs`` (prompt, adapter) sent together."""
    began = time.perf_counter()
    firsts: list[float] = []
    made = [0] * len(jobs)
    ended = [threading.Event() for _ in jobs]

    def start(i: int, prompt: str, adapter: str) -> None:
        def on_token(_token: int, _score: object) -> None:
            if made[i] == 0:
                firsts.append(time.perf_counter() - began)
            made[i] += 1

        messages = [{"role": "user", "content": prompt}]
        text = weights.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        ids = weights.tokenizer(text, add_special_tokens=False)["input_ids"]
        engine.submit(Job(ids, tokens, on_token, lambda _reason, _sentence: ended[i].set(), adapter))

    for i, (prompt, adapter) in enumerate(jobs):
        start(i, prompt, adapter)
    for event in ended:
        event.wait()
    return time.perf_counter() - began, max(firsts, default=0.0), sum(made)


def random_adapter(base: Path, folder: Path, seed: int) -> Path:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(base)
    config = LoraConfig(r=16, target_modules="all-linear", task_type="CAUSAL_LM")
    get_peft_model(model, config).save_pretrained(folder)
    return folder


def measure(base: str, prompts: int, tokens: int) -> dict[str, float | str | int]:
    """Tokens per second alone, together, and together over base and two adapters; and their ratios."""
    folder = resolve_base(base)
    weights = load_weights(folder)
    engine = Engine(weights.model, weights.end_tokens)
    engine.start()
    asked = [f"What is {101 + 7 * i} + {899 - 5 * i}?" for i in range(prompts)]
    timed(engine, weights, [(asked[0], BASE)], 4)  # warm up
    alone = [timed(engine, weights, [(prompt, BASE)], tokens) for prompt in asked[:ONE_AT_A_TIME]]
    together = timed(engine, weights, [(prompt, BASE) for prompt in asked], tokens)
    with tempfile.TemporaryDirectory() as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for seed in (1, 2):
            add_adapter(weights, engine, f"a{seed}", random_adapter(folder, Path(temporary) / f"a{seed}", seed))
    slots = [BASE, *weights.slots.values()]
    base_again = timed(engine, weights, [(prompt, BASE) for prompt in asked], tokens)
    mixed = timed(engine, weights, [(prompt, slots[i % 3]) for i, prompt in enumerate(asked)], tokens)
    engine.close()
    one = sum(made for _, _, made in alone) / sum(seconds for seconds, _, _ in alone)
    many, again, several = (made / seconds for seconds, _, made in (together, base_again, mixed))
    return {
        "base": base,
        "dtype": weights.dtype,
        "prompts": prompts,
        "tokens_each": tokens,
        "one_at_a_time_tokens_per_s": round(one, 1),
        "together_tokens_per_s": round(many, 1),
        "together_over_one_at_a_time": round(many / one, 2),
        "last_first_token_s": round(together[1], 2),
        "base_with_adapters_loaded_tokens_per_s": round(again, 1),
        "mixed_adapters_tokens_per_s": round(several, 1),
        "mixed_over_base": round(several / again, 2),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", default="smollm2-135m")
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measure(options.base, options.prompts, options.tokens)
    print(json.dumps(found) if options.json else "\n".join(f"{name:42}{value}" for name, value in found.items()))
