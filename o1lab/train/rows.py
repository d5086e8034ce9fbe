"""The rows of a run: what is asked and what the student learns to write, as text. Does not import torch."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from o1lab.errors import RefusedError, UsageError
from o1lab.models.prompts import SYSTEM_ROLES, CutOff, Message
from o1lab.train.recipes.recipe import Recipe
from store.datasets import DatasetRow
from store.pairs import PairRow


@dataclass(frozen=True, slots=True)
class Answer:
    """The worse answer of a pair; its attributes are those of :class:`TrainingRow`."""

    trace_id: str
    thought: str
    solution: str
    cut_off: CutOff = ""


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """A row of the training data: an answer to learn, or the better one of a pair.

    Attributes:
        prompt: the question.
        context: the conversation before the response, as messages with ``role`` and ``content``, the system message
            first; empty if it is the question alone.
        cut_off: the part in which the response was cut off.
        replay: the dataset of the base's own answers that the row was taken from; empty for a row of the run's dataset.
        rejected: the worse answer to the same question; None in supervised training.
        given: the spans of the response that earlier models wrote: part, start and end in code points.
    """

    trace_id: str
    prompt: str
    thought: str
    solution: str
    context: Sequence[Message] = field(default_factory=list)
    cut_off: CutOff = ""
    replay: str = ""
    rejected: Answer | None = None
    given: tuple[tuple[str, int, int], ...] = ()

    @property
    def system(self) -> str:
        """The system message of the row; empty if it has none."""
        return "\n\n".join(message["content"] for message in self.context if message["role"] in SYSTEM_ROLES)

    def asked(self, recipe: Recipe) -> list[dict[str, str]]:
        """Return the conversation up to the student's turn, with the system message that the recipe selects."""
        own = recipe.system in (None, "row")
        messages = self.context or [{"role": "user", "content": self.prompt}]
        return recipe.prompt.conversation(messages, system=None if own else recipe.system_prompt or "")


def training_row(row: DatasetRow, phase: int, *, replay: str = "") -> TrainingRow:
    """Return the training row of a dataset's row; ``replay`` is the dataset's name if it holds the base's answers."""
    cut_off: CutOff = "thought" if row.cut_off else "" if row.complete else "solution"
    thought = row.thought if phase == 2 else ""
    spans = [(part, one) for part, found in row.writers.items() for one in found]
    given = tuple((part, one.start, one.end) for part, one in spans if one.model != spans[-1][1].model)
    return TrainingRow(
        row.trace_id, row.statement, thought, row.solution, [*map(dict, row.context)], cut_off, replay, given=given
    )


def pair_row(row: PairRow, phase: int) -> TrainingRow:
    """Return the training row of a pair."""
    worse = training_row(row.rejected, phase)
    answer = Answer(worse.trace_id, worse.thought, worse.solution, worse.cut_off)
    return replace(training_row(row.chosen, phase), rejected=answer)


def without_solution(row: TrainingRow) -> bool:
    """Whether an answer of a row has no solution."""
    return not (row.solution and (row.rejected is None or row.rejected.solution))


def shared_system(recipe: Recipe, rows: Sequence[TrainingRow]) -> dict[str, Any]:
    """Return the system message that all rows share as the run's.

    Raises:
        RefusedError: they differ, and the recipe does not say what to do (code ``system_differs``).
    """
    rows = [row for row in rows if not row.replay]  # those have that of the run
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
        rows = [_read(json.loads(line)) for line in file]
    if not rows:
        raise RefusedError(
            "The dataset has no rows.", "Accept some traces and create a dataset from them.", code="empty_dataset"
        )
    return rows


def write_rows(path: Path, rows: Iterable[TrainingRow]) -> tuple[list[str], list[str]]:
    """Write data.jsonl, and return the ids of the traces: those of the dataset, and those of replay rows."""
    trace_ids: list[str] = []
    replayed: list[str] = []
    with path.open("w", encoding="utf-8", errors="surrogatepass") as file:
        for row in rows:
            values = asdict(row)
            if row.rejected is None:
                del values["rejected"]
            if not row.given:
                del values["given"]
            file.write(json.dumps(values) + "\n")
            (replayed if row.replay else trace_ids).append(row.trace_id)
    return trace_ids, replayed


def _read(values: dict[str, Any]) -> TrainingRow:
    rejected = values.pop("rejected", None)
    given = tuple((part, start, end) for part, start, end in values.pop("given", ()))
    return TrainingRow(**values, rejected=Answer(**rejected) if rejected else None, given=given)
