"""The line below a chain: where models have its answer, asking for it, stopping."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from o1lab.app import LabApp
from o1lab.errors import LabError
from o1lab.lens.convergence import AnswerPrompt
from o1lab.lens.forcing import ForcedPass, chain_of
from o1lab.widgets.dialogs import PickDialog
from screens.base.context import LabContext
from screens.traces import converging
from screens.traces.converging import AnswersLine
from store import continuations
from store.continuations import ForcedAnswer
from store.sqlite import Database
from tests.functional.screens.test_traces import NARROW, ready, typed, until
from tests.support.lab_seed import all_ids, seeded_context
from tests.support.piloted import burst


@pytest.fixture
def context(tmp_path: Path) -> Iterator[LabContext]:
    found = seeded_context(tmp_path / "lab", 4)
    yield found
    found.store.close()


def add_answers(db: Database, trace_id: str) -> int:
    """Store answers that are right from the second move on, and overwritten once; return the number of places."""
    chain = chain_of(db, trace_id)
    right = ["0"] * 2 + [chain.golds[0]] * (len(chain.cuts) - 2)
    right[3] = "0"
    continuations.add_answers(
        db,
        [
            ForcedAnswer(chain.key, "m", AnswerPrompt.of(chain).how, cut, "student\x1b[31m", 20 + cut, text, text)
            for cut, text in zip(chain.cuts, right, strict=True)
        ],
    )
    return len(chain.cuts)


async def reading(pilot: Any, app: LabApp) -> AnswersLine:
    """Go to the chain under the cursor and return its line."""
    await ready(pilot, app)
    await pilot.press("enter")
    await until(pilot, lambda: app.screen.query_one("ChainReader").has_focus_within)
    return app.screen.query_one(AnswersLine)


def shown(line: AnswersLine) -> str:
    return line.render().plain if line.display else ""


async def test_what_is_known_of_a_chain_is_below_it(context: LabContext) -> None:
    first, *_ = all_ids(context.store)
    places = add_answers(context.store.db, first)
    app = LabApp(context, mode="traces")
    async with app.run_test(size=NARROW) as pilot:
        line = await reading(pilot, app)
        await until(pilot, lambda: "stable from" in shown(line))
        text = shown(line)
        assert text.startswith("✗✗✓✗✓") and f"right from 2/{places - 1}  stable from 4/{places - 1}, " in text
        assert "overwritten 1x" in text and "student␛[31m" in text
        await pilot.press("full_stop")
        await until(pilot, lambda: not line.display)


async def test_a_model_answers_in_the_background_and_its_errors_are_reported(
    context: LabContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes: list[Any] = [LabError("It does not start."), None]
    goes_on = asyncio.Event()

    async def force(
        _lab: Any, store: Any, chains: Any, ref: Any, _manager: Any, *, on_answer: Callable[[int, int], None]
    ) -> ForcedPass:
        if (error := outcomes.pop(0)) is not None:
            raise error
        on_answer(2, 7)
        await goes_on.wait()
        await asyncio.to_thread(lambda: add_answers(store.db, chains[0].name))
        return ForcedPass("m", 7, 0, ())

    monkeypatch.setattr(converging, "force_answers", force)
    app = LabApp(context, mode="traces")
    async with app.run_test(size=NARROW) as pilot:
        line = await reading(pilot, app)
        for _ in range(2):
            await pilot.press("semicolon")
            await until(pilot, lambda: isinstance(app.screen, PickDialog))
            await pilot.press(*typed("base"), "enter")
            await until(pilot, lambda: not isinstance(app.screen, PickDialog))
        await until(pilot, lambda: "2 of 7 answers" in shown(line))
        assert any("It does not start." in one.message for one in app._notifications)
        await pilot.press("J")  # the reader goes on meanwhile
        goes_on.set()
        await until(pilot, lambda: "stable from" in shown(line))


async def test_answering_can_be_stopped(context: LabContext, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()
    asked: list[str] = []

    async def force(_lab: Any, _store: Any, chains: Any, *_: Any, **__: Any) -> ForcedPass:
        asked.extend(chain.name for chain in chains)
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    monkeypatch.setattr(converging, "force_answers", force)
    app = LabApp(context, mode="traces")
    async with app.run_test(size=NARROW) as pilot:
        await ready(pilot, app)
        line = app.screen.query_one(AnswersLine)
        burst(app, "j", "semicolon")  # the chain of the second row has not been read yet
        await until(pilot, lambda: isinstance(app.screen, PickDialog))
        await pilot.press(*typed("base"), "enter")
        await begun.wait()
        assert asked == [list(all_ids(context.store))[1]]
        assert app.screen.has_class("-reading"), "the line is below the chain"
        await until(pilot, lambda: "s stops" in shown(line))
        await pilot.press("s")
        await ended.wait()
        await until(pilot, lambda: not line.display)
