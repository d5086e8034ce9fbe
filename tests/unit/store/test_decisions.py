"""Decisions of several persons: each is kept, the policy says what counts, and two processes lose nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from store import Store, annotations, decisions, open_store, selecting, traces
from store.annotation_sql import traces_with
from store.filters import TraceQuery
from store.policy import POLICIES, standing
from store.schema.migrations import migrations
from store.sqlite import Migrations
from tests.unit.store.test_store import add_chain, found


def decide(store: Store, who: str, trace: str, value: str, kind: str = "decision") -> str:
    return annotations.annotate(store.db, trace, kind, value, annotator=who).id


def decision(store: Store, trace: str) -> str | None:
    return traces.get(store.db, trace).decision


@pytest.fixture
def anna(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path / "lab.db", annotator="anna")
    yield store
    store.close()


@pytest.fixture
def ben(anna: Store) -> Iterator[Store]:
    """The same lab, opened by somebody else."""
    store = open_store(anna.path, annotator="ben")
    yield store
    store.close()


@pytest.mark.parametrize(
    ("votes", "adjudicated", "majority", "unanimous"),
    [
        ("", None, None, None),
        ("a", None, "accept", "accept"),
        ("aa", None, "accept", "accept"),
        ("ar", None, None, None),
        ("aar", None, "accept", None),
        ("aarr", None, None, None),
        ("ars", None, None, None),
        ("as", None, "accept", "accept"),  # who skips does not vote
        ("ss", None, "skip", "skip"),
        ("aar", "reject", "reject", "reject"),
        ("ar", "skip", "skip", "skip"),
    ],
)
def test_what_votes_come_to(votes: str, adjudicated: str | None, majority: str | None, unanimous: str | None) -> None:
    words = [{"a": "accept", "r": "reject", "s": "skip"}[vote] for vote in votes]
    assert standing(words, adjudicated, "majority") == majority
    assert standing(words, adjudicated, "adjudicated") == unanimous


def test_nobodys_decision_replaces_anothers(anna: Store) -> None:
    trace = add_chain(anna, "s", "t")
    decide(anna, "anna", trace, "accept")
    decide(anna, "anna", trace, "4", "rating")
    decide(anna, "ben", trace, "reject")
    decide(anna, "ben", trace, "1", "rating")
    row = traces.get(anna.db, trace)
    assert (row.decision, row.disputed, row.rating) == (None, True, 2.5)
    assert [(vote.annotator, vote.decision, vote.rating) for vote in decisions.of_trace(anna.db, row.seq)] == [
        ("anna", "accept", 4), ("ben", "reject", 1),
    ]  # fmt: skip
    decide(anna, "cara", trace, "accept")
    assert decision(anna, trace) == "accept"
    annotations.undo(anna.db, annotator="cara")
    assert decision(anna, trace) is None


def test_the_policy_own_shows_each_person_only_what_they_decided(anna: Store, ben: Store) -> None:
    one, other = add_chain(anna, "one", "t"), add_chain(anna, "other", "t")
    decisions.use_policy(anna.db, "own")
    decide(anna, "anna", one, "accept")
    decide(anna, "anna", other, "reject")
    decide(ben, "ben", one, "reject")
    decide(ben, "ben", one, "2", "rating")
    for store, accepted, rejected, todo in ((anna, [one], [other], []), (ben, [], [one], [other])):
        assert found(store, "decision:accept") == accepted
        assert found(store, "decision:reject") == rejected
        assert found(store, "decision:none") == todo
        assert [row.disputed for row in traces.page(store.db, TraceQuery())] == [False, False]
        assert traces.counts(store.db, TraceQuery(), "decision").get("reject") == 1
        assert annotations.progress(store.db, TraceQuery(), annotator="x").decided == 2 - len(todo)
        given = {one.id: one.decision for one in selecting.candidates(store.db, TraceQuery())}
        assert given[one] == ("accept" if accepted else "reject")
    assert traces.get(ben.db, one).rating == 2
    assert traces.get(anna.db, one).rating is None
    assert traces.next_undecided(ben.db, TraceQuery(), one) == other
    assert traces.next_undecided(anna.db, TraceQuery(), one) is None
    assert selecting.decided_at(ben.db, other) == ""
    assert found(anna, "sort:decision") == [one, other]
    assert found(ben, "sort:decision") == [other, one]


def test_the_order_by_own_decisions_needs_no_index(anna: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "_MANY", 1)
    ids = [add_chain(anna, f"p{number}", "t") for number in range(3)]
    decide(anna, "anna", ids[2], "accept")
    for policy in ("majority", "own"):
        decisions.use_policy(anna.db, policy)
        rows = traces.page(anna.db, TraceQuery.parse("sort:-decision chars>0"))
        assert [row.id for row in rows] == [ids[2], ids[1], ids[0]]


def test_another_policy_decides_again(anna: Store, ben: Store) -> None:
    trace = add_chain(anna, "s", "t")
    for who, value in (("anna", "accept"), ("ben", "accept"), ("cara", "reject")):
        decide(anna, who, trace, value)
    assert decision(anna, trace) == "accept"
    decisions.use_policy(anna.db, "adjudicated")
    assert decision(anna, trace) is None
    assert decision(ben, trace) is None, "a program that runs already follows"
    decide(ben, "ben", trace, "reject", decisions.ADJUDICATION)
    assert decision(anna, trace) == "reject"
    decisions.use_policy(anna.db, "majority")
    assert decision(anna, trace) == "reject"
    decisions.use_policy(anna.db, "own")
    assert (decision(anna, trace), decision(ben, trace)) == ("accept", "accept")
    with pytest.raises(ValueError, match="fastest"):
        decisions.use_policy(anna.db, "fastest")


def test_queues_by_persons(anna: Store, ben: Store) -> None:
    ids = [add_chain(anna, f"p{number}", "t") for number in range(5)]
    for trace, *given in ((ids[0], "accept", "reject"), (ids[1], "accept", "accept"), (ids[2], "skip", "reject"),
                          (ids[3], "reject")):  # fmt: skip
        for who, value in zip(("anna", "ben"), given, strict=False):
            decide(anna, who, trace, value)
    assert found(anna, "agreement:disputed") == [ids[0]]
    assert found(anna, "agreement:agreed") == [ids[1], ids[2]]
    assert found(anna, "agreement:single") == [ids[3]]
    assert found(anna, "agreement:none") == [ids[4]]
    assert found(anna, "mine:none") == [ids[4]]
    assert found(ben, "mine:unseen") == [ids[3], ids[4]]
    assert found(ben, "mine:reject") == [ids[0], ids[2]]
    assert found(ben, "-mine:reject") == [ids[1], ids[3], ids[4]]
    assert decisions.disputed(anna.db) == [ids[0]]
    decide(anna, "cara", ids[0], "accept", decisions.ADJUDICATION)
    assert found(anna, "agreement:disputed") == []
    assert found(anna, "agreement:adjudicated") == [ids[0]]


@pytest.mark.parametrize(
    ("policy", "disputed", "differ"),
    [("majority", ["ar", "aarr", "ars"], ["aar", "ara"]), ("adjudicated", ["ar", "aarr", "ars", "aar", "ara"], []),
     ("own", ["ar", "aarr", "ars", "aar", "ara"], [])],
)  # fmt: skip
def test_every_part_of_the_lab_means_the_same_by_disputed(
    anna: Store, tmp_path: Path, policy: str, disputed: list[str], differ: list[str]
) -> None:
    other = open_store(tmp_path / "other.db")
    decisions.use_policy(other.db, policy)
    cases = ("ar", "aarr", "ars", "aar", "ara", "aa", "as", "a", "", "arA", "aarR")
    ids = {case: add_chain(anna, f"p{case}", "t") for case in cases}
    assert list(ids.values()) == [add_chain(other, f"p{case}", "t") for case in cases]
    decisions.use_policy(anna.db, policy)
    for case, trace in ids.items():
        for who, vote in zip(("anna", "ben", "cara", "dan"), case, strict=False):
            kind = "decision" if vote.islower() else decisions.ADJUDICATION
            decide(anna, who, trace, {"a": "accept", "r": "reject", "s": "skip"}[vote.lower()], kind)
    wanted = [ids[case] for case in disputed]
    assert found(anna, "agreement:disputed") == decisions.disputed(anna.db) == wanted
    assert found(anna, "agreement:differ") == [ids[case] for case in differ]
    assert found(anna, "agreement:agreed") == [ids["aa"], ids["as"]]
    assert found(anna, "agreement:adjudicated") == [ids["arA"], ids["aarR"]]
    marked = [row.id for row in traces.page(anna.db, TraceQuery()) if row.disputed]
    assert marked == ([] if policy == "own" else wanted), "under own, no row shows what others decided"
    assert annotations.merge(other.db, annotations.everything(anna.db)).disputed == len(wanted)
    other.close()


def test_the_disputed_are_found_in_the_indexes(anna: Store) -> None:
    asked: list[str] = []
    anna.db.conn.set_trace_callback(asked.append)
    traces.count(anna.db, TraceQuery.parse("agreement:disputed"))
    traces.page(anna.db, TraceQuery())
    anna.db.conn.set_trace_callback(None)
    count, page = (sql for sql in asked if "count(DISTINCT" in sql)
    for sql, access in ((count, "SCAN d"), (page, "SEARCH d USING PRIMARY KEY (seq=?)")):
        plan = [row[3] for row in anna.db.conn.execute(f"EXPLAIN QUERY PLAN {sql}")]
        assert access in plan
        assert "SEARCH j USING INTEGER PRIMARY KEY (rowid=?)" in plan
        assert not any("FOR GROUP BY" in step for step in plan), plan


def test_what_is_still_to_do(anna: Store, ben: Store) -> None:
    ids = [add_chain(anna, f"p{number}", "t") for number in range(4)]
    decide(anna, "anna", ids[1], "accept")
    for who, value in (("anna", "accept"), ("ben", "reject")):
        decide(anna, who, ids[2], value)
    for policy in POLICIES:
        decisions.use_policy(anna.db, policy)
        for text in ("", "mine:none"):  # what anna alone decided is to do for ben, in the order of the list
            assert traces.next_undecided(ben.db, TraceQuery.parse(text), ids[0]) == ids[1], policy
        assert traces.next_undecided(ben.db, TraceQuery.parse("sort:-added"), ids[3]) == ids[1]
        assert traces.next_undecided(anna.db, TraceQuery(), ids[0]) == ids[3]
    decisions.use_policy(anna.db, "majority")
    assert traces.next_undecided(anna.db, TraceQuery.parse("agreement:disputed"), ids[0], any_other=True) == ids[2]


def test_adjudications_of_two_labs_settle_a_trace_only_if_they_agree(anna: Store, tmp_path: Path) -> None:
    other = open_store(tmp_path / "other.db", annotator="ben")
    trace = add_chain(anna, "s", "t")
    add_chain(other, "s", "t")
    for who, value in (("anna", "accept"), ("ben", "reject")):
        decide(anna, who, trace, value)
    annotations.merge(other.db, annotations.everything(anna.db))
    decide(anna, "anna", trace, "accept", decisions.ADJUDICATION)
    decide(other, "ben", trace, "reject", decisions.ADJUDICATION)
    theirs, ours = list(annotations.everything(other.db)), list(annotations.everything(anna.db))
    assert annotations.merge(anna.db, theirs).disputed == 1
    assert annotations.merge(other.db, ours).disputed == 1
    assert (decision(anna, trace), decision(other, trace)) == (None, None)
    assert found(anna, "agreement:disputed") == [trace]
    decide(other, "ben", trace, "skip", decisions.ADJUDICATION)  # knows both
    annotations.merge(anna.db, annotations.everything(other.db))
    assert (decision(anna, trace), decision(other, trace)) == ("skip", "skip")
    annotations.undo(other.db, annotator="ben")
    assert decision(other, trace) is None, "the adjudications that it replaced are back"
    other.close()


def test_a_merge_never_replaces_what_another_person_decided(anna: Store, tmp_path: Path) -> None:
    other = open_store(tmp_path / "other.db")
    trace = add_chain(anna, "s", "t")
    add_chain(other, "s", "t")
    mine = decide(anna, "anna", trace, "accept")
    decide(other, "ben", trace, "reject")
    records = list(annotations.everything(other.db))
    forged = type(records[0])("f" * 16, trace, "undo", "", None, mine, None, "ben", records[0].created_at)
    assert annotations.merge(anna.db, [*records, forged]).disputed == 1
    seq = traces.get(anna.db, trace).seq
    assert [(vote.annotator, vote.decision) for vote in decisions.of_trace(anna.db, seq)] == [
        ("anna", "accept"), ("ben", "reject"),
    ]  # fmt: skip
    other.close()


def test_assignments_come_and_go_and_an_undo_of_work_passes_over_them(anna: Store, ben: Store) -> None:
    ids = [add_chain(anna, f"p{number}", "t") for number in range(3)]
    annotations.add_batch(anna.db, "assign", [(ids[0], "anna"), (ids[1], "anna"), (ids[1], "ben")], annotator="anna")
    assert found(anna, "assigned:me") == ids[:2]
    assert found(ben, "assigned:me") == found(anna, "assigned:ben") == [ids[1]]
    assert found(anna, "assigned:none") == [ids[2]]
    assert found(anna, "assigned:any") == ids[:2]
    decide(anna, "anna", ids[0], "accept")
    assert decisions.assigned(anna.db) == {"anna": (2, 1), "ben": (1, 0)}
    annotations.undo(anna.db, annotator="anna")
    assert annotations.undo(anna.db, annotator="anna") is None
    annotations.add_batch(anna.db, "unassign", [(ids[1], "anna")], annotator="anna")
    assert found(anna, "assigned:me") == [ids[0]]


def test_a_lab_from_before_keeps_every_persons_decision(tmp_path: Path) -> None:
    before, whole = Migrations("o1lab"), migrations.steps
    before.steps = {name: step for name, step in whole.items() if name < "0015"}
    store = Store(tmp_path / "lab.db", annotator="anna")
    before.apply(store.db)
    trace, other, third = (add_chain(store, name, "t") for name in ("s", "o", "x"))
    said = [
        (trace, "decision", "reject", "anna"), (trace, "decision", "accept", "anna"),
        (trace, "decision", "reject", "ben"), (trace, "rating", "5", "anna"), (trace, "rating", "2", "cara"),
        (other, "decision", "skip", "ben"), (third, "decision", "reject", "ben"),
        (third, "decision", "accept", "anna"), (third, "decision", "accept", "dan"),
    ]  # fmt: skip
    insert = "INSERT INTO annotations(id, trace_id, kind, value, target, annotator, created_at) VALUES ({}, '2025')"
    with store.db.conn:
        for number, (of, kind, value, who) in enumerate(said):
            store.db.conn.execute(insert.format("?, ?, ?, ?, NULL, ?"), (f"{number:016}", of, kind, value, who))
        store.db.conn.execute(insert.format("'u', ?, 'undo', '', '0000000000000008', 'dan'"), (third,))
        for of, value in ((trace, "reject"), (other, "skip"), (third, "accept")):  # the last word decided
            store.db.conn.execute("UPDATE traces SET decision = ? WHERE id = ?", (value, of))
    store.close()
    opened = open_store(tmp_path / "lab.db", annotator="anna")
    found_here = decisions.by_trace(opened.db)
    assert [(vote.annotator, vote.decision, vote.rating) for vote in found_here[trace]] == [
        ("anna", "accept", 5), ("ben", "reject", None), ("cara", None, 2),
    ]  # fmt: skip
    for one in (trace, other, third):
        stored = traces.get(opened.db, one)
        annotations.derive(opened.db, [one])
        assert traces.get(opened.db, one) == stored, "the migration stores what the records come to"
    assert [decision(opened, one) for one in (trace, other, third)] == [None, "skip", None]
    assert traces.get(opened.db, trace).rating == 3.5
    opened.close()


def test_whether_a_record_is_undone_is_found_by_its_target(anna: Store) -> None:
    plan = [row[3] for row in anna.db.conn.execute(f"EXPLAIN QUERY PLAN {traces_with('decision')}")]
    undos = [step for step in plan if step.split()[1] == "u"]
    assert undos and all("(target=?)" in step for step in undos), undos


PERSON = """
import sys
from pathlib import Path
from store import annotations, open_store
path, who, *ids = sys.argv[1:]
store = open_store(Path(path), annotator=who)
print("ready", flush=True)
sys.stdin.readline()  # both begin at once
for round, value in enumerate(("accept", "reject", "skip", "accept" if who == "anna" else "reject")):
    for trace in ids:
        annotations.annotate(store.db, trace, "decision", value, annotator=who)
        annotations.annotate(store.db, trace, "tag", f"{who}-{round}", annotator=who)
"""


def test_two_processes_annotate_one_lab_at_once_and_nothing_is_lost(anna: Store) -> None:
    ids = [add_chain(anna, f"p{number}", "t") for number in range(6)]
    people = [
        subprocess.Popen(
            [sys.executable, "-c", PERSON, str(anna.path), who, *ids],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for who in ("anna", "ben")
    ]  # fmt: skip
    for person in people:
        assert person.stdout is not None
        assert person.stdout.readline() == "ready\n"
    for person in people:
        assert person.stdin is not None
        person.stdin.write("go\n")
        person.stdin.flush()
    assert [person.wait(timeout=120) for person in people] == [0, 0]
    for person in people:
        assert person.stdin is not None
        assert person.stdout is not None
        person.stdin.close()
        person.stdout.close()
    assert len(list(annotations.everything(anna.db))) == 2 * 4 * 2 * len(ids)
    wanted = {f"{who}-{round}" for who in ("anna", "ben") for round in range(4)}
    for trace, votes in decisions.by_trace(anna.db).items():
        assert [(vote.annotator, vote.decision) for vote in votes] == [("anna", "accept"), ("ben", "reject")]
        assert set(annotations.tags_of(anna.db, trace)) == wanted
    assert found(anna, "agreement:disputed") == ids
