"""Figures as words, the same on the command line and on the screens."""

from __future__ import annotations

_UNITS = ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "m"), (60, "m", 1, "s"))


def duration(seconds: float) -> str:
    """Format a time span by its two largest units: ``49s``, ``1m49s``, ``2h03m``, ``3d04h``."""
    whole = round(seconds)
    for size, unit, part, smaller in _UNITS:
        if whole >= size:
            return f"{whole // size}{unit}{whole % size // part:02}{smaller}"
    return f"{whole}s"
