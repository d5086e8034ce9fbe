"""The command ``suitability``: how suitable traces are for training one student."""

from __future__ import annotations

from statistics import quantiles
from typing import TYPE_CHECKING, Annotated, Any

import typer

from o1lab.cli.base.asking import with_servers
from o1lab.cli.base.busy import advance
from o1lab.cli.base.command import Verbs
from o1lab.cli.base.options import model_option
from o1lab.cli.base.output import current_lab, emit, opened, say
from o1lab.cli.filters import read_filter
from o1lab.format import aligned
from o1lab.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from o1lab.lens.suitability import Filled
    from o1lab.paths import Lab
    from o1lab.serve.registry import ModelRef
    from store import Store

verbs = Verbs()
FIGURES = ("nll", "local_nll", "rsr", "pass_rate")


@verbs.command("suitability")
def suitability_of(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILTER", help="Traces, as on the Traces screen [default: all].", show_default=False),
    ] = None,
    model: Annotated[
        str | None,
        model_option("The student: a base or RUN/STEP [default: the one chosen before, else the lab's base]."),
    ] = None,
    local: Annotated[
        bool, typer.Option(help="Score each sentence after the four before it, too: about five more passes.")
    ] = True,
    samples: Annotated[
        int,
        typer.Option(min=0, help="Number of answers to each problem, for the pass rate; 0 asks nothing."),
    ] = 0,
    max_tokens: Annotated[int, typer.Option(min=1, help="With --samples: the maximum length of an answer.")] = 4096,
) -> None:
    """Compute how suitable traces are for a student, and use this student in filters and lists.

    Filters and orders of traces then have nll (mean loss of the tokens in nats), local-nll (the same of each sentence
    after the four before it alone: local naturalness, arXiv 2510.03988; lower is more natural), rsr (rank-surprisal
    ratio, arXiv 2601.14249; lower is more suitable) and pass-rate (from the lab's evaluations of the student). What is
    stored is not computed again, so after an interruption the same command continues.

    Examples: o1lab suitability verdict:correct --model smollm2-135m; o1lab suitability --model 7a1b --samples 4

    Example: o1lab traces ls 'pass-rate<0.5 sort:rsr'
    """
    from o1lab.config import load_config
    from o1lab.evaluate import pass_rates
    from o1lab.lens.scorers import require_scores
    from o1lab.lens.suitability import fill
    from o1lab.serve.registry import find_model
    from store import suitability, traces
    from store.filters import TraceQuery

    lab, query = current_lab(), read_filter(TraceQuery, " ".join(words or []))
    with opened() as store:
        before = suitability.chosen(store.db)
        ref = find_model(lab, model or (before.name if before else load_config(lab).base))
        require_scores(ref)
        ids = traces.ids(store.db, query)
        filled = with_servers(lab, lambda manager: fill(lab, store, ids, ref, manager, local=local, on_done=advance))
        suitability.choose(store.db, filled.model, ref.id)
        evaluation, unanswered = _ask(lab, store, ids, ref, samples, max_tokens) if samples else (None, 0)
        pass_rates.count(lab, store, ref)
        found = suitability.of_traces(store.db, ids, filled.model)
    failures = [{"trace": one.trace_id, "error": one.error} for one in filled.failures]
    figures = {name: spread(getattr(one, name) for one in found.values()) for name in FIGURES}
    lines = list(_lines(ref.id, len(ids), filled, figures))
    if unanswered:
        lines.append(f"{unanswered:,} problems have no known answer and were not asked.")
    lines += [f"{one.trace_id[:12]}: {one.error}" for one in filled.failures]
    data = {
        "student": ref.id, "key": filled.model, "traces": len(ids), "scored": filled.scored, "local": filled.local,
        "known": filled.known, "evaluation": evaluation, "figures": figures, "failures": failures,
    }  # fmt: skip
    emit(data, text=lines)
    if failures:
        raise typer.Exit(1)


def _ask(
    lab: Lab, store: Store, ids: Sequence[str], ref: ModelRef, samples: int, max_tokens: int
) -> tuple[str | None, int]:
    """Ask the student the problems that it was not asked often enough.

    Returns:
        The evaluation, None if there is nothing to ask; and the number of problems without a known answer.
    """
    from o1lab.cli.base.progress import ProgressLine
    from o1lab.evaluate import pass_rates
    from o1lab.evaluate.run import control
    from o1lab.evaluate.run.runner import EvaluationRunner
    from o1lab.jobs.worker import run_here

    known = pass_rates.count(lab, store, ref)
    wanted = [one for one in pass_rates.problems_of(store.db, ids) if known.get(one, (0, 0))[1] < samples]
    suite, unanswered = pass_rates.write_suite(lab, store.db, wanted)
    if suite is None:
        return None, unanswered
    values = {"suite": suite.stem, "model": ref.id, "samples": samples, "max_tokens": max_tokens}
    folder = control.start(lab, control.read_settings(lab, values))
    say(f"Evaluation {folder.id} asks {len(wanted) - unanswered:,} problems; resume it: o1lab eval resume {folder.id}")
    with ProgressLine() as line:
        run_here(EvaluationRunner(lab, folder, watch=line.show))
    return folder.id, unanswered


def spread(values: Iterable[float | None]) -> dict[str, float | int | None]:
    """Return the number of known values, their median and their quartiles."""
    known = sorted(value for value in values if value is not None)
    if len(known) < 2:
        one = known[0] if known else None
        return {"known": len(known), "lower": one, "median": one, "upper": one}
    lower, median, upper = quantiles(known, n=4, method="inclusive")
    return {"known": len(known), "lower": lower, "median": median, "upper": upper}


def _lines(student: str, number: int, filled: Filled, figures: dict[str, dict[str, Any]]) -> Iterable[str]:
    known = f"; {filled.known:,} were complete" if filled.known else ""
    yield f"{filled.scored:,} scored, {filled.local:,} sentence by sentence{known}"
    yield f"{number:,} traces for the student {one_line(student, 60)}, which filters and lists show from now on:"
    rows = [["", "known", "lower quartile", "median", "upper quartile"]]
    for name, one in figures.items():
        cells = ["-" if one[key] is None else f"{one[key]:.3f}" for key in ("lower", "median", "upper")]
        rows.append([name.replace("_", "-"), f"{one['known']:,}", *cells])
    yield from aligned(rows, range(1, 5))
    yield "Next: o1lab traces ls sort:rsr"
