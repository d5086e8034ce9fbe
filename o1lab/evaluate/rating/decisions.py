"""Agreement of annotators on traces: decisions in pairs (kappa) and of all (alpha), and ratings (alpha)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from o1lab.evaluate.stats.agreement import Agreement, cohen_kappa, krippendorff_alpha
from o1lab.format import counted
from o1lab.text import one_line
from store import decisions, traces
from store.decisions import DECISIONS, Vote
from store.filters import TraceQuery
from store.policy import POLICIES, SKIP
from store.sqlite import Database

_ADJUDICATED = TraceQuery.parse("agreement:adjudicated")
MOST_LISTED = 20
"""At most this many disputed traces are listed."""
_WIDTH = 100  # characters of the line of a disputed trace
_CODES = {decision: float(at) for at, decision in enumerate(DECISIONS)}


@dataclass(frozen=True, slots=True)
class Pair:
    """Two annotators on the traces that both accepted or rejected.

    Attributes:
        counts: the numbers of traces by the decisions of both.
        kappa: Cohen's kappa.
    """

    one: str
    other: str
    counts: Mapping[tuple[str, str], int]
    kappa: Agreement

    @property
    def traces(self) -> int:
        return sum(self.counts.values())

    def as_json(self) -> dict[str, Any]:
        table = [{"decisions": list(both), "traces": number} for both, number in sorted(self.counts.items())]
        return {
            "annotators": [self.one, self.other], "traces": self.traces, "table": table, "kappa": self.kappa.as_json(),
        }  # fmt: skip


@dataclass(frozen=True)
class DecisionAgreement:
    """What several annotators decided, and how they agree.

    Attributes:
        votes: what each annotator decided, by trace.
        pairs: each two annotators who accepted or rejected a trace in common.
        alpha: Krippendorff's alpha of accepting and rejecting.
        rating_alpha: Krippendorff's alpha of the ratings from 0 to 5, as ordered categories.
        disputed: the traces on which annotators differ and that nothing settles.
        adjudicated: the number of traces with an adjudicated decision.
        assigned: traces assigned to each annotator in the lab, and how many of them the annotator has decided on.
        policy: the policy on which decisions count.
    """

    votes: Mapping[str, Sequence[Vote]]
    pairs: Sequence[Pair]
    alpha: Agreement
    rating_alpha: Agreement
    disputed: Sequence[str]
    adjudicated: int
    assigned: Mapping[str, tuple[int, int]]
    policy: str

    @property
    def people(self) -> list[str]:
        given = {vote.annotator for votes in self.votes.values() for vote in votes}
        return sorted(given | set(self.assigned))

    def as_json(self) -> dict[str, Any]:
        return {
            "policy": self.policy,
            "traces": len(self.votes),
            "shared": sum(sum(vote.decision is not None for vote in votes) > 1 for votes in self.votes.values()),
            "annotators": [self._annotator(name) for name in self.people],
            "pairs": [pair.as_json() for pair in self.pairs],
            "alpha": self.alpha.as_json() | {"level": "nominal"},
            "rating_alpha": self.rating_alpha.as_json() | {"level": "ordinal"},
            "adjudicated": self.adjudicated,
            "disputed": [
                {"trace_id": trace, "decisions": [_item(vote) for vote in self.votes.get(trace, ()) if vote.decision]}
                for trace in self.disputed
            ],
        }

    def _annotator(self, name: str) -> dict[str, Any]:
        own = [vote for votes in self.votes.values() for vote in votes if vote.annotator == name]
        given = Counter(vote.decision for vote in own if vote.decision)
        assigned, done = self.assigned.get(name, (0, 0))
        return {
            "annotator": name,
            **{decision: given[decision] for decision in DECISIONS},
            "rated": sum(vote.rating is not None for vote in own),
            "assigned": assigned,
            "assigned_done": done,
        }


def decision_agreement(db: Database, only: Container[str] | None = None) -> DecisionAgreement:
    """Compare what annotators decided, on all traces or ``only`` these. A skipped trace has no decision."""
    votes = {trace: given for trace, given in decisions.by_trace(db).items() if only is None or trace in only}
    judged: dict[str, dict[str, str]] = {}
    rated: dict[str, dict[str, float]] = {}
    for trace, given in votes.items():
        for vote in given:
            if vote.decision not in (None, SKIP):
                judged.setdefault(vote.annotator, {})[trace] = str(vote.decision)
            if vote.rating is not None:
                rated.setdefault(vote.annotator, {})[trace] = float(vote.rating)
    coded = {
        name: {trace: _CODES[decision] for trace, decision in given.items()} for name, given in sorted(judged.items())
    }
    return DecisionAgreement(
        votes,
        [pair for one, other in combinations(sorted(judged), 2) if (pair := _pair(one, other, judged)).traces],
        krippendorff_alpha(coded, level="nominal"),
        krippendorff_alpha(dict(sorted(rated.items())), level="ordinal"),
        [trace for trace in decisions.disputed(db) if only is None or trace in only],
        sum(only is None or trace in only for trace in traces.ids(db, _ADJUDICATED)),
        decisions.assigned(db),
        decisions.policy_of(db),
    )


def _pair(one: str, other: str, judged: Mapping[str, Mapping[str, str]]) -> Pair:
    common = [trace for trace in judged[one] if trace in judged[other]]
    ours, theirs = ([judged[name][trace] for trace in common] for name in (one, other))
    return Pair(one, other, Counter(zip(ours, theirs, strict=True)), cohen_kappa(ours, theirs))


def _item(vote: Vote) -> dict[str, Any]:
    return {"annotator": vote.annotator, "decision": vote.decision}


def agreement_within(db: Database, query: TraceQuery) -> DecisionAgreement:
    """Compare what annotators decided on the traces of a filter."""
    return decision_agreement(db, set(traces.ids(db, query)) if query.conditions or query.text else None)


def agreement_lines(found: DecisionAgreement, *, names: Mapping[str, str] | None = None) -> list[str]:
    """Format the figures for people, in lines of at most about 100 characters.

    Args:
        found: The figures.
        names: What the app calls the first disputed traces, by id; None for the command line, which names ids.
    """
    lines = [f"policy {found.policy}: {POLICIES[found.policy]}"]
    if not found.votes and not found.assigned:
        return [*lines, "Nobody has decided on these traces yet."]
    item = found.as_json()
    lines += [
        "", f"{counted(item['traces'], 'trace')} with decisions, {item['shared']:,} of several annotators, "
        f"{len(found.disputed):,} disputed, {found.adjudicated:,} adjudicated",
    ]  # fmt: skip
    for one in item["annotators"]:
        line = f"  {one_line(one['annotator'], 30)}: {one['accept']:,} accepted, {one['reject']:,} rejected"
        line += f", {one['skip']:,} skipped" if one["skip"] else ""
        line += f", {one['rated']:,} rated" if one["rated"] else ""
        line += f"; {one['assigned_done']:,} of {one['assigned']:,} assigned done" if one["assigned"] else ""
        lines.append(line)
    for pair in found.pairs:
        same = sum(number for (one, other), number in pair.counts.items() if one == other)
        lines += [
            "", f"{one_line(pair.one, 30)} and {one_line(pair.other, 30)}: the same on {same:,} of {pair.traces:,}",
            f"  Cohen's kappa: {pair.kappa.text('trace')}",
        ]  # fmt: skip
    lines += [
        "", f"Krippendorff's alpha of decisions: {found.alpha.text('trace')}",
        f"Krippendorff's alpha of ratings:   {found.rating_alpha.text('trace')}",
    ]  # fmt: skip
    if found.disputed:
        lines += ["", "Disputed: o1lab traces ls agreement:disputed" if names is None else "Disputed:"]
    for one in item["disputed"][:MOST_LISTED]:
        each = ", ".join(f"{one_line(vote['annotator'], 30)} {vote['decision']}" for vote in one["decisions"])
        name = one["trace_id"] if names is None else names.get(one["trace_id"], one["trace_id"][:8])
        lines.append(f"  {name}  {each}"[:_WIDTH])
    if (more := len(found.disputed) - MOST_LISTED) > 0:
        lines.append(f"  and {more:,} more")
    return lines
