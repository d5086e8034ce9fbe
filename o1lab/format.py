"""Format figures for people: the command line and the screens use the same words."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

_UNITS = ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "m"), (60, "m", 1, "s"))


def duration(seconds: float) -> str:
    """Format a time span by its two largest units: ``49s``, ``1m49s``, ``2h03m``, ``3d04h``."""
    whole = round(seconds)
    for size, unit, part, smaller in _UNITS:
        if whole >= size:
            return f"{whole // size}{unit}{whole % size // part:02}{smaller}"
    return f"{whole}s"


def number(value: float | None) -> str:
    """Format a metric in about five characters: ``0.0112``, ``5.0e-4``, ``451``, ``1,234``.

    NaN and infinity are written out; None is ``-``.
    """
    if value is None:
        return "-"
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else f"{value:+}"
    if value == 0 or 0.001 <= abs(value) < 1000:
        return f"{value:.3g}"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e")


def percent(share: float | None) -> str:
    """Format a share from 0 to 1 in percent: ``43.3%``; None is ``-``."""
    return "-" if share is None else f"{100 * share:.1f}%"


def percent_within(share: float | None, ends: Sequence[float] | None) -> str:
    """Format a share with the ends of its interval, all from 0 to 1: ``43.3% (24.6% to 57.7%)``."""
    return percent(share) + (f" ({percent(ends[0])} to {percent(ends[1])})" if ends is not None else "")


def money(usd: float | None) -> str:
    """Format US dollars: ``$0.0125``, ``$120.50``; None is ``price not known``."""
    if usd is None:
        return "price not known"
    return f"${usd:,.2f}" if usd >= 100 else f"${usd:.4f}"


def byte_size(count: float) -> str:
    """Format a number of bytes: ``873 B``, ``12 kB``, ``31 MB``, ``2.5 GB`` (powers of 1000)."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def counted(number: int, noun: str) -> str:
    """Format a number with its noun: ``1 trace``, ``2,300 traces``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def first_of(texts: Sequence[str], most: int, separator: str = ", ") -> str:
    """Join the first ``most`` texts and count the others: ``a, b and 3 more``."""
    rest = len(texts) - most
    return separator.join(texts[:most]) + (f" and {rest:,} more" if rest > 0 else "")


def short_count(count: int) -> str:
    """Format a count in about three digits: ``873``, ``4.9k``, ``31k``, ``1.2M``."""
    if count < 1_000:
        return str(count)
    if count < 999_500:
        thousands = count / 1_000
        return f"{thousands:.1f}k" if thousands < 9.95 else f"{thousands:.0f}k"
    return f"{count / 1_000_000:.1f}M"


def aligned(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Return the rows of a table as lines, each column as wide as its widest cell.

    Args:
        rows: the cells, with a row of headings first if there is one.
        right: the columns that are aligned to the right, as numbers are.
    """
    from rich.cells import cell_len

    columns = []
    for number, cells in enumerate(zip(*rows, strict=True)):
        width = max(map(cell_len, cells))
        gaps = [" " * (width - cell_len(cell)) for cell in cells]
        columns.append([gap + cell if number in right else cell + gap for cell, gap in zip(cells, gaps, strict=True)])
    return ["  ".join(cells).rstrip() for cells in zip(*columns, strict=True)]
