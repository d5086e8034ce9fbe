"""An evaluation as text: its row in the list, its figures and settings. Pure functions without widgets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from o1lab.format import duration, money
from o1lab.jobs.directory import CountedStatus
from o1lab.text import one_line, visible
from o1lab.widgets.columns import Column, Row
from screens.evaluate.poller import Detail, Figures, Line
from screens.jobs.text import add_about, add_faults, add_progress, add_trouble, bar, request_words, sign
from store.evaluations import OUTCOMES

# Each outcome has its own character; colour only repeats it.
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
    "unextracted": "no answer could be found in it",
    "unscored": "no verdict from the scorer",
    "failed": "no response",
}
_OUTCOME_BAR = 12

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
"""Progress and results; on a wide terminal also the other outcomes."""
OUTCOME_COLUMNS = (
    *_WHO,
    Column("accuracy", "accuracy", 14, priority=4, justify="right"),
    *(Column(one.key, one.title, one.width, justify="right") for one in _OTHERS),
    Column("done", "done", 9, priority=5, justify="right"),
)
"""The outcomes other than correct and incorrect, for a terminal too narrow for all columns."""


def row(line: Line, *, marked: bool) -> Row:
    """Make the row of an evaluation."""
    figures, status = line.figures, line.info.status if line.info else None
    left = status.seconds_left if status and line.active else None
    cells: dict[str, str | Text] = {
        "sign": Text.assemble(("●" if marked else " ", "bold"), sign(line.state)),
        "suite": f"{line.suite} · {line.name}" if line.name else line.suite,
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
    """Format a count in at most four cells: 12, 1319, 100k."""
    return str(number) if number < 10_000 else f"{number // 1000}k" if number < 1_000_000 else f"{number / 1e6:.0f}M"


def value_words(figures: Figures) -> str:
    """Format a result with its interval: ``43.3 (27–61)``; ``⌀`` marks a mean value."""
    if figures.value is None:
        return "-"
    words = f"{'⌀' if figures.graded else ''}{figures.value:.1f}"
    if not figures.whole:
        return f"{words} (…)"
    return words + (f" ({figures.interval[0]:.0f}–{figures.interval[1]:.0f})" if figures.interval else "")


def cost_words(line: Line) -> str:
    """Format the cost; ``-`` if the price is not known."""
    status: CountedStatus | None = line.info.status if line.info else None
    if status is not None and status.priced:
        return money(status.cost_usd)
    if line.figures and line.figures.tally.cost_usd:
        return money(line.figures.tally.cost_usd)
    return "-"


def outcome_bar(outcomes: Mapping[str, int], total: int) -> Text:
    """Draw all samples as a bar, each outcome with its own character; missing samples are dots."""
    return bar([(*OUTCOME_SIGNS[name], outcomes.get(name, 0)) for name in OUTCOMES], total)


def header(detail: Detail) -> Text:
    """Format two lines: the evaluation and its state; its progress and pending request."""
    line = detail.line
    symbol, style = sign(line.state)
    text = Text.assemble(
        (f"{symbol} {line.state}", style), "  ", (one_line(line.suite, 30), "bold"), " by ",
        (one_line(line.model, 40), "bold"), (f"  {one_line(line.id, 20)}", "dim"),
        f"  {one_line(line.name, 40)}\n" if line.name else "\n",
    )  # fmt: skip
    text.append_text(outcome_bar(line.figures.tally.outcomes if line.figures else {}, line.requested))
    add_progress(text, line.done, line.requested, line.status.seconds_left if line.status and line.active else None)
    asked = request_words(line.state, active=line.active, pausing=detail.pausing)
    return text.append(f" · {asked}" if asked else "", "yellow")


def facts(detail: Detail) -> Text:
    """Format everything about an evaluation, the most important first."""
    text = Text()
    _trouble(text, detail)
    _figures(text, detail)
    if detail.line.info is not None:
        add_about(text, detail.line.info)
    _scorers(text, detail)
    add_faults(text, detail.faults)
    _identity(text, detail)
    text.append("\nfolder  ", "dim").append(visible(detail.folder))
    return text


def _trouble(text: Text, detail: Detail) -> None:
    line = detail.line
    if line.info is None:
        text.append("∅ Its folder is gone. ", "bold yellow")
        text.append("Its samples are still in the lab's database, but it cannot be resumed.\n\n")
        return
    add_trouble(text, line.state, line.info.status)


def _figures(text: Text, detail: Detail) -> None:
    line, figures = detail.line, detail.line.figures
    if figures is None:
        text.append("Loading figures …\n", "dim")
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
        text.append(f"   {tally.cached:,} samples reused from earlier evaluations")
    text.append("\n")
    if line.info is not None and line.active:
        status = line.info.status
        text.append(f"now     {status.in_flight:,} calls in flight, retries so far: {status.retries:,}\n", "dim")


def _interval(figures: Figures) -> str:
    if figures.interval is None:
        return "(no interval)" if figures.whole else "(interval loading)"
    return f"({figures.interval[0]:.1f} to {figures.interval[1]:.1f})"


def _of_what(figures: Figures) -> str:
    tally = figures.tally
    if figures.graded:
        return f"of {tally.valued:,} graded samples"
    return f"{tally.outcomes['correct']:,} of all {tally.total:,} samples"


def _outcome(text: Text, outcome: str, number: int, total: int) -> None:
    symbol, style = OUTCOME_SIGNS[outcome]
    share = 100 * number / total if total else 0.0
    cells = max(round(share * _OUTCOME_BAR / 100), 1) if number else 0
    text.append(f"{outcome:>12} {number:>8,}  {share:>5.1f} %  ")
    text.append(symbol * cells, style)
    text.append(f"{' ' * (_OUTCOME_BAR + 1 - cells)}{MEANING[outcome]}" if number and MEANING[outcome] else "", "dim")
    text.append("\n")


def _tokens(text: Text, figures: Figures) -> None:
    tally = figures.tally
    text.append("tokens  ", "dim")
    if figures.tokens is None:
        text.append("no answer yet\n")
        return
    text.append(f"{figures.tokens:,.0f} per answer on average")
    if tally.thought_known:
        thought = tally.thought_tokens / tally.thought_known
        answer = tally.output_where_thought_known / tally.thought_known - thought
        text.append(f": {thought:,.0f} thought, {answer:,.0f} after it")
        if tally.thought_known < tally.answered:
            text.append(f" (known of {tally.thought_known:,})")
    text.append(f", estimated for {tally.estimated:,}\n" if tally.estimated else "\n")


def _cost(line: Line) -> str:
    words = cost_words(line)
    if words == "-":
        return "price not known"
    priced = line.info is not None and line.info.status.priced
    return words if priced else f"{words} for its samples; the cost of a judge is not known"


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
        text.append("\nidentity\n", "bold")
        _named(text, {
            "suite": f"{record.suite_label} ({record.family})",
            "items": f"{record.items:,} × {record.samples:,} samples, hash {record.items_hash}",
            "model": f"{record.model} ({record.role})",
            "revision": record.revision or "not known",
            "created": record.created_at,
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
        words = "server default" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
        text.append(f"{one_line(name.replace('_', ' '), 24):>20}  ", "dim").append(f"{one_line(words, 300)}\n")
