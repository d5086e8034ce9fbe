"""The commands ``moves ...``: label the moves of chains, measure the labels, train a classifier."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from o1lab.cli.base.busy import advance
from o1lab.cli.base.command import Verbs
from o1lab.cli.base.output import current_lab, emit, opened, say
from o1lab.errors import LabError
from o1lab.files import atomic_path

if TYPE_CHECKING:
    from o1lab.chains.segmentation.moves import MoveKind
    from o1lab.chains.segmentation.training import Example

verbs = Verbs("moves", help="Label the kinds of moves in chains, measure the labels, and train a classifier.")
_FEWEST = 50
_FOLDS = 5


@verbs.command("label")
def moves_label() -> None:
    """Label the moves of every chain that the classifier has not labelled yet.

    Imports use rules, which are faster. The app labels chains in the background and when they are opened; this command
    does it at once. Chains in languages other than English keep the kinds of the rules.

    Example: o1lab moves label
    """
    from o1lab.ingest.labelling import label_pending, labeller_of
    from store import labelling

    labeller = labeller_of(current_lab())
    with opened() as store:
        done = label_pending(store, labeller, progress=partial(advance, "labelling moves"))
        chains = labelling.by_whom(store.db)
    data = {"classifier": labeller.name, "labelled": done.total(), "chains": chains}
    parts = ", ".join(f"{number:,} by {by}" for by, number in chains.items() if number and by != "pending")
    emit(data, text=[f"Labelled {done.total():,} chains with {labeller.name}. In the lab: {parts or 'no chains'}."])


@verbs.command("agreement")
def moves_agreement() -> None:
    """Show how well the rules and the classifier agree with the kinds that people gave to moves (Cohen's kappa).

    People give kinds in the reader, or with `o1lab annotate TRACE --move 4:V`. Confirm right kinds as well: kappa
    counts only the moves that people corrected or confirmed.

    Example: o1lab moves agreement --json
    """
    from o1lab.evaluate.rating.moves import move_agreement
    from o1lab.ingest.labelling import labeller_of

    labeller = labeller_of(current_lab())
    with opened() as store:
        found = move_agreement(store.db, labeller)
    emit(found.as_json(), text=found.lines())


@verbs.command("train")
def moves_train(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILE", help="JSONL files of tagged chains; corrections are added."),
    ] = None,
    anyway: Annotated[bool, typer.Option("--anyway", help="Keep it even if it is not better than the rules.")] = False,
) -> None:
    """Train the lab's own classifier of moves on the corrections of people and on files of tagged chains.

    A row of a file has a `thought` and `sentences`, each with its `text` and a `tag`: a kind of move, or a tag of
    Thought Anchors. The classifier is measured on problems left out of its training, and used from then on, unless it
    is worse than the rules there; all chains are labelled again. Remove moves.safetensors to return to the shipped one.

    Examples: o1lab moves train tagged.jsonl; o1lab moves train --json
    """
    from o1lab.chains.segmentation.linear import write
    from o1lab.chains.segmentation.training import left_out, require_training, train
    from o1lab.ingest.corrected_moves import examples_of, read_tagged
    from o1lab.ingest.labelling import labeller_of

    require_training("Training a classifier of moves")
    lab = current_lab()
    with opened() as store:
        own = examples_of(store.db)
    tagged = [pair for path in files or () for pair in read_tagged(path)]
    given = [pair for pair in own + tagged if any(pair[1].kinds)]
    groups, examples = [group for group, _ in given], [one for _, one in given]
    _check_enough(groups, examples)
    say(f"Measuring on problems left out: {len(examples):,} chains …")
    kinds = left_out(examples, groups, min(_FOLDS, len(set(groups))))
    figures = {
        "trained": _figures(examples, kinds),
        "rules": _figures(examples, [[sentence.kind for sentence in one.sentences] for one in examples]),
    }
    used = figures["trained"]["accuracy"] >= figures["rules"]["accuracy"] or anyway
    if used:
        about = {"name": "own", "trained_on": f"corrections in {len(own)} chains, {len(tagged)} tagged chains"}
        with atomic_path(lab.moves_classifier) as path:
            write(path, train(examples, about))
    number = sum(kind is not None for one in examples for kind in one.kinds)
    data: dict[str, Any] = {
        "corrected_chains": len(own), "tagged_chains": len(tagged), "sentences": number, "left_out": figures,
        "used": used, "classifier": labeller_of(lab).name,
    }  # fmt: skip
    lines = [f"{number:,} sentences of {len(own):,} corrected and {len(tagged):,} tagged chains. On problems left out:"]
    lines += [
        f"  {name}: accuracy {one['accuracy']:.3f}, macro F1 {one['macro_f1']:.3f}" for name, one in figures.items()
    ]
    lines.append(
        f"The lab uses it from now on: {data['classifier']}. Label all chains with: o1lab moves label"
        if used
        else f"It is worse than the rules, so the lab keeps {data['classifier']}. Correct more moves, or use --anyway."
    )
    emit(data, text=lines)


def _check_enough(groups: list[str], examples: list[Example]) -> None:
    given = [kind for one in examples for kind in one.kinds if kind is not None]
    if len(given) < _FEWEST or len(set(given)) < 2 or len(set(groups)) < 2:
        raise LabError(
            f"{len(given):,} sentences of {len(set(groups)):,} problems have a kind, of {len(set(given))} kinds; "
            f"training needs at least {_FEWEST} sentences, two problems and two kinds.",
            "Correct and confirm more moves in the reader, or name a file of tagged chains.",
            code="few_corrections",
        )


def _figures(examples: list[Example], kinds: list[list[MoveKind]]) -> dict[str, float]:
    from o1lab.chains.segmentation.training import figures

    pairs = [
        (given, guess)
        for one, guesses in zip(examples, kinds, strict=True)
        for given, guess in zip(one.kinds, guesses, strict=True)
        if given is not None
    ]
    accuracy, macro = figures(pairs)
    return {"accuracy": round(accuracy, 4), "macro_f1": round(macro, 4)}
