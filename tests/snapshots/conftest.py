"""Every picture is taken when the footer has caught up: it follows the focus a refresh later than the rest."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from o1lab.widgets.key_footer import KeyFooter
from tests.support.compare_lab import until


@pytest.fixture
def snap_compare(snap_compare: Any) -> Callable[..., bool]:
    """The plugin's, with ``run_before`` followed by a wait for the footers."""

    def compare(app: Any, *, run_before: Callable[[Pilot[int]], Awaitable[None]], **options: Any) -> bool:
        async def before(pilot: Pilot[int]) -> None:
            await run_before(pilot)
            await until(pilot, lambda: all(one.is_current for one in pilot.app.screen.query(KeyFooter)), "the footer")
            await pilot.pause()

        return bool(snap_compare(app, run_before=before, **options))

    return compare
