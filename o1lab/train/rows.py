"""The rows of a run: what is asked and what the student learns to write, as text. Does not import torch."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from o1lab.errors import RefusedError, UsageError
from o1lab.models.prompts import SYSTEM_ROLES, CutOff, Message
from o1lab.train.recipe import Recipe
from store.datasets import DatasetRow


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """A row of the training data.

    Attributes:
        prompt: the question.
        context: the conversation before the response, as messages with ``role`` and ``content``, the system message
            first; empty if it is the question alone.
        cut_off: the part in which the response was cut off.
    """

    trace_id: str
    prompt: str
    thought: str
    solution: str
    context: Sequence[Message] = field(default_factory=list)
    cut_off: CutOff = ""

    @property
    def system(self) -> str:
        """The system message of the row; empty if it has none."""
        return "\n\n".join(message["content"] for message in self.context if message["role"] in SYSTEM_ROLES)

    def asked(self, recipe: Recipe) -> list[dict[str, str]]:
        """Return the conversation up to the student's turn, with the system message that the recipe selects."""
        own = recipe.system in (None, "row")
        messages = self.context or [{"role": "user", "content": self.prompt}]
        return recipe.prompt.conversation(messages, system=None if own else recipe.system_prompt or "")


def training_row(row: DatasetRow, phase: int) -> TrainingRow:
    """Return the training row of a dataset's row."""
    cut_off: CutOff = "thought" if row.cut_off else "" if row.complete else "solution"
    thought = row.thought if phase == 2 else ""
    return TrainingRow(row.trace_id, row.statement, thought, row.solution, [*map(dict, row.context)], cut_off)


def shared_system(recipe: Recipe, rows: Sequence[TrainingRow]) -> dict[str, Any]:
    """Return the system message that all rows share as the run's.

    Raises:
        RefusedError: they differ, and the recipe does not say what to do (code ``system_differs``).
    """
    found = Counter(row.system for row in rows)
    if recipe.system is not None or not any(found):
        return {}
    if len(found) == 1 and recipe.system_prompt in (None, *found):
        return {"system_prompt": next(iter(found))}
    without = found.pop("", 0)
    have = f"{found.total():,} of {len(rows):,} rows have a system message"
    others = [f"{len(found):,} different ones"] if len(found) > 1 else []
    others += [f"{without:,} rows have none"] if without else []
    others += ["the recipe has another system_prompt"] if recipe.system_prompt else []
    raise RefusedError(
        f"{', '.join([have, *others])}.",
        "Choose with system: row (each row keeps its own), run (all get system_prompt) or none.",
        code="system_differs",
    )


def template_text(named: str) -> str:
    """Return the text of a chat template from its file; a text that is a template already is returned as it is.

    Raises:
        UsageError: there is no such file.
    """
    if "{" in named:
        return named
    try:
        return Path(named).expanduser().read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"The chat template {named} cannot be read: {reason}.", "Name a Jinja file.") from error


def read_rows(path: Path) -> list[TrainingRow]:
    """Read the rows of data.jsonl.

    Raises:
        RefusedError: there are none (code ``empty_dataset``).
    """
    with path.open(encoding="utf-8", errors="surrogatepass") as file:
        rows = [TrainingRow(**json.loads(line)) for line in file]
    if not rows:
        raise RefusedError(
            "The dataset has no rows.", "Accept some traces and create a dataset from them.", code="empty_dataset"
        )
    return rows


def write_rows(path: Path, rows: Iterable[TrainingRow]) -> list[str]:
    """Write data.jsonl, and return the ids of the traces."""
    trace_ids = []
    with path.open("w", encoding="utf-8", errors="surrogatepass") as file:
        for row in rows:
            file.write(json.dumps(asdict(row)) + "\n")
            trace_ids.append(row.trace_id)
    return trace_ids
