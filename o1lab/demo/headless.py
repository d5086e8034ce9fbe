"""The demo without a screen: once round the loop with the real parts, and the table at the end.

Seed the lab, ask the base, train in a detached process, load its checkpoint into the running server, ask the
student and the teacher. Every model answers over the same protocol.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from o1lab.demo.evaluation import ELSEWHERE, SUMS, Score, changes, measure, said
from o1lab.demo.seed import Seeded, seed_demo
from o1lab.errors import LabError
from o1lab.evaluate.report import render
from o1lab.evaluate.report.cells import Table
from o1lab.evaluate.stats.summary import Summary
from o1lab.jobs import spawn
from o1lab.models import STUDENT_NAME, STUDENT_ORIGIN, resolve_base
from o1lab.paths import assets_dir
from o1lab.serve.manager import ServerManager
from o1lab.serve.registry import SOLVER, find_model
from o1lab.train import launch
from o1lab.train.metrics_reader import Metrics
from o1lab.train.recipe import Recipe, load_values, resolve
from o1lab.train.run_directory import RunDir, RunStatus

STUDENT_AT_LEAST = 45  # of 60, after the recipe's own number of steps
BASE_AT_MOST = 15
NOTE = (
    f"One procedure, 3-digit addition by columns, learned from a solver (a program, not a language model) by "
    f"{STUDENT_NAME}, {STUDENT_ORIGIN}. It says nothing of any other question; what it cost elsewhere follows."
)
PLUMBING_STEPS = 2
PLUMBING_ITEMS = 2
PLUMBING_NOTE = (
    f"This short demo proves the plumbing and not the effect: it goes round the whole loop with a few training steps "
    f"and the first {PLUMBING_ITEMS} items of each suite. Its figures mean nothing. `o1lab demo --headless` measures "
    f"the effect."
)
POLL_S = 0.5
TELL_EVERY = 10  # steps
TELL_ANSWERS = 20

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Report:
    """What the demo measured. ``met`` is None when there is no target: fewer steps, or only the plumbing."""

    seed: int
    dtype: str
    steps: int
    train_seconds: float
    total_seconds: float
    run_id: str
    dataset_hash: str
    table: list[Score]
    changes: Table
    elsewhere: list[tuple[str, str, str]]
    met: bool | None
    note: str = NOTE

    def as_json(self) -> dict[str, object]:
        return {
            "seed": self.seed,
            "dtype": self.dtype,
            "steps": self.steps,
            "train_seconds": round(self.train_seconds, 1),
            "total_seconds": round(self.total_seconds, 1),
            "run_id": self.run_id,
            "dataset_hash": self.dataset_hash,
            "table": [row.as_json() for row in self.table],
            "generalization": self.changes.as_json(),
            "elsewhere": [{"prompt": p, "base": b, "student": s} for p, b, s in self.elsewhere],
            "note": self.note,
        }


def demo_recipe(steps: int | None = None) -> Recipe:
    """The demo's recipe, with another number of steps if one is given.

    Raises:
        UsageError: the number of steps is out of bounds.
    """
    values = load_values(assets_dir() / "recipes" / "demo.yaml")
    return resolve(values if steps is None else values | {"steps": steps})


def run_headless(
    folder: Path, steps: int | None = None, *, plumbing: bool = False, progress: Progress | None = None
) -> Report:
    """Go round the loop in the demo's lab at ``folder`` (made if need be) and measure what came of it.

    Args:
        folder: the lab.
        steps: training steps instead of the recipe's; the result then has no target.
        plumbing: prove only that the parts work together, with PLUMBING_STEPS training steps (unless ``steps``
            says otherwise) and PLUMBING_ITEMS items of each suite.
        progress: called with a line of text now and then.

    Raises:
        UsageError: ``steps`` is out of bounds.
        RefusedError: the folder holds another lab.
        LabError: the student cannot be fetched, the training failed, or a model did not answer.
    """
    tell = progress or (lambda _line: None)
    began = time.monotonic()
    recipe = demo_recipe(PLUMBING_STEPS if plumbing and steps is None else steps)
    resolve_base(recipe.base, progress=tell)
    seeded = seed_demo(folder, progress=tell)
    tell(f"Lab {seeded.lab.root}: dataset {seeded.dataset} ({seeded.rows} chains, hash {seeded.dataset_hash}).")
    # The probes are for those who watch; the table asks 60 times as much. One checkpoint will do.
    quiet = recipe.model_copy(update={"eval_steps": 0, "save_steps": 0, "probes": []})
    return asyncio.run(_round(seeded, quiet, tell, began, judged=steps is None and not plumbing, plumbing=plumbing))


async def _round(
    seeded: Seeded, recipe: Recipe, tell: Progress, began: float, *, judged: bool, plumbing: bool
) -> Report:
    lab, limit = seeded.lab, PLUMBING_ITEMS if plumbing else None
    async with ServerManager(lab) as manager:

        async def evaluate(role: str, wanted: str, suite: str) -> Summary:
            started = time.monotonic()
            whom = f"{role} on {suite}"
            model, on_answer = find_model(lab, wanted).id, _counted(whom, tell)
            found = await measure(lab, suite, model, manager, limit=limit, on_answer=on_answer)
            seen = found.tally
            tell(
                f"{whom}: {seen.outcomes['correct']} of {seen.total} right, {seen.cached} of them reused "
                f"({time.monotonic() - started:.0f} s)."
            )
            return found

        async def everything(role: str, wanted: str) -> tuple[Score, list[Summary]]:
            # Side by side: the server decodes what is there together, so the longest answer is waited for once.
            suites = (SUMS, *ELSEWHERE)
            sums, *elsewhere = await asyncio.gather(*(evaluate(role, wanted, suite) for suite in suites))
            return Score(role, sums), elsewhere

        base, base_elsewhere = await everything("base", recipe.base)
        run, status, train_seconds = await _train(seeded, recipe, tell)
        student, student_elsewhere = await everything("student", run.id)
        teacher = Score("teacher", await evaluate("teacher", SOLVER, SUMS))
    return Report(
        seed=recipe.seed,
        dtype=status.dtype,
        steps=status.step,
        train_seconds=train_seconds,
        total_seconds=time.monotonic() - began,
        run_id=run.id,
        dataset_hash=seeded.dataset_hash,
        table=[base, student, teacher],
        changes=changes(lab, base_elsewhere, student_elsewhere),
        elsewhere=said(lab, base_elsewhere, student_elsewhere, limit=limit),
        met=(student.correct >= STUDENT_AT_LEAST and base.correct <= BASE_AT_MOST) if judged else None,
        note=PLUMBING_NOTE if plumbing else NOTE,
    )


async def _train(seeded: Seeded, recipe: Recipe, tell: Progress) -> tuple[RunDir, RunStatus, float]:
    """Train in a detached process and wait for its end; asked to stop if we are interrupted."""
    began = time.monotonic()
    run, _ = launch.launch(seeded.lab, recipe)
    tell(f"Training run {run.id}: {recipe.steps} steps of {recipe.batch_size} rows...")
    metrics, told = Metrics(run.metrics), 0
    try:
        while (state := run.info()).active:
            await asyncio.sleep(POLL_S)
            spawn.reap()
            last = metrics.last() if metrics.poll() else {}
            if last and last["step"] >= told + TELL_EVERY:
                told = int(last["step"])
                tell(_training_line(last, recipe.steps or state.status.total_steps))
    except BaseException:
        run.ask_to_stop()
        raise
    if state.state != "finished":
        raise LabError(
            f"The training run {run.id} {state.state}: {state.status.message or 'it gave no reason'}",
            state.status.hint or f"The end of {run.log} says more.",
            code="training",
        )
    return run, state.status, time.monotonic() - began


def _training_line(last: dict[str, float], total: int) -> str:
    step, elapsed = int(last["step"]), last.get("elapsed_s", 0.0)
    left = elapsed / step * (total - step)
    return f"step {step}/{total}  loss {last.get('loss', float('nan')):.4f}  about {left:.0f} s left"


def _counted(whom: str, tell: Progress) -> Callable[[int, int], None]:
    told = 0

    def on_answer(done: int, requested: int) -> None:
        nonlocal told
        if told + TELL_ANSWERS <= done < requested:
            told = done
            tell(f"{whom}: {done} of {requested} answered")

    return on_answer


def as_text(report: Report) -> str:
    """The table for a person, with what it does and does not show."""
    lines = [f"{'':8} {'model':24} {'correct':>8} {'accuracy':>9}  {'95 % interval':15} {'tokens':>6} {'cut off':>7}"]
    for row in report.table:
        found = row.as_json()
        low, high = (f"{end:.1%}" for end in found["ci95"])
        lines.append(
            f"{row.role:8} {row.model:24} {row.correct:>5}/{row.n} {found['accuracy']:>9.1%}  "
            f"{low + ' to ' + high:15} {found['avg_output_tokens']:>6.0f} {found['incomplete']:>7}"
        )
    table = render.terminal(report.changes).plain.splitlines()
    lines += ["", *render.fold(report.note, render.WIDTH), "", *table, "", "Such as:"]
    for prompt, base, student in report.elsewhere:
        lines += [f"  {_short(prompt)}", f"    base     {_short(base)}", f"    student  {_short(student)}"]
    lines += [
        "",
        f"run {report.run_id}: {report.steps} steps in {report.train_seconds:.0f} s ({report.dtype}, seed "
        f"{report.seed}), {report.total_seconds:.0f} s in all; dataset hash {report.dataset_hash}",
    ]
    if report.met is False:
        lines.append(
            f"Below target: at least {STUDENT_AT_LEAST} of 60 by the student, at most {BASE_AT_MOST} by the base."
        )
    return "\n".join(lines)


def _short(text: str) -> str:
    folded = " ".join(text.split())
    return folded if len(folded) <= 90 else folded[:89] + "…"
