"""The chains of teachers as rows of the behaviour profile: what a student learned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from o1lab.chains.segmentation.moves import SEGMENTER_VERSION
from o1lab.errors import NotFoundError
from o1lab.evaluate.stats.metrics import Rate, rate_of
from o1lab.evaluate.stats.move_rates import CountedText, MoveRates, move_rates
from o1lab.format import counted
from o1lab.inference.limits import rough_tokens
from store import datasets, move_counts
from store.move_counts import ChainMoves
from store.sqlite import Database

_MOST = 6  # rows, if none are named


@dataclass(frozen=True)
class TeacherChains:
    """The chains of the lab that one model wrote.

    Attributes:
        label: the model, and which of its chains.
        rates: None if no chain could be counted.
        right: the share of right ones among the verified chains; None if none is verified.
        incomplete: number of chains that are cut off.
        unverified: number of chains without a verdict on their answer.
        notes: what was estimated or left out.
    """

    label: str
    rates: MoveRates | None
    right: Rate | None
    incomplete: int
    unverified: int
    notes: list[str] = field(default_factory=list)


def teacher_chains(db: Database, models: Sequence[str] = (), dataset: str | None = None) -> list[TeacherChains]:
    """Return the chains of each teacher, those with the most chains first.

    Args:
        db: the lab's database.
        models: the models, with all their chains of the lab; by default the six with the most chains in datasets.
        dataset: only chains of this dataset.

    Raises:
        NotFoundError: there is no such dataset, or a model has no such chains.
    """
    if dataset is not None:
        dataset = datasets.get(db, dataset).name
    found = move_counts.teachers(db, models, dataset)
    for model in models:
        if model not in found:
            known = ", ".join(list(move_counts.teachers(db, (), dataset))[:8]) or "no model"
            where = f"the dataset {dataset}" if dataset is not None else "the lab"
            raise NotFoundError(f"'{model}' has no chains in {where}.", f"Models with chains in datasets: {known}.")
    shown = list(models or found)[: None if models else _MOST]
    chains = [_chains(db, model, dataset, everything=bool(models) and dataset is None) for model in shown]
    if chains and len(found) > len(shown):
        chains[-1].notes.append(f"Chains of {len(found) - len(shown)} more models are not shown: name them.")
    return chains


def _chains(db: Database, model: str, dataset: str | None, *, everything: bool) -> TeacherChains:
    texts: list[CountedText] = []
    verdicts: list[bool] = []
    problems: list[str] = []
    total = incomplete = unmeasured = by_answer = guessed = empty = 0
    for one in move_counts.of_teacher(db, model, SEGMENTER_VERSION, dataset=dataset, everything=everything):
        total += 1
        incomplete += not one.complete
        if one.verdict in ("correct", "incorrect"):
            verdicts.append(one.verdict == "correct")
            problems.append(one.problem)
        if one.counts is None:
            unmeasured += 1
            continue
        tokens = _tokens(one)
        if not tokens:
            empty += 1
            continue
        by_answer += not one.thought
        guessed += one.text is not None
        texts.append(CountedText(one.problem, tokens, one.counts))
    where = f"in {dataset}" if dataset is not None else "in the lab" if everything else "in datasets"
    label = f"{model}, {counted(total, 'chain')} {where}"
    reasons = [
        (unmeasured, "do not count: another version segmented them; the app measures them when it opens the lab"),
        (by_answer, "have no thought and count by their answer"),
        (guessed, "have no recorded number of tokens, which is estimated from their characters"),
        (empty, "do not count, as they have no text"),
    ]  # fmt: skip
    notes = [f"{label}: {number:,} of them {words}." for number, words in reasons if number]
    notes.append(
        f"{label}: selected chains on problems other than the suites', so their share of right ones is not comparable."
    )
    right = rate_of(verdicts, problems) if verdicts else None
    return TeacherChains(label, move_rates(texts), right, incomplete, total - len(verdicts), notes)


def _tokens(one: ChainMoves) -> float:
    """Return the tokens of the text that was read: its share of the response by characters, or an estimate."""
    if one.tokens is None:
        return rough_tokens(one.text or "")
    read = one.thought or one.solution
    whole = one.thought + one.solution
    return one.tokens * read / whole if whole else 0.0
