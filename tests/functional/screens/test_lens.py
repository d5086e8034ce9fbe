"""The token lens: heat, surprises, the difference of two models, scoring and its errors."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from o1lab.app import LabApp
from o1lab.errors import LabError
from o1lab.lens.scoring import Failure, Pass
from o1lab.widgets.dialogs import PickDialog
from screens.base.context import LabContext
from screens.traces import lens
from screens.traces.lens import LensScreen
from store import suitability, token_scores
from tests.functional.screens.test_traces import NARROW, ready, typed, until, words
from tests.support.lab_seed import all_ids, seeded_context
from tests.support.lens_lab import add_scores


@pytest.fixture
def context(tmp_path: Path) -> Iterator[LabContext]:
    found = seeded_context(tmp_path / "lab", 4)
    yield found
    found.store.close()


async def opened(pilot: Any, app: LabApp) -> LensScreen:
    await ready(pilot, app)
    await pilot.press("percent_sign")
    await until(pilot, lambda: any(isinstance(one, LensScreen) for one in app.screen_stack))
    screen = next(one for one in app.screen_stack if isinstance(one, LensScreen))
    await until(pilot, lambda: screen.is_mounted and screen.reader.document is not None)
    return screen


async def test_the_heat_is_behind_unlikely_tokens_and_n_goes_to_the_surprises(context: LabContext) -> None:
    trace_id = next(all_ids(context.store))
    add_scores(context.store.db, trace_id, "base")
    app = LabApp(context, mode="traces")
    async with app.run_test(size=NARROW) as pilot:
        screen = await opened(pilot, app)
        await until(pilot, lambda: screen.views)
        thought = screen.reader.document.thought if screen.reader.document else ""
        marks = list(screen.heat(0, 0, len(thought)))
        hot = {thought[mark.start : mark.end].strip() for mark in marks}
        assert "digits." in hot and "to" not in hot
        assert "loss: thought" in words(screen, "#lens-view")
        await pilot.press("n")
        token = screen.views[0].tokens[screen.cursor]
        assert token.loss >= 3.0 and thought[token.start : token.end] == token.text
        line = words(screen, "#lens-token")
        assert f"⟨{lens.shown(token.text)}⟩ {token.loss:.2f} nats" in line
        assert "likely: ␣the 61%  ⏎⏎ 22%  ␛[31m 5.0%" in line
        first = screen.cursor
        await pilot.press("n", "p")
        assert screen.cursor == first
        await pilot.press("right")
        assert screen.cursor == first + 1
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, LensScreen))


async def test_the_last_view_is_how_the_last_model_differs(context: LabContext) -> None:
    trace_id = next(all_ids(context.store))
    add_scores(context.store.db, trace_id, "base")
    add_scores(context.store.db, trace_id, "7f3a/100", scale=0.5)
    app = LabApp(context, mode="traces")
    async with app.run_test(size=NARROW) as pilot:
        screen = await opened(pilot, app)
        await until(pilot, lambda: len(screen.views) == 3)
        assert "7f3a/100 against base" in words(screen, "#lens-view")
        await pilot.press("n")
        token = screen.views[2].tokens[screen.cursor]
        assert token.loss <= -1.0
        assert f"{token.loss:+.2f} nats: {-2 * token.loss:.2f} before, {-token.loss:.2f} now" in words(
            screen, "#lens-token"
        )
        place = (token.part, token.start)
        await pilot.press("tab")
        assert screen.at == 0 and "base" in words(screen, "#lens-view")
        token = screen.views[0].tokens[screen.cursor]
        assert (token.part, token.start) == place


async def test_a_model_scores_the_chain_and_its_errors_are_reported(
    context: LabContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace_id = next(all_ids(context.store))
    asked: list[str] = []
    answers: list[Any] = [LabError("It does not start."), (Failure(trace_id, "m", "Too \x1b[31m long."),), ()]

    async def score(_lab: Any, store: Any, ids: list[str], refs: Any, _manager: Any, **_: Any) -> Pass:
        asked.append(refs[0].id)
        answer = answers.pop(0)
        if isinstance(answer, LabError):
            raise answer
        if not answer:
            await asyncio.to_thread(add_scores, store.db, ids[0], "base")
        return Pass(("m",), 1 - len(answer), 0, answer)

    monkeypatch.setattr(lens, "score_traces", score)
    app = LabApp(context, mode="traces")
    async with app.run_test(size=NARROW) as pilot:
        screen = await opened(pilot, app)
        for number in range(3):
            await until(pilot, lambda: isinstance(app.screen, PickDialog))
            await pilot.press(*typed("base"), "enter")
            await until(pilot, lambda number=number: len(asked) == number + 1 and app.screen is screen)
            await until(pilot, lambda: not screen.running)
            if number < 2:
                await pilot.press("ampersand")
        await until(pilot, lambda: len(screen.views) == 1)
        said = [one.message for one in app._notifications]
        assert any("It does not start." in one for one in said) and any("Too ␛[31m long." in one for one in said)
        assert asked == [context.config.base] * 3


async def test_scoring_can_be_stopped(context: LabContext, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def score(*_: Any, **__: Any) -> Pass:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    monkeypatch.setattr(lens, "score_traces", score)
    app = LabApp(context, mode="traces")
    async with app.run_test(size=NARROW) as pilot:
        screen = await opened(pilot, app)
        await until(pilot, lambda: isinstance(app.screen, PickDialog))
        await pilot.press(*typed("base"), "enter")
        await begun.wait()
        await until(pilot, lambda: "scores the chain" in words(screen, "#lens-view"))
        await pilot.press("s")
        await ended.wait()
        await until(pilot, lambda: not screen.running)
        assert "No model has scored" in words(screen, "#lens-view")


async def test_a_student_is_chosen_and_the_traces_show_its_figures(context: LabContext) -> None:
    trace_id = next(all_ids(context.store))
    scores = add_scores(context.store.db, trace_id, "7f3a/100")
    app = LabApp(context, mode="traces")
    async with app.run_test(size=NARROW) as pilot:
        screen = await opened(pilot, app)
        await pilot.press("dollar_sign")
        await until(pilot, lambda: isinstance(app.screen, PickDialog))
        await pilot.press("enter")
        await until(pilot, lambda: suitability.chosen(context.store.db) is not None)
        assert suitability.chosen(context.store.db) == suitability.Student(scores.model, "7f3a/100")
        await until(pilot, lambda: app.screen is screen)
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, LensScreen))
        await pilot.press("slash", *"nll", "greater_than_sign", "equals_sign", "0", "enter")
        await until(pilot, lambda: app.screen.table.total == 1 and app.screen.shown is not None)
        await until(pilot, lambda: "for 7f3a/100: nll" in words(app.screen, "#origin"))


async def test_a_server_without_entropies_has_heat_all_the_same(context: LabContext) -> None:
    trace_id = next(all_ids(context.store))
    scores = add_scores(context.store.db, trace_id, "5/m")
    scores.tokens["entropy"] = [None] * len(scores.tokens["text"])
    token_scores.add(context.store.db, [scores])
    app = LabApp(context, mode="traces")
    async with app.run_test(size=NARROW) as pilot:
        screen = await opened(pilot, app)
        await until(pilot, lambda: screen.views)
        await pilot.press("n")
        assert "entropy not known" in words(screen, "#lens-token")
