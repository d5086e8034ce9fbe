"""Each pair of a gold answer and an answer is verified once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from o1lab.chains.verify import Verdict, VerifierPool
from o1lab.ingest import verifying
from o1lab.ingest.verifying import verify_pairs
from store import Store, open_store

HARD = ("f(x+1)", "f(1+x)")


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
