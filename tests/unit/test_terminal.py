"""Which escape sequences are sent to which terminal."""

from __future__ import annotations

from typing import Any

import pytest

from o1lab.terminal import notification, reach

BOTH = ("osc9", "osc777")


@pytest.mark.parametrize(
    ("env", "passthrough", "way"),
    [
        ({"TERM": "xterm-256color"}, None, "direct"),
        ({"TERM": "tmux-256color", "TMUX": "socket,1,0"}, "on", "tmux"),
        ({"TERM": "tmux-256color", "TMUX": "socket,1,0"}, "all", "tmux"),
        ({"TERM": "tmux-256color", "TMUX": "socket,1,0"}, "", "tmux"),
        ({"TERM": "tmux-256color", "TMUX": "socket,1,0"}, None, "tmux"),
        ({"TERM": "tmux-256color", "TMUX": "socket,1,0"}, "off", "none"),
        ({"TERM": "tmux-256color"}, None, "tmux"),
        ({"TERM": "screen.xterm", "STY": "1.pts"}, None, "screen"),
        ({"TERM": "screen-256color"}, None, "none"),
        ({"TERM": "dumb"}, None, "none"),
        ({"TERM": "linux"}, None, "none"),
        ({}, None, "none"),
    ],
)
def test_how_sequences_reach_a_terminal(env: dict[str, str], passthrough: str | None, way: str) -> None:
    found = reach(env, lambda _env: passthrough)
    assert found.way == way
    assert bool(found.fix) is (passthrough == "off")


def test_the_sequences_and_their_wrappings() -> None:
    plain = notification("o1lab: demo", "run 7f3a is finished; loss 0.1", BOTH, "direct")
    osc9, osc777 = "\x1b]9;o1lab: demo: run 7f3a is finished; loss 0.1\a", "\x1b]777;notify;o1lab: demo;run 7f3a is "
    assert plain == osc9 + osc777 + "finished, loss 0.1\a"
    assert notification("a", "b", ["osc9"], "tmux") == "\x1bPtmux;\x1b\x1b]9;a: b\a\x1b\\"
    assert notification("a", "b", ["osc777"], "screen") == "\x1bP\x1b]777;notify;a;b\a\x1b\\"
    assert notification("a", "b", BOTH, "none") == "" == notification("a", "b", (), "direct")


@pytest.mark.parametrize("hostile", ["\a\x1b]0;title\a", "\x1b\\\x1b[2J", "\x9c\x9d0;t\x9c", "a\nb", "\u202etxt"])
@pytest.mark.parametrize("way", ["direct", "tmux", "screen"])
def test_foreign_text_cannot_end_a_sequence(hostile: str, way: Any) -> None:
    sent = notification("o1lab", f"it {hostile} ends", ["osc9"], way)
    inside = sent.partition("]9;")[2].partition("\a")[0]
    assert inside.startswith("o1lab: it ") and inside.endswith(" ends") and inside.isprintable()
    assert sent.count("\a") == 1 and "\n" not in sent
