"""Replay rows of a run: which are taken, what is refused, and what is recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from o1lab.errors import NotFoundError, RefusedError, UsageError
from o1lab.paths import Lab
from o1lab.train.launch import prepare, resolve_rows
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.recipes.recipe_file import dump, load
from o1lab.train.replay import replay_datasets
from o1lab.train.rows import TrainingRow, read_rows
from o1lab.train.runs.directory import RunDir
from screens.train.poller import Poller, View
from screens.train.text import facts
from store import Store, datasets, open_store
from tests.support.training_lab import add_replay, make_lab

BASE = "smollm2-135m"


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return make_lab(tmp_path / "lab")


@pytest.fixture
def store(lab: Lab) -> Iterator[Store]:
    opened = open_store(lab.database)
    yield opened
    opened.close()


def recipe(**values: Any) -> Recipe:
    return Recipe(**{"base": BASE, "dataset": "sums", **values})


def test_a_share_of_the_rows_are_answers_of_the_base(lab: Lab, store: Store, tmp_path: Path) -> None:
    made = add_replay(store, BASE, 12)
    resolved, rows = resolve_rows(lab, recipe(replay=0.25), store)
    replayed = [row for row in rows if row.replay]
    assert (len(rows), len(replayed)) == (32, 8)
    assert {row.replay for row in replayed} == {made.name}
    assert rows[:24] == resolve_rows(lab, recipe(), store)[1]
    assert (resolved.replay_dataset, resolved.replay_hash) == (made.name, made.hash)
    # With and without thought, as the base wrote them; the same sample for the same seed.
    assert {bool(row.thought) for row in replayed} == {True, False}
    assert resolve_rows(lab, recipe(replay=0.25), store)[1] == rows
    assert resolve_rows(lab, recipe(replay=0.25, seed=1), store)[1] != rows

    assert len([row for row in resolve_rows(lab, recipe(replay=0.001), store)[1] if row.replay]) == 1

    run = RunDir(tmp_path / "run")
    prepare(lab, run, resolved, rows)
    told = json.loads(run.dataset.read_text("utf-8"))
    assert (told["rows"], len(told["trace_ids"])) == (24, 24)
    assert told["replay"] == {
        "name": made.name, "hash": made.hash, "rows": 8, "trace_ids": [row.trace_id for row in replayed],
    }  # fmt: skip
    assert read_rows(run.data) == rows
    assert load(run.recipe) == resolved
    assert "replay_hash" in dump(resolved)


def test_phase_1_keeps_the_answers_of_the_base_whole(lab: Lab, store: Store) -> None:
    add_replay(store, BASE, 12)
    _, rows = resolve_rows(lab, recipe(replay=0.25, phase=1), store)
    assert {bool(row.thought) for row in rows if row.replay} == {True, False}
    assert not any(row.thought for row in rows if not row.replay)


def test_rows_of_the_dataset_are_not_taken_twice(lab: Lab, store: Store) -> None:
    made = add_replay(store, BASE, 12)
    mixed = datasets.trace_ids(store.db, "sums") + datasets.trace_ids(store.db, made.name)[:10]
    datasets.snapshot(store.db, "mixed", mixed)
    with pytest.raises(RefusedError, match=f"{made.name} has 2") as refused:
        resolve_rows(lab, recipe(dataset="mixed", replay=0.25), store)
    assert refused.value.code == "replay_rows"
    _, rows = resolve_rows(lab, recipe(dataset="mixed", replay=0.05), store)
    assert len({row.trace_id for row in rows}) == len(rows) == 36


def test_what_does_not_fit_is_refused_with_the_command_that_helps(lab: Lab, store: Store) -> None:
    with pytest.raises(NotFoundError, match="o1lab dataset replay --base smollm2-135m") as none:
        resolve_rows(lab, recipe(replay=0.3), store)
    assert none.value.code == "no_replay"
    other = add_replay(store, "other/base", 12)
    with pytest.raises(NotFoundError):  # answers of another base are not taken
        resolve_rows(lab, recipe(replay=0.3), store)
    with pytest.raises(RefusedError, match="those of other/base") as base:
        resolve_rows(lab, recipe(replay=0.3, replay_dataset=other.name), store)
    assert base.value.code == "replay_base"
    with pytest.raises(RefusedError, match="not a replay dataset") as kind:
        resolve_rows(lab, recipe(replay=0.3, replay_dataset="sums"), store)
    assert kind.value.code == "not_replay"
    mine = add_replay(store, BASE.upper(), 12)
    with pytest.raises(RefusedError, match=r"needs 24 replay rows.*has 12") as few:
        resolve_rows(lab, recipe(replay=0.5), store)
    assert few.value.code == "replay_rows"
    assert "Lower replay to 0.33" in few.value.hint
    with pytest.raises(UsageError, match="expects abc"):
        resolve_rows(lab, recipe(replay=0.3, replay_dataset=mine.name, replay_hash="abc"), store)
    plain, rows = resolve_rows(lab, recipe(replay_dataset=mine.name, replay_hash=mine.hash), store)
    assert (plain.replay_dataset, plain.replay_hash, len(rows)) == (None, "", 24)  # named, but not used
    assert [one.name for one in replay_datasets(store.db)] == [mine.name, other.name]


def test_a_system_message_of_the_rows_is_that_of_the_run_also_for_replay(lab: Lab, store: Store) -> None:
    add_replay(store, BASE, 12)
    resolved, rows = resolve_rows(lab, recipe(replay=0.25, system_prompt="Be brief."), store)
    asked = {row.asked(resolved)[0]["content"] for row in rows}
    assert asked == {"Be brief."}


def test_the_facts_of_a_run_name_its_replay(lab: Lab, store: Store) -> None:
    made = add_replay(store, BASE, 12)
    resolved, rows = resolve_rows(lab, recipe(replay=0.25), store)
    run = RunDir(lab.runs / "one")
    prepare(lab, run, resolved, rows)
    detail = Poller(lab, store).poll(None, (), View()).detail
    assert detail is not None
    assert f"8 rows of {made.name} ({made.hash})" in facts(detail).plain


@pytest.mark.skipif(find_spec("trl") is None, reason="the train extra is not installed")
def test_replay_rows_are_not_held_out_and_are_trained_whole(tiny_base: Path) -> None:
    pytest.importorskip("trl", reason="the train extra is not installed")
    from o1lab.train.trainer.tensors import IGNORED, as_dataset, load_tokenizer, split

    own = [TrainingRow(f"t{n}", f"Question {n}", "", f"Answer {n}") for n in range(4)]
    replayed = [TrainingRow(f"r{n}", f"Talk {n}", "Hm.", f"Well {n}", replay="talk") for n in range(9)]
    for seed in range(8):
        train, held_out = split([*own, *replayed], recipe(eval_rows=3, seed=seed))
        assert len(held_out) == 3
        assert not any(row.replay for row in held_out)
        assert [row for row in train if row.replay] == replayed
    with pytest.raises(RefusedError, match="Holding out 4 of 4 rows"):
        split([*own, *replayed], recipe(eval_rows=4))
    chosen = recipe(base=str(tiny_base), phase=1)
    tokenizer = load_tokenizer(tiny_base, chosen)
    texts = [
        tokenizer.decode([label for label in labels if label != IGNORED])
        for labels in as_dataset([own[0], replayed[0]], chosen, tokenizer)["labels"]
    ]
    assert "think" not in texts[0]
    assert "<think>" in texts[1] and "Hm." in texts[1] and "Well 0" in texts[1]
