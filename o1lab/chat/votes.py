"""Make a vote on a turn, and find the pairs of answers that votes decided."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from o1lab.chat.contestants import asked_with
from o1lab.chat.prefixes import by_others
from o1lab.errors import UsageError
from store import Store, branches, conversations
from store.conversations import Conversation, Message, Vote
from store.sqlite import Database


def ballot_on(
    conversation: Conversation,
    answers: Sequence[Message],
    winner: int | Literal["tie", "none"],
    annotator: str,
    *,
    blind: bool,
) -> Vote:
    """Make a vote.

    Args:
        conversation: the conversation.
        answers: the answers of one turn, in the order shown.
        winner: the pane of the preferred answer, ``tie``, or ``none`` if no answer is good.
        annotator: who votes.
        blind: whether the names were hidden.

    Raises:
        UsageError: there are not two answers, ``winner`` is not one of them, or not all of an answer is by the model
            of its pane.
    """
    panes = [one.pane for one in answers]
    if len(answers) < 2 or (isinstance(winner, int) and winner not in panes):
        raise UsageError("A vote needs two answers.", "Wait until they are complete.")
    models = {pane.position: pane.model for pane in conversation.panes}
    candidates = tuple(models[pane] for pane in panes if pane is not None)
    if any(by_others(one.spans, model) for one, model in zip(answers, candidates, strict=True)):
        raise UsageError(
            "An answer that its pane's model did not write alone cannot be voted on.",
            "Show a version of one model, or ask again.",
        )
    return Vote(
        conversation.id,
        answers[0].turn,
        models[winner] if isinstance(winner, int) else winner,
        candidates,
        blind,
        annotator,
        tuple(asked_with(one) for one in answers),
        winner if isinstance(winner, int) else None,
    )


def last_vote(store: Store, conversation: str, turn: int, annotator: str) -> Vote | None:
    """Return the vote of a person on a turn that counts."""
    with store.explained():
        votes = conversations.votes(store.db, conversation_id=conversation)
    return next((one for one in votes if one.turn == turn and one.annotator == annotator), None)


def seen_turns(store: Store, conversation: str, history: Sequence[Message], annotator: str) -> set[int]:
    """Return the turns that a person saw with the names of the models: those voted on, and the turns before them.

    Args:
        store: the lab's database.
        conversation: the conversation's id.
        history: its messages, those of all branches.
        annotator: the person.
    """
    with store.explained():
        voted = conversations.voted_turns(store.db, conversation, annotator)
    return {turn for one in voted for turn in branches.path(history, one)}


@dataclass(frozen=True)
class Preference:
    """Two answers of one turn, of which annotators preferred the first."""

    conversation: Conversation
    better: Message
    worse: Message


@dataclass
class Preferences:
    """What the votes of a lab say about pairs of answers, and how many votes say nothing, by reason."""

    found: list[Preference] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def preferences(db: Database, *, open_votes: bool = False) -> Preferences:
    """Return the pairs of answers that the votes decided, the winner of a turn with each of the others.

    The answers are the versions that were shown when the vote was given, whatever was asked or shown later. Where
    annotators contradict each other, the majority counts.

    Args:
        db: the lab's database.
        open_votes: also take votes that were given with the names of the models in sight.
    """
    made = Preferences()
    turns: dict[tuple[str, int], list[Vote]] = {}
    for ballot in conversations.votes(db):
        if ballot.winner in ("tie", "none"):
            made.left_out["a tie" if ballot.winner == "tie" else "no answer was good"] += 1
        elif not (ballot.blind or open_votes):
            made.left_out["not blind"] += 1
        else:
            turns.setdefault((ballot.conversation_id, ballot.turn), []).append(ballot)
    for (identity, turn), ballots in turns.items():
        conversation = conversations.get(db, identity)
        history = conversations.messages(db, identity, branches=True)
        answers = [one for one in history if one.turn == turn and one.pane is not None]
        counted: Counter[tuple[str, str]] = Counter()
        for ballot in ballots:
            if pairs := _decided(conversation, answers, ballot):
                counted.update(pairs)
            else:
                made.left_out["the winner is not one answer"] += 1
        known = {one.id: one for one in answers}
        for (better, worse), number in counted.items():
            against = counted[worse, better]
            if number > against:
                made.found.append(Preference(conversation, known[better], known[worse]))
                made.left_out["outvoted"] += against
            elif better < worse and number == against:
                made.left_out["contradicts another vote"] += number + against
    made.left_out = +made.left_out
    return made


def _decided(conversation: Conversation, answers: Sequence[Message], ballot: Vote) -> list[tuple[str, str]]:
    """Return (id of the winner, id of another answer) for each other answer of a ballot.

    Votes of earlier versions do not say which version of an answer was shown: theirs is the latest before them. What
    was saved later is never what was voted on, also where it replaced an answer under its id.
    """
    known = [one["answer"] for one in ballot.contestants if "answer" in one]
    shown: dict[int, Message] = {}
    for one in sorted(answers, key=lambda answer: answer.created_at):
        if one.created_at <= ballot.created_at and one.pane is not None and (not known or one.id in known):
            shown[one.pane] = one
    models = {pane.position: pane.model for pane in conversation.panes}
    panes = [one.get("pane") for one in ballot.contestants]
    voted = {
        pane: one for pane, one in shown.items() if (pane in panes if panes else models.get(pane) in ballot.candidates)
    }
    winners = [
        pane
        for pane in voted
        if (pane == ballot.winner_pane if ballot.winner_pane is not None else models[pane] == ballot.winner)
    ]
    if len(winners) != 1:
        return []
    return [(voted[winners[0]].id, one.id) for pane, one in voted.items() if pane != winners[0]]
