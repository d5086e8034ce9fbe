"""Files of a lab that no class declares: the documentation would not list them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from o1lab.distill.run_directory import RunFolder
from o1lab.evaluate.run.directory import EvalFolder
from o1lab.paths import Lab, paths_in
from o1lab.train.runs.directory import RunDir


def undeclared(lab: Lab) -> list[str]:
    """Return the files and folders of a lab and of its jobs that are not declared, and those of the database."""
    found = [path.name for path in lab.root.iterdir() if not path.name.startswith("lab.db-")]
    wrong = [name for name in found if not _is_declared(name, Lab)]
    for folder, kind in ((lab.runs, RunDir), (lab.distill, RunFolder), (lab.evals, EvalFolder)):
        for name in _files(folder):
            job, _, inside = name.partition("/")
            if inside and not _is_declared(inside, kind):
                wrong.append(f"{folder.name}/{job}/{inside}")
    return sorted(wrong)


def _files(folder: Path) -> Iterator[str]:
    yield from (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _is_declared(name: str, kind: type[Any]) -> bool:
    """Whether a name is declared, or is in a declared folder; a part in capitals stands for any name."""
    patterns = (re.sub(r"[A-Z]+", "[^/]+", re.escape(one.name)) for one in paths_in(kind))
    return any(re.fullmatch(rf"{pattern}(/.*)?", name) for pattern in patterns)
