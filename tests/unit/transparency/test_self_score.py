"""A lab scores itself by its records: evidence for yes, what is missing for no, changes since the last score."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from o1lab.distill.filters.pool import chosen_rules, filter_pool
from o1lab.errors import NotFoundError
from o1lab.ingest.importer import import_files
from o1lab.ingest.measuring import measure_pending
from o1lab.paths import Lab
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.runs.directory import RunDir
from o1lab.transparency.checks import CHECKS, Finding
from o1lab.transparency.checks.methodology import NOT_COMPARED, differing_fields
from o1lab.transparency.framework import find_framework
from o1lab.transparency.lab_facts import collect
from o1lab.transparency.scores import SELF
from o1lab.transparency.self_score import LabScore, score_lab
from store import Store, datasets, trees
from store import transparency as log
from store.filters import ProblemQuery, TraceQuery
from tests.support import search_tree
from tests.support.transparency_lab import evaluate, finished

INDEX = find_framework(None)


def answers(found: LabScore) -> dict[str, str]:
    return {one.item.id: one.finding.answer for one in found.items}


def test_every_item_of_the_index_has_a_check() -> None:
    assert set(CHECKS) == {item.id for item in INDEX.items}


def test_a_lab_with_everything_earns_all_but_what_only_a_person_can_judge(lab: Lab, store: Store, run: RunDir) -> None:
    filter_pool(store.db, chosen_rules(), ProblemQuery(), benchmarks=())
    evaluate(store, run)
    evaluate(store, run, "base")
    other = finished(lab, store, lora_r=8)
    evaluate(store, other)
    found = score_lab(lab, store, INDEX, run.id)
    wanted = dict.fromkeys((item.id for item in INDEX.items), "yes")
    wanted |= dict.fromkeys(("method.search", "method.rl", "eval.own_metrics"), "not_used")
    wanted |= {item.id: "person" for item in INDEX.items if item.id.startswith("open.")}
    assert answers(found) == wanted
    assert found.total == 71
    assert all(one.finding.evidence for one in found.items if one.finding.answer in ("yes", "not_used"))


def test_a_bare_lab_says_what_is_missing_and_how_to_supply_it(lab: Lab, store: Store, run: RunDir) -> None:
    found = score_lab(lab, store, INDEX)
    refused = {one.item.id: one.finding for one in found.items if one.finding.answer == "no"}
    assert set(refused) == {
        "data.selection", "method.ablations", "eval.benchmarks", "eval.level", "eval.metrics", "eval.own_metrics",
        "eval.baselines", "eval.conditions",
    }  # fmt: skip
    assert all(one.missing and one.fix for one in refused.values())
    assert refused["data.selection"].fix == "o1lab problems filter"


def test_a_person_answers_what_the_lab_cannot_judge(lab: Lab, store: Store, run: RunDir) -> None:
    log.add(store.db, INDEX.name, SELF, "open.weights", "yes", scorer="ann", evidence="https://hub.example.org/s")
    log.add(store.db, INDEX.name, SELF, "method.ablations", "yes", scorer="ann", evidence="trust me")
    found = score_lab(lab, store, INDEX)
    assert answers(found)["open.weights"] == "yes"
    assert answers(found)["method.ablations"] == "no"  # a check is not overruled
    assert found.of("open_source") == 5


@pytest.mark.parametrize(
    ("damage", "item"),
    [
        (lambda run, store: run.command.unlink(), "method.pipeline"),
        (lambda run, store: run.env.write_text("{}"), "method.compute"),
        (lambda run, store: run.env.write_text("{}"), "method.base"),
        (lambda run, store: run.dataset.write_text('{"trace_ids": []}'), "data.sources"),
        (lambda run, store: run.dataset.unlink(), "data.synthesis"),
        (lambda run, store: store.db.conn.execute("UPDATE trace_texts SET raw = raw"), ""),
        (lambda run, store: store.db.conn.execute("UPDATE datasets SET hash = 'other'"), "data.characteristics"),
        (lambda run, store: store.db.conn.execute("UPDATE problem_sources SET licence = NULL"), "data.sources"),
        (lambda run, store: store.db.conn.execute("UPDATE traces SET synthesis = 'unknown'"), "data.synthesis"),
        (lambda run, store: store.db.conn.execute("UPDATE traces SET synthesis = 'distilled'"), "data.synthesis"),
        (lambda run, store: store.db.conn.execute("UPDATE traces SET verdict = NULL"), "data.synthesis"),
    ],
)
def test_a_changed_record_turns_its_item_to_no_and_the_change_is_listed(
    lab: Lab, store: Store, run: RunDir, damage: object, item: str
) -> None:
    score_lab(lab, store, INDEX)
    damage(run, store)  # type: ignore[operator]  # one of the functions above
    store.db.conn.commit()
    found = score_lab(lab, store, INDEX, run.id)
    changed = {name: (before, after) for name, before, after in found.changes}
    assert changed.get(item) == (("yes", "no") if item else None)
    assert bool(changed) == bool(item)


def test_conditions_left_to_the_server_turn_the_item_to_no(lab: Lab, store: Store, run: RunDir) -> None:
    evaluate(store, run, temperature=0.6)
    found = score_lab(lab, store, INDEX)
    judged = {one.item.id: one.finding for one in found.items}
    assert judged["eval.conditions"].answer == "no"
    assert "top_p" in judged["eval.conditions"].missing
    assert judged["eval.baselines"].answer == "no"


def test_all_stages_are_looked_at_and_a_missing_one_is_named(lab: Lab, store: Store, run: RunDir) -> None:
    second = finished(lab, store)
    text = second.recipe.read_text("utf-8")
    second.recipe.write_text(text.replace("init_from: null", f"init_from: {run.id}/step-100"), "utf-8")
    found = {one.item.id: one.finding for one in score_lab(lab, store, INDEX, second.id).items}
    assert found["method.pipeline"].evidence == tuple(
        str(path) for one in (run, second) for path in (one.command, one.recipe)
    )
    run.path.rename(run.path.with_name("elsewhere"))
    found = {one.item.id: one.finding for one in score_lab(lab, store, INDEX, second.id).items}
    assert found["method.pipeline"].answer == "no"
    assert run.id in found["method.pipeline"].missing
    second.recipe.write_text(text.replace("init_from: null", "init_from: models/kims"), "utf-8")
    found = {one.item.id: one.finding for one in score_lab(lab, store, INDEX, second.id).items}
    assert "imported adapter kims; its training is not in this lab" in found["method.pipeline"].missing


def test_a_lab_without_a_finished_run_gets_the_command_to_train(lab: Lab, store: Store) -> None:
    with pytest.raises(NotFoundError, match="no training run"):
        score_lab(lab, store, INDEX)


def test_recipes_differ_in_what_changes_the_student() -> None:
    one = Recipe(dataset="d").model_dump()
    assert differing_fields(one, one | {"lora_r": 8, "save_steps": 7, "dataset_hash": "x"}) == ["lora_r"]
    assert differing_fields(one, one | {"seed": 7, "device": "cuda:1", "logging_steps": 5}) == []  # no ablation
    assert all(name in Recipe.model_fields for name in NOT_COMPARED)


def test_learning_from_preferences_is_not_called_supervised_fine_tuning(lab: Lab, store: Store, run: RunDir) -> None:
    facts = collect(lab, store, run.id)
    [stage] = facts.stages
    preferring = replace(stage, recipe=stage.recipe | {"objective": "dpo", "beta": 0.2})
    found = CHECKS["method.rl"](replace(facts, stages=(preferring,)))
    assert found.answer == "yes"
    assert found.evidence[0] == f"Run {run.id} learns from preferences (dpo, beta 0.2), without a reward model."


def test_rows_of_tree_search_need_their_trees_and_rules(lab: Lab, store: Store) -> None:
    path = lab.root / "trees.json"
    path.write_text(json.dumps(search_tree.row()), "utf-8")
    import_files(store, [path])
    measure_pending(store)
    datasets.create(store.db, "taken", TraceQuery.parse("synthesis:tree"))
    made = finished(lab, store)

    def finding() -> Finding:
        return CHECKS["method.search"](collect(lab, store, made.id))

    tree = trees.page(store.db, ProblemQuery())[0].id
    assert finding().answer == "yes"
    assert finding().evidence == (
        "taken: 1 rows walk 1 trees searched by mcts; rules: dead ends 2, dead end depth any, dead end order highest; "
        f"nodes, values and walk: o1lab trees show {tree}",
    )
    store.db.execute("DELETE FROM tree_walks")
    assert (finding().answer, finding().missing) == (
        "no", "1 rows of taken were made by tree search, and their trees and rules are not recorded.",
    )  # fmt: skip
