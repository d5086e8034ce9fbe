"""The median rule, which stops runs of a group that have no prospects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from o1lab.errors import UsageError
from o1lab.files import write_json
from o1lab.paths import Lab
from o1lab.train import groups, median_rule
from o1lab.train.median_rule import MedianRule, Verdict, never_judged
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.recipes.recipe_file import resolve
from o1lab.train.runs.directory import GroupTag, RunDir
from o1lab.train.runs.metrics_reader import RESUMED
from tests.support.fake_runs import append, write_run


def member(lab: Lab, identity: str, losses: Mapping[int, float | None], *, group: str = "g", **varies: Any) -> RunDir:
    run = write_run(lab.runs, identity, steps=0)
    write_json(run.group_file, asdict(GroupTag(group, varies)))
    for step, loss in losses.items():
        append(run.metrics, [{"step": step, "loss": 9.0}, {"step": step, "eval_loss": loss}])
    return run


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def test_a_run_that_is_worse_than_the_median_is_hopeless(lab: Lab) -> None:
    for identity, loss in {"aa": 1.0, "bb": 2.0, "cc": 3.0}.items():
        member(lab, identity, {10: loss + 1, 20: loss, 30: 0.1})
    member(lab, "another", {20: 0.1}, group="h")
    write_run(lab.runs, "alone")
    bad = member(lab, "dd", {10: 2.5, 20: 2.6})
    verdict = MedianRule(bad, 20).judge(20)
    assert verdict == Verdict(20, 2.5, 2.0, {"aa": 1.0, "bb": 2.0, "cc": 3.0}), "the best ones up to the step, no later"
    assert str(verdict) == "best eval_loss 2.5 at step 20, but 2 is the median of 3 other runs of the group"
    assert MedianRule(bad, 21).judge(20) is None, "it is too early"
    good = member(lab, "ee", {20: 2.0})
    assert MedianRule(good, 1).judge(20) is None, "as good as the median is good enough"


def test_only_runs_that_got_as_far_are_compared_with(lab: Lab) -> None:
    bad = member(lab, "dd", {20: 9.0})
    rule = MedianRule(bad, 1)
    members = [member(lab, identity, {20: 1.0}) for identity in ("aa", "bb")]
    late = member(lab, "cc", {10: 1.0, 20: None})
    assert rule.judge(20) is None, "the third has no loss at this step yet"
    append(late.metrics, [{"step": 30, "eval_loss": 5.0}])
    found = rule.judge(20)
    assert found is not None and found.others == {"aa": 1.0, "bb": 1.0, "cc": 1.0}
    append(members[0].metrics, [{"event": RESUMED, "step": 5}])
    assert rule.judge(20) is None, "that run trains again from step 5"
    members[1].group_file.write_text("{")
    assert rule.judge(20) is None


def test_runs_that_the_rule_stopped_stay_in_the_median(lab: Lab) -> None:
    for identity, loss in {"aa": 1.0, "bb": 1.2}.items():
        member(lab, identity, {20: loss, 40: loss})
    for identity in ("cc", "dd"):
        write_json(member(lab, identity, {20: 3.0}).early_stop, {})
    run = member(lab, "ee", {20: 2.0, 40: 1.5})
    assert MedianRule(run, 20).judge(40) is None, "the median is 2.1, not 1.1"


def test_losses_on_other_rows_are_not_compared(lab: Lab) -> None:
    bad = member(lab, "dd", {20: 9.0}, dataset="long", seed=1, lora_r=4)
    for rank, identity in enumerate(("aa", "bb", "cc")):
        member(lab, identity, {20: 1.0}, dataset="short", seed=1, lora_r=rank)
        member(lab, f"{identity}0", {20: 1.0}, dataset="long", seed=2, lora_r=rank)
    assert MedianRule(bad, 1).judge(20) is None, "another seed holds out other rows"
    assert Recipe.model_fields.keys() >= median_rule._HELD_OUT, "each is a field of a recipe"
    for rank, identity in enumerate(("ee", "ff", "gg")):
        member(lab, identity, {20: 1.0}, dataset="long", seed=1, lora_r=rank)
    found = MedianRule(bad, 1).judge(20)
    assert found is not None and sorted(found.others) == ["ee", "ff", "gg"]


def test_a_group_that_is_too_small_for_the_rule_gets_a_warning() -> None:
    def words(**values: Any) -> str:
        variants, fields = groups.expand({"dataset": "d", "eval_rows": 4, **values})
        return never_judged(groups.resolve_group(variants, fields), fields)

    assert words(seed=[1, 2, 3], stop_hopeless=5).startswith("stop_hopeless stops no run of this group")
    assert words(seed=[1, 2], dataset=["a", "b"], stop_hopeless=5)
    assert "the same seed, which draws the rows" in words(seed=[1, 2, 3, 4], stop_hopeless=5)
    assert words(seed=[1, 2, 3, 4], lora_r=[4, 8], stop_hopeless=5)
    assert not words(seed=[1, 2], lora_r=[4, 8, 16, 32], stop_hopeless=5)
    assert not words(seed=[1, 2, 3])


def test_the_rule_needs_losses_on_held_out_rows() -> None:
    assert Recipe(dataset="d").stop_hopeless == 0
    for values in ({"eval_rows": 0}, {"eval_rows": 4, "eval_steps": 0}):
        with pytest.raises(UsageError, match="it needs eval_rows and eval_steps"):
            resolve({"dataset": "d", "stop_hopeless": 5, **values})
    with pytest.raises(UsageError, match="stop_hopeless cannot vary"):
        groups.expand({"dataset": "d", "stop_hopeless": [0, 5]})
