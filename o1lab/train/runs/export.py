"""The metrics of runs as one table: a row for each run and logged step. Steps that a resume replaced are left out."""

from __future__ import annotations

import csv
import math
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from o1lab.errors import LabError
from o1lab.files import atomic_path
from o1lab.train.runs.directory import RunDir
from o1lab.train.runs.metrics_reader import Metrics

FORMATS = ("csv", "parquet")
_FIRST = (
    "loss", "eval_loss", "mean_token_accuracy", "learning_rate", "grad_norm", "entropy", "num_tokens", "elapsed_s",
    "epoch",
)  # fmt: skip


def export_metrics(runs: Sequence[RunDir], path: Path, form: str) -> int:
    """Write the metrics of runs and return the number of rows. A value that was not measured is empty.

    Args:
        runs: the runs.
        path: the file to write.
        form: ``csv`` or ``parquet``.

    Raises:
        LabError: the file cannot be written.
    """
    read = [(run.id, _read(run)) for run in runs]
    known = {name for _, metrics in read for name in metrics.columns}
    names = [name for name in _FIRST if name in known] + sorted(known - set(_FIRST))
    whole = {name for name in names if all(_is_whole(metrics.columns.get(name)) for _, metrics in read)}
    try:
        with atomic_path(path) as new:
            (_write_parquet if form == "parquet" else _write_csv)(new, names, whole, read)
    except OSError as error:
        raise LabError(f"{path} cannot be written: {error.strerror}.", "Choose another place.") from error
    return sum(len(metrics) for _, metrics in read)


def _read(run: RunDir) -> Metrics:
    metrics = Metrics(run.metrics)
    metrics.poll()
    return metrics


def _is_whole(column: array[float] | None) -> bool:
    return column is None or all(math.isnan(value) or value.is_integer() for value in column)


def _values(metrics: Metrics, name: str, *, whole: bool) -> Iterator[int | float | None]:
    """Yield a column with None where nothing was measured."""
    return (None if math.isnan(value) else int(value) if whole else value for value in metrics.column(name))


def _write_csv(path: Path, names: list[str], whole: set[str], read: list[tuple[str, Metrics]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["run", "step", *names])
        for run, metrics in read:
            columns = [_values(metrics, name, whole=name in whole) for name in names]
            writer.writerows([run, int(step), *row] for step, *row in zip(metrics.steps, *columns, strict=True))


def _write_parquet(path: Path, names: list[str], whole: set[str], read: list[tuple[str, Metrics]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    data: dict[str, Any] = {
        "run": pa.array([run for run, metrics in read for _ in metrics.steps], pa.string()),
        "step": pa.array([int(step) for _, metrics in read for step in metrics.steps], pa.int64()),
    }
    for name in names:
        values = [value for _, metrics in read for value in _values(metrics, name, whole=name in whole)]
        data[name] = pa.array(values, pa.int64() if name in whole else pa.float64())
    pq.write_table(pa.table(data), path)
