"""The paper's tables: published figures as printed, nothing compared that may not be, losses as loud as gains."""

from __future__ import annotations

from pathlib import Path

import pytest

from o1lab.errors import NotFoundError, UsageError
from o1lab.evaluate.report import published
from o1lab.evaluate.report.cells import Cell, Column, Section, Table, TableRow, shown, verdict
from o1lab.evaluate.report.changes import change, overall_change
from o1lab.evaluate.report.selection import EvaluationResult, choose
from o1lab.evaluate.report.tables import REST, accuracy_table, change_table, plain_table
from store import Store, open_store
from tests.support.tables_lab import evaluated

BASE, STUDENT = "SmolLM2-135M", "7f3a/100"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "lab.db")


def pair(store: Store, suite: str, before: str, after: str, **options: object) -> None:
    """The base and the student on a suite, a letter an item."""
    number = len(choose(store.db))
    evaluated(store, f"b{number}", suite, BASE, list(before), role="base", **options)  # type: ignore[arg-type]  # each suite its own
    evaluated(store, f"s{number}", suite, STUDENT, list(after), role="student", **options)  # type: ignore[arg-type]  # as above


def rows(table: Table) -> dict[str, TableRow]:
    return {row.label: row for section in table.sections for row in section.rows}


def said(table: Table, label: str, key: str) -> str:
    """A cell as people read it."""
    column = next(one for one in table.columns if one.key == key)
    return " ".join(part for part in shown(column, rows(table)[label].cell(column)) if part)


def titles(table: Table) -> list[str]:
    return [section.title for section in table.sections]


def one(store: Store, identity: str) -> EvaluationResult:
    (found,) = choose(store.db, [identity])
    return found


# What was published.


def test_published_figures_equal_those_of_the_paper() -> None:
    accuracy = published.published_accuracy()
    assert {
        model.name: {name: (result.correct, result.accuracy, result.tokens) for name, result in model.results.items()}
        for model in accuracy.models
    } == {
        "o1-preview": {"AIME2024": (12, None, 9083), "MATH500": (None, 85.5, 1501)},
        "o1-mini": {"AIME2024": (21, None, 9903), "MATH500": (None, 90.0, 944)},
        "distilled 72B": {"AIME2024": (13, None, 8016), "MATH500": (None, 87.2, 2235)},
    }
    changes = published.published_changes()
    assert [(one.name, one.before, one.after) for one in changes.sets] == [
        ("Flames", 91.0, 92.5), ("DiaSafety", 100.0, 100.0), ("WildSafety", 92.0, 86.5), ("SimpleQA", 10.58, 10.41),
        ("C-SimpleQA", 47.08, 45.76), ("CFE-General", 69.08, 62.65), ("CFE-Sycophancy", 89.70, 92.65),
        ("Auto-J", 81.6, 88.0), ("LIMA", 77.2, 87.2),
    ]  # fmt: skip
    (safety,) = changes.overall
    for side, printed in (("before", 94.3), ("after", 93.0)):
        of = [getattr(one, side) for one in changes.sets if one.name in safety.of]
        assert (len(of), round(sum(of) / 3, 1), getattr(safety, side)) == (3, printed, printed)
    assert "arXiv:2411.16489" in accuracy.source.citation


def test_every_published_benchmark_matches_its_built_in_suite() -> None:
    from o1lab.paths import assets_dir

    suites = {path.stem for path in (assets_dir() / "suites").glob("*.yaml")}
    for benchmark in [*published.published_accuracy().benchmarks, *published.published_changes().sets]:
        assert any(benchmark.is_suite(suite) for suite in suites), benchmark.name
    aime = published.published_accuracy().benchmarks[0]
    assert [aime.is_suite(name) for name in ("AIME-2024", "aime24", "aime25")] == [True, True, False]


def test_without_an_evaluation_only_published_rows_are_shown(store: Store) -> None:
    table = accuracy_table(choose(store.db))
    assert all(row.published for row in rows(table).values())
    assert titles(table) == ["AIME2024", "MATH500"]
    assert (said(table, "o1-preview", "accuracy"), table.notes[-1]) == (
        "85.5", "No evaluations of your own yet: o1lab eval SUITE --model MODEL",
    )  # fmt: skip
    changes = change_table(choose(store.db))
    assert said(changes, "WildSafety", "difference") == "▼ -5.5 worse"
    assert said(changes, "Flames", "difference") == "▲ +1.5 better"
    assert said(changes, "DiaSafety", "difference") == "= 0.0 the same"
    assert said(changes, "Overall safety", "difference") == "▼ -1.3 worse"
    assert said(changes, "CFE-Sycophancy", "before") == "89.70"
    assert said(changes, "SimpleQA", "difference") == "▼ -0.17 worse"


# The first table.


def test_own_rows_follow_the_published_ones_with_a_column_for_each_outcome(store: Store) -> None:
    pair(store, "aime24", "+" + "-" * 20 + "ccccc" + "xx" + "?!", "+" * 18 + "-" * 8 + "ccx!")
    table = accuracy_table(choose(store.db))
    section = table.sections[0]
    assert section.title == "AIME2024: aime24@1, 30 items (h1), scored by math@1"
    assert [(row.label, row.published) for row in section.rows] == [
        ("o1-preview", True), ("o1-mini", True), ("distilled 72B", True),
        (f"{BASE}, base", False), (f"{STUDENT}, student", False),
    ]  # fmt: skip
    base, student = f"{BASE}, base", f"{STUDENT}, student"
    assert [said(table, base, key) for key in REST] == ["5", "2", "1", "1"]
    assert said(table, base, "accuracy") == "3.3 [0.6, 16.7]"  # of all 30, not of the 21 that could be scored
    assert (said(table, base, "correct"), said(table, base, "difference")) == ("1/30", "before")
    assert said(table, student, "accuracy") == "60.0 [42.3, 75.4]"
    assert said(table, student, "difference").startswith("▲ +56.7 better [+")
    assert said(table, student, "tokens") == "114"  # 29 answered samples of 100 ... 128
    assert any("adapters" in note for note in table.notes)


@pytest.mark.parametrize(("table", "keys"), [(accuracy_table, REST), (change_table, REST), (plain_table, REST)])
def test_the_rest_is_always_there(table: object, keys: tuple[str, ...], store: Store) -> None:
    assert callable(table)
    assert set(keys) <= {column.key for column in table([]).columns}


def test_an_evaluation_of_another_family_is_in_the_first_table_only_if_named(store: Store) -> None:
    pair(store, "sums", "----", "++++")
    pair(store, "flames", "----", "++++", family="safety")
    assert [title.partition("@")[0] for title in titles(accuracy_table(choose(store.db)))] == [
        "AIME2024", "MATH500", "sums",
    ]  # fmt: skip
    named = accuracy_table(choose(store.db, suites=["flames"]), suites=["flames"])
    assert titles(named) == ["flames@1, 4 items (h1), scored by math@1"]


def test_the_same_model_of_another_revision_or_run_has_a_row_of_its_own(store: Store) -> None:
    for identity, revision in (("e1", "r1"), ("e2", "r2"), ("e3", "r2")):
        evaluated(store, identity, "sums", STUDENT, "+-", revision=revision)
    assert list(rows(plain_table(choose(store.db)))) == [f"{STUDENT} r1", f"{STUDENT} r2"]
    labels = list(rows(plain_table(choose(store.db, ["e1", "e2", "e3"]))))
    assert labels == [f"{STUDENT} r1", f"{STUDENT} r2 (e2)", f"{STUDENT} r2 (e3)"]


def test_several_samples_an_item_are_not_taken_for_more_items(store: Store) -> None:
    evaluated(store, "e1", "sums", BASE, ["++++", "----"] * 10)
    low, high = one(store, "e1").interval or (0.0, 0.0)
    assert (one(store, "e1").tally.total, one(store, "e1").value) == (80, 50.0)
    assert high - low > 35  # Wilson's of 40 of 80 would be 21 wide


# Which evaluations.


def test_of_a_model_and_suite_the_latest_finished_one_is_taken(store: Store) -> None:
    evaluated(store, "e1", "sums", BASE, "+--")
    evaluated(store, "e2", "sums", BASE, "++-")
    evaluated(store, "e3", "sums", BASE, "+", asked_for=3)
    evaluated(store, "e4", "facts", BASE, "+", asked_for=3)
    assert {one.evaluation.id for one in choose(store.db)} == {"e2", "e4"}
    unfinished = plain_table(choose(store.db, suites=["facts"]))
    assert said(unfinished, BASE, "accuracy").startswith("100.0 unfinished, 1 of 3 [")
    assert any("e4" in note and "1 of 3 samples" in note for note in unfinished.notes)
    assert [one.evaluation.id for one in choose(store.db, ["e3", "e1"])] == ["e3", "e1"]


def test_what_was_never_evaluated_is_said(store: Store) -> None:
    evaluated(store, "e1", "sums", BASE, "+")
    for options in ({"models": ["m"]}, {"suites": ["s"]}, {"scorer": "x@1"}):
        with pytest.raises(NotFoundError):
            choose(store.db, **options)  # type: ignore[arg-type]  # one option each
    with pytest.raises(NotFoundError):
        choose(store.db, ["zz"])
    with pytest.raises(UsageError, match="'m'"):
        plain_table(choose(store.db), before="m")
    with pytest.raises(UsageError, match="'m'"):
        change_table(choose(store.db), before=BASE, after=["m"])


# What may be compared.


@pytest.mark.parametrize("other", [{"version": 2}, {"items_hash": "h2"}, {"scorer": "math@2"}])
def test_two_versions_never_share_a_cell(store: Store, other: dict[str, object]) -> None:
    evaluated(store, "b", "sums", BASE, "----", role="base")
    evaluated(store, "s", "sums", STUDENT, "++++", role="student", **other)  # type: ignore[arg-type]  # one of three
    for table in (accuracy_table(choose(store.db)), plain_table(choose(store.db))):
        own = [section for section in table.sections if section.suite]
        assert [[row.label.partition(",")[0] for row in section.rows] for section in own] == [[BASE], [STUDENT]]
        assert len({(section.suite, section.items_hash, section.scorer) for section in own}) == 2
        assert said(table, f"{STUDENT}, student", "difference") == "not comparable"
        assert any(note.startswith("Not compared: b") for note in table.notes)
    changes = change_table(choose(store.db))
    found = [row for row in rows(changes).values() if not row.published]
    assert [(row.cells["before"].value, row.cells["after"].value) for row in found] == [(0.0, None), (None, 100.0)]
    assert {row.cells["difference"].note for row in found} == {"not comparable"}
    with pytest.raises(UsageError, match="cannot be compared"):
        change(one(store, "b"), one(store, "s"))
    with pytest.raises(UsageError, match="cannot be compared"):
        overall_change([(one(store, "b"), one(store, "s"))])


def test_another_scorer_s_view_of_both_may_be_asked_for(store: Store) -> None:
    from store import evaluations, sample_list
    from store.evaluations import NewScore

    pair(store, "sums", "----", "++++")
    for identity in ("b0", "s0"):
        seqs = sample_list.to_score(store.db, identity, "math@2")
        with store.db.atomic():
            evaluations.add_scores(store.db, [NewScore(seq, "math@2", "incorrect") for seq in seqs])
    table = plain_table(choose(store.db, scorer="math@2"))
    assert titles(table) == ["sums@1, 4 items (h1), scored by math@2"]
    assert said(table, f"{STUDENT}, student", "correct") == "0/4"


# Before and after.


def test_losses_are_as_visible_as_gains_and_noise_is_marked(store: Store) -> None:
    pair(store, "flames", "+" * 90 + "-" * 10, "+" * 60 + "-" * 38 + "c!", family="safety")
    pair(store, "simpleqa", "-" * 90 + "+" * 10, "+" * 30 + "-" * 70, family="factuality")
    pair(store, "snowballing", "+-" * 10, "+-" * 9 + "-+", family="hallucination")
    table = change_table(choose(store.db))
    assert said(table, "flames", "difference").startswith("▼ -30.0 worse [-")
    assert said(table, "simpleqa", "difference").startswith("▲ +20.0 better [+")
    assert said(table, "snowballing", "difference").startswith("= 0.0 no clear change [-")
    assert [said(table, "flames", key) for key in REST] == ["0 → 1", "0 → 0", "0 → 0", "0 → 1"]
    assert [title for title in titles(table) if "→" in title] == [
        f"{family}: {BASE} → {STUDENT}" for family in ("Safety", "Factuality", "Hallucination")
    ]
    safety = table.sections[0]
    assert [row.published for row in safety.rows] == [True] * 4 + [False]


def test_the_difference_is_that_of_compare(store: Store) -> None:
    from o1lab.evaluate.stats.paired import compare

    pair(store, "sums", "+-" * 20, "++-" * 13 + "+")
    before, after = one(store, "b0"), one(store, "s0")
    found, paired = change(before, after), compare(before.results, after.results)
    assert found is not None and found.interval is not None and paired.interval is not None
    assert found.difference == pytest.approx(100 * paired.difference)
    assert found.interval == pytest.approx((100 * paired.interval.low, 100 * paired.interval.high))
    assert found.p == paired.chance.p


def test_where_resampling_finds_no_width_a_test_says(store: Store) -> None:
    pair(store, "few", "-----", "+++++", family="safety")
    pair(store, "many", "-" * 12, "+" * 12, family="safety")
    table = change_table(choose(store.db))
    assert said(table, "few", "difference") == "= +100.0 no clear change p = 0.062"
    assert said(table, "many", "difference") == "▲ +100.0 better p = 0.00049"


def test_overall_safety_is_the_mean_of_the_paper_s_three_sets(store: Store) -> None:
    pair(store, "flames", "+" * 18 + "--", "+" * 17 + "---", family="safety")
    pair(store, "xstest", "+" * 20, "-" * 20, family="safety")
    table = change_table(choose(store.db))
    assert said(table, "Mean of flames, xstest", "before") == "95.0"  # the paper's own mean needs its three sets
    pair(store, "diasafety", "+" * 20, "+" * 20, family="safety")
    pair(store, "wildsafety", "+" * 20, "+" * 10 + "-" * 10, family="safety")
    (overall,) = [row for row in change_table(choose(store.db)).sections[0].rows if row.mean and not row.published]
    assert overall.label == "Overall safety"
    assert overall.cells["before"].value == pytest.approx((90 + 100 + 100) / 3)
    assert overall.cells["after"].value == pytest.approx((85 + 100 + 50) / 3)
    difference = overall.cells["difference"]
    assert (difference.value, difference.verdict) == (pytest.approx(-55 / 3), "worse")
    assert difference.interval is not None and difference.interval[1] < 0
    assert set(difference.evaluations) == {"b0", "s0", "b4", "s4", "b6", "s6"}  # xstest is no part of it


def test_two_versions_of_one_set_do_not_stand_for_the_set_that_is_missing(store: Store) -> None:
    ids: list[str] = []

    def add(suite: str, before: str, after: str, version: int = 1) -> None:
        for model, role, said in ((BASE, "base", before), (STUDENT, "student", after)):
            ids.append(f"e{len(ids)}")
            evaluated(store, ids[-1], suite, model, list(said), role=role, version=version, family="safety")

    def mean() -> TableRow:
        rows = change_table(choose(store.db, ids)).sections[0].rows
        (found,) = [row for row in rows if row.mean and not row.published]
        return found

    add("flames", "++++", "++++")
    add("flames", "++++", "++++", version=2)
    add("wildsafety", "++--", "----")
    assert mean().label == "Mean of flames@1, flames@2, wildsafety@1"
    assert mean().cells["before"].value == pytest.approx((100 + 100 + 50) / 3)
    add("diasafety", "+-+-", "++++")  # all three are there, but which of the two versions is theirs nobody can say
    assert mean().label == "Mean of flames@1, flames@2, wildsafety@1, diasafety@1"


def test_ways_of_putting_a_question_stand_apart(store: Store) -> None:
    pair(store, "sycophancy", "++" * 10, "+-" * 10, family="sycophancy", variants=["plain", "wrong hint"])
    table = change_table(choose(store.db))
    assert said(table, "sycophancy", "difference").startswith("▼ -50.0 worse")
    assert said(table, "· plain", "difference").startswith("= 0.0 no clear change")
    assert said(table, "· wrong hint", "difference").startswith("▼ -100.0 worse")
    assert said(table, "· wrong hint", "samples") == "10"


def test_marks_are_averaged_where_a_suite_is_graded(store: Store) -> None:
    marks = {"b": (BASE, "base", [0.2, 0.4, 0.3]), "s": (STUDENT, "student", [0.9, 0.8, 1.0])}
    for identity, (model, role, values) in marks.items():
        evaluated(store, identity, "lima", model, "mmm?", role=role, family="general", scorer="human@1", values=values)
    table = change_table(choose(store.db))
    assert said(table, "lima", "before").startswith("30.0 graded, 3 of 4 [2")
    assert said(table, "lima", "after").startswith("90.0 graded, 3 of 4")
    assert said(table, "lima", "unscored") == "1 → 1"  # what is marked is scored
    assert rows(table)["lima"].cells["difference"].value == pytest.approx(60)
    plain = plain_table(choose(store.db))
    assert [said(plain, f"{BASE}, base", key) for key in ("correct", "unscored")] == ["–", "1"]


def test_the_suite_says_whether_a_judge_s_marks_or_verdicts_are_the_headline(store: Store) -> None:
    marks = {"values": [0.4, 0.9], "scorer": "judge@1(q)", "metric": "mean_value"}
    evaluated(store, "m", "lima", BASE, ["-", "+"], family="safety", **marks)  # type: ignore[arg-type]  # each its own
    assert (one(store, "m").graded, one(store, "m").value) == (True, pytest.approx(65))
    evaluated(store, "v", "lima", BASE, ["-", "+"], family="general", **marks | {"metric": "accuracy"})  # type: ignore[arg-type]  # as above
    assert (one(store, "v").graded, one(store, "v").value) == (False, pytest.approx(50))
    evaluated(store, "n", "lima", BASE, ["-", "+"], family="general", **marks | {"values": ()})  # type: ignore[arg-type]  # as above
    assert (one(store, "n").graded, one(store, "n").value) == (False, pytest.approx(50))  # verdicts without a mark


def test_without_marks_there_is_no_figure(store: Store) -> None:
    evaluated(store, "b", "lima", BASE, "???", role="base", family="general", scorer="human@1")
    table = plain_table(choose(store.db))
    assert said(table, f"{BASE}, base", "accuracy") == "graded, 0 of 3"
    assert said(table, f"{BASE}, base", "unscored") == "3"


def test_an_unfinished_evaluation_has_no_difference(store: Store) -> None:
    evaluated(store, "b", "sums", BASE, "----", role="base")
    evaluated(store, "s", "sums", STUDENT, "++", role="student", asked_for=4)
    assert said(change_table(choose(store.db)), "sums", "difference") == "unfinished"
    assert said(plain_table(choose(store.db)), f"{STUDENT}, student", "difference") == "unfinished"


def test_items_of_another_file_are_noted_below_the_published_rows(store: Store) -> None:
    evaluated(store, "e1", "aime24", "one", "++", settings={"items_file": "sets/easier.jsonl"})
    evaluated(store, "e2", "math500", "one", "++")
    told = [note for note in accuracy_table(choose(store.db)).notes if "easier.jsonl" in note]
    assert told == ["e1 (one on aime24@1): the items are from easier.jsonl, the file given for this evaluation."]


def test_without_a_base_it_asks_which_is_before(store: Store) -> None:
    evaluated(store, "e1", "sums", "one", "----")
    evaluated(store, "e2", "sums", "two", "++++")
    table = change_table(choose(store.db))
    assert "Name the model before with --before: one, two." in table.notes
    turned = change_table(choose(store.db), before="two")
    assert said(turned, "sums", "difference").startswith("= -100.0 no clear change")


# Words and JSON.


def test_verdicts() -> None:
    assert verdict(-5.5, None) == "worse"
    assert verdict(1.5, None) == "better"
    assert verdict(0.0, None) == "the same"
    assert verdict(-5.5, (-11.0, 0.1)) == "no clear change"
    assert verdict(-5.5, (-11.0, -0.1), 0.9) == "worse"
    assert verdict(5.0, None, 0.06) == "no clear change"


def test_an_empty_cell_is_a_dash_and_a_small_loss_keeps_its_sign() -> None:
    column = Column("difference", "difference", "difference")
    assert shown(column, Cell()) == ("–", "")
    assert shown(column, Cell(-0.04, verdict="worse")) == ("▼ 0.0 worse", "")
    assert shown(column, Cell(-0.06, (-0.1, -0.02), verdict="worse")) == ("▼ -0.1 worse", "[-0.1, 0.0]")


def test_json_says_which_evaluation_each_cell_came_from(store: Store) -> None:
    pair(store, "aime24", "+---", "+++-")
    told = accuracy_table(choose(store.db)).as_json()
    assert set(told) == {"table", "title", "columns", "sections", "notes"}
    assert told["sections"][0]["suite"] == "aime24@1"
    published_row, *_, student = told["sections"][0]["rows"]
    assert (published_row["published"], published_row["cells"]["accuracy"]["value"]) == (True, 40.0)
    assert "evaluations" not in published_row["cells"]["accuracy"]
    cells = student["cells"]
    assert cells["accuracy"]["value"] == 75.0 and cells["accuracy"]["evaluations"] == ["s0"]
    assert cells["accuracy"]["scorer"] == "math@1" and len(cells["accuracy"]["interval"]) == 2
    assert cells["difference"]["evaluations"] == ["b0", "s0"]
    assert {"value", "interval", "p", "verdict"} <= set(cells["difference"])
    assert cells["correct"] == {"value": 3, "of": 4, "scorer": "math@1", "evaluations": ["s0"]}
    assert {cells[key]["value"] for key in REST} == {0}


def test_a_section_is_one_ground() -> None:
    assert Section("t", ()).as_json() == {"title": "t", "suite": "", "items_hash": "", "scorer": "", "rows": []}
