"""Make datasets of pairs for preference training: from votes in Compare, and from right and wrong chains of a problem.

The answers that persons voted on become traces of the lab. Both answers of a pair have the same question and context.
What was left out is counted with its reason: votes in the dataset's ``selection``, chains as its dropped traces.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from random import Random
from statistics import median
from typing import Any, Literal, get_args

from o1lab.chat.export import add_to_traces, asked_for, is_complete
from o1lab.chat.panes import model_of
from o1lab.chat.votes import Preference, preferences
from o1lab.distill.datasets.selection import RULES, Rule, why_not
from o1lab.errors import UsageError
from o1lab.serve.registry import ModelRef
from store import Store, conversations, selecting
from store import pairs as pair_rows
from store.filters import TraceQuery
from store.records import Dataset, context_of
from store.selecting import Candidate

PAIRS_VERSION = 1
Source = Literal["votes", "chains"]
By = Literal["verdict", "decision"]
SOURCES: tuple[Source, ...] = get_args(Source)
_RIGHT = {"verdict": ("correct", "incorrect"), "decision": ("accept", "reject")}
_NEITHER = {"verdict": "neither correct nor incorrect", "decision": "neither accepted nor rejected"}
_OF_WRONG = [rule for rule in RULES if rule != "rejected"]
_OF_VOTES: list[Rule] = ["rejected", "evaluation", "excluded"]
_UNBALANCED = "left out to balance the lengths"
_PHASE = 2
_ALIKE = math.log(1.05)
"""Lengths that differ by less than a twentieth teach no length."""


@dataclass(frozen=True)
class PairsPlan:
    """How pairs are made.

    Attributes:
        query: The traces that chains are taken from.
        sources: Where the pairs come from.
        by: What makes a chain right or wrong: the verifier's ``verdict``, or the ``decision`` of persons.
        per_problem: The largest number of pairs of chains of one problem.
        balance_length: Whether the better answer is the longer one in as many pairs as the shorter one. Lengths that
            differ by less than 5 % are alike.
        open_votes: Whether votes count that were given while the names of the models were shown.
        seed: Seed of the draw among the chains of a problem.
    """

    query: TraceQuery
    sources: Sequence[Source] = SOURCES
    by: By = "verdict"
    per_problem: int = 4
    balance_length: bool = False
    open_votes: bool = False
    seed: int = 0


@dataclass(frozen=True)
class Pair:
    """Two traces, the better one first, with the lengths of what they teach, in characters."""

    chosen: str
    rejected: str
    lengths: tuple[int, int]
    source: Source

    @property
    def ratio(self) -> float:
        """How much longer the better answer is, as a logarithm; below 0 if it is shorter, 0 if both are alike."""
        found = math.log((self.lengths[0] + 1) / (self.lengths[1] + 1))
        return found if abs(found) > _ALIKE else 0.0


@dataclass
class Found:
    """The pairs, and what was left out: votes by reason, and traces with their reasons."""

    pairs: list[Pair] = field(default_factory=list)
    votes: Counter[str] = field(default_factory=Counter)
    drops: dict[str, str] = field(default_factory=dict)

    def selection(self, plan: PairsPlan) -> dict[str, Any]:
        """Return how the pairs were made, as the dataset keeps it."""
        chosen = {name: value for name, value in asdict(plan).items() if name != "query"}
        lengths = [median(one.lengths[side] for one in self.pairs) if self.pairs else 0 for side in (0, 1)]
        return {
            "version": PAIRS_VERSION, **chosen, "sources": list(plan.sources),
            "pairs": {source: sum(one.source == source for one in self.pairs) for source in plan.sources},
            "left_out_votes": dict(self.votes.most_common()),
            "longer_chosen": sum(one.ratio > 0 for one in self.pairs),
            "shorter_chosen": sum(one.ratio < 0 for one in self.pairs),
            "median_chars": {"chosen": lengths[0], "rejected": lengths[1]},
        }  # fmt: skip


def find_pairs(store: Store, plan: PairsPlan, find: Callable[[str], ModelRef] | None = None) -> Found:
    """Return the pairs of a plan. The answers that persons voted on are added to the lab's traces.

    Args:
        store: the lab's database.
        plan: how the pairs are made.
        find: returns a model by its name, which votes need.
    """
    found = Found()
    if "votes" in plan.sources and find is not None:
        found.pairs += _of_votes(store, plan, find, found)
    if "chains" in plan.sources:
        found.pairs += _of_chains(store, plan, found)
    _settle(found)
    if plan.balance_length:
        _balance(found)
    used = {trace for one in found.pairs for trace in (one.chosen, one.rejected)}
    found.drops = {trace: reason for trace, reason in found.drops.items() if trace not in used}
    return found


def make_pairs(store: Store, name: str, plan: PairsPlan, find: Callable[[str], ModelRef] | None = None) -> Dataset:
    """Create a dataset of pairs, see :func:`find_pairs`.

    Args:
        store: the lab's database.
        name: the name of the dataset.
        plan: how the pairs are made.
        find: returns a model by its name, which votes need.

    Raises:
        UsageError: no pair can be made (the message counts what was left out), or the name is taken or not valid.
    """
    found = find_pairs(store, plan, find)
    if not found.pairs:
        raise _no_pair(plan, found)
    made = [(one.chosen, one.rejected) for one in found.pairs]
    query = " + ".join(
        "votes" if source == "votes" else f"chains: {plan.query.source or '(all)'}" for source in plan.sources
    )
    return pair_rows.snapshot(store.db, name, made, query=query, selection=found.selection(plan), drops=found.drops)


def _of_votes(store: Store, plan: PairsPlan, find: Callable[[str], ModelRef], found: Found) -> Iterator[Pair]:
    voted = preferences(store.db, open_votes=plan.open_votes)
    found.votes.update(voted.left_out)
    for one in voted.found:
        if reason := _unfit(store, one):
            found.votes[reason] += 1
            continue
        panes = {pane.position: pane for pane in one.conversation.panes}
        ids = [
            add_to_traces(store, one.conversation, answer, model_of(find, panes[answer.pane or 0]))[0]
            for answer in (one.better, one.worse)
        ]
        if reason := _barred(store, ids):
            found.votes[reason] += 1
            continue
        sizes = [len(answer.thought) + len(answer.content) for answer in (one.better, one.worse)]
        yield Pair(ids[0], ids[1], (sizes[0], sizes[1]), "votes")


def _unfit(store: Store, one: Preference) -> str:
    """Return why two answers make no pair; empty if they do."""
    if not all(is_complete(answer) and answer.content for answer in (one.better, one.worse)):
        return "an answer is empty or was cut off"
    history = conversations.messages(store.db, one.conversation.id, branches=True)
    if asked_for(history, one.better) != asked_for(history, one.worse):
        return "the answers have other system messages or earlier turns"
    same = (one.better.thought, one.better.content) == (one.worse.thought, one.worse.content)
    return "both answers are the same" if same else ""


def _barred(store: Store, ids: Sequence[str]) -> str:
    """Return why the better or the worse answer of a vote may not be learned from; empty if both may."""
    for trace, rules in zip(ids, (_OF_VOTES, _OF_VOTES[1:]), strict=True):
        for one in selecting.candidates(store.db, TraceQuery.parse(f"id:{trace}")):
            if reason := why_not(store, one, _PHASE, "all", rules):
                return reason
    return ""


def _of_chains(store: Store, plan: PairsPlan, found: Found) -> Iterator[Pair]:
    problems: dict[str, tuple[list[Candidate], list[Candidate]]] = {}
    for one in selecting.candidates(store.db, plan.query):
        side = _side(one, plan.by)
        if side is None:
            found.drops[one.id] = _NEITHER[plan.by]
        else:
            problems.setdefault(one.problem_id, ([], []))[side].append(one)
    for problem_id, (right, wrong) in problems.items():
        if not (right and wrong):
            reason = "its problem has no wrong chain" if right else "its problem has no right chain"
            found.drops.update(dict.fromkeys((one.id for one in right + wrong), reason))
            continue
        sides = _fitting(store, right, RULES, found), _fitting(store, wrong, _OF_WRONG, found)
        draw = Random(f"{plan.seed} {problem_id}")  # noqa: S311 - a draw, no secret
        possible = [
            Pair(one.id, two.id, (one.thought + one.solution, two.thought + two.solution), "chains")
            for context, ones in sides[0].items()
            for one in ones
            for two in sides[1].get(context, ())
        ]
        draw.shuffle(possible)
        if plan.balance_length:
            possible.sort(key=lambda pair: abs(pair.ratio))
        chosen = _spread(possible, plan.per_problem)
        used = {trace for pair in chosen for trace in (pair.chosen, pair.rejected)}
        paired = {trace for pair in possible for trace in (pair.chosen, pair.rejected)}
        for one in (chain for side in sides for chains in side.values() for chain in chains):
            if one.id not in used:
                known = one.id in paired
                found.drops[one.id] = (
                    "more pairs than were asked for" if known else "no other chain of its problem has the same prompt"
                )
        yield from chosen


def _side(one: Candidate, by: By) -> int | None:
    """Return 0 for a right chain, 1 for a wrong one, None for another. A person's decision overrules a verdict."""
    judged = one.decision if by == "decision" else one.verdict
    if judged not in _RIGHT[by]:
        return None
    side = _RIGHT[by].index(judged)
    return None if by == "verdict" and one.decision == ("reject", "accept")[side] else side


def _fitting(
    store: Store, chains: Iterable[Candidate], rules: Collection[Rule], found: Found
) -> dict[tuple[Any, ...], list[Candidate]]:
    """Return the chains that no rule drops, by what was asked."""
    kept: dict[tuple[Any, ...], list[Candidate]] = {}
    for one in chains:
        if (reason := why_not(store, one, _PHASE, "all", rules)) is not None:
            found.drops[one.id] = reason
            continue
        (context,) = store.db.execute("SELECT context FROM trace_texts WHERE seq = ?", [one.seq]).fetchone()
        asked = tuple(tuple(sorted(turn.items())) for turn in context_of(context))
        kept.setdefault(asked, []).append(one)
    return kept


def _spread(possible: Sequence[Pair], number: int) -> list[Pair]:
    """Return ``number`` pairs, the first ones among those whose chains were taken least often."""
    used: Counter[str] = Counter()
    left, chosen = list(possible), list[Pair]()
    while left and len(chosen) < number:
        best = min(left, key=lambda pair: used[pair.chosen] + used[pair.rejected])  # the first of equal ones
        left.remove(best)
        chosen.append(best)
        used.update((best.chosen, best.rejected))
    return chosen


def _settle(found: Found) -> None:
    """Take each pair once, and none that is there in both directions."""
    unique = list({(one.chosen, one.rejected): one for one in reversed(found.pairs)}.values())[::-1]
    known = {(one.chosen, one.rejected) for one in unique}
    found.pairs = [one for one in unique if (one.rejected, one.chosen) not in known]
    for one in unique:
        if (one.rejected, one.chosen) in known:
            reason = "a vote contradicts it"
            found.drops |= {one.chosen: reason, one.rejected: reason}
            if one.source == "votes":
                found.votes["contradicts another vote or a verdict"] += 1


def _balance(found: Found) -> None:
    """Leave out the pairs that differ most in length until the better answer is as often the longer as the shorter."""
    longer = [one for one in found.pairs if one.ratio > 0]
    shorter = [one for one in found.pairs if one.ratio < 0]
    more = longer if len(longer) > len(shorter) else shorter
    number = abs(len(longer) - len(shorter))
    cut = sorted(more, key=lambda one: -abs(one.ratio))[:number]
    left = set(map(id, cut))
    found.pairs = [one for one in found.pairs if id(one) not in left]
    for one in cut:
        if one.source == "votes":
            found.votes[_UNBALANCED] += 1
        found.drops |= {one.chosen: _UNBALANCED, one.rejected: _UNBALANCED}


def _no_pair(plan: PairsPlan, found: Found) -> UsageError:
    counted = {"votes": found.votes, "chains": Counter(found.drops.values())}
    parts = [
        f"{source}: {', '.join(f'{number:,} {reason}' for reason, number in counted[source].most_common())}"
        if counted[source]
        else f"{source}: none in the lab"
        for source in plan.sources
    ]
    hints = {
        "votes": "vote between answers in Compare with the names hidden",
        "chains": "add wrong chains of problems that have right ones",
    }
    hint = " or ".join(hints[source] for source in plan.sources)
    if plan.balance_length and any(reason == _UNBALANCED for one in counted.values() for reason in one):
        hint = "omit --balance-length: the better answer is always the longer one, or always the shorter one"
    return UsageError(f"There is no pair ({'; '.join(parts)}).", f"{hint[0].upper()}{hint[1:]}.", code="no_pairs")
