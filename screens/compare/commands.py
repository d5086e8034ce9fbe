"""The Compare screen's letter keys in the palette while the prompt is being written, when letters are text."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from functools import partial
from typing import Any

from textual.binding import Binding
from textual.command import DiscoveryHit, Hit, Hits, Provider


class LetterKeys(Provider):
    """What the letter keys would do outside the prompt. The app itself lists every key that is active."""

    def commands(self) -> Iterator[Binding]:
        active = self.screen.active_bindings
        for binding in Binding.make_bindings(self.screen.BINDINGS):
            may = self.screen.check_action(*_parsed(binding.action))
            if binding.description and binding.key not in active and may:
                yield binding

    async def discover(self) -> Hits:
        for binding in self.commands():
            yield DiscoveryHit(self.title(binding), self.run(binding), help=binding.tooltip)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for binding in self.commands():
            title = self.title(binding)
            if score := matcher.match(title):
                yield Hit(score, matcher.highlight(title), self.run(binding), help=binding.tooltip)

    def title(self, binding: Binding) -> str:
        return f"{binding.description} (esc, then {self.app.get_key_display(binding)})"

    def run(self, binding: Binding) -> partial[Coroutine[Any, Any, None]]:
        return partial(self.screen.run_action, binding.action)


def _parsed(action: str) -> tuple[str, tuple[object, ...]]:
    from textual.actions import parse

    _, name, parameters = parse(action)
    return name, parameters
