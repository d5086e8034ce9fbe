"""Verbs that set evaluations beside each other and beside published ones: `eval table`, `eval plot`."""

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

Models = Annotated[list[str] | None, typer.Option("--model", "-m", help="Only this model; may be given again.")]
Suites = Annotated[list[str] | None, typer.Option("--suite", "-s", help="Only this suite; may be given again.")]
Scorer = Annotated[str | None, typer.Option(help="By this scorer's label [default: each evaluation's own].")]


def register(app: typer.Typer) -> None:
    """Add the verbs to those of `eval`."""
    app.command("table")(table)
    app.command("plot")(plot)


def table(
    ctx: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[1 | 2 | general] [ID...]", help="Which table, and of which evaluations."),
    ] = None,
    model: Models = None,
    suite: Suites = None,
    scorer: Scorer = None,
    before: Annotated[
        str | None, typer.Option(metavar="MODEL", help="What differences are taken to [default: the only base].")
    ] = None,
    form: Annotated[
        str | None, typer.Option("--format", help="terminal, md, latex or json [default: by FILE's ending].")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it here.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Set models beside each other: 1, the paper's accuracy and tokens; 2, its before and after; without either, plain.

    Published rows stand first and are marked so. Without ids the latest finished evaluation of each model and suite
    is taken. What may not be compared (suite version, items, scorer) never shares a cell.

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
        made = _table(store.db, which or "all", evaluation_ids(ctx, ids), model or [], suite or [], scorer, before)
    if out is not None:
        _write(out, render.RENDERERS[wanted](made))
        rows = sum(len(section.rows) for section in made.sections)
        emit(
            {"path": str(out), "format": wanted, "table": made.name, "rows": rows},
            as_json=as_json,
            text=f"{rows} rows in {out}",
        )
    elif as_json or wanted == "json":
        emit(made.as_json(), as_json=True, text="")
    elif wanted == "terminal":
        _show(render.terminal(made, _width()))
    else:
        emit({}, as_json=False, text=render.RENDERERS[wanted](made).rstrip("\n"))


def plot(
    ctx: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[tokens | right-wrong] [ID...]", help="Which plot, and of which evaluations."),
    ] = None,
    model: Models = None,
    suite: Suites = None,
    scorer: Scorer = None,
    svg: Annotated[Path | None, typer.Option("--svg", metavar="FILE", help="Write it as SVG here.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Draw accuracy against average output tokens (tokens), or how long right and wrong answers are (right-wrong).

    Example: o1lab eval plot --svg tokens.svg

    Example: o1lab eval plot right-wrong --suite math500
    """
    from o1lab.evaluate.report import plot_text
    from o1lab.evaluate.report.plot_svg import svg as drawn

    first, *rest = words or ["tokens"]
    which, ids = (first, rest) if first in _PLOTS else ("tokens", [first, *rest])
    with opened(ctx) as store:
        made = _plot(store.db, which, evaluation_ids(ctx, ids), model or [], suite or [], scorer)
    if svg is not None:
        _write(svg, drawn(made))
        answer = {"path": str(svg), "format": "svg", "plot": made.name, "panels": len(made.panels)}
        emit(answer, as_json=as_json, text=f"The plot is in {svg}")
    elif as_json:
        emit(made.as_json(), as_json=True, text="")
    else:
        _show(plot_text.text(made, _width()))


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
    """The format that was asked for, else that of the file's ending.

    Raises:
        UsageError: there is no such format, or the ending says nothing.
    """
    from o1lab.errors import UsageError
    from o1lab.evaluate.report.render import FORMATS

    if wanted is None:
        if out is None:
            return "terminal"
        if out.suffix not in _SUFFIXES:
            raise UsageError(f"{out.name} does not say which format it is.", f"Add --format: {', '.join(FORMATS)}.")
        return _SUFFIXES[out.suffix]
    if wanted not in FORMATS:
        raise UsageError(f"There is no format '{wanted}'.", f"There are: {', '.join(FORMATS)}.")
    return wanted


def _write(path: Path, text: str) -> None:
    """The whole file or none.

    Raises:
        LabError: it cannot be written there.
    """
    from o1lab.errors import LabError
    from o1lab.files import atomic_write

    hint = "Name a file in a folder that is there."
    if not path.parent.is_dir():  # a folder is not made of a slip of the pen
        raise LabError(f"{path} cannot be written: there is no folder {path.parent}.", hint)
    try:
        with atomic_write(path) as file:
            file.write(text.encode(errors="backslashreplace").decode())
    except OSError as error:
        raise LabError(f"{path} cannot be written: {error.strerror}.", hint) from error


def _width() -> int:
    return max(shutil.get_terminal_size((80, 24)).columns, 40)


def _show(text: Text) -> None:
    """Styled where a person looks, else plain lines."""
    if not sys.stdout.isatty():
        emit({}, as_json=False, text=text.plain)
        return
    from rich.console import Console

    Console(file=sys.stdout, highlight=False, markup=False).print(text, no_wrap=True, overflow="ignore", crop=False)
