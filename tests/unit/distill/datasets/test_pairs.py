"""Datasets of pairs: from votes, from right and wrong chains, and what is left out of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from o1lab.cli.dataset_output import dataset_line
from o1lab.distill.datasets.card import card, export_with_card
from o1lab.distill.datasets.pairs import PairsPlan, make_pairs
from o1lab.distill.datasets.selection import mix
from o1lab.errors import NotFoundError, UsageError
from o1lab.paths import Lab
from o1lab.serve.registry import ModelRef
from store import Store, conversations, datasets, open_store, pairs, traces
from store import annotations as annotation_log
from store.errors import NameTakenError, WrongKindError
from store.filters import TraceQuery
from store.records import Dataset
from tests.support import lab_seed, votes

VOTES = PairsPlan(TraceQuery(), ("votes",))
CHAINS = PairsPlan(TraceQuery(), ("chains",))


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return lab_seed.make_lab(tmp_path / "lab", 12)  # three problems with two right, a wrong and a truncated chain


@pytest.fixture
def seeded(lab: Lab) -> Iterator[Store]:
    opened = open_store(lab.database)
    yield opened
    opened.close()


def gone(model: str) -> ModelRef:
    raise NotFoundError(f"There is no model {model}.")


def make(store: Store, plan: PairsPlan, name: str = "pairs") -> Dataset:
    return make_pairs(store, name, plan, gone)


def texts(store: Store, name: str = "pairs") -> list[tuple[str, str, str]]:
    return [(row.chosen.statement, row.chosen.solution, row.rejected.solution) for row in pairs.rows(store.db, name)]


def test_the_winner_of_a_blind_vote_is_the_better_answer(store: Store) -> None:
    votes.voted(store, "Why is the sky blue?", "It scatters.", "It is.")
    made = make(store, VOTES)
    assert (made.kind, made.rows) == ("pairs", 1)
    assert "  1 pair  " in dataset_line(made)
    assert texts(store) == [("Why is the sky blue?", "It scatters.", "It is.")]
    row = next(pairs.rows(store.db, "pairs"))
    assert (row.chosen.model, row.rejected.model, row.chosen.source) == ("left", "right", "chat")
    assert datasets.get(store.db, "pairs") == made
    assert make(store, VOTES) == replace(made, selection=made.selection)  # the same content again is no error


def test_of_three_answers_the_winner_is_paired_with_each(store: Store) -> None:
    record = votes.conversation(store, ("a", "b", "c"))
    votes.turn(store, record, 1, "Which?", ["one", "two", "three"])
    votes.vote(store, record, "b")
    make(store, VOTES)
    assert sorted(texts(store)) == [("Which?", "two", "one"), ("Which?", "two", "three")]


def test_votes_that_say_nothing_of_a_pair_are_counted(store: Store) -> None:
    votes.voted(store, "Kept?", "yes", "no")
    for winner, blind in (("tie", True), ("none", True), ("left", False)):
        record = votes.conversation(store)
        votes.turn(store, record, 1, f"{winner} {blind}", ["yes", "no"])
        votes.vote(store, record, winner, blind=blind)
    same = votes.conversation(store, ("one", "one"))
    votes.turn(store, same, 1, "Same model?", ["yes", "no"])
    votes.vote(store, same, "one")
    cut = votes.conversation(store)
    votes.turn(store, cut, 1, "Cut?", ["yes", "no"], finish_reason="length")
    votes.vote(store, cut, "left")
    equal = votes.conversation(store)
    votes.turn(store, equal, 1, "Equal?", ["yes", "yes"])
    votes.vote(store, equal, "left")
    made = make(store, VOTES)
    assert texts(store) == [("Kept?", "yes", "no")]
    assert made.selection["left_out_votes"] == {
        "a tie": 1, "no answer was good": 1, "not blind": 1, "the winner is not one answer": 1,
        "an answer is empty or was cut off": 1, "both answers are the same": 1,
    }  # fmt: skip
    assert make(store, replace(VOTES, open_votes=True), "open").rows == 2


def test_votes_on_excluded_problems_and_rejected_answers_make_no_pair(store: Store) -> None:
    for number in range(3):
        votes.voted(store, f"Question {number}?", f"better {number}", f"worse {number}")
    make(store, VOTES, "before")
    made = list(pairs.rows(store.db, "before"))
    store.db.execute("UPDATE problems SET excluded_by = 'contaminated' WHERE id = ?", [made[0].chosen.problem_id])
    annotation_log.annotate(store.db, made[1].chosen.trace_id, "decision", "reject", annotator="ann")
    annotation_log.annotate(store.db, made[2].rejected.trace_id, "decision", "reject", annotator="ann")
    after = make(store, VOTES)
    assert [row.chosen.trace_id for row in pairs.rows(store.db, "pairs")] == [made[2].chosen.trace_id]
    assert after.selection["left_out_votes"] == {"problem excluded: contaminated": 1, "rejected by hand": 1}


def test_a_pair_has_one_prompt(store: Store) -> None:
    record = votes.conversation(store)
    votes.turn(store, record, 1, "First?", ["one", "two"])
    votes.turn(store, record, 2, "Second?", ["three", "four"])  # asked after different answers
    votes.vote(store, record, "left", number=2)
    with pytest.raises(UsageError, match="1 the answers have other system messages or earlier turns"):
        make(store, VOTES)
    other = votes.conversation(store)
    votes.turn(store, other, 1, "Third?", ["one", "two"], system="Be brief.")
    votes.vote(store, other, "right")
    make(store, VOTES)
    row = next(pairs.rows(store.db, "pairs"))
    assert [dict(turn) for turn in row.rejected.context] == [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Third?"},
    ]  # fmt: skip
    assert row.chosen.context == row.rejected.context


def test_a_vote_is_about_the_answers_that_stood_there(store: Store) -> None:
    record = votes.conversation(store)
    (first, _) = votes.turn(store, record, 1, "Again?", ["good", "bad"])
    votes.vote(store, record, "left")
    conversations.save_message(store.db, replace(first, shown=False))
    votes.answer(store, record, 1, 0, "worse than before")
    make(store, VOTES)
    assert texts(store) == [("Again?", "good", "bad")]


def test_persons_who_contradict_each_other_are_outvoted_or_cancel_out(store: Store) -> None:
    split, clear = votes.conversation(store), votes.conversation(store)
    for record, question in ((split, "Split?"), (clear, "Clear?")):
        votes.turn(store, record, 1, question, ["one", "two"])
        votes.vote(store, record, "left", by="ann")
        votes.vote(store, record, "right", by="bob")
    votes.vote(store, clear, "right", by="eve")
    made = make(store, VOTES)
    assert texts(store) == [("Clear?", "two", "one")]
    assert made.selection["left_out_votes"] == {"contradicts another vote": 2, "outvoted": 1}


def test_a_right_chain_is_better_than_a_wrong_one_of_its_problem(seeded: Store) -> None:
    made = make(seeded, CHAINS)
    assert made.rows == 6  # three problems, two right chains, one wrong
    rows = list(pairs.rows(seeded.db, "pairs"))
    assert {(row.chosen.verdict, row.rejected.verdict) for row in rows} == {("correct", "incorrect")}
    assert all(row.chosen.problem_id == row.rejected.problem_id for row in rows)
    assert datasets.drop_counts(seeded.db, "pairs") == {"neither correct nor incorrect": 3}
    assert made.tokens == sum((row.chosen.tokens or 0) + (row.rejected.tokens or 0) for row in rows)


def test_at_most_so_many_pairs_of_a_problem_are_drawn_by_the_seed(seeded: Store) -> None:
    one, again = (make(seeded, replace(CHAINS, per_problem=1, seed=seed), f"s{seed}") for seed in (1, 1))
    assert one == again
    assert one.rows == 3
    assert datasets.drop_counts(seeded.db, "s1")["more pairs than were asked for"] == 3
    drawn = {make(seeded, replace(CHAINS, per_problem=1, seed=seed), f"d{seed}").hash for seed in range(6)}
    assert len(drawn) > 1


def test_lengths_are_balanced_by_leaving_out_the_most_unequal(seeded: Store) -> None:
    record = votes.conversation(seeded)
    votes.turn(seeded, record, 1, "Short?", ["brief", "a much longer answer"])
    votes.vote(seeded, record, "left")
    plan = PairsPlan(TraceQuery())
    plain, balanced = make(seeded, plan), make(seeded, replace(plan, balance_length=True), "balanced")
    assert (plain.rows, plain.selection["longer_chosen"]) == (7, 6)
    assert (balanced.rows, balanced.selection["longer_chosen"]) == (2, 1)
    assert balanced.selection["pairs"] == {"votes": 1, "chains": 1}
    sizes = [len(row.chosen.thought) for row in pairs.rows(seeded.db, "pairs") if row.chosen.source != "chat"]
    kept = [len(row.chosen.thought) for row in pairs.rows(seeded.db, "balanced") if row.chosen.source != "chat"]
    assert kept == [min(sizes)]
    with pytest.raises(UsageError, match="left out to balance the lengths"):
        make(seeded, replace(CHAINS, balance_length=True), "none")


def test_a_decision_of_a_person_overrules_the_verdict(seeded: Store) -> None:
    wrong = next(pairs.rows(seeded.db, make(seeded, CHAINS).name)).rejected.trace_id
    annotation_log.annotate(seeded.db, wrong, "decision", "accept", annotator="ann")
    assert make(seeded, CHAINS, "fewer").rows == 4
    with pytest.raises(UsageError, match="There is no pair") as raised:
        make(seeded, replace(CHAINS, by="decision"), "by hand")
    assert "its problem has no wrong chain" in raised.value.message
    right = next(row.chosen.trace_id for row in pairs.rows(seeded.db, "pairs") if row.rejected.trace_id == wrong)
    annotation_log.annotate(seeded.db, right, "decision", "reject", annotator="ann")
    make(seeded, replace(CHAINS, by="decision"), "by hand")
    assert pairs.ids(seeded.db, "by hand") == [(wrong, right)]


def test_a_lab_without_votes_says_what_to_do(store: Store) -> None:
    with pytest.raises(UsageError) as raised:
        make(store, PairsPlan(TraceQuery()))
    assert raised.value.message == "There is no pair (votes: none in the lab; chains: none in the lab)."
    assert raised.value.code == "no_pairs"
    assert "Vote between answers in Compare" in raised.value.hint


def test_what_needs_single_answers_refuses_pairs(seeded: Store, lab: Lab, tmp_path: Path) -> None:
    make(seeded, CHAINS)
    datasets.create(seeded.db, "single", TraceQuery.parse("verdict:correct"))
    for refused in (
        lambda: mix(seeded, ["single", "pairs"]),
        lambda: datasets.get(seeded.db, "pairs", kind="sft"),
        lambda: list(pairs.rows(seeded.db, "single")),
        lambda: export_with_card(lab, seeded, "pairs", "messages", tmp_path / "out.jsonl"),
    ):
        with pytest.raises(WrongKindError):
            refused()
    with pytest.raises(NameTakenError):
        make(seeded, CHAINS, "single")


def test_pairs_are_exported_as_trl_reads_them_with_their_card(seeded: Store, lab: Lab, tmp_path: Path) -> None:
    made = make(seeded, CHAINS)
    written = export_with_card(lab, seeded, "pairs", "pairs", tmp_path / "out.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    assert written.rows == len(rows) == made.rows
    assert rows[0]["prompt"][0]["role"] == "user"
    assert [turn["role"] for turn in (*rows[0]["chosen"], *rows[0]["rejected"])] == ["assistant", "assistant"]
    assert rows[0]["chosen"][0]["content"].startswith("<think>\n")
    assert (rows[0]["chosen_verdict"], rows[0]["rejected_verdict"]) == ("correct", "incorrect")
    page = "".join(card(lab, seeded, "pairs"))
    assert "6 rows" in page
    assert "Pairs: a row has a better and a worse answer" in page
    assert "right or wrong by the verifier's verdict; at most 4 pairs per problem" in page
    assert "| correct | 6 |" in page
    assert "| incorrect | 6 |" in page


def test_the_filter_dataset_finds_both_answers(seeded: Store) -> None:
    make(seeded, replace(CHAINS, per_problem=1))
    query = TraceQuery.parse("dataset:pairs")
    assert set(traces.ids(seeded.db, query)) == {one for pair in pairs.ids(seeded.db, "pairs") for one in pair}
    others = traces.ids(seeded.db, TraceQuery.parse("-dataset:pairs"))
    assert len(others) == 12 - 6
