"""Tables of figures on the command line: for a terminal, as Markdown, LaTeX, CSV or JSON, printed or in a file."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from o1lab.cli.base.busy import clear
from o1lab.cli.base.destination import DASH, destination, is_stdout
from o1lab.cli.base.output import emit, print_json, print_text, wants_json
from o1lab.errors import LabError, UsageError

if TYPE_CHECKING:
    from rich.text import Text

    from o1lab.evaluate.report.cells import Table

_SUFFIXES = {".md": "md", ".tex": "latex", ".csv": "csv", ".json": "json", ".txt": "terminal"}
TableFormat = Annotated[
    Literal["terminal", "md", "latex", "csv", "json"] | None,
    typer.Option("--format", help="Format of the table; csv has no notes [default: by the suffix of FILE]."),
]
TableFile = Annotated[Path | None, typer.Option("--out", metavar="FILE", help=f"Write the table to this file; {DASH}.")]


def emit_table(result: Table, form: str, out: Path | None) -> None:
    """Print a table in a format of :func:`chosen_format`, or write it to ``out`` and say so.

    Raises:
        LabError: the file cannot be written.
    """
    from o1lab.evaluate.report import render

    if out is not None:
        write_file(out, render.RENDERERS[form](result))
        rows = sum(len(section.rows) for section in result.sections)
        answer = {"path": str(out), "format": form, "table": result.name, "rows": rows}
        emit(answer, text=f"{rows} rows {'on standard output' if is_stdout(out) else f'in {out}'}")
    elif wants_json() or form == "json":
        print_json(result.as_json())
    elif form == "terminal":
        print_styled(render.terminal(result, terminal_width()))
    else:
        print_text(render.RENDERERS[form](result).rstrip("\n"))


def chosen_format(wanted: str | None, out: Path | None) -> str:
    """Return the requested format, or else that of the file's suffix.

    Raises:
        UsageError: the suffix is unknown.
    """
    if wanted is not None or out is None or is_stdout(out):
        return wanted or "terminal"
    if out.suffix not in _SUFFIXES:
        formats = ", ".join(_SUFFIXES.values())
        raise UsageError(f"The suffix of {out.name} is not a known format.", f"Add --format: {formats}.")
    return _SUFFIXES[out.suffix]


def write_file(path: Path, text: str) -> None:
    """Write a file atomically; ``-`` is standard output.

    Raises:
        LabError: the file cannot be written.
    """
    from o1lab.files import atomic_write

    if is_stdout(path):
        with destination(path) as place:
            place.write_text(text, encoding="utf-8", errors="backslashreplace")
        return
    hint = "Choose a file in an existing folder."
    if not path.parent.is_dir():  # a typing error should not create folders
        raise LabError(f"{path} cannot be written: there is no folder {path.parent}.", hint)
    try:
        with atomic_write(path) as file:
            file.write(text.encode(errors="backslashreplace").decode())
    except OSError as error:
        raise LabError(f"{path} cannot be written: {error.strerror}.", hint) from error


def terminal_width() -> int:
    """Return the width of the terminal in cells, at least 40; 80 if there is none."""
    return max(shutil.get_terminal_size((80, 24)).columns, 40)


def print_styled(text: Text) -> None:
    """Print styled text to a terminal, plain lines otherwise."""
    if not sys.stdout.isatty():
        print_text(text.plain)
        return
    clear()
    from rich.console import Console

    Console(file=sys.stdout, highlight=False, markup=False).print(text, no_wrap=True, overflow="ignore", crop=False)


def markdown_text(markdown: str) -> str:
    """Lay out Markdown for the terminal: tables with borders, no markup."""
    import io

    from rich.console import Console
    from rich.markdown import Markdown

    console = Console(file=io.StringIO(), width=terminal_width(), color_system=None)
    with console.capture() as shown:
        console.print(Markdown(markdown))
    return "\n".join(line.rstrip() for line in shown.get().splitlines()).strip("\n")
