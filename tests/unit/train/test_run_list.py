"""The list of runs: its figures, its filter, its columns, and the difference of recipes."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from o1lab.config import init_lab
from o1lab.errors import UsageError
from o1lab.paths import Lab
from o1lab.train.recipe_diff import diff
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.recipes.variants import VARIANTS, label
from o1lab.train.run_list import RunReader, listed
from o1lab.train.runs import columns as run_columns
from o1lab.train.runs.metrics_reader import Metrics
from o1lab.train.runs.metrics_summary import MetricsSummary
from store.errors import QueryError
from store.filters import RunQuery
from tests.support.fake_runs import append, metric_line, write_run
from tests.support.many_runs import write_runs


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    lab = init_lab(tmp_path / "lab", name="test")
    write_runs(lab.runs)
    return lab


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """The same lab for tests that only read it."""
    lab = init_lab(tmp_path_factory.mktemp("unchanged") / "lab", name="test")
    write_runs(lab.runs)
    return lab


def found(lab: Lab, text: str) -> list[int]:
    """The numbers of the runs of a filter, in its order."""
    entries = RunReader(lab).read().entries
    return [int(entry.run.id.removeprefix("run")) for entry in listed(entries, RunQuery.parse(text))]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", [*range(7), *range(8, 20)]),
        ("archived:yes", [7]),
        ("state:dead", [4, 9, 14, 19]),
        ("-state:finished lr:1e-4", [2, 4, 8, 12, 14, 18]),
        ("dataset:col-add rank>=64", []),
        ("dataset:short rank>=64 lr=5e-4", [5, 11, 17]),
        ("group:swe", [0, 1, 2]),
        ("tag:keep", [5]),
        ("tag:KEEP,other", [5]),
        ("note:hot", [6]),
        ("name:wide", [4]),
        ("wide", [4]),
        ("hot", [6]),
        ("seed<3 sort:-seed", [2, 1, 0]),
        ("eval<0.67 sort:-eval", [6, 4, 2, 0]),
        ("best-eval<0.53 sort:best-eval", [0, 2]),
        ("age>=17", [17, 18, 19]),
        ("progress<100 group:sweep", [2]),
        ("sort:-age state:finished age<4", [1, 0]),
        ("state:active", []),
        ("variant:dora,full", [3, 8]),
        ("variant:dpo", [11]),
        ("variant:lora rank=64", [2, 5, 11, 14, 17]),
        ("variant:rslora", []),
        ("sort:variant -variant:lora", [3, 8]),
    ],
)
def test_a_filter_finds_runs(unchanged: Lab, text: str, wanted: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    from o1lab.train import run_list
    from tests.support.fake_runs import CREATED

    monkeypatch.setattr(run_list.time, "time", lambda: CREATED + 60)
    assert found(unchanged, text) == wanted


def test_runs_without_a_value_come_last_in_both_directions(lab: Lab) -> None:
    for order in ("eval", "-eval"):
        numbers = found(lab, f"sort:{order}")
        assert all(number % 2 == 0 for number in numbers[:10]) and all(number % 2 for number in numbers[10:])


def test_a_mistyped_field_is_explained(lab: Lab) -> None:
    for text, hint in (("stat:failed", "Did you mean state?"), ("state:finshed", "Did you mean finished?")):
        with pytest.raises(QueryError) as caught:
            RunQuery.parse(text)
        assert hint in caught.value.hint


def test_damaged_and_hostile_values_are_listed_and_filtered(lab: Lab) -> None:
    run = write_run(lab.runs, "odd")
    run.recipe.write_text('base: "\\ud800"\ndataset: 7\nlearning_rate: fast\nlora_r: .nan\nseed: 1' + "0" * 400 + "\n")
    run.status_file.write_text(json.dumps({"state": "failed", "step": 10**50, "total_steps": 10**60}))
    entry = next(one for one in RunReader(lab).read().entries if one.run.id == "odd")
    assert entry.figures["dataset"] == "7" and entry.figures["learning_rate"] is None
    assert [one.run.id for one in listed([entry], RunQuery.parse("step>1000 dataset:7"))] == ["odd"]
    assert all(isinstance(column.cell(entry.figures), str) for column in run_columns.COLUMNS.values())


def test_the_summary_of_metrics_is_that_of_all_points(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    summary = MetricsSummary(path)
    assert summary.poll() and set(summary.figures().values()) == {None}

    def check() -> None:
        metrics = Metrics(path)
        metrics.poll()
        while not summary.poll(0.0):  # a block at a time
            pass
        losses, held_out = ([v for v in metrics.column(name) if math.isfinite(v)] for name in ("loss", "eval_loss"))
        assert summary.figures() == {
            "best_loss": min(losses), "eval_loss": held_out[-1], "best_eval_loss": min(held_out),
            "tokens": metrics.last()["num_tokens"], "elapsed_s": metrics.last()["elapsed_s"],
        }  # fmt: skip

    append(path, [metric_line(step, 1000) for step in range(1, 401)])
    append(path, [{"step": 400, "eval_loss": 0.2}])
    check()
    append(path, [{"step": 401, "loss": None}, metric_line(402, 1000, loss=1e-9, eval_loss=1e-3), {"step": "x"}])
    check()
    append(path, [{"event": "resumed", "step": 399}, metric_line(400, 1000, eval_loss=0.9)])  # the lowest are gone
    check()
    append(path, [metric_line(350, 1000, eval_loss=0.7)])  # repeated without the event
    check()
    path.write_text(json.dumps(metric_line(1, 1000, eval_loss=2.0)) + "\n")
    check()


def test_the_lowest_losses_are_read_within_a_budget_and_only_once(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = RunReader(lab)
    first = reader.read(budget_s=0.0)
    assert not first.complete and all(entry.figures["best_loss"] is None for entry in first.entries)
    assert all(entry.figures["loss"] for entry in first.entries)
    assert reader.read().complete
    monkeypatch.setattr("o1lab.train.run_list.last_metrics", lambda *_, **__: pytest.fail("the tail was read again"))
    again = reader.read(budget_s=0.0)
    assert all(entry.figures["best_loss"] for entry in again.entries)


def test_columns_are_chosen_by_name(lab: Lab) -> None:
    assert [column.name for column in run_columns.chosen(["loss", "name", "loss"])] == ["loss", "name"]
    for wrong in (["los"], []):
        with pytest.raises(UsageError, match="column"):
            run_columns.chosen(wrong)
    figures = RunReader(lab).read().entries[4].figures
    cells = {name: column.cell(figures) for name, column in run_columns.COLUMNS.items()}
    assert (cells["name"], cells["id"], cells["progress"], cells["lr"], cells["rank"]) == (
        "wide", "run04", "50/100", "1e-4", "16",
    )  # fmt: skip


def test_every_order_of_the_filter_that_is_a_column_sorts_it(lab: Lab) -> None:
    entries = RunReader(lab).read().entries
    for name in RunQuery.LANGUAGE.sorts:
        assert name in run_columns.COLUMNS or name in ("step", "steps")
        for direction in ("", "-"):
            assert len(list(listed(entries, RunQuery.parse(f"sort:{direction}{name}")))) == 19


def test_recipes_differ_only_where_they_differ(tmp_path: Path) -> None:
    lab = init_lab(tmp_path / "lab", name="test")
    system = "You answer questions about numbers, and you think aloud before you answer. "
    for name, tail in (("a", "Be brief."), ("b", "Be long.")):
        write_run(
            lab.runs, name, recipe=Recipe(dataset="d", lora_r=8 if name == "a" else 64, system_prompt=system + tail)
        )
    other = write_run(lab.runs, "c", recipe=Recipe(dataset="d"))
    other.recipe.write_text("dataset: d\nlora_r: 8\nown: 1\n")
    reader = RunReader(lab)
    entries = {entry.run.id: entry for entry in reader.read().entries}
    two = diff([entries["a"], entries["b"]])
    items = {item["field"]: item["values"] for item in two.as_json()["items"]}
    assert items == {"lora_r": [8, 64], "system_prompt": [system + "Be brief.", system + "Be long."]}
    assert two.as_json()["same"] == len(Recipe.model_fields) - 2
    text = "\n".join(two.lines())
    assert "Be brief." in text and "Be long." in text and "You answer" not in text and "best loss" in text
    assert diff([entries["a"], entries["c"]]).fields["own"][1] == 1
    assert "(not set)" in "\n".join(diff([entries["c"], entries["a"]]).lines())
    with pytest.raises(UsageError, match="Two different runs"):
        diff([entries["a"], entries["a"]])


def test_the_variants_of_the_filter_are_those_of_recipes(lab: Lab) -> None:
    (field,) = (one for one in RunQuery.LANGUAGE.fields if one.name == "variant")
    assert set(field.values) == {*VARIANTS, "dpo", "kto"}
    figures = {entry.run.id: entry.figures["variant"] for entry in RunReader(lab).read().entries}
    assert {figures[name] for name in figures} == {"lora", "dora", "full", "lora+dpo"}
    assert figures["run11"] == "lora+dpo"
    assert label({"dataset": "d"}) == "lora"  # a recipe from before there were variants
    assert label({}) is None
