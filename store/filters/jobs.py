"""The filters of jobs: training runs, and what all kinds of jobs share (``state:finished tag:keep -archived:yes``).

Jobs are directories, not rows of the lab's database. Their figures are put into a table in memory, so that the one
filter language serves them as well.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, ClassVar

from store.filters.clauses import begins, cases, contains, number, substrings
from store.filters.language import Condition, Field, Language, Query
from store.records import scrubbed

_ACTIVE = ("queued", "starting", "running", "paused", "stopping")
_STATES = (*_ACTIVE, "finished", "stopped", "failed", "dead")
_NOTES = "(SELECT group_concat(value, char(10)) FROM json_each(j.notes))"
_COMMON = ("id", "state", "name", "tags", "notes", "archived")
_TEXTS = ("group", "dataset", "dataset_hash", "base", "device", "init_from", "variant")
_NUMBERS = (
    "step", "total_steps", "progress", "loss", "best_loss", "eval_loss", "best_eval_loss", "learning_rate", "lora_r",
    "batch_size", "seed", "phase", "tokens", "elapsed_s", "age_s",
)  # fmt: skip
_VARIANTS = ("lora", "rslora", "dora", "pissa", "olora", "full", "dpo", "kto")
_LARGEST = 2**63 - 1  # integer of SQLite
_HOURS = "j.{} / 3600.0"
_DATASET = "(coalesce(j.dataset, '') || ' ' || coalesce(j.dataset_hash, ''))"


def _searched(*columns: str) -> str:
    """Make the SQL of a text search in these columns, the notes and the tags."""
    texts = " || ' ' || ".join(f"coalesce({column}, '')" for column in (*columns, "j.tags", _NOTES))
    return f"instr(lower({texts}), lower(?)) > 0"


_FIELDS = (
    Field(
        "state", cases("j.state = ?"), "or active: not ended yet", values=_STATES, synonyms={"active": _ACTIVE}
    ),
    Field("name", contains("j.name"), "part of its name"),
    Field("tag", cases("EXISTS (SELECT 1 FROM json_each(j.tags) WHERE value = lower(?))"), "one of its tags"),
    Field("note", contains(_NOTES), "part of a note on it"),
    Field(
        "archived", cases("", {"yes": "j.archived = 1", "no": "j.archived = 0"}),
        "without it, archived ones are not listed", values=("yes", "no"),
    ),
    Field("id", begins("j.id"), "the beginning of its id"),
)  # fmt: skip
_ANY = _searched("j.id", "j.name")
JOBS = Language(
    fields=_FIELDS,
    search=lambda text: substrings(text, _ANY),
    searched="of its id, name, tags or notes",
    sorts={"age": "j.place", "name": "nullif(j.name, '')", "state": "j.state"},
)

_GROUP = '"group"'
_ANY_OF_RUN = _searched("j.id", "j.name", f"j.{_GROUP}", "j.dataset", "j.base")
RUNS = Language(
    fields=(
        *_FIELDS,
        Field("group", contains(f"j.{_GROUP}"), "part of the name of its group"),
        Field("dataset", contains(_DATASET), "part of the name or hash of its dataset"),
        Field("base", contains("j.base"), "part of the name of its base"),
        Field(
            "variant", cases("instr('+' || j.variant || '+', '+' || lower(?) || '+') > 0"),
            "the variant of its adapter, full, dpo or kto", values=_VARIANTS,
        ),
        Field("device", contains("j.device"), "part of the name of its device"),
        Field("from", begins("j.init_from"), "the beginning of the id of the run it starts from"),
        Field("loss", number("j.loss"), "its last loss", is_number=True),
        Field("best", number("j.best_loss"), "its lowest loss", is_number=True),
        Field("eval", number("j.eval_loss"), "its last loss on held-out rows", is_number=True),
        Field("best-eval", number("j.best_eval_loss"), "its lowest loss on held-out rows", is_number=True),
        Field("lr", number("j.learning_rate"), "its peak learning rate", is_number=True),
        Field("rank", number("j.lora_r"), "the rank of its adapter", is_number=True),
        Field("batch", number("j.batch_size"), "its rows per forward pass", is_number=True),
        Field("seed", number("j.seed"), is_number=True),
        Field("phase", number("j.phase"), is_number=True),
        Field("step", number("j.step"), "the step it has reached", is_number=True),
        Field("steps", number("j.total_steps"), "its number of steps", is_number=True),
        Field("progress", number("j.progress"), "the steps it has done, in percent", is_number=True),
        Field("tokens", number("j.tokens"), "the tokens it has trained on", is_number=True),
        Field("age", number(_HOURS.format("age_s")), "hours since it was created", is_number=True),
        Field("took", number(_HOURS.format("elapsed_s")), "hours it has trained", is_number=True),
    ),
    search=lambda text: substrings(text, _ANY_OF_RUN),
    searched="of its id, name, group, dataset, base, tags or notes",
    sorts={
        "age": "j.age_s", "name": "nullif(j.name, '')", "state": "j.state", "progress": "j.progress",
        "dataset": "j.dataset", "base": "j.base", "group": f"j.{_GROUP}", "lr": "j.learning_rate", "rank": "j.lora_r",
        "batch": "j.batch_size", "seed": "j.seed", "step": "j.step", "steps": "j.total_steps", "loss": "j.loss",
        "best": "j.best_loss", "eval": "j.eval_loss", "best-eval": "j.best_eval_loss", "tokens": "j.tokens",
        "took": "j.elapsed_s", "device": "j.device", "variant": "j.variant",
    },
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class JobQuery(Query):
    """A filter of jobs of any kind."""

    NAME: ClassVar[str] = "jobs"
    LANGUAGE: ClassVar[Language] = JOBS
    COLUMNS: ClassVar[tuple[str, ...]] = _COMMON

    @property
    def hides_archived(self) -> bool:
        """Whether archived jobs are left out because the filter does not mention them."""
        return not self.asks("archived")

    @property
    def order(self) -> str:
        """The terms of ORDER BY. Jobs without a value come last in both directions."""
        if not self.sort:
            return "j.place"
        column = self.LANGUAGE.sorts[self.sort]
        return f"{column} IS NULL, {column} COLLATE NOCASE {'DESC' if self.descending else 'ASC'}, j.place"


@dataclass(frozen=True, slots=True)
class RunQuery(JobQuery):
    """A filter of training runs."""

    NAME: ClassVar[str] = "runs"
    LANGUAGE: ClassVar[Language] = RUNS
    COLUMNS: ClassVar[tuple[str, ...]] = (*_COMMON, *_TEXTS, *_NUMBERS)


def matching(rows: Iterable[Mapping[str, Any]], query: JobQuery) -> list[int]:
    """Return the positions of the rows that match, in the order of the query; without one, in their own order.

    Args:
        rows: The figures of each job by the names in ``query.COLUMNS``; a missing one is unknown.
        query: The filter.
    """
    if query.hides_archived:
        query = query.narrowed(Condition("archived", ("no",)))
    condition, parameters = query.where()
    columns = ", ".join(f'"{name}"' for name in query.COLUMNS)
    with closing(sqlite3.connect(":memory:")) as memory:
        memory.execute(f"CREATE TABLE jobs(place INTEGER PRIMARY KEY, {columns})")
        memory.executemany(
            f"INSERT INTO jobs VALUES (?{', ?' * len(query.COLUMNS)})",
            ((place, *(_value(row.get(name)) for name in query.COLUMNS)) for place, row in enumerate(rows)),
        )
        found = memory.execute(f"SELECT place FROM jobs j WHERE {condition} ORDER BY {query.order}", parameters)
        return [place for (place,) in found]


def _value(value: Any) -> Any:
    """Return a value that SQLite takes: job directories are written by any program."""
    if isinstance(value, (list, tuple)):
        value = json.dumps(value, ensure_ascii=False)
    if isinstance(value, str):
        return scrubbed(value)
    return float(value) if isinstance(value, int) and abs(value) > _LARGEST else value


def archived_of(rows: Iterable[Mapping[str, Any]], query: JobQuery) -> list[int]:
    """Return the positions of the rows that match but are left out because they are archived."""
    return matching(rows, query.narrowed(Condition("archived", ("yes",)))) if query.hides_archived else []
