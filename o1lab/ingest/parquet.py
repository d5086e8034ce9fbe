"""Read the rows of a Parquet file. Damage costs a cell or a row group, and is reported; all other rows are read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, BinaryIO, NamedTuple

_BATCH_ROWS = 32
_DAMAGED_CELL = (ValueError, ArithmeticError)  # UnicodeDecodeError and pyarrow's ArrowInvalid are ValueErrors


class ParquetRows(NamedTuple):
    """One row, or the reason why rows are missing.

    Attributes:
        first: the number of the row in the file, from 1.
        data: the row; None if it could not be read.
        size: its size in bytes, roughly.
        note: which cells could not be read and are None, in a few words.
        fault: why ``rows`` rows from ``first`` on could not be read.
        rows: how many rows this stands for.
        total: how many rows the file has.
    """

    first: int
    data: dict[str, Any] | None
    size: int = 0
    note: str = ""
    fault: str = ""
    rows: int = 1
    total: int = 1


def rows(file: BinaryIO) -> Iterator[ParquetRows]:
    """Yield the rows in order.

    Decimals become int or float (text if neither holds the value), dates and times become ISO 8601 text.
    """
    import pyarrow
    import pyarrow.parquet

    # OSError is what pyarrow raises for a page that cannot be decoded.
    damaged = (pyarrow.ArrowException, OSError, *_DAMAGED_CELL)
    try:
        parquet = pyarrow.parquet.ParquetFile(file, page_checksum_verification=True)
        metadata = parquet.metadata
    except damaged as error:
        yield ParquetRows(1, None, fault=f"damaged Parquet: {_reason(error)}")
        return
    total = metadata.num_rows
    convert = any(_holds_values_to_convert(one.type) for one in parquet.schema_arrow)
    number = 1
    for group in range(metadata.num_row_groups):
        end = number + metadata.row_group(group).num_rows
        try:
            for batch in parquet.iter_batches(batch_size=_BATCH_ROWS, row_groups=[group]):
                size = batch.nbytes // max(batch.num_rows, 1)
                for data, note in _cells(batch):
                    yield ParquetRows(number, _plain(data) if convert else data, size, note, total=total)
                    number += 1
        except damaged as error:
            fault = (
                f"damaged Parquet: {_reason(error)} (row group {group + 1}, rows {number:,} to {end - 1:,} are lost)"
            )
            yield ParquetRows(number, None, fault=fault, rows=end - number, total=total)
        number = end


def _cells(batch: Any) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield the rows of a batch, each with a note on cells that could not be converted."""
    try:
        yield from ((data, "") for data in batch.to_pylist())
    except _DAMAGED_CELL:
        names = batch.schema.names
        columns = [_column(column) for column in batch.columns]
        for cells in zip(*columns, strict=True):
            lost = [f"column {name}: {fault}" for name, (_, fault) in zip(names, cells, strict=True) if fault]
            note = f"{'; '.join(lost)} (left out of the row)" if lost else ""
            yield {name: value for name, (value, _) in zip(names, cells, strict=True)}, note


def _column(column: Any) -> Iterator[tuple[Any, str]]:
    """Yield the values of a column, each with the reason if it could not be converted."""
    for cell in column:
        try:
            yield cell.as_py(), ""
        except _DAMAGED_CELL as error:
            yield None, _reason(error)


def _reason(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__


def _holds_values_to_convert(kind: Any) -> bool:
    from pyarrow import types

    return (
        types.is_decimal(kind)
        or types.is_temporal(kind)
        or any(_holds_values_to_convert(kind.field(index).type) for index in range(kind.num_fields))
    )


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {name: _plain(inner) for name, inner in value.items()}
        case list():
            return [_plain(inner) for inner in value]
        case Decimal():
            return _number(value)
        case datetime() | date() | time():
            return value.isoformat()
    return value


def _number(value: Decimal) -> int | float | str:
    """Return a decimal as int or float where that is exact to the last digit written, else as text."""
    if not value.is_finite():
        return float(value)
    if value == value.to_integral_value():
        return int(value)
    return float(value) if Decimal(repr(float(value))) == value else str(value)
