"""The loss plot and the small dialogs under the keyboard."""

from __future__ import annotations

import asyncio
import math
from typing import ClassVar

import numpy as np
import pytest
from textual import events, work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widget import Widget

from o1lab.widgets import typed_ahead
from o1lab.widgets.dialogs import ConfirmDialog, PreviewDialog, PromptDialog
from o1lab.widgets.loss_plot import Curve, LossPlot
from o1lab.widgets.plot_style import X_AXES, XFormatter
from o1lab.widgets.text_pane import EmptyState
from o1lab.widgets.typed_ahead import TypedAheadApp
from screens.base.screen import task
from tests.support.compare_lab import until
from tests.support.piloted import burst


class Plotting(App[None]):
    def compose(self) -> ComposeResult:
        yield LossPlot("loss")

    def on_mount(self) -> None:
        self.plot.focus()

    @property
    def plot(self) -> LossPlot:
        return self.query_one(LossPlot)

    def picture(self) -> str:
        return self.export_screenshot().replace("&#160;", " ")


async def drawn(pilot: Pilot[None], plot: LossPlot) -> None:
    """Until no redraw is due."""
    await pilot.pause()
    while plot._timer is not None:
        await pilot.pause()
    await pilot.pause()


async def test_an_empty_plot_says_so_and_takes_keys() -> None:
    app = Plotting()
    async with app.run_test(size=(80, 24)) as pilot:
        await drawn(pilot, app.plot)
        assert "No steps yet." in app.picture()
        await pilot.press("plus", "minus", "h", "l", "0", "L", "S")
        assert app.plot.names == []


async def test_series_carry_letters_and_last_values() -> None:
    app = Plotting()
    async with app.run_test(size=(80, 24)) as pilot:
        app.plot.set_series("7f3a", [1, 2, 3], [2.0, 1.0, 0.5])
        app.plot.extend("51[b]c0", [1, 2], [3.0, math.nan])
        await drawn(pilot, app.plot)
        picture = app.picture()
        assert "No steps yet." not in picture
        for wanted in ("7f3a 0.5", "51[b]c0 nan", "A", "B", "!"):
            assert wanted in picture
        app.plot.remove_series("7f3a")
        app.plot.clear()
        await drawn(pilot, app.plot)
        assert "No steps yet." in app.picture()


async def test_zoom_pan_and_reset_move_over_the_steps() -> None:
    app = Plotting()
    async with app.run_test(size=(80, 24)) as pilot:
        steps = list(range(1, 1001))
        app.plot.set_series("a", steps, [1 / step for step in steps])
        await drawn(pilot, app.plot)
        await pilot.press("plus", "plus")
        assert app.plot.view is not None
        left, right = app.plot.view
        assert right - left == pytest.approx(999 / 4)
        await pilot.press("l")
        assert app.plot.view[0] > left
        for _ in range(20):
            await pilot.press("l")
        assert app.plot.view[1] == pytest.approx(1000)
        for _ in range(40):
            await pilot.press("h")
        assert app.plot.view[0] == pytest.approx(1)
        await drawn(pilot, app.plot)
        await pilot.press("0")
        assert app.plot.view is None


@pytest.mark.parametrize(
    ("axis", "low", "high", "labels"),
    [
        ("steps", 1, 2, ["1", "2"]),
        ("steps", 0, 3, ["0", "1", "2", "3"]),
        ("steps", 1, 100, ["20", "40", "60", "80", "100"]),
        ("tokens", 10_000, 10_200, ["10k"]),
        ("time", 0.3, 0.9, ["0s", "1s"]),
    ],
)
def test_no_label_of_the_x_axis_is_there_twice(axis: str, low: float, high: float, labels: list[str]) -> None:
    formatter = XFormatter(X_AXES[axis])
    ticks, found = formatter.get_ticks_and_labels(low, high)
    assert found == labels and len(ticks) == len(labels)


async def test_log_scale_leaves_out_what_has_no_logarithm() -> None:
    app = Plotting()
    async with app.run_test(size=(80, 24)) as pilot:
        app.plot.set_series("a", [1, 2, 3, 4], [10.0, 0.0, -1.0, 0.001])
        await pilot.press("L")
        await drawn(pilot, app.plot)
        assert app.plot._log
        assert "· log" in app.picture()
        assert "0.01" in app.picture()


async def test_many_points_are_thinned_before_they_are_drawn() -> None:
    app = Plotting()
    async with app.run_test(size=(80, 24)) as pilot:
        values = [1.0] * 100_000
        values[51_234] = 9.0
        app.plot.set_series("a", range(100_000), values)
        await drawn(pilot, app.plot)
        data = app.plot._plot._datasets
        assert all(len(points.x) <= 2 * 80 + 2 for points in data)
        assert max(max(points.y) for points in data) == 9.0


@pytest.mark.parametrize("weight", [0.0, 0.5, 0.9])
def test_a_growing_average_is_a_weighted_mean_of_the_finite_values(weight: float) -> None:
    values = [2.0, math.nan, 1.5, math.inf, 0.2, 0.3]
    curve, expected, finite = Curve(), [], []
    for step, value in enumerate(values):
        curve.extend([step], [value])
        curve.smoothed(weight)
        if math.isfinite(value):
            finite.append(value)
            expected.append(np.average(finite, weights=weight ** np.arange(len(finite))[::-1]))
        else:
            expected.append(value)
    np.testing.assert_allclose(curve.smoothed(weight), expected)


def test_the_average_of_a_constant_is_the_constant_from_the_start() -> None:
    curve = Curve()
    curve.extend(range(50), [3.0] * 50)
    assert curve.smoothed(0.95).tolist() == pytest.approx([3.0] * 50)


def test_the_average_follows_its_formula_and_skips_gaps() -> None:
    curve = Curve()
    curve.extend(range(3), [1.0, math.nan, 0.0])
    assert curve.smoothed(0.5).tolist() == pytest.approx([1.0, math.nan, (0.5 * 0.5 * 1.0) / (1 - 0.25)], nan_ok=True)


class Asking(App[None]):
    def __init__(self, dialog: Screen[object]) -> None:
        super().__init__()
        self.dialog = dialog
        self.answers: list[object] = []
        self.pressed: list[str] = []

    def on_key(self, event: events.Key) -> None:
        self.pressed.append(event.key)

    def compose(self) -> ComposeResult:
        yield EmptyState("No [b]traces[/b] yet.", "Press i to import.")

    def on_mount(self) -> None:
        self.push_screen(self.dialog, self.answers.append)

    def picture(self) -> str:
        return self.export_screenshot().replace("&#160;", " ")


async def answer(dialog: Screen[object], *keys: str) -> object:
    app = Asking(dialog)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await pilot.press(*keys)
        await pilot.pause()
        assert len(app.answers) == 1
        assert "No [b]traces[/b] yet." in app.picture()
        return app.answers[0]


@pytest.mark.parametrize(
    ("danger", "keys", "expected"),
    [
        (False, ["enter"], True),
        (False, ["y"], True),
        (False, ["n"], False),
        (False, ["escape"], False),
        (False, ["right", "enter"], False),
        (True, ["enter"], False),
        (True, ["left", "enter"], True),
        (True, ["y"], True),
    ],
)
async def test_confirm(danger: bool, keys: list[str], expected: bool) -> None:
    assert await answer(ConfirmDialog("Reject 37?", "[b]37[/b]", danger=danger), *keys) is expected


NAMES = ["good check", "wrong carry", "check skipped"]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ([*"new", "enter"], "new"),
        (["escape"], None),
        ([*"carry", "tab", "enter"], "wrong carry"),
        ([*"check", "down", "down", "enter", "enter"], "good check"),
        ([*"CHE", "down", "enter", "enter"], "check skipped"),
        (["up", "enter", "enter"], "check skipped"),
    ],
)
async def test_prompt(keys: list[str], expected: str | None) -> None:
    assert await answer(PromptDialog("Tag", completions=NAMES), *keys) == expected


async def after_burst(dialog: Screen[object], *keys: str) -> Asking:
    """The app after ``keys`` came all at once, as a paste over a slow connection brings them."""
    app = Asking(dialog)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        burst(app, *keys)
        await pilot.pause()
    return app


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ([*"new", "enter"], "new"),
        ([*"car", "enter"], "car"),
        (["ctrl+u", *"new", "enter"], "new"),
        ([*"ab", "left", "backspace", "c", "enter"], "cb"),
        ([*"ca", "tab", "enter"], "wrong carry"),
        ([*"check", "down", "down", "enter", "enter"], "good check"),
        (["enter", *"late"], ""),
    ],
)
async def test_prompt_takes_a_burst_of_keys_in_order(keys: list[str], expected: str) -> None:
    app = await after_burst(PromptDialog("Tag", completions=NAMES), *keys)
    assert app.answers == [expected]


async def test_prompt_leaves_what_is_typed_behind_enter_to_the_screen_below() -> None:
    app = await after_burst(PromptDialog("Tag", value="carry"), "ctrl+u", *"x", "enter", "b")
    assert (app.answers, app.pressed) == (["x"], ["b"])


class Place(Widget, can_focus=True):
    """What has the focus before a dialog opens."""


class TypedAhead(TypedAheadApp):
    """m opens a dialog, x decides on something; both are written down in the order in which they happen."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("m", "ask", "Ask"), Binding("x", "reject", "Reject")]

    def __init__(self) -> None:
        super().__init__()
        self.happened: list[str | None] = []

    def compose(self) -> ComposeResult:
        with Vertical(), Vertical(), Vertical():
            yield Place()

    def on_mount(self) -> None:
        self.query_one(Place).focus()

    def action_reject(self) -> None:
        self.happened.append("reject")

    @work
    async def action_ask(self) -> None:
        self.happened.append(await self.push_screen_wait(PromptDialog("Note")))


@pytest.mark.parametrize("turns", range(1, 9))
async def test_enter_never_overtakes_letters_typed_while_the_prompt_opens(turns: int) -> None:
    app = TypedAhead()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        burst(app, "m")
        for _ in range(turns):  # of the loop: the other keys find the dialog in each state of opening
            await asyncio.sleep(0)
        burst(app, "x", "y", "enter", "x")
        await until(pilot, lambda: {"xy", "y"} & {*app.happened} and app.happened[-1] == "reject", "the last key")
    # At first x may still come before the dialog; it never decides after an enter that was typed behind it.
    assert app.happened in (["xy", "reject"], ["reject", "y", "reject"])


class ReadsFirst(TypedAhead):
    """m reads something before its dialog opens, as most actions of screens do; n finds nothing to ask about."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("n", "nothing", "Nothing")]

    def __init__(self) -> None:
        super().__init__()
        self.may_open = asyncio.Event()

    @task(dialog=True)
    async def action_ask(self) -> None:
        await self.may_open.wait()
        self.happened.append(await self.push_screen_wait(PromptDialog("Note")))

    @task(dialog=True)
    async def action_nothing(self) -> None:
        await self.may_open.wait()


@pytest.mark.parametrize("turns", [1, 3, 9, 30])
async def test_keys_wait_for_a_dialog_whose_action_reads_something_first(turns: int) -> None:
    app = ReadsFirst()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        burst(app, "m")
        for _ in range(turns):
            await asyncio.sleep(0)
        burst(app, "x", "y", "enter", "x")
        for _ in range(20):
            await asyncio.sleep(0)
        assert app.happened == []
        app.may_open.set()
        await until(pilot, lambda: len(app.happened) == 2, "both")
    assert app.happened == ["xy", "reject"]


async def test_keys_go_on_when_an_action_opens_no_dialog() -> None:
    app = ReadsFirst()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        burst(app, "n", "x")
        for _ in range(20):
            await asyncio.sleep(0)
        assert app.happened == []
        app.may_open.set()
        await until(pilot, lambda: app.happened == ["reject"], "the key behind it")


async def test_keys_do_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typed_ahead, "HOLD_S", 0.05)
    app = ReadsFirst()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        burst(app, "n", "x")
        await until(pilot, lambda: app.happened == ["reject"], "the key, although the action goes on")
        app.may_open.set()


async def test_prompt_completes_the_last_of_several_words() -> None:
    dialog = PromptDialog("Tags", value="good check, ", completions=NAMES, multiple=True)
    assert await answer(dialog, *"ca", "tab", "enter") == "good check, wrong carry"


@pytest.mark.parametrize(
    ("action", "keys", "expected"),
    [
        ("send", ["enter"], True),
        ("send", ["escape"], False),
        ("", ["enter", "q"], False),
        ("", ["j", "G", "escape"], False),
    ],
)
async def test_preview(action: str, keys: list[str], expected: bool) -> None:
    assert await answer(PreviewDialog("Prompt", "line\n" * 500, action=action), *keys) is expected


async def test_dialogs_show_what_they_are_given_literally() -> None:
    for dialog in (
        ConfirmDialog("[b]q[/b]", "\x1b[2J"),
        PromptDialog("[b]q[/b]", completions=["[i]x[/i]\x1b"]),
        PreviewDialog("[b]q[/b]", "[i]x[/i]\x1b]0;t\x07", action="[u]"),
    ):
        app = Asking(dialog)
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.pause()
            assert "[b]q[/b]" in app.picture()
            assert "␛" in app.picture()
