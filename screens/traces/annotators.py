"""Several annotators on the Traces screen: queues and agreement."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from rich.text import Text
from textual.binding import BindingType

from o1lab.errors import LabError
from o1lab.evaluate.rating.decisions import MOST_LISTED, agreement_lines, agreement_within
from o1lab.evaluate.rating.moves import move_agreement
from o1lab.format import counted
from o1lab.ingest.labelling import labeller_of
from o1lab.paths import Lab
from o1lab.text import one_line, visible
from o1lab.widgets.dialogs import Choice, PickDialog, PreviewDialog, among
from o1lab.widgets.keys import Binding
from screens.base.screen import LabScreen
from screens.traces.text import problem_name
from store import corrections, decisions, traces
from store.filters import TraceQuery
from store.policy import POLICIES
from store.sqlite import Database

_SETTLE = Binding.Group("Settle", compact=True)
ADJUDICATION_BINDINGS: list[BindingType] = [
    Binding("plus", "annotate('adjudication', 'accept')", "Accept for all", key_display="+", group=_SETTLE,
            tooltip="Adjudicate: the trace is accepted, whatever its annotators decided"),
    Binding("minus", "annotate('adjudication', 'reject')", "Reject for all", key_display="-", group=_SETTLE,
            tooltip="Adjudicate: the trace is rejected, whatever its annotators decided"),
    Binding("I", "annotators", "Annotators", show=False,
            tooltip="Queues: disputed, not seen by you, assigned to you; agreement of the annotators"),
]  # fmt: skip
QUEUES = {
    "disputed": ("disputed: annotators differ, and nothing settles it", "agreement:disputed"),
    "unseen": ("not seen by you: you have not decided", "mine:none"),
    "mine": ("assigned to you, and you have not decided", "assigned:me mine:none"),
    "assigned": ("all that are assigned to you", "assigned:me"),
}
"""The queues, with their filters."""
_AGREEMENT = "agreement"
_KEYS = " · + accepts, - rejects for all"


@dataclass(frozen=True, slots=True)
class Queues:
    """How many annotators decided, under which policy, and the number of traces of each queue within a filter."""

    policy: str
    annotators: int
    counts: dict[str, int]


def without_persons(query: TraceQuery) -> TraceQuery:
    """Return a filter without its conditions on decisions and annotators, and without a random queue."""
    return TraceQuery.parse(TraceQuery.LANGUAGE.without(query.source, "decision", *traces.OF_PERSONS))


def read_queues(db: Database, query: TraceQuery) -> Queues:
    """Count the traces of each queue within a filter."""
    counts = {
        name: traces.count(db, query.narrowed(*TraceQuery.parse(filter_).conditions))
        for name, (_, filter_) in QUEUES.items()
    }
    return Queues(decisions.policy_of(db), len(decisions.annotators(db)), counts)


def _agreement(db: Database, query: TraceQuery, lab: Lab) -> list[str]:
    """Compare the annotators on the traces of a filter, in lines that name traces as the list does.

    If persons gave moves their kinds, the rules and the classifier of the lab are compared with them as well.
    """
    found = agreement_within(db, query)
    rows = [traces.get(db, one) for one in found.disputed[:MOST_LISTED]]
    names = {row.id: f"{problem_name(row)} {one_line(row.model, 24)}" for row in rows}
    lines = agreement_lines(found, names=names)
    if corrections.corrected_traces(db):
        with suppress(LabError):  # the app has said that the classifier cannot be used
            lines += ["", *move_agreement(db, labeller_of(lab)).lines()]
    return lines


async def choose_queue(screen: LabScreen, query: TraceQuery, say: Callable[[str], None]) -> TraceQuery | None:
    """Ask for a queue, within the filter of the list, or show the agreement of annotators.

    Returns:
        The filter of the queue; None if none was chosen.
    """
    rest = without_persons(query)
    lab = await screen.read(read_queues, rest)
    choices = [Choice(name, title, counted(lab.counts[name], "trace")) for name, (title, _) in QUEUES.items()]
    choices.append(Choice(_AGREEMENT, "how they agree: kappa and alpha", counted(lab.annotators, "annotator")))
    hint = f"policy {lab.policy} (o1lab.toml): {POLICIES[lab.policy]}"
    title = f"Annotators{f' · traces of {rest.source}' if rest.source else ''}"
    chosen: str | None = await screen.app.push_screen_wait(PickDialog(title, among(choices), hint=hint))
    if chosen == _AGREEMENT:
        say("comparing what annotators decided …")
        lines = await screen.read(_agreement, rest, screen.context.lab)
        say("")
        more = PreviewDialog("Agreement of annotators", Text(visible("\n".join(lines))), action="Show the disputed")
        chosen = "disputed" if await screen.app.push_screen_wait(more) else None
    if chosen is None:
        return None
    queue = QUEUES[chosen][0].split(":")[0] + (_KEYS if chosen == "disputed" else "")
    say(f"{counted(lab.counts[chosen], 'trace')}: {queue}")
    return TraceQuery.parse(f"{rest.source} {QUEUES[chosen][1]}".strip())
