"""The footer of every screen: the keys that do something now."""

from __future__ import annotations

from textual.binding import Binding
from textual.widgets import Footer

Key = tuple[Binding, bool, str]
"""A binding, whether it is enabled, its tooltip."""


class KeyFooter(Footer):
    """Textual's footer, made anew only when its keys changed: it is asked to whenever the focus moves."""

    _named: list[Key] | None = None

    async def recompose(self) -> None:
        if not self.is_attached:
            return  # asked for before its screen was taken down, answered after
        keys = self._keys_now()
        if keys != self._named:
            await super().recompose()
            self._named = keys

    @property
    def is_current(self) -> bool:
        """Whether it names the keys that do something now; it follows the focus a refresh later than the rest."""
        return self._named == self._keys_now()

    def _keys_now(self) -> list[Key]:
        active = self.screen.active_bindings.values()
        return [(binding, enabled, tooltip) for _, binding, enabled, tooltip in active if binding.show]
