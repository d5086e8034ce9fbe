"""Synthesis methods side by side, from chains whose figures are known."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from o1lab.distill.run_directory import RunFolder, TeacherRunStatus
from o1lab.distill.settings import TeacherRunSettings
from o1lab.evaluate.report import render
from o1lab.evaluate.stats.metrics import wilson
from o1lab.files import write_json
from o1lab.paths import Lab
from o1lab.train.launch import make_run
from o1lab.train.recipes.recipe import Recipe
from o1lab.transparency.methods import ALWAYS, MethodFacts, compare_methods, methods_table
from store import Store, annotations, datasets, problems, teacher_runs, traces
from store.filters import TraceQuery
from store.records import Measured, NewProblem
from store.teacher_runs import Outcome, TeacherRun
from tests.support import evaluate_lab, lab_seed
from tests.support.transparency_lab import finished

PROBLEM = NewProblem("What is 20 + 7?", "hand", "20+7", "27")


def put(
    store: Store, number: int, synthesis: str, *, model: str = "o1", run: str | None = None, tokens: int | None = 100,
    reflect: int = 1, source: str = "hand", parent: str | None = None,
) -> list[str]:  # fmt: skip
    """Put measured chains into the lab and return their ids."""
    made = []
    for at in range(number):
        raw = f"<think>\n{synthesis} {model} {run} {source} {parent} {at}\n</think>\n\n\\boxed{{27}}"
        one = lab_seed.trace_of(PROBLEM, model, raw)
        one = replace(one, synthesis=synthesis, tokens=tokens, source=source, parent_id=parent)
        with store.db.atomic():
            problems.add(store.db, [PROBLEM])
            traces.add(store.db, [(one, PROBLEM.statement)])
            if run is not None:
                kept = Outcome(one.id, at, "kept", trace_id=one.id)
                teacher_runs.add_outcomes(store.db, run, [kept])
        moves = {"reflect": reflect, "backtrack": 1}
        traces.set_measures(store.db, [Measured(one.id, False, moves, "27", "correct", "", "hand-1", tokens)])
        made.append(one.id)
    return made


def teacher_run(lab: Lab, store: Store, name: str, method: str, *, endpoint: str = "o1", **status: object) -> str:
    """Put a finished teacher run into the lab."""
    folder = RunFolder(lab.distill / name)
    (folder.path / "control").mkdir(parents=True)
    settings = TeacherRunSettings(endpoint=endpoint, method=method)
    write_json(folder.settings_file, settings.model_dump(mode="json"))
    write_json(folder.prompts, {})
    folder.write_status(TeacherRunStatus("finished", **status))  # type: ignore[arg-type]  # fields of a status
    row = TeacherRun(name, f"distill/{name}", method, endpoint, endpoint, "long-thought@1", {})
    teacher_runs.add(store.db, row)
    return name


def accept(store: Store, *ids: str) -> None:
    for one in ids:
        annotations.annotate(store.db, one, "decision", "accept", annotator="ann")


def found(lab: Lab, store: Store) -> dict[str, MethodFacts]:
    return {one.name: one for one in compare_methods(lab, store)}


def missing(one: MethodFacts) -> list[str]:
    return [each.what for each in one.missing]


def test_cost_acceptance_tokens_and_reflections(lab: Lab, store: Store) -> None:
    run = teacher_run(lab, store, "r1", "sample", priced=True, cost_usd=3.0)
    unpriced = teacher_run(lab, store, "r2", "sample", cost_usd=9.0)
    ids = put(store, 4, "distilled", run=run, reflect=3)
    more = put(store, 1, "distilled", run=unpriced, tokens=600)
    accept(store, *ids[:2], *more)
    one = found(lab, store)["distilled"]
    assert (one.chains, one.accepted, one.rate, one.rate_interval) == (5, 3, 0.6, wilson(3, 5))
    assert (one.cost_usd, one.paid, one.cost_per_accepted) == (3.0, 2, 1.5)  # of the run whose price is known
    assert one.mean_tokens == 200
    assert one.reflections == pytest.approx(1000 * (4 * 4 + 2) / 1000)
    assert "the cost of teacher run r2: its price is not known" in missing(one)


def test_chains_are_counted_by_who_made_them(lab: Lab, store: Store) -> None:
    debate = teacher_run(lab, store, "d1", "debate", priced=True)
    put(store, 1, "multi-agent", run=debate)
    put(store, 2, "distilled", model="sky")  # imported: no run here made them
    put(store, 3, "tree search", model="unknown")
    put(store, 1, "human", model="ann")
    put(store, 1, "reference", model="reference")  # the row of a control is not synthetic
    put(store, 1, "replay", run=teacher_run(lab, store, "p1", "replay"))  # nor is what a base says anyway
    made = {name: one.chains for name, one in found(lab, store).items()}
    solver = len(list(lab_seed.all_ids(store))) - 9
    assert made == {
        "distilled": 0, "reformatted": 0, "debate": 1, "human": 1, "tree search": 3, "imported": 2, "solver": solver,
    }  # fmt: skip
    assert list(made)[: len(ALWAYS)] == list(ALWAYS)


def test_what_students_wrote_does_not_count(lab: Lab, store: Store) -> None:
    datasets.create(store.db, "taken", TraceQuery.parse("verdict:correct"))
    student = finished(lab, store)
    of_student = teacher_run(lab, store, "s1", "sample", endpoint=f"{student.id}/100", priced=True, cost_usd=5.0)
    answers = put(store, 1, "distilled", model="m", source="eval/e1")
    put(store, 1, "human", model="m", parent=answers[0])
    put(store, 2, "distilled", model=f"{student.id}/step-100")
    put(store, 3, "distilled", model="m", run=of_student)
    methods = found(lab, store)
    assert {name: one.chains for name, one in methods.items() if one.chains} == {"solver": 12}
    assert methods["distilled"].cost_usd is None


def test_students_of_one_method_only(lab: Lab, store: Store) -> None:
    run = teacher_run(lab, store, "r1", "sample", priced=True)
    put(store, 2, "distilled", run=run)
    put(store, 1, "reference", model="reference")
    accept(store, *put(store, 1, "human", model="ann"))
    datasets.create(store.db, "taken", TraceQuery.parse("-synthesis:solver -synthesis:human"))
    pure = finished_on(lab, store, "taken")
    query = TraceQuery.parse("-synthesis:solver")
    datasets.create(store.db, "mixed", query)
    mixed = finished_on(lab, store, "mixed")
    for one in (pure, mixed):
        result = evaluate_lab.evaluation(f"e-{one}", f"{one}/step-100")
        evaluate_lab.put(store, result, ["correct", "correct", "correct", "incorrect"])
    taught = found(lab, store)["distilled"].taught
    assert [(each.run, each.dataset, each.rows, each.result.value) for each in taught] == [(pure, "taken", 3, 75.0)]


def test_of_many_students_the_one_with_the_most_rows_is_shown(lab: Lab, store: Store) -> None:
    put(store, 3, "human", model="ann")
    names = {}
    for rows in (3, 1, 2):
        ids = traces.ids(store.db, TraceQuery.parse("synthesis:human"))[:rows]
        datasets.snapshot(store.db, f"d{rows}", ids)
        names[rows] = finished_on(lab, store, f"d{rows}")
        one = evaluate_lab.evaluation(f"e{rows}", f"{names[rows]}/step-100")
        evaluate_lab.put(store, one, ["correct"] * rows + ["incorrect"] * (4 - rows))
    one = found(lab, store)["human"]
    assert len(one.taught) == 3
    assert one.students[0].startswith("sums@1 75.0 %") and one.students[0].endswith(f"run {names[3]}, 3 rows")
    assert one.students[1:] == ["2 more: o1lab methods --json"]


def finished_on(lab: Lab, store: Store, dataset: str) -> str:
    run, _ = make_run(lab, Recipe(dataset=dataset), store)
    run.write_status(replace(run.read_status(), state="finished"))
    return run.id


def test_what_is_missing_is_named_with_a_command(lab: Lab, store: Store) -> None:
    put(store, 2, "human", model="ann", tokens=None)
    methods = found(lab, store)
    assert missing(methods["debate"]) == ["no chain"]
    one = methods["human"]
    assert (one.accepted, one.rate, one.cost_per_accepted, one.mean_tokens, one.reflections) == (None,) * 5
    assert missing(one) == [
        "no chain has a decision",
        "the cost of 2 chains that no teacher run here made",
        "the tokens of 2 chains",
        "no student was trained on it alone and evaluated",
    ]
    assert [each.fix.partition(" ")[0] for each in one.missing] == ["o1lab", "no", "o1lab", "o1lab"]
    query = next(each.fix for each in one.missing if "tokens" in each.what).split("--where ")[1].strip("'")
    assert traces.count(store.db, TraceQuery.parse(query)) == 2
    text = render.RENDERERS["md"](methods_table(list(methods.values())))
    assert "| human | not recorded | 2 | not recorded |" in text
    assert "| debate | – | 0 | – |" in text


def test_a_damaged_or_removed_run_has_no_cost(lab: Lab, store: Store) -> None:
    damaged = teacher_run(lab, store, "r1", "sample", priced=True, cost_usd=2.0)
    put(store, 1, "distilled", run=damaged)
    RunFolder(lab.distill / damaged).status_file.write_text("{", "utf-8")
    put(store, 1, "distilled", run=teacher_run(lab, store, "r2", "sample", priced=True))
    shutil.rmtree(lab.distill / "r2")
    one = found(lab, store)["distilled"]
    assert one.cost_usd is None
    words = [each for each in missing(one) if "teacher run" in each]
    assert [each.partition(": ")[2].partition(":")[0] for each in words] == ["its folder is gone", "status.json"]
