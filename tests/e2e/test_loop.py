"""Once round the loop in a real terminal: annotate, train, SIGKILL the app, reopen, compare."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from o1lab.demo.seed import seed_demo
from o1lab.models import STUDENT, resolve_base
from o1lab.paths import Lab
from store import annotations, open_store, traces
from store.filters import TraceQuery
from tests.support.declared_files import undeclared
from tests.support.programs import program
from tests.terminal.tmux import Terminal

pytestmark = [pytest.mark.terminal, pytest.mark.model, pytest.mark.slow, pytest.mark.timeout(900)]

STEPS = 6


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    resolve_base(STUDENT)  # `make setup` has fetched it
    return seed_demo(tmp_path / "demo").lab.root


def helped(screen: str) -> str:
    """The field whose help stands at the foot of the form: the first word below the rule."""
    lines = screen.splitlines()
    rules = [number for number, line in enumerate(lines) if line.startswith("─" * 20)]
    words = lines[rules[-1] + 1].split("  ") if rules and rules[-1] + 1 < len(lines) else []
    return words[0].strip() if words else ""


def walk_to(terminal: Terminal, field: str, most: int = 40) -> None:
    """Press tab until the form explains ``field``; each press waits for its own answer, so that none runs ahead."""
    for _ in range(most):
        now = helped(terminal.wait_for(lambda screen: bool(helped(screen))))
        if now == field:
            return
        terminal.keys("Tab")
        terminal.wait_for(lambda screen, left=now: helped(screen) not in ("", left))
    raise AssertionError(f"tab never led to {field}:\n{terminal.screen()}")


def test_annotate_train_kill_reopen_and_compare(lab: Path) -> None:
    command = program(lab=lab)
    with Terminal(command, env={"O1LAB_ANNOTATOR": "e2e"}) as terminal:
        terminal.wait_for("What to do next", "Train a student on col-add-400")

        # Annotate: a decision and its undo, then one that stays.
        terminal.keys("F2")
        terminal.wait_for("12 to do", "▸ ✓ ·")
        terminal.keys("Enter")
        terminal.wait_for("gold", "solution")
        terminal.keys("x")
        terminal.wait_for(" R 1 ", "11 to do")
        terminal.keys("u")
        terminal.wait_for("12 to do")
        terminal.keys("x")
        terminal.wait_for(" R 1 ", "11 to do")

        # Train a few steps on the real student.
        terminal.keys("F4")
        terminal.wait_for("No runs yet")
        terminal.keys("C-n")
        terminal.wait_for("Data and model")
        walk_to(terminal, "steps")
        terminal.keys("C-u")
        terminal.wait_for("by epochs")  # what an empty field says
        terminal.type(str(STEPS))
        terminal.wait_for(lambda screen: re.search(rf"steps +{STEPS}\b", screen) is not None)
        terminal.keys("C-r")
        terminal.wait_for("Ready. Press enter to launch", seconds=300)
        terminal.keys("Enter")
        terminal.wait_for(f"/{STEPS}", seconds=300)

        # SIGKILL the app while the run goes on; nothing confirmed is lost.
        os.kill(terminal.pid(str(lab)), signal.SIGKILL)
        terminal.wait_for("[left 137]")

    store = open_store(lab / "lab.db")
    (rejected,) = traces.ids(store.db, TraceQuery.parse("decision:reject"))
    assert annotations.of_trace(store.db, rejected)[-1].annotator == "e2e"
    store.close()

    with Terminal(command, size=(120, 40)) as terminal:
        terminal.wait_for("f1 Lab")  # on the screen that was remembered last
        terminal.keys("F1")
        terminal.wait_for("What to do next", "Open run")
        terminal.keys("F4")
        terminal.wait_for("finished", f"{STEPS}/{STEPS}", seconds=300)

        # Teacher, student and base answer side by side.
        terminal.keys("F5")
        terminal.wait_for("teacher", "student", "base", "enter sends")
        terminal.type("What is 964 + 494?")
        terminal.keys("Enter")
        terminal.wait_for("1458", lambda screen: screen.count("tok/s") + screen.count("ttft") >= 3, seconds=300)
        terminal.keys("C-q")
        terminal.wait_for("[left 0]")
    assert undeclared(Lab(lab)) == []
