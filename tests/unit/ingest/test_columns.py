"""What the columns of a row are taken for: nothing of a row is lost without a word."""

from __future__ import annotations

import json
import re
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o1lab.ingest.formats import FileOrigin, ParsedRow, read_row
from o1lab.ingest.importer import import_files
from o1lab.ingest.importers import RowError
from o1lab.ingest.importers.roles import _NAMES, role_of
from o1lab.ingest.importers.texts import strings
from store import open_store
from store.records import Problem

HERE = FileOrigin("here")
Q, T, A = "How many pears?", "3 * 7 is 24... wait, it is 21.", "The total is \\boxed{26}."
MARKED, JOINED = f"<think>{T}</think>{A}", f"<think>\n{T}\n</think>\n\n{A}"
ASK: dict[str, Any] = {"role": "user", "content": Q}
CALL = [{"id": "1", "type": "function", "function": {"name": "calc", "arguments": '{"e": "3*7"}'}}]


def answer(**more: object) -> dict[str, Any]:
    return {"messages": [ASK, {"role": "assistant", "content": A, **more}]}


@pytest.mark.parametrize(
    ("row", "raws", "gold"),
    [
        ({"idx": 3, "question": Q, "answer": "26", "longCOT": T + A}, [T + A], "26"),
        ({"problem": Q, "generated_solution": MARKED, "expected_answer": "26"}, [MARKED], "26"),
        ({"problem": Q, "answer": "26", "generations": [MARKED, "25"]}, [MARKED, "25"], "26"),
        ({"question": Q, "answer": 26, "r1_response": MARKED}, [MARKED], "26"),
        ({"problem": Q, "QwQ": MARKED}, [MARKED], None),
        ({"Question": Q, "Complex_CoT": T, "Response": A}, [JOINED], None),
        ({"Problem": Q, "CoT": T, "Solution": A, "Answer": "26"}, [JOINED], "26"),
        ({"problem": Q, "deepseek_reasoning": T, "deepseek_solution": A, "solution": "is 26"}, [JOINED], "is 26"),
        ({"question": Q, "model_reasoning": T, "model_answer": A, "reference_answer": "26"}, [JOINED], "26"),
        ({"question": Q, "thoughts": [T, "b"], "responses": [A, "B"]}, [JOINED, "<think>\nb\n</think>\n\nB"], None),
        ({"question": Q, "responses": [{"response_model": "m", "response": A}]}, [A], None),
        ({"question": Q, "reasoning": "on", "output": MARKED}, [MARKED], None),
        ({"question": Q, "reasoning": f"<think>{T}</think>", "answer": A}, [JOINED], None),
        ({"题目": Q, "思考过程": T, "答案": A}, [JOINED], None),
        ({"问题": Q, "推理过程": T, "回答": A, "答案": "26"}, [JOINED], "26"),
        ({"题干": Q, "思维链": T, "解答": A, "标准答案": "26"}, [JOINED], "26"),
        ({"问题": Q, "长思维链": f"{T} {A}", "参考答案": "26"}, [f"{T} {A}"], "26"),
        ({"question": Q, "reasoning_content": T, "content": MARKED}, [MARKED], None),
        ({"input": [ASK], "output": MARKED, "reasoning": "on"}, [MARKED], None),
        ({"prompt": [ASK], "completion": [{"role": "assistant", "content": MARKED}]}, [MARKED], None),
        ({"prompt": Q, "chosen": [ASK, {"role": "assistant", "content": A}]}, [A], None),
        ({"messages": json.dumps([ASK, {"role": "assistant", "content": MARKED}])}, [MARKED], None),
        ({"conversations": {"from": ["HUMAN", "GPT"], "value": [Q, MARKED]}}, [MARKED], None),
        ({"conversation": [{"human": Q, "assistant": MARKED}]}, [MARKED], None),
        ({"dialog": [Q, MARKED]}, [MARKED], None),
        ({"Messages": [{"Role": "User", "Content": Q}, {"Role": "Model", "Content": MARKED}]}, [MARKED], None),
        (answer(reasoning_content=T), [JOINED], None),
        (answer(reasoning="on"), [A], None),
        (answer(reasoning_details=[{"type": "reasoning.text", "text": T}]), [JOINED], None),
        (answer(thinking_blocks=[{"type": "thinking", "thinking": T}]), [JOINED], None),
        (answer(content=[{"type": "thinking", "thinking": T}, {"type": "text", "text": A}]), [JOINED], None),
        (answer(content=[{"type": "reasoning", "text": T}, {"type": "text", "text": A}]), [JOINED], None),
        ({**answer(), "reasoning": T}, [JOINED], None),
        ({"messages": [ASK], "reasoning": T, "answer": A}, [JOINED], None),
        ({"messages": [ASK, answer()["messages"][1], ASK], "reasoning": T, "answer": A}, [JOINED], None),
        ({"messages": [ASK, {"role": "thinking", "content": T}, answer()["messages"][1]]}, [JOINED], None),
        (
            {"messages": [ASK, {"role": "assistant", "channel": "analysis", "content": T}, *answer()["messages"][1:]]},
            [JOINED],
            None,
        ),
        (answer(content=[{"type": "text", "text": "How"}, {"type": "text", "text": "many"}]), ["How\nmany"], None),
        ({"inputs": Q, "targets": A}, [A], None),
        ({"question": Q, "answer": MARKED}, [MARKED], None),
        ({"question": Q, "solution": MARKED, "answer": "26"}, [MARKED], "26"),
        ({"question": Q, "samples": [MARKED, f"[THINK]{T}[/THINK]{A}"]}, [MARKED, f"[THINK]{T}[/THINK]{A}"], None),
        ({"question": Q, "reasoning_steps": ["a", "b"], "answer": A}, [f"<think>\na\n\nb\n</think>\n\n{A}"], None),
        ({"question": Q, "output": json.dumps({"thought": T, "solution": A})}, [JOINED], None),
        ({"messages": [ASK], "choices": [{"message": {"content": A, "reasoning_content": T}}]}, [JOINED], None),
        ({"conversations": str([{"from": "human", "value": Q}, {"from": "gpt-4", "value": A}])}, [A], None),
        ({"question": Q, "thinking": T, "solution": ""}, [f"<think>\n{T}"], None),
        ({"prompt": Q}, [], None),
    ],
)  # fmt: skip
def test_responses(row: dict[str, Any], raws: list[str], gold: str | None) -> None:
    parsed = read_row(row, HERE, 1)
    assert parsed.problem.statement == Q
    assert ([trace.raw for trace in parsed.traces], parsed.problem.answer) == (raws, gold)
    assert not parsed.unused


@pytest.mark.parametrize(
    ("row", "gold"),
    [
        ({"question": "p", "answer": "48/2=24\n#### 1,072"}, "1,072"),
        ({"problem": "p", "answer": 27.0}, "27"),
        ({"problem": "p", "answer": 7}, "7"),
        ({"question": "p", "final_answer": ["1", "2"], "solution": "['x']"}, "1, 2"),
        ({"problem": "p", "solution": "so \\boxed{\\frac{1}{2}}."}, "\\frac{1}{2}"),
        ({"problem": "p", "answer": None, "kind": "proof"}, None),
        ({"question": "p", "solution": "128", "thinking_trajectories": ["t"], "attempt": "1"}, "128"),
        ({"problem": "p", "thought": "t", "solution": "\\boxed{1}", "model": "m"}, None),
        ({"problem": "p", "raw": "r", "gold_answer": "3", "reference_solution": "None"}, "3"),
    ],
)
def test_gold_answers(row: dict[str, Any], gold: str | None) -> None:
    assert read_row(row, HERE, 1).problem.answer == gold


def test_the_last_answer_of_a_conversation_is_the_response_and_the_turns_before_it_are_its_context() -> None:
    turns = [("user", "p"), ("assistant", "a"), ("user", "q"), ("assistant", "b"), ("user", "thank you")]
    row = {"messages": [{"role": role, "content": text} for role, text in turns]}
    parsed = read_row(row, HERE, 1)
    (trace,) = parsed.traces
    assert (parsed.problem.statement, trace.raw, trace.meta) == ("p", "b", {"turns": 2})
    assert [(turn["role"], turn["content"]) for turn in trace.context] == turns[:3]
    assert parsed.unused == {"messages": len("thank you")}


@pytest.mark.parametrize(
    ("row", "context"),
    [
        ({"system": "s", "question": Q, "response": A}, [("system", "s"), ("user", Q)]),
        ({"system_prompt": "s", "conversations": [{"from": "human", "value": Q}, {"from": "gpt", "value": A}]},
         [("system", "s"), ("user", Q)]),
        ({"messages": [{"role": "Developer", "content": "s"}, ASK, {"role": "assistant", "content": A}]},
         [("system", "s"), ("user", Q)]),
        ({"instruction": "q", "history": [[Q, "a"]], "output": A}, [("user", Q), ("assistant", "a"), ("user", "q")]),
        ({"messages": [ASK, {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": CALL},
                       {"role": "tool", "content": "21"}, {"role": "assistant", "content": A}]},
         [("user", Q), ("assistant", '<think>\nhm\n</think>\n\n<tool_call>\n{"name": "calc", "arguments": {"e": "3*7"}}'
           "\n</tool_call>"), ("tool", "21")]),
        ({"context": [{"role": "system", "content": "s"}, ASK], "problem": Q, "thought": "t", "solution": A},
         [("system", "s"), ("user", Q)]),
        ({"question": Q, "response": A}, []),
    ],
)  # fmt: skip
def test_what_was_asked_is_kept(row: dict[str, Any], context: list[tuple[str, str]]) -> None:
    (trace,) = read_row(row, HERE, 1).traces
    assert [(turn["role"], turn["content"]) for turn in trace.context] == context
    assert trace.raw.endswith(A)


@pytest.mark.parametrize(
    "row",
    [
        {"question": Q, "image": {"bytes": b"x", "path": "a.png"}, "answer": "26"},
        {"question": Q, "images": ["https://example.org/a.png"], "response": A},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x"}},
                                                   {"type": "text", "text": Q}]}, {"role": "assistant", "content": A}]},
    ],
)  # fmt: skip
def test_a_picture_marks_the_problem_for_the_image_rule(row: dict[str, Any]) -> None:
    from o1lab.distill.filters.image import needs_image

    statement = read_row(row, HERE, 1).problem.statement
    assert Q in statement
    assert needs_image(Problem("p", statement, None, None, None, "here", None, ""))
    assert not needs_image(Problem("p", Q, None, None, None, "here", None, ""))


def test_a_mapping_says_what_a_column_is() -> None:
    row = {"question": Q, "scratch": T, "text": A, "notes": "n"}
    assert read_row(row, HERE, 1).traces == []
    mapped = FileOrigin("here", mapping=(("scratch", "thought"), ("text", "solution"), ("notes", "ignore")))
    parsed = read_row(row, mapped, 1)
    assert [trace.raw for trace in parsed.traces] == [JOINED]
    assert parsed.used == {"question": "problem", "scratch": "thought", "text": "solution", "notes": "ignore"}
    chain = {"question": Q, "longCOT": T, "answer": "26"}
    whole = FileOrigin("here", mapping=(("longCOT", "response"),))
    assert read_row(chain, whole, 1).traces[0].format == "plain"
    parsed = read_row(chain, FileOrigin("here", mapping=(("longCOT", "thought"), ("answer", "ignore"))), 1)
    assert [(trace.raw, trace.complete) for trace in parsed.traces] == [(f"<think>\n{T}", False)]


@pytest.mark.parametrize("column", ["longCOT", "long_cot", "Long_Chain_of_Thought"])
def test_a_long_chain_without_marks_is_a_thought_and_its_conclusion(column: str) -> None:
    parsed = read_row({"question": Q, column: f"{T} {A}", "answer": "26"}, HERE, 1)
    [trace] = parsed.traces
    assert (trace.raw, trace.format, trace.complete) == (f"{T} {A}", "unmarked", True)
    assert (trace.raw[slice(*trace.thought)], trace.raw[slice(*trace.solution)]) == (T, A)
    assert "was split" in parsed.notes[0]
    parsed = read_row({"question": Q, column: T, "answer": "26"}, HERE, 1)
    [trace] = parsed.traces
    assert (trace.raw[slice(*trace.thought)], trace.raw[slice(*trace.solution)], trace.complete) == (T, "", False)
    assert "names no conclusion" in parsed.notes[0]
    for row in ({"question": Q, column: MARKED}, {"question": Q, "rationale": f"{T} {A}"}):
        assert read_row(row, HERE, 1).notes == []


def test_the_import_reports_chains_without_marks_once(tmp_path: Path) -> None:
    rows = [{"question": f"{Q} {number}", "longCOT": T if number % 3 else f"{T} {A}"} for number in range(9)]
    path = tmp_path / "journey.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with closing(open_store(tmp_path / "lab.db")) as store:
        notices = import_files(store, [path]).notices.entries
    assert [(one.rows, one.line) for one in notices] == [(3, 1), (6, 2)]


def test_a_finish_reason_says_that_a_response_was_cut_off() -> None:
    row = {"problem": Q, "generations": [MARKED, "25"], "finish_reasons": ["length", "stop"]}
    assert [trace.complete for trace in read_row(row, HERE, 1).traces] == [False, True]
    row = {"problem": Q, "output": MARKED, "finish_reason": "length"}
    assert [trace.complete for trace in read_row(row, HERE, 1).traces] == [False]


def test_unused_text_is_counted_and_small_values_are_kept() -> None:
    row = {
        "problem": Q,
        "response": MARKED,
        "notes": "word " * 100,
        "thought": T,
        "level": "hard",
        "rows": [{"a": "unseen"}],
    }
    parsed = read_row(row, HERE, 1)
    assert parsed.unused == {"notes": 500, "rows": 6}
    assert parsed.traces[0].meta == {"level": "hard"}


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("reasoningContent", "thought"), ("chainOfThought", "chain"), ("llm_response", "response"),
        ("gpt4_answer", "response"),
        ("question_type", ""), ("is_reasoning_complete", ""), ("cot_type", ""), ("generation_model", "model"),
        ("question_license", "licence"), ("gold_standard_solution", "reference"), ("user_query", "problem"),
        ("reannotated_messages", "messages"), ("finish_reasons", "finish"), ("thinking_tokens", ""),
    ],
)  # fmt: skip
def test_names(name: str, role: str) -> None:
    assert role_of(name)[0] == role


NAMES = sorted(
    {name for names in _NAMES.values() for name in names.split()} | {"x", "r1_response", "qwq_reasoning", "notes"}
)


@st.composite
def rows(draw: st.DrawFn) -> dict[str, Any]:
    """Rows with columns of any role, in which every word is another."""
    words = count()

    def text() -> str:
        size = draw(st.sampled_from([1, 3, 60]))
        return " ".join(f"w{next(words)}w" for _ in range(size))

    def content() -> Any:
        match draw(st.integers(0, 4)):
            case 0:
                kinds = st.lists(st.sampled_from(["text", "thinking", "reasoning", "other"]), max_size=3)
                return [{"type": kind, "text": text(), "signature": text()} for kind in draw(kinds)]
            case 1:
                return None
            case _:
                return text()

    def turn() -> dict[str, Any]:
        role = draw(st.sampled_from(["system", "user", "User", "assistant", "gpt", "tool", "thinking"]))
        keys = draw(st.lists(st.sampled_from(["reasoning", "reasoning_content", "name", "thinking"]), max_size=2))
        return {"role": role, "content": content(), **{key: text() for key in keys}}

    def value() -> Any:
        match draw(st.integers(0, 6)):
            case 0:
                return [turn() for _ in range(draw(st.integers(1, 5)))]
            case 1:
                return [text() for _ in range(draw(st.integers(0, 3)))]
            case 2:
                return {"text": text(), "more": [text()]}
            case 3:
                return json.dumps([turn(), turn()])
            case _:
                return text()

    first = draw(st.sampled_from(["problem", "messages", "instruction", "prompt"]))
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=5))
    return {name: value() for name in dict.fromkeys([first, *names])}


def words_of(value: object) -> set[str]:
    return {word for text in strings(value) for word in re.findall(r"w\d+w", text)}


@given(rows())
def test_each_string_of_a_row_is_stored_or_reported(row: dict[str, Any]) -> None:
    try:
        parsed = read_row(row, HERE, 1)
    except RowError:
        return  # reported
    stored = words_of(stored_texts(parsed))
    for column, value in row.items():
        if column not in parsed.unused and parsed.used.get(column) not in ("image", "finish"):
            assert words_of(value) <= stored, column


def stored_texts(parsed: ParsedRow) -> list[Any]:
    problem = parsed.problem
    kept = [
        problem.statement,
        problem.answer,
        problem.solution,
        problem.licence,
        problem.key,
        problem.source,
        problem.meta,
    ]
    for trace in parsed.traces:
        kept += [trace.raw, trace.model, trace.key, trace.licence, trace.source, trace.meta, list(trace.context)]
    return kept


@pytest.mark.parametrize("other", ["", None, "<think>a</think>b"])
def test_finish_reasons_belong_to_their_responses(other: str | None) -> None:
    row = {
        "problem": "How much is 2 + 2?",
        "generations": ["<think>a</think>b", other, "<think>c</think>d"],
        "finish_reasons": ["stop", "stop", "length"],
    }
    found = read_row(row, FileOrigin("x"), 1)
    assert [(trace.raw, trace.complete) for trace in found.traces] == [
        ("<think>a</think>b", True), ("<think>c</think>d", False),
    ]  # fmt: skip
    assert found.used["finish_reasons"] == "finish"
