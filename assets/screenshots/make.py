"""The pictures of the README, from the real program: ``make screenshots``.

A demo lab is seeded in a temporary folder, a student trains on it for real (minutes on a CPU), and the screens are
driven by their keys. With ``LAB`` as argument, a lab that already went round the demo is used instead.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from textual.pilot import Pilot

from o1lab.app import LabApp
from o1lab.demo.headless import demo_recipe
from o1lab.demo.seed import seed_demo
from o1lab.locations import Lab
from o1lab.train import launch
from screens.context import open_context
from store import open_store
from store.runs import all_runs

HERE = Path(__file__).parent
SIZE = (120, 34)
PATIENCE_S = 180


async def until(pilot: Pilot[int], *wanted: str) -> None:
    """Wait until the screen shows all that is wanted."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        await pilot.pause(0.2)
        shown = pilot.app.export_screenshot().replace("&#160;", " ")
        if all(text in shown for text in wanted):
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"never seen: {[text for text in wanted if text not in shown]}")


async def picture(pilot: Pilot[int], name: str) -> None:
    await pilot.pause(0.5)
    (HERE / f"{name}.svg").write_text(pilot.app.export_screenshot(title=f"o1lab · {name}"), "utf-8")
    print(f"{name}.svg")


async def drive(lab: Lab) -> None:
    app = LabApp(open_context(lab))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, "What to do next")
        await pilot.press("f2")
        await until(pilot, "accepted", "gold")
        await pilot.press("slash", *"reflect>=1", "enter")
        await until(pilot, "Wait")
        await picture(pilot, "traces")
        await pilot.press("f4")
        await until(pilot, "loss", "finished")
        await picture(pilot, "train")
        await pilot.press("f5")
        await until(pilot, "teacher", "student", "base")
        await pilot.press(*"What is 964 + 494?", "enter")
        await until(pilot, "tok/s", "1458")
        await pilot.pause(20)
        await picture(pilot, "compare")


def main() -> None:
    if len(sys.argv) > 1:
        asyncio.run(drive(Lab(Path(sys.argv[1]).absolute())))
        return
    with tempfile.TemporaryDirectory() as folder:
        seeded = seed_demo(Path(folder) / "demo", progress=print)
        store = open_store(seeded.lab.database)
        trained = bool(all_runs(store.db))
        store.close()
        if not trained:
            launch.launch(seeded.lab, demo_recipe())
        asyncio.run(drive(seeded.lab))


if __name__ == "__main__":
    main()
