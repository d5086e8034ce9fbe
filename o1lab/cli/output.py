"""Shared parts of all commands: the context, the lab's database, and output as text or as one JSON object."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from o1lab.errors import LabError
from o1lab.files import protect_files
from o1lab.paths import Lab, find_lab
from o1lab.text import json_text, visible

if TYPE_CHECKING:
    from store import Store

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]


@dataclass
class Context:
    """The values of the global options."""

    lab_dir: Path | None = None

    def lab(self) -> Lab:
        """Return the lab, with its own think marks in use; if they cannot be read, say so."""
        from o1lab.chains.marks import use_marks_of

        lab = find_lab(self.lab_dir)
        protect_files(lab.config)
        try:
            use_marks_of(lab)
        except LabError as error:
            say(f"o1lab: the lab's own think marks are not used: {error.message}")
        return lab


def context(ctx: typer.Context) -> Context:
    found = ctx.find_object(Context)
    return found if found is not None else Context()


@contextmanager
def opened(ctx: typer.Context) -> Iterator[Store]:
    """Open the lab's database for the duration of a command."""
    from store import open_store

    store = open_store(context(ctx).lab().database)
    try:
        with store.explained():
            yield store
    finally:
        store.close()


def emit(data: Mapping[str, Any], *, as_json: bool, text: str) -> None:
    """Print ``data`` as one JSON object, or ``text`` for people."""
    if as_json:
        sys.stdout.write(json_text(data) + "\n")
    elif text:
        sys.stdout.write(visible(text) + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """Print a line of progress or advice to standard error."""
    sys.stderr.write(visible(text) + "\n")
    sys.stderr.flush()


def write_raw(text: str) -> None:
    """Print exactly the bytes of a stored text; on a terminal, as visible text."""
    from store.records import encode

    sys.stdout.buffer.write(visible(text).encode() if sys.stdout.isatty() else encode(text))
    sys.stdout.buffer.flush()
