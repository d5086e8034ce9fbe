"""Notifications of a terminal: its bell, and the escape sequences OSC 9 and OSC 777 for desktop notifications.

Inside tmux, a sequence for the outer terminal must be wrapped, and tmux passes it on only if its option
``allow-passthrough`` is on. The bell needs none of this.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from o1lab.text import one_line, without_controls

BELL = "\a"
_LONGEST = 200
Way = Literal["direct", "tmux", "screen", "none"]


@dataclass(frozen=True, slots=True)
class Reach:
    """How escape sequences reach the terminal of the user.

    Attributes:
        way: as they are, wrapped for tmux or for screen, or not at all.
        why: the reason, as a sentence without its full stop.
        fix: what to do so that they reach it; empty if they do.
    """

    way: Way
    why: str
    fix: str = ""


def ask_tmux(env: Mapping[str, str]) -> str | None:
    """Return tmux's value of ``allow-passthrough`` for this pane; None if tmux does not answer.

    It is empty before tmux 3.3, which passes everything on.
    """
    command = ["tmux", "display-message", "-p", *(["-t", pane] if (pane := env.get("TMUX_PANE")) else [])]
    try:
        asked = subprocess.run(
            [*command, "#{allow-passthrough}"], capture_output=True, text=True, timeout=2, env=dict(env), check=True
        )
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return asked.stdout.strip()


def reach(env: Mapping[str, str] | None = None, ask: Callable[[Mapping[str, str]], str | None] = ask_tmux) -> Reach:
    """Find out how escape sequences reach the terminal. It may start tmux's client, so call it in a thread.

    Args:
        env: the environment; None for that of this process.
        ask: returns tmux's ``allow-passthrough``.
    """
    env = os.environ if env is None else env
    term = env.get("TERM", "")
    if env.get("TMUX"):
        allowed = ask(env)
        if allowed in ("on", "all", "1", ""):
            visible = (
                "; newer than 3.3, only while its pane is visible, unless it is all" if allowed in ("on", "1") else ""
            )
            how = f"allow-passthrough {allowed or 'is not needed'}{visible}"
            return Reach("tmux", f"tmux passes notifications on ({how})")
        if allowed is None:
            return Reach("tmux", "tmux does not say whether it passes notifications on")
        return Reach(
            "none", "tmux keeps notifications for itself (allow-passthrough is off); the bell reaches you",
            "tmux set -g allow-passthrough on",
        )  # fmt: skip
    if env.get("STY"):
        return Reach("screen", "screen passes notifications on")
    if term in ("", "dumb", "linux"):
        return Reach("none", f"TERM is {term or 'not set'}: such a terminal shows no notifications, only the bell")
    if term.startswith("tmux"):  # tmux runs on the machine that this one was reached from
        return Reach("tmux", "tmux on another machine passes notifications on if its allow-passthrough is on")
    if term.startswith("screen"):
        return Reach("none", f"TERM is {term}: it may be screen or tmux on another machine, so only the bell is sent")
    return Reach("direct", "notifications go to the terminal as they are")


def notification(title: str, body: str, desktop: Collection[str], way: Way) -> str:
    """Return the sequences that show a notification; empty if none can reach the terminal.

    Args:
        title: its title.
        body: its text. Both may be foreign text: control characters are removed, so that they cannot end a sequence.
        desktop: which sequences: ``osc9``, ``osc777``.
        way: how they reach the terminal, from :func:`reach`.
    """
    if way == "none":
        return ""
    head, text = (without_controls(one_line(words, _LONGEST)).replace("\x9c", "") for words in (title, body))
    found = []
    if "osc9" in desktop:  # a text that begins with a digit could be taken for another command of OSC 9
        found.append(f"\x1b]9;{head}: {text}\a")
    if "osc777" in desktop:  # its parts are separated by semicolons
        found.append(f"\x1b]777;notify;{head.replace(';', ',')};{text.replace(';', ',')}\a")
    return "".join(_wrapped(sequence, way) for sequence in found)


def _wrapped(sequence: str, way: Way) -> str:
    if way == "tmux":
        return f"\x1bPtmux;{sequence.replace(chr(27), chr(27) * 2)}\x1b\\"
    return f"\x1bP{sequence}\x1b\\" if way == "screen" else sequence
