"""Draw rollouts from the beginning of each sentence of a chain: see :mod:`o1lab.lens.anchors`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass

from o1lab.inference.events import Sampling
from o1lab.lens.anchors import Anchor, RolloutSettings, anchors, answer_of, prefix, sentences
from o1lab.lens.continuations import first_then_others, open_continuer
from o1lab.lens.convergence import Chain
from o1lab.lens.scoring import model_key
from o1lab.paths import Lab
from o1lab.serve.manager import ServerManager
from o1lab.serve.registry import ModelRef
from store import continuations
from store.connection import Store
from store.continuations import Rollout
from store.sqlite import Database


@dataclass(frozen=True, slots=True)
class Resampled:
    """The sentences of a chain, and what was drawn for them.

    Attributes:
        anchors: the sentences with their importance.
        drawn: the number of rollouts that this pass drew.
        known: the number of rollouts that were stored before.
        cut_off: the number of rollouts without an answer.
    """

    anchors: tuple[Anchor, ...]
    drawn: int
    known: int
    cut_off: int


async def resample(
    lab: Lab,
    store: Store,
    chain: Chain,
    ref: ModelRef,
    manager: ServerManager,
    *,
    samples: int,
    settings: RolloutSettings,
    on_rollout: Callable[[int, int], None] = lambda _done, _total: None,
) -> Resampled:
    """Draw rollouts from each place of a chain, from the last one on.

    Each is stored when it arrives, and stored ones are not drawn again: another call continues a pass that was stopped,
    or adds samples.

    Args:
        lab: the lab.
        store: its database.
        chain: the chain.
        ref: the model.
        manager: runs its server.
        samples: number of rollouts from each place.
        settings: how they are drawn.
        on_rollout: called with the number of rollouts that have arrived and of all.

    Raises:
        RefusedError: the model cannot continue a text, or the chain does not fit into its context.
        LabError: it cannot be opened, or every request to it would fail.
    """
    key = await asyncio.to_thread(model_key, lab, ref)
    bounds = sentences(chain.thought)
    places = sorted({start for start, _ in bounds} | {end for _, end in bounds}, reverse=True)
    kept = await store.in_thread(continuations.rollouts_of, chain.key, key, settings.how)
    stored = {(one.position, one.sample) for one in kept}
    todo = [(place, number) for place in places for number in range(samples) if (place, number) not in stored]
    if todo:
        async with open_continuer(ref, manager) as model:

            async def draw(task: tuple[int, int]) -> Rollout:
                place, number = task
                sampling = Sampling(
                    temperature=settings.temperature,
                    top_p=settings.top_p,
                    max_tokens=settings.max_tokens,
                    seed=settings.seed + number,
                )
                reply = await model.continue_response(chain, prefix(chain, place), sampling)
                answer = answer_of(chain, place, reply.raw)
                return Rollout(chain.key, key, settings.how, place, number, ref.id, reply.raw, answer)

            done = 0
            async with aclosing(first_then_others(draw, todo)) as arrived:
                async for some in arrived:
                    await store.in_thread(continuations.add_rollouts, some)
                    kept += some
                    done += len(some)
                    on_rollout(done, len(todo))
    wanted = [one for one in kept if one.sample < samples]
    without = sum(one.answer is None for one in wanted)
    return Resampled(tuple(anchors(chain, wanted)), len(todo), len(wanted) - len(todo), without)


def latest(db: Database, chain: Chain) -> tuple[str, tuple[Anchor, ...]]:
    """Return the model that drew the latest rollouts of a chain, and its sentences; both empty without rollouts."""
    found = continuations.latest_rollouts(db, chain.key)
    return (found[0].name, tuple(anchors(chain, found))) if found else ("", ())
