"""The commands `eval table` and `eval plot`: evaluations side by side, with published figures."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from o1lab.cli.jobs import evaluation_ids
from o1lab.cli.output import JsonOption, emit, opened

if TYPE_CHECKING:
    from rich.text import Text

    from o1lab.evaluate.report.cells import Table
    from o1lab.evaluate.report.plots import PlotData
    from store.sqlite import Database

_TABLES = {"1": "accuracy", "accuracy": "accuracy", "2": "general", "general": "general", "all": "all"}
_PLOTS = ("tokens", "right-wrong")
_SUFFIXES = {".md": "md", ".tex": "latex", ".json": "json", ".txt": "terminal"}

Models = Annotated[list[str] | None, typer.Option("--model", "-m", help="Only this model. Repeatable.")]
Suites = Annotated[list[str] | None, typer.Option("--suite", "-s", help="Only this suite. Repeatable.")]
Scorer = Annotated[str | None, typer.Option(help="Use this scorer's scores [default: each evaluation's own].")]


def register(app: typer.Typer) -> None:
    """Add the commands to ``o1lab eval``."""
    app.command("table")(table)
    app.command("plot")(plot)


def table(
    ctx: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[1 | 2 | general] [ID...]", help="The table, and the ids of evaluations."),
    ] = None,
    model: Models = None,
    suite: Suites = None,
    scorer: Scorer = None,
    before: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="The reference of differences [default: the only base model]."),
    ] = None,
    form: Annotated[
        str | None, typer.Option("--format", help="terminal, md, latex or json [default: by the suffix of FILE].")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the table to this file.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show models side by side: 1, the paper's accuracy and tokens; 2, its before and after; else a plain table.

    Published rows come first and are marked. Without ids the latest finished evaluation of each model and suite is
    shown. Evaluations that differ in suite version, items or scorer never share a cell.

    Example: o1lab eval table 1

    Example: o1lab eval table general --before smollm2-135m --format latex --out general.tex

    Example: o1lab eval table 3f9c 81aa
    """
    from o1lab.evaluate.report import render

    first, *rest = words or ["all"]
    which = _TABLES.get(first)
    ids = rest if which else [first, *rest]
    wanted = _format(form, out)
    with opened(ctx) as store:
        result = _table(store.db, which or "all", evaluation_ids(ctx, ids), model or [], suite or [], scorer, before)
    if out is not None:
        _write(out, render.RENDERERS[wanted](result))
        rows = sum(len(section.rows) for section in result.sections)
        emit(
            {"path": str(out), "format": wanted, "table": result.name, "rows": rows},
            as_json=as_json,
            text=f"{rows} rows in {out}",
        )
    elif as_json or wanted == "json":
        emit(result.as_json(), as_json=True, text="")
    elif wanted == "terminal":
        _show(render.terminal(result, _width()))
    else:
        emit({}, as_json=False, text=render.RENDERERS[wanted](result).rstrip("\n"))


def plot(
    ctx: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[tokens | right-wrong] [ID...]", help="The plot, and the ids of evaluations."),
    ] = None,
    model: Models = None,
    suite: Suites = None,
    scorer: Scorer = None,
    svg: Annotated[Path | None, typer.Option("--svg", metavar="FILE", help="Write the plot to this SVG file.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Plot accuracy against average output tokens (tokens), or the lengths of right and wrong answers (right-wrong).

    Example: o1lab eval plot --svg tokens.svg

    Example: o1lab eval plot right-wrong --suite math500
    """
    from o1lab.evaluate.report import plot_text
    from o1lab.evaluate.report.plot_svg import svg as drawn

    first, *rest = words or ["tokens"]
    which, ids = (first, rest) if first in _PLOTS else ("tokens", [first, *rest])
    with opened(ctx) as store:
        result = _plot(store.db, which, evaluation_ids(ctx, ids), model or [], suite or [], scorer)
    if svg is not None:
        _write(svg, drawn(result))
        answer = {"path": str(svg), "format": "svg", "plot": result.name, "panels": len(result.panels)}
        emit(answer, as_json=as_json, text=f"The plot is in {svg}")
    elif as_json:
        emit(result.as_json(), as_json=True, text="")
    else:
        _show(plot_text.text(result, _width()))


def _table(
    db: Database,
    which: str,
    ids: list[str],
    models: list[str],
    suites: list[str],
    scorer: str | None,
    before: str | None,
) -> Table:
    from o1lab.evaluate.report.selection import choose
    from o1lab.evaluate.report.tables import accuracy_table, change_table, plain_table

    named = [*models, before] if models and before is not None and before not in models else models
    chosen = choose(db, ids, models=named, suites=suites, scorer=scorer)
    if which == "accuracy":
        return accuracy_table(chosen, before=before, suites=suites)
    if which == "general":
        return change_table(chosen, before=before)
    return plain_table(chosen, before=before)


def _plot(
    db: Database, which: str, ids: list[str], models: list[str], suites: list[str], scorer: str | None
) -> PlotData:
    from o1lab.evaluate.report.plots import right_wrong_plot, tokens_plot
    from o1lab.evaluate.report.selection import choose

    chosen = choose(db, ids, models=models, suites=suites, scorer=scorer)
    return tokens_plot(chosen, suites=suites) if which == "tokens" else right_wrong_plot(chosen)


def _format(wanted: str | None, out: Path | None) -> str:
    """Return the requested format, or else that of the file's suffix.

    Raises:
        UsageError: the format or the suffix is unknown.
    """
    from o1lab.errors import UsageError
    from o1lab.evaluate.report.render import FORMATS

    if wanted is None:
        if out is None:
            return "terminal"
        if out.suffix not in _SUFFIXES:
            raise UsageError(f"The suffix of {out.name} is not a known format.", f"Add --format: {', '.join(FORMATS)}.")
        return _SUFFIXES[out.suffix]
    if wanted not in FORMATS:
        raise UsageError(f"There is no format '{wanted}'.", f"Use one of: {', '.join(FORMATS)}.")
    return wanted


def _write(path: Path, text: str) -> None:
    """Write a file atomically.

    Raises:
        LabError: the file cannot be written.
    """
    from o1lab.errors import LabError
    from o1lab.files import atomic_write

    hint = "Choose a file in an existing folder."
    if not path.parent.is_dir():  # a typing error should not create folders
        raise LabError(f"{path} cannot be written: there is no folder {path.parent}.", hint)
    try:
        with atomic_write(path) as file:
            file.write(text.encode(errors="backslashreplace").decode())
    except OSError as error:
        raise LabError(f"{path} cannot be written: {error.strerror}.", hint) from error


def _width() -> int:
    return max(shutil.get_terminal_size((80, 24)).columns, 40)


def _show(text: Text) -> None:
    """Print styled text to a terminal, plain lines otherwise."""
    if not sys.stdout.isatty():
        emit({}, as_json=False, text=text.plain)
        return
    from rich.console import Console

    Console(file=sys.stdout, highlight=False, markup=False).print(text, no_wrap=True, overflow="ignore", crop=False)
