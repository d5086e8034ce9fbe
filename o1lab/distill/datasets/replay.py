"""Replay datasets: answers of a base to general prompts, none of which is an item of a suite.

The answers are a teacher run with the base as its teacher (method ``replay``), so they are journalled, resumed and
measured as those of any teacher.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from o1lab.distill.datasets.selection import choose
from o1lab.distill.filters.benchmarks import Benchmarks
from o1lab.distill.run_directory import RunFolder
from o1lab.distill.runs import read_settings, start
from o1lab.errors import RefusedError, UsageError
from o1lab.format import first_of
from o1lab.paths import Lab, assets_dir
from o1lab.small_files import UnreadableError, read_text, read_yaml, validated
from o1lab.text import one_line
from store import Store, datasets, problems, teacher_runs
from store.filters import TraceQuery
from store.records import Dataset, NewProblem, Problem, encode

METHOD = "replay"
MAX_TOKENS = 512
CONCURRENCY = 60  # the embedded server decodes concurrent requests together
_NAMED = 5  # overlapping items that are named
_NO_NAME = re.compile(r"[^\w.-]+")


class GeneralPrompts(BaseModel):
    """A file of general prompts: groups of prompts by name, or a list of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[\w.-]{1,60}$")
    version: int = 1
    licence: str | None = None
    prompts: dict[str, list[str]] | list[str]

    @property
    def texts(self) -> list[tuple[str, str]]:
        """The prompts, each with its key."""
        groups = self.prompts if isinstance(self.prompts, dict) else {"": self.prompts}
        return [
            (f"{group}-{number:02}".strip("-"), text)
            for group, members in groups.items()
            for number, text in enumerate(members, 1)
        ]

    @property
    def source(self) -> str:
        """The source of their problems: a filter by it finds no others, such as those of an earlier version."""
        texts = "\0".join(text for _, text in self.texts)
        return f"{self.name}@{hashlib.sha256(encode(texts)).hexdigest()[:8]}"


class Overlap(NamedTuple):
    """A prompt that is an item of a suite, or nearly one; ``reason`` names the item."""

    prompt: str
    reason: str


def general_prompts(path: Path | None = None) -> GeneralPrompts:
    """Read general prompts: those of o1lab, a YAML file in the same format, or a text file with a prompt on each line.

    Raises:
        UsageError: the file cannot be read, or has no prompt.
    """
    path = path or assets_dir() / "replay" / "general.yaml"
    try:
        if path.suffix in (".yaml", ".yml"):
            found = validated(path, read_yaml(path), GeneralPrompts)
        else:
            lines = [line.strip() for line in read_text(path).splitlines() if line.strip()]
            found = GeneralPrompts(name=_NO_NAME.sub("-", path.stem)[:60] or "prompts", prompts=lines)
    except UnreadableError as error:
        raise UsageError(f"The prompts {error.message}", error.hint) from error
    if not found.texts:
        raise UsageError(f"{path} has no prompt.", "Write one on each line.")
    return found


def add_prompts(store: Store, prompts: GeneralPrompts) -> int:
    """Add the prompts to the problems of the lab; return their number."""
    made = [
        NewProblem(text, prompts.source, key=key, licence=prompts.licence, meta={"version": prompts.version})
        for key, text in prompts.texts
    ]
    with store.db.atomic():
        problems.add(store.db, made)
    return len({one.id for one in made})


def overlaps(statements: Iterable[tuple[str, str]], tested: Iterable[tuple[Problem, str]]) -> list[Overlap]:
    """Return the statements that are items of a suite, or similar to one, by the rule ``contaminated``.

    Args:
        statements: pairs of a key and a statement.
        tested: the items of the suites as problems, each with the name of its suite.
    """
    index = Benchmarks.of(tested)
    found = []
    for key, text in statements:
        problem = Problem(NewProblem(text, "").id, text, None, None, None, "", None, key)
        if finding := index.check(problem):
            found.append(Overlap(text, finding.reason))
    return found


def refuse_overlaps(found: Sequence[Overlap], hint: str = "Leave them out.") -> None:
    """Refuse prompts that overlap with items of a suite.

    Raises:
        RefusedError: there are some (code ``contaminated``); the message names prompts and items.
    """
    if found:
        named = first_of([f'"{one_line(one.prompt, 60)}" {one.reason}' for one in found], _NAMED, "; ")
        raise RefusedError(
            f"{len(found)} prompts are items of a suite, which replay must not contain: {named}.",
            hint,
            code="contaminated",
        )


def ask_base(
    lab: Lab,
    store: Store,
    prompts: GeneralPrompts,
    endpoint: str,
    *,
    n: int = 1,
    max_tokens: int = MAX_TOKENS,
    temperature: float | None = None,
    concurrency: int = CONCURRENCY,
    limit: int | None = None,
) -> RunFolder:
    """Add the prompts to the lab and create the teacher run that asks them; no call is made yet.

    Args:
        lab: the lab.
        store: its database.
        prompts: the prompts.
        endpoint: the base, by its name, or an endpoint that serves it.
        n: answers per prompt.
        max_tokens: the maximum length of an answer; longer ones are cut off and not used.
        temperature: the sampling temperature; by default 0 for one answer per prompt and 0.7 for several.
        concurrency: the maximum number of requests at the same time.
        limit: the maximum number of prompts; None for all.

    Raises:
        NotFoundError, UsageError, LabError: as :func:`o1lab.distill.runs.start`.
    """
    add_prompts(store, prompts)
    settings = {
        "method": METHOD, "endpoint": endpoint, "problems": f"source:{prompts.source} -excluded:contaminated",
        "n": n, "max_tokens": max_tokens, "concurrency": concurrency, "limit": limit,
        "temperature": (0.0 if n == 1 else 0.7) if temperature is None else temperature,
    }  # fmt: skip
    return start(lab, read_settings(settings))


def make_replay(
    store: Store,
    run_id: str,
    base: str,
    *,
    name: str | None = None,
    tested: Iterable[tuple[Problem, str]],
    unchecked: Sequence[str] = (),
) -> Dataset:
    """Create the replay dataset of a base from the answers of a teacher run.

    Args:
        store: the lab's database.
        run_id: the teacher run, with the method ``replay``.
        base: the base that gave the answers, as recipes name it.
        name: the name of the dataset; by default ``replay-`` and the base, numbered.
        tested: the items of the suites, as in :func:`overlaps`.
        unchecked: suites whose items were not found.

    Returns:
        The dataset; its ``selection`` names base, run, and the suites that were compared. Answers that were cut off
        are dropped and recorded as such.

    Raises:
        NotFoundError: there is no such run.
        UsageError: the run has another method.
        RefusedError: a prompt is an item of a suite (code ``contaminated``).
        NothingChosenError: no answer is complete.
    """
    run = teacher_runs.get(store.db, run_id)
    if run.method != METHOD:
        raise UsageError(
            f"The teacher run {run_id} used the method {run.method}: its answers are not those of a base.",
            f"Make them with: o1lab distill --method {METHOD} --endpoint {base} --problems source:NAME",
        )
    tested = list(tested)
    query = TraceQuery.parse(f"run:{run_id} synthesis:{METHOD}")
    with store.db.atomic():
        # Not "excluded": most rules of the pool are about problems with an answer. Contaminated ones are not asked.
        choice = choose(store, query, keep="all", drop=("rejected", "evaluation", "truncated"))
        compared = Counter(suite for _, suite in tested)
        selection: Mapping[str, Any] = {
            **choice.selection,
            "replay_of": base, "run": run_id, "compared_with": sorted(compared), "not_compared_with": list(unchecked),
        }  # fmt: skip
        made = datasets.snapshot(
            store.db, name or _free_name(store, base), choice.ids, query=query.source, selection=selection,
            drops=choice.drops,
        )  # fmt: skip
        asked = {row.problem_id: row.statement for row in datasets.rows(store.db, made.name)}
        refuse_overlaps(overlaps(asked.items(), tested))  # an error takes the dataset back
    return made


def _free_name(store: Store, base: str) -> str:
    """Return the first name of a replay dataset of this base that no dataset has."""
    short = _NO_NAME.sub("-", Path(base).name).strip("-") or "base"
    taken = {one.name for one in datasets.all_datasets(store.db)}
    names = (f"replay-{short}" + (f"-{number}" if number > 1 else "") for number in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)
