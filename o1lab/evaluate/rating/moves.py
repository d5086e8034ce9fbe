"""Agreement of the schemes that find moves with the kinds that annotators gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from o1lab.chains.segmentation.labelling import Labeller
from o1lab.chains.segmentation.moves import kind_within, segment
from o1lab.evaluate.stats.agreement import Agreement, cohen_kappa
from o1lab.ingest.corrected_moves import every_corrected
from o1lab.text import json_of
from store import labelling
from store.sqlite import Database

NOTE = "Only corrected and confirmed moves count. Confirm right ones too: corrections alone show only errors."


@dataclass(frozen=True)
class MoveAgreement:
    """How the rules and the classifier agree with annotators.

    Attributes:
        classifier: the name of the classifier.
        schemes: Cohen's kappa of each scheme, ``rules`` and ``classifier``, with the kinds that annotators gave.
        chains: the number of chains with such moves.
        labelled: the number of chains by who gave their moves their kinds.
    """

    classifier: str
    schemes: Mapping[str, Agreement]
    chains: int
    labelled: Mapping[str, int]

    def as_json(self) -> dict[str, Any]:
        return json_of(self, "classifier", "schemes", "chains", "labelled")

    def lines(self) -> list[str]:
        """Return the agreement as lines of text."""
        units = next(iter(self.schemes.values())).units
        found = [f"Moves whose kind annotators gave: {units:,}, in {self.chains:,} chains"]
        for name, kappa in self.schemes.items():
            called = f"classifier {self.classifier}" if name == "classifier" else name
            equal = "" if kappa.observed is None else f"; equal in {kappa.observed:.0%}"
            found.append(f"  {called}, kappa: {kappa.text('move')}{equal}")
        found.append(NOTE)
        count = self.labelled
        others = ", ".join(f"{count[by]:,} {words}" for by, words in _OTHERS.items() if count[by])
        found.append(f"Chains: moves of {count['model']:,} by the classifier" + (f"; {others}" if others else "") + ".")
        return found


_OTHERS = {
    "rules": "by the rules (not English, or too few words)",
    "writer": "by their writer",
    "pending": "not labelled yet",
}


def move_agreement(db: Database, labeller: Labeller) -> MoveAgreement:
    """Compare the rules and a classifier with the kinds that annotators gave to moves."""
    given, rules, model = [], [], []
    chains = 0
    for one in every_corrected(db):
        chains += 1
        by_rules, by_model = segment(one.text), labeller.label(one.text).moves
        for span, kind in one.kinds.items():
            given.append(kind)
            rules.append(kind_within(by_rules, span))
            model.append(kind_within(by_model, span))
    schemes = {"rules": cohen_kappa(given, rules), "classifier": cohen_kappa(given, model)}
    return MoveAgreement(labeller.name, schemes, chains, labelling.by_whom(db))
