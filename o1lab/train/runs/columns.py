"""The columns of the table of runs, for the command line and the Train screen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from o1lab.errors import UsageError
from o1lab.format import duration, number, short_count
from o1lab.text import one_line

Figures = Mapping[str, Any]


@dataclass(frozen=True)
class RunColumn:
    """A column of the table of runs.

    Attributes:
        name: its name; where the filter has a field of the same name, it sorts by it.
        cell: makes the text of its cell from the figures of a run.
        about: what it shows.
        width: its minimum width in cells.
        flex: its share of the remaining width.
        right: whether it is aligned to the right, as numbers are.
    """

    name: str
    cell: Callable[[Figures], str]
    about: str
    width: int
    flex: int = 0
    right: bool = False

    @property
    def title(self) -> str:
        return self.name.replace("-", " ")


def _words(key: str) -> Callable[[Figures], str]:
    return lambda figures: one_line(str(figures.get(key) or ""), 60)


def _figure(key: str, form: Callable[[Any], str] = number) -> Callable[[Figures], str]:
    return lambda figures: "" if (value := figures.get(key)) is None else form(value)


def _progress(figures: Figures) -> str:
    total = figures["total_steps"]
    return f"{figures['step']}/{total}" if total else "-"


def _base(figures: Figures) -> str:
    """Return the last part of a path or of a name on the hub."""
    return one_line((figures.get("base") or "").rstrip("/").rpartition("/")[2], 60)


def _scientific(value: float) -> str:
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


COLUMNS = {
    column.name: column
    for column in (
        RunColumn(
            "name", lambda figures: one_line(figures["name"] or figures["id"], 60), "name, or id without one", 9, 3
        ),
        RunColumn("state", _words("state"), "state", 8),
        RunColumn("progress", _progress, "steps done, of all", 9, right=True),
        RunColumn("loss", _figure("loss"), "last loss", 7, right=True),
        RunColumn("best", _figure("best_loss"), "lowest loss", 7, right=True),
        RunColumn("eval", _figure("eval_loss"), "last loss on held-out rows", 7, right=True),
        RunColumn("dataset", _words("dataset"), "dataset", 8, 3),
        RunColumn("lr", _figure("learning_rate", _scientific), "peak learning rate", 6, right=True),
        RunColumn("rank", _figure("lora_r", str), "rank of the adapter", 4, right=True),
        RunColumn("variant", _words("variant"), "variant of the adapter, and dpo or kto", 7),
        RunColumn("age", _figure("age_s", duration), "time since it was created", 6, right=True),
        RunColumn("base", _base, "base model", 8, 2),
        RunColumn("device", _words("device"), "device", 6),
        RunColumn("group", _words("group"), "group of runs", 8, 2),
        RunColumn("tags", lambda figures: one_line(", ".join(figures["tags"]), 60), "tags", 6, 2),
        RunColumn("notes", lambda figures: one_line((figures["notes"] or [""])[-1], 60), "last note", 8, 3),
        RunColumn("id", _words("id"), "id", 8),
        RunColumn("best-eval", _figure("best_eval_loss"), "lowest loss on held-out rows", 9, right=True),
        RunColumn("batch", _figure("batch_size", str), "rows per forward pass", 5, right=True),
        RunColumn("seed", _figure("seed", str), "seed", 5, right=True),
        RunColumn("phase", _figure("phase", str), "phase", 5, right=True),
        RunColumn("tokens", _figure("tokens", short_count), "tokens trained on", 6, right=True),
        RunColumn("took", _figure("elapsed_s", duration), "time it has trained", 6, right=True),
        RunColumn("from", _words("init_from"), "run it starts from", 8, 1),
        RunColumn("created", lambda figures: figures["created_at"][:16].replace("T", " "), "when it was created", 16),
    )
}
"""All columns, in the order in which they are offered."""
USUAL = (
    "name", "state", "progress", "loss", "best", "eval", "dataset", "lr", "rank", "age", "base", "device", "group",
    "tags",
)  # fmt: skip
"""The default columns of the Train screen; on a narrow terminal the last ones are hidden."""
LISTED = (*USUAL, "variant")
"""The columns of `o1lab runs ls`."""


def chosen(names: Sequence[str]) -> list[RunColumn]:
    """Return the columns with these names.

    Raises:
        UsageError: there is no such column, or no name is given.
    """
    unknown = [name for name in names if name not in COLUMNS]
    if unknown or not names:
        what = f"There is no column '{unknown[0]}'." if unknown else "No column is named."
        raise UsageError(what, f"The columns are {', '.join(COLUMNS)}.")
    return [COLUMNS[name] for name in dict.fromkeys(names)]
