"""Each pair of a gold answer and an answer is verified once."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from o1lab.chains.verify import VERIFIER_VERSION, Verdict, VerifierPool
from o1lab.ingest import verifying
from o1lab.ingest.importer import import_files
from o1lab.ingest.measuring import measure_pending
from o1lab.ingest.verifying import PairVerifier, verdict_of, verify_pairs
from store import Store, open_store, verifications

HARD = ("f(x+1)", "f(1+x)")
EASY = ("1", "1")
PATIENCE_S = 60


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Store]:
    with closing(open_store(tmp_path / "lab.db")) as made:
        yield made


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The pairs that reached a verifier process, which calls them all correct."""
    found: list[tuple[str, str]] = []

    def ask(_: object, gold: str, answer: str, limit_s: float) -> Verdict:
        found.append((gold, answer))
        return Verdict("correct", "equal by math-verify")

    monkeypatch.setattr("o1lab.chains.verify._Worker.ask", ask)
    monkeypatch.setattr("o1lab.chains.verify._Worker.__init__", lambda *_: None)
    monkeypatch.setattr("o1lab.chains.verify._Worker.close", lambda _: None)
    return found


def test_samples_with_the_same_answer_are_verified_once(lab: Store, asked: list[tuple[str, str]]) -> None:
    with VerifierPool(1) as pool:
        verdicts = verify_pairs(lab.db, pool, [HARD, ("1", "1"), HARD, (None, "1"), HARD])
    assert [one.status for one in verdicts] == ["correct", "correct", "correct", "unverifiable", "correct"]
    assert asked == [HARD]


def test_the_lab_remembers_verdicts_by_version(
    lab: Store, asked: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):  # a second process, a second import
        with VerifierPool(1) as pool:
            verify_pairs(lab.db, pool, [HARD, ("a", "\ud800")])
    assert asked == [HARD, ("a", "\ud800")]
    monkeypatch.setattr(verifying, "VERIFIER_VERSION", 99)
    with VerifierPool(1) as pool:
        assert verify_pairs(lab.db, pool, [HARD])[0].status == "correct"
    assert asked[2:] == [HARD]


def test_a_process_that_ended_is_asked_again(lab: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    reached = 0

    def ended(*_: object) -> Verdict:
        nonlocal reached
        reached += 1
        raise EOFError

    monkeypatch.setattr("o1lab.chains.verify._Worker.ask", ended)
    with VerifierPool(1) as pool:
        for _ in range(2):
            assert verify_pairs(lab.db, pool, [HARD])[0].status == "unverifiable"
    assert reached == 2


def test_one_process_is_enough_for_one_pair_at_a_time(
    asked: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[object] = []
    monkeypatch.setattr("o1lab.chains.verify._Worker.__init__", lambda one, *_: started.append(one))
    with VerifierPool(4) as pool:
        for name in "fgh":
            pool.verify(f"{name}(x+1)", f"{name}(1+x)")
    assert len(asked) == 3
    assert len(started) == 1


def test_pairs_are_asked_for_without_waiting_and_stored_when_they_are_verified(
    lab: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, reached = threading.Event(), []

    def slow(_: object, gold: str, answer: str, limit_s: float) -> Verdict:
        reached.append(gold)
        assert go_on.wait(PATIENCE_S)
        return Verdict("correct", "equal by math-verify")

    monkeypatch.setattr("o1lab.chains.verify._Worker.ask", slow)
    with VerifierPool(1) as pool:
        verifier = PairVerifier(lab.db, pool)
        first = verifier.ask([HARD, EASY])
        again = verifier.ask([EASY, HARD])
        assert again[1] is first[0]
        assert [one.status for one in (first[1], again[0]) if isinstance(one, Verdict)] == ["correct", "correct"]
        verifier.store()
        assert verifications.known(lab.db, [HARD], VERIFIER_VERSION) == {}
        go_on.set()
        assert verdict_of(first[0]).status == "correct"
        verifier.store()
    assert reached == [HARD[0]]
    assert verifications.known(lab.db, [HARD, EASY], VERIFIER_VERSION).keys() == {HARD}


def test_hard_answers_hold_up_no_other_trace(lab: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()

    def slow(_: object, gold: str, answer: str, limit_s: float) -> Verdict:
        assert go_on.wait(PATIENCE_S)
        return Verdict("correct", "equal by math-verify")

    monkeypatch.setattr("o1lab.chains.verify._Worker.ask", slow)
    rows = [
        {"problem": f"p{number}", "raw": f"<think>\nSo.\n</think>\n\n\\boxed{{{answer}}}", "gold_answer": gold}
        for number, (gold, answer) in enumerate([HARD, *[EASY] * 150, HARD])
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    import_files(lab, [tmp_path / "a.jsonl"])
    told: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        told.append((done, total))
        go_on.set()

    with VerifierPool(1) as pool:
        report = measure_pending(lab, pool=pool, progress=progress)
    assert told == [(150, 152), (152, 152)]
    assert report.verdicts == {"correct": 152}
    assert verifications.known(lab.db, [HARD], VERIFIER_VERSION)[HARD].status == "correct"


def test_a_pool_that_is_closed_while_pairs_wait_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def slow(*_: object) -> Verdict:
        reached.set()
        assert go_on.wait(PATIENCE_S)
        raise EOFError

    monkeypatch.setattr("o1lab.chains.verify._Worker.ask", slow)
    pool = VerifierPool(1)
    first, second = pool.ask(*HARD), pool.ask("g(x+1)", "g(1+x)")
    assert reached.wait(PATIENCE_S)
    pool.close()
    go_on.set()
    assert not first.result(PATIENCE_S).lasting
    for late in (lambda: second.result(PATIENCE_S), lambda: pool.ask(*HARD)):
        with pytest.raises(RuntimeError, match="the verifier pool is closed"):
            late()
