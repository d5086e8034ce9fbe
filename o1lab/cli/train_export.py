"""`o1lab runs export`: the metrics of runs as a table for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from o1lab.cli.destination import DASH, STDOUT, destination, is_stdout
from o1lab.cli.naming import completing
from o1lab.cli.output import current_lab, emit
from o1lab.cli.train_group import members_or_run
from o1lab.errors import UsageError


def runs_export(
    identity: Annotated[
        str, typer.Argument(metavar="RUN", help="A run or a group of runs.", autocompletion=completing("run"))
    ],
    out: Annotated[Path, typer.Argument(metavar="FILE", help=f"File to write; {DASH}.")] = Path(STDOUT),
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Write CSV, the default unless FILE ends with .parquet.")
    ] = False,
    as_parquet: Annotated[bool, typer.Option("--parquet", help="Write Parquet.")] = False,
) -> None:
    """Write the metrics of a run, or of all runs of a group: a row for each logged step.

    Steps that were trained again after a resume are in it once. What was not measured at a step is empty.

    Examples: o1lab runs export 3f9c loss.csv; o1lab runs export sums-seed - --parquet > runs.parquet
    """
    from o1lab.train.export import export_metrics

    if as_csv and as_parquet:
        raise UsageError("A file is CSV or Parquet.", "Give one of --csv, --parquet.")
    form = "parquet" if as_parquet or (out.suffix == ".parquet" and not as_csv) else "csv"
    runs = members_or_run(current_lab(), identity)
    with destination(out, like=f"metrics.{form}") as path:
        rows = export_metrics(runs, path, form)
    named = ", ".join(run.id for run in runs)
    place = "on standard output" if is_stdout(out) else f"in {out}"
    emit({"path": str(out), "format": form, "rows": rows, "runs": [run.id for run in runs]},
         text=f"{rows:,} rows of {named} {place} as {form}")  # fmt: skip
