"""From a failure to its cause: the keys that lead from a sample to its nearest training chains and to the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.widget import Widget

from o1lab.evaluate.report.attribution import require_run
from o1lab.text import one_line
from screens.base.context import LabContext
from screens.base.messages import OpenRun, OpenTraces
from screens.base.screen import LabScreen
from screens.compare.dialogs import Choice, PickDialog, among
from store.evaluations import Evaluation

if TYPE_CHECKING:
    from o1lab.chat.nearest import Near
    from o1lab.evaluate.report.attribution import Attribution

NEAREST = 12


class ChoiceDialog(PickDialog):
    """A choice among lines, with a look of its own: Compare's styles come with Compare."""

    DEFAULT_CSS = """
    ChoiceDialog {
        align: center middle;
        background: $background 60%;
        .dialog {
            width: 90%; max-width: 100; height: auto; max-height: 90%; border: round $accent; padding: 0 1;
            background: $surface;
        }
        OptionList {
            text-wrap: nowrap; text-overflow: ellipsis; height: auto; max-height: 20; border: none;
            background: transparent; margin-top: 1;
        }
        Input { width: 1fr; }
        .hint { color: $text-muted; height: auto; }
    }
    """


class AttributionActions:
    """Where a sample leads. Holds the rows of the last run that was asked about."""

    def __init__(self, context: LabContext) -> None:
        self.context = context
        self._causes: Attribution | None = None

    async def chains(self, screen: LabScreen, asker: Widget, seq: int) -> None:
        """The training chains most like a student's sample; enter opens one in Traces."""
        from o1lab.evaluate.report.attribution import Attribution

        causes = self._causes = self._causes or Attribution(self.context.lab)

        def look() -> tuple[str, list[Near]]:
            return causes.nearest(self.context.store, seq, limit=NEAREST)

        try:
            run, near = await screen.in_thread(look)
        except Exception as error:
            screen.report(error)
            return
        choices = [
            Choice(one.trace_id, f"{one.score:5.1f}  {one_line(one.prompt, 60)}", one_line(one.thought, 200))
            for one in near
        ]
        picked = await screen.app.push_screen_wait(
            ChoiceDialog(
                f"Chains that taught {run}, the nearest first",
                among(choices),
                empty="None of its chains is like this.",
                hint="Score: how much of the words agree, 100 is all. Alike is not caused by: it says where to look.",
            )
        )
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
