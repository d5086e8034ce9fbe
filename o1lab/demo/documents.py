"""The demo's documents: its lab scores itself, writes the report of its run, and repeats that report in a fresh lab."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from o1lab.demo.seed import Progress
from o1lab.labs import opened_lab
from o1lab.paths import Lab
from o1lab.transparency.report.writer import WrittenReport, write_report
from o1lab.transparency.reproduce.outcome import WORDS
from o1lab.transparency.reproduce.replay import Options, Reproduction, reproduce


@dataclass(frozen=True)
class Documents:
    """The report of the demo, with the lab's own score, and the result of repeating it."""

    report: WrittenReport
    reproduction: Reproduction
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether the report is complete and every part of it was reproduced."""
        return self.reproduction.ok and not self.report.notes

    def as_json(self) -> dict[str, Any]:
        score = self.report.score
        return {
            "dir": str(self.report.folder),
            "files": list(self.report.files),
            "left_out": list(self.report.notes),
            "tti_total": score.total,
            "tti_of": score.framework.total,
            "reproduced": self.reproduction.ok,
            "items": [one.as_json() for one in self.reproduction.outcomes],
            "seconds": round(self.seconds, 1),
        }


def write_documents(folder: Path, run: str, out: Path, *, progress: Progress = lambda _line: None) -> Documents:
    """Score the demo's lab, write the report of a run with its data, and repeat it without training.

    Args:
        folder: the lab of the demo.
        run: id of the run.
        out: the folder of the report; an earlier report there is replaced.
        progress: called with lines of text.

    Raises:
        UsageError: ``out`` holds something else.
        LabError, StoreError: a file cannot be written, or the database cannot be used.
    """
    began = time.monotonic()
    lab = Lab(folder.expanduser().absolute())
    progress(f"Writing the report of run {run}...")
    with opened_lab(lab) as store:
        written = write_report(lab, store, run, out, with_data=True)
    with tempfile.TemporaryDirectory(prefix="o1lab-reproduce-") as fresh:
        repeated = reproduce(out, Path(fresh), Options(), on_progress=progress)
    return Documents(written, repeated, time.monotonic() - began)


def as_text(found: Documents) -> str:
    """Return what was written and the result of repeating it, as text."""
    score = found.report.score
    lines = [
        f"report in {found.report.folder}: {len(found.report.files)} files, transparency {score.total} of "
        f"{score.framework.total} points by the lab's own records",
        *(f"left out: {note}" for note in found.report.notes),
        "repeated in a fresh lab:",
    ]
    for one in found.reproduction.outcomes:
        reason = f": {one.reason}" if one.reason and one.state != "identical" else ""
        lines.append(f"  {WORDS[one.state]:<17} {one.what}{reason}")
    return "\n".join([*lines, f"report and repetition took {found.seconds:.0f} s"])
