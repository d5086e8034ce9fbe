"""In which language models think and answer: only what has words is rated, and all of the rest is reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from o1lab.chains.language import known_language, language_of
from o1lab.evaluate.report.cells import Cell
from o1lab.evaluate.report.language import ends_of, language_table, measure_language
from o1lab.evaluate.report.selection import choose
from o1lab.evaluate.stats.metrics import wilson
from store import Store, evaluations, open_store
from store.evaluations import Evaluation, ItemRow, NewSample, Turn

EN = "Wait, let me check that this sum is right before I answer it."
ZH = "等等，让我再检查一下这个结果是否正确，然后再回答。"
MIXED = ZH * 3 + " because the last column has a carry of one, so we must add it again"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "lab.db")


def put(store: Store, identity: str, role: str, turns: list[tuple[str, str, str]]) -> None:
    """An evaluation with an item per (question, thought, answer)."""
    one = Evaluation(identity, f"evals/{identity}", "two", 1, "h", "general", f"model-{role}", role, "r", {}, {},
                     len(turns), 1, "exact@1")  # fmt: skip
    evaluations.add(store.db, one, [ItemRow(f"i{at}", question) for at, (question, _, _) in enumerate(turns)])
    samples = [
        NewSample(
            f"i{at}",
            0,
            "complete" if answer else "failed",
            (Turn(question, thought, answer),),
            f"{identity}{at}",
        )
        for at, (question, thought, answer) in enumerate(turns)
    ]
    with store.db.atomic():
        evaluations.add_samples(store.db, identity, samples)


def test_thoughts_and_answers_are_rated_for_each_language_of_the_prompts(store: Store) -> None:
    asked_en, asked_zh = "How many apples are left on the table?", "桌子上还剩下多少个苹果？请说明理由。"
    put(store, "b", "base", [(asked_en, "", EN), (asked_zh, "", EN), (asked_zh, "", ZH), ("3 + 4 = ?", "", EN)])
    put(store, "s", "student", [
        (asked_en, EN, EN), (asked_zh, EN, ZH), (asked_zh, MIXED, ZH), (asked_zh, "42", "7"), (asked_zh, ZH, ""),
    ])  # fmt: skip
    table = language_table(choose(store.db, ["b", "s"]))
    [section] = table.sections
    cells = {(row.label, row.cells["prompt"].value): row.cells for row in section.rows}
    assert [key[1] for key in cells] == ["English", "English", "Chinese", "Chinese"]
    student = cells["model-student (student)", "Chinese"]
    assert (student["samples"].value, student["rated_thoughts"].value, student["rated_answers"].value) == (3, 2, 2)
    low, high = wilson(1, 2)
    assert student["thoughts"].value == 50 and student["thoughts"].interval == (100 * low, 100 * high)
    assert student["answers"].value == 100 and student["mixed"].value == 50
    base = cells["model-base (base)", "Chinese"]
    assert base["thoughts"] == Cell(note="none") and base["answers"].value == 50
    assert cells["model-base (base)", "English"]["answers"].of == 1
    assert "Too few words to tell, in evaluation b: prompts 1." in table.notes
    assert "Too few words to tell, in evaluation s: answers 1, thoughts 1." in table.notes


def test_a_prompt_without_words_has_the_language_of_what_the_user_says(store: Store) -> None:
    put(store, "a", "base", [("12 + 7", "", EN)])
    with store.db.atomic():
        turn = Turn("Answer with one number and nothing else: 12 + 7", "", EN)
        evaluations.add_samples(store.db, "a", [NewSample("i0", 1, "complete", (turn,), "k")])
    found, unknown = measure_language(choose(store.db, ["a"])[0])
    assert (found["en"].samples, unknown) == (1, 1)


def test_long_texts_are_read_at_both_ends() -> None:
    assert known_language(ends_of(ZH * 1000 + EN)) == "zh"
    text = ends_of("a" * 9000 + "b" * 9000)
    assert len(text) == 8001 and text.startswith("a") and text.endswith("b")
    assert (known_language("3 + 4"), language_of("3 + 4"), known_language("Ich weiß nicht, wie das geht.")) == (
        None, "other", "other",
    )  # fmt: skip
