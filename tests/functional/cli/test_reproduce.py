"""A report is trained and evaluated again on a tiny base, as a stranger would do it; no endpoint is asked unbidden."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomlkit
import yaml

from o1lab.cli.main import run as o1lab
from o1lab.config import init_lab
from o1lab.paths import Lab
from tests.support.eval_lab import SUITE, EvalServer, write_items
from tests.support.training_lab import make_lab

pytest.importorskip("trl", reason="the train extra is not installed")
pytestmark = [pytest.mark.slow]

QUICK = {
    "batch_size": 4, "max_length": 128, "dtype": "fp32", "device": "cpu", "save_steps": 0, "eval_steps": 0, "lora_r": 4,
    "lora_alpha": 8, "steps": 3,
}  # fmt: skip


@pytest.fixture
def server() -> Iterator[EvalServer]:
    with EvalServer() as server:
        yield server


def add_endpoint(lab: Lab, url: str) -> None:
    document = tomlkit.parse(lab.config.read_text("utf-8"))
    endpoints = tomlkit.aot()
    named = {"name": "teacher", "url": url, "model": "m", "role": "teacher", "input_usd": 1.0, "output_usd": 1.0}
    endpoints.append(tomlkit.item(named))
    document["endpoints"] = endpoints
    lab.config.write_text(tomlkit.dumps(document), "utf-8")


@pytest.fixture
def lab(tmp_path: Path, server: EvalServer, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("O1LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    lab = make_lab(tmp_path / "lab")
    add_endpoint(lab, server.url)
    lab.suites.mkdir()
    suite = SUITE | {"name": "own-sums", "items": {"problems": "source:sums"}, "sampling": {"max_tokens": 8}}
    (lab.suites / "own-sums.yaml").write_text(yaml.safe_dump(suite), "utf-8")
    write_items(lab, [(100 + n, 107 + n) for n in range(3)])  # the items of a suite that is a file
    (lab.suites / "filed.yaml").write_text(yaml.safe_dump(SUITE | {"name": "filed", "licence": "MIT"}), "utf-8")
    return lab


def ask(capsys: pytest.CaptureFixture[str], *arguments: object, status: int = 0) -> dict[str, Any]:
    capsys.readouterr()
    found = o1lab([*map(str, arguments), "--json"])
    output = capsys.readouterr()
    assert found == status, output.err + output.out
    answer: dict[str, Any] = json.loads(output.out)
    return answer


def test_training_and_evaluations_are_repeated(
    lab: Lab, tiny_base: Path, server: EvalServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "quick.yaml"
    recipe.write_text(yaml.safe_dump(QUICK | {"base": str(tiny_base), "dataset": "sums"}))
    of_lab = ("--lab", lab.root)
    run = ask(capsys, *of_lab, "train", "--recipe", recipe, "--wait")["run_id"]
    for model in (run, "teacher"):
        ask(capsys, *of_lab, "eval", "own-sums", "--model", model, "--limit", 3)
    ask(capsys, *of_lab, "eval", "filed", "--model", run, "--max-tokens", 8)
    folder = ask(capsys, *of_lab, "report", "--with-data", "--accept-terms", "--out", tmp_path / "report")["dir"]
    asked = len(server.requests)

    made = ask(capsys, "reproduce", folder, "--train", status=1)
    states = {one["what"]: one for one in made["items"]}
    assert states[f"base {tiny_base}"]["state"] == "identical"
    assert states[f"recipe of run {run}"]["state"] == "identical"
    training = states[f"training of run {run}"]
    assert training["state"] in ("identical", "equal"), training  # the same machine usually gives the same weights
    student = states[f"accuracy of {run}/3 on own-sums@1"]
    assert (student["state"], "[" in student["expected"]) == ("equal", True), student
    assert states[f"accuracy of {run}/3 on filed@1"]["state"] == "equal"
    teacher = states["accuracy of teacher on own-sums@1"]
    assert (teacher["state"], "--budget-usd" in teacher["reason"]) == ("not_possible", True)
    assert len(server.requests) == asked  # nobody said that it may cost something

    # With a budget, the endpoint of the new lab is asked.
    new = init_lab(tmp_path / "new", base=str(tiny_base))
    add_endpoint(new, server.url)
    made = ask(capsys, "reproduce", folder, "--train", "--lab", new.root, "--budget-usd", 1)
    assert made["ok"] is True
    assert len(server.requests) == asked + 3
    assert {one["what"]: one["state"] for one in made["items"]}["accuracy of teacher on own-sums@1"] == "equal"


def test_a_base_that_is_not_here_is_said(
    lab: Lab, tiny_base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "quick.yaml"
    recipe.write_text(yaml.safe_dump(QUICK | {"base": str(tiny_base), "dataset": "sums"}))
    run = ask(capsys, "--lab", lab.root, "train", "--recipe", recipe, "--wait")["run_id"]
    folder = Path(ask(capsys, "--lab", lab.root, "report", "--with-data", "--accept-terms")["dir"])
    manifest = json.loads((folder / "report.json").read_text())
    manifest["stages"][0]["recipe"]["base"] = str(tmp_path / "nowhere")
    (folder / "report.json").write_text(json.dumps(manifest))
    made = ask(capsys, "reproduce", folder, "--train", status=1)
    states = {one["what"]: one for one in made["items"]}
    assert "not on this machine" in states[f"base {tmp_path / 'nowhere'}"]["reason"]
    assert "not on this machine" in states[f"training of run {run}"]["reason"]
