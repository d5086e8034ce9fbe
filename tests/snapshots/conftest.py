"""Every picture is taken when the footer has caught up, without blinking, and has no path of its temporary folder."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static, TextArea

from o1lab.widgets.keys import KeyFooter
from tests.support.compare_lab import until
from tests.support.piloted import _piloted

__all__ = ["_piloted"]


@pytest.fixture
def snap_compare(snap_compare: Any, tmp_path: Path) -> Callable[..., bool]:
    """The plugin's, with ``run_before`` followed by a wait for the footers.

    A text with the path of the temporary folder fails, even where it is scrolled out of sight: its length decides where
    lines break and how long scroll bars are.
    """

    def compare(app: Any, *, run_before: Callable[[Pilot[int]], Awaitable[None]], **options: Any) -> bool:
        async def before(pilot: Pilot[int]) -> None:
            await run_before(pilot)
            for one in pilot.app.screen.query("*"):
                if isinstance(one, Input | TextArea):
                    one.cursor_blink = False
            await until(pilot, lambda: all(one.is_current for one in pilot.app.screen.query(KeyFooter)), "the footer")
            for screen in pilot.app.screen_stack:
                for one in screen.walk_children(with_self=True):
                    one.refresh()  # reading the screen may have drawn a dialog without what is behind it
            await pilot.pause()
            texts = [one for one in pilot.app.screen.query(Static) if str(tmp_path) in str(one.content)]
            assert not texts, f"A path of the temporary folder is in the picture: {texts}"

        return bool(snap_compare(app, run_before=before, **options))

    return compare
