"""Every part of a lab uses the verdicts that the lab remembers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from o1lab.chains.verify import VERIFIER_VERSION, Verdict, VerifierPool
from o1lab.chat.panes import AnswerVerifier
from o1lab.evaluate.items import Item
from o1lab.evaluate.scorers import ScorerSpec, make_scorer
from o1lab.evaluate.scorers.base import Attempt
from o1lab.evaluate.scorers.math import MathScorer
from o1lab.ingest.edit import add_edited
from o1lab.ingest.measuring import measure_trace
from store import Store, open_store, problems, traces, verifications
from store.evaluations import Turn
from store.records import NewProblem, NewTrace
from store.verifications import Verification

HARD = ("f(x+1)", "f(1+x)")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Store]:
    with closing(open_store(tmp_path / "lab.db")) as made:
        yield made


def _imported(lab: Store, pool: VerifierPool) -> str | None:
    return traces.get(lab.db, _trace(lab, pool)).verdict


def _edited(lab: Store, pool: VerifierPool) -> str | None:
    parent = _trace(lab, pool)
    made = add_edited(lab, parent, f"Otherwise. \\boxed{{{HARD[1]}}}", annotator="ann", pool=pool)
    return traces.get(lab.db, made.value).verdict


def _evaluated(lab: Store, _pool: VerifierPool) -> str | None:
    scorer = make_scorer(ScorerSpec(name="math"), store=lab)
    assert isinstance(scorer, MathScorer)
    item = Item(id="i", question="Q", turns=("Q",), gold=(HARD[0],))
    return scorer.score_attempt(Attempt(item, 0, (Turn("Q", "", f"\\boxed{{{HARD[1]}}}"),))).outcome


def _chatted(lab: Store, _pool: VerifierPool) -> str | None:
    with closing(AnswerVerifier(lab)) as verifier:
        return verifier(HARD[0], f"\\boxed{{{HARD[1]}}}")


def _trace(lab: Store, pool: VerifierPool) -> str:
    problem = NewProblem("Q", "s", answer=HARD[0])
    raw = f"It is \\boxed{{{HARD[1]}}}"
    trace = NewTrace(problem.id, "m", raw, (0, 0), (0, len(raw)), True, "plain", "s")
    with lab.db.atomic():
        problems.add(lab.db, [problem])
        traces.add(lab.db, [(trace, "Q")])
    measure_trace(lab, trace.id, pool=pool)
    return trace.id


@pytest.mark.parametrize("verified", [_imported, _edited, _evaluated, _chatted])
def test_every_part_of_a_lab_uses_what_the_lab_remembers(
    verified: Callable[[Store, VerifierPool], str | None], lab: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(*_: object) -> Verdict:
        raise AssertionError("the pair is verified already")

    monkeypatch.setattr("o1lab.chains.verify._Worker.ask", asked)
    verifications.add(lab.db, {HARD: Verification("correct", "seen before")}, VERIFIER_VERSION)
    with VerifierPool(1) as pool:
        assert verified(lab, pool) == "correct"


def test_only_parts_without_a_lab_ask_verifier_processes_directly() -> None:
    root = Path(__file__).parents[3]
    direct = {
        str(path.relative_to(root))
        for part in ("o1lab", "screens")
        for path in (root / part).rglob("*.py")
        if re.search(r"(pool|verifier)\.verify(_many)?\(", path.read_text("utf-8"))
    }
    # The worker of a training run never opens the database; the scorer asks directly where it has no lab.
    own = {"o1lab/evaluate/scorers/math.py", "o1lab/train/trainer/probes.py"}
    assert direct == own
