"""Questions about the terms of use of teachers before something is published."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, TypeVar

import typer

from o1lab.cli.output import ask, say
from o1lab.errors import RefusedError

Made = TypeVar("Made")

AcceptTermsOption = Annotated[
    bool,
    typer.Option(
        "--accept-terms", help="I have read the teachers' terms of use and the licences; they allow what I do with it."
    ),
]


def with_terms(make: Callable[[bool], Made], *, accepted: bool) -> Made:
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
