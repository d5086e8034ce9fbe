"""Repeats what selected the rows: rules of the pool, decisions by hand, the filter and selection of each dataset."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from o1lab.config import load_config
from o1lab.distill.datasets import matched, selection
from o1lab.distill.datasets.control import make_control
from o1lab.distill.filters import RULES
from o1lab.distill.filters.pool import chosen_rules, filter_pool
from o1lab.errors import O1LabError
from o1lab.ingest.annotations import merge_annotations
from o1lab.models.base import resolve_base, token_counter
from o1lab.paths import Lab
from o1lab.small_files import read_text
from o1lab.transparency.report.manifest import ANNOTATIONS, DatasetRecord, Manifest, RuleRecord
from o1lab.transparency.reproduce.outcome import Outcome, compared, impossible
from o1lab.transparency.reproduce.rows import inside
from store import Store, datasets, decisions, exclusions, pairs, problems
from store.errors import NameTakenError, NotFoundError, NothingChosenError, QueryError, StoreError, WrongKindError
from store.filters import ProblemQuery, TraceQuery
from store.policy import DEFAULT, POLICIES
from store.records import Dataset, with_suffix

AGAIN = "-again"
"""Ends the name of a dataset that was selected again."""
_OF_THE_LAB = {
    "run": "teacher runs, which a report does not contain",
    "assigned": "assignments, which a report does not contain",
}
"""Fields of a filter that ask for records which a fresh lab does not have."""


def restore_decisions(store: Store, manifest: Manifest, folder: Path) -> None:
    """Add the decisions, ratings, tags and rulings of the report, if their traces and problems are here."""
    path = inside(folder, ANNOTATIONS)
    if path.is_file():
        merge_annotations(store, path)
    known = {one.id for one in problems.several(store.db, [problem for problem, _ in manifest.rulings])}
    for problem, ruling in manifest.rulings:
        if problem in known and ruling in ("keep", "exclude"):
            exclusions.rule_on(store.db, [problem], "keep" if ruling == "keep" else "exclude", annotator="report")


def repeat_rules(store: Store, manifest: Manifest) -> Iterator[Outcome]:
    """Run the rules of the pool again and compare what they exclude."""
    names = RULES.names()
    able = [one for one in manifest.rules if one.rule in names and RULES.get(one.rule).version == one.version]
    counts = {}
    if able:
        report = filter_pool(
            store.db, chosen_rules([one.rule for one in able]), ProblemQuery(), benchmarks=manifest.benchmarks
        )
        counts = {one.name: one.excluded for one in report.rules}
    here = problems.count(store.db)
    for one in manifest.rules:
        yield _rule(one, counts.get(one.rule), here, known=one.rule in names)


def _rule(one: RuleRecord, excluded: int | None, here: int, *, known: bool) -> Outcome:
    what, expected = f"rule {one.rule}", f"{one.excluded:,} of {one.looked:,} problems excluded"
    if excluded is None:
        why = f"version {RULES.get(one.rule).version}" if known else "no such rule"
        return impossible(what, expected, f"this o1lab has {why}, the report is from version {one.version}")
    if one.looked != here:
        return impossible(what, expected, f"this pool has {here:,} problems: the others were not imported here")
    return compared(what, expected, f"{excluded:,} of {here:,} problems excluded")


def repeat_dataset(lab: Lab, store: Store, record: DatasetRecord, folder: Path) -> Iterator[Outcome]:
    """Make a dataset of the rows that the report lists, then select them again by its filter and rules.

    Raises:
        UnreadableError: the report does not list the rows.
    """
    ids = read_text(inside(folder, record.traces)).split()
    what = f"dataset {record.name}"
    missing = len(set(ids)) - _present(store, ids)
    if missing or not ids:
        yield impossible(
            f"{what}: rows", record.hash,
            f"{missing:,} of its {record.rows:,} rows are not here: neither the imports nor the report has them",
        )  # fmt: skip
        return
    if record.kind == "pairs":
        both = list(zip(ids[::2], ids[1::2], strict=False))
        made = pairs.snapshot(store.db, record.name, both, query=record.query, selection=record.selection)
    else:
        made = datasets.snapshot(
            store.db, record.name, ids, phase=record.phase, query=record.query, selection=record.selection
        )
    yield compared(f"{what}: rows", record.hash, made.hash)
    yield _selected_again(lab, store, record)


def _present(store: Store, ids: list[str]) -> int:
    return sum(1 for one in set(ids) if store.db.execute("SELECT 1 FROM traces WHERE id = ?", [one]).fetchone())


def _selected_again(lab: Lab, store: Store, record: DatasetRecord) -> Outcome:
    what = f"dataset {record.name}: selection"
    try:
        query = TraceQuery.parse("" if {"from", "control_of"} & set(record.selection) else record.query)
        for one in query.conditions:
            if one.field in _OF_THE_LAB:
                return impossible(what, record.hash, f"its filter asks for {_OF_THE_LAB[one.field]}: {record.query}")
        if query.of_student:
            return impossible(what, record.hash, f"a student's scores of its candidates are not here: {record.query}")
        _decide_as(store, record)
        made = _select(lab, store, record, query)
    except NotFoundError as error:
        return impossible(what, record.hash, error.message)
    except (StoreError, NameTakenError, NothingChosenError, QueryError, WrongKindError) as error:
        return Outcome(what, "different", record.hash, "", f"{error.message} {error.hint}".strip())
    except O1LabError as error:
        return impossible(what, record.hash, error.message)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return impossible(
            what, record.hash, f"the record of how its rows were chosen is not valid for this o1lab: {error!r}"
        )
    if made is None:
        keys = ", ".join(record.selection) or "nothing"
        return impossible(what, record.hash, f"how its rows were chosen ({keys}) cannot be repeated by this o1lab")
    return compared(what, record.hash, made.hash, reason=_limits(store, record, made))


def _decide_as(store: Store, record: DatasetRecord) -> None:
    """Let those decisions count that counted when the dataset was made."""
    policy = record.decided.get("policy", DEFAULT)
    if policy not in POLICIES:
        raise ValueError(f"policy {policy}")
    decisions.use_policy(store.db, policy)
    store.annotator = str(record.decided.get("annotator", ""))


def _select(lab: Lab, store: Store, record: DatasetRecord, query: TraceQuery) -> Dataset | None:
    """Select the rows of a dataset as it was selected first; None if this is not known."""
    chosen, name = record.selection, with_suffix(record.name, AGAIN)
    if "control_of" in chosen:
        count = token_counter(resolve_base(load_config(lab).base, fetch=False))
        return make_control(store, chosen["control_of"], name, match=chosen["match"], count_tokens=count)
    if "from" in chosen:
        parts = [str(part["name"]) for part in chosen["from"]]
        choice, _ = selection.mix(store, parts, balance=bool(chosen.get("balance")), seed=chosen.get("seed"))
    elif "keep" in chosen:
        choice = selection.choose(
            store, query, phase=record.phase, keep=chosen["keep"], per_problem=chosen["per_problem"],
            drop=chosen["rules"],
        )  # fmt: skip
        if "most" in chosen:
            choice = matched.first(choice, chosen["most"])
    elif chosen:
        return None
    else:
        return datasets.create(store.db, name, query, phase=record.phase)
    return datasets.snapshot(
        store.db, name, choice.ids, phase=record.phase, query=record.query, selection=choice.selection,
        drops=choice.drops,
    )  # fmt: skip


def _limits(store: Store, record: DatasetRecord, made: Dataset) -> str:
    """Return what limits the comparison: candidates that were dropped then and are not here now."""
    if made.hash != record.hash:
        return f"{made.rows:,} rows instead of {record.rows:,}"
    then, now = sum(record.drops.values()), sum(datasets.drop_counts(store.db, made.name).values())
    return "" if then == now else f"the same rows out of other candidates: {now:,} were dropped here, {then:,} then"
