"""Train the classifier of moves: from tagged chains, and from sentences that persons corrected. Needs scikit-learn."""

from __future__ import annotations

import importlib.util
from bisect import bisect_right
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, NamedTuple

from o1lab.chains.segmentation.features import BUCKETS, DENSE, FEATURES_VERSION, Features, features
from o1lab.chains.segmentation.labelling import Labeller
from o1lab.chains.segmentation.linear import Weights, matrix, split
from o1lab.chains.segmentation.moves import MoveKind, Sentence, sentences
from o1lab.errors import LabError


class Settings(NamedTuple):
    """Settings of training.

    Attributes:
        C: the inverse of the regularisation's strength.
        balance: how much more sentences of rare kinds count, from 0 (as others) to 1 (all kinds count alike).
    """

    C: float
    balance: float


CHOSEN = Settings(0.1, 0.5)
"""Chosen on problems left out; ``python -m bench.moves --nested`` measures what this choice does to the figures."""
TAG_TO_MOVE = {
    "problem_setup": MoveKind.UNDERSTAND,
    "fact_retrieval": MoveKind.UNDERSTAND,
    "plan_generation": MoveKind.PLAN,
    "active_computation": MoveKind.COMPUTE,
    "uncertainty_management": MoveKind.REFLECT,
    "self_checking": MoveKind.VERIFY,
    "result_consolidation": MoveKind.CONCLUDE,
    "final_answer_emission": MoveKind.CONCLUDE,
}
"""The tags of sentences in Thought Anchors (Bogdan et al., 2025), none of which is for backtracking."""
Tagged = Sequence[tuple[int, int, MoveKind]]
"""Spans of a thought with their kinds: start, end (in code points) and kind."""


class Example(NamedTuple):
    """A thought for training.

    Attributes:
        thought: the text.
        sentences: its sentences, see :func:`o1lab.chains.segmentation.moves.sentences`.
        kinds: the kind of each sentence; None where it is not known.
        features: the features of the sentences.
    """

    thought: str
    sentences: list[Sentence]
    kinds: list[MoveKind | None]
    features: Features


def example(thought: str, tagged: Tagged) -> Example:
    """Return a thought as an example: a sentence has the kind that most of its characters were given."""
    found = sentences(thought)
    ends = [*(sentence.start for sentence in found[1:]), len(thought)]
    covered: list[Counter[MoveKind]] = [Counter() for _ in found]
    starts = [sentence.start for sentence in found]
    for start, end, kind in tagged:
        at = max(0, bisect_right(starts, start) - 1)
        while at < len(found) and starts[at] < end:
            covered[at][kind] += max(0, min(end, ends[at]) - max(start, starts[at]))
            at += 1
    kinds = [count.most_common(1)[0][0] if count.total() else None for count in covered]
    return Example(thought, found, kinds, features(thought, found))


def train(examples: Iterable[Example], about: dict[str, str], settings: Settings = CHOSEN) -> Weights:
    """Train on all sentences that have a kind: a linear support vector machine for each kind against the others.

    Args:
        examples: at least two kinds must occur in them.
        about: metadata of the file, such as ``name`` and ``trained_on``.
        settings: the settings of training.
    """
    import numpy as np
    from scipy import sparse
    from sklearn.svm import LinearSVC

    rows, kinds = [], []
    for one in examples:
        known = [at for at, kind in enumerate(one.kinds) if kind is not None]
        rows.append(matrix(*one.features, BUCKETS)[known])
        kinds += [str(kind) for kind in one.kinds if kind is not None]
    each = {kind: (len(kinds) / number) ** settings.balance for kind, number in Counter(kinds).items()}
    scale = len(kinds) / sum(each[kind] for kind in kinds)  # a sentence counts 1 on average
    each = {kind: weight * scale for kind, weight in each.items()}
    machine: Any = LinearSVC(C=settings.C, class_weight=each, random_state=0)
    machine.fit(sparse.vstack(rows).tocsr(), kinds)
    coefficients, bias = machine.coef_, machine.intercept_
    if len(machine.classes_) == 2:  # one row of coefficients, for the second class
        coefficients, bias = np.vstack([-coefficients, coefficients]), np.concatenate([-bias, bias])
    about = about | {"features": str(FEATURES_VERSION), "kinds": " ".join(machine.classes_)}
    about |= {"C": str(settings.C), "balance": str(settings.balance)}
    return split(coefficients, bias, DENSE, BUCKETS, about)


def labeller(weights: Weights) -> Labeller:
    """Return the classifier with these weights, before they are a file."""
    return Labeller("trained", tuple(MoveKind(kind) for kind in weights.about["kinds"].split()), weights)


def left_out(examples: Sequence[Example], groups: Sequence[Hashable], folds: int) -> list[list[MoveKind]]:
    """Return the kinds of the sentences of each example, by a classifier that never saw its group.

    Args:
        examples: the examples.
        groups: the group of each, such as its problem.
        folds: number of parts that the groups are split into; one is left out at a time.

    Raises:
        LabError: without one of the parts, the sentences are not of two kinds.
    """
    known = list(dict.fromkeys(groups))
    kinds: list[list[MoveKind]] = [[] for _ in examples]
    for fold in range(folds):
        here = set(known[fold::folds])
        seen = [one for one, group in zip(examples, groups, strict=True) if group not in here]
        left = {str(kind) for one in seen for kind in one.kinds if kind is not None}
        if len(left) < 2:
            rest = f"only the kind {min(left)}" if left else "no kinds"
            raise LabError(
                f"Without {len(here):,} of the {len(known):,} problems, the other sentences have {rest}, "
                "so that nothing can be learned from them.",
                "Correct and confirm moves of other kinds in more problems.",
                code="few_corrections",
            )
        trained = labeller(train(seen, {}))
        for at, (one, group) in enumerate(zip(examples, groups, strict=True)):
            if group in here:
                kinds[at] = trained.kinds_of(one.thought, one.sentences)
    return kinds


def figures(found: Sequence[tuple[MoveKind, MoveKind]]) -> tuple[float, float]:
    """Return accuracy and macro F1 of pairs of the given and the predicted kind."""
    given, guessed = Counter(kind for kind, _ in found), Counter(guess for _, guess in found)
    right = Counter(kind for kind, guess in found if kind is guess)
    f1s = [2 * right[kind] / (given[kind] + guessed[kind]) for kind in given]
    return right.total() / len(found), sum(f1s) / len(f1s)


def require_training(what: str) -> None:
    """Check that scikit-learn is installed, without importing it.

    Raises:
        LabError: it is missing; the message says that ``what`` needs it.
    """
    if importlib.util.find_spec("sklearn") is None:
        raise LabError(
            f"{what} needs scikit-learn, which this installation lacks.",
            "Install the extra: pip install 'o1lab[moves]'",
            code="no_moves_extra",
        )
