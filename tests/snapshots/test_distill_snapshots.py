"""Pictures of the Distill screen at both sizes: the pool, a problem, the rules, the runs, one of them, the form."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from rich.text import Text
from textual.pilot import Pilot
from textual.widgets import Input

from o1lab.app import LabApp
from o1lab.config import init_lab
from o1lab.distill import runs
from o1lab.distill.filters.pool import chosen_rules, filter_pool
from o1lab.distill.run_directory import TeacherRunStatus
from o1lab.paths import Lab
from screens.base.context import open_context
from screens.distill import text as distill_text
from screens.distill.form import DistillForm
from screens.distill.prompts import PromptsScreen
from screens.distill.rules import RulesDialog
from screens.distill.screen import DistillScreen
from screens.distill.write import WriteScreen
from screens.forms.dataset import DatasetForm
from store import exclusions, open_store, problems, teacher_runs
from store.filters import ProblemQuery
from store.records import NewProblem
from store.teacher_runs import Outcome
from tests.support.compare_lab import filter_by, screen_shown, shown, until
from tests.support.pictures import pictures


def fill(lab: Lab) -> None:
    """A pool with something for most rules, one ruling, and four runs of which one works and one is dead."""
    store = open_store(lab.database)
    with store.db.atomic():
        problems.add(store.db, [
            NewProblem("What is 964 + 494?", "demo", "964+494", "1458", licence="Apache-2.0"),
            NewProblem("Prove that the sum of two odd numbers is even.", "minif2f", "odd", "even", licence="MIT"),
            NewProblem(
                "Cities $A$ and $B$ are $45$ miles apart. Alicia lives in $A$ and Beth lives in $B$. Alicia bikes "
                "towards $B$ at 18 miles per hour. Leaving at the same time, Beth bikes toward $A$ at 12 miles per "
                "hour. How many miles from City $A$ will they be when they meet?",
                "amc23", "0", "27", licence="Apache-2.0",
            ),
            NewProblem("What is [bold]3[/] + 4?\x1b]0;title\x07", "hostile", "c", "7", solution="3 + 4 = \\boxed{7}"),
            NewProblem("In the figure below, how long is $AB$? [asy] draw((0,0)--(3,4)); [/asy]", "math", "f", "5"),
            NewProblem("What is  964  + 494 ?", "numina", "e", "1458"),
            *(NewProblem(f"What is {i} + {i + 7}?", "demo", f"{i}+{i + 7}", str(2 * i + 7)) for i in range(100, 140)),
        ])  # fmt: skip
    filter_pool(store.db, chosen_rules(), ProblemQuery(), benchmarks=["amc23"])
    figure = next(one for one in problems.page(store.db) if one.key == "f")
    exclusions.rule_on(store.db, [figure.id], "keep", annotator="tester", note="the drawing adds nothing")
    store.close()


def add_run(
    lab: Lab, name: str, status: TeacherRunStatus, outcomes: list[Outcome] | None = None, **settings: Any
) -> None:
    """A run's folder and row, under a name that stays the same from picture to picture."""
    made = runs.start(lab, runs.read_settings({"endpoint": "solver", "max_tokens": 4096} | settings))
    folder = type(made)(made.path.with_name(name))
    made.path.rename(folder.path)
    folder.write_status(status)
    store = open_store(lab.database)
    store.db.conn.execute("UPDATE teacher_runs SET id = ? WHERE id = ?", (name, made.id))
    store.db.conn.commit()
    with store.db.atomic():
        teacher_runs.add_outcomes(store.db, name, outcomes or [])
    store.close()


def with_runs(lab: Lab) -> None:
    host, here = os.uname().nodename, os.getpid()
    add_run(lab, "51c0aa01", TeacherRunStatus(
        "stopped", requested=40, done=25, correct=20, incorrect=4, unverifiable=1, input_tokens=1200,
        output_tokens=90_000, cost_usd=5.0, priced=True, stopped_by="budget_usd",
        message="The budget of $5.00 would be exceeded.", hint="Raise it and go on with --resume.",
    ))  # fmt: skip
    add_run(lab, "9e00bb02", TeacherRunStatus(
        "running", 2**22 + 1, 1.0, host, 1.0, requested=40, done=12, correct=9, incorrect=3,
    ))  # fmt: skip
    reasons = [Outcome("p1", 0, "rejected", "the answer is not gold"), Outcome("p2", 0, "failed", "moderated: refused")]
    add_run(lab, "33ab0003", TeacherRunStatus(
        "finished", requested=80, done=78, correct=70, incorrect=8, rejected=1, failed=1, retries=3,
        input_tokens=2600, output_tokens=310_000, notes=["The server does not say how many tokens it read: estimated."],
    ), reasons, n=2, method="debate")  # fmt: skip
    add_run(lab, "7f3a12cd", TeacherRunStatus(
        "running", here, None, "another-host", time.time() + 3600, requested=45, done=17, correct=14, incorrect=2,
        unverifiable=1, failed=1, in_flight=4, retries=2, input_tokens=540, output_tokens=21_000, priced=True,
        seconds_left=109,
    ))  # fmt: skip


async def screen_of(pilot: Pilot[int]) -> DistillScreen:
    screen = pilot.app.screen
    assert isinstance(screen, DistillScreen)
    for line in screen.query(Input):
        line.cursor_blink = False
    await until(pilot, lambda: screen.pool.counts and screen.jobs.snapshot, "what there is")
    await until(pilot, lambda: not screen.pool.counts.total or screen.pool.shown, "the first problem")  # type: ignore[union-attr]  # waited for
    return screen


async def pool(pilot: Pilot[int]) -> None:
    await screen_of(pilot)
    await pilot.pause()


async def problem(pilot: Pilot[int]) -> None:
    screen = await screen_of(pilot)
    await pilot.press("j", "j", "j", "j", "enter")
    await until(pilot, lambda: screen.pool.shown and screen.pool.shown.problem.key == "f", "the problem")
    await until(pilot, lambda: "keep it, tester" in shown(pilot), "its pane")
    await pilot.pause()


async def typing(pilot: Pilot[int]) -> None:
    await screen_of(pilot)
    await filter_by(pilot, "sorce:demo")
    await until(pilot, lambda: "Did you mean" in shown(pilot), "the fault")
    await pilot.pause()


async def rules(pilot: Pilot[int]) -> None:
    await screen_of(pilot)
    await pilot.press("F")
    await until(pilot, lambda: isinstance(pilot.app.screen, RulesDialog), "the dialog")
    await pilot.press("space", "i")
    await until(pilot, lambda: "press w to apply" in shown(pilot), "the preview")
    await pilot.pause()


async def overrule(pilot: Pilot[int]) -> None:
    await screen_of(pilot)
    await pilot.press("j", "exclamation_mark")
    await until(pilot, lambda: "Overrule" in shown(pilot), "the dialog")
    await pilot.pause()


async def runs_list(pilot: Pilot[int]) -> None:
    await screen_of(pilot)
    await pilot.press("2")
    await until(pilot, lambda: "7f3a12cd" in shown(pilot), "the runs")
    await pilot.pause()


async def open_run(pilot: Pilot[int], run_id: str, words: str) -> None:
    """A run's facts, of which ``words`` are some."""
    screen = await screen_of(pilot)
    screen.open_run(run_id)
    await until(pilot, lambda: screen.jobs.detail and screen.jobs.detail.line.id == run_id, "the run")
    await until(pilot, lambda: words in shown(pilot), "its facts")
    await pilot.pause()


async def one_run(pilot: Pilot[int]) -> None:
    await open_run(pilot, "33ab0003", "78 of 80")


async def dead_run(pilot: Pilot[int]) -> None:
    await open_run(pilot, "9e00bb02", "ended without writing")


async def form(pilot: Pilot[int]) -> None:
    await screen_of(pilot)
    await pilot.press("ctrl+n")
    await until(pilot, lambda: isinstance(pilot.app.screen, DistillForm) and pilot.app.screen.query("#go"), "the form")
    for line in pilot.app.screen.query(Input):
        line.cursor_blink = False
    await until(pilot, lambda: "samples," in shown(pilot) and "at most" in shown(pilot), "the estimate")
    await pilot.pause()


async def dataset(pilot: Pilot[int]) -> None:
    await open_run(pilot, "33ab0003", "78 of 80")
    await pilot.press("d")
    await until(pilot, lambda: isinstance(pilot.app.screen, DatasetForm), "the dialog")
    for line in pilot.app.screen.query(Input):
        line.cursor_blink = False
    await until(pilot, lambda: "0 rows" in shown(pilot), "the preview")
    await pilot.pause()


async def prompts(pilot: Pilot[int]) -> None:
    await screen_of(pilot)
    await pilot.press("L")
    await until(pilot, lambda: isinstance(pilot.app.screen, PromptsScreen), "the prompts")
    await until(pilot, lambda: "debate-critic@1  for" in shown(pilot), "the first one")
    await pilot.pause()


async def writing(pilot: Pilot[int]) -> None:
    await screen_of(pilot)
    await pilot.press("w")
    written = await screen_shown(pilot, WriteScreen, "the screen")
    await until(pilot, lambda: written.checked and written.focused is written.line, "the draft")
    for line in ("I read the question again.", "My first idea is to count them.", "No, that counts one of them twice."):
        await pilot.press(*line, "enter")
    await pilot.press("tab", *"There are \\boxed{9} of them.")
    await until(pilot, lambda: "3 moves · all saved" in shown(pilot) and "answer 9" in shown(pilot), "the verdict")
    await pilot.press("shift+tab", *"Let me", "alt+b")
    await until(pilot, lambda: "backtrack" in shown(pilot), "the kind")
    written.line.cursor_blink = False
    await pilot.pause()


async def empty(pilot: Pilot[int]) -> None:
    await until(pilot, lambda: "No problems in this lab yet" in shown(pilot), "the empty state")
    await pilot.pause()


Picture = Callable[[Pilot[int]], Awaitable[None]]
FILLED: dict[Picture, int] = {
    pool: 1, problem: 1, typing: 1, rules: 1, overrule: 1, runs_list: 2, one_run: 2, dead_run: 2,
    form: 1, dataset: 2, prompts: 1, writing: 1, empty: 0,
}  # fmt: skip
"""What the lab has: nothing, problems, or runs as well."""


@pytest.fixture(autouse=True)
def _same_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths, times and what this machine has are not in the pictures."""
    said = distill_text.facts
    monkeypatch.setattr(distill_text, "facts", lambda detail: _cut(said(detail), "\nfolder  "))
    monkeypatch.setattr("o1lab.distill.estimate._counter", lambda _: (lambda text: len(text) // 4, "the tests"))
    monkeypatch.setattr("store.exclusions.now", lambda: "2026-11-23T10:00:00+00:00")


def _cut(text: Text, mark: str) -> Text:
    """What stands before ``mark``."""
    return text[: text.plain.index(mark)]


@pictures(FILLED, at_both=[pool, one_run, form, writing])
def test_distill(snap_compare: Any, tmp_path: Path, size: tuple[int, int], picture: Picture) -> None:
    lab = init_lab(tmp_path / "lab", name="demo")
    if FILLED[picture]:
        fill(lab)
    if FILLED[picture] > 1:
        with_runs(lab)
    assert snap_compare(LabApp(open_context(lab), mode="distill"), terminal_size=size, run_before=picture)
