"""Which decision on a trace counts when several annotators decide: the one home of the lab's policy.

Statements read ``t.decision``, ``t.rating`` and ``t.disputed`` of a trace ``t``. The columns hold what the annotators'
decisions come to; under the policy ``own``, a statement reads one's own decision and rating instead.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

POLICIES = {
    "own": "your own decisions; those of others do not count",
    "majority": "what more than half of the annotators decided, or the adjudicated decision",
    "adjudicated": "what all annotators decided, or the adjudicated decision where they differ",
}
"""The policies, with what decides."""
DEFAULT = "majority"
SKIP = "skip"
"""An annotator who skips a trace gives no vote."""
DIFFERING = f"SELECT seq FROM decisions WHERE decision != '{SKIP}' GROUP BY seq HAVING count(DISTINCT decision) > 1"
"""The traces on which annotators differ."""
SETTLED = "SELECT seq FROM adjudications WHERE decision IS NOT NULL"
"""The traces with an adjudicated decision."""
_DISPUTED = (
    f"SELECT d.seq FROM decisions d WHERE {{}} AND d.decision != '{SKIP}' GROUP BY d.seq "
    "HAVING count(DISTINCT d.decision) > 1 "
    "AND NOT EXISTS (SELECT 1 FROM adjudications j WHERE j.seq = d.seq AND j.decision IS NOT NULL) "
    "AND ((SELECT policy FROM decision_policy) = 'own' "  # the column holds what a majority would decide
    "OR (SELECT s.decision IS NULL FROM traces s WHERE s.seq = d.seq))"
)
DISPUTED = _DISPUTED.format("1")
"""The traces on which annotators differ, and that neither an adjudicated decision nor the policy's majority settles."""

_OWN = "(SELECT o.{} FROM decisions o WHERE o.seq = t.seq AND o.annotator = me())"
OWN_DECISION, OWN_RATING = _OWN.format("decision"), _OWN.format("rating")
"""What the person who asks decided on trace ``t``."""
NOT_SEEN = (
    "NOT EXISTS (SELECT 1 FROM decisions o WHERE o.seq = t.seq AND o.annotator = me() AND o.decision IS NOT NULL)"
)
"""Whether the person who asks has not decided on trace ``t``."""
_READ_AS = {
    "own": {"t.decision": OWN_DECISION, "t.rating": OWN_RATING, "t.disputed": "0"},  # decisions of others are hidden
    "": {"t.disputed": f"EXISTS ({_DISPUTED.format('d.seq = t.seq')})"},
}
_NAMES = re.compile(r"\bt\.(?:decision|rating|disputed)\b")


def standing(votes: Iterable[str], adjudicated: str | None, policy: str) -> str | None:
    """Return the decision that the annotators' decisions come to; None if they come to none.

    Args:
        votes: The decision of each annotator.
        adjudicated: The adjudicated decision.
        policy: Under ``adjudicated``, one dissent leaves a trace undecided; under other policies a tie does.
    """
    if adjudicated is not None:
        return adjudicated
    given = Counter(votes)
    skipped = given.pop(SKIP, 0)
    if not given:
        return SKIP if skipped else None
    [(first, number)] = given.most_common(1)
    needed = given.total() if policy == "adjudicated" else given.total() // 2 + 1
    return first if number >= needed else None


def sentence(decided: Mapping[str, Any]) -> str:
    """Say whose decisions counted when a dataset was made."""
    name = str(decided["policy"])
    number = decided["annotators"]
    annotators = "1 annotator" if number == 1 else f"{number:,} annotators"
    return f"Decisions of {annotators} counted under the policy {name}: {POLICIES.get(name, 'unknown here')}."


def names_decisions(sql: str) -> bool:
    """Whether a statement reads what the policy decides about."""
    return "t.decision" in sql or "t.rating" in sql or "t.disputed" in sql


def read_as(sql: str, policy: str) -> str:
    """Return a statement as it is run under a policy."""
    meanings = _READ_AS.get(policy, _READ_AS[""])
    return _NAMES.sub(lambda name: meanings.get(name[0], name[0]), sql)
