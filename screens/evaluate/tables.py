"""The paper's tables with your models below the published rows, to read, copy and write."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType

from o1lab.evaluate.report import render
from o1lab.evaluate.report.cells import Table
from o1lab.evaluate.report.selection import EvaluationResult
from o1lab.evaluate.report.tables import accuracy_table, change_table, plain_table
from screens.evaluate.sheets import SheetsPane

MAKERS: Mapping[str, Callable[[Sequence[EvaluationResult]], Table]] = {
    "1": accuracy_table,
    "2": change_table,
    "plain": plain_table,
}


class TablesPane(SheetsPane[Table]):
    """The first table (accuracy), the second (generalization), and any evaluations."""

    TITLES: ClassVar[dict[str, str]] = {
        "1": "Table 1: accuracy",
        "2": "Table 2: generalization",
        "plain": "Plain list",
    }
    FORMATS: ClassVar[dict[str, str]] = {".md": "md", ".tex": "latex", ".json": "json", ".txt": "terminal"}
    NOUN = "table"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("y", "copy", "Copy", tooltip="Copy this table as Markdown")]

    def make(self, which: str, chosen: Sequence[EvaluationResult]) -> Table:
        return MAKERS[which](chosen)

    def drawn(self, sheet: Table, width: int, height: int) -> Text:
        return render.terminal(sheet, width)

    def written(self, sheet: Table, form: str) -> str:
        return render.RENDERERS[form](sheet)

    def holds_own(self, sheet: Table) -> bool:
        return any(not row.published for section in sheet.sections for row in section.rows)

    def action_copy(self) -> None:
        """Copy the table as Markdown."""
        if self.sheet is not None:
            self.app.copy_to_clipboard(render.markdown(self.sheet))
            self.app.notify("copied as Markdown", markup=False)
