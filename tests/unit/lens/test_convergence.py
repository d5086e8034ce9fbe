"""Convergence of chains: places, prompts, first right and stable answers, what is overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest

from o1lab.chains.segmentation.moves import Move, MoveKind
from o1lab.lens.convergence import (
    CLOSING,
    OPENER,
    AnswerPrompt,
    Chain,
    Convergence,
    Point,
    converged,
    opener_of,
    sentences,
)
from o1lab.lens.forcing import chain_of
from store import open_store, traces
from store.continuations import ForcedAnswer
from store.filters import TraceQuery
from tests.support.lab_seed import make_lab

THOUGHT = "Add them. It is 11. Wait, 12."
MOVES = (Move(MoveKind.PLAN, 0, 10), Move(MoveKind.COMPUTE, 10, 20), Move(MoveKind.REFLECT, 20, len(THOUGHT)))
ASKED = ({"role": "user", "content": "7 + 5?"},)
CHAIN = Chain("t", ASKED, THOUGHT, "So \\boxed{12}", MOVES, ("12",))


def found(answers: list[str | None], *, gold: str = "12", tokens: bool = True) -> Convergence:
    right = [None if answer == "unverifiable" else answer == gold for answer in answers]
    pairs = zip(answers, right, strict=True)
    points = (Point(10 * at, 10 * at if tokens else None, *one) for at, one in enumerate(pairs))
    return Convergence("m", tuple(points), "gold")


@pytest.mark.parametrize(
    ("answers", "places"),
    [
        (["1", "12", "12", "12"], (1, 1, 20, 0, False)),
        (["12", "11", "12", "12"], (0, 2, 10, 1, False)),
        (["12", "12", "12"], (0, 0, 20, 0, False)),
        (["1", "12", "11", "12", "11"], (1, 4, 0, 2, True)),
        (["1", "2", "3"], (None, 2, 0, 0, False)),
        (["12", None, "12"], (0, 2, 0, 0, False)),
        (["12", "12", None], (0, None, None, 0, False)),
        (["12", None, "11"], (0, 2, 0, 1, True)),
        (["12", "unverifiable", "12"], (0, 2, 0, 0, False)),
        (["12", "11", "unverifiable"], (0, 2, 0, 1, False)),
        (["1", "0.5", "\\frac{1}{2}"], (None, 1, 10, 0, False)),
    ],
)
def test_where_answers_are_right_and_where_they_stay(answers: list[str | None], places: tuple[object, ...]) -> None:
    one = found(answers)
    assert (one.first_right, one.stable, one.tokens_after, one.overwritten, one.lost) == places


def test_without_counts_of_tokens_the_places_are_known() -> None:
    one = found(["1", "12"], tokens=False)
    assert (one.stable, one.tokens_after, one.tokens) == (1, None, None)
    assert sentences(one) == ["The answer is stable from place 1 of 1."]


def test_sentences_say_what_was_overwritten_and_by_what_answers_are_judged() -> None:
    assert sentences(found(["12", "11"])) == [
        "The answer is stable from place 1 of 1; 0 of 10 tokens come after it.",
        "A right answer was overwritten once; the last answer is wrong.",
    ]
    own = Convergence("m", found(["12", None]).points, "own")
    assert sentences(own)[0] == "At the end of the thought the model gives no answer, so none is stable."
    assert "The chain's own answer counts as right." in sentences(own)


def test_a_chain_is_cut_before_it_and_after_each_move() -> None:
    assert CHAIN.cuts == (0, 10, 20, len(THOUGHT))
    assert Chain("t", ASKED, THOUGHT, "", MOVES[:1]).cuts == (0, 10, len(THOUGHT)), "also at its end"
    assert CHAIN.targets == ("12",)
    assert Chain("t", ASKED, THOUGHT, "\\boxed{13}", MOVES).targets == ("13",), "its own answer, without gold"
    assert Chain("t", ASKED, "Hm.", "", ()).targets == ()
    other = Chain("u", ASKED, THOUGHT, "else", (), ("1",))
    assert CHAIN.key == other.key, "what was asked and thought counts alone"
    assert CHAIN.key != Chain("t", ASKED, THOUGHT + " ", "", MOVES).key


@pytest.mark.parametrize(
    ("solution", "opener"),
    [
        ("\\boxed{12}", "\\boxed{"),
        ("We add.\n\n**Answer:** $\\boxed{12}$", "**Answer:** $\\boxed{"),
        ("The answer is \\boxed{12}.", "The answer is \\boxed{"),
        ("So x = 12 = \\boxed{12}", OPENER),
        ("Twelve.", OPENER),
        ("", OPENER),
    ],
)
def test_the_answer_is_opened_as_the_chain_opens_its_own_without_revealing_it(solution: str, opener: str) -> None:
    if opener.startswith("**"):
        opener = OPENER  # bold marks stand around the word; the usual opener says the same
    assert opener_of(solution) == opener


@pytest.mark.parametrize(
    ("reply", "whole", "answer"),
    [
        ("12}", True, "12"),
        ("\\frac{1}{2}}$ and more", True, "\\frac{1}{2}"),
        ("12", True, "12"),
        ("\\frac{1}{2", True, "\\frac{1}{2}"),
        ("12 and then I", False, None),
        ("", True, None),
        ("12}. Wait", False, "12"),
    ],
)
def test_the_answer_in_what_a_model_wrote(reply: str, whole: bool, answer: str | None) -> None:
    prompt = AnswerPrompt.of(CHAIN, "\\boxed{")
    assert prompt.prefix(CHAIN, 10) == f"<think>\nAdd them.{CLOSING}\\boxed{{"
    assert prompt.answer(reply, whole=whole) == answer


def test_a_chain_has_no_convergence_until_all_its_places_have_an_answer() -> None:
    answers = [
        ForcedAnswer(CHAIN.key, "m", "how", cut, "base", 30 + cut, "12}", "12") for cut in (0, 5, 10, 20, len(THOUGHT))
    ]
    right = [False, None, True, True, True]
    whole = converged(CHAIN, answers, right)
    assert whole is not None and [one.position for one in whole.points] == list(CHAIN.cuts)
    assert (whole.tokens, whole.tokens_after, whole.first_right, whole.stable) == (len(THOUGHT), len(THOUGHT), 1, 0)
    assert converged(CHAIN, answers[:-1], right[:-1]) is None
    assert converged(CHAIN, [], []) is None


def test_the_traces_of_a_problem_are_drawn_together(tmp_path: Path) -> None:
    store = open_store(make_lab(tmp_path / "lab", 8).database)
    chains = [chain_of(store.db, one) for one in traces.ids(store.db, TraceQuery())]
    store.close()
    assert len(chains) == 8 and len({chain.cluster for chain in chains}) == 2, "four authors for each problem"
