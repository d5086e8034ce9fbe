"""The moves of a trace as the command line shows them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from o1lab.cli.base.pager import Line
from o1lab.ingest.corrections import ShownMove
from o1lab.ingest.steps import sentence
from o1lab.text import one_line
from o1lab.widgets.reader.document import letter_of, style_of
from store.writers import CHANGE, Writer, changes, takes_over
from store.wrong_steps import StepVerdict


def shown_move(
    number: int, move: ShownMove, thought: str, verdicts: Sequence[StepVerdict], writers: Sequence[Writer]
) -> Iterator[Line]:
    """Yield the lines of a move, after who judged it the first wrong one or corrected its kind.

    A line says where another model continues, also inside a move.
    """
    yield from ([(sentence(verdict), "red")] for verdict in verdicts if verdict.step == number)
    if move.by is not None and move.kind != move.found:
        yield f"≠ {move.kind}, corrected from {move.found}: {one_line(move.by.annotator, 80)}"
    style = str(style_of(move.kind)).replace("white", "none")  # a light terminal does not show white
    head, at = f"{number:>3} {letter_of(move.kind)}", move.start
    for start, model in changes(writers, thought):
        if not move.start <= start < move.end:
            continue
        if before := thought[at:start].strip():
            yield [(head, style), f"  {before}"]
            head = "     "
        yield [(f"{CHANGE} {one_line(takes_over(model), 100)}", "cyan")]
        at = start
    yield [(head, style), f"  {thought[at : move.end].strip()}"]
