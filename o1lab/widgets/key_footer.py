"""The footer of every screen: the keys that are active now."""

from __future__ import annotations

from textual.binding import Binding
from textual.widgets import Footer

Key = tuple[Binding, bool, str]
"""A binding, whether it is enabled, its tooltip."""


class KeyFooter(Footer):
    """Textual's footer, which is recomposed only if its keys changed and not whenever the focus moves."""

    _shown_keys: list[Key] | None = None

    async def recompose(self) -> None:
        if not self.is_attached:
            return  # its screen was closed after the request
        keys = self._keys_now()
        if keys != self._shown_keys:
            await super().recompose()
            self._shown_keys = keys

    @property
    def is_current(self) -> bool:
        """Whether it shows the active keys; it is updated one refresh after the focus moved."""
        return self._shown_keys == self._keys_now()

    def _keys_now(self) -> list[Key]:
        active = self.screen.active_bindings.values()
        return [(binding, enabled, tooltip) for _, binding, enabled, tooltip in active if binding.show]
