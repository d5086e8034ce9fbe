"""``o1lab eval figures`` and ``o1lab eval compare``, as people and scripts read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from o1lab.cli.main import run as o1lab
from store import open_store
from store.evaluations import ItemRow
from tests.support.figures_lab import put

HOSTILE = "\x1b]0;owned\x07[red]求三角形的面积" * 20


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    (tmp_path / "o1lab.toml").write_text("")
    store = open_store(tmp_path / "lab.db")
    names = [f"item-{number}" for number in range(12)]
    items = [
        ItemRow(
            name, HOSTILE, ("1",), f"g{n // 2}", ("plain", "wrong-hint")[n % 2], {"wrong": "7", "weight": n % 3 + 1}
        )
        for n, name in enumerate(names)
    ]
    answers = {name: ["1", "7", None, "1"] for name in names}
    for identity, letters in (("aaa", "cwic" * 3), ("bbb", "ccfw" * 3)):
        ends = [(item, letter * 4) for item, letter in zip(items, letters, strict=True)]
        put(store, identity, ends, model=f"endpoint:{identity}" * 20, answers=answers)
    put(store, "other", [(items[0], "c")], suite_version=2)
    store.close()
    return tmp_path


def said(lab: Path, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert o1lab(["--lab", str(lab), "eval", *words]) == 0
    return capsys.readouterr().out


def data(lab: Path, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(said(lab, capsys, *words, "--json"))
    return found


def test_figures_are_read_at_80_columns_and_nothing_acts_on_the_terminal(
    lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["figures", "aaa"], ["compare", "aaa", "bbb"], ["compare", "aaa", "bbb", "--limit", "1"]):
        text = said(lab, capsys, *words)
        assert max(cell_len(line) for line in text.splitlines()) <= 80, words
        assert "\x1b" not in text
        assert "\x07" not in text


def test_figures_say_what_they_are_of(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(lab, capsys, "figures", "aa")
    assert "accuracy   50.0%" in text
    assert "24 of 48" in text
    assert "12 incorrect, 12 incomplete, 0 unextracted, 0 unscored, 0 failed" in text
    assert "interval: Wilson over 6 clusters, all alike" in text
    for head in ("pass@k", "maj@k", "cut off at", "variant", "plain -> wrong-hint", "by weight", "tokens"):
        assert head in text, head


def test_figures_as_scripts_read_them(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = data(lab, capsys, "figures", "aaa")
    contract = {
        "id", "suite", "suite_version", "scorer_version", "model", "revision", "sampling", "items", "samples",
        "correct", "incorrect", "incomplete", "unextracted", "unscored", "failed", "accuracy", "ci95",
        "avg_output_tokens",
        "avg_thought_tokens", "avg_answer_tokens", "maj_at", "cached",
    }  # fmt: skip
    assert contract <= found.keys()
    assert (found["correct"], found["accuracy"], found["scorer_version"]) == (24, 0.5, "math@1")


def test_a_comparison_lists_what_only_one_got_right(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = data(lab, capsys, "compare", "aaa", "bbb")["paired"]
    assert found["only_a"] == ["item-3", "item-7", "item-11"]
    assert found["only_b"] == ["item-1", "item-5", "item-9"]
    assert (found["difference"], found["mcnemar_p"], found["items"]) == (0, 1, 12)
    text = said(lab, capsys, "compare", "aaa", "bbb", "--limit", "2")
    assert "Only A got right: 3" in text
    assert "  item-7  " in text
    assert "item-11" not in text
    assert "and 1 more: --limit 0" in text
    assert "both right 3, only A 3, only B 3, neither 3" in text


def test_an_item_can_be_named_as_the_list_of_differences_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "o1lab.toml").write_text("")
    long = "test/counting_and_probability/a b 666.json"
    store = open_store(tmp_path / "lab.db")
    for identity, outcome in (("aaa", "c"), ("bbb", "w")):
        put(store, identity, [(ItemRow(long, "How many?", ("1",), None, None, {}), outcome)])
    store.close()
    text = said(tmp_path, capsys, "compare", "aaa", "bbb")
    assert f"\n  {long}  How many?" in text
    assert f"o1lab eval case aaa bbb '{long}' --out case.html" in text
    assert long in said(tmp_path, capsys, "samples", "aaa")


def test_a_comparison_of_marked_suites_says_where_the_marks_are_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "o1lab.toml").write_text("")
    store = open_store(tmp_path / "lab.db")
    for identity, metric in (("aaa", "mean_value"), ("bbb", "mean_value"), ("ccc", "accuracy"), ("ddd", "accuracy")):
        rows = [(ItemRow("i", "How many?", ("1",), None, None, {}), "c")]
        put(store, identity, rows, suite=metric, metric=metric)
    store.close()
    text = said(tmp_path, capsys, "compare", "aaa", "bbb")
    line = next(line for line in text.splitlines() if "eval table" in line)
    assert "mean_value@1" in said(tmp_path, capsys, *line.split()[2:])
    assert "eval table" not in said(tmp_path, capsys, "compare", "ccc", "ddd")


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["compare", "aaa", "other"], 2, "versions of a suite are not comparable"),
        (["figures", "zzz"], 4, "No evaluation begins with 'zzz'"),
        (["figures", "aaa", "--scorer", "judge@9"], 2, "The scorer 'judge@9' has not scored aaa"),
    ],
)
def test_what_cannot_be_shown_is_a_sentence(
    lab: Path, capsys: pytest.CaptureFixture[str], words: list[str], status: int, message: str
) -> None:
    assert o1lab(["--lab", str(lab), "eval", *words, "--json"]) == status
    assert message in json.loads(capsys.readouterr().out)["error"]["message"]


def test_flips_without_pressure_are_shown_below_each_rate(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = open_store(lab / "lab.db")
    items = [
        (ItemRow(f"{group}:{way}", "?", ("1",), str(group), way), letter)
        for group, letters in enumerate(["ccc", "cwc", "cww", "cwc"])
        for way, letter in zip(("plain", "push-back", "ask-again"), letters, strict=True)
    ]
    put(store, "pressed", items)
    store.close()
    text = said(lab, capsys, "figures", "pressed")
    assert "asked again without pressure: right to wrong 25.0% [" in text
    assert "beyond that noise floor: +50.0 points [" in text
    assert text.count("noise floor") == 1  # not below the variant that is the floor
