"""Calibration: label samples with one key each, without the scorer's result; then kappa on this model is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual import work
from textual.binding import BindingType

from o1lab.evaluate.rating import calibration
from o1lab.evaluate.rating.calibration import REFUSALS, VERDICTS, Calibration, Shown
from o1lab.text import visible
from o1lab.widgets.keys import Binding, stepping
from screens.base.context import LabContext
from screens.evaluate.blind import BlindScreen
from store import calibrations
from store.connection import Store

_KEYS = {"complied": "1", "refused": "2", "partial": "3", "correct": "1", "incorrect": "2"}


@dataclass(frozen=True, slots=True)
class Step:
    """What a key does: label the sample ``seq``, or undo the last label; then show position ``at``, or the next one."""

    at: int | None = None
    seq: int | None = None
    label: str | None = None
    undo: bool = False


class CalibrationScreen(BlindScreen):
    """Shows the chosen samples one by one; each label is committed before the next sample is shown."""

    TITLE = "CALIBRATE"
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(_KEYS[label], f"label('{label}')", label.capitalize(), tooltip=f"The answer is {label}")
            for label in (*REFUSALS, *VERDICTS)
        ),
        Binding("p", "step(-1)", "Previous", tooltip="Previous sample, to change its label"),
        Binding("n", "step(1)", "Next", show=False, tooltip="Next sample"),
        *stepping("sample"),
        Binding("u", "undo", "Undo", tooltip="Undo your last label"),
        Binding("escape", "back", "Leave", tooltip="Leave; every label is saved, and calibration resumes here"),
    ]

    def __init__(self, context: LabContext, evaluation_id: str, scorer: str) -> None:
        super().__init__(context)
        self.evaluation_id, self.scorer = evaluation_id, scorer
        self.calibration: Calibration | None = None
        self.shown: Shown | None = None

    def on_mount(self) -> None:
        self._go(Step())

    @work(group="calibration")
    async def _go(self, step: Step) -> None:
        """Do what the step says, and show a sample or, when all have a label, the results."""
        self.busy = True
        which = (self.context.store, self.evaluation_id, self.scorer, self.context.annotator)
        try:
            found, self.shown = await self.writer.do(advance, *which, step)
        except Exception as error:
            self.report(error)
            return
        finally:
            self.busy = False
        self.calibration = found
        if not self.closing:
            self._draw(found)

    def _draw(self, found: Calibration) -> None:
        self.set_heading(f"{found.done:,} of {len(found.order):,} labelled")
        self.refresh_bindings()
        one = self.shown
        if one is None:
            lines = [*calibration.as_lines(found), "", "p goes back to the last sample, escape leaves."]
            self.show_results(Text(visible("\n".join(lines))))
            return
        gold = "; ".join(one.item.gold) or "(none)" if found.choices == VERDICTS else None
        self.show_sample(one.item.question, one.turns, gold=gold)
        keys = "  ".join(f"{_KEYS[label]} {label}" for label in found.choices)
        yours = f"   your label: {one.label}" if one.label else ""
        self.show_judgement(Text(f"sample {one.at + 1:,}   {keys}{yours}"))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "label":
            return self.shown is not None and self.calibration is not None and parameters[0] in self.calibration.choices
        return super().check_action(action, parameters)

    def action_label(self, label: str) -> None:
        """Label the sample and show the next one. Keys are ignored while a label is being written."""
        if not self.busy and self.shown is not None:
            self._go(Step(seq=self.shown.seq, label=label))

    def action_undo(self) -> None:
        """Undo the last label and show its sample."""
        if not self.busy:
            self._go(Step(undo=True))

    def action_step(self, by: int) -> None:
        """Show the next or previous sample, labelled or not."""
        if self.busy or self.calibration is None:
            return
        at = self.shown.at + by if self.shown is not None else len(self.calibration.order) - 1
        if 0 <= at < len(self.calibration.order):
            self._go(Step(at))
        else:
            self.say("This is the first sample." if by < 0 else "This is the last sample.")


def advance(
    store: Store, evaluation_id: str, scorer: str, annotator: str, step: Step
) -> tuple[Calibration, Shown | None]:
    """Do a step, and read the sample to show; None when all have a label. Call it in the writer's thread."""
    db, at = store.db, step.at
    if step.seq is not None:
        calibrations.label(db, step.seq, step.label, annotator=annotator)
    last = calibrations.last_labelled(db, evaluation_id, scorer, annotator) if step.undo else None
    if last is not None:
        calibrations.label(db, last, None, annotator=annotator)
    found = calibration.calibration(db, evaluation_id, annotator, scorer=scorer)
    if last is not None:
        at = next(place for place, one in enumerate(found.order) if one.seq == last)
    place = found.next_at if at is None else at
    return found, None if place is None else calibration.read(db, found, place)
