"""The commands `eval table`, `profile`, `language` and `plot`: evaluations side by side, with published figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from o1lab.cli.base.command import Verbs
from o1lab.cli.base.destination import DASH, is_stdout
from o1lab.cli.base.naming import completing
from o1lab.cli.base.options import model_option
from o1lab.cli.base.output import emit, opened, print_json, wants_json
from o1lab.cli.base.sheets import (
    TableFile,
    TableFormat,
    chosen_format,
    emit_table,
    print_styled,
    terminal_width,
    write_file,
)
from o1lab.cli.jobs.verbs import evaluation_argument, evaluation_ids

verbs = Verbs()
_TABLES = {"1": "accuracy", "accuracy": "accuracy", "2": "general", "general": "general", "all": "all"}
_PLOTS = ("tokens", "right-wrong")

Evaluations = Annotated[list[str] | None, evaluation_argument("ID", "Evaluations.", several=True)]
Models = Annotated[
    list[str] | None,
    model_option("Only this model. Repeatable.", "endpoint", "base", "checkpoint"),
]
Suites = Annotated[
    list[str] | None,
    typer.Option("--suite", "-s", help="Only this suite. Repeatable.", autocompletion=completing("suite")),
]
Scorer = Annotated[str | None, typer.Option(help="Use this scorer's scores [default: each evaluation's own].")]


@verbs.command("table")
def table(
    ctx: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="1|2|general|ID",
            help="The table, and the ids of evaluations.",
            autocompletion=completing("evaluation", words=_TABLES),
        ),
    ] = None,
    model: Models = None,
    suite: Suites = None,
    scorer: Scorer = None,
    before: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="The reference of differences [default: the only base model]."),
    ] = None,
    form: TableFormat = None,
    out: TableFile = None,
) -> None:
    """Show models side by side: 1, the paper's accuracy and tokens; 2, its before and after; else a plain table.

    Published rows come first and are marked. Without ids the latest finished evaluation of each model and suite is
    shown. Evaluations that differ in suite version, items or scorer never share a cell.

    Example: o1lab eval table 1

    Example: o1lab eval table general --before smollm2-135m --format latex --out general.tex

    Example: o1lab eval table 3f9c 81aa
    """
    from o1lab.evaluate.report.selection import choose
    from o1lab.evaluate.report.tables import accuracy_table, change_table, plain_table

    first, *rest = words or ["all"]
    which = _TABLES.get(first)
    ids = rest if which else [first, *rest]
    wanted = chosen_format(form, out)
    models, suites = model or [], suite or []
    if models and before is not None and before not in models:
        models = [*models, before]
    with opened() as store:
        chosen = choose(store.db, evaluation_ids(ctx, ids), models=models, suites=suites, scorer=scorer)
        if which == "accuracy":
            result = accuracy_table(chosen, before=before, suites=suites)
        else:
            result = (change_table if which == "general" else plain_table)(chosen, before=before)
    emit_table(result, wanted, out)


@verbs.command("profile")
def profile(
    ids: Evaluations = None,
    model: Models = None,
    suite: Suites = None,
    teacher: Annotated[
        list[str] | None,
        typer.Option(
            "--teacher", help="All chains of this model [default: chains in datasets, of each model]. Repeatable."
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option("--dataset", "-d", help="Only chains of this dataset.", autocompletion=completing("dataset")),
    ] = None,
    form: TableFormat = None,
    out: TableFile = None,
) -> None:
    """Show how models behave: moves per 1,000 tokens of teacher, base and students, with their scores.

    Each suite has a section, with the correlation of each rate with the score if there are four models or more. The
    moves of a sample are counted once and stored. Without ids the latest finished evaluation of each model and suite is
    shown.

    Example: o1lab eval profile --model smollm2-135m --model 7f3a/100 --dataset good

    Example: o1lab eval profile --suite sycophancy --out behaviour.csv
    """
    from o1lab.cli.base.busy import advance
    from o1lab.evaluate.report.profile import profile_table
    from o1lab.evaluate.report.selection import choose

    wanted = chosen_format(form, out)
    with opened() as store:
        chosen = choose(store.db, ids or [], models=model or [], suites=suite or [])
        result = profile_table(
            store.db,
            chosen,
            teachers=teacher or [],
            dataset=dataset,
            progress=lambda one, done: advance(f"counting moves of {one}, samples", done),
        )
    emit_table(result, wanted, out)


@verbs.command("language")
def language(
    ids: Evaluations = None,
    model: Models = None,
    suite: Suites = None,
    form: TableFormat = None,
    out: TableFile = None,
) -> None:
    """Show in which language models think and answer, for each language of the prompts.

    Without ids the latest finished evaluation of each model and suite is shown, so that base and
    student are side by side.

    Example: o1lab eval language --model smollm2-135m --model 7f3a/100
    """
    from o1lab.evaluate.report.language import language_table
    from o1lab.evaluate.report.selection import choose

    wanted = chosen_format(form, out)
    with opened() as store:
        chosen = choose(store.db, ids or [], models=model or [], suites=suite or [])
        result = language_table(chosen)
    emit_table(result, wanted, out)


@verbs.command("plot")
def plot(
    ctx: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="tokens|right-wrong|ID",
            help="The plot, and the ids of evaluations.",
            autocompletion=completing("evaluation", words=_PLOTS),
        ),
    ] = None,
    model: Models = None,
    suite: Suites = None,
    scorer: Scorer = None,
    svg: Annotated[
        Path | None, typer.Option("--svg", metavar="FILE", help=f"Write the plot to this SVG file; {DASH}.")
    ] = None,
) -> None:
    """Plot accuracy against average output tokens (tokens), or the lengths of right and wrong answers (right-wrong).

    Example: o1lab eval plot --svg tokens.svg

    Example: o1lab eval plot right-wrong --suite math500
    """
    from o1lab.evaluate.report import plot_text
    from o1lab.evaluate.report.plot_svg import svg as drawn
    from o1lab.evaluate.report.plots import right_wrong_plot, tokens_plot
    from o1lab.evaluate.report.selection import choose

    first, *rest = words or ["tokens"]
    which, ids = (first, rest) if first in _PLOTS else ("tokens", [first, *rest])
    with opened() as store:
        chosen = choose(store.db, evaluation_ids(ctx, ids), models=model or [], suites=suite or [], scorer=scorer)
        result = tokens_plot(chosen, suites=suite or []) if which == "tokens" else right_wrong_plot(chosen)
    if svg is not None:
        write_file(svg, drawn(result))
        answer = {"path": str(svg), "format": "svg", "plot": result.name, "panels": len(result.panels)}
        emit(answer, text="The plot is on standard output." if is_stdout(svg) else f"The plot is in {svg}")
    elif wants_json():
        print_json(result.as_json())
    else:
        print_styled(plot_text.text(result, terminal_width()))
