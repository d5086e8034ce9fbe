"""What it costs to force an answer at each place of a chain: with prompts read once, against one call a place.

``python -m bench.convergence [--base smollm2-135m] [--tokens 1000] [--places 25] [--answer 16] [--rounds 3] [--json]``.
Both sides decode the same tokens with the same engine. Ours sends the longest part first and the others after it, as
:func:`o1lab.lens.forcing.force_answers` does; the other makes one call after another, and forgets each prompt, as a
server without a cache of prefixes does. The rounds alternate, and the ratio is that of the processor time of both
sides, by its median.
"""

from __future__ import annotations

import argparse
import json
import statistics
import threading
import time
from collections.abc import Sequence

import torch

from o1lab.models.base import resolve_base
from o1lab.serve.engine.engine import Engine
from o1lab.serve.engine.prefill import Job
from o1lab.serve.engine.weights import load_weights


def answers(engine: Engine, prompts: Sequence[list[int]], length: int) -> list[list[int]]:
    """Return the answers to prompts that are sent at once."""
    found: list[list[int]] = [[] for _ in prompts]
    ended = [threading.Event() for _ in prompts]
    for at, prompt in enumerate(prompts):

        def add(token: int, _score: object, at: int = at) -> None:
            found[at].append(token)

        def end(_reason: str, _sentence: str, at: int = at) -> None:
            ended[at].set()

        engine.submit(Job(prompt, length, add, end))
    for event in ended:
        event.wait()
    return found


def forgetful(engine: Engine, prompts: Sequence[list[int]], length: int) -> list[list[int]]:
    """Return the answers to prompts that are sent one after another; the engine forgets each."""
    found = []
    for prompt in prompts:
        engine.between_steps(lambda: engine.use_model(engine.model, mixes=True)).result()
        found += answers(engine, [prompt], length)
    return found


def shared(engine: Engine, prompts: Sequence[list[int]], length: int) -> list[list[int]]:
    """Return the answers to prompts, the longest first, then the others at once."""
    engine.between_steps(lambda: engine.use_model(engine.model, mixes=True)).result()
    last = answers(engine, prompts[-1:], length)
    return [*answers(engine, prompts[:-1], length), *last]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default="smollm2-135m")
    parser.add_argument("--tokens", type=int, default=1000, help="length of the chain")
    parser.add_argument("--places", type=int, default=25)
    parser.add_argument("--answer", type=int, default=16, help="tokens of each answer")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    weights = load_weights(resolve_base(options.base), dtype="float32")
    engine = Engine(weights.model, set())  # no answer ends early: both sides decode as many tokens
    engine.start()
    draw = torch.Generator().manual_seed(1)
    chain = torch.randint(1000, weights.vocabulary, (options.tokens,), generator=draw).tolist()
    closing = chain[:12]
    prompts = [chain[: options.tokens * at // options.places] + closing for at in range(1, options.places + 1)]
    answers(engine, prompts[:1], 2)
    times: list[tuple[float, float]] = []
    equal = 0
    for _ in range(options.rounds):
        began = time.process_time()
        theirs = forgetful(engine, prompts, options.answer)
        between = time.process_time()
        ours = shared(engine, prompts, options.answer)
        times.append((between - began, time.process_time() - between))
        equal = sum(one == other for one, other in zip(theirs, ours, strict=True))
    engine.close()
    ratio = statistics.median(one / other for one, other in times)
    found = {
        "base": options.base, "tokens": options.tokens, "places": options.places, "answer": options.answer,
        "rounds": options.rounds, "one_call_a_place_s": statistics.median(one for one, _ in times),
        "shared_s": statistics.median(two for _, two in times), "times_faster": ratio,
        "equal_answers": equal, "of": options.places,
    }  # fmt: skip
    print(json.dumps(found) if options.json else
          f"answers at {options.places} places of {options.tokens} tokens: {ratio:.1f} times as fast as one call a "
          f"place without a cache of prefixes; {equal} of {options.places} answers are equal")  # fmt: skip


if __name__ == "__main__":
    main()
