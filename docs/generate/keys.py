"""Keys from the bindings of the app: the page of all, and those that other pages mention.

``{key dataset}`` in a page becomes the key of the action ``dataset``, so that no page names an old key.
"""

from __future__ import annotations

import re
from functools import cache
from html import escape
from itertools import groupby

from docs.generate.markdown import code, prose, table
from o1lab.app import LabApp
from o1lab.keymap import KeyOfAction, all_keys

_HEADINGS = {
    "app": "On every screen",
    "base": "Of all screens and dialogs",
    "filtering": "Of lists with a filter",
    "forms": "Of forms",
    "jobs": "Of runs and evaluations in the background",
    "widgets": "Of lists, the chain reader and other parts",
}


def page() -> str:
    """Return the page."""
    parts = [
        "# Keys",
        prose(
            "A key means the same on every screen; in a text, a plot or a list that has the focus, letters also move. "
            "Every action is also in the palette (ctrl+p), and `?` in the app lists the keys of the focused part. A "
            'line `ACTION = "KEY"` under `[keys]` in o1lab.toml changes the key of an action on all screens. '
            "`o1lab keys` prints this list with your changes, and names the keys that tmux, screen and other "
            "programs may take before the app gets them."
        ),
    ]
    for screen, found in groupby(_bound(), lambda one: one.screen):
        parts += [f"## {_HEADINGS.get(screen, screen.capitalize())}", _table(list(found))]
    return "\n\n".join(parts)


def _table(found: list[KeyOfAction]) -> str:
    rows = ((_keys(one.key), prose(one.about or one.description), prose(one.part), code(one.action)) for one in found)
    return table(("Key", "What it does", "Part", "Action"), rows)


def _keys(text: str) -> str:
    return ", ".join(code(key.strip()) for key in text.split(",") if key.strip()) or code(text)


# --- mentions in other pages ---

_MENTION = re.compile(r"\{key (?:(?P<screen>[a-z_]+)\.)?(?P<action>[\w-]+)\}")
_NAMES = {
    "slash": "/", "question_mark": "?", "minus": "-", "plus": "+", "escape": "esc", "underscore": "_", "comma": ",",
    "left_square_bracket": "[", "right_square_bracket": "]", "full_stop": ".", "space": "space",
    "exclamation_mark": "!", "number_sign": "#", "asterisk": "*", "vertical_line": "|", "ampersand": "&",
    "greater_than_sign": ">", "less_than_sign": "<", "equals_sign": "=", "at": "@", "quotation_mark": "\"",
}  # fmt: skip


class UnknownKeyError(LookupError):
    """A page mentions an action that does not exist, or that has different keys on different screens."""


def with_keys(markdown: str) -> str:
    """Replace mentions of actions by their keys.

    ``{key SCREEN.ACTION}`` names the screen of an action that has different keys on different screens.

    Raises:
        UnknownKeyError: there is no such action, or it has several keys.
    """
    return _MENTION.sub(lambda found: _shown(found["screen"], found["action"]), markdown)


@cache
def _bound() -> list[KeyOfAction]:
    return all_keys(LabApp, {})


def _shown(screen: str | None, action: str) -> str:
    found = [one for one in _bound() if one.action == action and screen in (None, one.screen)]
    keys = {one.key for one in found}
    if len(keys) != 1:
        places = ", ".join(sorted({f"{one.screen}: {one.key}" for one in found}))
        raise UnknownKeyError(f"{{key {action}}}: " + (f"it has several keys ({places})" if keys else "no such action"))
    first = keys.pop().split(",")[0].strip()
    return f"<kbd>{escape(_NAMES.get(first, first))}</kbd>"
