"""``/v1/o1lab/score``: how likely a model finds each token of a response that somebody wrote.

The response is put into the format of the student by the builder of training rows, so that a figure is about exactly
the tokens that training sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from o1lab.models.prompts import CutOff, Place, Written
from o1lab.serve.protocol import MAX_TOP, SamplingRequest, ScoredText


class ScoreRequest(SamplingRequest):
    """A request to score a response."""

    messages: list[dict[str, Any]] = Field(min_length=1)
    thought: str = ""
    solution: str = ""
    cut_off: CutOff = ""
    top: int = Field(default=0, ge=0, le=MAX_TOP, description="Number of alternatives of each token.")
    default_system: bool = Field(default=True, description="Ask a student with the system prompt of its run.")

    @property
    def response(self) -> Written:
        return Written(self.thought, self.solution, self.cut_off)


@dataclass(frozen=True, slots=True)
class TokenView:
    """What a model thinks of one token: see :class:`o1lab.serve.sampling.TokenScore`."""

    text: ScoredText
    rank: int
    entropy: float


@dataclass(frozen=True, slots=True)
class ChainScores:
    """The scores of a response.

    Attributes:
        prompt_tokens: the number of tokens of the question, which are not scored.
        places: where each token of the completion stands.
        tokens: its scores, in the same order.
    """

    prompt_tokens: int
    places: Sequence[Place]
    tokens: Sequence[TokenView]

    def as_json(self) -> dict[str, Any]:
        """Return the body of the answer: a list for each figure, with an entry for each token of the completion."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "part": [place.part for place in self.places],
            "start": [place.start for place in self.places],
            "end": [place.end for place in self.places],
            "text": [one.text.text for one in self.tokens],
            "logprob": [one.text.logprob for one in self.tokens],
            "rank": [one.rank for one in self.tokens],
            "entropy": [one.entropy for one in self.tokens],
            "top": [one.text.top for one in self.tokens],
        }
