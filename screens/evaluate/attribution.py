"""The actions that lead from a sample to its nearest training chains and to the training run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.widget import Widget

from o1lab.evaluate.report.attribution import require_run
from screens.base.context import LabContext
from screens.base.dialogs import NEAREST, nearest_chains_dialog
from screens.base.messages import OpenRun, OpenTraces
from screens.base.screen import LabScreen
from store.evaluations import Evaluation

if TYPE_CHECKING:
    from o1lab.evaluate.report.attribution import Attribution


class AttributionActions:
    """Opens the training chains and the run behind a sample. Keeps the rows of the last run."""

    def __init__(self, context: LabContext) -> None:
        self.context = context
        self._attribution: Attribution | None = None

    async def chains(self, screen: LabScreen, sender: Widget, seq: int) -> None:
        """List the training chains most similar to a student's sample; enter opens one in Traces."""
        from o1lab.evaluate.report.attribution import Attribution

        self._attribution = self._attribution or Attribution(self.context.lab)
        try:
            run, near = await screen.read(self._attribution.nearest, seq, limit=NEAREST)
        except Exception as error:
            screen.report(error)
            return
        picked = await screen.app.push_screen_wait(nearest_chains_dialog(run, near))
        if picked is not None:
            sender.post_message(OpenTraces(trace_id=picked))

    async def run(self, screen: LabScreen, sender: Widget, evaluation: Evaluation) -> None:
        """Show the run behind an evaluation's model in Train."""
        try:
            run = await screen.in_thread(require_run, self.context.lab, evaluation)
        except Exception as error:
            screen.report(error)
            return
        sender.post_message(OpenRun(run))

    def close(self) -> None:
        """Release the rows."""
        if self._attribution is not None:
            self._attribution.close()
