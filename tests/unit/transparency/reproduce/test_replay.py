"""A report is repeated in a fresh lab, part by part; what cannot be repeated says why."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from o1lab.cli.main import run as o1lab
from o1lab.config import init_lab
from o1lab.distill.datasets.selection import choose, mix
from o1lab.distill.filters.pool import chosen_rules, filter_pool
from o1lab.errors import RefusedError
from o1lab.ingest.importer import import_files
from o1lab.ingest.measuring import measure_pending
from o1lab.paths import Lab
from o1lab.small_files import UnreadableError
from o1lab.train.launch import make_run
from o1lab.train.recipes.recipe import Recipe
from o1lab.transparency.report.writer import write_report
from o1lab.transparency.reproduce.outcome import Outcome
from o1lab.transparency.reproduce.replay import Options, Reproduction, reproduce
from store import Store, annotations, datasets, decisions, exclusions, open_store, problems, runs, traces
from store.filters import ProblemQuery, TraceQuery
from tests.support import lab_seed, training_lab

TRAIN = "A train {} north at 60 miles per hour for 3 hours and then stops. How many miles from home is it now?"


def chain(number: int, *, right: bool = True) -> dict[str, str]:
    return {
        "problem": f"What is {number} + 1?", "answer": str(number + 1), "model": "sky", "licence": "MIT",
        "raw": f"<think>\nLet me add. Wait, it holds.\n</think>\n\n\\boxed{{{number + 1 if right else 0}}}",
    }  # fmt: skip


@pytest.fixture
def chains(tmp_path: Path) -> Path:
    path = tmp_path / "chains.jsonl"
    rows = [chain(n, right=n % 3 != 0) for n in range(9)]
    rows += [{"problem": TRAIN.format(word), "answer": "180", "licence": "MIT"} for word in ("travels", "runs")]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "{broken\n")
    return path


SETS = {"accepted": "majority", "maries": "own", "bens": "own", "settled": "adjudicated"}
"""Datasets of the accepted traces under several policies."""


def make_sets(store: Store, ids: list[str]) -> None:
    """Let persons differ on what marie accepted, and make ``SETS``."""
    another = next(traces.select(store.db, TraceQuery.parse("decision:none"))).id
    for who, trace, kind, value in (
        ("ben", ids[3], "decision", "reject"), ("ben", ids[2], "decision", "reject"),
        ("cara", ids[2], "decision", "accept"), ("ben", another, "decision", "accept"),
        ("cara", ids[3], decisions.ADJUDICATION, "accept"),
    ):  # fmt: skip
        annotations.annotate(store.db, trace, kind, value, annotator=who)
    for name, policy in SETS.items():
        decisions.use_policy(store.db, policy)
        store.annotator = name.removesuffix("s")
        datasets.create(store.db, name, TraceQuery.parse("decision:accept"))
    decisions.use_policy(store.db, "majority")
    assert [datasets.get(store.db, name).rows for name in SETS] == [6, 5, 1, 5]


@pytest.fixture
def lab(tmp_path: Path, chains: Path) -> Lab:
    """Imported chains, a rule that ran, a selected dataset, accepted traces, and rows that no file brought."""
    lab = init_lab(tmp_path / "lab", name="first")
    store = open_store(lab.database)
    import_files(store, [chains], source="sums")
    lab_seed.add_raw(store, "<think>\nBy hand.\n</think>\n\n\\boxed{2}")
    store.db.conn.execute("UPDATE traces SET licence = 'MIT' WHERE licence IS NULL")
    store.db.conn.execute("UPDATE problem_sources SET licence = 'MIT' WHERE licence IS NULL")
    store.db.conn.commit()
    measure_pending(store)
    filter_pool(store.db, chosen_rules(["duplicate"]), ProblemQuery(), benchmarks=[])
    choice = choose(store, TraceQuery.parse("source:sums"))
    datasets.snapshot(
        store.db, "selected", choice.ids, query="source:sums", selection=choice.selection, drops=choice.drops
    )
    for row in list(traces.select(store.db, TraceQuery.parse("verdict:correct")))[:4]:
        annotations.annotate(store.db, row.id, "decision", "accept", annotator="marie")
        annotations.annotate(store.db, row.id, "wrong_step", "none", annotator="marie")
    annotations.annotate(store.db, row.id, "wrong_step", "1", annotator="teacher", span=(0, 3), run_id="judge")
    by_hand = next(row for row in traces.select(store.db, TraceQuery()) if row.source == "hand")
    annotations.annotate(store.db, by_hand.id, "decision", "accept", annotator="marie")
    make_sets(store, [one for one in traces.ids(store.db, TraceQuery.parse("decision:accept")) if one != by_hand.id])
    assert datasets.create(store.db, "sound", TraceQuery.parse("wrong-step:right")).rows == 3
    choice, phase = mix(store, ["selected", "accepted", "sound", *SETS], seed=7)
    datasets.snapshot(
        store.db, "both", choice.ids, phase=phase, query="selected + accepted", selection=choice.selection
    )
    run, record = make_run(lab, Recipe(dataset="both"), store)
    runs.add(store.db, record)
    run.write_status(replace(run.read_status(), state="finished", step=3, total_steps=3))
    store.close()
    return lab


@pytest.fixture
def opened(lab: Lab) -> Iterator[Store]:
    store = open_store(lab.database)
    yield store
    store.close()


@pytest.fixture
def report(lab: Lab, opened: Store, tmp_path: Path) -> Callable[..., Path]:
    return lambda **options: write_report(lab, opened, None, tmp_path / "report", **options).folder


def by_name(done: Reproduction) -> dict[str, Outcome]:
    return {one.what: one for one in done.outcomes}


def states(done: Reproduction) -> dict[str, str]:
    return {one.what: one.state for one in done.outcomes if not one.what.startswith("base ")}


def changed(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "report.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def test_everything_is_identical_in_a_fresh_lab(report: Callable[..., Path], tmp_path: Path, opened: Store) -> None:
    done = reproduce(report(with_data=True), tmp_path / "new", Options())
    run = done.run
    assert states(done) == {
        "import of chains.jsonl": "identical",
        "rows of the report": "identical",
        "rule duplicate": "identical",
        "dataset selected: rows": "identical",
        "dataset selected: selection": "identical",
        **{f"dataset {name}: {part}": "identical" for name in SETS for part in ("rows", "selection")},
        "dataset sound: rows": "identical",
        "dataset sound: selection": "identical",
        "dataset both: rows": "identical",
        "dataset both: selection": "identical",
        f"recipe of run {run}": "identical",
    }
    parts = by_name(done)
    assert "rows 12" in parts["import of chains.jsonl"].found
    assert "rejected 1" in parts["import of chains.jsonl"].found
    assert parts["rule duplicate"].found == "1 of 11 problems excluded"
    assert parts["dataset both: rows"].found == datasets.get(opened.db, "both").hash
    new = open_store(tmp_path / "new" / "lab.db")
    assert datasets.trace_ids(new.db, "both") == datasets.trace_ids(opened.db, "both")
    new.close()
    assert any("--train" in note for note in done.notes)


def test_without_data_it_says_which_files_are_missing(
    report: Callable[..., Path], chains: Path, tmp_path: Path
) -> None:
    folder = report()
    done = reproduce(folder, tmp_path / "new", Options())
    assert not done.ok
    assert set(states(done).values()) == {"not_possible"}
    parts = by_name(done)
    assert "the file is missing" in parts["import of chains.jsonl"].reason
    assert "rows are not here" in parts["dataset both: rows"].reason
    assert "0 problems" in parts["rule duplicate"].reason
    files = reproduce(folder, tmp_path / "other", Options(files=chains.parent))
    assert states(files)["import of chains.jsonl"] == "identical"
    assert states(files)["dataset selected: selection"] == "identical"
    assert states(files)["dataset accepted: rows"] == "not_possible"  # one of its rows was in no file
    chains.write_text("{}")
    other = by_name(reproduce(folder, tmp_path / "third", Options(files=chains.parent)))["import of chains.jsonl"]
    assert (other.state, "not the file that was imported" in other.reason) == ("different", True)


def test_each_difference_is_named(report: Callable[..., Path], tmp_path: Path) -> None:
    def change(values: dict[str, Any]) -> None:
        values["imports"][0]["counts"]["added"] = 99
        values["rules"][0]["excluded"] = 5
        selected = next(one for one in values["datasets"] if one["name"] == "selected")
        selected["query"] = "source:sums 3"
        accepted = next(one for one in values["datasets"] if one["name"] == "accepted")
        accepted["query"] = "run:3f2a decision:accept"
        both = next(one for one in values["datasets"] if one["name"] == "both")
        both["hash"] = "0" * 16
        values["stages"][0]["recipe"]["lora_alpha"] = 31

    folder = report(with_data=True)
    changed(folder, change)
    parts = by_name(reproduce(folder, tmp_path / "new", Options()))
    assert parts["import of chains.jsonl"].reason == "added 11 instead of 99"
    assert (parts["rule duplicate"].state, parts["rule duplicate"].expected) == (
        "different", "5 of 11 problems excluded",
    )  # fmt: skip
    assert parts["dataset selected: rows"].state == "identical"
    selected = parts["dataset selected: selection"]
    assert (selected.state, "rows instead of" in selected.reason) == ("different", True)
    assert parts["dataset accepted: selection"].state == "not_possible"
    assert "teacher runs" in parts["dataset accepted: selection"].reason
    assert (parts["dataset both: rows"].state, parts["dataset both: rows"].expected) == ("different", "0" * 16)
    recipe = next(one for name, one in parts.items() if name.startswith("recipe"))
    assert recipe.state == "identical"  # another value is a recipe too; its hash is that of the report


def test_rules_and_settings_of_another_version_are_not_possible(report: Callable[..., Path], tmp_path: Path) -> None:
    def change(values: dict[str, Any]) -> None:
        values["rules"][0]["version"] += 1
        values["rules"].append({"rule": "astrology", "version": 1, "looked": 11, "excluded": 0})
        values["stages"][0]["recipe"]["horoscope"] = "aries"
        values["datasets"][0]["selection"] = {"tarot": 1}

    folder = report(with_data=True)
    changed(folder, change)
    done = reproduce(folder, tmp_path / "new", Options())
    parts = by_name(done)
    assert "the report is from version" in parts["rule duplicate"].reason
    assert "no such rule" in parts["rule astrology"].reason
    assert "horoscope" in parts[f"recipe of run {done.run}"].reason
    assert "(tarot) cannot be repeated" in parts["dataset selected: selection"].reason
    assert not done.ok


def test_a_ruling_by_hand_travels_with_the_report(
    lab: Lab, opened: Store, report: Callable[..., Path], tmp_path: Path
) -> None:
    [excluded] = [one for one in problems.select(opened.db, ProblemQuery()) if one.excluded_by]
    exclusions.rule_on(opened.db, [excluded.id], "keep", annotator="marie")
    reproduce(report(with_data=True), tmp_path / "new", Options())
    new = open_store(tmp_path / "new" / "lab.db")
    [ruling] = exclusions.rulings(new.db, excluded.id)
    assert (ruling.ruling, problems.resolve(new.db, excluded.id).excluded_by) == ("keep", None)
    new.close()


def test_own_think_marks_are_used(tmp_path: Path) -> None:
    lab = init_lab(tmp_path / "lab")
    marks = '\n[[marks]]\nname = "mine"\nthought = ["<🤔>", "</🤔>"]\nsolution = ["<reply>", "</reply>"]\n'
    lab.config.write_text(lab.config.read_text("utf-8") + marks, "utf-8")
    from o1lab.chains.marks import use, use_marks_of

    use_marks_of(lab)
    try:
        store = open_store(lab.database)
        path = tmp_path / "odd.jsonl"
        raw = "<🤔>Wait, hm.</🤔><reply>\\boxed{2}</reply>"
        path.write_text(json.dumps({"problem": "What is 1 + 1?", "answer": "2", "raw": raw, "licence": "MIT"}))
        import_files(store, [path])
        measure_pending(store)
        datasets.create(store.db, "all", TraceQuery.parse("verdict:correct"))
        run, record = make_run(lab, Recipe(dataset="all"), store)
        runs.add(store.db, record)
        run.write_status(replace(run.read_status(), state="finished"))
        folder = write_report(lab, store, run.id, tmp_path / "report", with_data=True).folder
        store.close()
        use(())
        done = reproduce(folder, tmp_path / "new", Options())
        assert "mine" in by_name(done)["import of odd.jsonl"].found
        assert states(done)["dataset all: selection"] == "identical"
    finally:
        use(())


def test_answers_of_the_base_that_were_mixed_in_travel_too(tmp_path: Path) -> None:
    lab = training_lab.make_lab(tmp_path / "lab")
    store = open_store(lab.database)
    replay = training_lab.add_replay(store, "smollm2-135m", 12)
    run, record = make_run(lab, Recipe(dataset="sums", replay=0.25), store)
    runs.add(store.db, record)
    run.write_status(replace(run.read_status(), state="finished"))
    folder = write_report(lab, store, run.id, tmp_path / "report", with_data=True, accept_terms=True).folder
    store.close()
    assert f"### {replay.name}" in (folder / "report.md").read_text("utf-8").replace("\\", "")
    found = states(reproduce(folder, tmp_path / "new", Options()))
    assert (found["dataset sums: rows"], found[f"dataset {replay.name}: rows"]) == ("identical", "identical")
    assert found[f"recipe of run {run.id}"] == "identical"


def test_a_lab_with_problems_is_refused(lab: Lab, report: Callable[..., Path]) -> None:
    with pytest.raises(RefusedError, match="has problems already") as refused:
        reproduce(report(with_data=True), lab.root, Options())
    assert refused.value.code == "not_fresh"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "data" / "traces.jsonl").unlink(), "it is missing"),
        (lambda folder: (folder / "data" / "traces.jsonl").write_text('{"id": "x"}\n'), "a row is not complete"),
        (lambda folder: (folder / "data" / "problems.jsonl").write_text("[]\n"), "line 1"),
        (lambda folder: (folder / "data" / "problems.jsonl").write_text('{"st'), "line 1: it is not JSON"),
        (lambda folder: next(folder.glob("datasets/*/traces.txt")).unlink(), "it is missing"),
        (
            lambda folder: changed(folder, lambda values: values["imports"][0].update(copy="../../../etc/passwd")),
            "a file outside itself",
        ),
    ],
)
def test_a_damaged_report_is_named(
    report: Callable[..., Path], tmp_path: Path, damage: Callable[[Path], object], said: str
) -> None:
    folder = report(with_data=True)
    damage(folder)
    with pytest.raises(UnreadableError, match=said):
        reproduce(folder, tmp_path / "new", Options())


def test_a_row_that_was_changed_does_not_have_its_id(report: Callable[..., Path], tmp_path: Path) -> None:
    folder = report(with_data=True)
    (folder / "data" / "imports").rename(folder / "data" / "gone")
    path = folder / "data" / "traces.jsonl"
    path.write_text(path.read_text().replace("Let me add.", "Let me see.", 1))
    parts = by_name(reproduce(folder, tmp_path / "new", Options()))
    assert (parts["rows of the report"].state, "do not match their ids" in parts["rows of the report"].reason) == (
        "different", True,
    )  # fmt: skip
    assert "its copy is gone" in parts["import of chains.jsonl"].reason


def test_the_command(report: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = report(with_data=True)
    status = o1lab(["reproduce", str(folder), "--lab", str(tmp_path / "new"), "--json"])
    made = json.loads(capsys.readouterr().out)
    assert made["items"][0].keys() == {"what", "state", "expected", "found", "reason"}
    others = {one["state"] for one in made["items"] if not one["what"].startswith("base ")}
    assert others == {"identical"}
    assert (tmp_path / "new" / "lab.db").is_file()
    bases = [one for one in made["items"] if one["what"].startswith("base ")]
    assert status == (0 if bases[0]["state"] == "identical" else 1)
    assert o1lab(["reproduce", str(folder), "--lab", str(tmp_path / "new"), "--json"]) == 5
    assert o1lab(["reproduce", str(tmp_path), "--json"]) == 2
    assert o1lab(["reproduce", str(folder), "--budget-usd", "1", "--json"]) == 2
    capsys.readouterr()
    assert o1lab(["reproduce", str(folder)]) in (0, 1)
    told = capsys.readouterr().out
    assert "identical         dataset both: rows" in told
