"""The verbs of datasets: rejection sampling, mixing, drops, exports with cards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from o1lab.cli.main import run
from tests.functional.cli.test_curate import Program

THOUGHT = "Okay, let me add the two numbers. Wait, let me check that: it holds. So that is it."
ZH = "好的，我们把两个数加起来。等等，让我再检查一下：没有错。"


def chain(number: int, *, answer: int | None = None, thought: str = THOUGHT, model: str = "sky") -> dict[str, Any]:
    boxed = number + 1 if answer is None else answer
    return {
        "problem": f"What is the sum of {number} and 1?", "gold_answer": str(number + 1), "model": model,
        "raw": f"<think>\n{thought}\n</think>\n\nSo the sum is \\boxed{{{boxed}}}.", "licence": "MIT",
    }  # fmt: skip


CUT = chain(40) | {"raw": "<think>\nOkay, let me add"}
CHINESE = {
    "problem": "请问二十加一等于多少？请把这两个数加起来。", "gold_answer": "21", "model": "cheap",
    "raw": f"<think>\n{ZH}\n</think>\n\n所以答案是 \\boxed{{21}}。", "licence": "CC-BY-NC-4.0",
}  # fmt: skip


@pytest.fixture
def o1lab(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Program:
    """Two problems with two right chains and a wrong one each, a cut one, and a Chinese one."""
    run(["init", str(tmp_path / "lab"), "--json"])
    rows = []
    for number in (20, 30):
        longer = chain(number, thought=f"{THOUGHT} Short it is not.", model="long")
        rows += [longer, chain(number), chain(number, answer=5)]
    path = tmp_path / "chains.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in [*rows, CUT]) + "\n", "utf-8")
    (tmp_path / "zh.jsonl").write_text(json.dumps(CHINESE) + "\n", "utf-8")
    capsys.readouterr()
    program = Program(tmp_path / "lab", capsys)
    assert program("import", path)[0] == 0
    status, told = program("import", tmp_path / "zh.jsonl", "--source", "translation/zh")
    assert (status, told["verdicts"]) == (0, {"correct": 1})
    return program


def models(o1lab: Program, name: str) -> list[str]:
    ids = o1lab("dataset", "show", name)[1]["trace_ids"]
    return [str(o1lab("traces", "show", trace_id)[1]["model"]) for trace_id in ids]


def test_rejection_sampling_needs_no_decision_by_hand(o1lab: Program) -> None:
    status, made = o1lab("dataset", "create", "right", "--keep", "verified")
    assert (status, made["rows"], made["phase"]) == (0, 5, 2)
    assert made["dropped"] == {"wrong answer": 2, "truncated": 1}
    assert {"name", "hash", "rows", "tokens"} <= set(made)
    assert o1lab("dataset", "create", "all", "--keep", "all")[1]["dropped"] == {"truncated": 1}
    assert o1lab("dataset", "create", "loose", "--keep", "all", "--no-drop", "truncated")[1]["dropped"] == {
        "no solution": 1  # as its format is broken as well
    }


def test_one_chain_a_problem(o1lab: Program) -> None:
    status, made = o1lab("dataset", "create", "short", "--per-problem", "shortest", "--where", "-source:translation/zh")
    assert (status, made["rows"]) == (0, 2)
    assert made["dropped"] == {"not the shortest of its problem": 2, "wrong answer": 2, "truncated": 1}
    assert models(o1lab, "short") == ["sky", "sky"]
    assert o1lab("dataset", "create", "long", "--per-problem", "longest")[1]["rows"] == 3
    assert models(o1lab, "long") == ["long", "long", "cheap"]


def test_a_persons_choice_goes_before_the_verdict(o1lab: Program) -> None:
    wrong = o1lab("traces", "ls", "--verdict", "incorrect")[1]["items"][0]["id"]
    assert o1lab("dataset", "create", "mine", "--per-problem", "person")[0] == 2  # nothing is accepted yet
    o1lab("annotate", wrong, "--accept")
    status, made = o1lab("dataset", "create", "mine", "--per-problem", "person")
    assert (status, made["rows"]) == (0, 1)
    assert o1lab("dataset", "show", "mine")[1]["trace_ids"] == [wrong]
    assert made["dropped"]["nobody accepted a trace of its problem"] == 4
    assert made["dropped"]["a person accepted another one of its problem"] == 2


def test_drops_are_listed_with_their_reasons(o1lab: Program, capsys: pytest.CaptureFixture[str]) -> None:
    o1lab("dataset", "create", "right", "--keep", "verified")
    status, told = o1lab("dataset", "drops", "right")
    assert (status, told["total"], len(told["items"])) == (0, 3, 3)
    assert [item["reason"] for item in told["items"]] == ["truncated", "wrong answer", "wrong answer"]
    status, told = o1lab("dataset", "drops", "right", "--limit", "1", "--offset", "1")
    assert (told["total"], [item["reason"] for item in told["items"]]) == (3, ["wrong answer"])
    assert o1lab("dataset", "drops", "nothing")[0] == 4
    shown = o1lab("dataset", "show", "right")[1]
    assert shown["dropped"] == {"wrong answer": 2, "truncated": 1}
    assert (shown["selection"]["keep"], shown["selection"]["looked"]) == ("verified", 8)
    assert run(["--lab", str(o1lab.lab), "dataset", "show", "right"]) == 0
    assert "dropped 3: 2 wrong answer, 1 truncated" in capsys.readouterr().out


def test_a_dataset_is_shown_a_part_at_a_time(o1lab: Program, capsys: pytest.CaptureFixture[str]) -> None:
    o1lab("dataset", "create", "right", "--keep", "verified")
    ids = o1lab("dataset", "show", "right")[1]["trace_ids"]
    shown = o1lab("dataset", "show", "right", "--limit", "2", "--offset", "1")[1]
    assert (shown["rows"], shown["trace_ids"]) == (5, ids[1:3])
    assert run(["--lab", str(o1lab.lab), "dataset", "show", "right", "--limit", "2"]) == 0
    text = capsys.readouterr().out
    assert "and 3 more rows" in text
    assert [trace in text for trace in ids] == [True, True, False, False, False]


def test_a_phase_1_dataset_says_what_it_leaves_out(o1lab: Program) -> None:
    status, made = o1lab("dataset", "create", "format", "--phase", "1", "--decision", "any")
    assert (status, made["rows"], made["dropped"]) == (0, 7, {"no solution": 1})


def test_two_languages_are_mixed_into_one(o1lab: Program) -> None:
    o1lab("dataset", "create", "en", "--keep", "verified", "--where", "-source:translation/zh")
    o1lab("dataset", "create", "zh", "--keep", "verified", "--where", "source:translation/zh")
    status, made = o1lab("dataset", "create", "both", "--from", "en", "--from", "zh")
    assert (status, made["rows"], made["query"], made["dropped"]) == (0, 5, "en + zh", {})
    status, made = o1lab("dataset", "create", "even", "--from", "en", "--from", "zh", "--balance", "--seed", "1")
    assert (status, made["rows"], made["dropped"]) == (0, 2, {"more than 1 of its dataset": 3})
    card = str(o1lab("dataset", "card", "both")[1]["card"])
    front = yaml.safe_load(card.split("---\n")[1])
    assert sorted(front["language"]) == ["en", "zh"]
    assert sorted(front["license"]) == ["cc-by-nc-4.0", "mit"]
    assert "Licences clash: 1 rows are under CC-BY-NC-4.0" in card


@pytest.mark.parametrize(
    ("options", "status"),
    [
        (["--keep", "some"], 2),
        (["--per-problem", "best"], 2),
        (["--keep", "all", "--no-drop", "everything"], 2),
        (["--from", "nothing"], 4),
        (["--from", "right", "--where", "reflect>=1"], 2),
        (["--from", "right", "--keep", "all"], 2),
        (["--balance"], 2),
        (["--where", "reflective:maybe"], 2),
        (["--from", "right", "--from", "format"], 2),  # of different phases
    ],
)
def test_what_makes_no_sense_is_refused(o1lab: Program, options: list[str], status: int) -> None:
    o1lab("dataset", "create", "right", "--keep", "verified")
    o1lab("dataset", "create", "format", "--keep", "verified", "--phase", "1")
    found, told = o1lab("dataset", "create", "new", *options)
    assert (found, bool(told["error"]["message"]), bool(told["error"]["hint"])) == (status, True, True)
    assert o1lab("dataset", "ls")[1]["total"] == 2


def test_reflective_chains_are_chosen_by_their_moves(o1lab: Program, tmp_path: Path) -> None:
    thought = """So I need to add them.

That gives 60.

Hmm, wait. Is that right? A sum without its carries is too small.

No, that was a mistake. Let me start over and carry properly.

With carries it is 51.

Let me verify: 51 - 1 = 50. That matches."""
    path = tmp_path / "more.jsonl"
    path.write_text(json.dumps(chain(50, thought=thought, model="thinker")) + "\n", "utf-8")
    o1lab("import", path)
    assert o1lab("dataset", "create", "r", "--keep", "verified", "--where", "reflective:yes")[0] == 0
    assert models(o1lab, "r") == ["thinker"]


def test_an_export_has_its_card_beside_it(o1lab: Program, tmp_path: Path) -> None:
    made = o1lab("dataset", "create", "right", "--keep", "verified")[1]
    out = tmp_path / "right.jsonl"
    status, told = o1lab("dataset", "export", "right", "--format", "jsonl", "--out", out)
    assert (status, told) == (0, {"path": str(out), "format": "jsonl", "rows": 5, "hash": made["hash"], "changes": []})
    card = Path(f"{out}.card.md").read_text("utf-8")
    whole, _, changes = card.partition("\n## Changes\n")
    assert whole.strip() == o1lab("dataset", "card", made["hash"])[1]["card"].strip()
    assert changes.strip().endswith("Nothing.")
    assert made["hash"] in card
    assert "| wrong answer | 2 |" in card
    status, told = o1lab("dataset", "export", "right", "--format", "parquet", "--out", f"{tmp_path}/hub/")
    assert (status, told["path"]) == (0, str(tmp_path / "hub"))
    assert (tmp_path / "hub" / "data" / "train.parquet").is_file()
    front = yaml.safe_load((tmp_path / "hub" / "README.md").read_text("utf-8").split("---\n")[1])
    assert front["configs"][0]["data_files"] == [{"split": "train", "path": "data/train.parquet"}]


def test_plain_rows_can_be_imported_again(o1lab: Program, tmp_path: Path) -> None:
    o1lab("dataset", "create", "all", "--keep", "all")
    out = tmp_path / "all.jsonl"
    o1lab("dataset", "export", "all", "--format", "jsonl", "--out", out)
    status, told = o1lab("import", out)
    assert (status, told["files"][0]["rows"], told["files"][0]["rejected"]) == (0, 7, 0)


@pytest.mark.parametrize("verb", ["create", "ls", "show", "drops", "export", "card"])
def test_every_verb_helps_with_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["dataset", verb, "--help"]) == 0
    assert "Example" in capsys.readouterr().out


def test_nested_subsets_name_their_parent(o1lab: Program) -> None:
    o1lab("dataset", "create", "right", "--keep", "verified")
    status, made = o1lab("dataset", "subset", "right", "--sizes", "4, 2", "--seed", "3")
    assert (status, made["total"]) == (0, 2)
    assert [(one["name"], one["rows"], one["parent"]) for one in made["items"]] == [
        ("right-2", 2, "right"), ("right-4", 4, "right"),
    ]  # fmt: skip
    small, large = (set(o1lab("dataset", "show", one["name"])[1]["trace_ids"]) for one in made["items"])
    assert small < large
    assert [one["rows"] for one in o1lab("dataset", "subset", "right", "--name", "part")[1]["items"]] == [1, 2, 5]
    wrong = {"2,x": "'x' is not", "2,,x": "'' is not a whole number", "": "'' is not", "6": "1 to 5 rows, not 6"}
    for sizes, words in wrong.items():
        status, told = o1lab("dataset", "subset", "right", "--sizes", sizes)
        assert status == 2 and words in told["error"]["message"]


def test_pairs_of_right_and_wrong_chains_are_made_shown_and_exported(o1lab: Program, tmp_path: Path) -> None:
    status, made = o1lab("dataset", "pairs", "better", "--from", "chains", "--per-problem", "1")
    assert (status, made["kind"], made["rows"]) == (0, "pairs", 2)
    assert made["selection"]["pairs"] == {"chains": 2}
    assert made["dropped"]["more pairs than were asked for"] == 2
    shown = o1lab("dataset", "show", "better")[1]
    assert len(shown["trace_ids"]) == len(shown["rejected_ids"]) == 2
    assert {one["name"]: one["kind"] for one in o1lab("dataset", "ls")[1]["items"]} == {"better": "pairs"}
    status, told = o1lab("dataset", "export", "better", "--out", tmp_path / "out.jsonl")
    assert (status, told["format"], told["rows"]) == (0, "pairs", 2)
    row = json.loads((tmp_path / "out.jsonl").read_text("utf-8").splitlines()[0])
    assert row["chosen"][0]["content"] != row["rejected"][0]["content"]
    assert row["rejected"][0]["content"].endswith("\\boxed{5}.")
    assert o1lab("dataset", "pairs", "better", "--from", "chains", "--per-problem", "1")[1]["hash"] == made["hash"]


def test_pairs_and_single_answers_are_not_taken_for_each_other(o1lab: Program, tmp_path: Path) -> None:
    o1lab("dataset", "pairs", "better")
    o1lab("dataset", "create", "right", "--keep", "verified")
    out = ("--out", tmp_path / "out.jsonl")
    for words in (
        ("dataset", "create", "mixed", "--from", "right", "--from", "better"),
        ("dataset", "export", "better", "--format", "messages", *out),
        ("dataset", "export", "right", "--format", "pairs", *out),
        ("dataset", "subset", "better"),
        ("train", "--dataset", "better"),
    ):
        status, told = o1lab(*words)
        assert (status, told["error"]["code"]) == (5, "dataset_kind"), words
        assert "pairs of a better and a worse answer" in told["error"]["message"]
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--from", "dreams"], "Invalid value for '--from': 'dreams' is not one of"),
        (["--by", "taste"], "Invalid value for '--by': 'taste' is not one of"),
        (["--from", "votes", "--where", "verdict:correct"], "--where filters chains"),
        (["--from", "votes"], "There is no pair (votes: none in the lab)."),
    ],
)
def test_pairs_that_cannot_be_made(o1lab: Program, words: list[str], message: str) -> None:
    status, told = o1lab("dataset", "pairs", "better", *words)
    assert status == 2
    assert message in told["error"]["message"]


def test_what_pairs_were_made_of_is_said(o1lab: Program, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--lab", str(o1lab.lab), "dataset", "pairs", "better", "--balance-length"]) == 0
    told = capsys.readouterr().out
    assert "pairs: 0 from votes, 2 from chains; chains are judged by verdict" in told
    assert "the better answer is longer in 0 and shorter in 0 of 2 pairs" in told
