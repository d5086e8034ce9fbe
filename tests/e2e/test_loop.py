"""Once round the loop in a real terminal: annotate, train, SIGKILL the app, reopen, compare."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from o1lab.demo.seed import seed_demo
from o1lab.models import STUDENT, resolve_base
from store import annotations, open_store, traces
from store.query import parse_query
from tests.terminal.tmux import Terminal

pytestmark = [pytest.mark.terminal, pytest.mark.model, pytest.mark.slow, pytest.mark.timeout(900)]

STEPS = 6


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    resolve_base(STUDENT)  # `make setup` has fetched it
    return seed_demo(tmp_path / "demo").lab.root


def press_until(terminal: Terminal, key: str, seen: Callable[[str], bool], most: int = 40) -> None:
    """Press ``key``, each time waiting for the screen to answer, until ``seen``."""
    for _ in range(most):
        before = terminal.screen()
        if seen(before):
            return
        terminal.keys(key)
        terminal.wait_for(lambda now, before=before: now != before)
    raise AssertionError(f"{key} never led there:\n{terminal.screen()}")


def helps_with(field: str) -> Callable[[str], bool]:
    """Whether the help at the foot of the form, above the footer, is that of ``field``."""
    return lambda screen: any(line.startswith(f" {field}  ") for line in screen.splitlines()[-5:-1])


def test_annotate_train_kill_reopen_and_compare(lab: Path) -> None:
    command = [sys.executable, "-P", "-m", "o1lab", "--lab", str(lab)]
    with Terminal(command, env={"O1LAB_ANNOTATOR": "e2e"}) as terminal:
        terminal.wait_for("What to do next", "Train a student on col-add-400")

        # Annotate: a decision and its undo, then one that stays.
        terminal.keys("F2")
        terminal.wait_for("400 accepted")
        terminal.keys("Enter")
        terminal.wait_for("gold", "solution")
        terminal.keys("x")
        terminal.wait_for("399 accepted", "1 rejected")
        terminal.keys("u")
        terminal.wait_for("400 accepted")
        terminal.keys("x")
        terminal.wait_for("399 accepted", "1 rejected")

        # Train a few steps on the real student.
        terminal.keys("F4")
        terminal.wait_for("No runs yet")
        terminal.keys("a")
        terminal.wait_for("What to learn")
        press_until(terminal, "Tab", helps_with("steps"))
        terminal.keys("C-u")
        terminal.type(str(STEPS))
        terminal.keys("C-r")
        terminal.wait_for("Ready. Press enter to launch", seconds=300)
        terminal.keys("Enter")
        terminal.wait_for(f"/{STEPS}", seconds=300)

        # SIGKILL the app while the run goes on; nothing confirmed is lost.
        os.kill(terminal.pid(str(lab)), signal.SIGKILL)
        terminal.wait_for("[left 137]")

    store = open_store(lab / "lab.db")
    (rejected,) = traces.ids(store.db, parse_query("decision:reject"))
    assert annotations.of_trace(store.db, rejected)[-1].annotator == "e2e"
    store.close()

    with Terminal(command, size=(120, 40)) as terminal:
        terminal.wait_for("What to do next", "Look at run")
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
