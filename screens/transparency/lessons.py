"""The lesson page of the Transparency screen: what distillation did to each student, and the curves of the lab."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rich.text import Text

from o1lab.evaluate.report import plot_text
from o1lab.evaluate.report.plot_svg import svg
from o1lab.format import percent
from o1lab.paths import Lab
from o1lab.text import one_line, visible
from o1lab.train.launch import RUNS
from o1lab.transparency.curve import Curve, curve_plot, curves, curves_of, no_curve
from o1lab.transparency.curve import as_markdown as curve_markdown
from o1lab.transparency.lab_facts import collect
from o1lab.transparency.lesson import Lesson, as_markdown, measure_lesson
from store import Store

FORMATS = {".md": "md", ".json": "json"}
_MOST_RUNS = 50
_NARROWEST, _LOWEST = 40, 7
"""Columns and rows of the smallest plot."""
_AROUND = 7
"""Lines of a plot other than its rows and figures: titles and axis."""


@dataclass(frozen=True)
class LessonPage:
    """The finished runs of the lab, the newest first, and its curves.

    Attributes:
        runs: the datasets of the runs, by their ids.
        left_out: the number of older runs that are not listed.
    """

    runs: Mapping[str, str]
    curves: tuple[Curve, ...]
    left_out: int = 0

    def curve(self, item: str) -> Curve | None:
        """Return the curve of an item of the list; None if it is a run."""
        return next((one for one in self.curves if _curve_key(one) == item), None)


@dataclass(frozen=True)
class RunLesson:
    """What distillation did to the student of one run, and the curves over its data."""

    lesson: Lesson
    curves: tuple[Curve, ...]


def read_page(lab: Lab, store: Store) -> LessonPage:
    """Read which runs and curves there are."""
    found: dict[str, str] = {}
    finished = [run for run in RUNS.directories(lab) if run.info().state == "finished"]
    for run in finished[:_MOST_RUNS]:
        facts = collect(lab, store, run.id)
        found[run.id] = str(facts.stages[-1].recipe.get("dataset") or "an unknown dataset")
    return LessonPage(found, tuple(curves(lab, store)), max(len(finished) - _MOST_RUNS, 0))


def read_lesson(lab: Lab, store: Store, run: str) -> RunLesson:
    """Measure what distillation did to the student of a run."""
    facts = collect(lab, store, run)
    found, drawn = measure_lesson(facts), tuple(curves_of(facts))
    missing = found.missing if drawn else (*found.missing, no_curve(facts))
    return RunLesson(Lesson(found.run, found.ceilings, found.fell, found.suites, found.tokens, missing), drawn)


def page_cell() -> Text:
    """Format the cell of the page in the list of works."""
    return Text.assemble(("    ", "bold"), "the bitter lesson", "\n", ("    of each student", "dim"), no_wrap=True)


def cells(page: LessonPage) -> dict[str, Text]:
    """Format the items of the page: curves first, then runs."""
    found = {
        _curve_key(one): Text.assemble(
            ("curve ", "bold"), one_line(one.parent, 24), f" on {one_line(one.key.suite, 24)}",
            (f"  {len(one.points)} sizes", "dim"), no_wrap=True,
        )
        for one in page.curves
    }  # fmt: skip
    for run, dataset in page.runs.items():
        found[run] = Text.assemble("run ", (one_line(run, 16), "bold"), f"  {one_line(dataset, 32)}", no_wrap=True)
    return found


def empty(page: LessonPage | None) -> Text:
    """Say why there is nothing to show."""
    if page is None:
        return Text("Reading the runs of this lab.", "dim")
    return Text("No training run of this lab has finished. Train a student first: o1lab train --dataset NAME", "dim")


def curve_detail(curve: Curve, width: int, height: int) -> Text:
    """Draw a curve so that its plot and its figures fit into a pane, if that is not too small."""
    rows = height - len(curve.points) - len(curve.levels) - _AROUND
    text = plot_text.text(curve_plot(curve), max(width, _NARROWEST), min(max(rows, _LOWEST), plot_text.HEIGHT))
    for words in curve.missing:
        text.append("\n").append_text(_missing(words))
    return text


def run_detail(found: RunLesson | None, width: int, height: int) -> Text:
    """Format the lesson of a run; None while it is read."""
    if found is None:
        return Text("Measuring what distillation did to this student.", "dim")
    one = found.lesson
    text = Text()
    if one.ceilings:
        text.append("the ceiling: right where the teacher is wrong, and the reverse\n", "bold")
    for each in one.ceilings:
        low, high = (percent(end) for end in each.above_interval)
        text.append(f"{one_line(each.suite, 30)} against {one_line(each.teacher, 30)}: ")
        text.append(f"{len(each.paired.only_b)} only the student, {len(each.paired.only_a)} only the teacher", "bold")
        text.append(f" of {each.paired.items}; beyond the teacher {percent(each.above)} [{low}, {high}]\n")
    if one.suites:
        text.append(f"{'' if not text else chr(10)}what fell, of {one.suites} suite{'s' * (one.suites != 1)}\n", "bold")
        text.append("" if one.fell else "none\n")
    for fall in one.fell:
        text.append(f"{one_line(fall.suite, 40)}: {fall.before:.1f} → {fall.after:.1f}")
        text.append(" beyond chance\n" if fall.is_clear else " within chance\n", "red" if fall.is_clear else "dim")
    if one.tokens:
        text.append(f"{'' if not text else chr(10)}whose tokens: {percent(one.teacher_share)} a teacher's\n", "bold")
        for kind, number in one.tokens.items():
            text.append(f"{one_line(kind, 24)} {number:,}\n")
    if one.missing and text:
        text.append("\n")
    for words in one.missing:
        text.append_text(_missing(words)).append("\n")
    for curve in found.curves:
        text.append("\n").append_text(curve_detail(curve, width, height)).append("\n")
    text.rstrip()
    return text


def writer(page: LessonPage, item: str, found: RunLesson | None) -> tuple[str, dict[str, str], Callable[[str], str]]:
    """Return what `w` writes for an item: a file name, the formats, and a function that makes the text of a format."""
    curve = page.curve(item)
    if curve is not None:
        made = {
            "md": lambda: curve_markdown([curve]),
            "json": lambda: _json(curve.as_json()),
            "svg": lambda: svg(curve_plot(curve)),
        }
        return "curve.svg", {".svg": "svg", **FORMATS}, lambda form: made[form]()
    lessons = [] if found is None else [found.lesson]
    drawn = () if found is None else found.curves
    texts = {
        "md": lambda: as_markdown(lessons) + "\n" + curve_markdown(drawn),
        "json": lambda: _json({"runs": [one.as_json() for one in lessons], "curves": [one.as_json() for one in drawn]}),
    }
    return "lesson.md", FORMATS, lambda form: texts[form]()


def _json(values: Mapping[str, object]) -> str:
    return json.dumps(values, ensure_ascii=False, indent=2) + "\n"


def _missing(words: str) -> Text:
    """Format a sentence about what is missing, with its command in bold."""
    what, colon, command = visible(words).partition(": o1lab ")
    text = Text(f"missing: {what}", "yellow")
    return text.append(f"\n  → o1lab {command}", "bold") if colon else text


def _curve_key(curve: Curve) -> str:
    key = curve.key
    return f"curve {curve.group} {key.suite} {key.items_hash} {key.scorer}"
