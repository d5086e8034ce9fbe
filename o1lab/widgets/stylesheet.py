"""A stylesheet that parses each of its sources once for each theme."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.cache import LRUCache
from textual.css.model import RuleSet
from textual.css.stylesheet import Stylesheet

SOURCES = 512  # more than all stylesheets and widgets of the app have, so that none is parsed twice


class ParsedOnce(Stylesheet):
    """Textual's stylesheet, with the parsed sources kept for each set of variables, which is a theme.

    Textual parses all sources again when a screen is opened whose class has a stylesheet, and when the theme is set.
    Parsed rules are not changed after that, so all apps of a process share them.
    """

    _parsed: ClassVar[dict[frozenset[tuple[str, str]], LRUCache[tuple[Any, ...], list[RuleSet]]]] = {}

    def __init__(self, *, variables: dict[str, str] | None = None) -> None:
        super().__init__(variables=variables)
        self._parse_cache = self._cache()

    def _cache(self) -> LRUCache[tuple[Any, ...], list[RuleSet]]:
        return self._parsed.setdefault(frozenset(self._variables.items()), LRUCache(SOURCES))

    def set_variables(self, variables: dict[str, str]) -> None:
        if variables != self._variables:
            self._parse_cache = LRUCache(1)  # the base class clears its cache; the shared one must stay
            super().set_variables(variables)
            self._parse_cache = self._cache()

    def reparse(self) -> None:
        """Apply new variables. Sources with an error leave the rules as they are."""
        self.parse()

    def copy(self) -> ParsedOnce:
        stylesheet = ParsedOnce(variables=self._variables.copy())
        stylesheet.source = self.source.copy()
        return stylesheet
