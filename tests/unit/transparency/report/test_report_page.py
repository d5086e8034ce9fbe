"""The page of a report in a real browser, light and dark, wide and on a phone; its PDF; its LaTeX tables."""

from __future__ import annotations

import shutil
import subprocess
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from o1lab.errors import LabError
from o1lab.evaluate.report import render
from o1lab.evaluate.report.selection import choose
from o1lab.evaluate.report.tables import accuracy_table, change_table, plain_table
from o1lab.paths import Lab
from o1lab.transparency.methods import compare_methods, methods_table
from o1lab.transparency.report import pdf
from o1lab.transparency.report.writer import WrittenReport, write_report
from store import Store
from tests.support.browser import browser, read_page
from tests.support.transparency_lab import accept_right, evaluate, finished

pytestmark = pytest.mark.slow


@pytest.fixture
def report(lab: Lab, store: Store, tmp_path: Path) -> WrittenReport:
    accept_right(store)
    run = finished(lab, store, system_prompt="x" * 300)  # a word that is wider than a phone
    run.metrics.write_text("".join(f'{{"step": {n}, "loss": {9 - n}, "elapsed_s": {n}}}\n' for n in range(1, 9)))
    evaluate(store, run)
    evaluate(store, run, "base")
    return write_report(lab, store, run.id, tmp_path / "report")


def markdown_tables(text: str) -> list[list[list[str]]]:
    """The tables of a Markdown text, without their rules; escapes are removed."""
    tables: list[list[list[str]]] = []
    before = False
    for line in text.splitlines():
        row = line.startswith("|")
        if row and not before:
            tables.append([])
        if row and set(line) - set("|-: "):
            cells = line.strip("|").replace("\\|", "\0").split("|")
            tables[-1].append([cell.strip().replace("\\", "").replace("\0", "|") for cell in cells])
        before = row
    return tables


@pytest.mark.parametrize("dark", [False, True])
def test_the_page_shows_the_tables_of_the_text(report: WrittenReport, tmp_path: Path, dark: bool) -> None:
    shown = read_page(report.folder / "report.html", tmp_path, dark=dark)
    text = (report.folder / "report.md").read_text("utf-8")
    assert len(shown["headings"]) > 8
    assert [one for one in shown["headings"] if f"# {one}\n" not in text.replace("\\", "")] == []
    written = [table for table in markdown_tables(text) if table]
    read = [[row for row in table if any(row)] for table in shown["tables"]]  # heads may be empty
    assert len(read) == len(written) > 8
    figures = [cell for table in read for row in table for cell in row if "%" in cell]
    assert any(cell.startswith("50.0 %") for cell in figures)
    for one, other in zip(read, written, strict=True):
        assert [len(row) for row in one] == [len(row) for row in other]
    assert [row[0] for table in read for row in table] == [
        "".join(row[0].replace("`", "").replace("*", "")) for table in written for row in table
    ]
    assert shown["plots"] == 2
    ground, ink = shown["body"], shown["text"]
    assert (ground == "rgb(22, 22, 22)") is dark
    assert set(shown["grounds"]) == {ground}  # no white plot on a dark page
    assert set(shown["plot_text"]) == {ink}


@pytest.mark.parametrize("width", [1200, 390, 320])
def test_the_page_is_never_wider_than_the_screen(report: WrittenReport, tmp_path: Path, width: int) -> None:
    shown = read_page(report.folder / "report.html", tmp_path, width=width)
    assert shown["scroll"] <= shown["client"] <= width


def test_the_pdf_holds_the_report_and_no_folder(lab: Lab, store: Store, report: WrittenReport, tmp_path: Path) -> None:
    browser()
    out = write_report(lab, store, report.score.run_id, tmp_path / "again", as_pdf=True)
    assert "report.pdf" in out.files
    data = (out.folder / "report.pdf").read_bytes()
    assert data.startswith(b"%PDF-")
    parts = [data]
    at = 0
    while (at := data.find(b"stream\n", at + 1)) > 0:
        try:
            parts.append(zlib.decompressobj().decompress(data[at + 7 :]))
        except zlib.error:
            continue
    assert len(parts) > 5
    for private in (str(tmp_path), "file://", "again.building"):
        assert not any(private.encode() in part for part in parts)


def test_without_a_browser_the_pdf_is_refused_before_anything_is_written(
    lab: Lab, store: Store, report: WrittenReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError, match="needs a browser") as refused:
        write_report(lab, store, report.score.run_id, tmp_path / "none", as_pdf=True)
    assert (refused.value.code, "Chromium" in refused.value.hint) == ("no_browser", True)
    assert not (tmp_path / "none").exists()


def test_a_browser_that_fails_leaves_the_earlier_report(
    lab: Lab, store: Store, report: WrittenReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "chromium"
    broken.write_text("#!/bin/sh\necho 'no display' >&2\nexit 7\n")
    broken.chmod(0o755)
    monkeypatch.setattr(pdf, "BROWSERS", (str(broken),))
    before = (report.folder / "report.json").read_bytes()
    with pytest.raises(LabError, match="status 7: no display") as failed:
        write_report(lab, store, report.score.run_id, report.folder, as_pdf=True)
    assert failed.value.code == "browser"
    assert (report.folder / "report.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_latex_compiles_every_table(lab: Lab, store: Store, report: WrittenReport, tmp_path: Path) -> None:
    if (latex := shutil.which("pdflatex")) is None:
        pytest.skip("pdflatex is not installed (Debian: apt install texlive-latex-recommended)")
    chosen = choose(store.db)
    made = [
        accuracy_table(chosen),
        change_table(chosen),
        plain_table(chosen),
        methods_table(compare_methods(lab, store)),
    ]
    hostile = r"a_b % & # $x$ {y} ~ ^ \input{/etc/passwd} <> \"quoted\""
    made.append(replace(made[0], title=hostile, notes=(hostile,)))
    tables = [(report.folder / "tables" / "results.tex").read_text("utf-8"), *map(render.latex, made)]
    packages = "".join(f"\\usepackage{one}\n" for one in ("{booktabs}", "[utf8]{inputenc}", "[T1]{fontenc}"))
    body = "\n\n\\clearpage\n\n".join(tables)
    document = f"\\documentclass{{article}}\n{packages}\\begin{{document}}\n{body}\n\\end{{document}}\n"
    (tmp_path / "tables.tex").write_text(document, "utf-8")
    done = subprocess.run(
        [latex, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "tables.tex"],
        cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "tables.pdf").stat().st_size > 1000
