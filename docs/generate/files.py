"""The page of files on disk and environment variables, from their declarations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from docs.generate.markdown import code, prose, table
from o1lab.distill.run_directory import RunFolder
from o1lab.evaluate.run.directory import EvalFolder
from o1lab.paths import VARIABLES, Lab, paths_in
from o1lab.train.runs.directory import RunDir

_JOBS = {
    "A training run: `LAB/runs/ID`": RunDir,
    "A teacher run: `LAB/distill/ID`": RunFolder,
    "An evaluation: `LAB/evals/ID`": EvalFolder,
}


def page() -> str:
    """Return the page."""
    parts = [
        "# Files on disk",
        "A lab is one folder: copy it, back it up, or put it on a shared disk. All text is UTF-8. JSON files are "
        "replaced as a whole, JSON Lines files only grow, so that other programs can read them at any time.",
        "## A lab",
        table(("Path", "What it holds"), _rows(Lab)),
        "Files are private to their owner, or to the group if `[lab] shared = true`.",
    ]
    for title, kind in _JOBS.items():
        parts += [f"## {title}", table(("Path", "What it holds"), _rows(kind))]
    parts += [
        "## Environment variables",
        table(("Variable", "Meaning"), ((code(name), prose(about)) for name, about in VARIABLES.items())),
    ]
    return "\n\n".join(parts)


def _rows(kind: type[Any]) -> Iterator[tuple[str, str]]:
    for one in paths_in(kind):
        yield code(one.name), prose(one.about)
