"""A picture of each screen for README and documentation, from the real program: ``make screenshots``.

The demo runs in a temporary folder (minutes on a CPU), and the screens of its lab are driven by their keys.
``make screenshots LAB=DIR`` takes a lab that already went round the demo instead, and ``ONLY="traces train"`` some of
the pictures: all but those of Compare and of the lens need no model.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from pathlib import Path
from typing import cast

from textual.containers import VerticalScroll
from textual.pilot import Pilot
from textual.widgets import Label

from o1lab.app import LabApp
from o1lab.demo.headless import run_headless
from o1lab.lens.scoring import score_traces
from o1lab.paths import Lab, find_lab
from o1lab.serve.registry import list_models
from o1lab.settings import settings_of
from o1lab.train.recipes.recipe import Recipe
from screens.base.context import open_context
from screens.compare.screen import CompareScreen
from screens.traces.screen import TracesScreen
from screens.train.form import TrainForm

HERE = Path(__file__).parent
SIZE = (120, 34)
PATIENCE_S = 180


async def until(pilot: Pilot[int], *wanted: str) -> None:
    """Wait until the screen shows all that is wanted, in whatever case."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        await pilot.pause(0.2)
        shown = pilot.app.export_screenshot().replace("&#160;", " ").casefold()
        if all(text.casefold() in shown for text in wanted):
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"never seen: {[text for text in wanted if text.casefold() not in shown]}")


async def picture(pilot: Pilot[int], out: Path, name: str) -> None:
    await pilot.pause(0.5)
    (out / f"{name}.svg").write_text(pilot.app.export_screenshot(title=f"o1lab · {name}"), "utf-8")
    print(out / f"{name}.svg")


async def traces(pilot: Pilot[int]) -> None:
    await pilot.press("f2")
    await until(pilot, "accepted", "gold")
    await pilot.press("slash", *"reflect>=1", "enter")
    await until(pilot, "Wait")


async def lens(pilot: Pilot[int]) -> None:
    """Show how the student's losses on a chain differ from those of its base, at a surprise."""
    context = cast(LabApp, pilot.app).context
    refs = list_models(context.lab)
    models = [next(ref for ref in refs if ref.role == role) for role in ("base", "student")]
    await traces(pilot)
    chosen = cast(str, cast(TracesScreen, pilot.app.screen).target())
    await score_traces(context.lab, context.store, [chosen], models, context.servers)
    await pilot.press("percent_sign")
    await until(pilot, "against", "stand out")
    await pilot.press("n")


async def lab(pilot: Pilot[int]) -> None:
    await pilot.press("f1")
    await until(pilot, "What to do next", "datasets")


async def distill(pilot: Pilot[int]) -> None:
    await pilot.press("f3")
    await until(pilot, "problems", "statement")


async def evaluate(pilot: Pilot[int]) -> None:
    await pilot.press("f6")
    await until(pilot, "accuracy", "demo-sums")


async def transparency(pilot: Pilot[int]) -> None:
    await pilot.press("f7")
    await until(pilot, "O1-Journey (Part 2)", "Sources")


async def train(pilot: Pilot[int]) -> None:
    await pilot.press("f4")
    await until(pilot, "loss", "finished")


async def compare(pilot: Pilot[int]) -> None:
    await pilot.press("f5")
    await until(pilot, "teacher", "student", "base")
    await pilot.press(*"What is 964 + 494?", "enter")
    await until(pilot, "tok/s", "1458")
    deadline = time.monotonic() + PATIENCE_S
    while cast(CompareScreen, pilot.app.screen).talk.busy and time.monotonic() < deadline:
        await pilot.pause(0.5)


async def form(field: str, pilot: Pilot[int]) -> None:
    """Show the form of a training run from the section of a field on, with the focus on the field."""
    await pilot.press("f4")
    if not isinstance(pilot.app.screen, TrainForm):
        await until(pilot, "New run")
        await pilot.press("ctrl+n")
    await until(pilot, "Preflight")
    deadline = time.monotonic() + PATIENCE_S
    while not pilot.app.screen.query(f"#row-{field}") and time.monotonic() < deadline:
        await pilot.pause(0.2)
    shown = cast(TrainForm, pilot.app.screen)
    shown.set_focus(shown.row(field).editor)
    await pilot.pause(0.5)
    fields = shown.query_one("#fields", VerticalScroll)
    heading = next(one for one in fields.query(".section").results(Label) if str(one.render()) == section_of(field))
    fields.scroll_to_widget(heading, top=True, animate=False)


def section_of(field: str) -> str:
    return settings_of(Recipe)[field].section


PICTURES: dict[str, Callable[[Pilot[int]], Awaitable[None]]] = {
    "lab": lab,
    "traces": traces,
    "lens": lens,
    "distill": distill,
    "train": train,
    "compare": compare,
    "evaluate": evaluate,
    "transparency": transparency,
    "form-data": partial(form, "base"),
    "form-schedule": partial(form, "epochs"),
    "form-hardware": partial(form, "device"),
}


async def drive(lab: Lab, out: Path, names: Iterable[str]) -> None:
    """Write the pictures called ``names`` into ``out``."""
    app = LabApp(open_context(lab))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, "What to do next")
        for name in names:
            await PICTURES[name](pilot)
            await picture(pilot, out, name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lab", type=Path, nargs="?", help="a lab that went round the demo; none: a new one, trained")
    parser.add_argument("--out", type=Path, default=HERE, help="where the pictures go (default: beside this file)")
    parser.add_argument("--only", nargs="+", choices=list(PICTURES), default=list(PICTURES), metavar="NAME")
    given = parser.parse_args()
    if given.lab is not None:
        asyncio.run(drive(find_lab(given.lab), given.out, given.only))
        return
    with tempfile.TemporaryDirectory() as folder:
        demo = Path(folder) / "demo"
        run_headless(demo, progress=print)
        asyncio.run(drive(find_lab(demo), given.out, given.only))


if __name__ == "__main__":
    main()
