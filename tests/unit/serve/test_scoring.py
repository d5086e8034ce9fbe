"""Scores of responses that somebody wrote: against a forward pass of transformers, and where the tokens stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest

pytest.importorskip("torch", reason="the embedded engine needs the train extra")


from o1lab.errors import RefusedError
from o1lab.models.prompts import PromptOptions, Written, placed_tokens, training_tokens
from o1lab.serve.engine.language_model import LanguageModel
from o1lab.serve.engine.weights import Weights
from tests.unit.serve.test_completions import expected

QUESTION = [{"role": "user", "content": "What is 17 + 25?"}]
WHOLE = {"thought": "\n 7 + 5 = 12, carry 1.\nWait, ünïcode 中文 ✓. \n", "solution": "It is **42**."}
RESPONSES = [
    WHOLE,
    {"thought": "", "solution": "42"},
    {"thought": "7 + 5 is", "cut_off": "thought"},
    {"thought": "7 + 5 is", "solution": "Well:", "cut_off": "thought"},
    {"thought": "so", "solution": "It", "cut_off": "solution"},
]


async def score(http: httpx2.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await http.post("/o1lab/score", json={"model": "tiny", "messages": QUESTION} | body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize("name", ["tiny", "student"])
async def test_the_scores_are_those_of_a_forward_pass(
    name: str, http: httpx2.AsyncClient, base: Path, model: tuple[Weights, LanguageModel]
) -> None:
    found = await score(http, model=name, top=3, **WHOLE)
    tokens = training_tokens(
        model[0].tokenizer, QUESTION, PromptOptions(), Written(WHOLE["thought"], WHOLE["solution"])
    )
    asked = len(tokens.prompt)
    assert found["prompt_tokens"] == asked and len(found["logprob"]) == len(tokens.completion)
    truth = expected(base, [*tokens.prompt, *tokens.completion], base.parent / "student" if name == "student" else None)
    for i, token in enumerate(tokens.completion):
        likely = truth[asked + i - 1]
        assert found["logprob"][i] == pytest.approx(float(likely[token]), abs=1e-4)
        assert found["rank"][i] == int((likely > likely[token] + 1e-6).sum()) + 1
        assert found["entropy"][i] == pytest.approx(float(-(likely.exp() * likely).sum()), abs=1e-4)
        assert found["top"][i][0][1] == pytest.approx(float(likely.max()), abs=1e-4)


@pytest.mark.parametrize("response", RESPONSES)
def test_the_position_of_each_token_is_that_of_its_text(
    response: dict[str, Any], model: tuple[Weights, LanguageModel]
) -> None:
    tokenizer = model[0].tokenizer
    written = Written(response["thought"], response.get("solution", ""), response.get("cut_off", ""))
    tokens, places = placed_tokens(tokenizer, QUESTION, PromptOptions(), written)
    assert tokens == training_tokens(tokenizer, QUESTION, PromptOptions(), written)
    given = {"thought": written.thought, "solution": written.solution}
    for part, text in given.items():
        covered = set()
        for token, place in zip(tokens.completion, places, strict=True):
            if place.part == part:
                covered |= set(range(place.start, place.end))
                written_here = tokenizer.decode([token])
                if "\ufffd" not in written_here:
                    assert written_here.strip() in text[place.start : place.end] or not written_here.strip()
        first = len(text) - len(text.lstrip()) if part == "thought" else 0
        last = len(text.rstrip()) if part == "thought" else len(text)
        assert covered == set(range(first, last))


def test_tokens_are_scored_alike_in_several_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from o1lab.serve.engine import sampling

    logits = torch.randn(8, 50, generator=torch.Generator().manual_seed(1))
    logits[2, 5] = -torch.inf
    tokens = torch.arange(8)
    whole = sampling.token_scores(logits, tokens, 3)
    monkeypatch.setattr(sampling, "_TILE_NUMBERS", 3 * 50)
    assert len(sampling.figures(logits, tokens, 3)) == 3
    assert sampling.token_scores(logits, tokens, 3) == whole


def test_a_tokenizer_must_report_positions(model: tuple[Weights, LanguageModel]) -> None:
    class Slow:
        is_fast = False

        def __getattr__(self, name: str) -> Any:
            return getattr(model[0].tokenizer, name)

        def __call__(self, *words: Any, **options: Any) -> Any:
            return model[0].tokenizer(*words, **options)

    with pytest.raises(RefusedError) as refused:
        placed_tokens(Slow(), QUESTION, PromptOptions(), Written("7", "8"))
    assert refused.value.code == "no_offsets"


async def test_a_response_of_several_models_is_scored_during_answers(http: httpx2.AsyncClient) -> None:
    """Rows that are scored from different tokens on, and an answer, share passes of the model."""
    import asyncio

    alone = await score(http, **WHOLE)
    other = [{"role": "user", "content": "A longer question, " * 9}]
    asked = http.post("/chat/completions", json={"model": "tiny", "messages": other, "max_tokens": 9})
    together = await asyncio.gather(score(http, **WHOLE), score(http, messages=other, **WHOLE), asked)
    assert together[0]["logprob"] == pytest.approx(alone["logprob"], abs=1e-4)
    assert together[2].status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"model": "nobody"}, 404, "There is no model called nobody here."),
        ({"top": 21}, 400, "top: Input should be less than or equal to 20."),
        ({"messages": []}, 400, "messages: List should have at least 1 item"),
        ({"thought": "x " * 5000}, 400, "This model takes at most"),
    ],
)
async def test_what_cannot_be_scored(body: dict[str, Any], status: int, message: str, http: httpx2.AsyncClient) -> None:
    answer = await http.post("/o1lab/score", json={"model": "tiny", "messages": QUESTION} | body)
    assert answer.status_code == status
    assert answer.json()["error"]["message"].startswith(message)
