"""Long texts on a terminal: with colours, and through the user's pager if they are longer than the screen.

Everything that is shown passes ``visible`` before it is coloured, so that only our own colours are control sequences.
"""

from __future__ import annotations

import io
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from o1lab.cli.base.busy import paused
from o1lab.cli.base.output import print_json, wants_json
from o1lab.text import visible

if TYPE_CHECKING:
    from rich.text import Text

Piece = str | tuple[str, str]
"""A part of a text: plain, or with the name of its style."""
Line = str | Sequence[Piece]
"""A line, or several: a text, or pieces."""
_LESS = "FRX"
"""Default options of less: quit if the text fits, show colours, leave the text on the screen."""


def stdout_is_terminal() -> bool:
    """Return whether standard output is a terminal."""
    return sys.stdout.isatty()


def show(lines: Iterable[Line]) -> None:
    """Print lines: plain if standard output is not a terminal, else in colours and pages."""
    from rich.text import Text

    pieces = ([line] if isinstance(line, str) else line for line in lines)
    whole = Text("\n").join(Text.assemble(*map(_visible, line)) for line in pieces)
    whole.append("\n")
    with paused():  # the pager has the terminal until the user leaves it
        _print(whole)


def _print(whole: Text) -> None:
    if not stdout_is_terminal():
        sys.stdout.write(whole.plain)
        sys.stdout.flush()
        return
    size = shutil.get_terminal_size()
    command = pager() if _rows(whole.plain, size.columns) >= size.lines else None
    if command is None or not _paged(command, _rendered(whole, size.columns, coloured=_takes_colours(command))):
        sys.stdout.write(_rendered(whole, size.columns, coloured=True))
        sys.stdout.flush()


def pager() -> list[str] | None:
    """Return the command of the user's pager: PAGER, else less or more; None if there is none or it is ``cat``."""
    wanted = os.environ.get("PAGER")
    if wanted is None:
        found = next(filter(None, map(shutil.which, ("less", "more"))), None)
        return None if found is None else [found]
    try:
        command = shlex.split(wanted)
    except ValueError:
        return None
    return None if not command or command[0] == "cat" or shutil.which(command[0]) is None else command


def _visible(piece: Piece) -> Piece:
    return visible(piece) if isinstance(piece, str) else (visible(piece[0]), piece[1])


def _rows(text: str, width: int) -> int:
    """Return about how many rows a text takes: a wide character counts as one cell."""
    return sum(1 + max(len(line) - 1, 0) // max(width, 1) for line in text.split("\n"))


def _takes_colours(command: list[str]) -> bool:
    """Return whether a pager shows colours: less does, unless the user's own options say otherwise."""
    if os.path.basename(command[0]) != "less":  # noqa: PTH119 - it is the name of a command
        return False
    options = os.environ.get("LESS")
    given = " ".join(command[1:])
    return options is None or "r" in (options + given).casefold()


def _rendered(text: Text, width: int, *, coloured: bool) -> str:
    """Return the text with the colours that the terminal has; none with NO_COLOR or on a dumb terminal."""
    from rich.console import Console

    if not coloured:
        return text.plain
    real = Console(file=sys.stdout, highlight=False, markup=False)
    out = io.StringIO()
    console = Console(
        file=out, force_terminal=True, color_system=real.color_system or None, no_color=real.no_color,  # type: ignore[arg-type]  # rich names it so
        width=width, highlight=False, markup=False,
    )  # fmt: skip
    if real.color_system is None or real.no_color:
        return text.plain
    console.print(text, soft_wrap=True, end="")
    return out.getvalue()


def _paged(command: list[str], text: str) -> bool:
    """Show a text in a pager; return False if it cannot be started."""
    environment = {"LESS": _LESS, "LESSCHARSET": "utf-8"} | os.environ
    try:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)
    except OSError:
        return False
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the pager's: less stops searching
    try:
        with suppress(BrokenPipeError), process:
            process.communicate(text.encode("utf-8", "replace"))
    finally:
        signal.signal(signal.SIGINT, before)
    return True


def emit_paged(data: Mapping[str, Any], lines: Iterable[Line]) -> None:
    """Print ``data`` as one JSON object, or lines for people, in colours and pages on a terminal."""
    if wants_json():
        print_json(data)
    else:
        show(lines)
