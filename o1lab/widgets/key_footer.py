"""The footer of every screen: the keys that do something now."""

from __future__ import annotations

from textual.binding import Binding
from textual.widgets import Footer


class KeyFooter(Footer):
    """Textual's footer, made anew only when its keys changed: it is asked to whenever the focus moves."""

    _keys: list[tuple[Binding, bool, str]] | None = None

    async def recompose(self) -> None:
        if not self.is_attached:
            return  # asked for before its screen was taken down, answered after
        keys = [
            (binding, enabled, tooltip)
            for _, binding, enabled, tooltip in self.screen.active_bindings.values()
            if binding.show
        ]
        if keys != self._keys:
            self._keys = keys
            await super().recompose()
