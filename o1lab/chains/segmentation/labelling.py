"""Give the sentences of a thought their kinds by a linear classifier, where the rules only guess.

The shipped classifier was trained on tagged chains in English (``assets/classifiers/NOTICE.md``, ``bench/moves.py``). A
lab can train its own. Thoughts in other languages, and labs that ask for it, keep the kinds of the rules. The rules
also tell backtracking from reflection, unless a classifier was trained with both.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

from o1lab.chains.language import language_of
from o1lab.chains.segmentation.features import BUCKETS, DENSE, FEATURES_VERSION, features
from o1lab.chains.segmentation.linear import Weights, read
from o1lab.chains.segmentation.moves import Move, MoveKind, Sentence, joined, sentences
from o1lab.errors import LabError
from o1lab.paths import assets_dir

KindsBy = Literal["model", "rules", "writer"]
"""Who gave the moves of a chain their kinds; ``writer``: the person who wrote the chain."""
_SAMPLE = 4000
"""Characters that tell the language of a thought."""


class Labelled(NamedTuple):
    """The moves of a thought, and who gave them their kinds."""

    moves: list[Move]
    by: KindsBy


@dataclass(frozen=True, slots=True)
class Labeller:
    """A classifier of sentences.

    Attributes:
        name: its version and a hash of its weights, such as ``shipped-2 3fa1b2c4``. Labs keep it with labelled chains.
        kinds: the kinds that it knows, in the order of its scores.
        weights: its weights.
    """

    name: str
    kinds: tuple[MoveKind, ...]
    weights: Weights

    def label(self, thought: str) -> Labelled:
        """Return the moves of ``thought``; those of the rules if it is not in English. Takes linear time."""
        found = sentences(thought)
        if not found or language_of(thought[:_SAMPLE]) != "en":
            return Labelled(joined(found, [sentence.kind for sentence in found], len(thought)), "rules")
        return Labelled(joined(found, self.kinds_of(thought, found), len(thought)), "model")

    def kinds_of(self, thought: str, found: Sequence[Sentence]) -> list[MoveKind]:
        """Return the kind of each sentence of a thought in English."""
        dense, hashed = features(thought, found)
        chosen = [self.kinds[at] for at in self.weights.scores(dense, hashed).argmax(axis=1)]
        if MoveKind.BACKTRACK in self.kinds:
            return chosen
        return [
            sentence.kind if sentence.kind is MoveKind.BACKTRACK and kind in _LIKE_BACKTRACKING else kind
            for sentence, kind in zip(found, chosen, strict=True)
        ]


_LIKE_BACKTRACKING = (MoveKind.REFLECT, MoveKind.PLAN)


def shipped_path() -> Path:
    """Return the file of the weights that o1lab ships."""
    return assets_dir() / "classifiers" / "moves.safetensors"


def labeller_at(path: Path) -> Labeller:
    """Return the classifier whose weights are in a file; it is read again when the file has changed.

    Raises:
        LabError: the file is missing, damaged, or was trained with other features.
    """
    try:
        return _read(path, path.stat().st_mtime_ns)
    except (OSError, ValueError) as error:
        raise LabError(
            f"The classifier of moves cannot be used: {error}.",
            f"Train it again with `o1lab moves train`, or remove {path}.",
            code="moves_classifier",
        ) from error


@lru_cache(maxsize=4)
def _read(path: Path, _changed: int) -> Labeller:
    weights = read(path, features=FEATURES_VERSION, dense=DENSE, buckets=BUCKETS)
    kinds = tuple(MoveKind(name) for name in weights.about.get("kinds", "").split())
    if len(kinds) != len(weights.bias):
        raise ValueError(f"{path} does not name the kinds of its {len(weights.bias)} classes")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    return Labeller(f"{weights.about.get('name', 'own')} {digest}", kinds, weights)
