"""Loads the items of a suite: finds the data, reads the rows and builds the items."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from o1lab.errors import LabError, O1LabError, UsageError
from o1lab.evaluate.items import Item
from o1lab.evaluate.suites.builders import BUILDERS, read_options
from o1lab.evaluate.suites.builders.base import Question, SlotError, Templates, stable_sample
from o1lab.evaluate.suites.columns import Columns, unsendable
from o1lab.evaluate.suites.rows import Record, RowError, read_rows
from o1lab.evaluate.suites.suite import ItemsSpec, Suite, all_suites, is_file, path_of
from o1lab.paths import Lab, offline
from store import Store
from store.errors import QueryError, StoreError
from store.records import NewProblem, Problem

DATA_VARIABLE = "O1LAB_SUITE_DATA"


@dataclass(frozen=True, slots=True)
class LoadedItems:
    """The items of a suite, their origin, and the numbers of rows that gave items and that gave none.

    Attributes:
        items: the items, in the suite's order.
        origin: the file, the lab's problems or the hub dataset, in words.
        rows: the number of rows that were read; each became items or is counted in ``left_out``.
        questions: the number of rows that became items.
        left_out: the number of rows that did not, by reason.
    """

    items: list[Item]
    origin: str
    rows: int
    questions: int
    left_out: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the items of a suite come from: files of rows, or a query of the lab's problems."""

    words: str
    paths: tuple[Path, ...] = ()
    problems: str = ""


def load(
    lab: Lab,
    store: Store,
    suite: Suite,
    *,
    file: Path | str | None = None,
    limit: int | None = None,
    fetch: bool = True,
) -> LoadedItems:
    """Return the items of a suite in order, and how many rows gave none. The same data always gives the same items.

    Args:
        lab: the lab, whose folders are searched for the data.
        store: the lab's database.
        suite: the suite.
        file: read the rows from this file instead of the suite's own source.
        limit: the maximum number of items. Groups stay whole, and there is always at least one group.
        fetch: whether a hub dataset that is not on this machine is downloaded.

    Raises:
        UsageError: an id is used twice, a gold answer is missing or a row does not fit; with file and row.
        LabError: the data was not found (``no_items``); the hint says which file is needed.
    """
    origin = find_origin(lab, store, suite, file=file, fetch=fetch)
    spec = suite.items
    if origin.problems:  # the import has mapped these columns already
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
        raise UsageError(f"{origin.words} is empty.", suite.items.needs or "Add one row per item.")
    if not questions:
        raise UsageError(
            f"No row of {origin.words} becomes an item: {_reasons(left_out)}.",
            "Check items.where and items.skip of the suite.",
        )
    if spec.take is not None and spec.take < len(questions):
        left_out[f"not among the {spec.take} that were drawn"] += len(questions) - spec.take
        questions = stable_sample(questions, spec.take, [one.id for one in questions], spec.take_seed)
    before = left_out.total()
    items = list(_build(suite, questions, left_out))
    if not items:
        raise UsageError(
            f"No row of {origin.words} becomes an item: {_reasons(left_out)}.", "Check items.build of the suite."
        )
    made = len(questions) - (left_out.total() - before)
    kept = items if limit is None else _whole_groups(items, limit)
    return LoadedItems(kept, origin.words, rows, made, dict(left_out))


def find_origin(lab: Lab, store: Store, suite: Suite, *, file: Path | str | None = None, fetch: bool = True) -> Origin:
    """Return the origin of a suite's items: the first of ``file``, the suite's file, the lab's problems, the hub.

    Raises:
        UsageError: ``file`` does not exist.
        LabError: no origin was found (``no_items``), or the hub failed.
    """
    spec = suite.items
    if file is not None:
        path = path_of(str(file))
        if (found := path if is_file(path) else find_file(lab, suite, str(file))) is None:
            raise UsageError(f"There is no file {file}.", f"Name the file that holds the items. {spec.needs}".strip())
        return Origin(str(found), (found,))
    tried: list[str] = []
    if spec.file is not None:
        if (found := find_file(lab, suite, spec.file)) is not None:
            return Origin(str(found), (found,))
        tried.append(f"there is no {spec.file} in {', '.join(map(str, data_folders(lab, suite)))}")
    if spec.problems is not None:
        if _count_problems(store, suite, spec.problems):
            return Origin(f"the lab's problems {spec.problems}", problems=spec.problems)
        tried.append(f"no problem of the lab matches '{spec.problems}'")
    if spec.hub is not None:
        from o1lab.evaluate.suites.hub import hub_files

        try:
            return Origin(f"the hub's {spec.hub.id}", tuple(hub_files(spec.hub, fetch=fetch)))
        except LabError as error:
            if fetch and not offline():
                raise LabError(error.message, f"{error.hint} {spec.needs}".strip(), code=error.code) from error
            tried.append(error.message[:1].lower() + error.message[1:].rstrip("."))
    raise LabError(
        f"The items of {suite.name} were not found: {'; '.join(tried) or 'the suite names no source'}.",
        f"{spec.needs} Name the file with --items FILE, or put it in {lab.suite_data} or a folder of "
        f"${DATA_VARIABLE}.".strip(),
        code="no_items",
    )


def data_folders(lab: Lab, suite: Suite) -> list[Path]:
    """Return the folders that are searched for a suite's file, in order: the suite's, the lab's, $O1LAB_SUITE_DATA."""
    folders = [] if suite.path is None else [suite.path.parent]
    folders.append(lab.suite_data)
    named = os.environ.get(DATA_VARIABLE, "")
    return [*folders, *(path_of(one) for one in named.split(os.pathsep) if one)]


def find_file(lab: Lab, suite: Suite, name: str) -> Path | None:
    """Return the first file of this name in the data folders, or in a direct subfolder of the shared ones."""
    for folder in data_folders(lab, suite):
        if is_file(path := folder / name):
            return path
    for folder in data_folders(lab, suite)[1 if suite.path is None else 2 :]:
        try:
            inner = sorted(one for one in folder.iterdir() if one.is_dir())
        except OSError:
            continue  # the folder does not exist
        if found := next((path for one in inner if is_file(path := one / name)), None):
            return found
    return None


def _count_problems(store: Store, suite: Suite, query: str) -> int:
    from store.filters import ProblemQuery
    from store.problems import count

    try:
        return count(store.db, ProblemQuery.parse(query))
    except QueryError as error:
        raise UsageError(f"items.problems of the suite {suite.name}: {error.message}", error.hint) from error


def _records(store: Store, origin: Origin, spec: ItemsSpec, left_out: Counter[str]) -> Iterator[Record]:
    """Yield the rows of all files, numbered consecutively."""
    if origin.problems:
        yield from _problems(store, origin.problems)
        return
    several = len(origin.paths) > 1
    number = 0
    for path in origin.paths:
        for record in read_rows(path):
            if record.number <= spec.skip:
                left_out["skipped by items.skip"] += 1
                continue
            number += 1
            yield Record(number, f"{path.name}, {record.place}" if several else record.place, record.data)


def _problems(store: Store, query: str) -> Iterator[Record]:
    """Yield problems of the lab as rows. Their id is the key of their source if that is unique, else the lab's id."""
    from store.filters import ProblemQuery
    from store.problems import select

    chosen = list(select(store.db, ProblemQuery.parse(query)))
    keys = Counter(problem.key for problem in chosen)
    by_key = all(key and number == 1 for key, number in keys.items())
    for number, problem in enumerate(chosen, 1):
        data = {"id": problem.key if by_key else problem.id, "question": problem.statement, "answer": problem.answer}
        yield Record(number, f"problem {problem.id}", data)


def _questions(records: Iterable[Record], columns: Columns, left_out: Counter[str]) -> list[Question]:
    """Return the questions of the rows; count the rows that are left out by reason.

    Raises:
        RowError: a row is invalid, or two rows have the same id.
    """
    questions: list[Question] = []
    places: dict[str, str] = {}
    texts: set[str] = set()
    for record in records:
        if not columns.fits(record):
            left_out["not matched by items.where"] += 1
            continue
        question = columns.question(record)
        if columns.spec.unique and question.text in texts:
            left_out["the same question as an earlier row"] += 1
            continue
        if question.id in places:
            raise RowError(
                record.place,
                f"its id '{question.id}' is already used by {places[question.id]}",
                "Give every row a unique id, or remove the column to number the rows.",
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
                raise UsageError(f"The prompt of item {item.id} contains {fault}.", "Clean its row.")
            yield item
    except SlotError as error:
        columns = [str(name) for name in questions[0].columns]
        raise UsageError(
            f"A prompt of the suite {suite.label} uses {{{{{error}}}}}, but the items have no such column.",
            f"Available: question, {', '.join(columns[:12])}. Correct {suite.path or 'the suite'}.",
        ) from error


def _whole_groups(items: Sequence[Item], limit: int) -> list[Item]:
    """Return the first items, at most ``limit`` of them. Groups stay whole, and there is always at least one."""
    kept: list[Item] = []
    for _, group in groupby(enumerate(items), key=lambda one: one[1].group or one[0]):
        members = [item for _, item in group]
        if kept and len(kept) + len(members) > limit:
            break
        kept += members
    return kept


def _reasons(left_out: Counter[str]) -> str:
    return ", ".join(f"{number} {reason}" for reason, number in left_out.items()) or "it has none"


@dataclass(frozen=True)
class SuiteQuestions:
    """The questions of the suites of a lab.

    Attributes:
        questions: the items as problems, each with the name of its suite.
        missing: suites whose items are not on this machine, each with the reason.
    """

    questions: list[tuple[Problem, str]] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)


def tested_questions(lab: Lab, store: Store) -> SuiteQuestions:
    """Return the questions of every suite whose items are on this machine; nothing is downloaded."""
    found = SuiteQuestions()
    for one in all_suites(lab):
        if one.suite is None:
            found.missing[one.name] = one.problem
            continue
        try:
            items = load(lab, store, one.suite, fetch=False).items
        except StoreError:
            raise
        except O1LabError as error:
            found.missing[one.name] = error.message
            continue
        for text, item in {item.question: item for item in items}.items():
            problem = Problem(NewProblem(text, one.name).id, text, None, None, None, one.name, None, item.id)
            found.questions.append((problem, one.name))
    return found
