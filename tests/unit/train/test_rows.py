"""The rows of a run: system messages, held-out problems, figures of held-out rows."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from o1lab.errors import RefusedError, UsageError
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.recipes.recipe_file import override, resolve
from o1lab.train.rows import TrainingRow, read_rows, shared_system, template_text, training_row, write_rows
from store.datasets import DatasetRow
from store.writers import Writer
from tests.support.training_lab import recipe


def row(number: int, problem: str, system: str = "") -> TrainingRow:
    context = [{"role": "system", "content": system}, {"role": "user", "content": problem}] if system else []
    return TrainingRow(f"t{number}", problem, f"thought {number} " * (1 + number % 4), f"It is {number}.", context)


def test_rows_come_back_from_their_file(tmp_path: Path) -> None:
    learn = [row(1, "a", "Short."), TrainingRow("t", "b", "half a", "", cut_off="thought")]
    learn.append(TrainingRow("r", "c", "", "Hi.", replay="talk"))
    learn[1] = replace(learn[1], given=(("thought", 0, 4),))
    assert write_rows(tmp_path / "data.jsonl", learn) == (["t1", "t"], ["r"])
    assert read_rows(tmp_path / "data.jsonl") == learn
    (tmp_path / "old.jsonl").write_text('{"trace_id": "t", "prompt": "p", "thought": "", "solution": "s"}\n')
    assert read_rows(tmp_path / "old.jsonl") == [TrainingRow("t", "p", "", "s")]


def test_what_others_wrote_before_the_last_writer_is_given() -> None:
    writers = {"thought": (Writer("s", 0, 9), Writer("t", 9, 20)), "solution": (Writer("s", 0, 2), Writer("t", 2, 5))}
    taken = DatasetRow("id", "p", "x" * 20, "y" * 5, None, "t", "", None, "rescued", writers=writers)
    assert training_row(taken, 2).given == (("thought", 0, 9), ("solution", 0, 2))
    assert training_row(replace(taken, writers={}), 2).given == ()


def test_a_system_message_that_all_rows_share_becomes_that_of_the_run() -> None:
    alike = [row(1, "a", "Short."), row(2, "b", "Short.")]
    assert shared_system(Recipe(dataset="d"), alike) == {"system_prompt": "Short."}
    assert shared_system(Recipe(dataset="d", system_prompt="Short."), alike) == {"system_prompt": "Short."}
    assert shared_system(Recipe(dataset="d", system_prompt="Long."), [row(1, "a")]) == {}


@pytest.mark.parametrize(
    ("learn", "values"),
    [
        ([row(1, "a", "Short."), row(2, "b", "Long.")], {}),
        ([row(1, "a", "Short."), row(2, "b")], {}),
        ([row(1, "a", "Short.")], {"system_prompt": "Long."}),
    ],
)
def test_system_messages_that_differ_need_a_decision(learn: list[TrainingRow], values: dict[str, Any]) -> None:
    with pytest.raises(RefusedError, match="system message") as refused:
        shared_system(Recipe(dataset="d", **values), learn)
    assert refused.value.code == "system_differs"
    assert shared_system(Recipe(dataset="d", system="row", **values), learn) == {}


def test_options_of_the_template_are_read_from_text_and_yaml() -> None:
    for text in ("enable_thinking=true, date = 26 Jul 2024", '{"enable_thinking": true, "date": "26 Jul 2024"}'):
        chosen = resolve(override({"dataset": "d"}, [f"chat_template_kwargs={text}"]))
        assert chosen.chat_template_kwargs == {"enable_thinking": True, "date": "26 Jul 2024"}
    assert resolve({"dataset": "d", "chat_template_kwargs": {"a": 1}}).prompt.chat_template_kwargs == {"a": 1}
    assert resolve(override({"dataset": "d"}, ["system=none"])).system == "none"
    for wrong in ({"chat_template_kwargs": "tokenize=false"}, {"accept": "everything"}, {"system": "run"},
                  {"system": "none", "system_prompt": "x"}, {"chat_template_kwargs": "{a"}):  # fmt: skip
        with pytest.raises(UsageError):
            resolve({"dataset": "d", **wrong})


def test_a_template_is_a_file_or_a_text(tmp_path: Path) -> None:
    (tmp_path / "t.jinja").write_text("{{ messages }}")
    assert template_text(str(tmp_path / "t.jinja")) == template_text("{{ messages }}") == "{{ messages }}"
    with pytest.raises(UsageError, match="cannot be read"):
        template_text(str(tmp_path / "missing.jinja"))


@pytest.mark.parametrize(
    ("eval_rows", "sizes"), [(3, [1] * 10), (4, [2] * 6), (4, [3] * 4), (1, [3, 2, 4]), (5, [4, 1, 1])]
)
def test_all_rows_of_a_problem_are_on_the_same_side(eval_rows: int, sizes: list[int]) -> None:
    pytest.importorskip("trl", reason="the train extra is not installed")
    from o1lab.train.trainer.tensors import split

    learn = [row(10 * n + i, f"problem {n}") for n, size in enumerate(sizes) for i in range(size)]
    for seed in range(8):
        train, held_out = split(learn, Recipe(dataset="d", eval_rows=eval_rows, seed=seed))
        assert {one.prompt for one in train}.isdisjoint(one.prompt for one in held_out)
        assert sorted(one.trace_id for one in (*train, *held_out)) == sorted(one.trace_id for one in learn)
        assert 1 <= len(held_out) <= max(eval_rows, min(sizes))


def test_a_single_problem_cannot_be_held_out() -> None:
    pytest.importorskip("trl", reason="the train extra is not installed")
    from o1lab.train.trainer.tensors import split

    with pytest.raises(RefusedError, match="about one problem"):
        split([row(n, "same") for n in range(4)], Recipe(dataset="d", eval_rows=2))


@pytest.mark.skipif(find_spec("trl") is None, reason="the train extra is not installed")
def test_eval_loss_is_the_mean_over_tokens_whatever_the_batch_size(tiny_base: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from o1lab.train.trainer import tensors, trainers

    learn = [row(n, f"problem {n}") for n in range(9)]
    found = {}
    for size in (1, 3, 5):
        chosen = recipe(tiny_base, batch_size=size, eval_rows=5, max_length=512)
        model = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32)
        tokenizer = tensors.load_tokenizer(tiny_base, chosen)
        torch.manual_seed(0)
        trainer, _ = trainers.build_trainer(model, tokenizer, chosen, learn, tmp_path, cpu=True)
        found[size] = trainer.evaluate()
        loss, tokens = 0.0, 0
        with torch.no_grad():
            for held in trainer.eval_dataset:
                ids, labels = torch.tensor([held["input_ids"]]), torch.tensor([held["labels"]])
                count = int((labels[:, 1:] != tensors.IGNORED).sum())
                loss += float(trainer.model(input_ids=ids, labels=labels).loss) * count
                tokens += count
        assert found[size]["eval_loss"] == pytest.approx(loss / tokens, rel=1e-5)
    for name in ("eval_loss", "eval_mean_token_accuracy", "eval_entropy"):
        assert found[1][name] == pytest.approx(found[3][name], rel=1e-5) == pytest.approx(found[5][name], rel=1e-5)
