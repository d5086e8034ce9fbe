"""Calibration: label samples with one key each, without the scorer's result; then kappa on this model is shown."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.binding import BindingType

from o1lab.evaluate.rating import calibration
from o1lab.evaluate.rating.calibration import REFUSALS, VERDICTS, Calibration, SampleToLabel
from o1lab.text import visible
from o1lab.widgets.keys import Binding
from screens.base.context import LabContext
from screens.evaluate.blind import BlindScreen, judging_keys
from store import calibrations
from store.sqlite import Database

_KEYS = {"complied": "1", "refused": "2", "partial": "3", "correct": "1", "incorrect": "2"}


class CalibrationScreen(BlindScreen[Calibration, SampleToLabel]):
    """Shows the chosen samples one by one."""

    TITLE = "CALIBRATE"
    DONE = "labelled"
    JUDGEMENT = "label"
    UNDONE = "Your label is removed."
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(_KEYS[label], f"label('{label}')", label.capitalize(), tooltip=f"The answer is {label}")
            for label in (*REFUSALS, *VERDICTS)
        ),
        *judging_keys("sample", "label"),
        Binding("escape", "back", "Leave", tooltip="Leave; every label is saved, and calibration resumes here"),
    ]

    def __init__(self, context: LabContext, evaluation_id: str, scorer: str) -> None:
        super().__init__(context)
        self.evaluation_id, self.scorer = evaluation_id, scorer

    def read_at(self, db: Database, at: int | None) -> tuple[Calibration, SampleToLabel | None, int]:
        found = calibration.calibration(db, self.evaluation_id, self.context.annotator, scorer=self.scorer)
        place = found.next_at if at is None else at
        return found, None if place is None else calibration.read(db, found, place), place or 0

    def undo_last(self, db: Database) -> tuple[bool, int | None]:
        me = self.context.annotator
        last = calibrations.last_labelled(db, self.evaluation_id, self.scorer, me)
        if last is None:
            return False, None
        calibrations.label(db, last, None, annotator=me)
        sheet = calibration.calibration(db, self.evaluation_id, me, scorer=self.scorer)  # others may have been chosen
        return True, next((at for at, one in enumerate(sheet.order) if one.seq == last), None)

    async def draw_sample(self, sheet: Calibration, shown: SampleToLabel) -> None:
        gold = "; ".join(shown.item.gold) or "(none)" if sheet.choices == VERDICTS else None
        self.show_turns(shown.item.question, shown.turns, gold=gold)
        keys = "  ".join(f"{_KEYS[label]} {label}" for label in sheet.choices)
        self.show_judgement(Text(keys + (f"   your label: {shown.label}" if shown.label else "")))

    async def draw_end(self) -> None:
        lines = [] if self.sheet is None else calibration.as_lines(self.sheet)
        self.show_results(Text(visible("\n".join(lines))))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "label":
            return self.shown is not None and self.sheet is not None and parameters[0] in self.sheet.choices
        return super().check_action(action, parameters)

    def action_label(self, label: str) -> None:
        """Label the sample and show the next one."""
        if self.shown is not None:
            me, seq = self.context.annotator, self.shown.seq
            self.save(f"saved: {label}; u undoes it", calibrations.label, seq, label, annotator=me)
