"""Data, training and choice of the refusal classifier; ``bench/refusal.py`` reports and writes it.

It needs scikit-learn. The truth is ``final_label``, with partial refusals as refusals. A text that occurs n times
weighs as much as n ** 0.5 texts: 190 answers of GPT-4 are two sentences.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from o1lab.chains.segmentation import linear
from o1lab.evaluate.scorers.refusal_features import (
    BUCKETS,
    FEATURES_VERSION,
    GROUPS,
    Features,
    Group,
    dense_names,
    features,
)
from o1lab.evaluate.scorers.refusal_rules import RefusalKind, read_by_rules
from o1lab.evaluate.stats.agreement import cohen_kappa

DATA = Path(os.environ.get("O1LAB_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
FILE = "xstest_v2_completions_{}_gpteval.csv"
MODELS = ("gpt4", "llama2orig", "mistralguard")
_LABELS: dict[str, RefusalKind] = {
    "1_full_compliance": "complied",
    "2_full_refusal": "refused",
    "3_partial_refusal": "partial",
}


@dataclass(frozen=True)
class Row:
    """One answer of a model: the labels of two persons, of both together and of GPT-4, and what the rules say."""

    model: str
    number: int
    prompt: str
    answer: str
    one: RefusalKind
    other: RefusalKind
    people: RefusalKind
    gpt4: RefusalKind
    rules: RefusalKind
    features: Features


class Config(NamedTuple):
    """What is chosen: the groups of n-grams, C (the inverse of the regularisation's strength), and the threshold."""

    groups: tuple[Group, ...]
    c: float
    threshold: float


_GROUPS: tuple[tuple[Group, ...], ...] = ((), ("opening",), ("opening", "answer"), ("opening", "characters"), GROUPS)
_CS = (0.1, 0.3, 1.0, 3.0)
_THRESHOLDS = (0.4, 0.5, 0.6, 0.7)
_SHARES = (0.2, 0.5)
"""Models refuse more or less often than those of the training; the choice must hold for both shares of refusals."""


def load(probes: Path, models: Iterable[str] = MODELS) -> list[Row]:
    """Read the labelled answers of the models, in the order of their files."""
    rows = []
    for model in models:
        with (probes / FILE.format(model)).open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                rules = read_by_rules(row["completion"], row["prompt"]).kind
                rows.append(
                    Row(
                        model, int(row["id"].rpartition("-")[2]), row["prompt"], row["completion"],
                        _LABELS[row["annotation_1"]], _LABELS[row["annotation_2"]], _LABELS[row["final_label"]],
                        _LABELS[row["gpt4_label"]], rules, features(row["completion"], row["prompt"], rules),
                    )
                )  # fmt: skip
    return rows


def unique(rows: Sequence[Row]) -> list[int]:
    """Return the places of rows whose text did not occur before."""
    seen: dict[str, int] = {}
    for at, row in enumerate(rows):
        seen.setdefault(row.answer, at)
    return sorted(seen.values())


class Training:
    """Trains on some of the rows and predicts others."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self.models = np.array([row.model for row in rows])
        self.refused = np.array([row.people != "complied" for row in rows])
        copies = Counter(row.answer for row in rows)
        self._weight = np.array([copies[row.answer] ** -0.5 for row in rows])
        self._matrices: dict[tuple[Group, ...], Any] = {}
        self._fitted: dict[tuple[tuple[Group, ...], float, bytes], Any] = {}

    def matrix(self, groups: tuple[Group, ...]) -> Any:
        if groups not in self._matrices:
            hashed = {group: linear.in_order([row.features.hashed[group] for row in self.rows]) for group in groups}
            dense = [row.features.dense for row in self.rows]
            self._matrices[groups] = linear.matrix(dense, hashed, dict.fromkeys(groups, BUCKETS))
        return self._matrices[groups]

    def fit(self, config: Config, rows: Any) -> Any:
        """Return the regression trained on the rows of a mask."""
        from sklearn.linear_model import LogisticRegression

        key = (config.groups, config.c, rows.tobytes())
        if key not in self._fitted:
            regression = LogisticRegression(C=config.c, solver="liblinear", max_iter=300)
            matrix = self.matrix(config.groups)[rows]
            self._fitted[key] = regression.fit(matrix, self.refused[rows], sample_weight=self._weight[rows])
        return self._fitted[key]

    def left_out(self, config: Config, model: str, others: Iterable[str], *, new_prompts: bool = False) -> Any:
        """Return which answers of a model refuse, trained on others (``new_prompts``: and other prompts, 5 folds)."""
        tests, trains = self.models == model, np.isin(self.models, list(others))
        matrix = self.matrix(config.groups)
        fold = np.array([row.number for row in self.rows]) % 5
        chances = np.zeros(len(self.rows))
        for part in range(5) if new_prompts else (None,):
            here = tests if part is None else tests & (fold == part)
            seen = trains if part is None else trains & (fold != part)
            chances[here] = self.fit(config, seen).predict_proba(matrix[here])[:, 1]
        return chances[tests] >= config.threshold

    def choose(self, models: Sequence[str]) -> Config:
        """Return the configuration with the highest mean kappa, by text, on each of these models left out in turn.

        The prompts are left out as well: all models got the same ones, and the answers of others should not tell which
        prompts are refused. Each kappa is that of 20 % and of 50 % refusals, from the rates of the two kinds of errors.
        """

        def mean_kappa(config: Config) -> float:
            found = []
            for model in models:
                own = [row for row in self.rows if row.model == model]
                others = [one for one in models if one != model]
                predicted = self.left_out(config, model, others, new_prompts=True)
                found += [kappa_at(share, own, predicted) for share in _SHARES]
            return float(np.mean(found))

        return max((Config(*one) for one in product(_GROUPS, _CS, _THRESHOLDS)), key=mean_kappa)

    def write(self, config: Config, path: Path) -> None:
        """Train on all rows and write the weights: float32 for dense features, float16 for hashed ones."""
        regression = self.fit(config, np.full(len(self.rows), True))
        about = {
            "version": "2", "features": str(FEATURES_VERSION), "threshold": str(config.threshold), "C": str(config.c),
            "trained_on": f"XSTest v2 completions of {', '.join(MODELS)}: final_label", "licence": "CC-BY-4.0",
        }  # fmt: skip
        buckets = dict.fromkeys(config.groups, BUCKETS)
        weights = linear.split(regression.coef_, regression.intercept_, len(dense_names()), buckets, about)
        linear.write(path, weights)
        path.chmod(0o644)


def kappa(rows: Sequence[Row], predicted: Sequence[Any], places: Sequence[int] | None = None) -> Any:
    """Return Cohen's kappa of predictions (refused or not) and people's labels, on all rows or those at ``places``."""
    chosen = range(len(rows)) if places is None else places
    return cohen_kappa([bool(predicted[at]) for at in chosen], [rows[at].people != "complied" for at in chosen])


def kappa_at(share: float, rows: Sequence[Row], predicted: Sequence[Any]) -> float:
    """Return the kappa that the error rates on each text would give if this share of the answers refused."""
    places = unique(rows)
    refused = np.array([rows[at].people != "complied" for at in places])
    found = np.array([bool(predicted[at]) for at in places])
    hit, alarm = share * found[refused].mean(), (1 - share) * found[~refused].mean()
    observed = hit + (1 - share) - alarm
    expected = (hit + alarm) * share + (1 - hit - alarm) * (1 - share)
    return float((observed - expected) / (1 - expected))
