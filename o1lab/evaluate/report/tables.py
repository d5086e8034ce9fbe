"""The paper's two tables for your own models, after the published rows, and a plain table of any evaluations.

Evaluations that differ in suite version, items or scorer are in separate sections or rows: they never share a cell, and
no difference between them is computed. Incomplete, unextracted, unscored and failed samples have columns of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from o1lab.errors import UsageError
from o1lab.evaluate.report import footnotes
from o1lab.evaluate.report.cells import NOTHING, Cell, Column, Section, Table, TableRow
from o1lab.evaluate.report.changes import change, overall_change, weighted_change
from o1lab.evaluate.report.published import (
    PublishedAccuracy,
    PublishedChanges,
    published_accuracy,
    published_change,
    published_changes,
    published_mean,
    published_row,
)
from o1lab.evaluate.report.selection import ComparisonKey, EvaluationResult, comparable
from o1lab.format import counted

Pair = tuple[EvaluationResult | None, EvaluationResult | None]

# Outcomes that are neither correct nor incorrect have a column each in every table.
REST = ("incomplete", "unextracted", "unscored", "failed")
_REST_COLUMNS = tuple(Column(name, name, "count") for name in REST)
_ACCURACY = Column("accuracy", "accuracy", "percent")
_CORRECT = Column("correct", "correct", "fraction")
_TOKENS = Column("tokens", "tokens", "tokens")
_DIFFERENCE = Column("difference", "difference", "difference")
_FAMILIES = {
    "safety": "Safety",
    "factuality": "Factuality",
    "sycophancy": "Sycophancy",
    "hallucination": "Hallucination",
    "general": "General",
    "mathematics": "Mathematics",
}


def accuracy_table(
    chosen: Sequence[EvaluationResult],
    *,
    before: str | None = None,
    suites: Sequence[str] = (),
) -> Table:
    """Return the paper's first table: accuracy and average output tokens, one section per benchmark.

    Args:
        chosen: the evaluations to show.
        before: the reference model of differences; by default the base model, if there is only one.
        suites: only these benchmarks; empty for all. Suites outside mathematics are shown only if named here.
    """
    printed = published_accuracy()
    reference = _reference(chosen, before)
    bases = _bases(chosen, reference)
    shown = [one for one in chosen if suites or _in_first_table(one, printed)]
    sections: list[Section] = []
    for benchmark in printed.benchmarks:
        if suites and not any(benchmark.is_suite(_bare(one)) for one in suites):
            continue
        rows = [published_row(model, benchmark) for model in printed.models if benchmark.name in model.results]
        own = [one for one in shown if benchmark.is_suite(one.evaluation.suite)]
        for key, members in comparable_groups(own).items() or [(None, [])]:
            if rows or members:
                sections.append(_section(benchmark.name, key, members, bases, tuple(rows)))
    others = [one for one in shown if not any(known.is_suite(one.evaluation.suite) for known in printed.benchmarks)]
    for key, members in comparable_groups(others).items():
        sections.append(_section("", key, members, bases))
    return Table(
        "accuracy",
        printed.title,
        "model",
        (_ACCURACY, _CORRECT, _TOKENS, _DIFFERENCE, *_REST_COLUMNS),
        tuple(sections),
        footnotes.accuracy(printed, shown, reference),
    )


def plain_table(chosen: Sequence[EvaluationResult], *, before: str | None = None) -> Table:
    """Return a table of any evaluations, one section for each set of comparable ones.

    Args:
        chosen: the evaluations to show.
        before: the reference model of differences; by default the base model, if there is only one.
    """
    reference = _reference(chosen, before)
    bases = _bases(chosen, reference)
    sections = [_section("", key, members, bases) for key, members in comparable_groups(chosen).items()]
    columns = (_ACCURACY, _CORRECT, _TOKENS, _DIFFERENCE, *_REST_COLUMNS, Column("id", "evaluation", "text"))
    notes = footnotes.plain(chosen, reference)
    return Table("evaluations", "Evaluations", "model", columns, tuple(sections), notes)


def change_table(
    chosen: Sequence[EvaluationResult],
    *,
    before: str | None = None,
    after: Sequence[str] = (),
    published: PublishedChanges | None = None,
) -> Table:
    """Return the paper's generalization table: each set before and after, and the difference.

    Args:
        chosen: the evaluations to show.
        before: the model before; by default the base model, if there is only one.
        after: the models after, each with its own sections; by default all students, else all except ``before``.
        published: the published rows; by default those of the paper.
    """
    printed = published or published_changes()
    reference = _reference(chosen, before)
    models_after = _models_after(chosen, reference, after)
    sections: list[Section] = []
    for family, title in _FAMILIES.items():
        rows = [published_change(one) for one in printed.sets if one.family == family]
        rows += [published_mean(one.name, one.before, one.after) for one in printed.overall if one.family == family]
        for model in models_after:
            if own := _changes(chosen, reference or "", model, family, printed):
                sections.append(Section(f"{title}: {reference} → {model}", (*rows, *own)))
                rows = []
        if rows:
            sections.append(Section(title, tuple(rows)))
    columns = (
        Column("before", "before", "percent"),
        Column("after", "after", "percent"),
        _DIFFERENCE,
        Column("samples", "samples", "count"),
        _TOKENS,
        *_REST_COLUMNS,
    )
    notes = footnotes.changes(printed, chosen, reference, models_after)
    return Table("general", printed.title, "set", columns, tuple(sections), notes)


# Rows of your own evaluations.


def _section(
    title: str,
    key: ComparisonKey | None,
    members: Sequence[EvaluationResult],
    bases: Sequence[EvaluationResult],
    published: tuple[TableRow, ...] = (),
) -> Section:
    if key is None:
        return Section(title, published)
    first = members[0].evaluation
    heading = f"{title}: " if title else ""
    heading += heading_of(key, first.items)
    labels = row_labels(members)
    rows = [_own_row(one, label, bases) for one, label in zip(members, labels, strict=True)]
    return Section(heading, (*published, *rows), key.suite, key.items_hash, key.scorer)


def _own_row(one: EvaluationResult, label: str, bases: Sequence[EvaluationResult]) -> TableRow:
    cells = {
        "accuracy": headline_cell(one),
        "correct": own_cell(one, None if one.graded else one.count("correct"), of=one.tally.total),
        "tokens": own_cell(one, one.tokens),
        "difference": _difference(bases, one),
        **{name: own_cell(one, one.count(name)) for name in REST},
        "id": own_cell(one, one.evaluation.id),
    }
    return TableRow(label, cells)


def headline_cell(one: EvaluationResult) -> Cell:
    words = [f"graded, {one.tally.valued:,} of {one.tally.total:,}"] if one.graded else []
    if not one.finished:
        words.append(f"unfinished, {one.tally.total:,} of {one.expected:,}")
    return own_cell(one, one.value, interval=one.interval, note=", ".join(words))


def own_cell(one: EvaluationResult, value: float | int | str | None, **rest: Any) -> Cell:
    return Cell(value, scorer=one.scorer, evaluations=(one.evaluation.id,), **rest)


def _difference(bases: Sequence[EvaluationResult], after: EvaluationResult) -> Cell:
    """Return the difference to the comparable one of the reference evaluations."""
    suite = after.evaluation.suite
    here = [one for one in bases if one.evaluation.suite == suite]
    if any(one.evaluation.id == after.evaluation.id for one in here):
        return Cell(note="before")
    before = next((one for one in here if comparable(one, after)), None)
    if before is None:
        return Cell(note="not comparable") if here else NOTHING
    found = change(before, after)
    return found.cell() if found is not None else Cell(note="unfinished")


def _bases(chosen: Sequence[EvaluationResult], reference: str | None) -> list[EvaluationResult]:
    return [one for one in chosen if one.evaluation.model == reference]


def row_labels(members: Sequence[EvaluationResult]) -> list[str]:
    """Return the label of each row: the model, with revision or evaluation id if needed to tell rows apart."""
    models = [one.evaluation.model for one in members]
    model_keys = [one.model_key for one in members]
    labels = []
    for one in members:
        label = one.evaluation.model
        if models.count(label) > 1 and one.evaluation.revision:
            label += f" {one.evaluation.revision[:12]}"
        if model_keys.count(one.model_key) > 1:
            label += f" ({one.evaluation.id})"
        labels.append(f"{label}, {one.evaluation.role}" if one.evaluation.role not in ("", label) else label)
    return labels


def heading_of(key: ComparisonKey, items: int) -> str:
    """Return the heading of a section or panel: suite, items and scorer."""
    return f"{key.suite}, {counted(items, 'item')} ({key.items_hash[:8]}), scored by {key.scorer}"


def comparable_groups(members: Iterable[EvaluationResult]) -> dict[ComparisonKey, list[EvaluationResult]]:
    """Group evaluations into comparable ones; groups of the same suite are adjacent."""
    suites: dict[str, dict[ComparisonKey, list[EvaluationResult]]] = {}
    for one in members:
        suites.setdefault(one.evaluation.suite, {}).setdefault(one.key, []).append(one)
    return {key: found for groups in suites.values() for key, found in groups.items()}


# Before and after.


def _changes(
    chosen: Sequence[EvaluationResult], before: str, after: str, family: str, printed: PublishedChanges
) -> list[TableRow]:
    """Return the rows of one family: each suite, followed by its variants, and for safety the mean."""
    mine = [one for one in chosen if one.evaluation.family == family]
    rows: list[TableRow] = []
    pairs: list[tuple[EvaluationResult, EvaluationResult]] = []
    for suite in dict.fromkeys(one.evaluation.suite for one in mine):
        here = [one for one in mine if one.evaluation.suite == suite and one.evaluation.model == before]
        there = [one for one in mine if one.evaluation.suite == suite and one.evaluation.model == after]
        for pair in _paired(here, there):
            rows += _change_rows(*pair, apart=len(here) + len(there) > 2 or None in pair)
            if pair[0] is not None and pair[1] is not None:
                pairs.append((pair[0], pair[1]))
    if all(row.cells["after"].value is None for row in rows):
        return []
    if family == "safety" and (mean := _overall(pairs, printed)):
        rows.append(mean)
    return rows


def _paired(before: Sequence[EvaluationResult], after: Sequence[EvaluationResult]) -> list[Pair]:
    """Pair comparable evaluations; those without a counterpart are paired with None."""
    left = list(before)
    pairs: list[Pair] = []
    for one in after:
        same = next((other for other in left if comparable(other, one)), None)
        if same is not None:
            left.remove(same)
        pairs.append((same, one))
    return [*((one, None) for one in left), *pairs]


def _change_rows(before: EvaluationResult | None, after: EvaluationResult | None, *, apart: bool) -> list[TableRow]:
    """Return a row and one for each variant. ``apart`` adds version, items and scorer to the label."""
    one = after or before
    if one is None:
        return []
    label = one.evaluation.suite
    if apart:
        evaluation = one.evaluation
        label = f"{evaluation.suite_label}, {evaluation.items:,} items {evaluation.items_hash[:8]}, {one.scorer}"
    rows = [_change_row(label, before, after)]
    if before is not None and after is not None:
        others = {part.part: part for part in before.parts}
        rows += [_change_row(f"· {part.part}", others.get(part.part), part) for part in after.parts]
        rows += _weighted_row(before, after)
    return rows


def _change_row(label: str, before: EvaluationResult | None, after: EvaluationResult | None) -> TableRow:
    both = [one for one in (before, after) if one is not None]
    counts = {name: _both(both, [one.count(name) for one in both]) for name in REST}
    difference = Cell(note="not comparable")
    if before is not None and after is not None:
        found = change(before, after)
        difference = found.cell() if found is not None else Cell(note="unfinished")
    samples = [one.tally.total for one in both]
    tokens = [round(one.tokens) for one in both if one.tokens is not None]
    return TableRow(
        label,
        {
            "before": NOTHING if before is None else headline_cell(before),
            "after": NOTHING if after is None else headline_cell(after),
            "difference": difference,
            "samples": _both(both, samples[:1] if len(set(samples)) == 1 else samples),
            "tokens": _both(both, tokens) if len(tokens) == len(both) else NOTHING,
            **counts,
        },
    )


def _weighted_row(before: EvaluationResult, after: EvaluationResult) -> list[TableRow]:
    """Return the row of the weighted score, if the items have weights."""
    found = weighted_change(before, after)
    if found is None:
        return []
    cells = {"difference": found[2].cell()}
    for key, one, earned in (("before", before, found[0]), ("after", after, found[1])):
        cells[key] = own_cell(one, 100 * earned.value, interval=earned.interval and earned.interval.percent)
    return [TableRow("· by weight", cells)]


def _both(members: Sequence[EvaluationResult], values: Sequence[int]) -> Cell:
    ids = tuple(dict.fromkeys(one.evaluation.id for one in members))
    value = (values[0], values[1]) if len(values) == 2 else values[0]
    return Cell(value, scorer=members[-1].scorer, evaluations=ids)


def _overall(pairs: Sequence[tuple[EvaluationResult, EvaluationResult]], printed: PublishedChanges) -> TableRow | None:
    """Return the mean of the paper's safety sets if all were evaluated; else of the evaluated sets, and name them."""
    pairs = [pair for pair in pairs if pair[0].value is not None and pair[1].value is not None]
    for mean in printed.overall:
        wanted = [one for one in printed.sets if one.name in mean.of]
        of_each = [[pair for pair in pairs if known.is_suite(pair[1].evaluation.suite)] for known in wanted]
        averaged, name = [pair for found in of_each for pair in found], mean.name
        if any(len(found) != 1 for found in of_each):  # one is missing or has several versions
            if len(pairs) < 2:
                return None
            suites = [one.evaluation.suite for _, one in pairs]
            apart = len(set(suites)) < len(suites)
            names = [one.evaluation.suite_label if apart else one.evaluation.suite for _, one in pairs]
            averaged, name = list(pairs), f"Mean of {', '.join(names)}"
        found = overall_change(averaged)
        ids = tuple(dict.fromkeys(one.evaluation.id for pair in averaged for one in pair))
        means = [sum(pair[side].value or 0.0 for pair in averaged) / len(averaged) for side in (0, 1)]
        cells = {key: Cell(value, evaluations=ids) for key, value in zip(("before", "after"), means, strict=True)}
        cells["difference"] = found.cell() if found is not None else Cell(note="unfinished")
        return TableRow(name, cells, mean=True)
    return None


# The models that are compared.


def _reference(chosen: Sequence[EvaluationResult], before: str | None) -> str | None:
    models = {one.evaluation.model for one in chosen}
    if before is not None:
        if before not in models:
            raise UsageError(
                f"None of the evaluations used the model '{before}'.",
                f"Available models: {', '.join(sorted(models)) or 'none'}.",
            )
        return before
    bases = {one.evaluation.model for one in chosen if one.evaluation.role == "base"}
    return bases.pop() if len(bases) == 1 else None


def _models_after(chosen: Sequence[EvaluationResult], before: str | None, after: Sequence[str]) -> list[str]:
    if before is None:
        return []
    others = list(dict.fromkeys(one.evaluation.model for one in chosen if one.evaluation.model != before))
    for one in after:
        if one not in others:
            raise UsageError(
                f"None of the evaluations used the model '{one}'.", f"Available models: {', '.join(others) or 'none'}."
            )
    students = {one.evaluation.model for one in chosen if one.evaluation.role == "student"}
    return list(after) or [one for one in others if one in students] or others


def _in_first_table(one: EvaluationResult, printed: PublishedAccuracy) -> bool:
    suite = one.evaluation.suite
    return one.evaluation.family == "mathematics" or any(known.is_suite(suite) for known in printed.benchmarks)


def _bare(suite: str) -> str:
    """Return a suite's name without its version."""
    return suite.rpartition("@")[0] or suite
