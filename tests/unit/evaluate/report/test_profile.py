"""The behaviour profile: rates of teachers, base and students beside their scores, and what is said of the rest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from o1lab.chains.segmentation.moves import MoveKind, segment
from o1lab.errors import NotFoundError
from o1lab.evaluate.report.cells import Table, TableRow
from o1lab.evaluate.report.profile import profile_table
from o1lab.evaluate.report.selection import choose
from o1lab.evaluate.stats.metrics import wilson
from o1lab.ingest.measuring import measure_pending
from store import Store, datasets, evaluations, open_store, problems, traces
from store.evaluations import Evaluation, ItemRow, NewSample, NewScore, Turn
from store.filters import TraceQuery
from store.records import NewProblem, NewTrace
from tests.support.tables_lab import evaluated

SUM = "12 + 30 = 42.\n\n"
LOOK = "Wait, is that right?\n\n"
BOXED = r"\boxed{42}"
VARIANTS = ("plain", "wrong-hint", "ask-again")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "lab.db")


def put(
    store: Store,
    model: str,
    looks: Sequence[int],
    right: str,
    *,
    suite: str = "sums",
    role: str = "student",
    variants: Sequence[str] = (),
    thinks: bool = True,
    thought_tokens: int | None = 50,
) -> None:
    """An evaluation: sample i looks back ``looks[i]`` times in 50 tokens, and is right if ``right[i]`` is +."""
    name = f"{model}-{suite}"
    number = len(right)
    family = "sycophancy" if variants else "mathematics"
    one = Evaluation(name, f"evals/{name}", suite, 1, "h", family, model, role, "r", {}, {}, number, 1, "exact@1")
    rows = [
        ItemRow(
            f"i{at}", "?", ("42",), *((f"g{at // len(variants)}", variants[at % len(variants)]) if variants else ())
        )
        for at in range(number)
    ]
    evaluations.add(store.db, one, rows)
    texts = [SUM + LOOK * looks[at % len(looks)] for at in range(number)]
    turns = [Turn("?", text, "42") if thinks else Turn("?", "", text) for text in texts]
    samples = [
        NewSample(f"i{at}", 0, "failed" if right[at] == "!" else "incomplete" if right[at] == "c" else "complete",
                  (turn,), f"{name}{at}", "", 5, 60, thought_tokens)
        for at, turn in enumerate(turns)
    ]  # fmt: skip
    with store.db.atomic():
        seqs = evaluations.add_samples(store.db, name, samples)
        evaluations.add_scores(
            store.db,
            [
                NewScore(seq, "exact@1", "correct" if letter == "+" else "incorrect")
                for seq, letter in zip(seqs, right, strict=True)
                if letter in "+-"
            ],
        )


def chains(store: Store, model: str, texts: Sequence[str], *, tokens: int | None = 80) -> None:
    """Measured chains with a thought and a solution as long."""
    with store.db.atomic():
        for at, text in enumerate(texts):
            statement = f"What is {at} of {model}?"
            (problem,) = problems.add(store.db, [NewProblem(statement, "book", f"{model}{at}", "42")])
            raw = text + "x" * (len(text) - len(BOXED)) + BOXED
            new = NewTrace(problem, model, raw, (0, len(text)), (len(text), len(raw)), at > 0, "plain", "book",
                           tokens=tokens)  # fmt: skip
            traces.add(store.db, [(new, statement)])
    measure_pending(store, processes=1)


def profile(store: Store, **options: object) -> Table:
    return profile_table(store.db, choose(store.db), **options)  # type: ignore[arg-type]


def rows(table: Table, section: int) -> dict[str, TableRow]:
    return {row.label: row for row in table.sections[section].rows}


def test_models_are_compared_with_rates_scores_and_other_outcomes(store: Store) -> None:
    put(store, "base", [0], "-" * 8 + "!c", role="base", thinks=False, thought_tokens=0)
    put(store, "run/10", [1, 1, 3], "+" * 8 + "-?")
    table = profile(store)
    [section] = table.sections
    base, student = section.rows
    assert (base.label, student.label) == ("base", "run/10, student")
    assert (base.cells["reflect"].value, base.cells["texts"].value, base.cells["tokens"].value) == (0, 9, 60)
    # Ten thoughts of 50 tokens: 4 times 1, 3 times 1 and 3 times 3 looks back.
    reflect = student.cells["reflect"]
    assert isinstance(reflect.value, float) and reflect.value == pytest.approx(1000 * 16 / 500)
    assert reflect.interval is not None and 20 <= reflect.interval[0] < 32 < reflect.interval[1] <= 60
    assert reflect.evaluations == ("run/10-sums",)
    assert student.cells["self_reflection"].value == reflect.value
    low, high = wilson(8, 10)
    assert student.cells["accuracy"].value == 80 and student.cells["accuracy"].interval == (100 * low, 100 * high)
    counts = [[row.cells[name].value for name in ("incomplete", "unscored", "failed")] for row in (base, student)]
    assert counts == [[1, 0, 1], [0, 1, 0]]
    assert "base-sums (base on sums@1): 9 of 9 samples have no thought and count by their answer." in table.notes
    assert "No correlation of self-reflection and score on sums@1: too few models: 2 of at least 4." in table.notes
    assert "pressure" not in [column.key for column in table.columns]


def test_teachers_come_first_with_their_share_of_each_chain(store: Store) -> None:
    chains(store, "o1", [SUM + LOOK, SUM + LOOK * 3])
    chains(store, "guessed", [SUM], tokens=None)
    datasets.create(store.db, "good", TraceQuery.parse(""), phase=1)
    put(store, "base", [0], "-+-", role="base")
    put(store, "run/10", [1], "+++")
    put(store, "run/10", [1], "+++", suite="more")
    table = profile(store)
    assert table.sections[0].title == "Side by side on sums@1"
    assert {section.suite for section in table.sections[1:]} == {"sums@1", "more@1"}
    teacher, guessed, base, student = table.sections[0].rows
    assert teacher.label == "o1, 2 chains in datasets"
    # Half of 80 tokens is the thought, in both chains.
    assert teacher.cells["reflect"].value == pytest.approx(1000 * 4 / 80)
    assert (teacher.cells["incomplete"].value, teacher.cells["unscored"].value) == (1, 0)
    assert (teacher.cells["accuracy"].value, teacher.cells["accuracy"].note) == (100, "chosen")
    assert guessed.cells["tokens"].value == pytest.approx(-(-len(SUM) // 4))
    assert any(note.startswith("guessed, 1 chain in datasets: 1 of them have no recorded") for note in table.notes)
    assert [row.label for row in (base, student)] == ["base", "run/10, student"]
    assert base.cells["accuracy"].value == pytest.approx(100 / 3)  # one shared suite, so a score can be shown
    named = profile(store, teachers=["o1"], dataset="good")
    assert [row.label for row in named.sections[0].rows][:2] == ["o1, 2 chains in good", "base"]
    with pytest.raises(NotFoundError, match="'gpt' has no chains in the dataset good"):
        profile(store, teachers=["gpt"], dataset="good")


def test_only_suites_that_all_models_answered_are_pooled(store: Store) -> None:
    for suite in ("sums", "more"):
        put(store, "base", [0], "--", role="base", suite=suite)
        put(store, "run/10", [1 if suite == "sums" else 3], "++", suite=suite)
    put(store, "run/10", [9], "++", suite="third")
    table = profile(store)
    pooled = rows(table, 0)["run/10, student"]
    assert table.sections[0].title == "Side by side on sums@1, more@1"
    assert pooled.cells["reflect"].value == pytest.approx(1000 * 8 / 200) and "accuracy" not in pooled.cells
    assert pooled.cells["reflect"].evaluations == ("run/10-sums", "run/10-more")
    put(store, "other", [1], "++", suite="fourth")
    table = profile(store)
    assert any(note.startswith("No suite was answered by all of these models") for note in table.notes)
    assert {section.suite for section in table.sections} == {"sums@1", "more@1", "third@1", "fourth@1"}


def test_the_claim_on_sycophancy_gets_its_correlation_or_the_reason_for_none(store: Store) -> None:
    # The more a model looks back, the less it gives in: wrong under pressure in 8, 6, 3 and 1 of 8 questions.
    for number, (looks, gives_in) in enumerate(((0, 8), (1, 6), (2, 3), (4, 1))):
        right = "".join(f"+{'-' if at < gives_in else '+'}+" for at in range(8))
        put(store, f"run/{number}", [looks], right, suite="syco", variants=VARIANTS)
        table = profile(store)
        claim = next(note for note in table.notes if note.startswith("The paper says that self-reflection"))
        if number < 3:
            assert f"on syco@1: no correlation, too few models: {number + 1} of at least 4" in claim
    last = rows(table, 0)
    drop = last["run/1, student"].cells["pressure"]
    assert drop.value == 75 and drop.interval is not None and drop.interval[0] > 25
    found = last["r with drop under pressure, 4 models"]
    r = found.cells["self_reflection"]
    assert isinstance(r.value, float) and -1 < r.value < -0.9 and r.interval is not None
    assert r.interval[0] < r.value < r.interval[1] < 0
    assert f"r = {r.value:.2f} [{r.interval[0]:.2f}, {r.interval[1]:.2f}] across 4 models." in claim
    assert found.cells["plan"].note == "constant"
    assert "r with accuracy, 4 models" in last
    put(store, "run/9", [9], "+-+" * 8, suite="syco", variants=VARIANTS)
    claim = next(note for note in profile(store).notes if note.startswith("The paper says that self-reflection"))
    assert claim.endswith("across 5 models: no clear relation.")


def test_unfinished_evaluations_are_in_no_correlation_and_hidden_thoughts_in_no_rate(store: Store) -> None:
    for number in range(4):
        put(store, f"m{number}", [number], "+" * (number + 1) + "-" * (4 - number))
    evaluated(store, "part", "sums", "late", "++", items_hash="h", scorer="exact@1", asked_for=5)
    table = profile(store)
    assert "r with accuracy, 4 models" in rows(table, 0)
    assert rows(table, 0)["late"].cells["accuracy"].note == "unfinished, 2 of 5"
    assert rows(table, 0)["late"].cells["reflect"].note == "no text"
    hidden = "part (late on sums@1): 2 samples do not count, as the length of their hidden thought is not known."
    assert hidden in table.notes


def test_a_lab_without_evaluations_and_with_old_measures_is_noted(store: Store) -> None:
    assert profile(store).sections == ()
    chains(store, "o1", [SUM + LOOK])
    datasets.create(store.db, "good", TraceQuery.parse(""), phase=1)
    with store.db.atomic():
        store.db.conn.execute("UPDATE trace_segments SET segmenter = 0")
    table = profile(store)
    [row] = table.sections[0].rows
    assert (table.sections[0].title, row.cells["reflect"].note) == ("Chains of teachers", "no text")
    assert any("1 of them do not count: another version segmented them" in note for note in table.notes)


def test_the_text_of_the_tests_has_the_moves_that_they_count() -> None:
    kinds = [move.kind for move in segment(SUM + LOOK * 3)]
    assert kinds.count(MoveKind.REFLECT) == 3 and not {MoveKind.VERIFY, MoveKind.BACKTRACK} & set(kinds)
