"""Harnesses ask the embedded server: lm-evaluation-harness for log-likelihoods and texts, inspect_ai for chats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.functional.cli.test_serving import serving
from tests.support.serving_models import make_model

TOKEN = "of-the-harness"
PAIRS = [("2 + 2 =", " 4"), ("2 + 2 =", " five"), ("A longer question, to be padded:", " yes"), ("ü", "✓")]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("harness") / "tiny")


@pytest.fixture(scope="module")
def url(tiny: Path) -> Any:
    with serving(
        "serve", str(tiny), "--dtype", "float32", env={"O1LAB_SERVER_TOKEN": TOKEN, "O1LAB_CACHE": str(tiny.parent)}
    ) as (ready, _):
        yield ready["url"]


@pytest.mark.parametrize("as_ids", [True, False])
def test_lm_evaluation_harness(as_ids: bool, url: str, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not installed")
    import torch
    from lm_eval.api.instance import Instance
    from lm_eval.models.openai_completions import LocalCompletionsAPI
    from transformers import AutoModelForCausalLM, AutoTokenizer

    monkeypatch.setenv("OPENAI_API_KEY", TOKEN)
    asked = LocalCompletionsAPI(
        model="tiny", base_url=f"{url}/completions", tokenizer=str(tiny), tokenized_requests=as_ids, max_length=500
    )
    found = asked.loglikelihood([Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(PAIRS)])
    model, tokenizer = AutoModelForCausalLM.from_pretrained(tiny).eval(), AutoTokenizer.from_pretrained(tiny)
    for (context, continuation), (logprob, greedy) in zip(PAIRS, found, strict=True):
        ids, start = tokenizer(context + continuation)["input_ids"], len(tokenizer(context)["input_ids"])
        with torch.inference_mode():
            likely = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        own = [float(likely[i - 1, ids[i]]) for i in range(start, len(ids))]
        assert logprob == pytest.approx(sum(own), abs=1e-3)
        assert greedy == all(int(likely[i - 1].argmax()) == ids[i] for i in range(start, len(ids)))
    (text,) = asked.generate_until([Instance("generate_until", {}, ("Hi", {"until": ["\n"], "max_gen_toks": 8}), 0)])
    assert text and "\n" not in text


def test_inspect_ai(url: str, tmp_path: Path) -> None:
    inspect_ai = pytest.importorskip("inspect_ai", reason="inspect_ai is not installed")
    from inspect_ai.dataset import Sample
    from inspect_ai.model import GenerateConfig, get_model
    from inspect_ai.scorer import includes

    model = get_model("openai-api/local/tiny", base_url=url, api_key=TOKEN, config=GenerateConfig(logprobs=True))
    task = inspect_ai.Task(dataset=[Sample(id=1, input="2 + 2?", target="4")], scorer=includes())
    (log,) = inspect_ai.eval(task, model=model, display="none", max_tokens=8, log_dir=str(tmp_path))
    assert log.status == "success", log.error
    choice = log.samples[0].output.choices[0]
    assert choice.message.text and len(choice.logprobs.content) == 8
