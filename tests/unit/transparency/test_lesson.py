"""What distillation did to a student, from evaluations with known outcomes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from o1lab.evaluate.stats.metrics import wilson
from o1lab.paths import Lab
from o1lab.train.runs.directory import RunDir
from o1lab.transparency.lab_facts import collect
from o1lab.transparency.lesson import as_markdown, measure_lesson
from store import Store, datasets, problems, traces, trees
from store.filters import TraceQuery
from store.records import NewProblem
from store.trees import NewTree, NewWalk
from tests.support import evaluate_lab, lab_seed, search_tree
from tests.support.transparency_lab import finished

RIGHT, WRONG = "correct", "incorrect"


def put(store: Store, name: str, model: str, role: str, outcomes: list[str], *, suite: str = "sums") -> None:
    one = evaluate_lab.evaluation(name, model, items=len(outcomes), suite=suite)
    evaluate_lab.put(store, replace(one, role=role), outcomes)


def test_ceiling_falls_and_dependence(lab: Lab, store: Store, run: RunDir) -> None:
    student = f"{run.id}/100"
    put(store, "student", student, "student", [RIGHT, RIGHT, WRONG, WRONG, RIGHT, RIGHT, WRONG, WRONG])
    put(store, "teacher", "o1", "teacher", [RIGHT, WRONG, RIGHT, RIGHT, RIGHT, RIGHT, RIGHT, WRONG])
    put(store, "base", "base", "base", [WRONG] * 8)
    put(store, "student2", student, "student", [WRONG] * 12, suite="facts")
    put(store, "base2", "base", "base", [RIGHT] * 12, suite="facts")
    found = measure_lesson(collect(lab, store))
    ceiling = found.ceilings[0]
    assert (ceiling.teacher, ceiling.paired.items) == ("o1", 8)
    assert (len(ceiling.paired.only_b), len(ceiling.paired.only_a)) == (1, 3)
    assert ceiling.above_interval == wilson(1, 8)
    assert [(one.suite, one.before, one.after, one.is_clear) for one in found.fell] == [("facts@1", 100, 0, True)]
    assert found.suites == 2
    assert found.teacher_share == 1  # the chains of this lab are the solver's
    assert found.missing == ()
    assert found.as_json()["ceiling"][0]["student_only"] == 1
    text = as_markdown([found])
    assert "| facts@1 | 100.0 | 0.0 | -100.0 | yes |" in text.replace("\\", "")


def test_tokens_of_persons_are_not_the_teachers(lab: Lab, store: Store, run: RunDir) -> None:
    first = next(lab_seed.all_ids(store))
    store.db.conn.execute("UPDATE traces SET synthesis = 'human' WHERE id = ?", [first])
    store.db.conn.commit()
    found = measure_lesson(collect(lab, store))
    assert found.tokens is not None and set(found.tokens) == {"solver", "human"}
    assert found.teacher_share == pytest.approx(found.tokens["solver"] / sum(found.tokens.values()))


def test_what_is_missing_is_named(lab: Lab, store: Store, run: RunDir) -> None:
    store.db.conn.execute("UPDATE traces SET tokens = NULL")
    store.db.conn.commit()
    found = measure_lesson(collect(lab, store))
    assert found.ceilings == () and found.fell == () and found.teacher_share is None
    assert [words.partition(":")[0] for words in found.missing] == [
        "The student was not evaluated",
        "Some rows have no token count, so it is not known who wrote the training tokens.",
    ]
    put(store, "student", f"{run.id}/100", "student", [RIGHT])
    missing = measure_lesson(collect(lab, store)).missing
    assert any("No teacher was evaluated" in words for words in missing)
    assert any("The base was not evaluated" in words for words in missing)


def test_of_tree_search_only_the_reflections_are_the_teachers(lab: Lab, store: Store) -> None:
    problem = NewProblem("What is 40 + 2?", "trees", "t", "42")
    tree = NewTree(problem.id, search_tree.nodes(), "mcts", "trees")
    raw = "<think>\n" + "x" * 100 + "\n</think>\n\n\\boxed{42}"
    chains = [replace(lab_seed.trace_of(problem, name, raw), synthesis="tree search", tokens=1000) for name in "mn"]
    quarter = (8, 8 + len(raw) // 4)
    with store.db.atomic():
        problems.add(store.db, [problem])
        traces.add(store.db, [(one, problem.statement) for one in chains])
        trees.add(store.db, [tree])
        walks = [NewWalk(tree.id, {}, ["a"], [quarter], by) for by in ("m", None)]
        trees.add_walks(store.db, zip((one.id for one in chains), walks, strict=True))
    datasets.create(store.db, "taken", TraceQuery.parse("synthesis:tree"))
    found = measure_lesson(collect(lab, store, finished(lab, store).id))
    written = round(1000 * (len(raw) // 4) / len(raw))
    assert found.tokens == {"tree search": 2000 - written, "reflections on tree search": written}
    assert found.teacher_share == pytest.approx(written / 2000)


def test_of_a_rescued_chain_only_the_end_is_the_teachers(lab: Lab, store: Store) -> None:
    problem = NewProblem("What is 40 + 2?", "rescues", "t", "42")
    raw = "<think>\n" + "x" * 60 + "y" * 32 + "\n</think>\n\n\\boxed{42}"  # its last part is the solution
    cut = 8 + 60
    spans = [{"model": "run/1", "start": 0, "end": cut}, {"model": "m", "start": cut, "end": len(raw)}]
    chain = replace(lab_seed.trace_of(problem, "m", raw), synthesis="rescued", tokens=1000, meta={"writers": spans})
    with store.db.atomic():
        problems.add(store.db, [problem])
        traces.add(store.db, [(chain, problem.statement)])
    datasets.create(store.db, "taken", TraceQuery.parse("synthesis:rescued"))
    found = measure_lesson(collect(lab, store, finished(lab, store).id))
    assert found.tokens == {"the student's part of rescued chains": 588, "rescued": 412}  # 60 of 102 characters
    assert found.teacher_share == pytest.approx(0.412)
