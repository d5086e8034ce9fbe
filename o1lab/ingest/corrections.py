"""Moves with the kinds that persons corrected, and corrections given on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from o1lab.chains.segmentation.moves import MOVE_OF_LETTER, Move, MoveKind
from o1lab.errors import UsageError
from o1lab.text import one_line
from store import corrections
from store.corrections import WITHDRAWN
from store.records import Annotation

KINDS = ", ".join(f"{kind.letter} {kind}" for kind in MoveKind)


class ShownMove(NamedTuple):
    """A move as it is shown.

    Attributes:
        kind: The kind in force.
        start: Where it begins, in code points of the thought.
        end: Where it ends.
        found: The kind that the segmenter found.
        by: The correction; None without one.
    """

    kind: str
    start: int
    end: int
    found: str
    by: Annotation | None = None

    def as_item(self) -> dict[str, Any]:
        """Return the move as JSON: ``kind`` is the kind in force, ``found`` that of the segmenter."""
        by = self.by
        return {
            "kind": self.kind,
            "start": self.start,
            "end": self.end,
            "found": self.found,
            "corrected": None if by is None else {"annotator": by.annotator, "created_at": by.created_at},
        }


def corrected(moves: Sequence[Move], records: Sequence[Annotation]) -> list[ShownMove]:
    """Return the moves with the kinds that count, given the records of their trace."""
    by = corrections.latest(records)
    found = []
    for kind, start, end in moves:
        record = by.get((start, end))
        found.append(ShownMove(str(kind) if record is None else record.value, start, end, str(kind), record))
    return found


def unplaced(moves: Sequence[ShownMove], records: Sequence[Annotation]) -> dict[tuple[int, int], Annotation]:
    """Return the corrections of moves that are not among ``moves``: the thought was segmented differently then."""
    spans = {(move.start, move.end) for move in moves}
    return {span: record for span, record in corrections.latest(records).items() if span not in spans}


def read_moves(text: str, moves: Sequence[Move]) -> tuple[list[Move], str]:
    """Read ``4:...`` or ``4-6:...``, the numbers of moves from 1 and the value that is given to them.

    Raises:
        UsageError: it is written differently, or there are no such moves.
    """
    numbers, colon, value = text.partition(":")
    first, dash, last = numbers.strip().partition("-")
    ends = [first.strip(), last.strip() if dash else first.strip()]
    if not (colon and value.strip() and all(end.isascii() and end.isdigit() for end in ends)):
        raise UsageError(f"'{one_line(text, 60)}' does not name moves.", "Write N:WORD or N-M:WORD, such as 4-6:slip.")
    low, high = (int(end[:10]) for end in ends)
    if not 1 <= low <= high <= len(moves):
        raise UsageError(
            f"'{one_line(numbers, 40)}' are not moves of this trace, which has {len(moves):,}.",
            "Count them from 1, as in `o1lab traces show`.",
        )
    return list(moves[low - 1 : high]), value.strip()


def read_kind(word: str) -> str:
    """Return the value of an annotation ``move``: a kind by name or letter, or ``clear`` for a withdrawal.

    Raises:
        UsageError: it is none of these.
    """
    if word.lower() in ("clear", WITHDRAWN):
        return WITHDRAWN
    kind = MOVE_OF_LETTER.get(word.upper()) if len(word) == 1 else word.lower()
    if kind not in list(MoveKind):
        raise UsageError(f"'{one_line(word, 40)}' is not a kind of move.", f"It is one of {KINDS}, or `clear`.")
    return str(kind)
