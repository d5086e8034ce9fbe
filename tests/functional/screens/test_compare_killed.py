"""Another o1lab is killed while Compare waits for an answer: what its person saw is in the lab."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from textual.pilot import Pilot

from o1lab.paths import Lab
from o1lab.widgets.dialogs import PickDialog
from screens.compare.edit_dialog import EditDialog
from screens.compare.screen import CompareScreen
from store.conversations import Span
from tests.support.compare_lab import answered, comparing, lab_with, saved, shown, text_of, until
from tests.support.continuing import CONTINUATION, Stalling, started_in
from tests.support.fault_server import ANSWER, FaultServer

ASKS = """
async with comparing(Lab(Path(sys.argv[1])), tuple(sys.argv[2:])) as (pilot, screen):
    await ask(pilot, screen, "Is this kept?")
    await until(pilot, lambda: "Is this kept?" in text_of(screen, 0), "the question in its pane")
"""
GOES_ON = (
    ASKS
    + """
    await answered(pilot, screen)
    screen.panes.focus_current()
    await pilot.press("ctrl+e")
    await until(pilot, lambda: isinstance(pilot.app.screen, EditDialog) and len(pilot.app.screen.models), "the dialog")
    pilot.app.screen.put_cursor(len("The answer "))
    await pilot.press(*"Hm")
    await pilot.press("ctrl+r")
    await until(pilot, lambda: "The answer Hmand" in text_of(screen, 0), "the first word")
"""
)
CHILD = """
import asyncio, sys
from pathlib import Path
from o1lab.paths import Lab
from screens.compare.edit_dialog import EditDialog
from tests.support.compare_lab import answered, ask, comparing, text_of, until

async def main():
{body}
        print("shown", flush=True)
        await until(pilot, lambda: False, "the end")

asyncio.run(main())
"""
BEGUN = "The answer Hm"


def killed(lab: Lab, body: str, *models: str, when: Callable[[], bool] = lambda: True) -> None:
    """Another o1lab on ``lab`` runs ``body``; it is killed as soon as it has done it and ``when`` holds."""
    root = Path(__file__).parents[3]
    code = CHILD.replace("{body}", "\n".join(f"    {line}" for line in body.splitlines()))
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(lab.root), *models],
        stdout=subprocess.PIPE,
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"shown\n"
        while not when():
            assert child.poll() is None
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert child.stdout is not None
        child.stdout.close()


async def reopen(pilot: Pilot[int], screen: CompareScreen) -> None:
    await pilot.press("ctrl+o")
    await until(pilot, lambda: isinstance(pilot.app.screen, PickDialog), "the dialog")
    await pilot.press("enter")
    await until(pilot, lambda: screen.controller.turn == 1, "the conversation")
    await until(pilot, lambda: "Is this kept?" in text_of(screen, 0), "the question")
    await pilot.press("escape")


async def test_no_prompt_that_was_shown_as_sent_is_lost(tmp_path: Path) -> None:
    with FaultServer("hang") as left, FaultServer("hang") as right:
        lab = lab_with(tmp_path / "lab", {"left": left, "right": right})
        await asyncio.to_thread(killed, lab, ASKS, "left", "right")
        assert [m.content for m in saved(lab)] == ["Is this kept?"]
        left.mode = right.mode = "ok"
        async with comparing(lab, ("left", "right")) as (pilot, screen):
            await reopen(pilot, screen)
            await pilot.press("r")
            await answered(pilot, screen)
            assert "".join(ANSWER) in text_of(screen, 0)


async def test_a_branch_keeps_what_had_arrived_and_a_model_goes_on_from_there(tmp_path: Path) -> None:
    with Stalling() as server:
        lab = lab_with(tmp_path / "lab", {})
        model = started_in(lab, server)

        def arrived() -> bool:
            return (saved(lab)[-1].raw or "").endswith(CONTINUATION[0])

        await asyncio.to_thread(killed, lab, GOES_ON, model, when=arrived)
        question, before, branch = saved(lab)
        assert (question.content, question.state) == ("Is this kept?", "complete")
        whole = "".join(ANSWER)
        assert (before.raw, before.state, before.shown) == (whole, "complete", False)
        assert before.spans == (Span(0, len(whole), "model", model),)
        assert (branch.raw, branch.state, branch.shown) == (BEGUN + CONTINUATION[0], "stopped", True)
        at, end = len("The answer "), len(BEGUN)
        assert [(one.start, one.end, one.kind) for one in branch.spans] == [
            (0, at, "model"), (at, end, "person"), (end, end + len(CONTINUATION[0]), "model"),
        ]  # fmt: skip
        server.release.set()
        async with comparing(lab, (model,)) as (pilot, screen):
            await reopen(pilot, screen)
            assert "2/2" in shown(pilot) and "stopped" in shown(pilot)
            await pilot.press("ctrl+e")
            await until(pilot, lambda: isinstance(pilot.app.screen, EditDialog), "the dialog")
            dialog = pilot.app.screen
            assert isinstance(dialog, EditDialog) and dialog.text == branch.raw
            await until(pilot, lambda: dialog.models, "the models of the lab")
            dialog.put_cursor(len(dialog.text))
            await pilot.press("ctrl+r")
            await until(pilot, lambda: pilot.app.screen is screen, "the screen")
            await answered(pilot, screen)
        assert server.requests[-1]["messages"][-1]["content"] == branch.raw
        *unchanged, last = saved(lab)
        assert [one.raw for one in unchanged] == [None, whole, branch.raw]
        assert (last.raw, last.state) == (f"{branch.raw}{''.join(CONTINUATION)}", "complete")
