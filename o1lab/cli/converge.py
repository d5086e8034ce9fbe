"""The command ``converge``: where chains have their answer, and what is written after it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from o1lab.cli.base.asking import TraceIds, with_servers
from o1lab.cli.base.busy import advance
from o1lab.cli.base.command import Verbs
from o1lab.cli.base.naming import completing
from o1lab.cli.base.options import model_option
from o1lab.cli.base.output import current_lab, emit, opened, say
from o1lab.cli.filters import read_filter
from o1lab.cli.jobs.verbs import evaluation_id
from o1lab.errors import RefusedError, UsageError
from o1lab.format import aligned
from o1lab.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from o1lab.lens.convergence import Chain, Convergence
    from store.sqlite import Database

verbs = Verbs()


@verbs.command("converge")
def converge(
    trace: TraceIds = None,
    model: Annotated[
        str | None,
        model_option(
            "The model that answers: a base, RUN/STEP, the solver, or a running server of o1lab "
            "[default: that of the evaluation, else the lab's base]."
        ),
    ] = None,
    where: Annotated[str, typer.Option(help="Filter of traces, as on the Traces screen, instead of TRACE.")] = "",
    evaluation: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            callback=evaluation_id,
            help="The samples of an evaluation, instead of TRACE.",
            autocompletion=completing("evaluation"),
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of chains of a filter or an evaluation.")] = 100,
    opener: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="Text that begins the answer after the closed thought [default: a box, after the words that the "
            "chain's own solution has before it, or 'The answer is'].",
        ),
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Maximum number of tokens of an answer.")] = 32,
    again: Annotated[bool, typer.Option("--again", help="Ask again where the model has answered before.")] = False,
) -> None:
    """Show where chains reach their answer: the thought is cut after each move and closed, and a model answers.

    Shows where the answer is right for the first time, from where it stays the same, how many tokens follow, and
    whether right answers were overwritten. Answers are judged by the gold answer, or by the chain's own where there is
    none. They are stored: a command that was stopped continues where it was, and a model answers once.

    Examples: o1lab converge 3f9c --model 7a1b/100; o1lab converge --evaluation 5c2e
    """
    from o1lab.config import load_config
    from o1lab.evaluate.stats.convergence import chains_of, summarise
    from o1lab.lens.convergence import AnswerPrompt
    from o1lab.lens.forcing import force_answers, judged
    from o1lab.serve.registry import find_model
    from store import continuations, evaluations

    if sum(map(bool, (trace, where, evaluation))) != 1:
        raise UsageError(
            "Give traces, a filter with --where, or an evaluation with --evaluation.",
            "o1lab converge 3f9c --model BASE",
        )
    lab = current_lab()
    with opened() as store:
        if evaluation:
            of = evaluations.get(store.db, evaluation)
            chains, name = chains_of(store.db, of), model or of.model
            if not chains:
                raise RefusedError(
                    f"No sample of evaluation {of.id} has a thought.", "Choose a model that thinks.", code="no_thought"
                )
        else:
            chains, name = _of_traces(store.db, trace or (), where, limit), model or load_config(lab).base
        if len(chains) > limit and not trace:
            say(f"{len(chains):,} chains have a thought; the first {limit:,} are cut (--limit).")
            chains = chains[:limit]
        ref = find_model(lab, name)
        force = partial(
            force_answers, opener=opener, max_tokens=max_tokens, again=again, on_answer=partial(advance, "Answered")
        )
        done = with_servers(lab, lambda manager: force(lab, store, chains, ref, manager))
        if evaluation:
            continuations.add_evaluation(store.db, of.id, done.model)
        hows = [AnswerPrompt.of(one, opener, max_tokens).how for one in chains]
        parts = judged(store.db, chains, model=done.model, hows=hows)
    found = [(chain, some[0]) for chain, some in zip(chains, parts, strict=True) if some]
    failures = [{"chain": one.trace_id, "model": one.model, "error": one.error} for one in done.failures]
    clusters = [chain.cluster for chain, _ in found]
    whole = summarise([one for _, one in found], clusters, incomplete=len(chains) - len(found))
    lines = [] if evaluation else [line for chain, one in found for line in _lines(chain, one)]
    lines += whole.lines() if len(found) > 1 or evaluation else ()
    lines += [f"{one_line(one.trace_id, 24)} {one_line(one.model, 24)}: {one.error}" for one in done.failures]
    kept = f"; {done.known:,} had been given before" if done.known else ""
    lines.append(f"{done.asked:,} answers{kept}" + (f"; {len(failures):,} chains failed" if failures else ""))
    emit(
        {
            "chains": [{"id": chain.name, "kinds": _kinds(chain), **one.as_json()} for chain, one in found],
            "summary": whole.as_json(),
            "asked": done.asked,
            "known": done.known,
            "failures": failures,
        },
        text=lines,
    )
    if failures:
        raise typer.Exit(1)


def _of_traces(db: Database, names: Sequence[str], where: str, limit: int) -> list[Chain]:
    """Return the traces that are named, or those of a filter that have a thought, one more than ``limit`` at most."""
    from o1lab.lens.forcing import chain_of
    from store import traces
    from store.filters import TraceQuery

    if names:
        return [chain_of(db, one) for one in dict.fromkeys(traces.get(db, name).id for name in names)]
    found: list[Chain] = []
    without = 0
    for row in traces.page(db, read_filter(TraceQuery, where), limit=2 * limit + 100):
        try:
            found.append(chain_of(db, row.id))
        except RefusedError:
            without += 1
        if len(found) > limit:
            break
    if without:
        say(f"{without:,} traces of the filter have no thought and are left out.")
    return found


def _kinds(chain: Chain) -> list[str]:
    """Return for each cut the kind of the move before it; an empty text for the first."""
    by_end = {move.end: str(move.kind) for move in chain.moves}
    return [by_end.get(cut, "") for cut in chain.cuts]


def _lines(chain: Chain, found: Convergence) -> Iterator[str]:
    from o1lab.lens.convergence import sentences

    yield f"{one_line(chain.name, 12)}  answers of {one_line(found.model, 30)} after each move"
    rows = [["", "move", "tokens", "answer", ""]]
    for at, (kind, point) in enumerate(zip(_kinds(chain), found.points, strict=True)):
        marks = [name for name, place in (("first right", found.first_right), ("stable", found.stable)) if place == at]
        tokens = "-" if point.tokens is None else f"{point.tokens:,}"
        right = {True: "✓", False: "✗", None: "?"}[point.right]
        answer = "no answer" if point.answer is None else one_line(point.answer, 24)
        rows.append([right, kind or "no thought", tokens, answer, ", ".join(marks)])
    yield from aligned(rows, (2,))
    yield from sentences(found)
    yield ""
