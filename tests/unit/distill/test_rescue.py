"""The teacher goes on where the student fails."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import cast

import pytest

from o1lab.chains.parse import parse
from o1lab.chains.verify import VerifierPool
from o1lab.distill.method import SourceItem
from o1lab.distill.methods import model_names
from o1lab.distill.methods.rescue import SOLVED, Rescue, boundaries, moves_in, tries_before
from o1lab.distill.settings import TeacherRunSettings
from o1lab.errors import UsageError
from o1lab.inference.calls import Message, RequestError, Role
from tests.support.scripted_ask import Answer, ScriptedAsk, answers, item, method

MOVES = [
    "Let me think about this first.\n",
    "Compute 0 + 2 = 3. ",
    "Wait, is that right?\n",
    "So the final answer is 43.\n",
]
WRONG = "<think>\n" + "".join(MOVES) + "</think>\n\n\\boxed{43}"
END = "</think>\n\n\\boxed{42}"
BAD_END = "</think>\n\n\\boxed{41}"


@pytest.fixture
def rescue() -> Iterator[Rescue]:
    with VerifierPool() as pool:
        made = cast(Rescue, method("rescue", student="run/1"))
        made.verifier = pool
        yield made


def test_the_student_s_response_has_the_moves_that_these_tests_speak_of() -> None:
    start, moves = moves_in(WRONG)
    assert [WRONG[start + one.start : start + one.end] for one in moves] == [*MOVES[:-1], MOVES[-1].strip()]


@pytest.mark.parametrize(
    ("moves", "tries"), [(10, [9, 6, 3, 0]), (4, [3, 2, 1, 0]), (3, [2, 1, 0]), (2, [1, 0]), (1, [0]), (0, [0])]
)
def test_the_tries_keep_ever_fewer_moves(moves: int, tries: list[int]) -> None:
    assert boundaries(moves) == tries


async def test_what_the_student_solves_needs_no_teacher(rescue: Rescue) -> None:
    ask = answers("<think>\nIt is 42.\n</think>\n\n\\boxed{42}")
    draft = await rescue.respond(item(), 0, ask)
    assert (draft.raw, draft.rejected) == ("", SOLVED)
    [(turn, role, messages)] = ask.calls
    assert (turn, role) == (0, "student")
    assert messages == [{"role": "user", "content": "What is 40 + 2?"}]


async def test_the_teacher_continues_before_the_last_move_of_the_student(rescue: Rescue) -> None:
    ask = answers(WRONG, f"No: it is 2, so 42.\n{END}")
    draft = await rescue.respond(item(), 0, ask)
    begun = "<think>\n" + "".join(MOVES[:3])
    assert draft.raw == f"{begun}No: it is 2, so 42.\n{END}"
    assert (draft.rejected, draft.complete) == ("", True)
    assert draft.parts == (("student", begun), ("teacher", f"No: it is 2, so 42.\n{END}"))
    assert (draft.meta["student_moves"], draft.meta["kept_moves"], draft.meta["tried"]) == (4, 3, [3])
    turn, role, messages = ask.calls[1]
    assert (turn, role, messages[-1]) == (1, "teacher", {"role": "assistant", "content": begun})
    assert messages[0]["content"].startswith("What is 40 + 2?\n")


@pytest.mark.parametrize("opening", ["<thought>\n", ""])
async def test_the_teacher_gets_its_own_marks_whatever_the_student_has(rescue: Rescue, opening: str) -> None:
    closing = "</thought>" if opening else "</think>"
    said = WRONG.replace("<think>\n", opening).replace("</think>", closing)
    ask = answers(said, f"so 42\n{END}")
    draft = await rescue.respond(item(), 0, ask)
    begun = "<think>\n" + "".join(MOVES[:3])
    assert ask.calls[1][2][-1] == {"role": "assistant", "content": begun}
    assert draft.complete and draft.parts == (("student", begun), ("teacher", f"so 42\n{END}"))
    assert draft.raw == "".join(text for _, text in draft.parts)


async def test_a_wrong_or_cut_off_end_is_tried_again_from_an_earlier_move(rescue: Rescue) -> None:
    ask = answers(WRONG, BAD_END, {"answer": "It goes on and on", "finish_reason": "length"}, f"so 42\n{END}")
    draft = await rescue.respond(item(), 0, ask)
    assert draft.raw == f"<think>\n{MOVES[0]}so 42\n{END}"
    assert (draft.meta["kept_moves"], draft.meta["tried"]) == (1, [3, 2, 1])
    begun = [messages[-1]["content"] for _, role, messages in ask.calls if role == "teacher"]
    # Without a space at the end: a model's next token has its own.
    assert begun[1] == "<think>\n" + "".join(MOVES[:2]).rstrip()
    assert ask.turns == [0, 1, 2, 3]


async def test_the_last_try_is_the_teacher_s_alone(rescue: Rescue) -> None:
    ask = answers(WRONG, BAD_END, BAD_END, BAD_END, {"thought": "Add.", "answer": "\\boxed{42}"})
    draft = await rescue.respond(item(), 0, ask)
    assert draft.raw == "<think>\nAdd.\n</think>\n\n\\boxed{42}"
    assert draft.meta["kept_moves"] == 0
    assert [message["role"] for message in ask.calls[-1][2]] == ["user"]


async def test_without_a_right_end_there_is_no_trace(rescue: Rescue) -> None:
    draft = await rescue.respond(item(), 0, answers(WRONG, BAD_END, BAD_END, BAD_END, BAD_END))
    assert (draft.raw, draft.rejected) == (
        "",
        "the teacher does not reach the answer: tried after 3, 2, 1, 0 of 4 moves",
    )


async def test_an_end_that_closes_no_thought_is_not_taken(rescue: Rescue) -> None:
    """A teacher with other marks would leave the thought open, and the answer inside it."""
    draft = await rescue.respond(item(), 0, answers(WRONG, "\\boxed{42}", f"so 42\n{END}"))
    assert draft.meta["tried"] == [3, 2]


async def test_a_student_that_was_cut_off_is_rescued_whatever_it_says(rescue: Rescue) -> None:
    cut = {"answer": "<think>\nIt is \\boxed{42}. Wait, let me check that again. Wait", "finish_reason": "length"}
    draft = await rescue.respond(item(), 0, answers(cut, f"It holds.\n{END}"))
    assert not draft.rejected
    assert draft.parts[1] == ("teacher", f"It holds.\n{END}")


async def test_a_student_without_a_thought_is_continued_in_its_answer(rescue: Rescue) -> None:
    draft = await rescue.respond(
        item(), 0, answers("We add. So the final answer is \\boxed{43}.", "It is \\boxed{42}.")
    )
    assert draft.raw == "We add.It is \\boxed{42}."
    assert draft.complete


async def test_a_thought_after_the_student_s_answer_is_not_taken(rescue: Rescue) -> None:
    """The student's wrong answer would stand outside the marks, as a part of the solution."""
    begun = "We add. So the final answer is \\boxed{43}."
    draft = await rescue.respond(item(), 0, answers(begun, f"<think>\nIt is 42.\n{END}", f"<think>\nAdd.\n{END}"))
    assert (draft.raw, draft.meta["tried"]) == (f"<think>\nAdd.\n{END}", [1, 0])


async def test_an_answer_that_nobody_can_verify_is_left_out(rescue: Rescue) -> None:
    draft = await rescue.respond(item(gold="9" * 5000), 0, answers(WRONG))
    assert draft.rejected == "the student's answer cannot be verified: longer than 4,000 characters: not a final answer"


async def test_a_failed_call_ends_the_conversation(rescue: Rescue) -> None:
    broken = RequestError("server", "It broke.", retryable=True)
    assert not (await rescue.respond(item(), 0, answers(broken))).raw
    ask = answers(WRONG, broken)
    assert not (await rescue.respond(item(), 0, ask)).raw
    assert ask.turns == [0, 1]


async def test_the_same_responses_lead_to_the_same_calls(rescue: Rescue) -> None:
    def script(turn: int, messages: Sequence[Message], role: Role) -> Answer:
        return [WRONG, BAD_END, f"so 42\n{END}"][turn]

    first, second = ScriptedAsk(script), ScriptedAsk(script)
    assert await rescue.respond(item(), 0, first) == await rescue.respond(item(), 0, second)
    assert first.calls == second.calls


def test_the_calls_of_an_estimate(rescue: Rescue) -> None:
    plan = rescue.plan(item())
    assert [(call.role, call.least, call.most) for call in plan.calls] == [("student", 1, 1), ("teacher", 0, 4)]
    assert plan.most_carried == {"teacher": 3}


def wrong_trace(wrong: int | None, raw: str = WRONG) -> SourceItem:
    """Return a trace whose move ``wrong`` (from 0) somebody calls the first wrong one."""
    _, moves = moves_in(raw)
    thought = parse(raw).thought_of(raw)
    at = None if wrong is None else moves[wrong].start
    return replace(item(raw=raw, read=thought, trace_id="t" * 16, model="run/1"), moves=tuple(moves), wrong_at=at)


@pytest.fixture
def of_traces() -> Iterator[Rescue]:
    with VerifierPool() as pool:
        made = cast(Rescue, method("rescue-traces"))
        made.verifier = pool
        yield made


@pytest.mark.parametrize(("wrong", "tries"), [(None, [3, 2, 1, 0]), (1, [1, 0]), (3, [3, 2, 1, 0]), (0, [0])])
def test_a_verdict_on_a_step_says_where_to_begin(wrong: int | None, tries: list[int]) -> None:
    assert tries_before(wrong_trace(wrong)) == tries


async def test_the_teacher_goes_on_before_the_step_that_somebody_calls_wrong(of_traces: Rescue) -> None:
    ask = answers(f"so 42\n{END}")
    draft = await of_traces.respond(wrong_trace(1), 0, ask)
    assert draft.raw == f"<think>\n{MOVES[0]}so 42\n{END}"
    assert (draft.parent_id, draft.meta["kept_moves"]) == ("t" * 16, 1)
    assert draft.parts[0] == ("student", f"<think>\n{MOVES[0]}")
    [(turn, role, messages)] = ask.calls
    assert (turn, role, messages[-1]["role"]) == (0, "teacher", "assistant")


async def test_other_marks_are_written_as_those_of_a_teacher(of_traces: Rescue) -> None:
    raw = WRONG.replace("<think>", "<|begin_of_thought|>").replace("</think>", "<|end_of_thought|>")
    draft = await of_traces.respond(wrong_trace(None, raw), 0, answers(f"so 42\n{END}"))
    assert draft.raw.startswith("<think>\n" + MOVES[0])
    assert draft.complete


async def test_a_right_trace_is_left_out(of_traces: Rescue) -> None:
    right = wrong_trace(None, WRONG.replace("43", "42"))
    draft = await of_traces.respond(right, 0, answers())
    assert (draft.raw, draft.rejected) == ("", SOLVED)


def test_a_rescue_needs_a_student() -> None:
    with pytest.raises(UsageError, match="needs a student") as caught:
        model_names(TeacherRunSettings(endpoint="solver", method="rescue"))
    assert "--student RUN" in caught.value.hint
    names = model_names(TeacherRunSettings(endpoint="solver", method="rescue", student="run"))
    assert names == {"teacher": "solver", "student": "run"}
