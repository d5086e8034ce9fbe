"""Twenty training runs with real metrics files: several datasets, rates, ranks, states, groups, names and tags."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from o1lab.files import write_json
from o1lab.jobs.about import About, Note
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.runs.directory import GroupTag, RunDir
from tests.support.fake_runs import append, metric_line, write_run

STATES = ("finished", "finished", "stopped", "failed", "dead")
VARIANTS = {3: {"adapter": "dora"}, 8: {"adapter": "full"}, 11: {"objective": "dpo"}}
DATASETS = ("col-add-400", "chains-2k", "short-solutions")


def write_runs(runs: Path, number: int = 20, *, steps: int = 100) -> list[RunDir]:
    """Write the runs ``run00`` to ``run19``, the newest first.

    Run 4 is called `wide`, runs 0 to 2 are the group `sweep`, run 5 has the tags `keep` and `paper`, run 6 a note, and
    run 7 is archived. Run 3 trains with DoRA, run 8 all weights, run 11 preferences.
    Every second run has losses on held-out rows.
    """
    return [_write(runs, number, steps) for number in range(number)]


def _write(runs: Path, number: int, steps: int) -> RunDir:
    state = STATES[number % len(STATES)]
    done = steps if state == "finished" else steps // 2
    recipe = Recipe(
        dataset=DATASETS[number % len(DATASETS)], dataset_hash=f"{number % 3:x}" * 16, steps=steps, seed=number,
        learning_rate=(1e-4, 5e-4)[number % 2], lora_r=(8, 16, 64)[number % 3],
    )  # fmt: skip
    recipe = recipe.model_copy(update=VARIANTS.get(number, {}))
    gone = {"heartbeat": 1.0, "pid": 2**22 + 1} if state == "dead" else {}
    run = write_run(
        runs, f"run{number:02}", "running" if state == "dead" else state, steps=done, total=steps, seed=number % 4,
        age=3600.0 * number, recipe=recipe, message="It broke." if state == "failed" else "", **gone,
    )  # fmt: skip
    if number % 2 == 0:
        losses = {done // 3: 1.0, 2 * done // 3: 0.5, done: 0.6}
        lines = []
        for step in range(1, done + 1):
            lines.append(metric_line(step, steps, seed=number % 4))
            if step in losses:
                lines.append({"step": step, "eval_loss": losses[step] + number / 100})
        run.metrics.write_text("")
        append(run.metrics, lines)
    about = {
        4: About(name="wide"), 5: About(tags=("keep", "paper")), 6: About(notes=(Note("too hot [red]"),)),
        7: About(archived=True),
    }  # fmt: skip
    if number in about:
        write_json(run.about_file, asdict(about[number]))
    if number < 3:
        write_json(run.group_file, asdict(GroupTag("sweep", {"seed": number})))
    return run
