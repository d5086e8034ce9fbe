"""Several annotators of one lab: whose decision counts, their agreement, assignments and adjudication."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from o1lab.cli.main import run
from store import annotations, open_store

Told = Callable[..., Any]
CHAINS = 12


class Team:
    """The command line of several persons on one lab."""

    def __init__(self, lab: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.lab, self._capsys, self._monkeypatch = lab, capsys, monkeypatch

    def __call__(self, who: str, *arguments: str | Path, status: int = 0) -> dict[str, Any]:
        self._monkeypatch.setenv("O1LAB_ANNOTATOR", who)
        assert run(["--lab", str(self.lab), *map(str, arguments), "--json"]) == status
        told: dict[str, Any] = json.loads(self._capsys.readouterr().out)
        return told

    def says(self, who: str, *arguments: str) -> str:
        self._monkeypatch.setenv("O1LAB_ANNOTATOR", who)
        assert run(["--lab", str(self.lab), *arguments]) == 0
        return self._capsys.readouterr().out

    def ids(self, who: str, *words: str) -> list[str]:
        return [item["id"] for item in self(who, "traces", "ls", *words)["items"]]

    def policy(self, name: str) -> None:
        (self.lab / "o1lab.toml").write_text(f'name = "team"\n[annotations]\npolicy = "{name}"\n', "utf-8")


@pytest.fixture
def team(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Team:
    lab = tmp_path / "lab"
    run(["init", str(lab), "--json"])
    rows = [
        {
            "problem": f"What is {number} + 7?",
            "response": f"<think>It is {number} + 7.</think>{number + 7}",
            "model": "m",
        }
        for number in range(CHAINS)
    ]
    chains = tmp_path / "chains.jsonl"
    chains.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    assert run(["--lab", str(lab), "import", str(chains), "--json"]) == 0
    capsys.readouterr()
    return Team(lab, capsys, monkeypatch)


def test_the_policy_of_o1lab_toml_decides_in_lists_and_datasets(team: Team) -> None:
    ids = team.ids("anna")
    for who, values in (("anna", "aar"), ("ben", "ara"), ("cara", "a")):
        for trace, value in zip(ids, values, strict=False):
            team(who, "annotate", trace, "--accept" if value == "a" else "--reject")
    assert team.ids("anna", "decision:accept") == ids[:1]
    assert [item["disputed"] for item in team("anna", "traces", "ls")["items"][:4]] == [False, True, True, False]
    assert team.ids("anna", "agreement:disputed") == ids[1:3]
    assert team.ids("anna", "agreement:differ") == []
    assert team("anna", "dataset", "create", "by-majority")["rows"] == 1
    team.policy("own")
    assert team.ids("anna", "decision:accept") == ids[:2]
    assert team.ids("ben", "decision:accept") == [ids[0], ids[2]]
    assert team.ids("dan", "decision:none") == ids
    assert team("ben", "dataset", "create", "bens")["rows"] == 2
    team.policy("adjudicated")
    assert team.ids("ben", "decision:accept") == ids[:1]
    assert team.ids("ben", "agreement:disputed") == ids[1:3]
    team("cara", "annotate", ids[1], "--adjudicate", "accept")
    assert team.ids("ben", "decision:accept") == ids[:2]
    assert team("ben", "dataset", "create", "adjudicated")["rows"] == 2
    shown = team("ben", "traces", "show", ids[1])
    assert (shown["decision"], shown["disputed"]) == ("accept", False)
    assert [(one["annotator"], one["decision"]) for one in shown["decisions"]] == [
        ("anna", "accept"),
        ("ben", "reject"),
    ]


def test_what_a_majority_settles_is_disputed_nowhere(team: Team) -> None:
    [trace, *_] = team.ids("anna")
    for who, choice in (("anna", "--accept"), ("ben", "--reject"), ("cara", "--accept")):
        team(who, "annotate", trace, choice)
    assert team("anna", "traces", "show", trace)["disputed"] is False
    assert team("anna", "annotations", "agreement")["disputed"] == []
    assert team.ids("anna", "agreement:disputed") == []
    assert team.ids("anna", "agreement:differ") == [trace]
    team.policy("adjudicated")
    assert team("anna", "traces", "show", trace)["disputed"] is True
    assert [one["trace_id"] for one in team("anna", "annotations", "agreement")["disputed"]] == [trace]
    assert team.ids("anna", "agreement:disputed") == [trace]


def test_an_unknown_policy_is_an_error_of_the_settings(team: Team) -> None:
    team.policy("loudest")
    told = team("anna", "traces", "ls", status=3)
    assert "loudest" in told["error"]["message"]
    assert "majority" in told["error"]["hint"]


def test_adjudicate_takes_a_decision(team: Team) -> None:
    [trace, *_] = team.ids("anna")
    assert team("anna", "annotate", trace, "--adjudicate", "perhaps", status=2)["error"]["hint"]
    team("anna", "annotate", trace, "--adjudicate", "reject")
    assert team.ids("ben", "agreement:adjudicated decision:reject") == [trace]
    team("anna", "annotate", trace, "--undo")
    assert team.ids("ben", "agreement:adjudicated") == []


def test_who_adjudicates_an_undisputed_trace_is_told(team: Team, capsys: pytest.CaptureFixture[str]) -> None:
    ids = team.ids("anna")
    for who, choice in (("anna", "--accept"), ("ben", "--reject")):
        team(who, "annotate", ids[0], choice)
    for trace, advice in ((ids[0], ""), (ids[1], "The adjudication is saved; the trace was not disputed.\n")):
        assert run(["--lab", str(team.lab), "annotate", trace, "--adjudicate", "accept"]) == 0
        assert capsys.readouterr().err == advice
    team.policy("own")
    assert run(["--lab", str(team.lab), "annotate", ids[2], "--adjudicate", "accept"]) == 0
    assert "it does not count: the policy is own" in capsys.readouterr().err


def test_few_traces_have_no_interval(team: Team) -> None:
    ids = team.ids("anna")
    for number, trace in enumerate(ids[:10], 1):
        for who, choice in (("anna", "--accept"), ("ben", "--accept" if number > 2 else "--reject")):
            team(who, "annotate", trace, choice)
        said = team.says("anna", "annotations", "agreement")
        if number == 2:
            assert "Cohen's kappa: 0.00, 2 traces: too few for an interval" in said
        assert ("too few" in said) is (number < 10), number
    assert "annotators" in said and "person" not in said


def test_agreement_is_that_of_the_literature(team: Team) -> None:
    """Ten units of two observers: Krippendorff (2011), Computing Krippendorff's Alpha-Reliability, section A."""
    ids = team.ids("anna")
    meg, owen = "0100000010", "1110010000"
    store = open_store(team.lab / "lab.db")
    for who, codes in (("meg", meg), ("owen", owen)):
        for trace, code in zip(ids, codes, strict=False):
            value = "accept" if code == "1" else "reject"
            annotations.annotate(store.db, trace, "decision", value, annotator=who)
    annotations.annotate(store.db, ids[10], "decision", "skip", annotator="meg")  # no judgement
    annotations.annotate(store.db, ids[10], "decision", "accept", annotator="owen")
    for who, rating in (("meg", "4"), ("owen", "2")):
        annotations.annotate(store.db, ids[0], "rating", rating, annotator=who)
    store.close()
    told = team("anna", "annotations", "agreement")
    assert told["alpha"]["value"] == pytest.approx(0.095, abs=0.0005)
    [pair] = told["pairs"]
    # By hand: they agree on 6 of 10; by chance, on 0.2 * 0.4 + 0.8 * 0.6 = 0.56 of them.
    assert pair["kappa"]["value"] == pytest.approx((0.6 - 0.56) / 0.44, abs=0.0001)
    assert (pair["annotators"], pair["traces"]) == (["meg", "owen"], 10)
    assert {tuple(cell["decisions"]): cell["traces"] for cell in pair["table"]} == {
        ("accept", "accept"): 1, ("accept", "reject"): 1, ("reject", "accept"): 3, ("reject", "reject"): 5,
    }  # fmt: skip
    assert told["annotators"][0] == {
        "annotator": "meg", "accept": 2, "reject": 8, "skip": 1, "rated": 1, "assigned": 0, "assigned_done": 0,
    }  # fmt: skip
    assert [one["trace_id"] for one in told["disputed"]] == [ids[at] for at in (0, 2, 5, 8)]
    assert (told["policy"], told["traces"], told["shared"]) == ("majority", 11, 11)
    text = team.says("anna", "annotations", "agreement")
    assert "meg and owen: the same on 6 of 10" in text
    assert "Cohen's kappa: 0.09" in text
    one = team("anna", "annotations", "agreement", f"id:{ids[1]}")
    assert (one["traces"], one["disputed"]) == (1, [])


def test_assigned_traces_are_a_queue_and_travel_with_annotations(team: Team, tmp_path: Path) -> None:
    told = team("lead", "annotations", "assign", "--to", "anna", "--to", "ben", "--overlap", "0.5", "--seed", "7")
    assert (told["traces"], told["shared"], told["left"]) == (12, 6, 0)
    assert [one["traces"] for one in told["annotators"]] == [9, 9]
    assert told["pairs"] == [{"annotators": ["anna", "ben"], "traces": 6}]
    mine = team.ids("anna", "assigned:me")
    assert len(mine) == 9
    assert set(team.ids("lead", "assigned:anna", "assigned:ben")) < set(mine)
    again = team("lead", "annotations", "assign", "--to", "cara", "--overlap", "0")
    assert (again["traces"], again["left"]) == (0, 12)
    team("anna", "annotate", mine[0], "--accept")
    assert team.ids("anna", "assigned:me", "mine:none") == mine[1:]
    [anna, *_] = team("lead", "annotations", "agreement")["annotators"]
    assert (anna["assigned"], anna["assigned_done"]) == (9, 1)
    out = tmp_path / "all.jsonl"
    team("lead", "annotations", "export", out)
    assert team("lead", "annotations", "assign", "--clear", "--to", "ben")["withdrawn"] == 9
    assert team.ids("ben", "assigned:me") == []
    other = tmp_path / "other"
    assert run(["init", str(other)]) == 0
    assert run(["--lab", str(other), "import", str(tmp_path / "chains.jsonl")]) == 0
    team.lab = other
    team.says("ben", "traces", "ls")
    assert team("ben", "annotations", "merge", out)["files"][0]["without_trace"] == []
    assert len(team.ids("ben", "assigned:me")) == 9


def test_the_same_seed_assigns_the_same(team: Team) -> None:
    options = ("--to", "anna", "--to", "ben", "--to", "cara", "--overlap", "0.5", "--seed", "3")
    team("lead", "annotations", "assign", *options)
    first = team.ids("anna", "assigned:me")
    team("lead", "annotations", "assign", "--clear")
    team("lead", "annotations", "assign", *options)
    assert team.ids("anna", "assigned:me") == first


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--to", "anna"],  # nobody to share with
        ["--to", "anna", "--to", "anna"],
        ["--to", "anna", "--to", "ben", "--overlap", "1.5"],
        ["--to", "anna", "--to", "ben", "--each", "3"],
    ],
)
def test_assignments_that_cannot_be(team: Team, options: list[str]) -> None:
    told = team("lead", "annotations", "assign", *options, status=2)
    assert told["error"]["hint"]
    assert team.ids("lead", "assigned:any") == []


def test_a_merge_tells_where_persons_differ(team: Team, tmp_path: Path) -> None:
    [trace, *_] = team.ids("anna")
    team("anna", "annotate", trace, "--accept")
    out = tmp_path / "mine.jsonl"
    team("anna", "annotations", "export", out)
    record = json.loads(out.read_text("utf-8")) | {"id": "b" * 16, "annotator": "ben", "value": "reject"}
    out.write_text(json.dumps(record) + "\n", "utf-8")
    assert team("anna", "annotations", "merge", out)["files"][0]["disputed"] == 1
    assert team.ids("anna", "agreement:disputed") == [trace]
    assert "disputed" in team.says("anna", "traces", "ls", f"id:{trace}")
