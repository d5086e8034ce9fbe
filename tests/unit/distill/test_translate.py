"""Translating chains: what must not change does not, long chains go in parts, and what is wrong is found."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o1lab.chains.language import language_of
from o1lab.chains.parse import parse
from o1lab.chains.protected import mask, protected_spans, unmask
from o1lab.chains.segmentation.moves import segment
from o1lab.distill.method import SourceItem
from o1lab.distill.methods.translate import PART_CHARS, cut
from o1lab.inference.calls import Message, RequestError, Role
from o1lab.inference.prompts import find_prompt
from tests.support.scripted_ask import Answer, ScriptedAsk, item, method

STATEMENT = "What is $40 + 2$? Give a whole number."
THOUGHT = """Okay, I need to add $40$ and \\(2\\). Let me count up from forty.

Wait, that gives $43$? Let me check again: `40 + 2` is not that.

So the sum must be [ $42$ ], see https://example.org/sums for the rule."""
SOLUTION = "The sum of both numbers is\n\\[ 40 + 2 = 42 \\]\nand so the answer is \\boxed{42}."
RAW = (
    f"<|begin_of_thought|>\n\n{THOUGHT}\n\n<|end_of_thought|>\n\n"
    f"<|begin_of_solution|>\n\n{SOLUTION}\n\n<|end_of_solution|>"
)


def into_chinese(text: str) -> str:
    """A translator that knows no word and loses nothing."""
    return re.sub(r"[A-Za-z'’]+", "译文", text)


def text_in(messages: Sequence[Message]) -> str:
    """What a prompt asks to translate: it stands at its end."""
    asked = messages[1]["content"]
    return asked.partition("Text:\n\n")[2] or asked.partition("Answer with the translation only.\n\n")[2]


def translator(change: Callable[[int, str], str] = lambda _, text: text) -> ScriptedAsk:
    """Translates; ``change`` may spoil the answer of a turn."""
    return ScriptedAsk(lambda turn, messages, role: change(turn, into_chinese(text_in(messages))), item="t" * 16)


def of_trace(raw: str = RAW, **values: str | None) -> SourceItem:
    return item(STATEMENT, raw=raw, trace_id="t" * 16, licence="MIT", **values)


async def test_chain_and_problem_are_translated_and_linked() -> None:
    ask = translator()
    draft = await method("translate").respond(of_trace(), 0, ask)
    assert not draft.rejected
    assert draft.complete
    assert draft.parent_id == "t" * 16
    assert draft.problem is not None
    assert draft.problem.statement == into_chinese("What is ⟦⟧? Give a whole number.").replace("⟦⟧", "$40 + 2$")
    assert (draft.problem.answer, draft.problem.source, draft.problem.licence) == ("42", "translation/zh", "MIT")
    assert draft.problem.meta == {"translated_from": "p" * 16, "language": "zh"}
    assert ask.turns == [0, 2, 3]
    assert draft.meta["call_keys"] == [f"{'t' * 16}/0/{turn}" for turn in (0, 2, 3)]


async def test_formulas_code_links_marks_and_white_space_are_as_they_were() -> None:
    draft = await method("translate").respond(of_trace(), 0, translator())
    spans = [RAW[slice(*span)] for span in protected_spans(RAW)]
    assert [draft.raw[slice(*span)] for span in protected_spans(draft.raw)] == spans
    assert draft.raw.startswith("<|begin_of_thought|>\n\n译文")
    assert draft.raw.endswith("\\boxed{42}.\n\n<|end_of_solution|>")
    assert draft.raw.count("\n\n") == RAW.count("\n\n")
    assert parse(draft.raw).format == parse(RAW).format
    assert language_of(draft.raw) == "zh"


async def test_every_part_is_told_how_the_statement_was_translated() -> None:
    ask = translator()
    await method("translate").respond(of_trace(), 0, ask)
    for _, _, messages in ask.calls[1:]:
        assert STATEMENT in messages[1]["content"]
        assert "译文 译文 $40 + 2$?" in messages[1]["content"]
        assert "Simplified Chinese" in messages[0]["content"]


async def test_a_long_chain_goes_in_parts_and_comes_together_again() -> None:
    sentences = [f"So step {n} gives $x_{n} = {n}$, and I write that down. Wait, is it right?" for n in range(400)]
    thought = "\n\n".join(" ".join(sentences[at : at + 4]) for at in range(0, 400, 4))
    raw = f"<think>\n{thought}\n</think>\n\nThe answer is \\boxed{{42}}."
    ask = translator()
    draft = await method("translate").respond(of_trace(raw), 0, ask)
    assert not draft.rejected
    assert len(ask.calls) > 5
    assert max(len(text_in(messages)) for _, _, messages in ask.calls) <= PART_CHARS
    assert all(text_in(messages).startswith("So step") for _, _, messages in ask.calls[1:-1])
    expected = [raw[slice(*span)] for span in protected_spans(raw)]
    assert [draft.raw[slice(*span)] for span in protected_spans(draft.raw)] == expected
    assert draft.raw.count("\n\n") == raw.count("\n\n")


async def test_a_part_with_a_fault_is_sent_back_once() -> None:
    ask = translator(lambda turn, text: text.replace("⟦1⟧", "") if turn == 2 else text)
    repaired = ScriptedAsk(
        lambda turn, messages, role: (
            ask.script(turn, messages, role) if turn != 3 else into_chinese(text_in(messages[:2]))
        )
    )
    draft = await method("translate").respond(of_trace(), 0, repaired)
    assert not draft.rejected
    assert repaired.turns == [0, 2, 3, 4]
    again = repaired.calls[2][2]
    assert [message["role"] for message in again] == ["system", "user", "assistant", "user"]
    assert "a mark is missing: ⟦1⟧, for \\(2\\)" in again[-1]["content"]
    assert draft.raw == (await method("translate").respond(of_trace(), 0, translator())).raw


async def test_a_statement_with_a_fault_is_sent_back_too() -> None:
    ask = ScriptedAsk(
        lambda turn, messages, role: "译文译文译文" if turn == 0 else into_chinese(text_in(messages[:2])),
    )
    draft = await method("translate").respond(of_trace(), 0, ask)
    assert not draft.rejected
    assert ask.turns == [0, 1, 2, 3]
    assert draft.raw == (await method("translate").respond(of_trace(), 0, translator())).raw


async def test_the_chains_of_a_problem_stay_chains_of_one_problem() -> None:
    """However many of them are translated side by side, its statement is asked for once; after a failure again."""
    translate = method("translate")

    def wordy(turn: int, messages: Sequence[Message], role: Role) -> Answer:
        return into_chinese(text_in(messages)) + (f"（译文{len(asks)}）" if turn == 0 else "")

    asks = [ScriptedAsk(wordy) for _ in range(4)]
    asks.insert(0, ScriptedAsk(lambda turn, messages, role: RequestError("server", "It broke.")))
    items = [replace(of_trace(), trace_id=f"{number:016}") for number in range(5)]
    drafts = await asyncio.gather(*(translate.respond(one, 0, ask) for one, ask in zip(items, asks, strict=True)))
    assert [ask.turns for ask in asks] == [[0], [0, 2, 3], [2, 3], [2, 3], [2, 3]]
    assert drafts[0].problem is None
    assert len({draft.problem.id for draft in drafts[1:] if draft.problem}) == 1
    assert len([draft for draft in drafts if draft.problem]) == 4


async def test_a_problem_that_the_lab_has_in_the_language_is_not_translated_again() -> None:
    ask = translator()
    known = replace(of_trace(), translated="求 $40 + 2$ 的值。")
    draft = await method("translate").respond(known, 0, ask)
    assert ask.turns == [2, 3]
    assert draft.problem is not None
    assert draft.problem.statement == "求 $40 + 2$ 的值。"
    assert len(method("translate").plan(known).calls) == 2


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda text: text.replace("⟦1⟧", ""), "a mark is missing: ⟦1⟧, for \\(2\\)"),
        (lambda text: text.replace("⟦1⟧", "⟦1⟧⟦1⟧"), "a mark is there more than once: ⟦1⟧"),
        (lambda text: text + "⟦77⟧", "a mark is there that the original does not have: ⟦77⟧"),
        (lambda text: text + "<think>", "a thought mark is there, which the original does not have"),
    ],
)
async def test_a_span_that_is_not_there_exactly_once_is_named(spoil: Callable[[str], str], reason: str) -> None:
    ask = translator(lambda turn, text: spoil(text) if turn in (2, 3) else text)
    draft = await method("translate").respond(of_trace(), 0, ask)
    assert draft.rejected == reason
    assert draft.raw == ""
    assert ask.turns == [0, 2, 3]


async def test_paragraphs_that_were_left_out_are_noticed() -> None:
    thought = "\n\n".join(f"I think about case {n} for a while, and then go on." for n in range(6))
    ask = translator(lambda turn, text: text[: len(text) // 3] if turn in (2, 3) else text)
    draft = await method("translate").respond(of_trace(f"<think>{thought}</think>so \\boxed{{42}} it is"), 0, ask)
    assert re.fullmatch(r"paragraphs are missing: there are \d instead of 6", draft.rejected)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda turn, text: text.replace("译文", "word "), "not mainly in Simplified Chinese"),
        (lambda turn, text: text + " and so we have found the whole answer here" if turn else text, "mixes languages"),
    ],
)
async def test_what_is_not_in_the_language_is_rejected(change: Callable[[int, str], str], reason: str) -> None:
    draft = await method("translate").respond(of_trace(), 0, translator(change))
    assert reason in draft.rejected
    assert draft.raw == ""


async def test_a_box_that_changes_its_place_is_another_answer() -> None:
    raw = "<think>Let me see what that is for a moment.</think>First \\boxed{41}, no, rather \\boxed{42}."
    swap = {"⟦0⟧": "⟦1⟧", "⟦1⟧": "⟦0⟧"}
    ask = translator(lambda turn, text: re.sub(r"⟦\d⟧", lambda mark: swap[mark[0]], text) if turn else text)
    draft = await method("translate").respond(of_trace(raw), 0, ask)
    assert draft.rejected == "the boxed answer differs after the translation"


async def test_what_is_in_the_language_already_costs_nothing() -> None:
    ask = translator()
    draft = await method("translate", language="en").respond(of_trace(), 0, ask)
    assert draft.rejected == "it is in English already"
    assert ask.calls == []


async def test_a_failed_call_ends_the_conversation_and_a_fence_around_all_is_taken_off() -> None:
    def failing(turn: int, messages: Sequence[Message], role: Role) -> Answer:
        return RequestError("server", "It broke.", retryable=True) if turn == 2 else into_chinese(text_in(messages))

    draft = await method("translate").respond(of_trace(), 0, ScriptedAsk(failing))
    assert (draft.raw, draft.rejected) == ("", "")
    fenced = await method("translate").respond(of_trace(), 0, translator(lambda _, text: f"```text\n{text}\n```"))
    plain = await method("translate").respond(of_trace(), 0, translator())
    assert fenced.raw == plain.raw


async def test_the_same_responses_make_the_same_translation() -> None:
    first, second = translator(), translator()
    assert await method("translate").respond(of_trace(), 0, first) == await method("translate").respond(
        of_trace(), 0, second
    )
    assert first.calls == second.calls


LONG = "<think>" + "I think about it.\n\n" * 800 + "</think>so \\boxed{42} it is"


@pytest.mark.parametrize("raw", [RAW, LONG], ids=["short", "long"])
async def test_the_plan_is_what_is_asked_at_least(raw: str) -> None:
    ask = translator()
    translate = method("translate")
    plan = translate.plan(of_trace(raw))
    assert not (await translate.respond(of_trace(raw), 0, ask)).rejected
    assert len(plan.calls) == len(ask.calls)
    assert [call.messages[-1]["content"][-40:] for call in plan.calls] == [
        messages[-1]["content"][-40:] for _, _, messages in ask.calls
    ]
    assert {call.most for call in plan.calls} == {2}
    assert method("translate", language="en").plan(of_trace(raw)).calls == []


@given(st.text(alphabet="ab.!? \n。$⟦⟧01\\(){}等", max_size=300), st.integers(min_value=20, max_value=80))
def test_parts_make_up_the_text_and_cut_no_placeholder(text: str, size: int) -> None:
    masked = mask(text)
    parts = cut(masked.text, size)
    assert "".join(parts) == masked.text
    assert all(0 < len(part) <= size for part in parts)
    assert "".join(unmask(part, masked.kept) for part in parts) == text


def test_cuts_are_at_paragraphs_then_between_moves() -> None:
    paragraphs = "I add them up.\n\n" * 10
    assert set(cut(paragraphs, 40)) == {"I add them up.\n\n" * 2}
    moves = "I know this is long. Wait, that is wrong. Let me check it again now. " * 3
    assert all(part.endswith((". ", ".")) for part in cut(moves, 60))


@pytest.mark.data
async def test_real_chains_lose_nothing(shared_data: Path) -> None:
    with (shared_data / "long/skyt1_minerva_amc.jsonl").open(encoding="utf-8") as rows:
        chains = [row for line in rows if (row := json.loads(line))["complete"]][:50]
    assert len(chains) == 50
    for row in chains:
        raw = row["raw"]
        masked = mask(raw)
        assert "".join(unmask(part, masked.kept) for part in cut(masked.text, PART_CHARS)) == raw
        trace = SourceItem("p" * 16, row["problem"], row["gold_answer"], trace_id="t" * 16, raw=raw)
        draft = await method("translate").respond(trace, 0, translator())
        assert not draft.rejected, (row["id"], draft.rejected)
        spans = [raw[slice(*span)] for span in protected_spans(raw)]
        assert [draft.raw[slice(*span)] for span in protected_spans(draft.raw)] == spans


def test_the_turns_of_thought_that_the_prompt_names_are_the_same_moves_in_both_languages() -> None:
    """Otherwise a translated chain would lose the moves that it was chosen for."""
    [text] = [text for role, text in find_prompt(None, "translate-part").sections if role == "user"]
    named = re.findall(r'"([A-Za-z\' -]+)" ([\u4e00-\u9fff]+)', text)
    assert len(named) >= 10
    for english, chinese in named:
        kinds = [segment(f"{turn} {rest}")[0].kind for turn, rest in ((english, "27."), (chinese, "27。"))]
        assert kinds[0] == kinds[1], (english, chinese, kinds)
