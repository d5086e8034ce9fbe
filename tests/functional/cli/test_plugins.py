"""Other packages add methods, scorers, rules, importers, engines and launchers, which the command line then uses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.plugins import lay_out, lay_out_example

SUITE = """\
name: cards
version: 1
title: Cards
family: general
items: {problems: "source:sums"}
scorer: {name: example-length, options: {longest: 30}}
sampling: {max_tokens: 256}
"""
CARDS = [{"front": "What is 2 + 2?", "back": "<think>Two and two.</think>\n\n4"}]
SUMS = [{"problem": f"What is {100 + i} + 107?", "answer": str(207 + i)} for i in range(2)]
SUMS.append({"problem": "WHAT IS 120 + 107?", "answer": "227"})
PROGRAM = """
import json, sys
from o1lab.cli.main import run
for words in json.loads(sys.argv[1]):
    print("STATUS", run([*words, "--json"]))
"""


def lines(path: Path, rows: list[dict[str, str]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return str(path)


def obey(site: Path, *commands: list[str]) -> tuple[list[tuple[int, dict[str, Any]]], str]:
    """Statuses and JSON of several commands in one process that finds plugins in ``site``, and its standard error."""
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(commands)],
        env=os.environ | {"PYTHONPATH": str(site)}, capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    told = ran.stdout.splitlines()
    pairs = zip(told[::2], told[1::2], strict=True)
    return [(int(status.removeprefix("STATUS ")), json.loads(data)) for data, status in pairs], ran.stderr


@pytest.fixture
def site(tmp_path: Path) -> Path:
    lay_out_example(tmp_path / "site")
    return tmp_path / "site"


def test_the_example_package_is_used_through_the_verbs(site: Path, tmp_path: Path) -> None:
    lab = str(tmp_path / "lab")
    suites = tmp_path / "lab" / "suites"
    suites.mkdir(parents=True)
    (suites / "cards.yaml").write_text(SUITE, "utf-8")
    o1lab = ["--lab", lab]
    answers, _ = obey(
        site,
        ["init", lab],
        [*o1lab, "import", lines(tmp_path / "cards.jsonl", CARDS)],
        [*o1lab, "import", lines(tmp_path / "sums.jsonl", SUMS)],
        [*o1lab, "problems", "filter", "--rules", "example-shout"],
        [*o1lab, "problems", "rules"],
        [*o1lab, "distill", "-e", "solver", "--method", "example-echo", "--engine", "example-relay",
         "--problems", "excluded:no source:sums"],
        [*o1lab, "traces", "ls"],
        [*o1lab, "eval", "cards", "-m", "solver"],
        [*o1lab, "doctor"],
    )  # fmt: skip
    statuses = [status for status, _ in answers[:-1]]
    assert statuses == [0] * 8, answers
    _, cards, _, filtered, rules, distilled, traces, evaluated, doctor = (data for _, data in answers)
    assert [one["format"] for one in cards["files"]] == ["example-cards"]
    assert filtered["rules"] == [{"name": "example-shout", "version": 1, "excluded": 1}]
    assert rules["items"][-1]["name"] == "example-shout"
    assert (distilled["done"], distilled["correct"]) == (2, 2)
    assert {one["model"] for one in traces["items"]} == {"a card", "solver"}
    assert (evaluated["scorer_version"], evaluated["correct"]) == ("example-length@3(longest=30)", 3)
    [plugins] = [check for check in doctor["checks"] if check["name"] == "plugins"]
    assert plugins["ok"]
    parts = (
        "scorer example-length", "method example-echo", "rule example-shout", "importer example-cards",
        "engine example-relay", "launcher example-shell",
    )  # fmt: skip
    assert plugins["detail"] == ", ".join(parts)


def test_a_broken_plugin_costs_itself_and_is_reported(site: Path, tmp_path: Path) -> None:
    lay_out(
        site, "o1lab-broken",
        {
            "o1lab.importers": {"nothing": "o1lab_not_there"},
            "o1lab.scorers": {"math": "o1lab_takes_math", "silent": "o1lab_silent"},
        },
        o1lab_takes_math="raise RuntimeError('never imported')",
        o1lab_silent="",
    )  # fmt: skip
    lab = str(tmp_path / "lab")
    answers, told = obey(
        site,
        ["init", lab],
        ["--lab", lab, "import", lines(tmp_path / "cards.jsonl", CARDS)],
        ["--lab", lab, "doctor"],
        ["--lab", lab, "distill", "-e", "solver", "--method", "example-ecko"],
    )
    (_, _), (imported, cards), (health, doctor), (status, unknown) = answers
    assert (imported, cards["files"][0]["format"]) == (0, "example-cards")
    assert "o1lab: The plugin o1lab-broken was left out: o1lab.importers 'nothing'" in told
    [plugins] = [check for check in doctor["checks"] if check["name"] == "plugins"]
    assert (health, plugins["ok"]) == (1, False)
    assert "o1lab_not_there cannot be imported: ModuleNotFoundError" in plugins["detail"]
    assert "'math': The name is taken by o1lab.evaluate.scorers.math" in plugins["detail"]
    assert "'silent': o1lab_silent registers no scorer of this name" in plugins["detail"]
    assert status == 2
    assert "example-echo" in unknown["error"]["message"] + unknown["error"]["hint"]
