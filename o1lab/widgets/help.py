"""The panel of keys: those of the part with the focus first, each with what it does."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter

from rich.table import Table
from rich.text import Text
from textual import binding
from textual.app import App, ComposeResult
from textual.dom import DOMNode
from textual.screen import Screen
from textual.widgets import HelpPanel, KeyPanel
from textual.widgets._key_panel import BindingsTable


class KeysTable(BindingsTable):
    """The keys that work now. Textual lists those that a part inherits before its own, and each twice over in words."""

    def render_bindings_table(self) -> Table:
        table = Table.grid(padding=(0, 1))
        table.add_column(justify="right")
        table.add_column()
        heading = self.get_component_rich_style("bindings-table--header")
        key_style = self.get_component_rich_style("bindings-table--key")
        before = ""
        for node, found in groupby(self.screen.active_bindings.values(), key=itemgetter(0)):
            actions: dict[str, list[binding.Binding]] = {}
            for active in found:
                if not active.binding.system and active.binding.description:
                    actions.setdefault(active.binding.action, []).append(active.binding)
            if not actions:
                continue
            own = own_actions(node)
            if (title := heading_of(node)) != before:
                table.add_row("", Text(title, heading))
            before = title
            for keys in sorted(actions.values(), key=lambda keys: keys[0].action not in own):
                names = " ".join(dict.fromkeys(self.app.get_key_display(one) for one in keys))
                table.add_row(Text(names, key_style), Text(keys[0].tooltip or keys[0].description))
        return table


class _Keys(KeyPanel):
    def compose(self) -> ComposeResult:
        yield KeysTable(shrink=True, expand=False)


class KeysPanel(HelpPanel):
    """The panel at the right, which follows the focus."""

    def compose(self) -> ComposeResult:
        yield _Keys(id="keys-help")


def own_actions(node: DOMNode) -> set[str]:
    """Return the actions of the keys that the class of a node declares itself."""
    return {one.action for one in type(node).__dict__.get("BINDINGS", ()) if isinstance(one, binding.Binding)}


def heading_of(node: DOMNode) -> str:
    """Return the heading of the keys of a node."""
    if isinstance(node, App):
        return "Everywhere"
    return "On this screen" if isinstance(node, Screen) else "Here"
