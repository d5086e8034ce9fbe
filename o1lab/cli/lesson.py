"""The commands ``lesson``: what distillation did to a student, and the curve of accuracy against number of chains."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from o1lab.cli.base import options
from o1lab.cli.base.command import Verbs, group_with_default
from o1lab.cli.base.naming import completing
from o1lab.cli.base.output import current_lab, emit, opened, say
from o1lab.cli.base.sheets import markdown_text
from o1lab.cli.train_group import wait_for
from o1lab.errors import UsageError
from o1lab.format import aligned, duration
from o1lab.text import json_of

if TYPE_CHECKING:
    from o1lab.transparency.curve import Curve
    from o1lab.transparency.curve_run import CurvePlan, Estimate
    from o1lab.transparency.lesson import Lesson

verbs = Verbs(
    "lesson",
    help="Show what distillation did to a student. `o1lab lesson RUN...` is short for `o1lab lesson show RUN...`.",
    cls=group_with_default("show"),
)


@verbs.command("show")
def lesson_show(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN", help="Runs [default: the latest finished].", autocompletion=completing("run")),
    ] = None,
) -> None:
    """Measure what distillation did: the teacher as a ceiling, the suites that fell, and whose tokens were learned.

    The ceiling counts the items that only the student or only the teacher got right. Suites are compared with the base.
    Where students were trained on subsets of the run's data (`o1lab lesson curve`), their curve follows.

    Example: o1lab lesson

    Example: o1lab lesson 3f9c 81aa --json
    """
    from o1lab.transparency.curve import curves_of, no_curve
    from o1lab.transparency.lab_facts import collect
    from o1lab.transparency.lesson import as_markdown, measure_lesson

    found: list[Lesson] = []
    drawn: dict[tuple[str, object], Curve] = {}
    with opened() as store:
        lab = current_lab()
        for run in runs or (None,):
            facts = collect(lab, store, run)
            mine = curves_of(facts)
            drawn |= {(one.group, one.key): one for one in mine}
            lesson = measure_lesson(facts)
            found.append(lesson if mine else replace(lesson, missing=(*lesson.missing, no_curve(facts))))
    answer = {"runs": [one.as_json() for one in found]} | _curve_json([*drawn.values()])
    emit(answer, text=lambda: "\n\n".join([markdown_text(as_markdown(found)), *map(_plot_text, drawn.values())]))


@verbs.command(
    "curve", settings="o1lab.train.recipes.recipe:Recipe",
    only=("base", "system_prompt", "lora_r", "lora_alpha", "steps", "epochs", "batch_size", "learning_rate",
          "max_length", "eval_rows", "device"),
)  # fmt: skip
def lesson_curve(
    dataset: Annotated[str, typer.Argument(help="Name or hash of the dataset.", autocompletion=completing("dataset"))],
    suite: Annotated[
        str,
        typer.Option(
            "--suite", "-s", help="The suite that the students are evaluated on.", autocompletion=completing("suite")
        ),
    ],
    sizes: Annotated[
        str | None, typer.Option(metavar="N,...", help="Numbers of chains [default: all, halved three times].")
    ] = None,
    seeds: Annotated[str, typer.Option(metavar="N,...", help="Seeds of the students of each size.")] = "1,2,3",
    teacher: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Draw this model as a line, such as solver.",
            autocompletion=completing("endpoint", "base", "checkpoint"),
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Ask only the first N items of the suite.")] = None,
    recipe: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Recipe file in YAML; the options override its values.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a field of the recipe. Repeatable.")
    ] = None,
    group: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the group of runs [default: curve-DATASET].")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be trained, and how long it takes.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Start many runs without confirmation.")] = False,
) -> None:
    """Draw accuracy against the number of chains: students on nested subsets, three seeds each.

    The runs are a group (`o1lab runs show curve-DATASET`). Each student is evaluated when all have been trained. After
    an interruption the runs continue in the background; run the command again for what is missing, or with more sizes
    and seeds. With --steps each student takes as many steps; without, each sees its chains --epochs times.

    Example: o1lab lesson curve long --suite demo-sums --sizes 50,100,200,400 --steps 120 --teacher solver --dry-run
    """
    from o1lab.config import load_config
    from o1lab.train.groups import require_small
    from o1lab.train.recipes import recipe_file
    from o1lab.transparency import curve_run
    from o1lab.transparency.curve import curves

    lab = current_lab()
    values: dict[str, Any] = {"base": load_config(lab).base} | (recipe_file.load_values(recipe) if recipe else {})
    values = recipe_file.override(values | options.given(), settings or [])
    if "phases" in values:
        raise UsageError("A curve cannot be drawn with a recipe of phases.", "Give a recipe of one phase.")
    with opened() as store:
        plan = curve_run.plan_curve(
            lab, store, dataset, suite, values,
            sizes=options.whole_numbers("--sizes", sizes) if sizes is not None else (),
            seeds=options.whole_numbers("--seeds", seeds), group=group, teacher=teacher, limit=limit,
        )  # fmt: skip
        if dry_run:
            found = curve_run.estimate(lab, store, plan)
            emit(_plan_json(plan, found), text=lambda: _plan_text(plan, found))
            return
        require_small(plan.count("train"), confirmed=yes)
        runs = curve_run.start_runs(lab, store, plan, say)
        failed = wait_for(lab, runs)
        asyncio.run(curve_run.evaluate_students(lab, plan, runs, say))
        drawn = [one for one in curves(lab, store, groups=[plan.group]) if one.key.suite == plan.label]
    for note in plan.notes:
        say(note)
    answer = {
        "group": plan.group,
        "dataset": plan.parent.name,
        "suite": plan.suite,
        "failed": [run.id for run in failed],
    }
    emit(answer | _curve_json(drawn), text=lambda: "\n\n".join(map(_plot_text, drawn)))
    if failed:
        raise typer.Exit(1)


def _curve_json(drawn: list[Curve]) -> dict[str, Any]:
    """Return the keys of curves: the points of the first, and all in full."""
    points = [point.as_json() for one in drawn[:1] for point in one.points]
    return {"curve": points, "curves": [one.as_json() for one in drawn]}


def _plot_text(curve: Curve) -> str:
    from o1lab.evaluate.report import plot_text
    from o1lab.transparency.curve import curve_plot

    return "\n".join([plot_text.text(curve_plot(curve)).plain, *curve.missing])


def _plan_json(plan: CurvePlan, found: Estimate) -> dict[str, Any]:
    return json_of(plan, "group", "dataset=parent.name", "suite") | {
        "students": [
            {"rows": one.rows, "dataset": one.recipe.dataset, "seed": one.recipe.seed,
             "run": one.run.id if one.run else None, "todo": one.todo or None, "evaluated": one.evaluated}
            for one in plan.students
        ],
        "others": list(plan.others),
        "to_train": plan.count("train", "resume"),
        "to_evaluate": plan.to_evaluate,
        **json_of(found, "training_s", "evaluation_s", "by_run", "by_evaluation"),
        "notes": list(plan.notes),
    }  # fmt: skip


def _plan_text(plan: CurvePlan, found: Estimate) -> str:
    words = {"train": "train", "resume": "resume its run", "wait": "is training", "": "trained"}
    left = plan.count("train", "resume")
    rows = [["chains", "seed", "steps", "run", "training", "evaluation"]]
    rows += [
        [f"{one.rows:,}", str(one.recipe.seed), f"{one.recipe.total_steps(one.rows):,}",
         one.run.id if one.run else "-", words[one.todo], "done" if one.evaluated else "to do"]
        for one in plan.students
    ]  # fmt: skip
    return "\n".join([
        f"curve over {plan.parent.name} ({plan.parent.rows:,} chains) on {plan.suite}, group {plan.group}",
        "", *aligned(rows, right=(0, 1, 2)), "",
        f"{left} students to train: {_time(found.training_s, found.by_run, 'run of this base')}",
        f"{plan.to_evaluate} evaluations: {_time(found.evaluation_s, found.by_evaluation, 'evaluation on this suite')}",
        *plan.notes,
    ])  # fmt: skip


def _time(seconds: float | None, by: str | None, what: str) -> str:
    if by is None or seconds is None:
        return f"the time is not known, because no {what} has finished in this lab"
    return f"about {duration(seconds)}, by the pace of {by}"
