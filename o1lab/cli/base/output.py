"""What every command shares: the values of the global options, the lab and its database, and the output.

The invocation is a context variable, so that a command names only options of its own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from o1lab.cli.base.busy import clear, paused
from o1lab.errors import LabError, RefusedError, UsageError
from o1lab.files import protect_files
from o1lab.paths import Lab, find_lab
from o1lab.text import json_text, visible

if TYPE_CHECKING:
    from store import Store

MadeT = TypeVar("MadeT")


class Format(StrEnum):
    """How a list is written."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


@dataclass
class Invocation:
    """The values of the options that all commands share, and of those made from a settings model."""

    lab_dir: Path | None = None
    as_json: bool = False
    form: Format | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    to_stderr: bool = False
    """Whether a file was written to standard output, so that messages go to standard error."""


_INVOCATION: ContextVar[Invocation | None] = ContextVar("invocation", default=None)


def invocation() -> Invocation:
    """Return the invocation of the running command; outside a command, one without options."""
    return _INVOCATION.get() or Invocation()


@contextmanager
def invoked(one: Invocation | None = None) -> Iterator[Invocation]:
    """Begin an invocation."""
    token = _INVOCATION.set(one or Invocation())
    try:
        yield invocation()
    finally:
        _INVOCATION.reset(token)


def wants_json() -> bool:
    """Return whether the command prints JSON."""
    return invocation().as_json


def current_lab() -> Lab:
    """Return the lab, with its own think marks in use; if they cannot be read, say so."""
    from o1lab.chains.marks import use_marks_of

    lab = find_lab(invocation().lab_dir)
    protect_files(lab.config)
    try:
        use_marks_of(lab)
    except LabError as error:
        say(f"o1lab: the lab's own think marks are not used: {error.message}")
    return lab


def lab_if_any() -> Lab | None:
    """Return the lab; None if no lab is named and none is found.

    Raises:
        LabError: the named lab does not exist.
    """
    try:
        return current_lab()
    except LabError:
        if invocation().lab_dir is not None or os.environ.get("O1LAB_LAB"):
            raise
        return None


@contextmanager
def opened() -> Iterator[Store]:
    """Open the lab's database for the duration of a command."""
    from o1lab.labs import opened_lab

    with opened_lab(current_lab()) as store:
        yield store


def emit(data: Mapping[str, Any], text: str | Iterable[str] | Callable[[], str] = "") -> None:
    """Print ``data`` as one JSON object, or for people a text, its lines, or the text that a function returns."""
    if wants_json():
        print_json(data)
        return
    whole = text() if callable(text) else text
    if invocation().to_stderr:
        say(whole if isinstance(whole, str) else "\n".join(whole))
    else:
        print_text(whole)


def print_json(data: Mapping[str, Any]) -> None:
    """Print one JSON object."""
    clear()
    sys.stdout.write(json_text(data) + "\n")
    sys.stdout.flush()


def print_text(text: str | Iterable[str]) -> None:
    """Print a text or lines; control characters are shown as symbols."""
    whole = text if isinstance(text, str) else "\n".join(text)
    clear()
    if whole:
        sys.stdout.write(visible(whole) + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """Print a line of progress or advice to standard error."""
    clear()
    sys.stderr.write(visible(text) + "\n")
    sys.stderr.flush()


def ask(question: str) -> bool:
    """Ask a question with the answers yes and no on standard error."""
    import typer

    with paused():
        return typer.confirm(question, err=True)


def confirm(question: str, *, what: str, no: str) -> None:
    """Ask whether to do something that cannot be undone.

    Args:
        question: the question.
        what: what needs confirmation, as the subject of a sentence.
        no: the message if the answer is no.

    Raises:
        UsageError: standard input is not a terminal, so the question cannot be asked.
        typer.Exit: the answer was no.
    """
    import typer

    if not sys.stdin.isatty():
        raise UsageError(f"{what} needs confirmation.", "Add --yes.")
    if not ask(question):
        say(no)
        raise typer.Exit(0)


def with_terms(make: Callable[[bool], MadeT], *, accepted: bool) -> MadeT:
    """Return ``make(accepted)``; if it is refused because of terms, ask on a terminal and try once more.

    Raises:
        RefusedError: the terms were not accepted, or there is no terminal to ask on.
    """
    try:
        return make(accepted)
    except RefusedError as error:
        if error.code != "terms" or accepted or not sys.stdin.isatty():
            raise
        say(error.message)
        if not ask("Do these terms allow what you do with it?"):
            raise
    return make(True)


def write_raw(text: str) -> None:
    """Print exactly the bytes of a stored text; on a terminal, as visible text."""
    from store.records import encode

    clear()
    sys.stdout.buffer.write(visible(text).encode() if sys.stdout.isatty() else encode(text))
    sys.stdout.buffer.flush()
