"""From a suite to its items: finding the set, reading it row by row, and building what is put to a model."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from o1lab.errors import LabError, UsageError
from o1lab.evaluate.items import Item
from o1lab.evaluate.suites.builders import BUILDERS, read_options
from o1lab.evaluate.suites.builders.base import Question, SlotError, Templates
from o1lab.evaluate.suites.builders.drawing import sample
from o1lab.evaluate.suites.columns import Columns, unsendable
from o1lab.evaluate.suites.rows import Record, RowError, read_rows
from o1lab.evaluate.suites.suite import ItemsSpec, Suite, is_file, path_of
from o1lab.paths import Lab, offline
from store import Store
from store.errors import QueryError

DATA_VARIABLE = "O1LAB_SUITE_DATA"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A suite's items, where they came from, and what became of every row.

    Attributes:
        origin: the file, the lab's problems or the hub's dataset, in words.
        rows: how many rows were read; each made items or is counted in ``left_out``.
        questions: how many of them made items.
        left_out: how many rows made none, by reason.
        beyond_limit: items that a limit cut off.
    """

    items: list[Item]
    origin: str
    rows: int
    questions: int
    left_out: dict[str, int] = field(default_factory=dict)
    beyond_limit: int = 0


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a suite's items are: files of rows, or a query of the lab's problems."""

    words: str
    paths: tuple[Path, ...] = ()
    problems: str = ""


def load_items(
    lab: Lab, store: Store, suite: Suite, *, file: Path | str | None = None, limit: int | None = None
) -> list[Item]:
    """A suite's items in their order, always the same ones for the same data.

    Args:
        file: take them from this file, whatever the suite says.
        limit: at most so many items, never a part of a group (but one group at least).

    Raises:
        UsageError: duplicate ids, missing gold answers, a schema that does not fit; each with file and row.
        LabError: the items are not here (``no_items``), with which file is needed in what form.
    """
    return load(lab, store, suite, file=file, limit=limit).items


def load(
    lab: Lab,
    store: Store,
    suite: Suite,
    *,
    file: Path | str | None = None,
    limit: int | None = None,
    fetch: bool = True,
) -> Loaded:
    """:func:`load_items` with an account of every row; ``fetch=False`` takes nothing from the network."""
    origin = find_origin(lab, store, suite, file=file, fetch=fetch)
    spec = suite.items
    if origin.problems:  # the lab has read these columns already
        spec = spec.model_copy(
            update={"fields": {}, "inner": {}, "values": {}, "split": {}, "gold_form": "plain", "where": {}, "skip": 0}
        )
    left_out: Counter[str] = Counter()
    try:
        questions = _questions(_records(store, origin, spec, left_out), Columns(spec, suite.needs_gold), left_out)
    except RowError as error:
        raise UsageError(f"{origin.words}, {error.place}: {error.reason}.", error.hint) from error
    except OSError as error:
        raise LabError(f"{origin.words} cannot be read: {error.strerror}.", "Check the file.") from error
    rows = len(questions) + left_out.total()
    if not rows:
        raise UsageError(f"{origin.words} is empty.", suite.items.needs or "Give it a row for each item.")
    if not questions:
        raise UsageError(
            f"No row of {origin.words} makes an item: {_told(left_out)}.",
            "See items.where and items.skip of the suite.",
        )
    if spec.take is not None and spec.take < len(questions):
        left_out[f"not among the {spec.take} that were drawn"] += len(questions) - spec.take
        questions = sample(questions, spec.take, [one.id for one in questions], spec.take_seed)
    before = left_out.total()
    items = list(_build(suite, questions, left_out))
    if not items:
        raise UsageError(f"No row of {origin.words} makes an item: {_told(left_out)}.", "See items.build of the suite.")
    made = len(questions) - (left_out.total() - before)
    kept = items if limit is None else _whole_groups(items, limit)
    return Loaded(kept, origin.words, rows, made, dict(left_out), len(items) - len(kept))


def find_origin(lab: Lab, store: Store, suite: Suite, *, file: Path | str | None = None, fetch: bool = True) -> Origin:
    """Where a suite's items are, the first of: the file that was named, the suite's file, the lab's problems, the hub.

    Raises:
        UsageError: the file that was named is not there.
        LabError: there are none (``no_items``), or the hub failed.
    """
    spec = suite.items
    if file is not None:
        path = path_of(str(file))
        if (found := path if is_file(path) else find_file(lab, suite, str(file))) is None:
            raise UsageError(f"There is no file {file}.", f"It holds the items. {spec.needs}".strip())
        return Origin(str(found), (found,))
    looked: list[str] = []
    if spec.file is not None:
        if (found := find_file(lab, suite, spec.file)) is not None:
            return Origin(str(found), (found,))
        looked.append(f"there is no {spec.file} in {', '.join(map(str, data_folders(lab, suite)))}")
    if spec.problems is not None:
        if _count_problems(store, suite, spec.problems):
            return Origin(f"the lab's problems {spec.problems}", problems=spec.problems)
        looked.append(f"the lab has no problem of '{spec.problems}'")
    if spec.hub is not None:
        from o1lab.evaluate.suites.hub import hub_files

        try:
            return Origin(f"the hub's {spec.hub.id}", tuple(hub_files(spec.hub, fetch=fetch)))
        except LabError as error:
            if fetch and not offline():
                raise LabError(error.message, f"{error.hint} {spec.needs}".strip(), code=error.code) from error
            looked.append(error.message[:1].lower() + error.message[1:].rstrip("."))
    raise LabError(
        f"The items of {suite.name} are not here: {'; '.join(looked) or 'the suite names none'}.",
        f"{spec.needs} Name it with --items FILE, put it in {lab.suites / 'data'}, or in a folder of "
        f"${DATA_VARIABLE}.".strip(),
        code="no_items",
    )


def data_folders(lab: Lab, suite: Suite) -> list[Path]:
    """Where a suite's file is looked for, in this order; of $O1LAB_SUITE_DATA also the folders in its folders."""
    folders = [] if suite.path is None else [suite.path.parent]
    folders.append(lab.suites / "data")
    named = os.environ.get(DATA_VARIABLE, "")
    return [*folders, *(path_of(one) for one in named.split(os.pathsep) if one)]


def find_file(lab: Lab, suite: Suite, name: str) -> Path | None:
    """The file of that name in the suite's folders."""
    for folder in data_folders(lab, suite):
        if is_file(path := folder / name):
            return path
    for folder in data_folders(lab, suite)[1 if suite.path is None else 2 :]:
        try:
            inner = sorted(one for one in folder.iterdir() if one.is_dir())
        except OSError:
            continue  # a folder that is not there holds no file
        if found := next((path for one in inner if is_file(path := one / name)), None):
            return found
    return None


def _count_problems(store: Store, suite: Suite, query: str) -> int:
    from store.problem_query import parse_problem_query
    from store.problems import count_selected

    try:
        return count_selected(store.db, parse_problem_query(query))
    except QueryError as error:
        raise UsageError(f"items.problems of the suite {suite.name}: {error.message}", error.hint) from error


def _records(store: Store, origin: Origin, spec: ItemsSpec, left_out: Counter[str]) -> Iterator[Record]:
    """The rows, numbered through all files."""
    if origin.problems:
        yield from _problems(store, origin.problems)
        return
    several = len(origin.paths) > 1
    number = 0
    for path in origin.paths:
        for record in read_rows(path):
            if record.number <= spec.skip:
                left_out["passed over by items.skip"] += 1
                continue
            number += 1
            yield Record(number, f"{path.name}, {record.place}" if several else record.place, record.data)


def _problems(store: Store, query: str) -> Iterator[Record]:
    """Problems of the lab as rows. Their id is the one of their source where that tells them apart, else the lab's."""
    from store.problem_query import parse_problem_query
    from store.problems import select

    chosen = list(select(store.db, parse_problem_query(query)))
    keys = Counter(problem.key for problem in chosen)
    by_key = all(key and number == 1 for key, number in keys.items())
    for number, problem in enumerate(chosen, 1):
        data = {"id": problem.key if by_key else problem.id, "question": problem.statement, "answer": problem.answer}
        yield Record(number, f"problem {problem.id}", data)


def _questions(records: Iterable[Record], columns: Columns, left_out: Counter[str]) -> list[Question]:
    """The questions of the rows; rows that are none are counted by reason.

    Raises:
        RowError: a row is wrong, or two have one id.
    """
    questions: list[Question] = []
    places: dict[str, str] = {}
    texts: set[str] = set()
    for record in records:
        if not columns.fits(record):
            left_out["not chosen by items.where"] += 1
            continue
        question = columns.question(record)
        if columns.spec.unique and question.text in texts:
            left_out["the same question as a row before"] += 1
            continue
        if question.id in places:
            raise RowError(
                record.place,
                f"its id '{question.id}' is also that of {places[question.id]}",
                "Ids tell items apart: give every row its own, or leave the column out to number them.",
            )
        places[question.id] = record.place
        if columns.spec.unique:
            texts.add(question.text)
        questions.append(question)
    return questions


def _build(suite: Suite, questions: Sequence[Question], left_out: Counter[str]) -> Iterator[Item]:
    def leave_out(reason: str) -> None:
        left_out[reason] += 1

    templates = Templates(suite.system, suite.prompt)
    options = read_options(suite.items.build, suite.items.options)
    try:
        for item in BUILDERS[suite.items.build].build(questions, templates, options, leave_out):
            if fault := next((fault for turn in (item.system, *item.turns) if (fault := unsendable(turn))), ""):
                raise UsageError(f"What item {item.id} would say to a model holds {fault}.", "Clean its row.")
            yield item
    except SlotError as error:
        columns = [str(name) for name in questions[0].columns]
        raise UsageError(
            f"A prompt of the suite {suite.label} wants {{{{{error}}}}}, and the items have no column of that name.",
            f"There are: question, {', '.join(columns[:12])}. Correct {suite.path or 'the suite'}.",
        ) from error


def _whole_groups(items: Sequence[Item], limit: int) -> list[Item]:
    """The first items, at most ``limit`` of them, without tearing a group apart; one group at least."""
    kept: list[Item] = []
    for _, group in groupby(enumerate(items), key=lambda one: one[1].group or one[0]):
        members = [item for _, item in group]
        if kept and len(kept) + len(members) > limit:
            break
        kept += members
    return kept


def _told(left_out: Counter[str]) -> str:
    return ", ".join(f"{number} {reason}" for reason, number in left_out.items()) or "there is none"
