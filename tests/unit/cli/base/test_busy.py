"""The line of what a command is doing: late, only on a terminal, out of the way of all other output."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from o1lab.cli.base import busy
from o1lab.cli.base.busy import advance, working
from o1lab.cli.base.command import Verbs
from o1lab.cli.base.output import emit, say

CLEAR = "\r\x1b[K"
PATIENCE_S = 20


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(busy, "stderr_is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(busy, "AFTER_S", 0.0)
    monkeypatch.setattr(busy, "EVERY_S", 0.01)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Is set each time the line is drawn."""
    event = threading.Event()
    plain = busy.Busy._draw

    def draw(self: Any) -> None:
        plain(self)
        event.set()

    monkeypatch.setattr(busy.Busy, "_draw", draw)
    yield event


@pytest.mark.usefixtures("terminal")
def test_a_slow_command_shows_how_much_is_done(drawn: threading.Event, capsys: pytest.CaptureFixture[str]) -> None:
    with working("o1lab count"):
        assert drawn.wait(PATIENCE_S)
        advance("counting", 30, 120)
        drawn.clear()
        assert drawn.wait(PATIENCE_S)
    shown = capsys.readouterr().err
    assert shown.startswith(f"{CLEAR}o1lab count 0s")
    assert f"{CLEAR}counting ━━━━━━────────────────── 30 of 120" in shown
    assert shown.endswith(CLEAR)  # nothing is left


@pytest.mark.usefixtures("terminal")
def test_other_output_removes_the_line_first(drawn: threading.Event, capsys: pytest.CaptureFixture[str]) -> None:
    with working("o1lab count"):
        assert drawn.wait(PATIENCE_S)
        say("A word.")
    assert f"{CLEAR}A word.\n" in capsys.readouterr().err


@pytest.mark.usefixtures("terminal")
def test_a_question_keeps_it_away(drawn: threading.Event, capsys: pytest.CaptureFixture[str]) -> None:
    with working("o1lab count"), busy.paused():
        capsys.readouterr()
        drawn.clear()
        assert not drawn.wait(0.2)
    assert "count" not in capsys.readouterr().err


def test_a_pipe_gets_nothing_and_a_quick_command_neither(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(busy, "EVERY_S", 0.01)
    for on_terminal in (False, True):
        monkeypatch.setattr(busy, "stderr_is_terminal", lambda value=on_terminal: value)
        with working("o1lab count"):
            advance("counting", 1, 2)
            time.sleep(0.05)
        assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("terminal")
def test_every_command_has_it_unless_it_takes_over_the_terminal(
    drawn: threading.Event, capsys: pytest.CaptureFixture[str]
) -> None:
    verbs = Verbs()

    @verbs.command("slow")
    def slow() -> None:
        assert drawn.wait(PATIENCE_S)
        emit({}, text="done")

    @verbs.command("screen", interactive=True)
    def screen() -> None:
        assert not drawn.wait(0.2)

    verbs(["slow"], standalone_mode=False)
    shown = capsys.readouterr()
    assert shown.out == "done\n" and "slow 0s" in shown.err
    drawn.clear()
    verbs(["screen"], standalone_mode=False)
    assert capsys.readouterr().err == ""


def test_the_commands_that_take_over_the_terminal() -> None:
    from o1lab.cli.tree import commands

    found = {one.words for one in commands() if getattr(one.context.command, "interactive", False)}
    assert found == {
        "o1lab demo", "o1lab serve", "o1lab web", "o1lab chat", "o1lab distill write", "o1lab distill prompts edit",
    }  # fmt: skip
