"""The prompt: preflight, training, probes, chat, evaluation and serving use the same tokens."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from o1lab.chat.conversation import ConversationSession
from o1lab.chat.panes import Settings
from o1lab.errors import RefusedError
from o1lab.evaluate.items import Item
from o1lab.evaluate.run.asking import SampleState, run_sample
from o1lab.evaluate.run.settings import EvaluationSettings
from o1lab.evaluate.run.work_queue import CacheKeys
from o1lab.inference.calls import CallKey, Message, Response
from o1lab.models import prompts
from o1lab.models.prompts import PromptOptions, Written
from o1lab.serve.identity import Identity
from o1lab.serve.protocol import ApiError, ChatRequest
from o1lab.serve.registry import ModelRef
from o1lab.train.recipes.probe import Probe
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.rows import TrainingRow
from store import conversations
from tests.support import chat_templates
from tests.support.tiny_model import make_tiny_model
from tests.support.training_lab import prepared, recipe, rows

pytest.importorskip("trl", reason="the train extra is not installed")

QUESTION = "What is 1 + 4?"
ROW = TrainingRow("t", QUESTION, "ones: 1 + 4 = 5", "The answer is 5.")
SYSTEM = "You think in tens."


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny base of each family, by name."""
    root = tmp_path_factory.mktemp("bases")
    found = {}
    for name, template in chat_templates.FAMILIES.items():
        found[name] = make_tiny_model(root / name, template=template)
        if not template:
            (root / name / "chat_template.jinja").unlink()
    return found


def tokenizer_of(base: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(base)


def of_training(base: Path, chosen: Recipe, row: TrainingRow = ROW) -> list[int]:
    """The tokens before the first trained one, in the trainer's dataset."""
    from o1lab.train.trainer import tensors, trainers

    tokenizer = tensors.load_tokenizer(base, chosen)
    trainer, _ = trainers.build_trainer(tensors.stand_in(tokenizer), tokenizer, chosen, [row], base / "out", cpu=True)
    learned = trainer.train_dataset[0]
    return [token for token, label in zip(learned["input_ids"], learned["labels"], strict=True) if label == -100]


def of_preflight(base: Path, chosen: Recipe, folder: Path) -> str:
    from o1lab.train.preflight.worker import inspect

    run = prepared(folder, "asked", chosen, [ROW])
    found = inspect(run, run.path.parent)
    assert "prompt_differs" not in {problem.code for problem in found.problems}
    return "".join(token.text for token in found.sample if not token.trained)


def of_probes(base: Path, chosen: Recipe) -> list[int]:
    import torch

    from o1lab.train.trainer import tensors
    from o1lab.train.trainer.probes import Prober

    seen: list[Any] = []

    def generate(input_ids: Any, **_: Any) -> Any:
        seen.append(input_ids[0].tolist())
        return torch.cat([input_ids, torch.tensor([[2]])], dim=1)

    model: Any = SimpleNamespace(
        training=True, device=torch.device("cpu"), eval=lambda: None, train=lambda _on: None, generate=generate,
        generation_config=SimpleNamespace(eos_token_id=2),
    )  # fmt: skip
    asking = chosen.model_copy(update={"probes": [Probe(prompt=QUESTION)]})
    prober = Prober(asking, tensors.load_tokenizer(base, chosen), lambda: False)
    try:
        prober.ask(model, 0, lambda *_: None)
    finally:
        prober.close()
    return list(seen[0])


def server(base: Path, chosen: Recipe, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A backend of the embedded server with the student of a run as ``student``; it decodes nothing."""
    from o1lab.serve.engine import language_model
    from o1lab.serve.engine.weights import Weights

    def add_adapter(weights: Any, _engine: Any, name: str, path: Path) -> None:
        weights.slots[name], weights.sources[name] = "slot1", path

    monkeypatch.setattr(language_model, "add_adapter", add_adapter)
    weights = Weights(base, None, tokenizer_of(base), "cpu", "float32", 4096, {2})
    backend = language_model.LanguageModel("base", weights, SimpleNamespace())  # type: ignore[arg-type]
    run = prepared(folder, "served", chosen, [ROW])
    backend.load_adapter("student", run.checkpoint(4))
    return backend


def of_server(backend: Any, messages: Sequence[Message], fields: dict[str, Any] | None = None) -> str:
    body = {"model": "student", "messages": list(messages), **(fields or {})}
    return str(backend.render(ChatRequest.model_validate(body), list(messages))["prompt"])


def of_chat(chosen: Recipe) -> list[Message]:
    ref = ModelRef("r/4", "student", "student", "checkpoint", prompt=chosen.prompt)
    asked = conversations.Message("m", "c", 1, None, "user", "complete", QUESTION)
    session = ConversationSession(
        None, SimpleNamespace(head=None), [ref], Settings(), opener=None, listener=lambda _: None,  # type: ignore[arg-type]
        client=SimpleNamespace(), history=[asked],  # type: ignore[arg-type]
    )  # fmt: skip
    return list(session.messages_for(0))


def of_evaluation(chosen: Recipe, item: Item | None = None, **settings: Any) -> list[Message]:
    identity = Identity("r/4", "student", "checkpoint", "r/4", "sha", "t", None, chosen.prompt.system_prompt)
    keys = CacheKeys(identity, EvaluationSettings(suite="s", model="r/4", **settings))
    item = item or Item("i", QUESTION, (QUESTION,))
    sent: list[Message] = []

    async def ask(call: int, messages: Sequence[Message], *, limit: int | None = None) -> Response:
        sent.extend(messages)
        return Response(CallKey("i", 0, call), "complete", answer="5", finish_reason="stop")

    sample = SampleState(item, 0, keys.key(item, 0), keys.system(item))
    asyncio.run(run_sample(sample, ask, last_word=None))
    return sent


@pytest.mark.parametrize("system", [None, SYSTEM])
@pytest.mark.parametrize("family", list(chat_templates.FAMILIES))
def test_every_caller_asks_with_the_tokens_that_training_used(
    family: str, system: str | None, bases: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = bases[family]
    options = {"date_string": "1 Jan 2025"} if family == "llama3" else {}
    chosen = recipe(base, system_prompt=system, chat_template_kwargs=options)
    tokenizer = tokenizer_of(base)
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": QUESTION})
    backend = server(base, chosen, tmp_path, monkeypatch)
    fields = chosen.prompt.request_fields("embedded")
    if family == "none" or (family == "gemma" and system):
        with pytest.raises(RefusedError) as refused:
            of_training(base, chosen)
        assert refused.value.code == ("no_chat_template" if family == "none" else "template")
        with pytest.raises(RefusedError):
            of_probes(base, chosen)
        for sent in (of_chat(chosen), of_evaluation(chosen)):
            with pytest.raises(ApiError) as rejected:
                of_server(backend, sent, fields)
            assert (rejected.value.status, rejected.value.code) == (400, refused.value.code)
        return
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **options)
    asked = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True, **options)
    assert of_training(base, chosen) == asked["input_ids"]
    assert of_preflight(base, chosen, tmp_path) == text
    assert of_probes(base, chosen) == asked["input_ids"]
    assert of_chat(chosen) == of_evaluation(chosen) == messages
    for sent in (of_chat(chosen), of_evaluation(chosen)):
        assert of_server(backend, sent, fields) == text
    assert of_server(backend, messages[-1:]) == text, "a client that knows nothing of the run"
    assert prompts.encode(tokenizer, text) == asked["input_ids"]


def test_a_base_without_template_is_trained_and_served_with_the_one_of_the_recipe(
    bases: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = recipe(bases["none"], chat_template=chat_templates.CHATML)
    text = f"<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n"
    tokenizer = tokenizer_of(bases["none"])
    assert of_training(bases["none"], chosen) == of_probes(bases["none"], chosen) == prompts.encode(tokenizer, text)
    backend = server(bases["none"], chosen, tmp_path, monkeypatch)
    assert of_server(backend, of_chat(chosen)) == text


def test_an_empty_system_message_asks_a_student_without_that_of_its_run(
    bases: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = recipe(bases["chatml"], system_prompt=SYSTEM)
    backend = server(bases["chatml"], chosen, tmp_path, monkeypatch)
    plain = of_evaluation(chosen, system="")
    assert plain == [{"role": "user", "content": QUESTION}]
    assert SYSTEM not in of_server(backend, plain, chosen.prompt.request_fields("embedded"))
    own = Item("i", QUESTION, (QUESTION,), system="Grade it.")
    assert of_evaluation(chosen, own)[0]["content"] == "Grade it."
    assert of_evaluation(chosen, own, system="Mine.")[0]["content"] == "Mine."
    assert backend.cards()[1]["prompt"]["system_prompt"] == SYSTEM


def written(base: Path, template: str, response: Written, **options: Any) -> tuple[str, str]:
    """(prompt, completion) as text; their tokens are checked to be those of the parts."""
    tokenizer = tokenizer_of(base)
    chosen = PromptOptions(chat_template=template, chat_template_kwargs=options)
    question = [{"role": "user", "content": QUESTION}]
    tokens = prompts.training_tokens(tokenizer, question, chosen, response)
    prompt = prompts.render(tokenizer, question, chosen)
    assert tokens.prompt == prompts.encode(tokenizer, prompt)
    return prompt, str(tokenizer.decode(tokens.completion))


@pytest.mark.parametrize(
    ("template", "options", "thought", "learned"),
    [
        (chat_templates.CHATML, {}, "T", "<think>\nT\n</think>\n\nS<|im_end|>\n"),
        (chat_templates.HYBRID, {}, "T", "<think>\nT\n</think>\n\nS<|im_end|>\n"),
        (chat_templates.HYBRID, {}, "", "S<|im_end|>\n"),
        (chat_templates.HYBRID, {"enable_thinking": False}, "", "S<|im_end|>\n"),
        (chat_templates.DEFAULT_OFF, {"enable_thinking": True}, "T", "<think>\nT\n</think>\n\nS<|im_end|>\n"),
        (chat_templates.OPENING, {}, "T", "T\n</think>\n\nS<|im_end|>\n"),
        (chat_templates.OPENING, {}, "", "\n</think>\n\nS<|im_end|>\n"),
        (chat_templates.GEMMA, {}, "T", "<think>\nT\n</think>\n\nS<|im_end|>\n"),
        (chat_templates.MISTRAL, {}, "T", " <think>\nT\n</think>\n\nS<|im_end|>"),
    ],
)
def test_the_response_is_learned_as_it_is_and_ends_as_the_template_ends_turns(
    template: str, options: dict[str, Any], thought: str, learned: str, bases: dict[str, Path]
) -> None:
    assert written(bases["chatml"], template, Written(thought, "S"), **options)[1] == learned


@pytest.mark.parametrize(
    ("template", "response", "learned"),
    [
        (chat_templates.CHATML, Written("T and", "", "thought"), "<think>\nT and"),
        (chat_templates.CHATML, Written("T", "S so", "solution"), "<think>\nT\n</think>\n\nS so"),
        (chat_templates.CHATML, Written("T and", "Before.", "thought"), "Before.\n\n<think>\nT and"),
        (chat_templates.OPENING, Written("T and", "", "thought"), "T and"),
        (chat_templates.HYBRID, Written("", "S so", "solution"), "S so"),
    ],
)
def test_a_response_that_was_cut_off_gets_no_end(
    template: str, response: Written, learned: str, bases: dict[str, Path]
) -> None:
    assert written(bases["chatml"], template, response)[1] == learned


def test_only_the_last_turn_of_a_conversation_is_learned(bases: dict[str, Path]) -> None:
    turns = [("system", "Short."), ("user", "What is 1 + 1?"), ("assistant", "2"), ("user", "And doubled?")]
    context = [{"role": role, "content": text} for role, text in turns]
    row = TrainingRow("t", "And doubled?", "2 + 2 = 4", "4", context)
    prompt = of_training(bases["chatml"], recipe(bases["chatml"]), row)
    text = tokenizer_of(bases["chatml"]).decode(prompt)
    assert text == "".join(f"<|im_start|>{r}\n{c}<|im_end|>\n" for r, c in turns) + "<|im_start|>assistant\n"


@pytest.mark.parametrize(
    ("values", "asked"),
    [
        ({"system": "row"}, "Mine."),
        ({"system": "run", "system_prompt": "Ours."}, "Ours."),
        ({"system": "none"}, None),
    ],
)
def test_system_turns_of_rows_are_kept_replaced_or_left_out(values: dict[str, Any], asked: str | None) -> None:
    context = [{"role": "system", "content": "Mine."}, {"role": "user", "content": QUESTION}]
    row = TrainingRow("t", QUESTION, "", "5", context)
    found = row.asked(Recipe(dataset="d", **values))
    assert [turn["content"] for turn in found] == [*([asked] if asked else []), QUESTION]


def codes(base: Path, folder: Path, learn: list[TrainingRow], **values: Any) -> tuple[dict[str, str], set[str]]:
    """(hint of each problem by code, codes of the warnings) of preflight."""
    from o1lab.train.preflight.worker import inspect

    run = prepared(folder, "checked", recipe(base, **values), learn)
    found = inspect(run, run.path.parent)
    return {one.code: one.hint for one in found.problems}, {one.code for one in found.warnings}


def test_a_template_that_closes_the_thought_is_refused_and_the_option_is_named(
    bases: dict[str, Path], tmp_path: Path
) -> None:
    off = {"chat_template": chat_templates.DEFAULT_OFF}
    problems, _ = codes(bases["chatml"], tmp_path / "a", [ROW], **off)
    assert "chat_template_kwargs=enable_thinking=true" in problems["closed_thought"]
    mended = codes(bases["chatml"], tmp_path / "b", [ROW], **off, chat_template_kwargs="enable_thinking=true")
    assert mended == ({}, set())
    assert codes(bases["chatml"], tmp_path / "c", [ROW], **off, accept="closed_thought") == ({}, {"closed_thought"})
    assert codes(bases["chatml"], tmp_path / "d", [ROW], **off, phase=1) == ({}, set())


def test_a_row_that_was_cut_off_is_refused_and_a_warning_once_accepted(bases: dict[str, Path], tmp_path: Path) -> None:
    cut = TrainingRow("cut", "What is 2 + 2?", "twos: 2 + 2", "", cut_off="thought")
    problems, _ = codes(bases["chatml"], tmp_path / "a", [ROW, cut])
    assert set(problems) == {"cut_off"}
    assert codes(bases["chatml"], tmp_path / "b", [ROW, cut], accept=["cut_off"]) == ({}, {"cut_off"})


def test_a_template_that_ends_turns_with_another_token_names_it_and_eos_token_mends_it(
    bases: dict[str, Path], tmp_path: Path
) -> None:
    other = {"chat_template": chat_templates.CHATML.replace("<|im_end|>", "<|im_start|>")}
    problems, _ = codes(bases["chatml"], tmp_path / "a", [ROW], **other)
    assert "--set 'eos_token=<|im_start|>'" in problems["no_end_of_turn"]
    assert codes(bases["chatml"], tmp_path / "b", [ROW], **other, eos_token="<|im_start|>")[0] == {}
    assert codes(bases["chatml"], tmp_path / "c", [ROW], eos_token="<|nothing|>")[0].keys() == {"eos_token"}


def test_the_template_s_date_and_options_that_it_does_not_use_are_warnings(
    bases: dict[str, Path], tmp_path: Path
) -> None:
    assert "dated_prompt" in codes(bases["llama3"], tmp_path / "a", [ROW])[1]
    assert "dated_prompt" not in codes(bases["llama3"], tmp_path / "b", [ROW], chat_template_kwargs="date_string=x")[1]
    assert codes(bases["chatml"], tmp_path / "c", rows(2), chat_template_kwargs="enable_thinkin=true")[1] == {
        "unknown_template_option"
    }


def test_the_system_message_of_a_template_is_reported(bases: dict[str, Path]) -> None:
    default = "{% if messages[0].role != 'system' %}<|im_start|>system\nBe kind.<|im_end|>\n{% endif %}"
    tokenizer = tokenizer_of(bases["chatml"])
    options = PromptOptions(chat_template=default + chat_templates.CHATML)
    assert prompts.template_system(tokenizer, options) == "Be kind."
    for plain in (chat_templates.CHATML, chat_templates.GEMMA, chat_templates.MISTRAL):
        assert prompts.template_system(tokenizer, PromptOptions(chat_template=plain)) == ""


SET_DATE = "{% if not date_string is defined %}{% set date_string = '26 Jul 2024' %}{% endif %}"


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("{{ strftime_now('%d %b %Y') }}", prompts.NOW),
        ("{{ strftime_now(format='%Y-%m-%d') }}", prompts.NOW),
        ("{% if strftime_now is defined %}{{ strftime_now('%Y') }}{% else %}2024{% endif %}", prompts.NOW),
        ("{% set today = strftime_now('%d %B %Y') %}Current date: {{ today }}", prompts.NOW),
        (SET_DATE + "Cutting Knowledge Date: December 2023\nToday Date: {{ date_string }}\n\n", "26 Jul 2024"),
        ("Today's date is July 26, 2024.", "July 26, 2024"),
        ("The current date is 2025-01-30.", "2025-01-30"),
        ("Knowledge cutoff: 2024-06\nYou are kind.", ""),
        ("", ""),
    ],
)
def test_a_date_in_the_prompt_is_found_in_each_form(bases: dict[str, Path], head: str, expected: str) -> None:
    tokenizer = tokenizer_of(bases["chatml"])
    asked = [{"role": "user", "content": "Today Date: 1 Jan 2020"}]  # of the row, not of the template
    options = PromptOptions(chat_template=head + chat_templates.CHATML)
    assert prompts.template_date(tokenizer, asked, options) == expected
    chosen = replace(options, chat_template_kwargs={"date_string": "26 Jul 2024"})
    assert prompts.template_date(tokenizer, asked, chosen) == ("" if "date_string" in head else expected)


def test_preflight_reports_a_fixed_date_that_only_some_rows_get(bases: dict[str, Path], tmp_path: Path) -> None:
    only_alone = "{% if messages[0].role != 'system' %}" + SET_DATE + "Today Date: {{ date_string }}\n{% endif %}"
    template = {"chat_template": only_alone + chat_templates.CHATML, "system": "row"}
    turns = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]
    with_system = replace(ROW, trace_id="s", context=turns)
    assert codes(bases["chatml"], tmp_path / "a", [with_system], **template)[1] == set()
    assert codes(bases["chatml"], tmp_path / "b", [with_system, ROW], **template)[1] == {"dated_prompt"}
