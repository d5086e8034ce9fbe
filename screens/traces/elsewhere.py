"""Keys of the Traces screen that open the chain under the cursor in another screen."""

from __future__ import annotations

from o1lab.widgets.chain_reader import ChainReader
from screens.base.messages import ContinueChain
from screens.base.screen import LabScreen, task
from screens.traces.reading import Chain


class OpensElsewhere(LabScreen):
    """A screen with a list of traces and a reader."""

    @property
    def shown(self) -> Chain | None:
        """The chain in the reader."""
        raise NotImplementedError

    @property
    def reader(self) -> ChainReader:
        """The reader."""
        raise NotImplementedError

    def target(self) -> str | None:
        """Return the id of the trace that keys apply to."""
        raise NotImplementedError

    def action_lens(self) -> None:
        """Show how likely models find each token of the chain under the cursor."""
        from screens.traces.lens import LensScreen

        if self.shown is not None:
            self.app.push_screen(LensScreen(self.context, self.shown.row.id))

    def action_edit_answer(self) -> None:
        """Open the chain in Compare, with the cursor at the end of the current move: a model goes on from there."""
        if self.shown is None:
            return
        move = self.reader.current_move if self.reader.has_focus_within else None
        start = self.shown.text.thought_span[0]
        self.post_message(ContinueChain(self.shown.row.id, None if move is None else start + move[1].end))

    @task(exclusive=True, group="tree")
    async def action_tree(self) -> None:
        """Show the search tree that the chain under the cursor was made from."""
        from screens.traces.tree import show_tree

        if (trace_id := self.target()) is not None:
            await show_tree(self, trace_id)
