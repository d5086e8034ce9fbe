"""How fast the engine scores the tokens of given texts, against a bare forward pass of transformers on the same rows.

``python -m bench.lens [--base smollm2-135m] [--rows 8] [--tokens 1000] [--rounds 3] [--json]``. Both sides return the
log-probability of each token in float32; the engine adds rank, entropy and five alternatives. The rounds alternate, and
the ratio is that of the processor time of both sides, by its median; on a GPU that of the clock, in bfloat16. Rows have
the same length, so neither side pads.
"""

from __future__ import annotations

import argparse
import json
import statistics
import threading
import time
from itertools import chain

import torch

from o1lab.lens.scoring import TOP
from o1lab.models.base import resolve_base
from o1lab.serve.engine.engine import Engine
from o1lab.serve.engine.prefill import Job
from o1lab.serve.engine.weights import Weights, load_weights


def bare(weights: Weights, rows: list[list[int]]) -> list[list[float]]:
    """Return the log-probabilities by one forward pass of all rows."""
    ids = torch.tensor(rows, device=weights.model.device)
    with torch.inference_mode():
        likely = weights.model(input_ids=ids).logits[:, :-1].float().log_softmax(-1)
        found: list[list[float]] = likely.gather(2, ids[:, 1:, None])[..., 0].tolist()
    return found


def scored(engine: Engine, rows: list[list[int]]) -> list[list[float]]:
    """Return the log-probabilities by the engine."""
    found: list[list[float]] = [[] for _ in rows]
    ended = [threading.Event() for _ in rows]
    for at, ids in enumerate(rows):

        def end(_reason: str, _sentence: str, at: int = at) -> None:
            ended[at].set()

        job = Job(ids, 0, lambda _token, _score: None, end, top=TOP, score_from=1)
        job.on_prompt = lambda scores, at=at: found[at].extend(score.logprob for score in scores)
        engine.submit(job)
    for event in ended:
        event.wait()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default="smollm2-135m")
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    gpu = torch.cuda.is_available()
    weights = load_weights(resolve_base(options.base), dtype="bfloat16" if gpu else "float32")
    now = time.perf_counter if gpu else time.process_time  # each side ends with values on the CPU
    engine = Engine(weights.model, weights.end_tokens)
    engine.start()
    draw = torch.Generator().manual_seed(1)
    rows = torch.randint(1000, weights.vocabulary, (options.rows, options.tokens), generator=draw).tolist()
    bare(weights, rows[:1])
    scored(engine, rows[:1])
    times: list[tuple[float, float]] = []
    largest = 0.0
    for _ in range(options.rounds):
        began = now()
        truth = bare(weights, rows)
        between = now()
        ours = scored(engine, rows)
        times.append((between - began, now() - between))
        pairs = zip(chain(*truth), chain(*ours), strict=True)
        largest = max(largest, *(abs(one - other) for one, other in pairs))
    engine.close()
    ratio = statistics.median(one / other for one, other in times)
    answer = {
        "base": options.base, "rows": options.rows, "tokens": options.tokens, "rounds": options.rounds,
        "bare_s": statistics.median(one for one, _ in times), "scored_s": statistics.median(two for _, two in times),
        "speed_against_bare": ratio, "largest_difference": largest,
    }  # fmt: skip
    print(json.dumps(answer) if options.json else
          f"scoring {options.rows} rows of {options.tokens} tokens: {ratio:.2f} of the speed of a bare forward pass"
          f" (wanted: 0.9); log-probabilities differ by at most {largest:.1e}")  # fmt: skip


if __name__ == "__main__":
    main()
