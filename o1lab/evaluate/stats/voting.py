"""Whether what a scorer takes for the answer is a vote: equal answers are equal texts or numbers.

A quoted claim, a word for a refusal or a whole answer in its own words is not a vote: wrong answers would split over
many different texts, and right ones would share one.
"""

from __future__ import annotations

from o1lab.evaluate.scorers import SCORERS


def answers_are_votes(label: str) -> bool:
    """Whether the answers stored under a scorer's label can be counted as votes.

    The scorer's class says so (``votes``): always, never, or where the final answer alone is compared as a whole
    (``part=final``). The answers of a scorer that is no longer installed are not votes.
    """
    name, _, rest = label.partition("@")
    scorer = SCORERS.find(name)
    if scorer is None or scorer.votes == "never":
        return False
    options = rest.partition("(")[2].removesuffix(")").split(", ")
    return scorer.votes == "always" or ("part=final" in options and "mode=contains" not in options)
