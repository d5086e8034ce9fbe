"""The importance of sentences: heat, moving, drawing, stopping."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from o1lab.app import LabApp
from o1lab.lens.anchors import RolloutSettings, sentences
from o1lab.lens.convergence import Chain
from o1lab.lens.forcing import chain_of
from o1lab.lens.resampling import Resampled, latest
from o1lab.widgets.dialogs import PickDialog
from screens.base.context import LabContext
from screens.traces import anchors
from screens.traces.anchors import AnchorsScreen
from store import continuations
from store.continuations import Rollout
from store.sqlite import Database
from tests.functional.screens.test_traces import NARROW, ready, typed, until, words
from tests.support.lab_seed import all_ids, seeded_context


@pytest.fixture
def context(tmp_path: Path) -> Iterator[LabContext]:
    found = seeded_context(tmp_path / "lab", 4)
    yield found
    found.store.close()


def add_rollouts(db: Database, chain: Chain) -> int:
    """Store rollouts in which only the third sentence changes the answer; return where it begins."""
    bounds = sentences(chain.thought)
    places = sorted({start for start, _ in bounds} | {end for _, end in bounds})
    rows = [
        Rollout(
            chain.key, "m", RolloutSettings().how, place, sample, "student", "Else. ", "12" if at > 2 else str(sample)
        )
        for at, place in enumerate(places)
        for sample in range(6)
    ]
    continuations.add_rollouts(db, rows)
    return bounds[2][0]


async def opened(pilot: Any, app: LabApp) -> AnchorsScreen:
    await ready(pilot, app)
    await pilot.press("enter")
    await until(pilot, lambda: app.screen.query_one("ChainReader").has_focus_within)
    await pilot.press("colon")
    await until(pilot, lambda: isinstance(app.screen, AnchorsScreen))
    screen = app.screen
    assert isinstance(screen, AnchorsScreen)
    await until(pilot, lambda: screen.is_mounted and screen.reader.document is not None)
    return screen


async def test_the_sentence_that_changes_the_answer_is_marked_and_n_goes_to_it(context: LabContext) -> None:
    trace_id = next(all_ids(context.store))
    place = add_rollouts(context.store.db, chain_of(context.store.db, trace_id))
    app = LabApp(context, mode="traces")
    async with app.run_test(size=NARROW) as pilot:
        screen = await opened(pilot, app)
        assert "student" in words(screen, "#lens-view") and "nats" in words(screen, "#lens-view")
        [mark] = screen.heat(0, 0, 10_000)
        assert mark.start == place and list(screen.heat(1, 0, 100)) == []
        await pilot.press("n")
        assert screen.anchors[screen.cursor].start == place
        assert "12: 100% of 6 with it, 0% of 6 without it" in words(screen, "#lens-token")
        await pilot.press("left")
        assert screen.cursor == 1
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, AnchorsScreen))


async def test_a_model_writes_from_each_sentence_and_can_be_stopped(
    context: LabContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on, stopped = asyncio.Event(), asyncio.Event()

    async def draw(
        _lab: Any,
        store: Any,
        chain: Chain,
        _ref: Any,
        _manager: Any,
        *,
        on_rollout: Callable[[int, int], None],
        **_: Any,
    ) -> Resampled:
        on_rollout(2, 9)
        try:
            await goes_on.wait()
        except asyncio.CancelledError:
            stopped.set()
            raise
        await asyncio.to_thread(lambda: add_rollouts(store.db, chain))
        _, found = await asyncio.to_thread(lambda: latest(store.db, chain))
        return Resampled(found, 9, 0, 0)

    monkeypatch.setattr(anchors, "resample", draw)
    app = LabApp(context, mode="traces")
    async with app.run_test(size=NARROW) as pilot:
        screen = await opened(pilot, app)
        assert "No model has written" in words(screen, "#lens-view")
        for stop in (True, False):
            await pilot.press("ampersand")
            await until(pilot, lambda: isinstance(app.screen, PickDialog))
            await pilot.press(*typed("base"), "enter")
            await until(pilot, lambda: "2 of 9 rollouts" in words(screen, "#lens-view"))
            if stop:
                await pilot.press("s")
                await stopped.wait()
                await until(pilot, lambda: not screen.running)
        goes_on.set()
        await until(pilot, lambda: bool(screen.anchors) and not screen.running)
        assert "sentences, at most" in words(screen, "#lens-view")
