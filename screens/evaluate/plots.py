"""Plots of the evaluations: accuracy against tokens, published points included; the lengths of right and wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text

from o1lab.evaluate.report import plot_text
from o1lab.evaluate.report.plots import Histogram, PlotData, right_wrong_plot, tokens_plot
from o1lab.evaluate.report.selection import EvaluationResult
from screens.evaluate.sheets import SheetsPane

_FRAME = 10  # rows of a panel beside the plot itself: titles, axis, a short legend
_LOWEST, _HIGHEST = 8, 24


class PlotsPane(SheetsPane[PlotData]):
    """Letters for models, so that no colour is needed."""

    TITLES: ClassVar[dict[str, str]] = {"tokens": "Accuracy and tokens", "right-wrong": "Right and wrong"}
    FORMATS: ClassVar[dict[str, str]] = {".svg": "svg", ".json": "json", ".txt": "txt"}
    NOUN = "plot"

    def make(self, which: str, chosen: Sequence[EvaluationResult]) -> PlotData:
        return tokens_plot(chosen) if which == "tokens" else right_wrong_plot(chosen)

    def drawn(self, sheet: PlotData, width: int, height: int) -> Text:
        return plot_text.text(sheet, width, min(max(height - _FRAME, _LOWEST), _HIGHEST))

    def written(self, sheet: PlotData, form: str) -> str:
        if form == "svg":
            from o1lab.evaluate.report import plot_svg

            return plot_svg.svg(sheet)
        if form == "json":
            return json.dumps(sheet.as_json(), ensure_ascii=False, indent=2) + "\n"
        return plot_text.text(sheet).plain + "\n"

    def holds_own(self, sheet: PlotData) -> bool:
        return any(
            isinstance(panel, Histogram) or any(not point.published for point in panel.points) for panel in sheet.panels
        )
