"""Writes a report: one folder with text, page, plots, tables and cards, built aside and moved into place."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from o1lab.distill.card import card
from o1lab.distill.markdown import inline
from o1lab.errors import LabError, RefusedError, UsageError
from o1lab.evaluate.report import render
from o1lab.evaluate.report.plot_svg import svg
from o1lab.evaluate.report.plots import tokens_plot
from o1lab.evaluate.report.tables import plain_table
from o1lab.paths import Lab
from o1lab.transparency.framework import find_framework
from o1lab.transparency.lab_facts import LabFacts, collect
from o1lab.transparency.lesson import as_markdown, learn
from o1lab.transparency.report import cards, sections
from o1lab.transparency.report.curve import loss_svg, losses
from o1lab.transparency.report.page import as_html
from o1lab.transparency.report.redaction import redactor
from o1lab.transparency.self_score import LabScore, score_lab
from store import Store

_MARK = "report.json"
_OPEN_TERMS = ("a program that is part of o1lab; no terms apply", "a model of this lab, not an endpoint")


@dataclass(frozen=True)
class WrittenReport:
    """A report on disk.

    Attributes:
        folder: where it is.
        files: the paths in it, relative to ``folder``.
        score: the lab's score that it contains.
        notes: sections that could not be made, each with the reason.
    """

    folder: Path
    files: tuple[str, ...]
    score: LabScore
    notes: tuple[str, ...]


def write_report(
    lab: Lab, store: Store, run: str | None, out: Path | None, *, accept_terms: bool = False
) -> WrittenReport:
    """Write the report of a run.

    Args:
        lab: the lab.
        store: its database.
        run: id or name of the run; the latest finished one if None.
        out: the folder; LAB/exports/report-RUN if None. An earlier report there is replaced.
        accept_terms: publish although the terms of a teacher were not read by us.

    Raises:
        NotFoundError: there is no such run.
        RefusedError: teachers have terms of use, and ``accept_terms`` is False (code ``terms``).
        UsageError: the folder holds something else.
        LabError: it cannot be written.
    """
    facts = collect(lab, store, run)
    _check_terms(facts, accept_terms=accept_terms)
    score = score_lab(lab, store, find_framework(lab), facts.run.id)
    folder = out or lab.exports / f"report-{facts.run.id}"
    redact = redactor(lab)
    with _built_aside(folder) as building:
        notes = _write(facts, score, building, redact)
        files = tuple(sorted(str(path.relative_to(building)) for path in building.rglob("*") if path.is_file()))
    return WrittenReport(folder, files, score, tuple(notes))


def _check_terms(facts: LabFacts, *, accept_terms: bool) -> None:
    lines = cards.teacher_terms(facts.lab, facts.store, facts.datasets)
    bound = [line.strip("- \n") for line in lines if not any(words in line for words in _OPEN_TERMS)]
    if bound and not accept_terms:
        raise RefusedError(
            f"The data was made by models with terms of use, which may forbid publishing it: {' '.join(bound)}",
            "Read them, then add --accept-terms. The report and the cards name them.",
            code="terms",
        )


@contextmanager
def _built_aside(folder: Path) -> Iterator[Path]:
    """Yield a folder to build in; if the block succeeds, it replaces ``folder``.

    Raises:
        UsageError: ``folder`` exists and is not a report.
        LabError: a file cannot be written.
    """
    if folder.exists() and not (folder / _MARK).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists and is not a report.", "Name a new folder: --out DIR")
    building = folder.with_name(f".{folder.name}.building")
    try:
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
        yield building
        if folder.exists():
            shutil.rmtree(folder)
        building.rename(folder)
    except OSError as error:
        raise LabError(
            f"The report cannot be written to {folder}: {error.strerror}.", "Choose another folder."
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _write(facts: LabFacts, score: LabScore, folder: Path, redact: Callable[[str], str]) -> list[str]:
    """Write all files and return the sections that could not be made."""
    plots = {name: redact(text) for name, text in _plots(facts)}
    notes: list[str] = []

    def put(name: str, text: str) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(redact(text).encode("utf-8", "replace").decode(), "utf-8")

    def made(title: str, pieces: Callable[[], Iterable[str]]) -> str:
        try:
            return "".join(pieces())
        except sections.ERRORS as error:
            notes.append(f"{title}: {error}")
            return f"## {title}\n\nThis section could not be made: {inline(str(error))}\n\n"

    text = redact(
        "".join([
            sections.summary(facts, score),
            made("Data", lambda: sections.data(facts)),
            made("Training", lambda: sections.training(facts, plots)),
            made("Prompts and templates", lambda: sections.prompts(facts)),
            made("Results", lambda: sections.results(facts, plots)),
            made("The bitter lesson", lambda: [as_markdown([learn(facts)])]),
            made("Case studies", lambda: sections.case_studies(facts)),
            made("Ablations", lambda: sections.ablations(facts)),
            made("Limitations", lambda: sections.limitations(facts)),
            *sections.transparency(score),
        ])
    )  # fmt: skip
    put("report.md", text)
    put("report.html", as_html(f"Report on run {facts.run.id}", text, plots))
    for name, drawn in plots.items():
        put(f"plots/{name}.svg", drawn)
    if facts.of_student:
        put("tables/results.tex", render.latex(plain_table(facts.of_student)))
    put("model/README.md", cards.model_card(facts))
    put("CITATION.cff", cards.citation(facts))
    for dataset in facts.datasets:
        put(f"datasets/{dataset.hash}/README.md", "".join(card(facts.lab, facts.store, dataset.name)))
    put(_MARK, json.dumps(_manifest(facts, score), ensure_ascii=False, indent=1) + "\n")
    return notes


def _plots(facts: LabFacts) -> Iterator[tuple[str, str]]:
    for number, stage in enumerate(facts.stages, 1):
        if points := losses(stage.run.metrics):
            yield f"loss-{number}", loss_svg(points, f"Loss of run {stage.run.id}")
    if facts.of_student:
        yield "tokens", svg(tokens_plot(facts.of_student))


def _manifest(facts: LabFacts, score: LabScore) -> dict[str, object]:
    """Return what a program needs to compare another lab with this report."""
    return {
        "version": 1,
        "run": facts.run.id,
        "stages": [{"run": stage.run.id, "recipe": stage.recipe} for stage in facts.stages],
        "datasets": [
            {"name": one.name, "hash": one.hash, "rows": one.rows, "query": one.query, "phase": one.phase,
             "selection": dict(one.selection)}
            for one in facts.datasets
        ],
        "evaluations": [
            {
                "suite": one.evaluation.suite, "suite_version": one.evaluation.suite_version,
                "items_hash": one.evaluation.items_hash, "scorer": one.scorer, "metric": one.key.metric,
                "sampling": one.evaluation.sampling, "samples": one.evaluation.samples,
                "value": one.value, "interval": one.interval,
            }
            for one in facts.of_student
        ],
        "tti": {"framework": score.framework.name, "total": score.total},
    }  # fmt: skip
