"""Whether what a scorer takes for the answer is a vote: equal answers are equal texts or numbers, right and wrong ones.

A claim that was found, a word for a refusal or a whole answer in its own words is none: wrong ones would split over as
many texts, and right ones stand together.
"""

from __future__ import annotations

_NAMED = ("math", "choice")
_IF_FINAL = ("exact", "match")


def answers_are_votes(label: str) -> bool:
    """Whether the answers that stand under a scorer's label can be counted as votes.

    They are an expression or an option (``math``, ``choice``), or the final answer alone, compared as a whole
    (``exact`` and ``match`` with ``part=final``).
    """
    name, _, rest = label.partition("@")
    if name in _NAMED:
        return True
    options = rest.partition("(")[2].removesuffix(")").split(", ")
    return name in _IF_FINAL and "part=final" in options and "mode=contains" not in options
