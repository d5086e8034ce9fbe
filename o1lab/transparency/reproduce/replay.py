"""Repeats a report in a fresh lab, part by part, and returns the outcome of each."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from o1lab.chains.marks import use_marks_of
from o1lab.config import init_lab
from o1lab.errors import LabError, RefusedError
from o1lab.files import write_text
from o1lab.ingest.measuring import measure_pending
from o1lab.labs import opened_lab
from o1lab.paths import Lab
from o1lab.serve.manager import ServerManager
from o1lab.small_files import read_text
from o1lab.transparency.report.manifest import Manifest, read_manifest
from o1lab.transparency.reproduce import rows, selection, training
from o1lab.transparency.reproduce.evaluating import Evaluator
from o1lab.transparency.reproduce.outcome import Outcome, is_ok
from o1lab.transparency.reproduce.training import OnProgress
from store import Store, problems


@dataclass(frozen=True)
class Options:
    """What to repeat, and with what.

    Attributes:
        files: a folder with the imported files, for those that the report does not contain.
        train: also train and evaluate.
        budget_usd: what may be spent on models on other servers; None: they are not asked.
    """

    files: Path | None = None
    train: bool = False
    budget_usd: float | None = None


@dataclass(frozen=True)
class Reproduction:
    """The outcomes of repeating a report.

    Attributes:
        run: the run of the report.
        outcomes: one for each part that was tried.
        notes: what was not tried, and what is not in the report.
    """

    run: str
    outcomes: tuple[Outcome, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def ok(self) -> bool:
        return is_ok(self.outcomes)


def reproduce(
    folder: Path, root: Path, options: Options, *, on_progress: OnProgress = lambda _line: None
) -> Reproduction:
    """Repeat a report in a lab without problems, which is created if it does not exist.

    Args:
        folder: the report.
        root: the folder of the lab.
        options: what to repeat.
        on_progress: called with lines of progress.

    Raises:
        UnreadableError: the folder is not a report, or it is damaged or from a newer version.
        RefusedError: the lab has problems already (code ``not_fresh``).
        LabError: the lab cannot be written.
    """
    manifest = read_manifest(folder)
    lab = _fresh_lab(root, manifest)
    with opened_lab(lab) as store:
        if problems.count(store.db):
            raise RefusedError(
                f"The lab at {lab.root} has problems already, so its counts would not be comparable.",
                "Name a new folder: --lab NEW",
                code="not_fresh",
            )
        outcomes = tuple(_repeat(lab, store, manifest, folder, options, on_progress=on_progress))
    return Reproduction(manifest.run, outcomes, tuple(_notes(manifest, options)))


def _repeat(
    lab: Lab, store: Store, manifest: Manifest, folder: Path, options: Options, *, on_progress: OnProgress
) -> Iterator[Outcome]:
    on_progress("Importing...")
    yield from rows.repeat_imports(store, manifest, folder, options.files)
    yield from rows.restore_rows(store, manifest, folder)
    on_progress("Measuring and verifying...")
    measure_pending(store)
    selection.restore_decisions(store, manifest, folder)
    yield from selection.repeat_rules(store, manifest)
    for dataset in manifest.datasets:
        yield from selection.repeat_dataset(lab, store, dataset, folder)
    for stage in manifest.stages:
        yield training.repeat_recipe(lab, store, stage)
    for stage in {str(one.recipe.get("base")): one for one in manifest.stages}.values():
        yield training.compare_base(stage)
    if options.train:
        yield from _train_and_evaluate(lab, store, manifest, folder, options, on_progress=on_progress)


def _train_and_evaluate(
    lab: Lab, store: Store, manifest: Manifest, folder: Path, options: Options, *, on_progress: OnProgress
) -> list[Outcome]:
    outcomes: list[Outcome] = []
    runs: dict[str, str] = {}
    for stage in manifest.stages:
        outcome, run = training.train(lab, store, stage, runs, on_progress)
        outcomes.append(outcome)
        if run is not None:
            runs[stage.run] = run.id

    async def evaluate() -> list[Outcome]:
        async with ServerManager(lab) as manager:
            evaluator = Evaluator(lab, store, folder, runs, manager, options.budget_usd, on_progress)
            return await evaluator.repeat_all(manifest.evaluations)

    return outcomes + asyncio.run(evaluate())


def _fresh_lab(root: Path, manifest: Manifest) -> Lab:
    """Create the lab with the think marks and the base of the report; an existing o1lab.toml is kept."""
    new = not Lab(root.expanduser().absolute()).config.exists()
    base = str(manifest.stages[-1].recipe.get("base", "")) if manifest.stages else ""
    lab = init_lab(root, name="reproduction", base=base or None)
    if new and manifest.marks:
        try:
            write_text(lab.config, read_text(lab.config) + "".join(map(_mark, manifest.marks)))
        except OSError as error:
            raise LabError(f"{lab.config} cannot be written: {error.strerror}.", "Choose another folder.") from error
    use_marks_of(lab)
    return lab


def _mark(mark: dict[str, object]) -> str:
    """Return think marks as TOML: a JSON text or list of texts is also one of TOML."""
    known = (key for key in ("name", "thought", "solution") if key in mark)
    lines = [f"{key} = {json.dumps(mark[key], ensure_ascii=False)}" for key in known]  # TOML has no escaped surrogates
    return "\n".join(["", "[[marks]]", *lines, ""])


def _notes(manifest: Manifest, options: Options) -> Iterator[str]:
    if not options.train:
        number = len(manifest.evaluations)
        yield f"Training and its {number} evaluations were not repeated: add --train."
    if manifest.teachers:
        models = ", ".join(dict.fromkeys(model for _, model in manifest.teachers))
        yield (
            f"{len(manifest.teachers)} teacher runs were not repeated: what {models} wrote is taken from the report, "
            "since asking again costs money and gives other responses."
        )
    if not manifest.rules:
        yield "No rule had been run over the pool of problems."
    if not manifest.imports:
        yield "Nothing had been imported from files."
    if not manifest.with_data:
        yield "The report contains no data: `o1lab report --with-data` adds it."
    yield from (f"Left out of the report's data: {one}" for one in manifest.left_out)
