"""A stylesheet that parses each of its sources once for each theme, and matches its rules with equal nodes once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

from textual.cache import LRUCache
from textual.css.model import RuleSet
from textual.css.styles import RulesMap
from textual.css.stylesheet import Stylesheet
from textual.dom import DOMNode

SOURCES = 512  # more than all stylesheets and widgets of the app have, so that none is parsed twice
CANDIDATES = 2048  # sets of rules that nodes of one type, id and classes can match; the app has several hundred
STYLES = 4096  # places and states of nodes whose styles are kept


@dataclass(frozen=True)
class Candidates:
    """The rules whose last selector fits nodes of one type, id and classes.

    Attributes:
        rules: The rules, the last of the stylesheet first.
        names: The ids and classes in their selectors. Others have no effect.
        states: The pseudo classes in their selectors, such as ``hover``.
        styles: The styles that result, by all that the rules can ask a node and its ancestors for.
    """

    rules: tuple[RuleSet, ...]
    names: frozenset[str]
    states: frozenset[str]
    styles: LRUCache[tuple[Any, ...], RulesMap] = field(default_factory=lambda: LRUCache(STYLES))

    @classmethod
    def of(cls, rules: tuple[RuleSet, ...]) -> Candidates:
        selectors = [one for rule in rules for selectors in rule.selector_set for one in selectors.selectors]
        states = frozenset[str]().union(*(one.pseudo_classes for one in selectors))
        return cls(rules, frozenset(one.name for one in selectors) | {"-textual-system"}, states)

    def key(self, path: list[DOMNode]) -> tuple[Any, ...]:
        """Return what decides which of the rules match the last node of a path from the app."""
        names = self.names
        nodes = tuple((type(node), node._id if node._id in names else None, names & node._classes) for node in path)
        return nodes, tuple(node.has_pseudo_classes({state}) for state in self.states for node in path)


class KeepingStylesheet(Stylesheet):
    """Textual's stylesheet, which keeps what it has parsed and matched.

    Textual parses all sources again when a screen is opened whose class has a stylesheet, and when the theme is set.
    Parsed rules are not changed after that, so all apps of a process share them, for each set of variables, which is a
    theme. Textual also matches all rules with a node again whenever a class of the node or of an ancestor is set.
    """

    _parsed: ClassVar[dict[frozenset[tuple[str, str]], LRUCache[tuple[Any, ...], list[RuleSet]]]] = {}
    _matched: ClassVar[LRUCache[tuple[RuleSet, ...], Candidates]] = LRUCache(CANDIDATES)

    def __init__(self, *, variables: dict[str, str] | None = None) -> None:
        super().__init__(variables=variables)
        self._parse_cache = self._cache()
        self._by_names: dict[frozenset[str], Candidates] = {}
        self._by_names_of: dict[str, list[RuleSet]] | None = None

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

    def copy(self) -> KeepingStylesheet:
        stylesheet = KeepingStylesheet(variables=self._variables.copy())
        stylesheet.source = self.source.copy()
        return stylesheet

    def apply(self, node: DOMNode, *, animate: bool = False, cache: Any = None) -> None:
        candidates = self._candidates(node)
        key = candidates.key(node.css_path_nodes)
        if (styles := candidates.styles.get(key)) is None:
            super().apply(node, animate=animate)  # the cache of one update asks for less than the key
            if not animate or "transitions" not in node._css_styles._rules:  # else these are not the last styles
                candidates.styles[key] = node._css_styles.get_rules()
            return
        node._has_hover_style = "hover" in candidates.states
        node._has_focus_within = "focus-within" in candidates.states
        node._has_order_style = not candidates.states.isdisjoint(_ORDER)
        node._has_odd_or_even = not candidates.states.isdisjoint(_ODD_OR_EVEN)
        self.replace_rules(node, styles, animate=animate)
        self._process_component_classes(node)

    def _candidates(self, node: DOMNode) -> Candidates:
        """Return the rules that the node may match."""
        rules_map = self.rules_map
        if rules_map is not self._by_names_of:
            self._by_names_of = rules_map
            self._by_names.clear()
        names = frozenset(rules_map.keys() & node._selector_names)
        if (candidates := self._by_names.get(names)) is None:
            fitting = {id(rule) for name in names for rule in rules_map[name]}
            rules = tuple(rule for rule in reversed(self.rules) if id(rule) in fitting)
            if (candidates := self._matched.get(rules)) is None:
                candidates = self._matched[rules] = Candidates.of(rules)
            self._by_names[names] = candidates
        return candidates

    @classmethod
    def replace_rules(cls, node: DOMNode, rules: RulesMap, animate: bool = False) -> None:
        """Replace the styles of a node, unless it has these."""
        if _are_equal(node._css_styles._rules, rules):
            node.notify_style_update()
        else:
            super().replace_rules(node, rules, animate=animate)


_ORDER = {"first-of-type", "last-of-type", "first-child", "last-child", "empty"}
_ODD_OR_EVEN = {"odd", "even"}


def _are_equal(one: RulesMap, other: RulesMap) -> bool:
    """Whether two sets of styles are equal. Each node has a layout of its own, which has a name."""
    if one.keys() != other.keys():
        return False
    values, others = cast(dict[str, Any], one), cast(dict[str, Any], other)
    return all(
        value is others[name] or value == others[name] or (name == "layout" and value.name == others[name].name)
        for name, value in values.items()
    )
