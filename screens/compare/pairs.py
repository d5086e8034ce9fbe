"""Make a dataset of pairs from the votes of the lab, for preference training."""

from __future__ import annotations

from datetime import datetime

from rich.text import Text

from o1lab.format import counted
from o1lab.serve.registry import find_model
from o1lab.text import one_line
from o1lab.widgets.dialogs import PreviewDialog, PromptDialog
from screens.base.messages import OpenTraining
from screens.base.screen import LabScreen
from store.filters import TraceQuery
from store.records import Dataset


class PairsMaker:
    """Asks for a name, makes the pairs, and shows what they are from. The screen reports errors."""

    def __init__(self, screen: LabScreen) -> None:
        self.screen = screen

    async def make(self) -> None:
        """Make a dataset of the blind votes, and offer to train on it."""
        name = await self.screen.app.push_screen_wait(
            PromptDialog(
                "A dataset of pairs from the blind votes; its name:",
                value=f"pairs-{datetime.now().astimezone():%m%d-%H%M}",
            )
        )
        if name is None or not name.strip():
            return
        made = await self.screen.in_thread(self._make, name.strip())
        preview = PreviewDialog(f"Dataset {one_line(made.name, 40)}", pairs_text(made), action="Train a student on it")
        if await self.screen.app.push_screen_wait(preview):
            self.screen.post_message(OpenTraining(made.name))

    def _make(self, name: str) -> Dataset:
        from o1lab.distill.pairs import PairsPlan, make_pairs

        context = self.screen.context
        plan = PairsPlan(TraceQuery(), ("votes",))
        with context.store.explained():
            return make_pairs(context.store, name, plan, lambda model: find_model(context.lab, model, context.config))


def pairs_text(made: Dataset) -> Text:
    """Format a new dataset of pairs: where they are from, the lengths, and what was left out."""
    chosen = made.selection
    lengths = chosen["median_chars"]
    sources = ", ".join(f"{number:,} from {source}" for source, number in chosen["pairs"].items())
    text = Text.assemble(
        ("hash     ", "dim"), (made.hash, "bold"), "\n",
        ("pairs    ", "dim"), f"{sources}\n",
        ("lengths  ", "dim"), f"the better answer is longer in {chosen['longer_chosen']:,}, shorter in "
        f"{chosen['shorter_chosen']:,} (median {lengths['chosen']:,.0f} characters and {lengths['rejected']:,.0f})\n\n",
    )  # fmt: skip
    if left := chosen["left_out_votes"]:
        text.append(f"left out {counted(sum(left.values()), 'vote')}:\n")
        text.append("".join(f"{number:>7,}  {one_line(reason, 100)}\n" for reason, number in left.items()))
    return text.append(
        "\nThe dataset never changes; later votes are not included. Right and wrong chains make pairs, too:"
        " d on the Traces screen, or o1lab dataset pairs."
    )
