"""Scores of tokens for tests of what is shown: made from the text, by no model."""

from __future__ import annotations

import re
from typing import Any

from o1lab.lens.scoring import losses_of
from store import token_scores, traces
from store.sqlite import Database
from store.token_scores import TokenScores


def add_scores(db: Database, trace_id: str, name: str, *, scale: float = 1.0) -> TokenScores:
    """Store scores of a trace in which words are tokens, the unlikelier the longer they are."""
    text = traces.text(db, trace_id)
    tokens: dict[str, list[Any]] = {
        name: [] for name in ("part", "start", "end", "text", "logprob", "rank", "entropy", "top")
    }
    for part, whole in (("thought", text.thought), ("solution", text.solution)):
        for found in re.finditer(r"\s*\S+", whole):
            loss = scale * max(len(found[0].strip()) - 1, 0) / 2
            likely = [[" the", -0.5], ["\n\n", -1.5], ["\x1b[31m", -3.0]]
            values = (part, found.start(), found.end(), found[0], -loss, 1 + int(loss), loss / 2, likely)
            for column, value in zip(tokens.values(), values, strict=True):
                column.append(value)
    scores = TokenScores(trace_id, f"hash of {name}", name, losses_of(tokens), tokens)
    token_scores.add(db, [scores])
    return scores
