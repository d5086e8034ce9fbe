"""The demo's measuring: scores, intervals, the table, and the teacher over the real protocol."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from o1lab.chat.events import Answer, Done
from o1lab.demo.evaluation import Score, ask_all, score, wilson
from o1lab.demo.headless import NOTE, Report, as_text, demo_recipe
from o1lab.demo.problems import Sum, draw
from o1lab.demo.seed import DATASET, seed_demo
from o1lab.errors import UsageError
from o1lab.serve.manager import ServerManager
from o1lab.serve.registry import SOLVER, find_model


def answer(text: str, thought: str = "", finish: str = "stop", tokens: int | None = 10) -> Answer:
    return Answer(thought, text, done=Done(finish, 40, tokens, None, None, 1.0, 0.1, 10.0))


def test_wilson_agrees_with_published_values() -> None:
    """Newcombe 1998, table I, method 3 (score without continuity correction)."""
    for correct, n, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611)):
        assert wilson(correct, n) == pytest.approx((low, high), abs=5e-5)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


def test_an_answer_counts_only_if_it_is_right_and_ended() -> None:
    problems = [Sum(572, 264)] * 6
    answers = [
        answer(r"\boxed{836}", thought="Ones: 2 + 4 = 6."),
        answer("The sum is 836."),
        answer(r"\boxed{736}"),
        answer("I cannot say."),
        answer(r"\boxed{836}", finish="length"),
        answer("", thought="836 is it, so 836"),
    ]
    row = score("student", "x", problems, answers)
    assert (row.correct, row.n, row.cut_off) == (2, 6, 1)
    assert row.accuracy == pytest.approx(1 / 3)
    assert row.avg_output_tokens == 10
    assert row.ci95[0] < row.accuracy < row.ci95[1]


def test_an_unknown_number_of_tokens_is_not_averaged() -> None:
    row = score("base", "x", [Sum(572, 264)] * 2, [answer("836"), answer("836", tokens=None)])
    assert row.avg_output_tokens is None


async def test_the_teacher_answers_all_held_out_problems_over_http(tmp_path: Path) -> None:
    seeded = seed_demo(tmp_path / "lab")
    questions = [one.statement for one in seeded.held_out]
    counted: list[int] = []
    async with ServerManager(seeded.lab) as manager:
        answers = await ask_all(find_model(seeded.lab, SOLVER), questions, manager, on_answer=counted.append)
    row = score("teacher", SOLVER, seeded.held_out, answers)
    assert (row.correct, row.n, row.cut_off) == (60, 60, 0)
    assert counted == list(range(1, 61))
    assert all(one.thought.startswith("Ones: ") for one in answers)


def test_the_recipe_is_of_the_demos_dataset_and_fits_its_chains() -> None:
    recipe = demo_recipe()
    assert recipe.dataset == DATASET
    assert demo_recipe(7).steps == 7
    assert demo_recipe(7) == recipe.model_copy(update={"steps": 7})
    with pytest.raises(UsageError):
        demo_recipe(0)
    training, _ = draw()
    assert not {probe.prompt for probe in recipe.probes} & {one.statement for one in training}


def report(met: bool | None = True) -> Report:
    low, high = wilson(52, 60)
    student = Score("student", "7f3a/150", 52, 60, 52 / 60, (low, high), 97.25, 0)
    base = dataclasses.replace(student, role="base", model="smollm2-135m", correct=1, accuracy=1 / 60)
    return Report(
        42, "fp32", 150, 301.26, 402.5, "7f3a", "cedb", [base, student], [("Why?", "Because.", "Ones\x1b[31m")], met
    )


def test_the_json_holds_the_keys_that_others_script_against() -> None:
    data = json.loads(json.dumps(report().as_json()))
    wanted = {"seed", "dtype", "steps", "train_seconds", "total_seconds", "run_id", "dataset_hash", "table"}
    assert wanted <= data.keys()
    assert list(data["table"][1]) == ["role", "model", "correct", "n", "accuracy", "ci95", "avg_output_tokens"]
    assert data["table"][1]["accuracy"] == 0.8667
    assert data["note"] == NOTE


def test_the_text_says_what_the_figure_is_worth() -> None:
    text = as_text(report(met=False))
    assert "52/60" in text
    assert "75.8% to 93.1%" in text
    assert "de-quantised from 4 bits" in text
    assert "not a language model" in text
    assert "Below target" in text
    assert "Below target" not in as_text(report())
    assert "Below target" not in as_text(report(met=None))
