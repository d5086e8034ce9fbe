"""Figures as words."""

from __future__ import annotations

import pytest

from o1lab.format import duration


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0s"), (59, "59s"), (109, "1m49s"), (7380, "2h03m"), (273_600, "3d04h")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
