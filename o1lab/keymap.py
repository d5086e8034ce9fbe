"""The keys of the app by screen, with the changes of ``[keys]`` in o1lab.toml and their problems."""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module

from textual.dom import DOMNode
from textual.keys import KEY_NAME_REPLACEMENTS, KEY_TO_UNICODE_NAME, Keys

import screens
from o1lab import widgets
from o1lab.text import one_line
from o1lab.widgets.keys import Binding

PREFIXES = {"ctrl+b": "tmux", "ctrl+a": "screen"}
"""Keys that a terminal multiplexer takes before the app, unless its prefix is another one."""
TAKEN = {
    **PREFIXES,
    "ctrl+s": "flow control",  # of a serial line, or of a multiplexer that keeps it
    "ctrl+q": "flow control",
    **dict.fromkeys(("f1", "f10", "f11", *(f"alt+{digit}" for digit in range(10))), "GNOME Terminal"),
    **dict.fromkeys(("ctrl+n", "ctrl+t", "ctrl+w"), "web browsers"),
}
"""Keys that another program may take before the app, with the name of that program."""
_MODIFIERS = frozenset({"ctrl", "shift", "alt", "super", "meta", "hyper"})
_NAMES = frozenset({*(key.value for key in Keys), *KEY_NAME_REPLACEMENTS.values(), *KEY_TO_UNICODE_NAME})
_OF_JOBS = frozenset({"distill", "train", "evaluate"})
_WHOLE = ("screen", "dialog", "form")  # parts that are a screen by themselves: two of them are never active together
_EVERYWHERE = frozenset({"app", "widgets", "base", "forms", "filtering"})


@dataclass(frozen=True, slots=True)
class KeyOfAction:
    """A key of an action.

    Attributes:
        screen: The folder of the screen; ``app`` for the keys of all, ``widgets`` for those of shared parts.
        part: The part of the screen that has the key.
        key: The key, or keys separated by commas.
        default: The key without the changes of o1lab.toml.
        action: The id of the action, for ``[keys]``.
        description: Its name for people.
        about: What it does.
    """

    screen: str
    part: str
    key: str
    default: str
    action: str
    description: str
    about: str

    @property
    def keys(self) -> frozenset[str]:
        """Its keys by their long names."""
        return frozenset(map(_long_name, self.key.split(",")))

    @property
    def taken(self) -> list[str]:
        """Which of its keys other programs may take: ``ctrl+b: tmux``."""
        return [f"{key}: {TAKEN[key]}" for key in self.key.split(",") if key in TAKEN]

    def meets(self, other: KeyOfAction) -> bool:
        """Whether both may be active at once: one part may contain the other, or is the other."""
        places, parts = (self.screen, other.screen), (self.part, other.part)
        if places[0] == places[1] and parts[0] == parts[1]:
            return True
        if not _EVERYWHERE.isdisjoint(places):
            return not all(part.endswith(_WHOLE) for part in parts)
        together = places[0] == places[1] or ("jobs" in places and not _OF_JOBS.isdisjoint(places))
        return together and sum(part.endswith(_WHOLE) for part in parts) == 1


def all_keys(app: type[DOMNode], changes: Mapping[str, str]) -> list[KeyOfAction]:
    """List the keys of the app, of its screens and of their parts.

    Args:
        app: The class of the app.
        changes: The keys of actions that o1lab.toml changes.
    """
    for package in (screens, widgets):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            import_module(module.name)
    found = {}
    for cls in (app, *_subclasses(DOMNode)):
        group = "app" if cls is app else _screen_of(cls.__module__)
        if group is None:
            continue
        part = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", cls.__name__).lower()
        for one in cls.__dict__.get("BINDINGS", ()):
            if isinstance(one, Binding) and one.id:
                key = changes.get(one.id, one.key)
                line = KeyOfAction(group, part, key, one.key, one.id, one.description or one.action, one.tooltip)
                found[group, part, one.key, one.id] = line
    return sorted(
        found.values(), key=lambda one: (one.screen != "app", one.screen in _EVERYWHERE, one.screen, one.part)
    )


def faults(keys: Sequence[KeyOfAction], changes: Mapping[str, str]) -> Iterator[str]:
    """Yield what is wrong with the changes: unknown actions and keys, two actions on one key, keys that others take."""
    known = {one.action for one in keys}
    for action, key in changes.items():
        if action not in known:
            near = get_close_matches(action, known, 1)
            hint = f"Did you mean {near[0]}?" if near else "`o1lab keys` lists the actions."
            yield f"[keys]: there is no action '{one_line(action, 60)}'. {hint}"
        for part in key.split(","):
            if not _is_key(part.strip()):
                yield f"[keys]: '{one_line(part, 60)}' of {one_line(action, 60)} is not the name of a key."
    reported = set()
    for one in keys:
        for other in keys if one.action in changes else ():
            pair = frozenset((one.action, other.action))
            if one.action != other.action and one.keys & other.keys and one.meets(other) and pair not in reported:
                reported.add(pair)
                yield (
                    f"{one.key} is the key of {one.action} ({one.part}) and of {other.action} ({other.part}): only one "
                    "of them can work where both are."
                )
    for name, program in PREFIXES.items():
        taken = {one.action: [key for key in one.key.split(",") if key != name] for one in keys if name in one.keys}
        if taken:
            also = (action + (f" (also {', '.join(others)})" if others else "") for action, others in taken.items())
            yield f"{program} takes {name} itself unless its prefix is another key: {', '.join(sorted(also))}."


def _subclasses(cls: type[DOMNode]) -> Iterator[type[DOMNode]]:
    for one in cls.__subclasses__():
        yield one
        yield from _subclasses(one)


def _screen_of(module: str) -> str | None:
    """Return the folder of a module of screens, ``widgets`` for a widget; None for a module of another package."""
    if module.startswith("o1lab.widgets."):
        return "widgets"
    return module.split(".")[1] if module.startswith("screens.") else None


def _long_name(key: str) -> str:
    key = key.strip()
    return KEY_NAME_REPLACEMENTS.get(key, key)


def _is_key(key: str) -> bool:
    before, _, name = key[:-1].rpartition("+")  # the name itself may be a plus
    name += key[-1:]
    return set(filter(None, before.split("+"))) <= _MODIFIERS and (len(name) == 1 or name in _NAMES or key in _NAMES)
