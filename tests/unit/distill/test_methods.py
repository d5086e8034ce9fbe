"""Methods of one call: sampling and reformatting, and which prompts a method asks with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from o1lab.distill.methods import make_method, prompt_names
from o1lab.distill.methods.reformat import Reformat
from o1lab.distill.settings import TeacherRunSettings
from o1lab.errors import UsageError
from o1lab.inference.calls import CallKey, RequestError, Response
from o1lab.inference.prompts import find_prompt
from tests.support.scripted_ask import answers, item, method

REWRITTEN = r"We are to add two numbers. Adding the ones, $0 + 2 = 2$; the tens stay $4$. The sum is \boxed{42}"


async def test_a_sample_is_the_response_to_the_letter() -> None:
    ask = answers({"thought": "Let me see.\n", "answer": " It is \\boxed{42} \n"})
    draft = await method("sample").respond(item(), 0, ask)
    assert draft.raw == "<think>\nLet me see.\n\n</think>\n\n It is \\boxed{42} \n"
    assert draft.complete
    assert not draft.rejected
    [(turn, role, [message])] = ask.calls
    assert (turn, role) == (0, "teacher")
    assert message["role"] == "user"
    assert message["content"].startswith("What is 40 + 2?\n")


async def test_a_sample_with_its_own_marks_keeps_them_and_a_cut_one_is_not_complete() -> None:
    draft = await method("sample").respond(item(), 0, answers({"answer": "<think>a", "finish_reason": "length"}))
    assert (draft.raw, draft.complete) == ("<think>a", False)


def test_a_teacher_that_hides_its_thoughts_is_asked_for_the_whole_exploration() -> None:
    settings = TeacherRunSettings(endpoint="o1")
    assert prompt_names(settings) == {"prompt": "long-thought"}
    assert prompt_names(settings, hidden_thoughts=True) == {"prompt": "whole-exploration"}
    named = settings.model_copy(update={"prompt": "mine@3"})
    assert prompt_names(named, hidden_thoughts=True) == {"prompt": "mine@3"}


def test_a_named_prompt_takes_the_first_place() -> None:
    settings = TeacherRunSettings(endpoint="x", method="debate", prompt="mine")
    assert prompt_names(settings) == {"policy": "mine", "critic": "debate-critic", "solution": "debate-solution"}


def test_a_prompt_with_a_slot_nobody_fills_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    settings = TeacherRunSettings(endpoint="x")
    prompt = find_prompt(None, "long-thought")
    wrong = replace(prompt, sections=(("user", "{{statement}} {{solution}}"),))
    with pytest.raises(UsageError, match="solution"):
        make_method(settings, {"prompt": wrong})


def test_reformatting_shows_the_solution_and_not_the_answer() -> None:
    reformat = method("reformat")
    assert isinstance(reformat, Reformat)
    assert reformat.verified
    text = "\n".join(m["content"] for m in reformat.messages(item(gold="the gold 42", solution="add them #### x")))
    assert "add them #### x" in text
    assert "What is 40 + 2?" in text
    assert "the gold 42" not in text


@pytest.mark.parametrize(
    ("answer", "rejected"),
    [
        (REWRITTEN, ""),
        (f"<think>I rewrite it.</think>\n{REWRITTEN}", ""),
        ("It is " + "very, " * 20 + "clearly 42.", "it has no \\boxed answer"),
        ("\\boxed{42}", "it is shorter than the original"),
        ("I'm sorry, but I can't help with that.", "it refuses"),
        ("抱歉，我无法完成这个请求。", "it refuses"),
        (f"{REWRITTEN} </think> {REWRITTEN} </think>", "a thought mark is left in it"),
        (f"<|end_of_solution|> {REWRITTEN}", "a thought mark is left in it"),
        (f"<think> {REWRITTEN}", "a thought mark is left in it"),
        ({"answer": REWRITTEN, "finish_reason": "length"}, "it was cut off"),
        ({"thought": "only a thought", "answer": ""}, "it is empty"),
        (f"{REWRITTEN}. I hope this helps!", "there is text after its \\boxed answer"),
        (f"{REWRITTEN}\n\nNote that the reference skips a step.", "there is text after its \\boxed answer"),
    ],
)
async def test_reformatted_solutions_are_judged(answer: str | dict[str, str], rejected: str) -> None:
    draft = await method("reformat").respond(item(solution="40 + 2 = 42, so 42."), 0, answers(answer))
    assert draft.rejected == rejected
    if not rejected:
        assert draft.raw == REWRITTEN
        assert draft.complete


@pytest.mark.parametrize(
    "end", ["$\\boxed{42}$.", "\\[\\boxed{42}.\\]", "**\\boxed{42}**\n", "$\\boxed{\\fbox{42}}$", "\\fbox 42。"]
)
async def test_a_box_may_stand_in_a_formula_at_the_end(end: str) -> None:
    text = f"We add $40$ and $2$, which gives {end}"
    draft = await method("reformat").respond(item(solution="40 + 2 = 42, so 42."), 0, answers(text))
    assert draft.rejected == ""


async def test_a_failed_call_leaves_nothing_to_keep() -> None:
    ask = answers(RequestError("server", "It broke.", retryable=True))
    draft = await method("reformat").respond(item(solution="x"), 0, ask)
    assert (draft.raw, draft.complete) == ("", False)


def test_a_single_call_draft_follows_from_item_and_response_alone() -> None:
    sample = method("sample")
    response = Response(CallKey("p" * 16, 0), "done", answer="\\boxed{42}", finish_reason="stop")
    assert sample.draft(item(), response) == sample.draft(item(), Response.read(response.line()))  # type: ignore[attr-defined]  # it is a SingleCall
