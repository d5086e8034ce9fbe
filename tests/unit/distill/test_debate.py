"""The debate between a policy and a critic."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from o1lab.chains.parse import parse
from o1lab.chains.segmentation.moves import MoveKind, segment
from o1lab.distill.methods.debate import doubt, read_verdict
from o1lab.inference.calls import Message, RequestError, Role
from tests.support.scripted_ask import Answer, ScriptedAsk, answers, item, method


def verdict(decision: str, reason: str = "") -> str:
    return json.dumps({"decision": decision, "reason": reason}, ensure_ascii=False)


STEPS = ["I add 40 and 2 and get 43.", "Then 40 + 2 is 42, counting up twice.", "Check: 42 - 2 = 40. The answer is 42."]
SCRIPT = [
    STEPS[0], verdict("backtrack", "Wait, counting up twice from 40 does not lead to 43."),
    STEPS[1], verdict("go on", "right"),
    STEPS[2], verdict("done", "checked"),
    "The sum is $42$.\n\n\\boxed{42}",
]  # fmt: skip


async def test_a_debate_becomes_one_thought_with_its_dead_end() -> None:
    ask = answers(*SCRIPT)
    draft = await method("debate").respond(item(), 0, ask)
    assert not draft.rejected
    assert draft.complete
    parsed = parse(draft.raw)
    assert parsed.format == "r1"
    assert parsed.thought_of(draft.raw).split("\n\n") == [
        STEPS[0],
        "Wait, counting up twice from 40 does not lead to 43.",
        STEPS[1],
        STEPS[2],
    ]
    assert parsed.solution_of(draft.raw) == SCRIPT[-1]
    assert MoveKind.REFLECT in {move.kind for move in segment(parsed.thought_of(draft.raw))}


async def test_who_is_asked_what_in_a_debate() -> None:
    ask = answers(*SCRIPT)
    draft = await method("debate").respond(item(), 0, ask)
    assert ask.turns == list(range(7))
    assert [role for _, role, _ in ask.calls] == ["teacher", "critic"] * 3 + ["teacher"]
    assert draft.meta["call_keys"] == [f"item/0/{turn}" for turn in range(7)]
    assert draft.meta["backtracks"] == 1
    assert draft.meta["unread_verdicts"] == 0
    assert [one["decision"] for one in draft.meta["debate"]] == ["backtrack", "go on", "done"]
    third = ask.calls[2][2][-1]["content"]
    assert STEPS[0] in third
    assert "does not lead to 43" in third
    assert STEPS[1] in ask.calls[3][2][-1]["content"]


async def test_the_same_responses_make_the_same_draft() -> None:
    first, second = answers(*SCRIPT), answers(*SCRIPT)
    one = await method("debate").respond(item(), 0, first)
    again = await method("debate").respond(item(), 0, second)
    assert one == again
    assert first.calls == second.calls


async def test_a_conversation_that_broke_off_goes_on_where_it_was() -> None:
    """What the journal has is not asked again: only the calls after it are."""
    journal = {}
    asked: list[int] = []

    def broken(turn: int, messages: Sequence[Message], role: Role) -> Answer:
        if turn not in journal:
            asked.append(turn)
            if turn == 4 and len(asked) == 5:
                return RequestError("server", "It broke.", retryable=True)
            journal[turn] = SCRIPT[turn]
        return journal[turn]

    first = await method("debate").respond(item(), 0, ScriptedAsk(broken))
    assert (first.raw, first.rejected) == ("", "")
    second = await method("debate").respond(item(), 0, ScriptedAsk(broken))
    assert second == await method("debate").respond(item(), 0, answers(*SCRIPT))
    assert asked == [0, 1, 2, 3, 4, 4, 5, 6]


async def test_rounds_are_bounded() -> None:
    ask = answers("Step one.", verdict("go on"), "Step two.", verdict("go on"), "\\boxed{42}")
    draft = await method("debate", rounds=2).respond(item(), 0, ask)
    assert ask.turns == [0, 1, 2, 3, 4]
    assert draft.complete
    assert parse(draft.raw).thought_of(draft.raw) == "Step one.\n\nStep two."


async def test_the_plan_bounds_what_is_asked_and_carried() -> None:
    """Every text is one word that stands nowhere else, so that it can be counted in later messages."""
    words = [f"w{turn}ord" for turn in range(7)]
    script = [
        json.dumps({"decision": "go on"}) + words[turn] if turn % 2 and turn < 6 else words[turn] for turn in range(7)
    ]
    ask = answers(*script)
    debate = method("debate", rounds=3)
    plan = debate.plan(item())
    await debate.respond(item(), 0, ask)
    expected: dict[Role, int] = {"teacher": 4, "critic": 3}
    for role, number in expected.items():
        made = [messages for _, who, messages in ask.calls if who == role]
        assert sum(call.most for call in plan.calls if call.role == role) == len(made) == number
        carried = sum(word in message["content"] for messages in made for message in messages for word in words)
        assert 0 < carried <= plan.most_carried[role]
    assert plan.calls[0].messages[-1] == ask.calls[0][2][-1]


async def test_a_last_step_that_is_not_believed_ends_without_a_solution() -> None:
    ask = answers("Step one.", verdict("backtrack", "Wait, no."))
    draft = await method("debate", rounds=1).respond(item(), 0, ask)
    assert ask.turns == [0, 1]
    assert "did not believe" in draft.rejected
    assert not draft.complete
    parsed = parse(draft.raw)
    assert (parsed.thought_of(draft.raw), parsed.complete) == ("Step one.\n\nWait, no.", False)


async def test_a_verdict_that_cannot_be_read_lets_the_policy_go_on_and_is_noted() -> None:
    ask = answers("Step one.", "I am impressed.", "Step two.", verdict("done"), "\\boxed{42}")
    draft = await method("debate").respond(item(), 0, ask)
    assert not draft.rejected
    assert draft.meta["unread_verdicts"] == 1
    assert draft.meta["debate"][0]["read"] is False


async def test_marks_in_what_was_said_do_not_break_the_thought() -> None:
    ask = answers(
        {"thought": "hidden", "answer": "<think>quietly</think>Step </think> one."},
        verdict("done"),
        "So <think> \\boxed{42}",
    )
    draft = await method("debate").respond(item(), 0, ask)
    parsed = parse(draft.raw)
    assert parsed.thought_of(draft.raw) == "Step  one."
    assert parsed.solution_of(draft.raw) == "So  \\boxed{42}"


@pytest.mark.parametrize("turn", [0, 1, 2])
async def test_a_call_that_fails_or_is_cut_off_ends_the_conversation(turn: int) -> None:
    texts: list[Answer] = ["Step one.", verdict("done"), "\\boxed{42}"]
    failed = await method("debate").respond(item(), 0, answers(*texts[:turn], RequestError("server", "It broke.")))
    assert (failed.raw, failed.rejected) == ("", "")
    cut = await method("debate").respond(item(), 0, answers(*texts[:turn], {"answer": "So", "finish_reason": "length"}))
    assert cut.raw == ""
    assert "cut off" in cut.rejected


@pytest.mark.parametrize(
    ("text", "decision", "reason"),
    [
        ('{"decision": "go on", "reason": "fine"}', "go on", "fine"),
        ('Let me see.\n```json\n{"decision": "BACKTRACK", "reason": "No."}\n```\nThat is all.', "backtrack", "No."),
        ('{"decision": "back_track", "reason": "Wait, \\frac{1}{2} \\neq \\sqrt{2}."}', "backtrack",
         "Wait, \\frac{1}{2} \\neq \\sqrt{2}."),
        ('{"decision": "backtrack", "reason": "Wait, \\\\frac{1}{2}."}', "backtrack", "Wait, \\frac{1}{2}."),
        ('{"decision": "go on"} No: {"decision": "done", "reason": "two\nlines"}', "done", "two\nlines"),
        ("Decision: go_on, all is well", "go on", ""),
        ("**decision**: done", "done", ""),
        ("{'decision': 'backtrack', 'reason': 'x'}", "backtrack", ""),
        ('{"decision": "backtrack", "reason": 3}', "backtrack", ""),
    ],
)  # fmt: skip
def test_verdicts_are_read_whatever_stands_around_them(text: str, decision: str, reason: str) -> None:
    found = read_verdict(text)
    assert (found.decision, found.reason, found.read) == (decision, reason, True)


@pytest.mark.parametrize(
    "text", ["", "no idea", '{"decision": "perhaps"}', '["done"]', "{" * 100_000, '{"a":' * 50_000]
)
def test_what_is_no_verdict_counts_as_go_on(text: str) -> None:
    found = read_verdict(text)
    assert (found.decision, found.read) == ("go on", False)


@pytest.mark.parametrize(
    ("reason", "written"),
    [
        ("Wait, the sum is off.", "Wait, the sum is off."),
        ("The sum is off.", "Wait, the sum is off."),
        ("Adding gives 42.", "Wait, adding gives 42."),
        ("I missed a carry.", "Wait, I missed a carry."),
        ("Euler's formula needs a plane graph.", "Wait. Euler's formula needs a plane graph."),
        ("$x$ is not 3.", "Wait, $x$ is not 3."),
        ("等等，这里算错了。", "等等，这里算错了。"),
        ("这一步的和算错了。", "等等，这一步的和算错了。"),
        ("</think>The sum is off.", "Wait, the sum is off."),
        ("", "Wait, something about that last step is not right. Let me go back and try another way."),
    ],
)
def test_a_critics_reason_becomes_the_solvers_own_doubt(reason: str, written: str) -> None:
    assert doubt(reason) == written
    assert segment(doubt(reason))[0].kind is MoveKind.REFLECT
