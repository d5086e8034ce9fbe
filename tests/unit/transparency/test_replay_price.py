"""The price of replay: two students that differ in replay, and their base."""

from __future__ import annotations

import json
from dataclasses import replace

from o1lab.evaluate.stats.metrics import wilson
from o1lab.files import write_json
from o1lab.paths import Lab
from o1lab.train.runs.directory import RunDir
from o1lab.transparency.checks.methodology import differing_fields
from o1lab.transparency.lab_facts import collect
from o1lab.transparency.lesson import as_markdown, measure_lesson
from o1lab.transparency.replay_price import replay_price
from store import Store
from tests.support import evaluate_lab
from tests.support.training_lab import add_replay
from tests.support.transparency_lab import finished

RIGHT, WRONG = "correct", "incorrect"


def put(store: Store, model: str, role: str, right: int, *, suite: str = "facts") -> None:
    name = f"{suite}-{model.replace('/', '-')}"
    one = evaluate_lab.evaluation(name, model, items=8, suite=suite)
    evaluate_lab.put(store, replace(one, role=role), [RIGHT] * right + [WRONG] * (8 - right))


def test_each_suite_without_and_with_replay(lab: Lab, store: Store, run: RunDir) -> None:
    add_replay(store, "smollm2-135m", 6)
    assert measure_lesson(collect(lab, store, run.id)).as_json()["replay"] is None
    mixed = finished(lab, store, replay=0.2)
    finished(lab, store, replay=0.2, steps=7, lora_r=8)  # differs in more
    for suite, base, without, replayed in (("facts", 6, 0, 5), ("sums", 0, 8, 7)):
        put(store, "base", "base", base, suite=suite)
        put(store, f"{run.id}/100", "student", without, suite=suite)
        put(store, f"{mixed.id}/100", "student", replayed, suite=suite)
    put(store, f"{run.id}/100", "student", 3, suite="alone")  # the other student was not evaluated on it

    price = replay_price(collect(lab, store, mixed.id))
    assert price is not None
    assert (price.without, price.with_replay, price.share, price.also) == (run.id, mixed.id, 0.2, ())
    own = json.loads(mixed.dataset.read_text("utf-8"))
    assert price.rows == own["replay"]["rows"] > 0
    told = {one["suite"]: one for one in price.as_json()["suites"]}
    assert set(told) == {"facts@1", "sums@1"}
    facts = told["facts@1"]
    assert (facts["before"], facts["without"], facts["with"]) == (75.0, 0.0, 62.5)
    assert facts["with_ci95"] == [100 * end for end in wilson(5, 8)]
    assert replay_price(collect(lab, store, run.id)) == price  # the same pair from the other side

    lesson = measure_lesson(collect(lab, store, mixed.id))
    assert lesson.as_json()["replay"] == price.as_json()
    text = as_markdown([lesson]).replace("\\", "")
    assert "| facts@1 | 75.0 [40.9, 92.9] | 0.0 [0.0, 32.4] | 62.5 [30.6, 86.3] |" in text
    assert f"run {mixed.id} has 20% answers of the base among its rows ({price.rows} rows)" in text
    assert lesson.tokens is not None
    assert lesson.tokens["replay"] == 9 * price.rows  # of the rows that were taken, not of the whole dataset
    assert f"| replay | {9 * price.rows} |" in text
    assert lesson.teacher_share == 1 - lesson.tokens["replay"] / sum(lesson.tokens.values())


def test_a_run_with_replay_names_the_command_that_makes_its_counterpart(lab: Lab, store: Store, run: RunDir) -> None:
    add_replay(store, "smollm2-135m", 6)
    mixed = finished(lab, store, replay=0.2)
    run.write_status(replace(run.read_status(), state="failed"))
    lesson = measure_lesson(collect(lab, store, mixed.id))
    assert lesson.replay is None
    assert [words for words in lesson.missing if "replay" in words and "--set replay=0" in words]
    # A counterpart that differs in more is taken, and its differences are named.
    plain = finished(lab, store, steps=7)
    price = replay_price(collect(lab, store, mixed.id))
    assert price is not None and (price.without, price.also, price.suites) == (plain.id, ("steps",), ())
    assert "also differ in steps" in as_markdown([measure_lesson(collect(lab, store, mixed.id))])


def test_replay_is_one_difference_and_older_recipes_have_none(lab: Lab, store: Store, run: RunDir) -> None:
    add_replay(store, "smollm2-135m", 6)
    plain = collect(lab, store, run.id).stages[-1].recipe
    mixed = collect(lab, store, finished(lab, store, replay=0.2).id).stages[-1].recipe
    assert mixed["replay_dataset"] and mixed["replay_hash"]
    assert differing_fields(plain, mixed) == ["replay"]
    older = {name: value for name, value in plain.items() if not name.startswith("replay")}
    assert differing_fields(older, plain) == []
    assert differing_fields(mixed, mixed | {"replay_dataset": "other"}) == ["replay_dataset"]


def test_the_replay_dataset_belongs_to_the_run(lab: Lab, store: Store, run: RunDir) -> None:
    made = add_replay(store, "smollm2-135m", 6)
    mixed = finished(lab, store, replay=0.2)
    facts = collect(lab, store, mixed.id)
    assert [one.name for one in facts.datasets] == ["taken", made.name]
    assert facts.stages[-1].fault == ""
    recipe = mixed.recipe.read_text("utf-8").replace(made.hash, "0" * 16)
    mixed.recipe.write_text(recipe, "utf-8")
    assert f"The replay dataset '{made.name}'" in collect(lab, store, mixed.id).stages[-1].fault
    write_json(mixed.dataset, {"trace_ids": []})
    assert collect(lab, store, mixed.id).stages[-1].replayed == ()
