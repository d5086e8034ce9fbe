"""The real program in a real terminal: it opens, leaves cleanly, and says when there is too little room."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from store import conversations, open_store, problems
from store.records import NewProblem
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
    with Terminal(lab, size=(30, 6)) as terminal:
        terminal.wait_for("30x6 is too small")
        terminal._tmux("resize-window", "-t", "main", "-x", "100", "-y", "30")
        terminal.wait_for("What to do next")


def test_a_terminal_without_a_cursor_gets_a_sentence_and_one_of_sixteen_colours_its_own_colours(lab: list[str]) -> None:
    with Terminal(lab, env={"TERM": "dumb"}) as terminal:
        terminal.wait_for("TERM is dumb", "[left 3]")
    with Terminal(lab, env={"TERM": "xterm", "COLORTERM": ""}) as terminal:
        terminal.wait_for("What to do next")
        drawn = terminal._tmux("capture-pane", "-p", "-e", "-t", "main").stdout
        assert "\x1b[38;2;" not in drawn and "\x1b[48;2;" not in drawn
        terminal.keys("M-2")  # most terminals send alt and a digit as escape and the digit
        terminal.wait_for("TRACES")
        terminal.keys("C-g", "3")
        terminal.wait_for("DISTILL")


def test_two_apps_open_one_lab(lab: list[str]) -> None:
    with Terminal(lab) as first, Terminal(lab) as second:
        first.wait_for("What to do next")
        second.wait_for("What to do next")


def test_the_palette_reaches_every_screen(lab: list[str]) -> None:
    with Terminal(lab) as terminal:
        terminal.wait_for("What to do next")
        terminal.keys("C-p")
        terminal.type("compare")
        terminal.wait_for("Ask several models the same")


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


def test_a_chain_being_written_survives_a_kill(lab: list[str]) -> None:
    """Everything that showed as saved is there again; only the line being typed is lost."""
    folder = Path(lab[-1])
    store = open_store(folder / "lab.db")
    with store.db.atomic():
        problems.add(store.db, [NewProblem("What is 40 + 2?", "sums", "a", "42")])
    store.close()
    with Terminal(lab) as terminal:
        terminal.wait_for("What to do next")
        terminal.keys("F3")
        terminal.wait_for("What is 40 + 2?", "✓ 1 kept")
        terminal.keys("w")
        terminal.wait_for("type a move")
        for number, line in enumerate(("I add 40 and 2.", "That gives 43?", "No: 42."), 1):
            terminal.type(line)
            terminal.keys("Enter")
            terminal.wait_for(f"{number} moves · all saved")
        terminal.keys("Tab")
        terminal.type("It is \\boxed{42}")
        terminal.wait_for("solution saved", "answer 42 ✓ correct")
        terminal.keys("BTab")
        terminal.type("half a li")
        terminal.wait_for("half a li")
        process = psutil.Process(terminal.pid(lab[-1]))
        process.kill()
        terminal.wait_for("[left 137]")
    drafted = subprocess.run([*lab, "distill", "drafts", "--json"], check=True, capture_output=True, text=True)
    [draft] = json.loads(drafted.stdout)["items"]
    assert (draft["moves"], draft["statement"]) == (3, "What is 40 + 2?")
    with Terminal(lab, size=(120, 40)) as terminal:  # it opens with the screen that was open
        terminal.wait_for("What is 40 + 2?", "✓ 1 kept")
        terminal.keys("W")
        terminal.wait_for("Your drafts", "3 moves")
        terminal.keys("Enter")
        screen = terminal.wait_for("3 moves · all saved", "answer 42 ✓ correct")
        assert all(line in screen for line in ("I add 40 and 2.", "That gives 43?", "No: 42.")) and "half" not in screen
        terminal.keys("C-s")
        terminal.wait_for("Licence")
        terminal.keys("Enter")
        terminal.wait_for("saved: trace", "written by")
    assert not any((folder / "drafts").glob("*"))


def test_a_damaged_lab_ends_with_a_sentence(lab: list[str]) -> None:
    Path(lab[-1], "lab.db").write_bytes(b"no database" * 1000)
    with Terminal(lab, env={"HOME": os.environ.get("HOME", "/")}) as terminal:
        screen = terminal.wait_for("[left 3]")
    assert "damaged or not a database" in screen.replace("\n", "")  # a long path wraps the sentence
    assert "Traceback" not in screen
