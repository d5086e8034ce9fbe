"""The text of the Transparency screen: a work in the list, an item in the list, and the details of an item."""

from __future__ import annotations

from rich.text import Text

from o1lab.text import one_line, visible
from o1lab.transparency.checks.finding import ANSWER_WORDS
from o1lab.transparency.framework import Framework, Item
from o1lab.transparency.methods import MethodFacts, figures_of
from o1lab.transparency.scores import EARNS, ScoredItem, ScoredWork, agreement
from o1lab.transparency.self_score import JudgedItem, LabScore

_MARKS = {"yes": ("✓", "green"), "not_used": ("✓", "green"), "no": ("✗", "red"), "person": ("?", "yellow")}


def work_cell(work: ScoredWork, framework: Framework) -> Text:
    """Format a work: its total and its name; the points of the dimensions below."""
    parts = " ".join(f"{one.title[:1]}{work.scores[one.id]}" for one in framework.dimensions)
    below = f"    {parts}" + ("  published" if work.published else "")
    return Text.assemble((f"{work.total:>3} ", "bold"), one_line(work.name, 22), "\n", (below, "dim"), no_wrap=True)


def lab_cell(score: LabScore | None, framework: Framework) -> Text:
    """Format the first cell of the list: the lab itself."""
    if score is None:
        return Text.assemble(
            ("  - ", "bold"), "this lab", "\n", ("    not scored yet: r scores it", "dim"), no_wrap=True
        )
    points = {dimension.id: score.of(dimension.id) for dimension in framework.dimensions}
    return work_cell(ScoredWork(f"this lab, run {score.run_id}", points), framework)


def methods_cell() -> Text:
    """Format the cell of the synthesis methods."""
    return Text.assemble(("    ", "bold"), "synthesis methods", "\n", ("    side by side", "dim"), no_wrap=True)


def method_cell(one: MethodFacts) -> Text:
    """Format a synthesis method: its name, and how many of its chains were accepted."""
    if not one.chains:
        return Text.assemble(f"{one_line(one.name, 30):<12}", ("no chain", "dim"), no_wrap=True)
    accepted = "none decided" if one.accepted is None else f"{one.accepted:,} accepted"
    return Text.assemble(f"{one_line(one.name, 30):<12}", f"{one.chains:,} chains, {accepted}", no_wrap=True)


def method_detail(one: MethodFacts | None) -> Text:
    """Format the figures of a method, and what is missing; None while they are read."""
    if one is None:
        return Text("Reading the chains of this lab.", "dim")
    text = Text.assemble((visible(one.name), "bold"), "\n")
    for name, figure in figures_of(one) if one.chains else ():
        text.append(f"\n{name}  ", "dim").append(visible(figure))
    for each in one.missing:
        text.append(f"\nmissing: {visible(each.what)}", "yellow").append(f"\n  → {visible(each.fix)}", "bold")
    return text


def item_cell(item: Item, answer: str | None, *, disputed: bool = False) -> Text:
    """Format an item: its mark, its points and its title."""
    mark, style = _MARKS.get(answer or "", ("·", "dim"))
    earned = item.points if answer in EARNS else 0
    line = Text.assemble((f"{mark} ", style), (f"{earned}/{item.points} ", "dim"), item.title, no_wrap=True)
    return line.append("  disputed", "yellow") if disputed else line


def work_detail(one: ScoredItem, work: ScoredWork) -> Text:
    """Format the question of an item and the answers of all scorers."""
    text = _question(one.item)
    for answer in one.answers:
        mark, style = _MARKS[answer.answer]
        text.append(f"\n{mark} {ANSWER_WORDS[answer.answer]}", style).append(f"  by {one_line(answer.scorer, 40)}")
        text.append(f" on {answer.created_at[:10]}", "dim")
        for words in (answer.evidence, answer.note):
            if words:
                text.append(f"\n  {visible(words)}")
    if not one.answers:
        text.append("\nno answer yet: a yes, x no" + (", z not used" if one.item.may_be_unused else ""), "dim")
    found = agreement(work)
    if found is not None and found.value is not None:
        text.append(f"\n\nagreement of {found.raters} scorers: Krippendorff's alpha {found.value:.2f}", "dim")
    return text


def lab_detail(one: JudgedItem, score: LabScore) -> Text:
    """Format what a check found, and whether that changed since the last score."""
    finding = one.finding
    mark, style = _MARKS[finding.answer]
    text = _question(one.item).append(f"\n{mark} {ANSWER_WORDS[finding.answer]}", style)
    for line in (*finding.evidence, finding.missing):
        if line:
            text.append(f"\n  {visible(line)}")
    if finding.fix and finding.answer in ("no", "person"):
        text.append(f"\n  → {visible(finding.fix)}", "bold")
    changed = {item: (before, after) for item, before, after in score.changes}
    if one.item.id in changed:
        before, after = changed[one.item.id]
        text.append(f"\n\nchanged since {(score.last or '')[:16].replace('T', ' ')}: {before} → {after}", "yellow")
    return text


def published_detail(framework: Framework) -> Text:
    """Explain why a published work has no items."""
    return Text.assemble(
        "The scores of single items were not published.\n\n", (str(framework.source), "dim"),
        ("\n\nctrl+n adds a work of your own; under the same name it is your own score of it.", "dim"),
    )  # fmt: skip


def _question(item: Item) -> Text:
    text = Text.assemble((item.question, "bold"), f"  {item.points} points\n", (f"evidence: {item.evidence}", "dim"))
    return text.append("\n")
