"""Prompts that begin alike are read once, and their answers are those of each prompt alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the embedded engine needs the train extra")

from o1lab.serve.engine.engine import Engine
from o1lab.serve.engine.prefill import BASE, Job
from o1lab.serve.engine.weights import Weights, add_adapter, load_weights
from tests.support.serving_models import make_adapter, make_model

TEXT = "".join(f"Line {number} of a thought that is long enough. " for number in range(8))


class Counting:
    """Counts the tokens that a model reads."""

    def __init__(self, model: object) -> None:
        self.model = model
        self.read = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self.model, name)

    def __call__(self, **values: object) -> object:
        if values["attention_mask"].shape[1] > 1:
            self.read += values["input_ids"].numel()
        return self.model(**values)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Weights, Engine]]:
    base: Path = make_model(tmp_path_factory.mktemp("base") / "tiny")
    weights = load_weights(base, dtype="float32")
    engine = Engine(weights.model, weights.end_tokens, chunk_tokens=32)
    engine.start()
    add_adapter(weights, engine, "run-a", make_adapter(base, base.parent / "run-a", seed=1))
    yield weights, engine
    engine.close()


def counted(weights: Weights, engine: Engine) -> Counting:
    """Let the engine use a model that counts; what it has read before is forgotten."""
    model = Counting(weights.model)
    engine.between_steps(lambda: engine.use_model(model, mixes=True)).result()
    return model


def answers(
    engine: Engine, prompts: list[list[int]], *, first: int | None = None, **options: object
) -> list[list[int]]:
    """Return the answers to prompts that arrive at once; that of ``first`` is awaited before the others are sent."""
    found: list[list[int]] = [[] for _ in prompts]
    ended = [threading.Event() for _ in prompts]
    jobs = [
        Job(
            prompt,
            12,
            on_token=lambda token, _score, at=at: found[at].append(token),
            on_end=lambda _reason, _sentence, at=at: ended[at].set(),
            **options,
        )
        for at, prompt in enumerate(prompts)
    ]
    if first is not None:
        engine.submit(jobs[first])
        assert ended[first].wait(60)
    engine.between_steps(lambda: [engine._waiting.append(one) for at, one in enumerate(jobs) if at != first]).result()
    assert all(one.wait(60) for one in ended)
    return found


def cuts(weights: Weights) -> list[list[int]]:
    ids = weights.tokenizer(TEXT)["input_ids"]
    closing = weights.tokenizer(" So:")["input_ids"]
    return [ids[:at] + closing for at in range(len(ids) // 2, len(ids), 9)]


@pytest.mark.parametrize("adapter", [BASE, "run-a"])
def test_a_text_that_is_cut_at_many_places_is_read_once(served: tuple[Weights, Engine], adapter: str) -> None:
    weights, engine = served
    slot = weights.slots.get(adapter, adapter)
    prompts = cuts(weights)
    assert len(prompts) > 8 and len(prompts[0]) > 80
    expected = []
    for prompt in prompts:
        counted(weights, engine)
        expected += answers(engine, [prompt], adapter=slot)
    model = counted(weights, engine)
    found = answers(engine, prompts, first=len(prompts) - 1, adapter=slot)
    assert found == expected
    written = sum(map(len, found))
    new = len(prompts) * (len(weights.tokenizer(" So:")["input_ids"]) + 4)
    assert model.read <= len(prompts[-1]) + written + new < sum(map(len, prompts)) / 2


def test_samples_of_one_prompt_that_arrive_together_read_it_once(served: tuple[Weights, Engine]) -> None:
    weights, engine = served
    prompt = cuts(weights)[-1]
    model = counted(weights, engine)
    [expected] = answers(engine, [prompt])
    alone = model.read
    model = counted(weights, engine)
    assert answers(engine, [prompt] * 6) == [expected] * 6
    assert model.read <= alone + 5 * (len(expected) + 1)


def test_another_adapter_and_new_weights_read_it_again(served: tuple[Weights, Engine]) -> None:
    weights, engine = served
    prompt = cuts(weights)[-1]
    model = counted(weights, engine)
    first = answers(engine, [prompt])
    before = model.read
    other = answers(engine, [prompt], adapter=weights.slots["run-a"])
    assert model.read >= before + len(prompt) and other != first
    engine.between_steps(lambda: engine.use_model(model, mixes=True)).result()
    before = model.read
    assert answers(engine, [prompt], adapter=weights.slots["run-a"]) == other
    assert model.read >= before + len(prompt)


def test_short_prompts_are_not_kept(served: tuple[Weights, Engine]) -> None:
    weights, engine = served
    counted(weights, engine)
    answers(engine, [[5, 6, 7]])
    assert engine._kept is None
