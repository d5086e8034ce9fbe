"""The command ``dataset pairs``: make a dataset of pairs for preference training."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import typer

from o1lab.cli.base.command import Verbs
from o1lab.cli.base.output import current_lab, emit, opened
from o1lab.cli.dataset_output import dataset_item, dataset_line, dropped_text, pairs_text
from o1lab.cli.filters import read_filter
from o1lab.errors import UsageError
from store.records import require_name

verbs = Verbs()
_Source = StrEnum("_Source", ["votes", "chains"])


@verbs.command("pairs")
def dataset_pairs(
    name: Annotated[str, typer.Argument(help="Name of the new dataset. A dataset never changes.")],
    source: Annotated[
        list[_Source] | None, typer.Option("--from", help="What pairs are made of. Repeatable [default: both].")
    ] = None,
    where: Annotated[str, typer.Option(help="Filter of the chains, as on the Traces screen.")] = "",
    by: Annotated[
        Literal["verdict", "decision"],
        typer.Option(help="What makes a chain right or wrong: the verdict of the verifier, or the decision of people."),
    ] = "verdict",
    per_problem: Annotated[int, typer.Option(min=1, help="Maximum number of pairs of chains per problem.")] = 4,
    balance_length: Annotated[
        bool,
        typer.Option("--balance-length", help="Leave out pairs until better answers are as often longer as shorter."),
    ] = False,
    open_votes: Annotated[
        bool, typer.Option("--open-votes", help="Also take votes given while the names of the models were shown.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the draw among the chains of a problem.")] = 0,
) -> None:
    """Make a dataset of pairs for preference training: a better and a worse answer to the same question.

    Votes in Compare give the winner of a turn with each other answer; these answers are added to the traces. Chains
    give a right and a wrong chain of one problem, with the same prompt. The rules of `dataset create --keep` apply to
    both. Where right chains are longer than wrong ones, a student learns to write longer: --balance-length prevents it.
    What is left out is counted. Train on them with `o1lab train --objective dpo` or kto; `o1lab dataset export NAME`
    writes them as TRL reads them.

    Example: o1lab dataset pairs better --from votes --from chains --balance-length
    """
    from o1lab.config import load_config
    from o1lab.distill.datasets.pairs import SOURCES, PairsPlan, make_pairs
    from o1lab.serve.registry import find_model
    from store import datasets
    from store.filters import TraceQuery

    require_name(name)
    sources = tuple(one for one in SOURCES if one in (source or SOURCES))
    if where and "chains" not in sources:
        raise UsageError("--where filters chains, and --from takes votes only.", "Add --from chains.")
    lab = current_lab()
    config = load_config(lab)
    plan = PairsPlan(
        read_filter(TraceQuery, where), sources, by, per_problem, balance_length=balance_length,
        open_votes=open_votes, seed=seed,
    )  # fmt: skip
    with opened() as store:
        made = make_pairs(store, name, plan, lambda model: find_model(lab, model, config))
        dropped = datasets.drop_counts(store.db, made.name)
    lines = [dataset_line(made), *pairs_text(made), *dropped_text(made, dropped)]
    lines.append(f"Next: o1lab train --dataset {made.name} --objective dpo --init-from RUN --learning-rate 2e-5")
    emit(dataset_item(made) | {"selection": dict(made.selection), "dropped": dropped}, text=lines)
