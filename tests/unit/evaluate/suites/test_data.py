"""Every suite that o1lab brings, on the real files: each row becomes items or is left out for a reason that is told."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from o1lab.chains.verify import VerifierPool
from o1lab.evaluate.suites.builders.sycophancy import wrong_answer
from o1lab.evaluate.suites.loading import DATA_VARIABLE, LoadedItems, load
from o1lab.evaluate.suites.suite import all_suites, find_suite
from o1lab.ingest.importer import import_files
from o1lab.paths import Lab
from store import Store

pytestmark = pytest.mark.data

WHOLE = {
    "aime24": 30, "amc23": 40, "math500": 500, "minerva_math": 272, "olympiadbench": 675, "gsm8k": 1319,
    "xstest": 450, "xstest-judge": 450, "simpleqa": 250, "simpleqa-judge": 250, "chinesefacteval": 125,
    "truthfulqa": 817,
    "self-awareness": 300, "mt-bench": 80, "vicuna": 80, "arena-hard": 50,
}  # fmt: skip
"""Suites that make one item of every row."""
WAYS = {
    "sycophancy": (817, 5), "sycophancy-judge": (817, 5), "sycophancy-maths": (40, 5),
    "snowballing-primality": (500, 3), "snowballing-senators": (500, 3),
}  # fmt: skip
"""Suites that make several items of every row."""
CHOSEN = {
    "minif2f": (488, 383, {"not matched by items.where": 105}),
    "flames": (1000, 200, {"not among the 200 that were drawn": 800}),
    "diasafety": (1097, 200, {"the same question as an earlier row": 68, "not among the 200 that were drawn": 829}),
    "claims": (250, 100, {"not among the 100 that were drawn": 150}),
    "false-claims": (
        3023, 300,
        {"skipped by items.skip": 1, "the same question as an earlier row": 12,
         "not among the 300 that were drawn": 2710},
    ),
}  # fmt: skip
"""Suites that take a part: rows, questions, and what became of the others."""
ABSENT = {
    "aime25", "math2024", "wildsafety", "chinese-simpleqa", "chinese-simpleqa-judge", "chinesefacteval-sycophancy",
    "autoj", "lima",
}  # fmt: skip


@pytest.fixture
def lab(tmp_path: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv(DATA_VARIABLE, f"{shared_data / 'maths'}:{shared_data / 'probes'}")
    monkeypatch.setenv("O1LAB_OFFLINE", "1")
    return Lab(tmp_path)


def loaded(lab: Lab, store: Store, name: str, file: Path | None = None) -> LoadedItems:
    return load(lab, store, find_suite(lab, name), file=file)


def test_no_suite_is_forgotten() -> None:
    told = {*WHOLE, *WAYS, *CHOSEN, *ABSENT}
    assert {one.name for one in all_suites(None) if not one.name.startswith("demo-")} == told


@pytest.mark.parametrize("name", WHOLE)
def test_one_item_of_every_row(lab: Lab, store: Store, name: str) -> None:
    found = loaded(lab, store, name)
    assert (found.rows, found.questions, len(found.items), found.left_out) == (*[WHOLE[name]] * 3, {})
    assert len({item.id for item in found.items}) == len(found.items)
    assert all(item.turns[0].strip() and item.question.strip() for item in found.items)
    if find_suite(lab, name).needs_gold:
        assert all(item.gold and all(gold.strip() for gold in item.gold) for item in found.items)


@pytest.mark.parametrize("name", WAYS)
def test_several_items_of_every_row(lab: Lab, store: Store, name: str) -> None:
    rows, ways = WAYS[name]
    found = loaded(lab, store, name)
    assert (found.rows, found.questions, len(found.items), found.left_out) == (rows, rows, rows * ways, {})
    assert set(Counter(item.group for item in found.items).values()) == {ways}
    assert set(Counter(item.variant for item in found.items).values()) == {rows}


@pytest.mark.parametrize("name", CHOSEN)
def test_rows_that_are_left_out_are_reported(lab: Lab, store: Store, name: str) -> None:
    rows, questions, left_out = CHOSEN[name]
    found = loaded(lab, store, name)
    assert (found.rows, found.questions, found.left_out) == (rows, questions, left_out)
    assert questions + sum(left_out.values()) == rows


def test_other_files_go_into_a_suite(lab: Lab, store: Store, shared_data: Path) -> None:
    for name, file, rows in (("gsm8k", "gsm8k_train.jsonl", 7473), ("math500", "math_train_sample.jsonl", 312)):
        assert len(loaded(lab, store, name, shared_data / "maths" / file).items) == rows


def test_the_parent_folder_is_enough(
    lab: Lab, store: Store, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(shared_data))
    assert len(loaded(lab, store, "aime24").items) == 30
    assert len(loaded(lab, store, "xstest").items) == 450


@pytest.mark.parametrize("name", ["aime24", "amc23", "math500", "minerva_math", "olympiadbench"])
def test_problems_of_the_lab_are_the_items_of_the_file(
    lab: Lab, store: Store, shared_data: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    of_file = {item.question: item for item in loaded(lab, store, name).items}
    import_files(store, [shared_data / "maths" / f"{name}.jsonl"])
    monkeypatch.delenv(DATA_VARIABLE)

    of_lab = loaded(lab, store, name)

    assert "problems" in of_lab.origin
    assert {item.question: (item.gold, item.turns) for item in of_lab.items} == {
        question: (item.gold, item.turns) for question, item in of_file.items()
    }


def test_xstest_tells_safe_and_unsafe_apart(lab: Lab, store: Store) -> None:
    found = Counter((item.variant, item.gold) for item in loaded(lab, store, "xstest").items)
    assert found == {("safe", ("comply",)): 250, ("unsafe", ("refuse",)): 200}


def test_chinesefacteval_keeps_its_weights(lab: Lab, store: Store) -> None:
    items = loaded(lab, store, "chinesefacteval").items
    assert Counter(item.meta["weight"] for item in items) == {3.0: 57, 2.0: 57, 1.0: 11}
    assert sum(not item.gold for item in items) == 18  # questions no recorded answer of which people found factual


def test_gold_answers_are_what_they_should_be(lab: Lab, store: Store) -> None:
    assert {item.gold for item in loaded(lab, store, "snowballing-primality").items} == {("yes",)}
    assert {item.gold for item in loaded(lab, store, "snowballing-senators").items} == {("no",)}
    assert all(gold.isdigit() for item in loaded(lab, store, "aime24").items for gold in item.gold)
    assert not any("####" in gold for item in loaded(lab, store, "gsm8k").items for gold in item.gold)
    assert all(len(item.turns) == 2 for item in loaded(lab, store, "mt-bench").items)


def test_the_verifier_takes_no_wrong_hint_for_right(lab: Lab, store: Store) -> None:
    """math-verify is a stricter judge of 'unlike' than our own comparison: LaTeX that means the same counts too."""
    items = [item for name in ("math500", "amc23", "aime24") for item in loaded(lab, store, name).items[::4]]
    golds = list(dict.fromkeys(item.gold[0] for item in items))
    pairs = [
        (item.gold[0], wrong) for item in items if (wrong := wrong_answer(item.id, item.gold, (), golds)) is not None
    ]
    with VerifierPool(1) as verifier:
        verdicts = list(verifier.verify_many(pairs))
    assert len(pairs) == len(items)
    assert [pair for pair, verdict in zip(pairs, verdicts, strict=True) if verdict.status == "correct"] == []
