"""The demo without a screen: run the whole loop with the real parts and print the table.

It seeds the lab, evaluates the base and lets it answer general prompts, trains two students in detached processes (one
with those answers among its rows), loads their checkpoints into the running server, and evaluates students and teacher.
All models are called over the same protocol.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from o1lab.demo.evaluation import ELSEWHERE, SUMS, Score, behaviour, changes, price_of_replay, sample_answers
from o1lab.demo.replay import answer_prompts, with_replay
from o1lab.demo.seed import Progress, Seeded, seed_demo
from o1lab.errors import LabError
from o1lab.evaluate.report import render
from o1lab.evaluate.report.cells import Table
from o1lab.evaluate.run.measure import measure
from o1lab.evaluate.stats.figures import Summary
from o1lab.evaluate.stats.move_rates import ALL, REFLECTION
from o1lab.jobs import spawn
from o1lab.models import STUDENT_NAME, STUDENT_ORIGIN, resolve_base
from o1lab.paths import assets_dir
from o1lab.serve.manager import ServerManager
from o1lab.serve.records import SOLVER
from o1lab.serve.registry import find_model
from o1lab.text import one_line
from o1lab.train import launch
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.recipes.recipe_file import load_values, resolve
from o1lab.train.runs.directory import RunDir, RunStatus
from o1lab.train.runs.metrics_reader import Metrics
from o1lab.transparency.replay_price import ReplayPrice

STUDENT_AT_LEAST = 40  # of 60, after the recipe's own number of steps; measured: 59 in bfloat16, 47 to 55 in float32
FACTS_AT_LEAST = 10  # of 20, with replay
BASE_AT_MOST = 15
FACTS = "demo-facts"
NOTE = (
    f"One procedure, 3-digit addition by columns, learned from a solver (a program, not a language model) by "
    f"{STUDENT_NAME}, {STUDENT_ORIGIN}. It says nothing about other questions; what it cost elsewhere follows."
)
PLUMBING_STEPS = 2
PLUMBING_ITEMS = 2
PLUMBING_PROMPTS = 12
PLUMBING_NOTE = (
    f"This short demo checks the plumbing, not the effect: it runs the whole loop with a few training steps and the "
    f"first {PLUMBING_ITEMS} items of each suite. Its figures mean nothing; `o1lab demo --headless` measures the "
    f"effect."
)
POLL_S = 0.5
PROGRESS_STEPS = 10
PROGRESS_ANSWERS = 20

ANSWERED = ("base", "student", "student_replay")
"""The models whose answers are shown, by their roles in the demo."""


@dataclass(frozen=True)
class Replayed:
    """The student with replay: its run, and the suites without and with replay. ``facts`` is its score on FACTS."""

    run_id: str
    steps: int
    train_seconds: float
    share: float
    dataset: str
    dataset_hash: str
    changes: Table
    facts: Score
    price: ReplayPrice | None

    def as_json(self) -> dict[str, object]:
        return {
            "run_id": self.run_id,
            "steps": self.steps,
            "train_seconds": round(self.train_seconds, 1),
            "share": self.share,
            "rows": None if self.price is None else self.price.rows,
            "dataset": self.dataset,
            "dataset_hash": self.dataset_hash,
            "generalization": self.changes.as_json(),
            "facts": self.facts.as_json(),
            "price": None if self.price is None else self.price.as_json(),
        }


@dataclass(frozen=True)
class Report:
    """The result of the demo.

    Attributes:
        met: whether the target is met; None if there is none: with other steps, or only the plumbing.
        behaviour: moves per 1,000 tokens on the held-out problems, by role: all, and self-reflection.
    """

    seed: int
    dtype: str
    steps: int
    train_seconds: float
    total_seconds: float
    run_id: str
    dataset_hash: str
    table: list[Score]
    changes: Table
    elsewhere: list[tuple[str, ...]]
    replay: Replayed
    met: bool | None
    note: str = NOTE
    behaviour: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

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
            "elsewhere": [dict(zip(("prompt", *ANSWERED), one, strict=True)) for one in self.elsewhere],
            "replay": self.replay.as_json(),
            "moves_per_1000_tokens": {
                role: {name: round(rate, 2) for name, rate in rates.items()} for role, rates in self.behaviour.items()
            },
            "note": self.note,
        }


def demo_recipe(steps: int | None = None) -> Recipe:
    """Return the recipe of the demo, with ``steps`` training steps if given.

    Raises:
        UsageError: the number of steps is out of bounds.
    """
    values = load_values(assets_dir() / "recipes" / "demo.yaml")
    return resolve(values if steps is None else values | {"steps": steps})


def run_headless(
    folder: Path, steps: int | None = None, *, plumbing: bool = False, progress: Progress = lambda _line: None
) -> Report:
    """Run the whole loop in the demo's lab and evaluate the result.

    Args:
        folder: the lab, created if it does not exist.
        steps: training steps instead of the recipe's; the result then has no target.
        plumbing: only check that the parts work together, with PLUMBING_STEPS training steps (unless ``steps`` is
            given) and PLUMBING_ITEMS items of each suite.
        progress: called with lines of text.

    Raises:
        UsageError: ``steps`` is out of bounds.
        RefusedError: the folder is another lab.
        LabError, StoreError: the student cannot be downloaded, the training failed, a model did not answer, or the
            database cannot be used.
    """
    began = time.monotonic()
    recipe = demo_recipe(PLUMBING_STEPS if plumbing and steps is None else steps)
    resolve_base(recipe.base, progress=progress)
    seeded = seed_demo(folder, progress=progress)
    progress(f"Lab {seeded.lab.root}: dataset {seeded.dataset} ({seeded.rows} chains, hash {seeded.dataset_hash}).")
    # No probes: the table has 60 times as many items. One checkpoint is enough.
    quiet = recipe.model_copy(update={"eval_steps": 0, "save_steps": 0, "probes": []})
    return asyncio.run(
        _run(seeded, quiet, progress, began, has_target=steps is None and not plumbing, plumbing=plumbing)
    )


async def _run(
    seeded: Seeded, recipe: Recipe, progress: Progress, began: float, *, has_target: bool, plumbing: bool
) -> Report:
    lab, limit = seeded.lab, PLUMBING_ITEMS if plumbing else None
    async with ServerManager(lab) as manager:

        async def evaluate(role: str, wanted: str, suite: str) -> Summary:
            started = time.monotonic()
            title = f"{role} on {suite}"
            model, on_answer = find_model(lab, wanted).id, _answer_progress(title, progress)
            found = await measure(lab, suite, model, manager, limit=limit, on_answer=on_answer)
            tally = found.tally
            progress(
                f"{title}: {tally.outcomes['correct']} of {tally.total} correct, {tally.cached} reused "
                f"({time.monotonic() - started:.0f} s)."
            )
            return found

        async def everything(role: str, wanted: str) -> tuple[Score, list[Summary]]:
            # Concurrently: the server decodes all suites together, so the longest answer is waited for once.
            suites = (SUMS, *ELSEWHERE)
            sums, *elsewhere = await asyncio.gather(*(evaluate(role, wanted, suite) for suite in suites))
            return Score(role, sums), elsewhere

        on_answer = _answer_progress("base on general prompts", progress)
        prompts = PLUMBING_PROMPTS if plumbing else None
        (base, base_elsewhere), answers = await asyncio.gather(
            everything("base", recipe.base),
            answer_prompts(lab, recipe.base, manager, limit=prompts, on_answer=on_answer),
        )
        progress(f"Replay: {answers.rows} whole answers of the base to general prompts ({answers.name}).")
        run, status, train_seconds = await _train(seeded, recipe, progress)
        mixed = with_replay(recipe, seeded.rows, answers, None if has_target else recipe.steps)
        replay_run, replay_status, replay_seconds = await _train(seeded, mixed, progress)
        (student, student_elsewhere), (replayed, replayed_elsewhere) = await asyncio.gather(
            everything("student", run.id), everything("student_replay", replay_run.id)
        )
        teacher = Score("teacher", await evaluate("teacher", SOLVER, SUMS))
    facts = Score("student_replay", next(one for one in replayed_elsewhere if one.evaluation.suite == FACTS))
    return Report(
        seed=recipe.seed,
        dtype=status.dtype,
        steps=status.step,
        train_seconds=train_seconds,
        total_seconds=time.monotonic() - began,
        run_id=run.id,
        dataset_hash=seeded.dataset_hash,
        table=[base, student, replayed, teacher],
        changes=changes(lab, base_elsewhere, student_elsewhere),
        elsewhere=sample_answers(lab, base_elsewhere, student_elsewhere, replayed_elsewhere, limit=limit),
        replay=Replayed(
            replay_run.id,
            replay_status.step,
            replay_seconds,
            mixed.replay,
            answers.name,
            answers.hash,
            changes(lab, base_elsewhere, replayed_elsewhere),
            facts,
            price_of_replay(lab, replay_run.id),
        ),
        met=_meets(base, student, replayed, facts) if has_target else None,
        note=PLUMBING_NOTE if plumbing else NOTE,
        behaviour=behaviour(seeded.lab, [base, student, replayed, teacher]),
    )


def _meets(base: Score, student: Score, replayed: Score, facts: Score) -> bool:
    learned = min(student.correct, replayed.correct) >= STUDENT_AT_LEAST and base.correct <= BASE_AT_MOST
    return learned and facts.correct >= FACTS_AT_LEAST


async def _train(seeded: Seeded, recipe: Recipe, progress: Progress) -> tuple[RunDir, RunStatus, float]:
    """Train in a detached process and wait for its end; stop it if this process is interrupted."""
    began = time.monotonic()
    run, _ = launch.launch(seeded.lab, recipe)
    progress(f"Training run {run.id}: {recipe.steps} steps of {recipe.batch_size} rows...")
    metrics, reported = Metrics(run.metrics), 0
    try:
        while (state := run.info()).active:
            await asyncio.sleep(POLL_S)
            spawn.reap()
            last = metrics.last() if metrics.poll() else {}
            if last and last["step"] >= reported + PROGRESS_STEPS:
                reported = int(last["step"])
                progress(_training_line(last, recipe.steps or state.status.total_steps))
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


def _answer_progress(title: str, progress: Progress) -> Callable[[int, int], None]:
    reported = 0

    def on_answer(done: int, requested: int) -> None:
        nonlocal reported
        if reported + PROGRESS_ANSWERS <= done < requested:
            reported = done
            progress(f"{title}: {done} of {requested} answered")

    return on_answer


def as_text(report: Report) -> str:
    """Return the table as text, with a note on what it shows."""
    lines = [f"{'':14} {'model':14} {'correct':>8} {'accuracy':>9}  {'95 % interval':15} {'tokens':>6} {'cut off':>7}"]
    for row in report.table:
        found = row.as_json()
        low, high = (f"{end:.1%}" for end in found["ci95"])
        lines.append(
            f"{row.role:14} {row.model:14} {row.correct:>5}/{row.n} {found['accuracy']:>9.1%}  "
            f"{low + ' to ' + high:15} {found['avg_output_tokens']:>6.0f} {found['incomplete']:>7}"
        )
    if report.behaviour:
        rates = ", ".join(f"{role} {one[ALL]:.0f} ({one[REFLECTION]:.0f})" for role, one in report.behaviour.items())
        text = f"Moves (of them self-reflection) per 1,000 tokens, as in `o1lab eval profile`: {rates}."
        lines += ["", *render.fold(text, render.WIDTH)]
    table = render.terminal(report.changes).plain.splitlines()
    lines += ["", *render.fold(report.note, render.WIDTH), "", *table, "", *_replay_text(report.replay), "Examples:"]
    for prompt, *answers in report.elsewhere:
        lines.append(f"  {one_line(prompt, 90)}")
        lines += [f"    {role:14} {one_line(answer, 90)}" for role, answer in zip(ANSWERED, answers, strict=True)]
    lines += [
        "",
        f"run {report.run_id}: {report.steps} steps in {report.train_seconds:.0f} s ({report.dtype}, seed "
        f"{report.seed}), {report.total_seconds:.0f} s in total; dataset hash {report.dataset_hash}",
        f"run {report.replay.run_id}: with replay, {report.replay.steps} steps in {report.replay.train_seconds:.0f} s; "
        f"answers of the base: {report.replay.dataset} ({report.replay.dataset_hash})",
    ]
    if report.met is False:
        lines.append(
            f"Below target: at least {STUDENT_AT_LEAST} of 60 by each student, at most {BASE_AT_MOST} by the base, and "
            f"with replay at least {FACTS_AT_LEAST} of 20 facts."
        )
    return "\n".join(lines)


def _replay_text(replay: Replayed) -> list[str]:
    """Return each suite of the base and of both students, with intervals at 95 %."""
    price = replay.price
    if price is None:
        return []
    text = (
        f"The second student has the base's own answers to general prompts as {replay.share:.0%} of its rows (replay). "
        "Accuracy in percent on each set, with intervals at 95 %:"
    )
    rows = [("", "base", "student", "student_replay"), *((one.suite, *map(str, one.figures)) for one in price.suites)]
    table = [f"{name:17} {base:>19} {plain:>19} {mixed:>19}" for name, base, plain, mixed in rows]
    return [*render.fold(text, render.WIDTH), "", *table, ""]
