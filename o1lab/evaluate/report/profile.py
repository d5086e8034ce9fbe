"""The behaviour profile: moves per 1,000 tokens of teachers, base and students side by side, with their scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from o1lab.chains.segmentation.moves import SEGMENTER_VERSION, MoveKind
from o1lab.evaluate.report import footnotes
from o1lab.evaluate.report.cells import Cell, Column, Section, Table, TableRow, ends
from o1lab.evaluate.report.selection import EvaluationResult
from o1lab.evaluate.report.tables import REST, comparable_groups, heading_of, headline_cell, own_cell, row_labels
from o1lab.evaluate.report.teachers import TeacherChains, teacher_chains
from o1lab.evaluate.sample_moves import Counted, moves_of_evaluation
from o1lab.evaluate.stats.metrics import cluster
from o1lab.evaluate.stats.move_rates import (
    ALL,
    FEWEST_MODELS,
    RATES,
    REFLECTING,
    REFLECTION,
    Correlation,
    CountedText,
    MoveRates,
    correlation,
    move_rates,
)
from o1lab.evaluate.stats.variants import NO_PRESSURE, PLAIN, PRESSURE, pressure_drop
from store.sqlite import Database

_PRESSURE = "pressure"
_DROPPED = "drop under pressure"
COLUMNS = (
    Column("accuracy", "accuracy", "percent"),
    Column(_PRESSURE, _DROPPED, "percent"),
    Column(REFLECTION, "self-reflection", "rate"),
    *(Column(str(kind), str(kind), "rate") for kind in MoveKind),
    Column(ALL, "all moves", "rate"),
    Column("texts", "texts", "count"),
    Column("tokens", "tokens of a text", "tokens"),
    *(Column(name, name, "count") for name in REST),
)
_SYCOPHANCY = "sycophancy"
_CLAIM = "The paper says that self-reflection reduced sycophancy, and gives no count. "
_READ = {
    "answer": "have no thought and count by their answer",
    "both": "have a thought in some turns only and count by their answer in the others",
}
_ABOUT = (
    "Moves per 1,000 tokens of the thought, as the rules segment it (version "
    f"{SEGMENTER_VERSION} of the segmenter). Self-reflection is the sum of {', '.join(REFLECTING)}.",
    "Intervals of rates are at 95 %, by a bootstrap over items (of teachers' chains: over problems).",
    "Incomplete samples count with the text that they have; failed ones have none.",
)
_DROP = (
    f"Drop under pressure: accuracy of the variant {PLAIN} minus that of {' and '.join(PRESSURE)}, over the questions "
    f"asked in both ways; {NO_PRESSURE} does not count."
)
_CORRELATED = (
    "Correlation: Pearson's r of a rate with the score across the models of a section, with Fisher's interval, for at "
    f"least {FEWEST_MODELS} models with a finished evaluation. It takes models as independent, which checkpoints of a "
    "run are not, is not adjusted for the number of columns, and does not say that one causes the other."
)


class _Reflection(NamedTuple):
    """The correlation of self-reflection with a score, named ``score``, in the section of an evaluation."""

    first: EvaluationResult
    score: str
    found: Correlation


@dataclass(frozen=True)
class _Profiled:
    """An evaluation with the moves of its samples."""

    result: EvaluationResult
    moves: Counted

    @property
    def rates(self) -> MoveRates | None:
        return move_rates(self.texts())

    def texts(self) -> list[CountedText]:
        """The samples whose tokens are known."""
        suite = self.result.evaluation.suite_label
        found = []
        for one in self.result.results:
            counted = self.moves.get((one.item, one.sample))
            if counted is not None and counted.tokens is not None:
                found.append(CountedText((suite, *cluster(one)), counted.tokens, counted.counts))
        return found


def profile_table(
    db: Database,
    chosen: Sequence[EvaluationResult],
    *,
    teachers: Sequence[str] = (),
    dataset: str | None = None,
    progress: Callable[[str, int], None] | None = None,
) -> Table:
    """Return the behaviour profile of these evaluations and of the chains of teachers.

    The moves of samples that were not counted before are counted and stored: call it in a thread.

    Args:
        db: the lab's database.
        chosen: the evaluations; models are compared on equal items only.
        teachers: the models whose chains are shown; by default all whose chains are in datasets.
        dataset: only chains of this dataset.
        progress: called with the id of an evaluation and the number of its samples counted so far, which are stored;
            it may raise to end the counting.
    """
    found = []
    for one in sorted(chosen, key=lambda one: one.evaluation.role != "teacher"):
        on_batch = None if progress is None else partial(progress, one.evaluation.id)
        found.append(_Profiled(one, moves_of_evaluation(db, one.evaluation.id, progress=on_batch)))
    chains = teacher_chains(db, teachers, dataset)
    overview, why_none = _side_by_side(found, chains)
    sections = [*overview]
    notes = [*_ABOUT, *why_none]
    reflections: list[_Reflection] = []
    by_id = {one.result.evaluation.id: one for one in found}
    for key, members in comparable_groups(one.result for one in found).items():
        own = [by_id[one.evaluation.id] for one in members]
        rows, more = _rows(own)
        reflections += more
        sections.append(
            Section(heading_of(key, members[0].evaluation.items), rows, key.suite, key.items_hash, key.scorer)
        )
    columns = COLUMNS
    if any(_PRESSURE in row.cells for section in sections for row in section.rows):
        notes.insert(len(_ABOUT), _DROP)
    else:
        columns = tuple(one for one in COLUMNS if one.key != _PRESSURE)
    notes += [*_sentences(reflections), _CORRELATED, *_left_out(found), *(note for one in chains for note in one.notes)]
    notes += footnotes.plain(chosen, None)
    return Table("profile", "Behaviour: moves per 1,000 tokens", "model", columns, tuple(sections), tuple(notes))


def _side_by_side(found: Sequence[_Profiled], chains: Sequence[TeacherChains]) -> tuple[list[Section], list[str]]:
    """Return the section with teachers and all models on the items that they share, and why models are not in it."""
    models = list(dict.fromkeys(one.result.model_key for one in found))
    of_model = {model: [one for one in found if one.result.model_key == model] for model in models}
    shared = [
        items
        for items in dict.fromkeys(map(_items, found))
        if all(any(_items(one) == items for one in own) for own in of_model.values())
    ]
    rows = [_chain_row(one) for one in chains]
    notes = []
    if shared and (chains or (len(models) > 1 and len(shared) > 1)):
        firsts = [next(one for one in of_model[model] if _items(one) == shared[0]) for model in models]
        labels = row_labels([one.result for one in firsts])
        for label, model in zip(labels, models, strict=True):
            own = [next(one for one in of_model[model] if _items(one) == items) for items in shared]
            rows.append(TableRow(label, _pooled(own)))
    elif len(models) > 1 and not shared:
        notes.append("No suite was answered by all of these models, so there is no row over all suites: name models.")
    if not rows:
        return [], notes
    suites = ", ".join(suite for suite, _ in shared)
    title = f"Side by side on {suites}" if len(rows) > len(chains) else "Chains of teachers"
    return [Section(title, tuple(rows))], notes


def _items(one: _Profiled) -> tuple[str, str]:
    return one.result.evaluation.suite_label, one.result.evaluation.items_hash


def _pooled(own: Sequence[_Profiled]) -> dict[str, Cell]:
    """Return the cells of one model over several suites; an accuracy over different suites would have no meaning."""
    ids = tuple(one.result.evaluation.id for one in own)
    counts = {name: Cell(sum(one.result.count(name) for one in own), evaluations=ids) for name in REST}
    cells = _rate_cells(move_rates([text for one in own for text in one.texts()]), ids) | counts
    return cells if len(own) > 1 else cells | {"accuracy": headline_cell(own[0].result)}


def _chain_row(one: TeacherChains) -> TableRow:
    counts = {"incomplete": Cell(one.incomplete), "unscored": Cell(one.unverified)}
    accuracy = Cell(note="not verified")
    if one.right is not None and one.right.value is not None:
        accuracy = Cell(
            100 * one.right.value, one.right.interval and one.right.interval.percent, of=one.right.n, note="chosen"
        )
    return TableRow(one.label, {"accuracy": accuracy, **_rate_cells(one.rates, ()), **counts})


def _rate_cells(rates: MoveRates | None, ids: tuple[str, ...], scorer: str = "") -> dict[str, Cell]:
    """Return the cells of all rates, and how many texts they are of."""
    if rates is None:
        return {name: Cell(note="no text") for name in RATES} | {"texts": Cell(0, evaluations=ids)}
    cells = {
        name: Cell(rate.value, rate.interval and rate.interval.ends, scorer=scorer, evaluations=ids)
        for name, rate in rates.rates.items()
    }
    return cells | {
        "texts": Cell(rates.texts, evaluations=ids),
        "tokens": Cell(rates.tokens / rates.texts, evaluations=ids),
    }


def _rows(own: Sequence[_Profiled]) -> tuple[tuple[TableRow, ...], list[_Reflection]]:
    """Return the rows of models on the same items, with correlations as the last rows, and those of self-reflection."""
    first = own[0].result
    score = "mean value" if first.graded else "accuracy"
    rows: list[TableRow] = []
    pairs: dict[str, list[tuple[MoveRates, float]]] = {score: [], _DROPPED: []}
    models: set[tuple[str, str]] = set()
    for one, label in zip(own, row_labels([one.result for one in own]), strict=True):
        result, rates = one.result, one.rates
        cells = _rate_cells(rates, (result.evaluation.id,), result.scorer)
        cells |= {name: own_cell(result, result.count(name)) for name in REST}
        cells["accuracy"] = headline_cell(result)
        drop = pressure_drop(result.results)
        if drop is not None:
            cells[_PRESSURE] = own_cell(result, 100 * drop[0], interval=drop[1] and drop[1].percent)
        rows.append(TableRow(label, cells))
        if rates is not None and result.finished and result.model_key not in models:
            models.add(result.model_key)
            if result.value is not None:
                pairs[score].append((rates, result.value))
            if drop is not None:
                pairs[_DROPPED].append((rates, 100 * drop[0]))
    reflections: list[_Reflection] = []
    for name, found in pairs.items():
        if name == _DROPPED and not found:
            continue
        across = {rate: correlation([(rates.rates[rate].value, value) for rates, value in found]) for rate in RATES}
        if any(each.r is not None for each in across.values()):
            rows.append(TableRow(f"r with {name}, {len(found)} models", _correlation_cells(across), mean=True))
        if name == _DROPPED or not pairs[_DROPPED]:  # the drop is the measure of sycophancy
            reflections.append(_Reflection(first, name, across[REFLECTION]))
    return tuple(rows), reflections


def _correlation_cells(found: dict[str, Correlation]) -> dict[str, Cell]:
    return {
        name: Cell(note="constant") if one.r is None else Cell(one.r, one.interval and one.interval.ends, digits=2)
        for name, one in found.items()
    }


def _sentences(reflections: Sequence[_Reflection]) -> list[str]:
    """Return sentences on self-reflection and scores; those on sycophancy include the claim of the paper."""
    lines = []
    none: dict[str, list[str]] = {}
    for first, name, found in reflections:
        suite = first.evaluation.suite_label
        claimed = first.evaluation.family == _SYCOPHANCY
        claim = _CLAIM if claimed else ""
        if found.r is None and not claimed:
            none.setdefault(found.why_not, []).append(suite)
        elif found.r is None:
            lines.append(f"{claim}Self-reflection and {name} on {suite}: no correlation, {found.why_not}.")
        else:
            within, clear = "without an interval, as the models are on one line", ""
            if found.interval is not None:
                within = ends(found.interval.ends, 2)
                clear = ": no clear relation" if found.interval.low <= 0 <= found.interval.high else ""
            of = f"across {found.n} models{clear}"
            lines.append(f"{claim}Self-reflection and {name} on {suite}: r = {found.r:.2f} {within} {of}.")
    for why, suites in none.items():
        lines.append(f"No correlation of self-reflection and score on {', '.join(suites)}: {why}.")
    return lines


def _left_out(found: Iterable[_Profiled]) -> list[str]:
    """Return what was read other than thoughts, and what was not counted, by evaluation."""
    notes = []
    for one in found:
        moves = list(one.moves.values())
        about = one.result.evaluation
        name = f"{about.id} ({about.model} on {about.suite_label})"
        for read, words in _READ.items():
            number = sum(each.read == read and bool(each.tokens) for each in moves)
            if number:
                notes.append(f"{name}: {number:,} of {len(moves):,} samples {words}.")
        if hidden := sum(each.tokens is None for each in moves):
            notes.append(
                f"{name}: {hidden:,} samples do not count, as the length of their hidden thought is not known."
            )
        if empty := sum(each.tokens == 0 for each in moves):
            notes.append(f"{name}: {empty:,} samples do not count, as they have no text.")
    return notes
