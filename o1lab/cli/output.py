"""How every command speaks: people read lines, scripts read one JSON object."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from o1lab.paths import Lab, find_lab
from o1lab.text import visible

_SURROGATE = re.compile("[\ud800-\udfff]")
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]


@dataclass
class Context:
    """What the options before the verb said."""

    lab_dir: Path | None = None

    def lab(self) -> Lab:
        return find_lab(self.lab_dir)


def context(ctx: typer.Context) -> Context:
    found = ctx.find_object(Context)
    return found if found is not None else Context()


def emit(data: Mapping[str, Any], *, as_json: bool, text: str) -> None:
    """Print ``data`` as one JSON object, or ``text`` for a person."""
    if as_json:
        line = json.dumps(data, ensure_ascii=False, default=str) + "\n"
        # UTF-8 cannot hold a lone surrogate, which a trace may: in JSON it is an escape.
        sys.stdout.write(_SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", line))
    elif text:
        sys.stdout.write(visible(text) + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """A line for the person who watches: progress and advice go to standard error."""
    sys.stderr.write(visible(text) + "\n")
    sys.stderr.flush()
