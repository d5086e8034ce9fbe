"""Writes a report: one folder with text, page, plots, tables and cards, built aside and moved into place."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from o1lab.distill.datasets.card import card
from o1lab.distill.provenance import require_accepted_terms
from o1lab.errors import LabError, UsageError
from o1lab.evaluate.report import render
from o1lab.evaluate.report.plot_svg import svg
from o1lab.evaluate.report.plots import tokens_plot
from o1lab.evaluate.report.tables import plain_table
from o1lab.files import write_json
from o1lab.markdown import inline
from o1lab.paths import Lab
from o1lab.transparency.curve import Curve, curve_plot, curves_of, no_curve
from o1lab.transparency.curve import as_markdown as curve_tables
from o1lab.transparency.framework import find_framework
from o1lab.transparency.lab_facts import LabFacts, collect
from o1lab.transparency.lesson import as_markdown, measure_lesson
from o1lab.transparency.report import cards, judgements, sections
from o1lab.transparency.report.bundle import add_data
from o1lab.transparency.report.gather import annotation_lines, gather
from o1lab.transparency.report.loss_plot import loss_svg, losses
from o1lab.transparency.report.manifest import ANNOTATIONS, MANIFEST, DatasetRecord
from o1lab.transparency.report.page import as_html
from o1lab.transparency.report.pdf import find_browser, print_pdf
from o1lab.transparency.report.redaction import Redact, redactor
from o1lab.transparency.self_score import LabScore, score_lab
from store import Store, datasets, pairs
from store.records import scrubbed


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
    lab: Lab,
    store: Store,
    run: str | None,
    out: Path | None,
    *,
    accept_terms: bool = False,
    with_data: bool = False,
    as_pdf: bool = False,
) -> WrittenReport:
    """Write the report of a run.

    Args:
        lab: the lab.
        store: its database.
        run: id or name of the run; the latest finished one if None.
        out: the folder; LAB/exports/report-RUN if None. An earlier report there is replaced.
        accept_terms: a person has read the teachers' terms and the licences, and accepts them.
        with_data: write the rows of the datasets and copies of the imported files with the report.
        as_pdf: also write report.pdf.

    Raises:
        NotFoundError: there is no such run.
        RefusedError: teachers have terms of use, and ``accept_terms`` is False (code ``terms``).
        UsageError: the folder holds something else.
        LabError: it cannot be written, or there is no browser to make the PDF (code ``no_browser``).
    """
    facts = collect(lab, store, run)
    require_accepted_terms(lab, store, [*facts.datasets, *facts.replayed], accepted=accept_terms, unrecorded=True)
    browser = find_browser() if as_pdf else ""
    score = score_lab(lab, store, find_framework(lab), facts.run.id)
    folder = out or lab.exports / f"report-{facts.run.id}"
    redact = redactor(lab)
    with _built_aside(folder) as building:
        notes = _write(facts, score, building, redact)
        notes += _write_manifest(facts, score, building, redact, with_data=with_data, accept_terms=accept_terms)
        if browser:
            print_pdf(browser, building / "report.html", building / "report.pdf")
        files = tuple(sorted(str(path.relative_to(building)) for path in building.rglob("*") if path.is_file()))
    return WrittenReport(folder, files, score, tuple(notes))


def ensure_replaceable(folder: Path) -> None:
    """Check that a report may be written to ``folder``: it is new, empty or an earlier report.

    Raises:
        UsageError: it holds something else.
    """
    if folder.exists() and not (folder / MANIFEST).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists and is not a report.", "Name a new folder.")


@contextmanager
def _built_aside(folder: Path) -> Iterator[Path]:
    """Yield a folder to build in; if the block succeeds, it replaces ``folder``.

    Raises:
        UsageError: ``folder`` exists and is not a report.
        LabError: a file cannot be written.
    """
    ensure_replaceable(folder)
    building = folder.with_name(f".{folder.name}.building")
    try:
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
        yield building
        _replace(folder, building)
    except OSError as error:
        raise LabError(
            f"The report cannot be written to {folder}: {error.strerror}.", "Choose another folder."
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _replace(folder: Path, building: Path) -> None:
    """Put a finished report in the place of an earlier one, which stays there if that fails."""
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    try:
        building.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _write(facts: LabFacts, score: LabScore, folder: Path, redact: Callable[[str], str]) -> list[str]:
    """Write all files and return the sections that could not be made."""
    notes = [sentence for stage in facts.stages for sentence in sections.missing_files(stage)]
    drawn: list[Curve] = []
    try:
        drawn = curves_of(facts)
    except sections.ERRORS as error:
        notes.append(f"Curves: {error}")
    plots = {name: redact(text) for name, text in _plots(facts, drawn)}

    def put(name: str, text: str) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(scrubbed(redact(text)), "utf-8")

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
            made("The bitter lesson", lambda: _lesson(facts, drawn)),
            made("Synthesis methods side by side", lambda: sections.methods(facts)),
            made("Behaviour", lambda: judgements.behaviour(facts)),
            made("Language of thoughts and answers", lambda: judgements.language(facts)),
            made("Adapted items", lambda: judgements.adapted(facts)),
            made("Decisions of annotators", lambda: judgements.decided(facts)),
            made("First wrong steps", lambda: judgements.steps(facts)),
            made("Case studies", lambda: sections.case_studies(facts)),
            made("Ablations", lambda: sections.ablations(facts)),
            made("Limitations", lambda: sections.limitations(facts)),
            *sections.transparency(score),
        ])
    )  # fmt: skip
    put("report.md", text)
    put("report.html", as_html(f"Report on run {facts.run.id}", text, plots))
    for name, image in plots.items():
        put(f"plots/{name}.svg", image)
    if facts.of_student:
        put("tables/results.tex", render.latex(plain_table(facts.of_student)))
    put("model/README.md", cards.model_card(facts))
    put("CITATION.cff", cards.citation(facts))
    for dataset in (*facts.datasets, *facts.replayed):
        put(f"datasets/{dataset.hash}/README.md", "".join(card(facts.lab, facts.store, dataset.name)))
    return notes


def _write_manifest(
    facts: LabFacts, score: LabScore, folder: Path, redact: Redact, *, with_data: bool, accept_terms: bool
) -> list[str]:
    """Write what another lab needs to repeat the work; return what was left out of the data."""
    manifest = gather(facts, score)
    for one in manifest.datasets:
        path = folder / one.traces
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{traces}\n" for traces in _rows(facts, one)), "utf-8")
    (folder / ANNOTATIONS).parent.mkdir(parents=True, exist_ok=True)
    with (folder / ANNOTATIONS).open("w", encoding="utf-8") as file:
        file.writelines(redact(line) for line in annotation_lines(facts.store))
    if with_data:
        manifest = add_data(facts, manifest, folder, redact, accept_terms=accept_terms)
    write_json(folder / MANIFEST, manifest.as_json(redact), durable=False)
    return manifest.left_out


def _rows(facts: LabFacts, dataset: DatasetRecord) -> Iterable[str]:
    """Return the trace of each row; of pairs both, the better one first."""
    if dataset.kind == "pairs":
        return (" ".join(pair) for pair in pairs.ids(facts.store.db, dataset.name))
    return datasets.trace_ids(facts.store.db, dataset.name)


def _lesson(facts: LabFacts, drawn: Sequence[Curve]) -> Iterator[str]:
    yield as_markdown([measure_lesson(facts)]) + "\n"
    if drawn:
        yield curve_tables(drawn, plots=[f"curve-{number}" for number in range(1, len(drawn) + 1)]) + "\n"
    else:
        yield f"- {inline(no_curve(facts), 400)}\n\n"


def _plots(facts: LabFacts, drawn: Sequence[Curve]) -> Iterator[tuple[str, str]]:
    for number, stage in enumerate(facts.stages, 1):
        if points := losses(stage.run.metrics):
            yield f"loss-{number}", loss_svg(points, f"Loss of run {stage.run.id}")
    if facts.of_student:
        yield "tokens", svg(tokens_plot(facts.of_student))
    for number, curve in enumerate(drawn, 1):
        yield f"curve-{number}", svg(curve_plot(curve))
