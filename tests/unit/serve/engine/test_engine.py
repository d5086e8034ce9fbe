"""The decode loop: mixed batches answer as requests alone do, and requests join and leave as they come."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the embedded engine needs the train extra")

import torch

from o1lab.serve.engine.engine import Engine
from o1lab.serve.engine.kv import RoomyLayer
from o1lab.serve.engine.prefill import BASE, Job
from o1lab.serve.engine.sampling import TokenScore, draw
from o1lab.serve.engine.weights import Weights, add_adapter, load_weights, remove_adapter
from tests.support.serving_models import make_adapter, make_model


@dataclass
class Collected:
    """One job's tokens and end, and events to wait for."""

    tokens: list[int] = field(default_factory=list)
    reason: str = ""
    sentence: str = ""
    first: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    def on_token(self, token: int, _score: TokenScore | None) -> None:
        self.tokens.append(token)
        self.first.set()

    def on_end(self, reason: str, sentence: str) -> None:
        self.reason, self.sentence = reason, sentence
        self.ended.set()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture(scope="module")
def served(base: Path) -> tuple[Weights, Engine]:
    weights = load_weights(base, dtype="float32")
    engine = Engine(weights.model, weights.end_tokens, chunk_tokens=16)
    engine.start()
    for seed, name in ((1, "run-a"), (2, "run-b")):
        add_adapter(weights, engine, name, make_adapter(base, base.parent / name, seed=seed))
    yield weights, engine
    engine.close()


PROMPTS = ["Hi", "What is 964 + 494?", "x" * 40, "Ünïcode ✓", "2+2", "A longer prompt than the others are, by far."]


def submit(engine: Engine, weights: Weights, prompt: str, adapter: str = BASE, **options: object) -> Collected:
    collected = Collected()
    ids = weights.tokenizer(prompt)["input_ids"]
    settings = {"max_tokens": 24, "adapter": adapter} | options
    engine.submit(Job(ids, on_token=collected.on_token, on_end=collected.on_end, **settings))
    return collected


def alone(engine: Engine, weights: Weights, prompt: str, adapter: str, **options: object) -> list[int]:
    collected = submit(engine, weights, prompt, adapter, **options)
    assert collected.ended.wait(60)
    return collected.tokens


def test_the_base_answers_as_generate_does(served: tuple[Weights, Engine], base: Path) -> None:
    from transformers import AutoModelForCausalLM

    weights, engine = served
    plain = AutoModelForCausalLM.from_pretrained(base).eval()
    for prompt in PROMPTS:
        ids = torch.tensor([weights.tokenizer(prompt)["input_ids"]])
        expected = plain.generate(ids, max_new_tokens=24, do_sample=False, pad_token_id=0)[0, ids.shape[1] :].tolist()
        expected = [token for token in expected if token not in weights.end_tokens]
        assert alone(engine, weights, prompt, BASE) == expected


def test_an_adapter_answers_as_peft_does(served: tuple[Weights, Engine], base: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    weights, engine = served
    student = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), base.parent / "run-a").eval()
    ids = torch.tensor([weights.tokenizer(PROMPTS[1])["input_ids"]])
    expected = student.generate(input_ids=ids, max_new_tokens=24, do_sample=False, pad_token_id=0)[0, ids.shape[1] :]
    expected = [token for token in expected.tolist() if token not in weights.end_tokens]
    assert alone(engine, weights, PROMPTS[1], weights.slots["run-a"]) == expected
    assert expected != alone(engine, weights, PROMPTS[1], BASE)


def test_a_mixed_batch_answers_as_each_request_alone(served: tuple[Weights, Engine]) -> None:
    weights, engine = served
    wanted = [(prompt, slot) for prompt in PROMPTS for slot in (BASE, *weights.slots.values())]
    expected = [alone(engine, weights, prompt, slot) for prompt, slot in wanted]
    together = [submit(engine, weights, prompt, slot) for prompt, slot in wanted]
    assert all(one.ended.wait(60) for one in together)
    assert [one.tokens for one in together] == expected
    assert len({tuple(tokens) for tokens in expected}) > len(PROMPTS)  # adapters do differ


def test_an_adapter_counts_after_passes_per_adapter(served: tuple[Weights, Engine]) -> None:
    weights, engine = served
    slot = weights.slots["run-a"]
    expected = alone(engine, weights, PROMPTS[1], slot)
    try:
        engine.between_steps(lambda: engine.use_model(weights.model, mixes=False)).result()
        alone(engine, weights, PROMPTS[1], BASE)  # disables all adapters
    finally:
        engine.between_steps(lambda: engine.use_model(weights.model, mixes=True)).result()
    assert alone(engine, weights, PROMPTS[1], slot) == expected


def test_a_request_ends_at_the_end_tokens_of_its_student(served: tuple[Weights, Engine]) -> None:
    weights, engine = served
    prompt, tokens = next((one, found) for one in PROMPTS if len(found := alone(engine, weights, one, BASE)) > 2)
    end = tokens[len(tokens) // 2]
    ended = submit(engine, weights, prompt, end_tokens=frozenset({end}))
    assert ended.ended.wait(60)
    assert (ended.reason, ended.tokens) == ("stop", tokens[: tokens.index(end)])


def test_a_seed_draws_the_same_tokens_in_any_company(served: tuple[Weights, Engine]) -> None:
    weights, engine = served
    options = {"temperature": 0.8, "top_p": 0.9, "seed": 7}
    expected = alone(engine, weights, "Hi", BASE, **options)
    others = [submit(engine, weights, prompt, temperature=1.0, seed=3) for prompt in PROMPTS]
    again = submit(engine, weights, "Hi", **options)
    other_seed = submit(engine, weights, "Hi", **(options | {"seed": 8}))
    assert all(one.ended.wait(60) for one in [*others, again, other_seed])
    assert again.tokens == expected
    assert other_seed.tokens != expected


def test_a_newcomer_joins_while_another_decodes(served: tuple[Weights, Engine]) -> None:
    weights, engine = served
    old = submit(engine, weights, "Hi", max_tokens=400)
    assert old.first.wait(60)
    new = submit(engine, weights, "2+2", max_tokens=3)
    assert new.ended.wait(60)
    assert not old.ended.is_set(), "the short newcomer must not wait for the long answer"
    assert old.ended.wait(60)


def test_cancelling_frees_the_row(served: tuple[Weights, Engine]) -> None:
    weights, engine = served
    collected = Collected()
    job = Job(weights.tokenizer("Hi")["input_ids"], 10_000, collected.on_token, collected.on_end)
    engine.submit(job)
    assert collected.first.wait(60)
    job.cancelled.set()
    assert collected.ended.wait(60)
    assert collected.reason == "cancelled"
    assert engine.between_steps(lambda: engine.load).result(60) == (0, 0)


def test_a_failing_step_ends_its_requests_and_the_engine_continues(served: tuple[Weights, Engine]) -> None:
    weights, engine = served
    whole, calls = engine.model, []

    class Broken:
        device = whole.device

        def __call__(self, **_: object) -> None:
            calls.append(1)
            raise torch.OutOfMemoryError

    engine.between_steps(lambda: setattr(engine, "model", Broken())).result(60)
    failed = submit(engine, weights, "Hi")
    assert failed.ended.wait(60)
    engine.between_steps(lambda: setattr(engine, "model", whole)).result(60)
    assert (failed.reason, calls) == ("error", [1])
    assert "memory" in failed.sentence
    assert alone(engine, weights, "Hi", BASE)


def test_more_requests_than_rows_wait_their_turn(base: Path) -> None:
    weights = load_weights(base, dtype="float32")
    engine = Engine(weights.model, weights.end_tokens, max_rows=2)
    engine.start()
    jobs = [submit(engine, weights, prompt) for prompt in PROMPTS]
    assert all(job.ended.wait(60) for job in jobs)
    assert {job.reason for job in jobs} <= {"stop", "length"}
    engine.close()


def test_adapters_that_do_not_fit_are_refused_and_nothing_changes(
    served: tuple[Weights, Engine], tmp_path: Path
) -> None:
    from o1lab.errors import NotFoundError, RefusedError

    weights, engine = served
    before = alone(engine, weights, "Hi", BASE)
    stranger = make_adapter(make_model(tmp_path / "other", hidden=64), tmp_path / "foreign", seed=3)
    with pytest.raises(RefusedError, match="does not fit"):
        add_adapter(weights, engine, "foreign", stranger)
    with pytest.raises(NotFoundError):
        add_adapter(weights, engine, "nothing", tmp_path)
    with pytest.raises(RefusedError, match="loaded already"):
        add_adapter(weights, engine, "run-a", weights.sources["run-b"])
    assert alone(engine, weights, "Hi", BASE) == before


def test_an_adapter_goes_and_comes_back(served: tuple[Weights, Engine], base: Path) -> None:
    weights, engine = served
    folder = make_adapter(base, base.parent / "run-c", seed=5)
    add_adapter(weights, engine, "run-c", folder)
    before = alone(engine, weights, "Hi", weights.slots["run-c"])
    remove_adapter(weights, engine, "run-c")
    assert "run-c" not in weights.slots
    add_adapter(weights, engine, "run-c", folder)
    assert alone(engine, weights, "Hi", weights.slots["run-c"]) == before


def test_a_request_for_a_removed_adapter_fails_alone(served: tuple[Weights, Engine], base: Path) -> None:
    weights, engine = served
    add_adapter(weights, engine, "run-d", make_adapter(base, base.parent / "run-d", seed=6))
    slot = weights.slots["run-d"]
    remove_adapter(weights, engine, "run-d")
    other = submit(engine, weights, "Hi", BASE)
    late = submit(engine, weights, "Hi", slot)
    assert late.ended.wait(60) and other.ended.wait(60)
    assert late.reason == "error"
    assert "removed" in late.sentence
    assert other.reason in ("stop", "length")


def test_truncated_weights_are_one_sentence(base: Path, tmp_path: Path) -> None:
    import shutil

    from o1lab.errors import LabError

    folder = tmp_path / "cut"
    shutil.copytree(base, folder)
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(LabError, match="cannot be loaded"):
        load_weights(folder, dtype="float32")


def test_the_roomy_layer_keeps_what_it_is_given() -> None:
    layer, seen = RoomyLayer(), []
    for width in (3, 1, 200, 1, 1):
        new = torch.randn(2, 1, width, 4)
        seen.append(new)
        keys, values = layer.update(new, -new)
        assert torch.equal(keys, torch.cat(seen, dim=2))
        assert torch.equal(values, -keys)


@pytest.mark.parametrize("temperature", [1e-37, 1e-38, 1e-45, 1e-320])
@pytest.mark.parametrize("top_p", [1.0, 0.9])
def test_a_tiny_temperature_draws_the_most_likely_token(temperature: float, top_p: float) -> None:
    generator = torch.Generator().manual_seed(1)
    for logits in (torch.tensor([10.0, 30.0, 20.0]), torch.tensor([-30.0, -10.0, -20.0])):
        assert {draw(logits, temperature, top_p, generator) for _ in range(20)} == {1}


def test_drawing_keeps_to_the_nucleus() -> None:
    logits = torch.log(torch.tensor([0.5, 0.3, 0.15, 0.05]))
    generator = torch.Generator().manual_seed(0)
    drawn = [draw(logits, 1.0, 0.75, generator) for _ in range(400)]
    assert set(drawn) == {0, 1}
    assert 0.5 < drawn.count(0) / 400 < 0.75  # 0.5 / 0.8 = 0.625
    assert {draw(logits, 1.0, 0.0, generator) for _ in range(20)} == {0}
    flat = torch.zeros(2000)
    assert max(draw(flat, 1.0, 0.9, generator) for _ in range(300)) > 256  # beyond the shortcut
