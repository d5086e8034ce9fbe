"""Bindings of keys that ``[keys]`` of o1lab.toml can change, and the footer that shows the active ones."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import groupby
from typing import cast

from rich.cells import cell_len
from textual import binding
from textual._ansi_sequences import ANSI_SEQUENCES_KEYS
from textual.app import ComposeResult
from textual.dom import DOMNode
from textual.widget import Widget
from textual.widgets import Footer
from textual.widgets._footer import FooterKey, FooterLabel, KeyGroup

for _digit in range(10):
    # Most terminals send escape and the digit for alt and a digit. Textual reads that as the sign that macOS has on
    # these keys.
    ANSI_SEQUENCES_KEYS.pop(f"\x1b{_digit}", None)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Binding(binding.Binding):
    """A binding whose id is its action: ``annotate('accept')`` has the id ``annotate_accept``.

    An action has one id wherever it occurs, so that a key means the same on each screen.
    """

    def __post_init__(self) -> None:
        if self.id is None:
            object.__setattr__(self, "id", "_".join(re.findall(r"-?\w+", self.action)))


def stepping(noun: str) -> list[binding.BindingType]:
    """Return the keys that go to the next and the previous ``noun`` of a list while one is open."""
    return [
        Binding("full_stop", "step(1)", f"Next {noun}", id="next_item", key_display=".", show=False,
                tooltip=f"Go to the next {noun} of the list"),
        Binding("comma", "step(-1)", f"Previous {noun}", id="previous_item", key_display=",", show=False,
                tooltip=f"Go to the previous {noun} of the list"),
    ]  # fmt: skip


Key = tuple[binding.Binding, bool, str]
"""A binding, whether it is enabled, its tooltip."""


HELP = "help"
"""The action of the key that shows all keys. The footer always shows it, also when others do not fit."""


class KeyFooter(Footer):
    """Textual's footer, recomposed only if its keys or its width changed and not whenever the focus moves.

    Keys that do not fit are left out whole, the last ones first, and the help key says that there are more.
    """

    DEFAULT_CSS = """
    KeyFooter.-compact FooterLabel { margin: 0 1 0 0; }
    KeyFooter.-compact KeyGroup.-compact { padding-left: 0; }
    """
    _shown: tuple[list[Key], int] | None = None

    def compose(self) -> ComposeResult:
        if not self._bindings_ready:
            return
        by_action: dict[str, Key] = {}
        for key in self._keys_now():
            by_action.setdefault(key[0].action, key)  # an action is shown with its first key
        help_key = by_action.pop(HELP, None)
        room = self.size.width or self.app.size.width
        items = [self._item(list(keys)) for _, keys in groupby(by_action.values(), key=lambda key: key[0].group)]
        parts = [part for item in items for part in item]
        fits, more = [], False
        left = room - (self._width(self._key(help_key)) if help_key else 0)
        for part in parts:
            left -= self._width(part)
            more = left < (len(" …") if help_key else -1)
            if more:
                break
            fits.append(part)
        if fits and isinstance(fits[-1], KeyGroup):
            fits.pop()  # its label does not fit
        yield from fits
        if help_key is not None:
            yield self._key(help_key, " …" if more else "")

    def _item(self, keys: list[Key]) -> list[Widget]:
        """Return the widgets of consecutive keys of a group, or of keys without one."""
        group = keys[0][0].group
        if group is None or len(keys) == 1:
            return [self._key(key) for key in keys]
        together = KeyGroup(*(self._key(key, grouped=True) for key in keys), classes="-compact")
        return [together, FooterLabel(group.description)]

    def _key(self, key: Key, more: str = "", *, grouped: bool = False) -> FooterKey:
        one, enabled, tooltip = key
        words = "" if grouped else one.description + more
        # With its class from the start, it is styled once: compact=Footer.compact would add the class after that.
        classes = " ".join(name for name, has in (("-grouped", grouped), ("-compact", self.compact)) if has)
        shown = FooterKey(
            one.key, self.app.get_key_display(one), words, one.action, disabled=not enabled,
            tooltip=tooltip or one.description, classes=classes,
        )  # fmt: skip
        return shown.data_bind(compact=Footer.compact)

    def _width(self, part: Widget) -> int:
        """Return the cells that a part takes with the margin after it."""
        if isinstance(part, FooterKey):
            grouped = part.has_class("-grouped")
            return cell_len(part.key_display) + (0 if grouped else cell_len(part.description) + 2)
        if isinstance(part, FooterLabel):
            return cell_len(str(part.content)) + 1
        return sum(map(self._width, cast(list[FooterKey], part._pending_children))) + 1

    async def recompose(self) -> None:
        if not self.is_attached:
            return  # its screen was closed after the request
        shown = self._keys_now(), self.size.width
        if shown != self._shown:
            await super().recompose()
            self._shown = shown

    def on_resize(self) -> None:
        self.call_after_refresh(self.recompose)

    @property
    def is_current(self) -> bool:
        """Whether it shows the active keys; it is updated one refresh after the focus moved."""
        return self._shown is not None and self._shown[0] == self._keys_now()

    def _keys_now(self) -> list[Key]:
        active = self.screen.active_bindings.values()
        return [(one, enabled, tooltip) for node, one, enabled, tooltip in active if one.show and _in_footer(node, one)]


def _in_footer(node: DOMNode, key: binding.Binding) -> bool:
    """Whether the footer shows a key now; the method ``in_footer`` of its node decides, if there is one."""
    asked = getattr(node, "in_footer", None)
    return asked is None or bool(asked(key))
