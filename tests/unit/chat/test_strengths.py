"""Bradley-Terry strengths: equal to another algorithm, finite, only among those that have met, honest intervals."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from o1lab.chat import ranking
from o1lab.chat.strengths import PRIOR, Ranking, fit, rank
from store import Store, conversations, open_store, problems, prompt_tags
from store.conversations import Vote
from store.records import NewProblem
from tests.support.votes import conversation, turn, vote


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "lab.db")
    yield opened
    opened.close()


def ballot(number: int, winner: str, *models: str, by: str = "ann", blind: bool = True) -> Vote:
    """A vote on a question of its own, between models with the same settings."""
    asked = tuple({"pane": pane, "temperature": 0.0} for pane in range(len(models)))
    place = models.index(winner) if winner in models else None
    return Vote(f"c{number}", 1, winner, models, blind, by, asked, place)


def strengths(found: Ranking) -> dict[str, float | None]:
    return {one.name: one.strength for one in found.standings}


def by_minorisation(wins: np.ndarray) -> np.ndarray:
    """Hunter (2004), "MM algorithms for generalized Bradley-Terry models", algorithm (3)."""
    games, worth = wins + wins.T, np.ones(len(wins))
    for _ in range(20_000):
        shared = games / (worth[:, None] + worth[None, :])
        np.fill_diagonal(shared, 0)
        worth = wins.sum(axis=1) / shared.sum(axis=1)
        worth /= np.exp(np.log(worth).mean())
    return np.log(worth)


def test_the_fit_is_the_maximum_of_the_likelihood() -> None:
    rng = np.random.default_rng(3)
    for size in (2, 3, 6):
        wins = rng.integers(0, 9, (4, size, size)).astype(float) + PRIOR
        wins[:, np.arange(size), np.arange(size)] = 0
        found = fit(wins)
        assert np.abs(found.mean(axis=1)).max() < 1e-9
        for one, other in zip(found, wins, strict=True):
            assert one == pytest.approx(by_minorisation(other), abs=1e-6)


def test_two_models_have_the_log_odds_of_their_wins() -> None:
    votes = [ballot(n, "a" if n < 30 else "b", "a", "b") for n in range(40)]
    votes += [ballot(40 + n, "tie", "a", "b") for n in range(10)]
    found = strengths(rank(votes))
    odds = math.log((30 + 5 + PRIOR) / (10 + 5 + PRIOR))
    assert found["a"] - found["b"] == pytest.approx(odds, abs=1e-6)


def test_a_side_that_always_wins_stays_finite() -> None:
    found = rank([ballot(n, "a", "a", "b") for n in range(200)])
    best, worst = found.standings
    assert (best.name, best.wins, worst.losses) == ("a", 200, 200)
    assert best.strength - worst.strength == pytest.approx(math.log(200.5 / 0.5), abs=1e-6)


def test_only_those_that_have_met_are_compared() -> None:
    votes = [ballot(1, "a", "a", "b"), ballot(2, "b", "b", "c"), ballot(3, "x", "x", "y"), ballot(4, "none", "c", "x")]
    found = rank([*votes, ballot(5, "none", "z", "x")])
    assert {one.name: one.group for one in found.standings} == {"a": 1, "b": 1, "c": 1, "x": 2, "y": 2, "z": None}
    groups: dict[int | None, list[float | None]] = {}
    for one in found.standings:
        groups.setdefault(one.group, []).append(one.strength)
    assert groups[None] == [None]
    assert sum(groups[1]) == pytest.approx(0, abs=1e-9)
    assert sum(groups[2]) == pytest.approx(0, abs=1e-9)
    assert (found.groups, found.none, found.ties, found.questions) == (2, 2, 0, 5)
    text = "\n".join(ranking.ranking_lines(found))
    assert "Not compared with any of the above" in text
    assert "Only in votes that chose no answer" in text


def test_a_vote_among_several_is_a_win_over_each() -> None:
    found = rank([ballot(1, "a", "a", "b", "c"), ballot(2, "tie", "a", "b", "c")])
    assert {one.name: (one.wins, one.losses, one.ties) for one in found.standings} == {
        "a": (1, 0, 1), "b": (0, 1, 1), "c": (0, 1, 1),
    }  # fmt: skip
    known = strengths(found)
    assert known["a"] > known["b"] == pytest.approx(known["c"], abs=1e-9)


def test_a_model_with_other_settings_is_another_contestant() -> None:
    asked = ({"pane": 0, "temperature": 0.0, "system": "S"}, {"pane": 1, "temperature": 0.7, "system": "S"})
    votes = [Vote(f"c{n}", 1, "m", ("m", "m"), True, "ann", asked, 1) for n in range(3)]
    best, worst = rank(votes).standings
    assert (best.name, best.wins) == ("m (temperature 0.7)", 3)
    assert (worst.name, worst.losses) == ("m (temperature 0)", 3)
    assert best.as_json()["settings"]["system"] == "S"


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    chance, rng, covered, rounds = 0.7, random.Random(5), 0, 120
    truth = math.log(chance / (1 - chance)) / 2
    for _ in range(rounds):
        votes = [ballot(n, "a" if rng.random() < chance else "b", "a", "b") for n in range(80)]
        best = next(one for one in rank(votes, resamples=300).standings if one.name == "a")
        covered += best.low <= truth <= best.high
    assert 0.87 <= covered / rounds <= 1.0


def test_several_votes_on_one_question_are_drawn_together() -> None:
    alone = rank([ballot(n, "a" if n % 3 else "b", "a", "b") for n in range(30)]).standings[0]
    votes = [ballot(n, "a" if n % 3 else "b", "a", "b", by=f"p{person}") for n in range(30) for person in range(9)]
    together = rank(votes).standings[0]
    assert together.high - together.low > 0.9 * (alone.high - alone.low)  # nine equal votes say no more than one
    assert rank([ballot(1, "a", "a", "b")]).standings[0].low is None


def test_votes_are_counted_for_each_tag_of_their_prompt(store: Store) -> None:
    with store.db.atomic():
        problems.add(store.db, [NewProblem("2 + 2?", "sums", answer="4")])
    conversations.save_prompt_set(store.db, "mine", ["2 + 2?", "A poem?"])
    prompt_tags.give(store.db, "A  poem?", ["style", "hard", "style"])
    for question, winner in (("2 + 2?", "left"), ("A poem?", "right"), ("Other?", "tie")):
        record = conversation(store)
        turn(store, record, 1, question, ["x", "y"])
        vote(store, record, winner, blind=question != "Other?")
    found = ranking.read(store.db)
    assert found.tags == (("set:mine", "source:sums"), ("hard", "style", "set:mine"), ())
    tallies = {tag: {s.name: s.wins for s in each.standings} for tag, each in found.by_tag().items()}
    assert tallies == {
        "hard": {"left": 0, "right": 1}, "set:mine": {"left": 1, "right": 1}, "source:sums": {"left": 1, "right": 0},
        "style": {"left": 0, "right": 1},
    }  # fmt: skip
    assert len(ranking.read(store.db, blind=True).votes) == 2
    assert "source:sums" in "\n".join(ranking.tally_lines(found.by_tag()))
    item = found.as_json()[0]
    assert (item["winner_place"], item["question"], item["contestants"][1]["model"]) == (0, "2 + 2?", "right")
    prompt_tags.give(store.db, "A poem?", [])
    assert prompt_tags.known(store.db) == []


def test_without_votes_the_text_says_how_to_vote() -> None:
    assert "No vote yet" in ranking.ranking_lines(rank([]))[0]
