"""The command ``anchors``: which sentences of a chain change its answer."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from o1lab.cli.base.asking import TraceArgument, with_servers
from o1lab.cli.base.busy import advance
from o1lab.cli.base.command import Verbs
from o1lab.cli.base.options import model_option
from o1lab.cli.base.output import current_lab, emit, opened
from o1lab.format import aligned
from o1lab.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from o1lab.lens.anchors import Anchor
    from o1lab.lens.convergence import Chain
    from o1lab.lens.resampling import Resampled

verbs = Verbs()
_BAR = 12


@verbs.command("anchors")
def anchors(
    trace: TraceArgument,
    model: Annotated[
        str | None,
        model_option(
            "The model that writes the rest: a base, RUN/STEP, or a running server of o1lab [default: the lab's base]."
        ),
    ] = None,
    samples: Annotated[int, typer.Option("--samples", "-n", min=2, help="Number of rollouts from each sentence.")] = 10,
    temperature: Annotated[float, typer.Option(min=0.01, help="Temperature of the rollouts.")] = 0.7,
    top_p: Annotated[float, typer.Option(min=0.01, max=1.0, help="Nucleus of the rollouts.")] = 0.95,
    max_tokens: Annotated[int, typer.Option(min=1, help="Maximum number of tokens of a rollout.")] = 1024,
    seed: Annotated[int, typer.Option(help="Seed of the first rollout from each sentence.")] = 1,
) -> None:
    """Show which sentences of a chain change its answer (counterfactual importance, arXiv:2506.19143).

    From the beginning of each sentence the model writes the rest of the response several times. A sentence is important
    if the answers differ when the model writes something else in its place. Rollouts are stored: a command that was
    stopped continues where it was. Each sentence takes --samples requests, so choose a short chain.

    Example: o1lab anchors 3f9c --model 7a1b/100 --samples 20
    """
    from o1lab.config import load_config
    from o1lab.lens.anchors import RolloutSettings
    from o1lab.lens.forcing import chain_of
    from o1lab.lens.resampling import resample
    from o1lab.serve.registry import find_model
    from store import traces

    lab = current_lab()
    ref = find_model(lab, model or load_config(lab).base)
    settings = RolloutSettings(temperature, top_p, max_tokens, seed)
    with opened() as store:
        chain = chain_of(store.db, traces.get(store.db, trace).id)
        resampled = partial(resample, samples=samples, settings=settings, on_rollout=partial(advance, "Drawn"))
        done = with_servers(lab, lambda manager: resampled(lab, store, chain, ref, manager))
    data = {
        "id": chain.name,
        "model": ref.id,
        "samples": samples,
        "sentences": [{"text": chain.thought[one.start : one.end], **one.as_json()} for one in done.anchors],
        "drawn": done.drawn,
        "known": done.known,
        "without_answer": done.cut_off,
    }
    emit(data, text=_lines(chain, ref.id, done))


def _lines(chain: Chain, model: str, done: Resampled) -> Iterator[str]:
    yield f"{chain.name[:12]}  importance of each sentence in nats, by rollouts of {one_line(model, 30)}"
    known = [one.importance for one in done.anchors if one.importance is not None]
    most = max(known, default=0.0)
    rows = [["", "nats", "answer", "with", "without", "sentence"]]
    rows += [_row(chain, one, most) for one in done.anchors]
    yield from aligned(rows, (1, 3, 4))
    unknown = len(done.anchors) - len(known)
    if unknown:
        yield f"{unknown:,} sentences were rewritten in the same words every time, so their importance is not known."
    kept = f"; {done.known:,} had been drawn before" if done.known else ""
    cut = f"; {done.cut_off:,} without an answer" if done.cut_off else ""
    yield f"{done.drawn:,} rollouts{kept}{cut}"


def _row(chain: Chain, one: Anchor, most: float) -> list[str]:
    text = one_line(chain.thought[one.start : one.end], 48)
    bar = "█" * round(_BAR * one.importance / most) if one.importance and most else ""
    nats = "-" if one.importance is None else f"{one.importance:.2f}"
    shares = ["-" if share is None else f"{share:.0%}" for share in (one.share, one.before)]
    return [bar, nats, "-" if one.answer is None else one_line(one.answer, 12), *shares, text]
