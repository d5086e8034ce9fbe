"""The votes of a lab as people and programs read them: strengths, a tally for each prompt tag, and each vote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from o1lab.chat.contestants import completed, contestants_of
from o1lab.chat.strengths import RESAMPLES, Ranking, Standing, rank, winner_of
from o1lab.format import aligned, counted
from o1lab.text import one_line
from store import conversations, prompt_tags
from store.conversations import Vote
from store.sqlite import Database


@dataclass(frozen=True)
class Votes:
    """The votes that count, with what they were cast on.

    Attributes:
        votes: the votes, each with its contestants.
        questions: the question of each.
        tags: the tags of each question.
    """

    votes: tuple[Vote, ...]
    questions: tuple[str, ...]
    tags: tuple[tuple[str, ...], ...]

    def ranking(self) -> Ranking:
        """Return the strengths of all contestants."""
        return rank(self.votes)

    def by_tag(self) -> dict[str, Ranking]:
        """Return the tally of the votes on the prompts with each tag, without strengths' intervals."""
        tagged: dict[str, list[Vote]] = {}
        for ballot, tags in zip(self.votes, self.tags, strict=True):
            for tag in tags:
                tagged.setdefault(tag, []).append(ballot)
        return {tag: rank(votes, resamples=0) for tag, votes in sorted(tagged.items())}

    def as_json(self) -> list[dict[str, Any]]:
        """Return each vote with its question, tags and contestants."""
        items = []
        for ballot, question, tags in zip(self.votes, self.questions, self.tags, strict=True):
            place = winner_of(ballot)
            items.append({
                "id": ballot.id, "conversation": ballot.conversation_id, "turn": ballot.turn, "question": question,
                "tags": list(tags), "annotator": ballot.annotator, "blind": ballot.blind,
                "created_at": ballot.created_at, "winner": ballot.winner, "winner_place": place,
                "contestants": [
                    {"pane": one.get("pane"), "model": each.model, "settings": each.settings()}
                    for one, each in zip(ballot.contestants, contestants_of(ballot), strict=True)
                ],
            })  # fmt: skip
        return items


def read(db: Database, *, blind: bool = False, round: str | None = None) -> Votes:
    """Read the votes that count.

    Args:
        db: the lab's database.
        blind: only votes that were given while the names were hidden.
        round: only those on the answers of this round.
    """
    votes = completed(db, [one for one in conversations.votes(db, round=round) if one.blind or not blind])
    asked = conversations.questions(db, [(one.conversation_id, one.turn) for one in votes])
    questions = [asked[one.conversation_id, one.turn] for one in votes]
    tags = prompt_tags.of_prompts(db, questions)
    return Votes(tuple(votes), tuple(questions), tuple(tuple(tags[one]) for one in questions))


def ranking_lines(found: Ranking) -> list[str]:
    """Return a table of the contestants: strength, interval, counts; and what they are."""
    if not found.votes:
        return ["No vote yet: in Compare, 1 to 9 vote for an answer, 0 is a tie, - none good."]
    head = ("STRENGTH", "95% INTERVAL", "WINS", "LOSSES", "TIES", "NONE", "SHOWN", "CONTESTANT")
    lines: list[str] = []
    parts = [[one for one in found.standings if one.group == group] for group in (*range(1, found.groups + 1), None)]
    for part in filter(None, parts):
        if lines:
            first = part[0].group
            lines += [
                "",
                "Not compared with any of the above:" if first is not None else "Only in votes that chose no answer:",
            ]
        lines += aligned([head, *(_row(one) for one in part)], right=range(7))
    lines += [
        "",
        f"{counted(found.votes, 'vote')} on {counted(found.questions, 'question')}: {found.blind:,} blind, "
        f"{counted(found.ties, 'tie')}, {found.none:,} with none good. The last vote of each annotator counts.",
        "Strength (Bradley-Terry): log-odds against the mean of the group; a difference of 1.1 wins 3 times of 4.",
        f"A tie is half a win each. Intervals: bootstrap over questions, {RESAMPLES:,} resamples.",
    ]
    return lines


def tally_lines(tags: dict[str, Ranking]) -> list[str]:
    """Return a table of wins, losses and ties for each prompt tag; empty if no prompt has one."""
    if not tags:
        return []
    head = ("WINS", "LOSSES", "TIES", "NONE", "TAG", "CONTESTANT")
    rows = [
        (
            f"{one.wins:,}",
            f"{one.losses:,}",
            f"{one.ties:,}",
            f"{one.none:,}",
            one_line(tag, 30),
            one_line(one.name, 60),
        )
        for tag, found in tags.items()
        for one in found.standings
    ]
    return aligned([head, *rows], right=range(4))


def _row(one: Standing) -> tuple[str, ...]:
    strength = "-" if one.strength is None else f"{one.strength:+.2f}"
    interval = "-" if one.low is None or one.high is None else f"{one.low:+.2f} to {one.high:+.2f}"
    counts = (f"{getattr(one, name):,}" for name in ("wins", "losses", "ties", "none", "shown"))
    return (strength, interval, *counts, one_line(one.name, 80))


def my_line(votes: Sequence[Vote], models: Sequence[str]) -> str:
    """Return a line with the wins of these models, such as ``votes: solver 3/5``; empty without votes on them."""
    shown = [one for one in rank(votes, resamples=0).standings if one.contestant.model in models]
    return "votes: " + " · ".join(f"{one.name} {one.wins}/{one.shown}" for one in shown) if shown else ""
