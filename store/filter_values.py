"""The values in a lab that filters of traces offer and check, by field."""

from __future__ import annotations

from store import annotations as annotation_log
from store import datasets, decisions, labels, suitability, traces
from store.filters import TraceQuery
from store.sqlite import Database


def of_traces(db: Database) -> dict[str, list[str]]:
    """Return the values in this lab for the completion of filters of traces, by field."""
    return {
        **{name: traces.values(db, name) for name in ("model", "source", "synthesis")},
        "tag": [tag for tag, _ in annotation_log.tags(db)],
        "label": [*labels.known(db), *(earlier for earlier, _ in labels.earlier_names(db))],
        "by": annotation_log.annotators(db),
        "assigned": ["me", "any", "none", *decisions.assigned(db)],
        "dataset": [dataset.name for dataset in datasets.all_datasets(db)],
    }


def unknown(db: Database, query: TraceQuery) -> str:
    """Return a sentence on a value of the filter that the lab does not have, with those that it has; empty for none."""
    if query.of_student and suitability.chosen(db) is None:
        return "No student is chosen yet, so no trace has its figures. `o1lab suitability --model MODEL` chooses one."
    return query.LANGUAGE.unknown(query.conditions, of_traces(db))
