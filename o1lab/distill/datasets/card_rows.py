"""What a dataset's card says of its rows: what they teach, how pairs were made, and the columns of the file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from o1lab.markdown import table
from store.datasets import DatasetRow
from store.records import Dataset


@dataclass
class InTurn:
    """The rows that several models wrote in turn, and the characters that each wrote of them."""

    rows: int = 0
    characters: Counter[str] = field(default_factory=Counter)

    def add(self, row: DatasetRow) -> None:
        """Count a row, if several models wrote it."""
        self.rows += bool(row.writers)
        for found in row.writers.values():
            for one in found:
                self.characters[one.model] += one.end - one.start

    def section(self) -> Iterator[str]:
        """Yield who wrote how much; nothing without such rows."""
        if self.rows:
            yield (
                f"{self.rows:,} rows were written by several models in turn: one began, another went on. The column "
                "`writers` of the file says who wrote what. A student learns all of it, unless its recipe has "
                "`teacher_only_loss`: then only what the last model wrote.\n\n"
            )
            yield table(("model", "characters"), self.characters.most_common()) + "\n"


def teaches(dataset: Dataset) -> str:
    """Return a sentence on what the rows teach."""
    if dataset.kind == "pairs":
        return "Pairs: a row has a better and a worse answer to one question. The tables below count answers, not rows."
    what = "the thought and then the solution" if dataset.phase == 2 else "only the solution, that is the format"
    return f"Phase {dataset.phase}: a row teaches {what}."


def tag(dataset: Dataset) -> str:
    """Return the tag for model hubs that says what the rows are."""
    return "preference" if dataset.kind == "pairs" else f"phase-{dataset.phase}"


def how_paired(dataset: Dataset) -> Iterator[str]:
    """Yield how the pairs of a dataset were made; nothing for another dataset."""
    if dataset.kind != "pairs":
        return
    chosen = dataset.selection
    given = "also those given when the names were shown" if chosen["open_votes"] else "only blind ones"
    judged = "the verifier's verdict" if chosen["by"] == "verdict" else "the decisions of persons"
    yield (
        f"Pairs, version {chosen['version']}. Votes ({given}) pair the winner of a turn with each other answer. Chains "
        f"of one problem with the same prompt are right or wrong by {judged}; at most {chosen['per_problem']:,} pairs "
        f"per problem, drawn with seed {chosen['seed']}. Lengths are "
        f"{'' if chosen['balance_length'] else 'not '}balanced: the better answer is longer in "
        f"{chosen['longer_chosen']:,} and shorter in {chosen['shorter_chosen']:,} of {dataset.rows:,} pairs.\n\n"
    )
    yield table(("from", "pairs"), chosen["pairs"].items()) + "\n"
    if left := chosen["left_out_votes"]:
        yield table(("left out because", "votes"), left.items()) + "\n"


def columns(dataset: Dataset) -> str:
    """Return the section on the columns of the exported file."""
    thought = "The thought is between `<think>` and `</think>` before the solution. " if dataset.phase == 2 else ""
    if dataset.kind == "pairs":
        texts = "`prompt`, `chosen` and `rejected` are lists of messages, as TRL reads them. "
        more = "`problem_id` and `problem_licence`, and for each answer, after `chosen_` and `rejected_`, "
        names = (
            "`trace_id`, `model`, `source`, `licence`, `synthesis`, `verdict`, `tokens`, `prompt_version`, `parent_id`"
        )
        return f"## Columns\n\n{texts}{thought}Each row also has {more}{names}.\n"
    return (
        f"## Columns\n\n{thought}In addition to its texts, each row has `trace_id`, `model`, `source`, `licence` "
        "(of the response), `problem_licence`, `synthesis`, `verdict`, `tokens`, `problem_id`, `prompt_version`, "
        "`parent_id`. A row that several models wrote has `writers`: for `thought` and `solution`, who wrote what, in "
        "characters of that part.\n"
    )
