"""Checks of the data: sources, characteristics, selection, synthesis."""

from __future__ import annotations

from o1lab.distill.filters import RULES
from o1lab.transparency.checks.finding import Finding, check, no, of_datasets, yes
from o1lab.transparency.lab_facts import LabFacts
from store import dataset_facts, exclusions
from store.records import Dataset

_PROMPTED = {"distilled", "reformatted", "translated", "multi-agent", "rescued"}


@check("data.sources")
def _sources(facts: LabFacts) -> Finding:
    def look(dataset: Dataset) -> Finding:
        found = dataset_facts.problem_sources(facts.store.db, dataset.name)
        makers = dataset_facts.makers(facts.store.db, dataset.name)
        unlicensed = sum(rows for _, licence, rows in found if not licence)
        if unlicensed:
            return no(
                f"{unlicensed:,} rows of {dataset.name} are of problems without a licence.",
                "o1lab import FILE --source NAME --licence LICENCE",
            )
        if unlicensed := sum(rows for *_, licence, rows in makers if not licence):
            return no(
                f"{unlicensed:,} responses of {dataset.name} have no licence.",
                'o1lab import FILE --licence LICENCE; for an endpoint: licence = "..." in o1lab.toml',
            )
        names = ", ".join(f"{source} ({licence})" for source, licence, _ in found[:5])
        return yes(f"{dataset.name}: {names}", f"o1lab dataset card {dataset.name}")

    return of_datasets(facts, look)


@check("data.characteristics")
def _characteristics(facts: LabFacts) -> Finding:
    def look(dataset: Dataset) -> Finding:
        if dataset.tokens is None:
            return no(f"The token count of {dataset.name} is not known.", "o1lab traces ls --where '-tokens>=0'")
        size = f"{dataset.rows:,} rows, {dataset.tokens:,} tokens"
        return yes(f"{dataset.name}: {size}; languages, lengths and columns: o1lab dataset card {dataset.name}")

    return of_datasets(facts, look)


@check("data.selection")
def _selection(facts: LabFacts) -> Finding:
    ran = exclusions.runs(facts.store.db)
    rules = RULES.all()
    stale = [name for name, rule in rules.items() if name not in ran or ran[name].version != rule.version]
    if stale:
        return no(f"These rules of the pool have not run on it: {', '.join(stale)}.", "o1lab problems filter")

    def look(dataset: Dataset) -> Finding:
        if not dataset.selection and "decision:" not in dataset.query:
            return no(
                f"The rows of {dataset.name} were taken without a recorded selection.",
                f"o1lab dataset create {dataset.name}-2 --keep verified",
            )
        return yes(
            f"{dataset.name}: {dataset.query or 'all traces'}",
            f"o1lab dataset show {dataset.name}",
            f"o1lab dataset drops {dataset.name}",
            "o1lab problems rules",
        )

    return of_datasets(facts, look)


@check("data.synthesis")
def _synthesis(facts: LabFacts) -> Finding:
    def look(dataset: Dataset) -> Finding:
        db = facts.store.db
        kinds = dataset_facts.counts(db, dataset.name, "synthesis")
        if unknown := kinds.get("unknown", 0):
            return no(
                f"How {unknown:,} rows of {dataset.name} were made is not recorded.",
                "o1lab import FILE --teacher MODEL, or o1lab distill --endpoint NAME",
            )
        prompted = sum(rows for kind, rows in kinds.items() if kind in _PROMPTED)
        if prompted and (imported := min(prompted, dataset_facts.without_run(db, dataset.name))):
            return no(
                f"The prompts of {imported:,} rows of {dataset.name} are unknown: no teacher run here made them.",
                "o1lab distill --endpoint NAME --problems QUERY",
            )
        verdicts = dataset_facts.counts(db, dataset.name, "verdict")
        if unchecked := verdicts.get("", 0):
            return no(f"{unchecked:,} rows of {dataset.name} were never verified.", "o1lab traces ls --verdict none")
        made = ", ".join(f"{kind} {rows:,}" for kind, rows in kinds.items())
        judged = ", ".join(f"{verdict} {rows:,}" for verdict, rows in verdicts.items())
        runs = (f"o1lab distill show {run}" for run in dataset_facts.runs(db, dataset.name))
        return yes(f"{dataset.name}: {made}; verified: {judged}", f"o1lab dataset card {dataset.name}", *runs)

    return of_datasets(facts, look)
