"""`o1lab man`: a man page of each command, from the texts of ``--help``."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from o1lab import __version__
from o1lab.cli.base.command import Verbs
from o1lab.cli.base.output import emit
from o1lab.cli.tree import Command, commands
from o1lab.errors import EXIT_STATUSES, LabError
from o1lab.paths import VARIABLES

verbs = Verbs()
_MARK = '.\\" Written by `o1lab man`.'
_SPECIAL = {"\\": "\\e", "-": "\\-", "'": "\\(aq", "`": "\\(ga", "^": "\\(ha", "~": "\\(ti", '"': "\\(dq"}


@verbs.command("man")
def man(
    folder: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="Folder of man pages [default: ~/.local/share/man].")
    ] = None,
) -> None:
    """Write a man page of each command into the folder `man1` of DIR.

    Read them with `man o1lab` and, for a command, `man o1lab-traces-ls`. Pages of commands that no longer exist are
    deleted.

    Examples: o1lab man; o1lab man build/man
    """
    from o1lab.files import write_text

    data = os.environ.get("XDG_DATA_HOME")
    place = (folder or (Path(data) if data else Path.home() / ".local" / "share") / "man").expanduser()
    every = list(commands())
    pages = {f"{one.anchor}.1": page(one, every) for one in every}
    try:
        (place / "man1").mkdir(parents=True, exist_ok=True)
        for old in (place / "man1").glob("o1lab*.1"):
            if old.name not in pages and old.read_text("utf-8", "replace").startswith(_MARK):
                old.unlink()
        for name, text in pages.items():
            write_text(place / "man1" / name, text)
    except OSError as error:
        raise LabError(
            f"The man pages cannot be written to {place}: {error.strerror}.", "Choose another DIR."
        ) from None
    text = f"{len(pages)} man pages in {place / 'man1'}. Read them: man -M {place} o1lab"
    emit({"path": str(place), "pages": len(pages)}, text=text if folder else text.replace(f"-M {place} ", ""))


def page(one: Command, every: Iterable[Command] = ()) -> str:
    """Return the man page of a command in roff; ``every`` command is searched for those below it and above it."""
    title = f'.TH "{one.anchor.upper()}" 1 "" "o1lab {__version__}" "o1lab"'
    return "\n".join([_MARK, title, *_body(one, list(every)), ""])


def _body(one: Command, every: list[Command]) -> Iterator[str]:
    summary = one.summary.rstrip(".")
    yield from (".SH NAME", f"{_text(one.anchor)} \\- {_text(summary[:1].lower() + summary[1:])}")
    usage = " ".join(one.usage.removeprefix(one.words).split())
    yield from (".SH SYNOPSIS", f"\\fB{_text(one.words)}\\fR {_text(usage)}".rstrip())
    examples: list[str] = []
    yield ".SH DESCRIPTION"
    for at, (text, shown) in enumerate(one.parts()):
        if text:
            yield from ([] if at == 0 else [".PP"])
            yield _text(" ".join(text.split()))
        examples += shown
    for title, rows in one.options().items():
        yield f".SH {_text(title.upper() if title not in ('Argument', 'Option') else f'{title}s'.upper())}"
        for typed, about in rows:
            yield from (".TP", f"\\fB{_text(typed)}\\fR", _text(" ".join(about.split())) or "\\&")
    below = [other for other in every if other.words.rpartition(" ")[0] == one.words]
    if below:
        yield ".SH COMMANDS"
        for other in below:
            yield from (".TP", f"\\fB{_text(other.anchor)}\\fR(1)", _text(other.summary) or "\\&")
    if examples:
        yield from (".SH EXAMPLES", ".nf", *map(_text, examples), ".fi")
    if " " not in one.words:
        yield from _everywhere()
    if parent := next((other for other in every if other.words == one.words.rpartition(" ")[0]), None):
        yield from (".SH SEE ALSO", f"\\fB{_text(parent.anchor)}\\fR(1)")


def _everywhere() -> Iterator[str]:
    """Yield what is true of all commands, for the page of the program."""
    yield ".SH EXIT STATUS"
    for status, meaning in EXIT_STATUSES.items():
        yield from (".TP", f"\\fB{_text(status)}\\fR", _text(meaning))
    yield ".SH ENVIRONMENT"
    for name, meaning in VARIABLES.items():
        yield from (".TP", f"\\fB{_text(name)}\\fR", _text(meaning))


def _text(text: str) -> str:
    """Escape one line of text for roff: it is never a request, and characters beyond ASCII have names."""
    plain = "".join(_SPECIAL.get(one, one) if one.isascii() else f"\\[u{ord(one):04X}]" for one in text)
    return re.sub(r"^(?=\.)", "\\\\&", plain)
