"""Choosing a dataset's rows: each rule with its reason, one chain a problem, mixing; nothing goes missing."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o1lab.distill.datasets.selection import PER_PROBLEM, RULES, Choice, PerProblem, choose, mix
from o1lab.errors import UsageError
from store import Store, annotations, dataset_facts, datasets, open_store, problems, selecting, teacher_runs, traces
from store.errors import NothingChosenError
from store.filters import TraceQuery
from store.records import Measured, NewProblem
from store.selecting import Candidate
from tests.support.lab_seed import trace_of

ALL = TraceQuery.parse("")
BOTH = "Let me add the two numbers now. 等等，让我再检查一下这个结果是否正确，因为我不确定。"
CHINESE = "我们需要把两个数加起来。等等，让我再检查一下这个结果是否正确。"
THINKING = "<think>\nOkay, so I need to add. Wait, let me check that.\n</think>\n\n"


def add(
    store: Store,
    raw: str = THINKING + "The sum is \\boxed{2}.",
    *,
    statement: str = "What is 1 + 1, when you add them?",
    verdict: str | None = "correct",
    looping: bool = False,
    moves: Mapping[str, int] | None = None,
    model: str = "r1",
    parent_id: str | None = None,
) -> str:
    """Put one trace in, measured unless ``verdict`` is None."""
    problem = NewProblem(statement, "hand", statement, "2")
    trace = replace(trace_of(problem, model, raw), parent_id=parent_id)
    with store.db.atomic():
        problems.add(store.db, [problem])
        traces.add(store.db, [(trace, statement)])
    if verdict is not None:
        traces.set_measures(
            store.db, [Measured(trace.id, looping, moves or {}, "2", verdict, "by hand", "hand-1", trace.tokens)]
        )
    return trace.id


def decide(store: Store, trace_id: str, decision: str) -> None:
    annotations.annotate(store.db, trace_id, "decision", decision, annotator="ann")


@pytest.mark.parametrize("excluded", [None, "duplicate"])
@pytest.mark.parametrize("per_problem", PER_PROBLEM)
def test_a_trace_that_is_looked_at_takes_a_few_hundred_bytes(
    store: Store, monkeypatch: pytest.MonkeyPatch, per_problem: PerProblem, excluded: str | None
) -> None:
    """What the docstring of ``choose`` promises for millions."""
    number = 5_000

    def candidates(*_: object) -> Iterator[Candidate]:
        for seq in range(number):
            ids = f"{seq:016}", f"{seq:015}p"
            yield Candidate(seq, *ids, None, True, False, "correct", 1, 500, 50, "".join(excluded or "") or None, False)

    monkeypatch.setattr(selecting, "candidates", candidates)
    tracemalloc.start()
    try:
        choice = choose(store, ALL, per_problem=per_problem, drop=("excluded",))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(choice.ids) + len(choice.drops) == number
    assert peak / number < 320


def test_what_nothing_speaks_against_is_taken_in_the_querys_order(store: Store) -> None:
    ids = [add(store, statement=f"What is {n} + 1?") for n in range(3)]
    assert choose(store, ALL) == Choice(
        ids, {}, {"version": 2, "keep": "verified", "per_problem": "all", "rules": list(RULES), "looked": 3, "kept": 3}
    )
    assert choose(store, TraceQuery.parse("sort:-added")).ids == ids[::-1]


@pytest.mark.parametrize(
    ("raw", "phase", "more", "reason"),
    [
        (THINKING + "\\boxed{3}", 2, {"verdict": "incorrect"}, "wrong answer"),
        (THINKING + "Green.", 2, {"verdict": "unverifiable"}, "unverifiable answer"),
        (THINKING + "\\boxed{2}", 2, {"verdict": None}, "not verified yet"),
        (THINKING + "\\boxed{2}", 2, {"looping": True}, "looping"),
        ("<think>\nOkay, so I", 2, {"verdict": "correct"}, "truncated"),
        ("<think>\nOkay, so I", 1, {"verdict": "correct"}, "truncated"),
        ("It is \\boxed{2}.", 2, {}, "no closed thought"),
        ("<think></think>It is \\boxed{2}.", 2, {}, "no closed thought"),
        ("It is 2.", 1, {}, "no boxed answer"),
        ("It is \\boxed{}.", 1, {}, "no boxed answer"),
        (THINKING + "One more. <think>Hm.</think> \\boxed{2}", 2, {}, "thinking marks inside its text"),
        (THINKING + "I see. <|end_of_thought|> \\boxed{2}", 1, {}, "thinking marks inside its text"),
        (f"<think>\n{BOTH}\n</think>\n\n\\boxed{{2}}", 2, {}, "mixes languages"),
        (f"<think>\n{CHINESE}\n</think>\n\n所以是 \\boxed{{2}}。", 2, {}, "in another language than its problem"),
    ],
)
def test_each_rule_drops_with_its_reason(store: Store, raw: str, phase: int, more: dict[str, Any], reason: str) -> None:
    good, bad = add(store), add(store, raw, **more)
    choice = choose(store, ALL, phase=phase)
    assert (choice.ids, choice.drops, choice.counts) == ([good], {bad: reason}, {reason: 1})


def test_all_are_kept_with_their_verdicts_when_asked(store: Store) -> None:
    ids = [add(store, f"{THINKING}{n}", verdict=verdict) for n, verdict in enumerate(("incorrect", "unverifiable"))]
    ids.append(add(store, THINKING + "9", verdict=None))
    choice = choose(store, ALL, keep="all")
    assert (choice.ids, choice.drops) == (ids, {})
    datasets.snapshot(store.db, "all", choice.ids, selection=choice.selection)
    assert [row.verdict for row in datasets.rows(store.db, "all")] == ["incorrect", "unverifiable", None]


def test_a_rule_that_is_switched_off_drops_nothing(store: Store) -> None:
    loops = add(store, looping=True)
    plain = add(store, "It is \\boxed{2}.")
    assert choose(store, ALL).counts == {"looping": 1, "no closed thought": 1}
    assert choose(store, ALL, drop=[rule for rule in RULES if rule != "looping"]).ids == [loops]
    assert choose(store, ALL, drop=()).ids == [loops, plain]


def test_what_a_person_or_a_run_rejected_or_a_rule_excluded_stays_out(store: Store) -> None:
    by_hand, by_run, excluded = (add(store, f"{THINKING}\\boxed{{2}} {n}", statement=f"{n} + 1 =") for n in range(3))
    decide(store, by_hand, "reject")
    teacher_runs.add(store.db, teacher_runs.TeacherRun("t1", "distill/t1", "reformat", "cheap", "cheap-1", "r@1", {}))
    with store.db.atomic():
        outcome = teacher_runs.Outcome("item", 0, "rejected", "the answer is not gold", by_run)
        teacher_runs.add_outcomes(store.db, "t1", [outcome])
        problem = traces.get(store.db, excluded).problem_id
        store.db.execute("UPDATE problems SET excluded_by = 'contaminated' WHERE id = ?", [problem])
    assert choose(store, ALL).drops == {
        by_hand: "rejected by hand", by_run: "rejected in its teacher run", excluded: "problem excluded: contaminated",
    }  # fmt: skip


def test_what_was_made_from_a_chain_of_an_excluded_problem_is_excluded_too(store: Store) -> None:
    original = add(store)
    translated = add(store, THINKING + "\\boxed{2} one", statement="Uno plus uno?", parent_id=original)
    edited = add(store, THINKING + "\\boxed{2} two", statement="Uno plus uno?", parent_id=translated)
    assert choose(store, ALL).ids == [original, translated, edited]
    problem = traces.get(store.db, original).problem_id
    store.db.execute("UPDATE problems SET excluded_by = 'contaminated' WHERE id = ?", [problem])
    assert choose(store, ALL).counts == {"problem excluded: contaminated": 3}
    datasets.create(store.db, "all", ALL)
    assert dataset_facts.excluded(store.db, "all") == {"contaminated": 3}
    assert dataset_facts.of_sources(store.db, "all", ["hand"]) == {"hand": 3}
    store.db.execute("INSERT INTO exclusions VALUES (?, 'contaminated', 1, 'near', NULL, '')", [problem])
    assert dataset_facts.hits(store.db, "all", "contaminated") == 3


def test_a_phase_1_row_needs_a_solution_whatever_the_rules(store: Store) -> None:
    add(store, "<think>\nOnly thought")
    assert choose(store, ALL, phase=1, keep="all", drop=()).counts == {"no solution": 1}
    assert choose(store, ALL, phase=2, keep="all", drop=()).counts == {}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [("first", 0), ("shortest", 1), ("longest", 2), ("most-reflective", 3), ("person", 2)],
)
def test_one_of_each_problem(store: Store, rule: Any, expected: int) -> None:
    raws = [
        "<think>\nSome thought of the usual length.\n</think>\n\n\\boxed{2}",
        "<think>\nShort.\n</think>\n\n\\boxed{2}",
        "<think>\nA much longer thought, that says the same as the first of them.\n</think>\n\n\\boxed{2}",
        "<think>\nWait, a thought of usual length.\n</think>\n\n\\boxed{2}",
    ]
    moves = [{"reflect": 1}, {}, {"compute": 9}, {"reflect": 1, "backtrack": 1, "verify": 1}]
    ids = [add(store, raw, moves=found) for raw, found in zip(raws, moves, strict=True)]
    other = add(store, statement="What is 2 + 0?")
    decide(store, ids[0], "accept")
    decide(store, ids[2], "accept")  # later, so this one
    choice = choose(store, ALL, per_problem=rule)
    if rule == "person":
        later, another = "a person accepted another one later", "a person accepted another one of its problem"
        assert choice.ids == [ids[2]]
        assert choice.drops == {
            ids[0]: later, ids[1]: another, ids[3]: another, other: "nobody accepted a trace of its problem",
        }  # fmt: skip
    else:
        assert choice.ids == [ids[expected], other]
        named = rule.replace("-", " ")
        assert choice.drops == {
            trace_id: f"not the {named} of its problem" for at, trace_id in enumerate(ids) if at != expected
        }


def test_ties_and_a_bulk_acceptance_go_to_the_first_in_the_querys_order(store: Store) -> None:
    ids = [add(store, model=name, moves={"reflect": 1}) for name in ("a", "b")]
    annotations.decide_all(store.db, ALL, "accept", annotator="ann")
    for rule in PER_PROBLEM[1:]:
        assert choose(store, ALL, per_problem=rule).ids == [ids[0]]
        assert choose(store, TraceQuery.parse("sort:-added"), per_problem=rule).ids == [ids[1]]


def test_lengths_are_those_of_what_the_phase_teaches(store: Store) -> None:
    long_thought = add(store, f"<think>\n{'Let me see. ' * 20}\n</think>\n\n\\boxed{{2}}")
    long_solution = add(store, "<think>\nWell.\n</think>\n\nSo, as we have seen, the sum is \\boxed{2}.")
    assert choose(store, ALL, per_problem="shortest", phase=2).ids == [long_solution]
    assert choose(store, ALL, per_problem="shortest", phase=1).ids == [long_thought]


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Sixty traces of a dozen problems, good and bad in every way."""
    store = open_store(tmp_path_factory.mktemp("crowd") / "lab.db")
    for n in range(60):
        raw = ["It is \\boxed{2}.", THINKING + f"\\boxed{{2}} {'x' * (n * 7 % 13)}", "<think>\ncut"][n * 5 % 7 % 3]
        verdict = ("correct", "correct", "incorrect", "unverifiable", None)[n * 3 % 5]
        made = add(
            store, raw, statement=f"What is {n % 12} + 1?", verdict=verdict, looping=n % 11 == 0, model=f"m{n}",
            moves={"reflect": n % 3, "backtrack": n % 2},
        )  # fmt: skip
        if n % 4 == 0:
            decide(store, made, ("accept", "reject", "skip")[n // 4 % 3])
    yield store
    store.close()


@settings(max_examples=60)
@given(
    keep=st.sampled_from(["verified", "all"]),
    per_problem=st.sampled_from(PER_PROBLEM),
    drop=st.sets(st.sampled_from(RULES)),
    phase=st.sampled_from([1, 2]),
    text=st.sampled_from(["", "sort:-chars", "decision:accept", "-model:m1 sort:problem", "reflective:yes"]),
)
def test_rows_and_drops_are_all_there_is(
    crowd: Store, *, keep: Any, per_problem: Any, drop: Any, phase: int, text: str
) -> None:
    query = TraceQuery.parse(text)
    everything = traces.ids(crowd.db, query)
    choice = choose(crowd, query, phase=phase, keep=keep, per_problem=per_problem, drop=drop)
    assert sorted([*choice.ids, *choice.drops]) == sorted(everything)
    assert sum(choice.counts.values()) + len(choice.ids) == choice.selection["looked"] == len(everything)
    assert choice.ids == [trace_id for trace_id in everything if trace_id not in choice.drops]
    if per_problem != "all":
        of = [traces.get(crowd.db, trace_id).problem_id for trace_id in choice.ids]
        assert len(set(of)) == len(of)


def test_a_dataset_remembers_its_choice_and_its_drops(store: Store) -> None:
    good, bad = add(store), add(store, THINKING + "3", verdict="incorrect")
    choice = choose(store, ALL)
    made = datasets.snapshot(store.db, "d", choice.ids, query="q", selection=choice.selection, drops=choice.drops)
    assert datasets.get(store.db, "d").selection == dict(choice.selection) == made.selection
    assert datasets.all_datasets(store.db) == [made]
    assert datasets.drops(store.db, "d") == [(bad, "wrong answer")]
    assert datasets.drop_counts(store.db, "d") == {"wrong answer": 1}
    # The hash is of the rows alone: the same rows chosen otherwise are the same dataset.
    assert datasets.create(store.db, "e", TraceQuery.parse(f"id:{good}")).hash == made.hash


def test_a_phase_1_dataset_leaves_traces_without_a_solution_out(store: Store) -> None:
    good, cut = add(store), add(store, "<think>\nOnly thought")
    made = datasets.create(store.db, "format", ALL, phase=1)
    assert (made.rows, datasets.trace_ids(store.db, "format")) == (1, [good])
    assert datasets.drops(store.db, "format") == [(cut, "no solution")]
    with pytest.raises(NothingChosenError, match="All 1 traces of the filter were dropped: no solution"):
        datasets.create(store.db, "none", TraceQuery.parse(f"id:{cut}"), phase=1)


def test_datasets_are_mixed_in_order_and_duplicates_come_once(store: Store) -> None:
    ids = [add(store, statement=f"What is {n} + 1?") for n in range(6)]
    for name, part in (("a", ids[:4]), ("b", ids[3:])):
        datasets.snapshot(store.db, name, part)
    choice, phase = mix(store, ["b", "a", "b"])
    assert (choice.ids, choice.drops, phase) == ([*ids[3:], *ids[:3]], {}, 2)
    assert [part["rows"] for part in choice.selection["from"]] == [3, 3]
    assert choice.selection["duplicates"] == 1
    shuffled = mix(store, ["b", "a"], seed=1)[0]
    assert shuffled.ids != choice.ids
    assert sorted(shuffled.ids) == sorted(choice.ids)
    assert mix(store, ["b", "a"], seed=1)[0] == shuffled


def test_a_balanced_mixture_has_as_many_of_each(store: Store) -> None:
    ids = [add(store, statement=f"What is {n} + 1?") for n in range(9)]
    datasets.snapshot(store.db, "few", ids[:2])
    datasets.snapshot(store.db, "many", ids[2:])
    choice, _ = mix(store, ["few", "many"], balance=True)
    assert choice.ids == ids[:4]
    assert choice.drops == dict.fromkeys(ids[4:], "more than 2 of its dataset")
    drawn = mix(store, ["few", "many"], balance=True, seed=7)[0]
    assert len(set(drawn.ids) & set(ids[2:])) == 2
    assert sorted([*drawn.ids, *drawn.drops]) == sorted(ids)


def test_a_balanced_mixture_of_the_same_traces_is_refused(store: Store) -> None:
    trace = add(store)
    for name in ("one", "same"):
        datasets.snapshot(store.db, name, [trace])
    with pytest.raises(UsageError, match="every trace of 'same'"):
        mix(store, ["one", "same"], balance=True)


def test_datasets_of_different_phases_are_not_mixed(store: Store) -> None:
    one = add(store)
    datasets.snapshot(store.db, "format", [one], phase=1)
    datasets.snapshot(store.db, "long", [one], phase=2)
    with pytest.raises(UsageError, match="format has phase 1, long has phase 2"):
        mix(store, ["format", "long"])


def test_reflective_chains_hold_retrospection_and_self_reflection(store: Store) -> None:
    kinds = [{}, {"reflect": 2}, {"reflect": 1, "verify": 1}, {"reflect": 1, "backtrack": 2}, {"verify": 3}]
    ids = [add(store, statement=f"{n} + 1 =", moves=moves) for n, moves in enumerate(kinds)]
    unmeasured = add(store, statement="7 + 1 =", verdict=None)
    assert traces.ids(store.db, TraceQuery.parse("reflective:yes")) == ids[2:4]
    assert traces.ids(store.db, TraceQuery.parse("reflective:no")) == [ids[0], ids[1], ids[4]]
    assert unmeasured in traces.ids(store.db, TraceQuery.parse("-reflective:yes"))
    assert traces.count(store.db, TraceQuery.parse("reflective:yes reflect>=1")) == 2


def test_a_dataset_of_a_lab_of_the_first_schema_has_no_selection(tmp_path: Path) -> None:
    import gzip

    released = Path(__file__).parents[3] / "fixtures" / "labs" / "0001_first.db.gz"
    (tmp_path / "lab.db").write_bytes(gzip.decompress(released.read_bytes()))
    old = open_store(tmp_path / "lab.db")
    found = datasets.get(old.db, "fixture")
    assert (found.rows, found.selection, datasets.drops(old.db, "fixture")) == (1, {}, [])
    (row,) = datasets.rows(old.db, "fixture")
    assert (row.prompt, row.problem_id) == (None, traces.get(old.db, row.trace_id).problem_id)
    old.close()
