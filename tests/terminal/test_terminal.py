"""The real program in a real terminal: it opens, leaves cleanly, and says when there is too little room."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from store import conversations, open_store
from tests.support.fault_server import FaultServer
from tests.terminal.tmux import Terminal

pytestmark = pytest.mark.terminal
PROGRAM = [sys.executable, "-P", "-m", "o1lab"]


@pytest.fixture
def lab(tmp_path: Path) -> list[str]:
    subprocess.run([*PROGRAM, "init", str(tmp_path / "lab")], check=True, capture_output=True)
    return [*PROGRAM, "--lab", str(tmp_path / "lab")]


def test_it_opens_in_80_by_24_and_leaves_the_terminal_as_it_was(lab: list[str]) -> None:
    with Terminal(lab) as terminal:
        screen = terminal.wait_for("LAB", "What to do next", "Import chains")
        assert "f2 Traces" in screen
        terminal.keys("C-q")
        assert "LAB" not in terminal.wait_for("[left 0]")


def test_a_small_terminal_gets_a_sentence_and_a_larger_one_the_lab(lab: list[str]) -> None:
    with Terminal(lab, size=(40, 10)) as terminal:
        terminal.wait_for("40x10", "60x18")
        terminal._tmux("resize-window", "-t", "main", "-x", "100", "-y", "30")
        terminal.wait_for("What to do next")


def test_two_apps_open_one_lab(lab: list[str]) -> None:
    with Terminal(lab) as first, Terminal(lab) as second:
        first.wait_for("What to do next")
        second.wait_for("What to do next")


def test_the_palette_reaches_every_screen(lab: list[str]) -> None:
    with Terminal(lab) as terminal:
        terminal.wait_for("What to do next")
        terminal.keys("C-p")
        terminal.type("compare")
        terminal.wait_for("Go to the Compare screen")


def test_ctrl_z_suspends_and_the_screen_comes_back_whole(lab: list[str]) -> None:
    with Terminal(lab) as terminal:
        terminal.wait_for("What to do next", "f2 Traces")
        terminal.keys("C-z")
        terminal.wait_for(lambda screen: "LAB" not in screen)
        os.kill(terminal.pid(lab[-1]), signal.SIGCONT)
        terminal.wait_for("LAB", "What to do next", "f2 Traces")
        terminal.keys("C-q")
        terminal.wait_for("[left 0]")


def test_a_terminal_that_closes_keeps_the_partial_answer(lab: list[str]) -> None:
    folder = Path(lab[-1])
    with FaultServer() as server:
        with (folder / "o1lab.toml").open("a") as file:
            file.write(f'\n[[endpoints]]\nname = "one"\nurl = "{server.url}"\nmodel = "m"\n')
        subprocess.run([*lab, "chat", "-m", "one", "First?"], check=True, capture_output=True)
        server.mode = "gated"
        with Terminal(lab) as terminal:
            terminal.wait_for("What to do next")
            terminal.keys("F5")
            terminal.wait_for("Ask all of them")
            terminal.keys("C-o")
            terminal.wait_for("Conversations", "First?")
            terminal.keys("Enter")
            terminal.wait_for("> First?", "1458")
            terminal.type("Second?")
            terminal.keys("Enter")
            terminal.wait_for(lambda screen: "The" in screen.partition("> Second?")[2])
            process = psutil.Process(terminal.pid(lab[-1]))
            terminal._tmux("kill-server")
            process.wait(60)
    store = open_store(folder / "lab.db")
    [record] = conversations.page(store.db)
    last = conversations.messages(store.db, record.id)[-1]
    store.close()
    assert (last.state, last.content) == ("stopped", "The ")


def test_a_damaged_lab_ends_with_a_sentence(lab: list[str]) -> None:
    Path(lab[-1], "lab.db").write_bytes(b"no database" * 1000)
    with Terminal(lab, env={"HOME": os.environ.get("HOME", "/")}) as terminal:
        screen = terminal.wait_for("[left 3]")
    assert "damaged or not a database" in screen
    assert "Traceback" not in screen
