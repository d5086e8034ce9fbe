"""Long texts on a terminal: colours, the user's pager, and texts of strangers."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from o1lab.cli.base import busy, pager
from o1lab.cli.base.pager import show

LONG = [[("1 R", "bold yellow"), f"  line {at}"] for at in range(100)]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of 80 by 24 with colours, and no preferences of a person."""
    for name in ("NO_COLOR", "LESS", "PAGER", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(pager, "stdout_is_terminal", lambda: True)


def fake_pager(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str = "less") -> Path:
    """Put a pager on the PATH that keeps its input and its LESS; return the file of its input."""
    script = folder / name
    kept = folder / "kept"
    script.write_text(f'#!/bin/sh\ncat > "{kept}"\nprintf %s "$LESS" > "{kept}.less"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return kept


def test_a_pipe_gets_plain_text(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGER", "false")
    show(LONG)
    assert capsys.readouterr().out == "".join(f"1 R  line {at}\n" for at in range(100))


@pytest.mark.usefixtures("terminal")
def test_a_long_text_goes_through_the_pager_with_colours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = fake_pager(tmp_path, monkeypatch)
    show(LONG)
    assert capsys.readouterr().out == ""
    text = kept.read_text()
    assert text.count("\x1b[1;33m1 R\x1b[0m") == 100
    assert Path(f"{kept}.less").read_text() == "FRX"


@pytest.mark.usefixtures("terminal")
def test_nothing_is_drawn_over_the_pager(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_pager(tmp_path, monkeypatch)
    monkeypatch.setattr(busy, "stderr_is_terminal", lambda: True)
    monkeypatch.setattr(busy, "AFTER_S", 0.0)
    monkeypatch.setattr(busy, "EVERY_S", 0.01)
    plain, draw = pager._paged, busy.Busy._draw
    drawn, seen = threading.Event(), []

    def noted(self: busy.Busy) -> None:
        draw(self)
        drawn.set()

    def paged(command: list[str], text: str) -> bool:
        drawn.clear()
        seen.append(drawn.wait(0.3))  # the user reads
        return plain(command, text)

    monkeypatch.setattr(busy.Busy, "_draw", noted)
    monkeypatch.setattr(pager, "_paged", paged)
    with busy.working("o1lab traces show"):
        assert drawn.wait(20)
        show(LONG)
    assert seen == [False]
    assert capsys.readouterr().err.endswith("\r\x1b[K")


@pytest.mark.usefixtures("terminal")
def test_another_pager_of_the_user_gets_no_colours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = fake_pager(tmp_path, monkeypatch, "reader")
    monkeypatch.setenv("PAGER", "reader --option 'with space'")
    show(LONG)
    assert kept.read_text().splitlines()[99] == "1 R  line 99"


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize(("named", "value"), [("PAGER", "cat"), ("PAGER", ""), ("PAGER", "no-such-pager-here")])
def test_without_a_pager_the_text_is_printed(
    named: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(named, value)
    show(LONG)
    assert "\x1b[1;33m1 R" in capsys.readouterr().out


@pytest.mark.usefixtures("terminal")
def test_a_short_text_is_printed_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = fake_pager(tmp_path, monkeypatch)
    show(LONG[:5])
    assert "line 4" in capsys.readouterr().out
    assert not kept.exists()


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_no_colours_where_they_are_not_wanted(
    name: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = fake_pager(tmp_path, monkeypatch)
    monkeypatch.setenv(name, value)
    show(LONG)
    assert "\x1b" not in kept.read_text()


@pytest.mark.usefixtures("terminal")
def test_the_text_of_a_stranger_stays_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = fake_pager(tmp_path, monkeypatch)
    hostile = "\x1b]0;owned\x07 \x1b[2J [red]not markup[/red] \u202egnp.exe \ud800"
    show([*LONG, [hostile, (hostile, "bold")]])
    last = kept.read_text().splitlines()[-1]
    assert "␛]0;owned␇ ␛[2J [red]not markup[/red] ‹202e›gnp.exe" in last
    assert "\x1b]" not in last and "\x1b[2J" not in last
    assert capsys.readouterr().out == ""
