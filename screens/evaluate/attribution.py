"""From a failure to its cause: the keys that lead from a sample to its nearest training chains and to the run."""

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
    """Where a sample leads. Holds the rows of the last run that was asked about."""

    def __init__(self, context: LabContext) -> None:
        self.context = context
        self._causes: Attribution | None = None

    async def chains(self, screen: LabScreen, asker: Widget, seq: int) -> None:
        """The training chains most like a student's sample; enter opens one in Traces."""
        from o1lab.evaluate.report.attribution import Attribution

        self._causes = self._causes or Attribution(self.context.lab)
        try:
            run, near = await screen.read(self._causes.nearest, seq, limit=NEAREST)
        except Exception as error:
            screen.report(error)
            return
        picked = await screen.app.push_screen_wait(nearest_chains_dialog(run, near))
        if picked is not None:
            asker.post_message(OpenTraces(trace_id=picked))

    async def run(self, screen: LabScreen, asker: Widget, evaluation: Evaluation) -> None:
        """The Train screen on the run behind an evaluation's model."""
        try:
            run = await screen.in_thread(require_run, self.context.lab, evaluation)
        except Exception as error:
            screen.report(error)
            return
        asker.post_message(OpenRun(run))

    def close(self) -> None:
        """Let go of the rows."""
        if self._causes is not None:
            self._causes.close()
