"""What a teacher's answer becomes in the lab: its verdict, its solution, its tokens, and what it takes of a budget."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from o1lab.chains.verify import settle
from store import problems, teacher_runs, traces
from store.connection import open_store
from store.filters import TraceQuery
from store.records import NewProblem
from tests.support.distill_lab import make_lab, resume, run
from tests.support.distill_server import DistillServer, question_of

ANSWERS = [
    # gold, solution, answer, verdict
    (r"\frac{1}{2}", r"It is \boxed{0.5}.", "0.5", "correct"),
    (r"\frac{1}{2}", r"\boxed{\frac{2}{4}}", r"\frac{2}{4}", "correct"),
    (r"\frac{1}{2}", r"\boxed{\frac{2}{3}}", r"\frac{2}{3}", "incorrect"),
    (r"\frac{1}{\sqrt{2}}", "Half the root: \\boxed{\\frac{\\sqrt{2}}{2}}\n\nDone.", r"\frac{\sqrt{2}}{2}", "correct"),
    (r"\binom{n}{2}", r"So \boxed{\frac{n(n-1)}{2}}.", r"\frac{n(n-1)}{2}", "correct"),
    (r"(x+1)^2", r"\boxed{x^2 + 1}", "x^2 + 1", "incorrect"),
]


class Scripted(DistillServer):
    """Answers question ``a + b`` with the solution number ``a``."""

    def words_for(self, body: dict[str, Any]) -> list[str]:
        return ["<think>\nLet me see: 7.\n</think>\n\n", ANSWERS[question_of(body)[0]][1]]


async def test_answers_that_need_algebra_are_stored_with_their_verdict_and_their_solution(tmp_path: Path) -> None:
    assert sum(settle(gold, answer) is None for gold, _, answer, _ in ANSWERS) >= 2, "algebra decides these pairs"
    with Scripted() as server:
        lab = make_lab(tmp_path / "lab", server.url, 0)
        store = open_store(lab.database)
        with store.db.atomic():
            asked = [NewProblem(f"What is {i} + 0?", "t", answer=one[0]) for i, one in enumerate(ANSWERS)]
            problems.add(store.db, asked)
        folder, status = await run(lab)
    assert (status.done, status.correct, status.incorrect) == (6, 4, 2)
    for problem, (_, solution, answer, verdict) in zip(asked, ANSWERS, strict=True):
        [trace] = traces.of_problem(store.db, problem.id)
        assert (trace.answer, trace.verdict) == (answer, verdict)
        text = traces.text(store.db, trace.id)
        assert text.raw[slice(*text.solution_span)] == solution
        assert text.raw[slice(*text.thought_span)].strip() == "Let me see: 7."
    tally = teacher_runs.tally(store.db, folder.id)
    assert (tally.done, tally.correct, tally.incorrect) == (6, 4, 2)
    store.close()


class Counting(DistillServer):
    """Reports 50 tokens, 45 of them of a thought, which it sends apart or not at all."""

    def __init__(self, *, shown: bool, thought: int | None = 45) -> None:
        super().__init__("reasoning" if shown else "ok")
        self.thought = thought

    def words_for(self, body: dict[str, Any]) -> list[str]:
        return ["Add them. ", r"\boxed{207}"]

    def _whole(self, mode: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = super()._whole(mode, body)
        details = {"completion_tokens_details": {"reasoning_tokens": self.thought}} if self.thought is not None else {}
        answer["usage"] = {"prompt_tokens": 3, "completion_tokens": 50, **details}
        return answer


@pytest.mark.parametrize(
    ("flag", "shown", "thought", "tokens", "hidden"),
    [
        (True, False, 45, 5, True),
        (False, False, 45, 5, True),  # the server says so itself
        (False, True, 45, 50, False),  # the thought is part of the trace
        (True, False, None, 50, True),
        (False, False, 0, 50, False),
    ],
)
async def test_hidden_thoughts_are_paid_for_and_are_no_tokens_of_the_trace(
    tmp_path: Path, *, flag: bool, shown: bool, thought: int | None, tokens: int, hidden: bool
) -> None:
    with Counting(shown=shown, thought=thought) as server:
        lab = make_lab(tmp_path / "lab", server.url, 1, hidden_thoughts=flag, input_usd=1.0, output_usd=10.0)
        folder, status = await run(lab, stream="never")
    store = open_store(lab.database)
    [trace] = traces.page(store.db, TraceQuery())
    meta = traces.text(store.db, trace.id).meta
    assert (trace.tokens, meta["hidden_thoughts"]) == (tokens, hidden)
    assert meta["usage"] == {"input_tokens": 3, "output_tokens": 50, "thought_tokens": thought, "estimated": False}
    assert (status.input_tokens, status.output_tokens) == (3, 50)
    assert status.cost_usd == pytest.approx((3 * 1 + 50 * 10) / 1e6)
    tally = teacher_runs.tally(store.db, folder.id)
    assert (tally.input_tokens, tally.output_tokens, tally.cost_usd) == (3, 50, pytest.approx(503e-6))
    store.close()


@pytest.mark.parametrize("mode", ["ok", "half"])
@pytest.mark.parametrize(
    ("name", "budget", "more"), [("budget_tokens", 400, 30), ("budget_usd", 0.0015, 0.0003)], ids=["tokens", "usd"]
)
async def test_a_resumed_run_has_what_is_left_of_its_budget(
    mode: str, name: str, budget: float, more: float, tmp_path: Path
) -> None:
    # With `half` no sample ends: what was paid is known from the journal alone.
    with DistillServer(mode) as server:
        lab = make_lab(tmp_path / "lab", server.url, 60, input_usd=1.0, output_usd=10.0)
        folder, first = await run(lab, concurrency=1, attempts=60, stream="always", **{name: budget})
        asked = server.asked.total()
        assert (first.state, first.stopped_by) == ("stopped", name)
        assert asked > 5
        again = await resume(lab, folder)
        assert server.asked.total() == asked, "not one call more fits"
        assert (again.state, again.stopped_by) == ("stopped", name)
        spent = (first.input_tokens, first.output_tokens, first.cost_usd)
        assert (again.input_tokens, again.output_tokens, again.cost_usd) == spent
        last = await resume(lab, folder, {name: budget + more})
        assert 0 < server.asked.total() - asked <= 8
    assert last.stopped_by == name
    assert (last.cost_usd if name == "budget_usd" else last.input_tokens + last.output_tokens) <= budget + more
