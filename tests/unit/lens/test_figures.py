"""Figures of scored chains, without a model."""

from __future__ import annotations

import pytest

from o1lab.chains.segmentation.moves import Move, MoveKind
from o1lab.lens.figures import Loss, ScoredToken, differences, losses_by_kind, losses_by_move, scored_tokens, surprises
from o1lab.lens.scoring import losses_of
from store.token_scores import TokenScores

TOKENS = {
    "part": ["mark", "thought", "thought", "thought", "mark", "solution"],
    "start": [0, 0, 3, 9, 0, 0],
    "end": [8, 3, 9, 12, 9, 2],
    "text": ["<think>\n", "7 +", " 5 = 1", "2.", "</think>", "12"],
    "logprob": [-9.0, -1.0, -3.5, -0.5, -9.0, -2.0],
    "rank": [7, 1, 4, 1, 9, 2],
    "entropy": [1.0, 0.5, 2.0, 0.25, 1.0, 0.75],
    "top": [[], [["7 +", -1.0]], [], [], [], []],
}
SCORES = TokenScores("t", "m", "base", {}, TOKENS)
MOVES = [Move(MoveKind.PLAN, 0, 9), Move(MoveKind.VERIFY, 9, 10), Move(MoveKind.PLAN, 10, 12)]


def token(start: int, loss: float, part: str = "thought") -> ScoredToken:
    return ScoredToken(part, start, start + 1, "x", loss, 1, 0.0, ())


def test_the_marks_of_the_format_count_in_no_other_part() -> None:
    assert losses_of(TOKENS) == {"thought": (3, pytest.approx(5 / 3)), "solution": (1, 2.0), "mark": (2, 9.0)}
    assert [one.start for one in scored_tokens(SCORES)] == [0, 3, 9, 0]
    assert scored_tokens(SCORES)[0].top == (("7 +", -1.0),)


def test_a_token_counts_in_the_move_that_has_its_last_character() -> None:
    tokens = scored_tokens(SCORES)
    assert losses_by_move(tokens, MOVES) == [Loss(2, 2.25), Loss(0, 0.0), Loss(1, 0.5)]
    assert losses_by_kind(tokens, MOVES) == {"plan": Loss(3, pytest.approx(5 / 3))}
    assert losses_by_move(tokens, []) == [] and losses_by_kind(tokens, []) == {}
    assert losses_by_move(tokens, [Move(MoveKind.PLAN, 0, 2)], "solution") == [Loss(1, 2.0)]


def test_the_first_word_of_a_move_inside_a_line_counts_in_it_and_an_empty_line_in_the_move_before() -> None:
    # "11. Wait\n\nSo": the moves begin at "Wait" and at "So".
    moves = [Move(MoveKind.COMPUTE, 0, 4), Move(MoveKind.REFLECT, 4, 10), Move(MoveKind.CONCLUDE, 10, 12)]
    places = [("11", 0, 2), (".", 2, 3), (" Wait", 3, 8), ("\n\n", 8, 10), ("", 10, 10), ("So", 10, 12)]
    tokens = [ScoredToken("thought", start, end, text, 1.0, 1, 0.0, ()) for text, start, end in places]
    assert [one.tokens for one in losses_by_move(tokens, moves)] == [2, 2, 2]


def test_kinds_count_by_their_tokens() -> None:
    tokens = [token(0, 1.0), token(1, 1.0), token(2, 4.0)]
    moves = [Move(MoveKind.PLAN, 0, 2), Move(MoveKind.PLAN, 2, 3)]
    assert losses_by_kind(tokens, moves) == {"plan": Loss(3, 2.0)}


def test_models_differ_where_both_have_a_token() -> None:
    ours, theirs = (
        [token(0, 1.0), token(1, 2.0), token(5, 1.0)],
        [token(0, 3.0), token(1, 0.5), token(0, 9.0, "solution")],
    )
    assert [(one.start, one.loss) for one in differences(ours, theirs)] == [(0, -2.0), (1, 1.5)]


def test_the_bytes_of_a_character_count_together() -> None:
    pieces = [token(0, 6.0), token(0, 0.1), token(0, 0.2), token(1, 1.0)]
    assert [one.loss for one in differences(pieces, pieces)] == [0.0, 0.0]
    assert [one.loss for one in differences(pieces, [token(0, 2.0), token(1, 1.0)])] == [pytest.approx(4.3), 0.0]


def test_surprises_are_unlikely_tokens() -> None:
    assert [one.loss for one in surprises(scored_tokens(SCORES))] == [3.5]
