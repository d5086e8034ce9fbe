"""The difference between the recipes of runs: only the fields in which they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from o1lab.errors import UsageError
from o1lab.format import aligned, number
from o1lab.text import visible
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.recipes.recipe_file import load_values
from o1lab.train.run_list import RunEntry

_RESULTS = {"step": "step", "loss": "last loss", "best_loss": "best loss", "eval_loss": "eval loss"}
_LONGEST = 48
_MISSING = object()


@dataclass(frozen=True)
class RecipeDiff:
    """Several runs side by side.

    Attributes:
        runs: the ids of the runs.
        names: their names; empty for a run without one.
        fields: the values of each field in which they differ, one for each run; ``_MISSING`` where it is not set.
        same: how many fields are the same in all.
        results: the figures that they reached.
    """

    runs: tuple[str, ...]
    names: tuple[str, ...]
    fields: Mapping[str, tuple[Any, ...]]
    same: int
    results: Mapping[str, tuple[Any, ...]]

    def as_json(self) -> dict[str, Any]:
        """Return the JSON of ``o1lab runs diff``; a value that is not set is null."""
        items = [
            {"field": name, "values": [None if value is _MISSING else value for value in values]}
            for name, values in self.fields.items()
        ]
        return {
            "runs": list(self.runs),
            "items": items,
            "total": len(items),
            "same": self.same,
            "results": [dict(zip(self.results, one, strict=True)) for one in zip(*self.results.values(), strict=True)],
        }

    def lines(self) -> list[str]:
        """Return a table with a line for each field, and the results below."""
        heads = [name or run for name, run in zip(self.names, self.runs, strict=True)]
        rows = [["", *heads]]
        rows += [[name, *_texts(values)] for name, values in self.fields.items()]
        rows += [[_RESULTS[name], *(number(value) for value in values)] for name, values in self.results.items()]
        table = aligned([[visible(cell) for cell in row] for row in rows])
        after = 1 + len(self.fields)
        count = f"{self.same} field{'s are' if self.same != 1 else ' is'} the same."
        differing = table[1:after] or ["The recipes are the same in all fields."]
        return [table[0], *differing, "", *table[after:], "", count]


def diff(entries: Sequence[RunEntry]) -> RecipeDiff:
    """Compare the recipes of runs.

    Raises:
        UsageError: there are fewer than two different runs, or a recipe cannot be read.
    """
    if len({entry.run.id for entry in entries}) < 2:
        raise UsageError("Two different runs are needed to compare recipes.", "Name two or more runs.")
    recipes = [load_values(entry.run.recipe) for entry in entries]
    known = dict.fromkeys([*Recipe.model_fields, *(name for recipe in recipes for name in recipe)])
    fields = {name: tuple(recipe.get(name, _MISSING) for recipe in recipes) for name in known}
    differing = {name: values for name, values in fields.items() if any(one != values[0] for one in values)}
    return RecipeDiff(
        tuple(entry.run.id for entry in entries),
        tuple(entry.info.name for entry in entries),
        differing,
        len(fields) - len(differing),
        {name: tuple(entry.figures[name] for entry in entries) for name in _RESULTS},
    )


def _texts(values: Sequence[Any]) -> list[str]:
    """Return values as short texts; what long ones have in common at their beginning is left out."""
    texts = [_text(value) for value in values]
    if max(map(len, texts)) <= _LONGEST:
        return texts
    alike = next((at for at, chars in enumerate(zip(*texts, strict=False)) if len(set(chars)) > 1), 0)
    skipped = max(alike - _LONGEST // 4, 0)
    cut = [f"…{text[skipped + 1 :]}" if skipped else text for text in texts]
    return [text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…" for text in cut]


def _text(value: Any) -> str:
    if value is _MISSING:
        return "(not set)"
    return "(none)" if value in (None, "") else _listed(value) if isinstance(value, list) else str(value)


def _listed(values: list[Any]) -> str:
    prompts = [one["prompt"] if isinstance(one, dict) and "prompt" in one else one for one in values]
    return f"{len(values)}: {'; '.join(map(str, prompts))}" if values else "(none)"
