"""Files that commands write: at a path, or on standard output if it is ``-``."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from o1lab.cli.base.busy import clear
from o1lab.cli.base.output import invocation, wants_json
from o1lab.errors import UsageError
from o1lab.text import visible

STDOUT = "-"
DASH = "`-` for standard output"
"""What the help of an option with a file says."""


def is_stdout(out: Path | str | None) -> bool:
    """Return whether a path stands for standard output."""
    return str(out) == STDOUT


@contextmanager
def destination(out: Path | str, *, like: str = "file") -> Iterator[Path]:
    """Yield the path to write to: ``out``, or for ``-`` a temporary one, whose bytes then go to standard output.

    With ``-``, what the command says of the file goes to standard error (see :func:`o1lab.cli.base.output.emit`).

    Args:
        out: where the user wants the file.
        like: a name for the temporary file, where its suffix matters.

    Raises:
        UsageError: standard output is wanted by ``--json`` as well, or it is a terminal and the file is not a text.
    """
    if not is_stdout(out):
        yield Path(out)
        return
    if wants_json():
        raise UsageError("--json and - both write to standard output.", "Leave one of them out.")
    with tempfile.TemporaryDirectory(prefix="o1lab-") as folder:
        path = Path(folder) / like
        yield path
        _copy(path)
    invocation().to_stderr = True


def _copy(path: Path) -> None:
    """Write a file to standard output; on a terminal, as visible text."""
    clear()
    if not sys.stdout.isatty():
        with path.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    with path.open("rb") as file:
        if b"\0" in file.read(4096):
            raise UsageError("This format is not text, and standard output is a terminal.", "Write it to a file.")
    with path.open(encoding="utf-8", errors="replace", newline="") as text:
        for line in text:
            sys.stdout.write(visible(line))
    sys.stdout.flush()
