"""The verbs of the problem pool keep their contract: keys, exit statuses, nothing lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from o1lab.cli.main import run

TRAIN = "A train goes north at 60 miles per hour for 3 hours and then stops. How many miles from home is it now?"
ROWS: list[tuple[str, dict[str, Any]]] = [
    ("pool", {"problem": "What is $20 + 7$?", "answer": "27", "licence": "MIT"}),
    ("pool", {"problem": "In the figure, $AB = 3$. Find $BC$.", "answer": "4"}),
    ("pool", {"problem": "Prove that $n^2+n$ is even.", "solution": "One of two neighbours is even."}),
    ("pool", {"problem": "Find the vertex of $y=x^2$.", "answer": "(0,0)"}),
    ("pool", {"problem": "求方程 $x^2=4$ 的所有解。", "answer": "-2, 2"}),
    ("pool", {"problem": "下列哪个是偶数？\nA．1\nB．2\nC．3", "answer": "B"}),
    ("pool", {"problem": TRAIN.replace("goes", "travels"), "answer": "180"}),
    ("more", {"problem": TRAIN.replace("goes", "runs"), "answer": "180"}),
    ("more", {"problem": "What is  20 + 7 ?", "answer": "27"}),
    ("math500", {"problem": TRAIN, "answer": "180"}),
]
ITEM_KEYS = {"id", "statement", "answer", "source", "licence", "excluded_by"}


class Program:
    """The command line on one lab."""

    def __init__(self, lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.lab, self.capsys = lab, capsys

    def __call__(self, *arguments: str | Path) -> tuple[int, dict[str, Any]]:
        status = run(["--lab", str(self.lab), *map(str, arguments), "--json"])
        return status, json.loads(self.capsys.readouterr().out)

    def text(self, *arguments: str) -> tuple[int, str, str]:
        status = run(["--lab", str(self.lab), *arguments])
        told = self.capsys.readouterr()
        return status, told.out, told.err

    def states(self) -> dict[str, str | None]:
        """What excludes each problem, by the beginning of its statement."""
        items = self("problems", "ls")[1]["items"]
        return {item["statement"][:16]: item["excluded_by"] for item in items}

    def id_of(self, words: str) -> str:
        (item,) = self("problems", "ls", f'"{words}"')[1]["items"]
        return str(item["id"])


@pytest.fixture
def o1lab(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Program:
    run(["init", str(tmp_path / "lab"), "--json"])
    capsys.readouterr()
    return Program(tmp_path / "lab", capsys)


@pytest.fixture
def filled(o1lab: Program, tmp_path: Path) -> Program:
    for source in ("pool", "more", "math500"):
        path = tmp_path / f"{source}.jsonl"
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for name, row in ROWS if name == source]
        path.write_text("".join(lines), "utf-8")
        assert o1lab("import", path)[0] == 0
    return o1lab


def test_filter_says_what_it_kept_and_excludes(filled: Program) -> None:
    status, told = filled("problems", "filter")
    assert status == 0
    assert (told["total"], told["kept"], told["excluded"]) == (10, 1, 9)
    assert [(rule["name"], rule["version"], rule["excluded"]) for rule in told["rules"]] == [
        ("image", 1, 1), ("proof", 2, 1), ("no-answer", 2, 1), ("not-numerical", 3, 2), ("several-parts", 2, 1),
        ("multiple-choice", 1, 1), ("duplicate", 1, 3), ("contaminated", 1, 3),
    ]  # fmt: skip
    states = filled.states()
    assert states["What is $20 + 7$"] is None
    assert states["What is  20 + 7 "] == "duplicate"
    assert states["In the figure, $"] == "image"
    assert states["Prove that $n^2+"] == "no-answer,proof"
    assert states["Find the vertex "] == "not-numerical"
    assert states["求方程 $x^2=4$ 的所有解。"[:16]] == "several-parts"
    assert states["下列哪个是偶数？\nA．1\nB．2\nC．3"[:16]] == "multiple-choice,not-numerical"
    assert states["A train travels "] == "contaminated"
    assert states["A train runs nor"] == "contaminated,duplicate"
    assert states["A train goes nor"] == "contaminated,duplicate"


def test_a_dry_run_writes_nothing_and_says_the_same(filled: Program) -> None:
    status, dry = filled("problems", "filter", "--dry-run")
    assert (status, dry["dry_run"]) == (0, True)
    assert set(filled.states().values()) == {None}
    assert all(rule["last_run"] is None for rule in filled("problems", "rules")[1]["items"])
    wet = filled("problems", "filter")[1]
    assert wet | {"dry_run": True} == dry
    assert filled("problems", "filter")[1] == wet


def test_some_rules_on_some_problems(filled: Program) -> None:
    told = filled("problems", "filter", "--rules", "image, proof", "--where", "source:pool")[1]
    assert (told["total"], told["kept"], told["excluded"]) == (7, 5, 2)
    told = filled("problems", "filter", "--rules", "duplicate", "--where", "source:more")[1]
    assert (told["total"], told["rules"][0]["excluded"]) == (2, 2)
    # Another rule's findings on the same problems count, though it did not run now.
    told = filled("problems", "filter", "--rules", "no-answer", "--dry-run")[1]
    assert (told["excluded"], told["rules"][0]["excluded"]) == (4, 1)
    rules = {rule["name"]: rule for rule in filled("problems", "rules")[1]["items"]}
    assert (rules["image"]["last_run"]["looked"], rules["image"]["excluded"], rules["image"]["stale"]) == (7, 1, False)
    assert rules["not-numerical"]["last_run"] is None


def test_usage_errors(filled: Program) -> None:
    for arguments in (["--rules", "magic"], ["--rules", ""], ["--where", "colour:red"]):
        status, told = filled("problems", "filter", *arguments)
        assert status == 2
        assert told["error"]["hint"]
    assert filled("problems", "ls", "has:wings")[0] == 2
    assert set(filled.states().values()) == {None}


def test_show_names_the_reason_and_the_twin(filled: Program) -> None:
    filled("problems", "filter")
    status, told = filled("problems", "show", filled.id_of("runs north"))
    assert status == 0
    assert set(told) == ITEM_KEYS | {"solution", "sources", "rules", "rulings"}
    assert told["sources"] == [{"source": "more", "key": "1", "licence": "unknown", "meta": {}}]
    said = {one["rule"]: one for one in told["rules"]}
    assert set(said) == {"contaminated", "duplicate"}
    assert said["contaminated"]["twin"]["source"] == "math500"
    assert "math500 1" in said["contaminated"]["reason"]
    assert said["duplicate"]["twin"]["statement"].startswith("A train travels")
    status, text, _ = filled.text("problems", "show", filled.id_of("runs north"))
    assert status == 0
    assert "contaminated (version 1): shares" in text
    assert filled("problems", "show", "zzzz")[0] == 4


def test_by_hand(filled: Program) -> None:
    filled("problems", "filter")
    figure, sum_ = filled.id_of("In the figure"), filled.id_of("$20 + 7$")
    status, told = filled("problems", "keep", figure, "--note", "the text says it all")
    assert (status, told["total"]) == (0, 1)
    assert told["items"] == [{"id": figure, "ruling": "keep", "excluded_by": None}]
    assert filled("problems", "exclude", sum_[:9])[1]["items"][0]["excluded_by"] == "person"
    told = filled("problems", "filter")[1]
    assert (told["kept"], told["excluded"]) == (1, 9)
    shown = filled("problems", "show", figure)[1]
    assert shown["excluded_by"] is None
    assert [one["rule"] for one in shown["rules"]] == ["image"]
    assert [(one["ruling"], one["note"], one["annotator"]) for one in shown["rulings"]] == [
        ("keep", "the text says it all", "tester")
    ]
    assert filled("problems", "ls", "excluded:person")[1]["total"] == 1
    told = filled("problems", "leave", figure, sum_)[1]
    assert {item["id"]: item["excluded_by"] for item in told["items"]} == {figure: "image", sum_: None}
    assert filled("problems", "keep", figure, "zzzz")[0] == 4
    assert len(filled("problems", "show", figure)[1]["rulings"]) == 2


def test_ls(filled: Program) -> None:
    status, told = filled("problems", "ls", "--limit", "3")
    assert (status, told["total"], len(told["items"])) == (0, 10, 3)
    assert set(told["items"][0]) == ITEM_KEYS
    assert filled("problems", "ls", "--offset", "9")[1]["items"][0]["source"] == "math500"
    assert filled("problems", "ls", "方程")[1]["total"] == 1
    assert filled("problems", "ls", "--source", "more", "--text", "train")[1]["total"] == 1
    assert filled("problems", "ls", "--where", "-has:answer")[1]["items"][0]["statement"].startswith("Prove")


def test_an_empty_pool(o1lab: Program) -> None:
    status, told = o1lab("problems", "filter")
    assert (status, told["total"], told["kept"], told["excluded"]) == (0, 0, 0, 0)
    assert len(told["rules"]) == 8
    assert o1lab("problems", "ls")[1] == {"items": [], "total": 0}
    assert o1lab("problems", "rules")[1]["total"] == 8


def test_what_a_person_reads(filled: Program) -> None:
    status, out, err = filled.text("problems", "filter", "--rules", "image")
    assert (status, err) == (0, "")
    assert "10 problems: 9 kept, 1 excluded" in out
    assert "image" in filled.text("problems", "rules")[1]
    assert "excluded by image" in filled.text("problems", "show", filled.id_of("In the figure"))[1]
    for verb in ("ls", "show", "filter", "rules", "keep", "exclude", "leave"):
        assert "Example" in filled.text("problems", verb, "--help")[1]


def test_benchmarks_are_those_of_the_lab(filled: Program) -> None:
    config = filled.lab / "o1lab.toml"
    before = config.read_text("utf-8")
    config.write_text(before + '\nbenchmarks = ["absent"]\n', "utf-8")
    status, _, err = filled.text("problems", "filter", "--rules", "contaminated")
    assert status == 0
    assert "Import the benchmarks" in err
    assert set(filled.states().values()) == {None}
    config.write_text(before + '\nbenchmarks = ["more"]\n', "utf-8")
    filled("problems", "filter", "--rules", "contaminated")
    states = filled.states()
    assert states["A train runs nor"] == "contaminated"
    assert states["What is $20 + 7$"] == "contaminated"
    assert "is itself of the benchmark more" in filled.text("problems", "show", filled.id_of("runs north"))[1]
