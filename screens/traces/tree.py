"""The search tree that a chain was made from, with the walk that made it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from rich.style import Style
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Static

from o1lab.chains.trees.text import LEGEND, MARKS, tree_lines
from o1lab.chains.trees.walk import rules_of, rules_text
from o1lab.ingest.trees import walk_of_trace
from o1lab.text import one_line, visible
from o1lab.widgets.dialogs import Dialog
from o1lab.widgets.keys import Binding
from o1lab.widgets.line_view import LineView
from o1lab.widgets.sections import Mark
from screens.base.screen import LabScreen
from store import Store, trees

_STYLES = {MARKS["path"]: Style(bold=True), MARKS["dead end"]: Style(color="yellow")}
_FRAME = 5
"""Cells of the dialog's width that its frame and scrollbar take."""


@dataclass(frozen=True, slots=True)
class TreeText:
    """A tree as the dialog shows it; ``body`` has a line for each node."""

    title: str
    about: str
    body: str


def read_tree_text(store: Store, trace_id: str, width: int) -> TreeText:
    """Return the tree of a trace as text in lines of at most ``width`` characters.

    Raises:
        NotFoundError: the trace was not made from a tree.
        LabError: the tree is damaged.
    """
    tree, walk = walk_of_trace(store, trace_id)
    recorded = trees.walk_of(store.db, trace_id)
    by = recorded.written_by if recorded is not None else None
    written = f"reflections by {one_line(by, 40)}" if by else "a plain sentence at each turn back"
    title = f"Search tree {tree.id[:8]}: {tree.size:,} nodes, searched by {one_line(tree.model, 30)}"
    about = f"{rules_text(rules_of(walk.rules))}; {written}"
    return TreeText(title, about, "\n".join(line for _, line in tree_lines(walk, width)))


class _TreeView(LineView):
    """The lines of a tree; those of the walk stand out."""

    def marks(self, section: int, start: int, end: int) -> Iterable[Mark]:
        style = _STYLES.get(self.sections[section].text.text[start : start + 1])
        return () if style is None else (Mark(start, end, style),)


async def show_tree(screen: LabScreen, trace_id: str) -> None:
    """Show the search tree that a trace was made from."""
    width = TreeDialog.width_of(screen.app.size.width)
    text = await screen.in_thread(read_tree_text, screen.context.store, trace_id, width)
    await screen.app.push_screen_wait(TreeDialog(text))


class TreeDialog(Dialog[None]):
    """Shows a search tree."""

    DEFAULT_CSS = """
    TreeDialog {
        .dialog { height: 90%; max-width: 100%; }
        LineView { height: 1fr; background: $surface; }
        .about { height: auto; margin-bottom: 1; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,H", "cancel", "Close", id="close_tree", tooltip="Close the tree")
    ]

    def __init__(self, text: TreeText) -> None:
        super().__init__(text.title, "esc close")
        self.text = text

    @staticmethod
    def width_of(screen_width: int) -> int:
        """Return the width of its lines on a screen of this width."""
        return screen_width * 9 // 10 - _FRAME

    def compose_dialog(self) -> ComposeResult:
        yield Static(visible(self.text.about), classes="about", markup=False)
        yield _TreeView()
        yield Static(LEGEND, classes="hint", markup=False)

    def on_mount(self) -> None:
        view = self.query_one(_TreeView)
        view.focus()
        view.set_text(self.text.body)
