"""Published figures as rows of a table: as printed, and marked so. Their differences carry no interval."""

from __future__ import annotations

from o1lab.evaluate.report.cells import NOTHING, Cell, TableRow, verdict
from o1lab.evaluate.report.published import Benchmark, PublishedModel, PublishedSet


def published_row(model: PublishedModel, benchmark: Benchmark) -> TableRow:
    """A model on a benchmark it was published on; the interval of a count is Wilson's, ours."""
    from o1lab.evaluate.stats.metrics import wilson

    result = model.results[benchmark.name]
    accuracy, correct = Cell(result.percent), NOTHING
    if result.correct is not None and result.n is not None:
        low, high = wilson(result.correct, result.n)
        accuracy = Cell(result.percent, (100 * low, 100 * high))
        correct = Cell(result.correct, of=result.n)
    tokens = NOTHING if result.tokens is None else Cell(result.tokens)
    return TableRow(model.name, {"accuracy": accuracy, "correct": correct, "tokens": tokens}, published=True)


def published_change(one: PublishedSet) -> TableRow:
    """A set before and after, with as many decimals as were printed."""
    from o1lab.evaluate.stats.metrics import wilson

    digits = 1 if all(round(value, 1) == value for value in (one.before, one.after)) else 2

    def cell(percent: float) -> Cell:
        correct = one.correct(percent)
        if correct is None or one.n is None:
            return Cell(percent, digits=digits)
        low, high = wilson(correct, one.n)
        return Cell(percent, (100 * low, 100 * high))

    difference = _printed_difference(one.before, one.after, digits)
    cells = {"before": cell(one.before), "after": cell(one.after), "difference": difference}
    if one.n is not None:
        cells["samples"] = Cell(one.n)
    return TableRow(one.name, cells, published=True)


def published_mean(name: str, before: float, after: float) -> TableRow:
    """A mean over sets, as printed."""
    cells = {"before": Cell(before), "after": Cell(after), "difference": _printed_difference(before, after, 1)}
    return TableRow(name, cells, published=True, mean=True)


def _printed_difference(before: float, after: float, digits: int) -> Cell:
    difference = round(after - before, 2)
    return Cell(difference, verdict=verdict(difference, None), digits=digits)
