"""Groups of runs: what a recipe with lists expands to, and the comparison of its runs."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from o1lab.errors import UsageError
from o1lab.files import write_json
from o1lab.paths import Lab
from o1lab.train import groups
from o1lab.train.group_figures import Spread, compare
from o1lab.train.median_rule import MEDIAN_RULE
from o1lab.train.phases import require_one
from o1lab.train.preflight.report import Preflight
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.recipes.recipe_file import override
from o1lab.train.runs.directory import GroupTag, RunDir
from tests.support.fake_runs import append, write_run


def member(lab: Lab, identity: str, varies: dict[str, Any], *, name: str = "sweep", **more: Any) -> RunDir:
    run = write_run(lab.runs, identity, recipe=Recipe(dataset="d", **varies), **more)
    write_json(run.group_file, asdict(GroupTag(name, varies)))
    return run


def test_a_recipe_with_lists_is_a_run_for_each_combination() -> None:
    values = {"dataset": "d", "seed": [1, 2], "learning_rate": ["1e-4", 5e-4], "probes": ["1 + 1? => 2", "Hm"]}
    assert groups.has_lists(values) and not groups.has_lists({"dataset": "d", "probes": ["Hm"], "accept": []})
    variants, fields = groups.expand(values)
    assert fields == ("learning_rate", "seed")
    recipes = groups.resolve_group(variants, fields)
    assert [(one.learning_rate, one.seed) for one in recipes] == [(1e-4, 1), (1e-4, 2), (5e-4, 1), (5e-4, 2)]
    assert all(len(one.probes) == 2 for one in recipes)


GRID = {"dataset": "d", "seed": [1, 2, 3], "learning_rate": ["1e-4", "5e-4"], "lora_r": [8, 16, 32, 64]}


def test_a_sample_has_combinations_of_the_grid_each_once() -> None:
    every, fields = groups.expand(GRID)
    assert len(every) == groups.combinations(GRID) == 24
    seen: set[str] = set()
    for seed in range(20):
        drawn, same = groups.expand(GRID, groups.Sample(5, seed))
        assert same == fields
        places = [every.index(one) for one in drawn]
        assert len(places) == 5 and places == sorted(set(places))
        assert drawn == groups.expand(GRID, groups.Sample(5, seed))[0]
        seen.update(map(str, places))
    assert len(seen) == 24  # no combination is left out for ever
    assert groups.expand(GRID, groups.Sample(24))[0] == every
    with pytest.raises(UsageError, match="24 combinations, fewer than the 25"):
        groups.expand(GRID, groups.Sample(25))


def test_a_sample_of_a_huge_grid_is_drawn_at_once() -> None:
    values = {"dataset": "d", "seed": list(range(10_000)), "lora_r": list(range(1, 1000)), "warmup": [0.0] * 10_000}
    assert groups.combinations(values) > 10**10
    drawn, _ = groups.expand(values, groups.Sample(3))
    assert len(groups.resolve_group(drawn, ("seed", "lora_r"))) == 3


def test_the_command_of_a_sample_draws_the_same_runs() -> None:
    sample = groups.Sample(4, 7)
    variants, fields = groups.expand(GRID, sample)
    recipes = groups.resolve_group(variants, fields)
    words = shlex.split(groups.group_command(Lab(Path("lab")), recipes, fields, "g", drawn=(sample, GRID)))
    settings = [value for option, value in pairwise(words) if option == "--set"]
    assert words[words.index("--sample") + 1 : words.index("--sample") + 4] == ["4", "--sample-seed", "7"]
    again = groups.expand(override({"dataset": "d"}, settings), sample)
    assert groups.resolve_group(*again) == recipes


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"device": ["cpu", "cuda:0"]}, "device cannot vary"),
        ({"dataset_hash": ["a", "b"]}, "dataset_hash cannot vary"),
        ({"seed": []}, "seed is an empty list"),
        ({"learning_rate": ["1e-4", 0.0001]}, "a run twice: learning_rate 0.0001"),
        ({"seed": [1, "x"]}, "recipe's seed"),
        ({"seed": [[1], 2]}, "recipe's seed"),
    ],
)
def test_lists_that_make_no_group_are_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        groups.resolve_group(*groups.expand({"dataset": "d", **values}))


def test_the_command_of_a_group_starts_the_same_runs() -> None:
    values = {"dataset": "d", "replay": 0.3, "replay_dataset": [None, "r"], "learning_rate": [1e-5, 0.01], "seed": [1]}
    recipes = groups.resolve_group(*groups.expand(values))
    fields = ("replay_dataset", "learning_rate")
    words = shlex.split(groups.group_command(Lab(Path("lab")), recipes, fields, "g"))
    settings = [word for before, word in pairwise(words) if before == "--set"]
    again = groups.resolve_group(*groups.expand(override({"dataset": "d"}, settings)))
    assert sorted(again, key=str) == sorted(recipes, key=str)


def test_a_list_on_the_command_line_is_a_list_where_a_field_can_vary() -> None:
    found = override({}, ["seed=1,2,3", "schedule=linear,cosine", "base=[a, b]"])
    assert found == {"seed": ["1", "2", "3"], "schedule": ["linear", "cosine"], "base": ["a", "b"]}
    texts = {"lora_targets": "q_proj,v_proj", "system_prompt": "[a, b]", "eos_token": "[EOS]", "device": "cpu,cuda:0"}
    assert override({}, [f"{name}={text}" for name, text in texts.items()]) == texts


def test_the_form_refuses_a_recipe_with_lists() -> None:
    with pytest.raises(UsageError, match="several values of a field"):
        require_one({"dataset": "d", "seed": [1, 2]})


def test_preflight_runs_once_for_each_setting_that_changes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Recipe] = []

    def preflight(_lab: Lab, recipe: Recipe, **_: Any) -> Preflight:
        asked.append(recipe)
        return Preflight(rows=len(asked))

    monkeypatch.setattr(groups, "run_preflight", preflight)
    values = {"dataset": "d", "lora_r": [4, 8], "learning_rate": [1e-4, 5e-4], "seed": [1, 2]}
    found = groups.preflight_group(Lab(tmp_path), groups.resolve_group(*groups.expand(values)))
    assert [recipe.lora_r for recipe in asked] == [4, 8]
    assert [one.rows for one in found] == [1, 1, 1, 1, 2, 2, 2, 2]


def test_a_group_gets_a_name_that_nothing_else_has(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    recipes = [Recipe(dataset="sums", seed=seed) for seed in (1, 2)]
    assert groups.free_name(lab, None, recipes, ["seed"]) == "sums-seed"
    member(lab, "aa110000", {"seed": 1}, name="sums-seed")
    assert groups.free_name(lab, None, recipes, ["seed"]) == "sums-seed-2"
    assert groups.free_name(lab, None, recipes, ["dataset", "seed"]) == "dataset-seed"
    for name, words in (("sums-seed", "already has the name"), ("aa110000", "already has")):
        with pytest.raises(UsageError, match=words):
            groups.free_name(lab, name, recipes, ["seed"])
    with pytest.raises(UsageError, match="not a valid name"):
        groups.free_name(lab, "../x", recipes, ["seed"])


def test_a_large_group_needs_a_confirmation() -> None:
    groups.require_small(groups.LARGE, confirmed=False)
    groups.require_small(groups.LARGE + 1, confirmed=True)
    with pytest.raises(UsageError, match=f"These are {groups.LARGE + 1} runs"):
        groups.require_small(groups.LARGE + 1, confirmed=False)


def test_runs_of_a_group_are_compared_by_setting(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    losses = {"aa": (1e-4, 1, [3.0, 1.0, 2.0]), "bb": (1e-4, 2, [3.0, 4.0]), "cc": (5e-4, 1, [0.5])}
    for age, (identity, (rate, seed, values)) in enumerate(losses.items()):
        run = member(lab, identity, {"learning_rate": rate, "seed": seed}, steps=0, age=-age)
        append(run.metrics, ({"step": step, "loss": value} for step, value in enumerate(values, 1)))
    append(RunDir(lab.runs / "cc").metrics, [{"step": 1, "eval_loss": 0.75}])
    write_run(lab.runs, "alone")
    asked = {"aa": [(5, False), (9, True), (9, True), (9, None)], "bb": [(9, True), (9, False)], "cc": [(9, None)]}
    for identity, answers in asked.items():
        append(RunDir(lab.runs / identity).samples, ({"step": step, "correct": right} for step, right in answers))
    group = groups.find_group(lab, "sweep")
    assert group is not None and groups.find_group(lab, "alone") is None
    assert [run.id for run in group.runs] == ["aa", "bb", "cc"]
    found = compare(group)
    first, second = found.settings
    assert first.values == {"learning_rate": 1e-4}
    assert first.spread("last_loss") == Spread(3.0, pytest.approx(2**0.5), 2)
    assert first.spread("best_loss") == Spread(2.0, pytest.approx(2**0.5), 2)
    assert first.spread("eval_loss") is None
    assert second.spread("last_loss") == Spread(0.5, None, 1)
    assert second.spread("eval_loss") == Spread(0.75, None, 1)
    assert found.states() == {"finished": 3}
    answer = json.loads(json.dumps(found.as_json()))
    assert answer["settings"][0]["last_loss"] == {"mean": 3.0, "sd": pytest.approx(2**0.5), "runs": 2}
    assert found.setting_rows()[1] == ["1.0e-4", "2", "3 ± 1.41", "-", "0.75 ± 0.354"]
    assert found.setting_rows()[0] == ["learning_rate", "runs", "loss", "eval", "probes"]
    assert second.spread("probe_accuracy") is None
    assert found.summary() == "3 runs, 3 finished; 0 of 300 steps"


def test_a_damaged_group_file_costs_the_group_only(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    member(lab, "aa", {"seed": 1}).group_file.write_text("{")
    member(lab, "bb", {"seed": 2})
    assert groups.tag_of(RunDir(lab.runs / "aa")) is None
    group = groups.find_group(lab, "sweep")
    assert group is not None and [run.id for run in group.runs] == ["bb"]


def test_other_seeds_of_a_run_have_its_setting(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    first = member(lab, "aa", {"learning_rate": 1e-4, "seed": 1})
    member(lab, "bb", {"learning_rate": 1e-4, "seed": 2})
    member(lab, "cc", {"learning_rate": 5e-4, "seed": 2})
    member(lab, "dd", {"learning_rate": 1e-4, "seed": 3}, name="other")
    assert [run.id for run in groups.other_seeds(lab, first)] == ["bb"]
    assert groups.other_seeds(lab, write_run(lab.runs, "alone")) == []
    assert groups.other_seeds(lab, member(lab, "ee", {"learning_rate": 1e-4}, name="rates")) == []


def test_a_hopeless_run_is_named_in_the_comparison(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    run = member(lab, "aa", {"seed": 1}, state="stopped", steps=40)
    run.write_status(replace(run.read_status(), stopped_by=MEDIAN_RULE))
    member(lab, "bb", {"seed": 2}, state="stopped", steps=50)
    waiting = member(lab, "cc", {"seed": 3}, state="queued", steps=0, total=1)
    waiting.write_status(replace(waiting.read_status(), total_steps=0))
    group = groups.find_group(lab, "sweep")
    assert group is not None
    found = compare(group)
    assert {row[0]: row[2] for row in found.run_rows()[1:]} == {
        "aa": "hopeless 40/100", "bb": "stopped 50/100", "cc": "queued 0/0",
    }  # fmt: skip
    assert found.summary() == (
        "3 runs, 2 stopped, 1 queued; 1 stopped as hopeless; 90 of 200 steps, without those of 1 that have not started"
    )
    assert {one["id"]: one["hopeless"] for one in found.as_json()["runs"]} == {"aa": True, "bb": False, "cc": False}
