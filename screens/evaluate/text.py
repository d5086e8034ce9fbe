"""How an evaluation reads: its line in the list, its figures, settings and faults as text. No widget here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from o1lab.jobs.directory import CountedStatus
from o1lab.text import one_line, visible
from o1lab.widgets.paged_table import Column, Row
from screens.distill.text import SIGNS as RUN_SIGNS
from screens.distill.text import add_faults, add_trouble
from screens.evaluate.poller import Detail, Figures, Line
from screens.train.text import duration
from store.evaluations import OUTCOMES

SIGNS = {**RUN_SIGNS, "no folder": ("∅", "yellow")}
# Each outcome has a sign of its own: colour only repeats it.
OUTCOME_SIGNS = {
    "correct": ("█", "green"),
    "incorrect": ("▓", "red"),
    "incomplete": ("▒", "yellow"),
    "unextracted": ("░", "magenta"),
    "unscored": ("?", "cyan"),
    "failed": ("×", "bold red"),
}
MEANING = {
    "correct": "",
    "incorrect": "",
    "incomplete": "cut off before its end",
    "unextracted": "holds no answer that could be found",
    "unscored": "the scorer has not told",
    "failed": "no response",
}
BAR = 30
_RAW, _OUTCOME_BAR = 1500, 12

_WHO = (
    Column("sign", "", 2),
    Column("suite", "suite", 10, flex=2),
    Column("model", "model", 9, flex=3, priority=3),
)
_OTHERS = tuple(
    Column(name, name, len(name), priority=9, justify="right")
    for name in OUTCOMES
    if name not in ("correct", "incorrect")
)
COLUMNS = (
    *_WHO,
    Column("done", "done", 9, justify="right"),
    Column("accuracy", "accuracy", 14, justify="right"),
    Column("tokens", "tokens", 6, justify="right"),
    Column("cost", "cost", 8, priority=2, justify="right"),
    Column("left", "left", 6, priority=1, justify="right"),
    *_OTHERS,
)
"""How far it is and what came out; on a wide terminal the other outcomes as well."""
OUTCOME_COLUMNS = (
    *_WHO,
    Column("accuracy", "accuracy", 14, priority=4, justify="right"),
    *(Column(one.key, one.title, one.width, justify="right") for one in _OTHERS),
    Column("done", "done", 9, priority=5, justify="right"),
)
"""What is neither right nor wrong, on a terminal too narrow for all."""


def row(line: Line, *, marked: bool) -> Row:
    """An evaluation in the list."""
    sign, style = SIGNS.get(line.state, ("?", ""))
    figures, status = line.figures, line.info.status if line.info else None
    left = status.seconds_left if status and line.active else None
    cells: dict[str, str | Text] = {
        "sign": Text.assemble(("●" if marked else " ", "bold"), (sign, style)),
        "suite": line.suite,
        "model": line.model,
        "done": f"{short(line.done)}/{short(line.requested)}" if line.requested else "-",
        "accuracy": value_words(figures) if figures else "…",
        "tokens": f"{figures.tokens:,.0f}" if figures and figures.tokens is not None else "-",
        "cost": cost_words(line),
        "left": "" if left is None else duration(left),
    }
    if figures:
        cells.update({name: f"{figures.tally.outcomes[name]:,}" for name in OUTCOMES})
    return Row(line.id, cells, line)


def short(number: int) -> str:
    """A count in at most four cells: 12, 1319, 100k."""
    return str(number) if number < 10_000 else f"{number // 1000}k" if number < 1_000_000 else f"{number / 1e6:.0f}M"


def value_words(figures: Figures) -> str:
    """``43.3 (27–61)``; the mean of graded values is marked so."""
    if figures.value is None:
        return "-"
    words = f"{'⌀' if figures.graded else ''}{figures.value:.1f}"
    if not figures.whole:
        return f"{words} (…)"
    return words + (f" ({figures.interval[0]:.0f}–{figures.interval[1]:.0f})" if figures.interval else "")


def cost_words(line: Line) -> str:
    """What it cost, or that nobody said what a token costs."""
    status: CountedStatus | None = line.info.status if line.info else None
    if status is not None and status.priced:
        return f"${status.cost_usd:,.2f}" if status.cost_usd >= 100 else f"${status.cost_usd:.4f}"
    if line.figures and line.figures.tally.cost_usd:
        return f"${line.figures.tally.cost_usd:.4f}"
    return "-"


def outcome_bar(outcomes: Mapping[str, int], total: int, width: int = BAR) -> Text:
    """All samples in one bar, each outcome in a sign of its own; what is to come as dots."""
    text, drawn, so_far = Text("▕"), 0, 0
    for name in OUTCOMES:
        number = outcomes.get(name, 0)
        so_far += number
        cells = so_far * width // max(total, so_far, 1) - drawn
        cells = max(cells, 1) if number and drawn < width else cells
        sign, style = OUTCOME_SIGNS[name]
        text.append(sign * cells, style)
        drawn += cells
    return text.append("·" * (width - drawn), "dim").append("▏")


def header(detail: Detail) -> Text:
    """Two lines: which evaluation, in which state; how far, what was asked of it meanwhile."""
    line = detail.line
    sign, style = SIGNS.get(line.state, ("?", ""))
    text = Text.assemble(
        (f"{sign} {line.state}", style), "  ", (one_line(line.suite, 30), "bold"), " by ",
        (one_line(line.model, 40), "bold"), (f"  {one_line(line.id, 20)}", "dim"), "\n",
    )  # fmt: skip
    outcomes = line.figures.tally.outcomes if line.figures else {}
    text.append_text(outcome_bar(outcomes, line.requested))
    share = f" ({100 * line.done // line.requested} %)" if line.requested else ""
    text.append(f" {line.done:,} of {line.requested:,} done{share}")
    status = line.info.status if line.info else None
    if line.active and status and status.seconds_left is not None:
        text.append(f", {duration(status.seconds_left)} left", "bold")
    if line.active and detail.stopping and line.state != "stopping":
        text.append(" · asked to stop", "yellow")
    elif line.active and detail.pausing and line.state != "paused":
        text.append(" · asked to pause", "yellow")
    elif line.active and not detail.pausing and line.state == "paused":
        text.append(" · goes on in a moment", "yellow")
    return text


def facts(detail: Detail) -> Text:
    """Everything that is known of an evaluation, what matters most first."""
    text = Text()
    _trouble(text, detail)
    _figures(text, detail)
    _scorers(text, detail)
    add_faults(text, detail.faults)
    _identity(text, detail)
    text.append("\nfolder  ", "dim").append(visible(detail.folder))
    return text


def _trouble(text: Text, detail: Detail) -> None:
    line = detail.line
    if line.info is None:
        text.append("∅ Its folder is gone. ", "bold yellow")
        text.append("The samples stand in the lab's database; it cannot go on.\n\n")
        return
    add_trouble(text, line.state, line.info.status)


def _figures(text: Text, detail: Detail) -> None:
    line, figures = detail.line, detail.line.figures
    if figures is None:
        text.append("its figures are being read …\n", "dim")
        return
    tally = figures.tally
    so_far = " so far" if tally.total < line.requested else ""
    text.append(f"{'mean value' if figures.graded else 'accuracy'}{so_far} ", "bold")
    text.append("- " if figures.value is None else f"{figures.value:.1f} % ", "bold")
    text.append(f"{_interval(figures)}: {_of_what(figures)}\n")
    text.append("by      ", "dim").append(f"{one_line(figures.scorer, 200)}\n")
    for outcome in OUTCOMES:
        _outcome(text, outcome, tally.outcomes[outcome], tally.total)
    _tokens(text, figures)
    text.append("cost    ", "dim").append(_cost(line))
    if tally.cached:
        text.append(f"   {tally.cached:,} samples taken from earlier evaluations")
    text.append("\n")
    if line.info is not None and line.active:
        status = line.info.status
        text.append(f"now     {status.in_flight:,} calls in flight, {status.retries:,} tried again\n", "dim")


def _interval(figures: Figures) -> str:
    if figures.interval is None:
        return "(no interval)" if figures.whole else "(its interval is on its way)"
    return f"({figures.interval[0]:.1f} to {figures.interval[1]:.1f})"


def _of_what(figures: Figures) -> str:
    tally = figures.tally
    if figures.graded:
        return f"of {tally.valued:,} graded samples"
    return f"{tally.outcomes['correct']:,} of all {tally.total:,} samples"


def _outcome(text: Text, outcome: str, number: int, total: int) -> None:
    sign, style = OUTCOME_SIGNS[outcome]
    share = 100 * number / total if total else 0.0
    cells = max(round(share * _OUTCOME_BAR / 100), 1) if number else 0
    text.append(f"{outcome:>12} {number:>8,}  {share:>5.1f} %  ")
    text.append(sign * cells, style)
    text.append(f"{' ' * (_OUTCOME_BAR + 1 - cells)}{MEANING[outcome]}" if number and MEANING[outcome] else "", "dim")
    text.append("\n")


def _tokens(text: Text, figures: Figures) -> None:
    tally = figures.tally
    text.append("tokens  ", "dim")
    if figures.tokens is None:
        text.append("no answer yet\n")
        return
    text.append(f"{figures.tokens:,.0f} an answer on average")
    if tally.thought_known:
        thought = tally.thought_tokens / tally.thought_known
        answer = tally.output_where_thought_known / tally.thought_known - thought
        text.append(f": {thought:,.0f} of thought, {answer:,.0f} after it")
        if tally.thought_known < tally.answered:
            text.append(f" (known of {tally.thought_known:,})")
    text.append(f", {tally.estimated:,} counted by us\n" if tally.estimated else "\n")


def _cost(line: Line) -> str:
    words = cost_words(line)
    if words == "-":
        return "price not known"
    told = line.info is not None and line.info.status.priced
    return words if told else f"{words} for its samples; what a judge cost is not known"


def _scorers(text: Text, detail: Detail) -> None:
    if not detail.scorers:
        return
    text.append("\nscorers\n", "bold")
    shown = detail.line.figures.scorer if detail.line.figures else ""
    for label, number in detail.scorers.items():
        mark = "▸ " if label == shown else "  "
        text.append(f"{mark}{one_line(label, 80)}", "bold" if label == shown else "")
        text.append(f"  {number:,} samples{', shown' if label == shown else ''}\n", "dim")


def _identity(text: Text, detail: Detail) -> None:
    record, info = detail.line.record, detail.line.info
    if record is not None:
        text.append("\nwhat and who\n", "bold")
        _named(text, {
            "suite": f"{record.suite_label} ({record.family})",
            "items": f"{record.items:,} × {record.samples:,} samples, hash {record.items_hash}",
            "model": f"{record.model} ({record.role})",
            "revision": record.revision or "not known",
            "made": record.created_at,
        })  # fmt: skip
        text.append("\nsampling\n", "bold")
        _named(text, record.sampling or {"sampling": "the suite's"})
    if info is None or info.settings is None:
        return
    settings = info.settings.model_dump(mode="json")
    known = {"suite", "model", *(record.sampling if record else ())}
    text.append("\nother settings\n", "bold")
    _named(text, {name: value for name, value in settings.items() if name not in known and value is not None})


def _named(text: Text, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        said = "left to the server" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
        text.append(f"{one_line(name.replace('_', ' '), 24):>20}  ", "dim").append(f"{one_line(said, 300)}\n")
