"""Results of votes: the strengths of the contestants, and a dataset of pairs for preference training."""

from __future__ import annotations

from datetime import datetime

from rich.text import Text

from o1lab.chat import ranking
from o1lab.format import counted
from o1lab.serve.registry import find_model
from o1lab.text import one_line
from o1lab.widgets.dialogs import PreviewDialog, PromptDialog
from screens.base.screen import LabScreen
from screens.forms.dataset import offer_training
from store.filters import TraceQuery
from store.records import Dataset


async def result_lines(screen: LabScreen, round_id: str | None = None) -> list[str]:
    """Return the strengths of all contestants, of a round or of the lab, and the votes for each prompt tag."""
    found = await screen.read(ranking.read, round=round_id)
    lines = await screen.in_thread(lambda: ranking.ranking_lines(found.ranking()))
    tags = ranking.tally_lines(await screen.in_thread(found.by_tag))
    return [*lines, "", *tags] if tags else lines


async def show_tally(screen: LabScreen) -> None:
    """Show the results of all votes of the lab."""
    lines = await result_lines(screen)
    await screen.app.push_screen_wait(PreviewDialog("Preference votes", "\n".join(lines)))


async def make_pairs_dataset(screen: LabScreen) -> None:
    """Ask for a name, make a dataset of the blind votes, and offer to train on it."""
    name = await screen.app.push_screen_wait(
        PromptDialog(
            "A dataset of pairs from the blind votes; its name:",
            value=f"pairs-{datetime.now().astimezone():%m%d-%H%M}",
        )
    )
    if name is not None and name.strip():
        made = await screen.in_thread(_make_pairs, screen, name.strip())
        await offer_training(screen, made, pairs_text(made))


def _make_pairs(screen: LabScreen, name: str) -> Dataset:
    from o1lab.distill.datasets.pairs import PairsPlan, make_pairs

    context = screen.context
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
