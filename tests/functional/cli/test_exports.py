"""Files that commands write: to a path, to standard output with ``-``; and the metrics of runs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import typer

from o1lab.cli.base.destination import DASH
from o1lab.cli.main import run
from o1lab.paths import Lab
from o1lab.train.runs.directory import RunDir
from store import annotations, datasets, open_store
from store.filters import TraceQuery
from tests.support import evaluate_lab, lab_seed
from tests.support.command_lines import commands
from tests.support.fake_runs import append, metric_line, write_run

Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """A lab with something of each kind that can be exported."""
    made = lab_seed.make_lab(tmp_path / "lab", 12)
    store = open_store(made.database)
    datasets.create(store.db, "right", TraceQuery.parse("verdict:correct"), phase=2)
    annotations.annotate(store.db, next(lab_seed.all_ids(store)), "note", "for the export", annotator="tester")
    for name, model in (("base-1", evaluate_lab.BASE), ("student-1", evaluate_lab.STUDENT)):
        evaluate_lab.put(store, evaluate_lab.evaluation(name, model), evaluate_lab.SAYS[model])
    store.close()
    for at, name in enumerate(("aa110000", "bb220000")):
        in_group = write_run(made.runs, name, steps=5, total=5, seed=at)
        in_group.group_file.write_text(json.dumps({"name": "sweep", "varies": {"seed": at}}), "utf-8")
    return made


EXPORTS: dict[str, list[str]] = {
    "annotations export": ["-"],
    "dataset export": ["right", "--out", "-"],
    "eval case": ["base-1", "student-1", "add:1", "--out", "-"],
    "eval language": ["--format", "md", "--out", "-"],
    "eval plot": ["--svg", "-"],
    "eval profile": ["--format", "csv", "--out", "-"],
    "eval rate": ["base-1", "--export", "-"],
    "eval table": ["--format", "latex", "--out", "-"],
    "methods": ["--format", "md", "--out", "-"],
    "runs export": ["aa110000"],
    "tti": ["--format", "md", "--out", "-"],
}
"""A command line for each verb whose help offers ``-``."""


def test_every_verb_that_offers_standard_output_is_tested() -> None:
    offers = {
        path
        for path, command in commands()
        for param in command.get_params(typer.Context(command))
        if DASH in (getattr(param, "help", None) or "")
    }
    assert offers == set(EXPORTS)


@pytest.mark.parametrize("verb", EXPORTS)
def test_standard_output_has_what_the_file_would_have(
    verb: str, lab: Lab, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    words = ["--lab", str(lab.root), *verb.split(), *EXPORTS[verb]]
    assert run(words) == 0
    out, err = capfdbinary.readouterr()
    assert out and err  # what is said of the file does not get into it
    assert run([*words, "--json"]) == 2
    capfdbinary.readouterr()
    suffix = {"eval case": ".md", "eval rate": ".csv", "eval plot": ".svg"}.get(verb, "")
    file = tmp_path / f"file{suffix}"
    to_file = [str(file) if word == "-" else word for word in words]
    assert run(to_file if "-" in words else [*words, str(file)]) == 0
    assert file.read_bytes() == out
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("-")]


def test_a_terminal_gets_visible_text_and_no_binary_file(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = open_store(lab.database)
    trace = next(lab_seed.all_ids(store))
    annotations.annotate(store.db, trace, "note", "red \x1b[31m alert", annotator="tester")
    store.close()
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert run(["--lab", str(lab.root), "dataset", "export", "right", "--out", "-"]) == 0
    assert "\x1b" not in capsys.readouterr().out
    assert run(["--lab", str(lab.root), "runs", "export", "aa11", "-", "--parquet"]) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and "terminal" in shown.err


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_the_metrics_of_a_run_are_a_table(lab: Lab, ask: Ask, tmp_path: Path) -> None:
    answer = ask("runs", "export", "aa11", str(tmp_path / "a.csv"))
    assert answer == {"path": str(tmp_path / "a.csv"), "format": "csv", "rows": 5, "runs": ["aa110000"]}
    found = rows((tmp_path / "a.csv").read_text())
    assert [row["step"] for row in found] == ["1", "2", "3", "4", "5"]
    recorded = [json.loads(line) for line in RunDir(lab.runs / "aa110000").metrics.read_text().splitlines()]
    assert [float(row["loss"]) for row in found] == [line["loss"] for line in recorded if "loss" in line]
    assert found[0]["num_tokens"] == "1280"
    assert [*found[0]][:3] == ["run", "step", "loss"]


def test_a_group_is_one_table_and_parquet_keeps_the_types(lab: Lab, ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "sweep.parquet"
    assert ask("runs", "export", "sweep", str(path))["format"] == "parquet"
    table = pq.read_table(path).to_pydict()
    assert table["run"] == ["aa110000"] * 5 + ["bb220000"] * 5
    assert table["step"] == [*range(1, 6), *range(1, 6)]
    assert isinstance(table["num_tokens"][0], int) and isinstance(table["loss"][0], float)


def test_steps_that_were_trained_again_are_in_it_once_and_gaps_are_empty(lab: Lab, ask: Ask, tmp_path: Path) -> None:
    metrics = RunDir(lab.runs / "aa110000").metrics
    append(metrics, [{"event": "resumed", "step": 3}, metric_line(4, 5, loss=9.0), {"step": 4, "eval_loss": 2.5}])
    ask("runs", "export", "aa11", str(tmp_path / "a.csv"), "--csv")
    found = rows((tmp_path / "a.csv").read_text())
    assert [(row["step"], row["eval_loss"]) for row in found] == [("1", ""), ("2", ""), ("3", ""), ("4", "2.5")]
    assert found[3]["loss"] == "9.0"


def test_what_cannot_be_exported_is_said(lab: Lab, ask: Ask, tmp_path: Path) -> None:
    assert ask("runs", "export", "zz", "x.csv", status=4)["error"]["code"] == "not_found"
    assert ask("runs", "export", "aa11", "x", "--csv", "--parquet", status=2)["error"]["code"] == "usage"
    (tmp_path / "file").touch()
    assert ask("runs", "export", "aa11", str(tmp_path / "file" / "x.csv"), status=3)["error"]["code"] == "lab"
