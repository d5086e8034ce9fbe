"""Draw rollouts from the beginning of each sentence of a chain: see :mod:`o1lab.lens.anchors`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from o1lab.inference.chat_client import ChatClient
from o1lab.inference.continuing import require_continuing
from o1lab.inference.events import Sampling
from o1lab.lens.anchors import Anchor, Drawing, anchors, answer_of, prefix, sentences
from o1lab.lens.convergence import Chain
from o1lab.lens.going_on import Asking, as_they_come
from o1lab.lens.scoring import model_key
from o1lab.paths import Lab
from o1lab.serve.manager import ServerManager
from o1lab.serve.registry import ModelRef, open_model
from store import continuations
from store.connection import Store
from store.continuations import Rollout
from store.sqlite import Database


@dataclass(frozen=True, slots=True)
class Resampled:
    """The sentences of a chain, and what was drawn for them.

    Attributes:
        anchors: the sentences with their importance.
        drawn: the number of rollouts that were drawn now.
        known: the number of those that were stored before.
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
    drawing: Drawing,
    on_rollout: Callable[[int, int], None] = lambda _done, _total: None,
) -> Resampled:
    """Draw rollouts from each place of a chain. Each is stored when it arrives; stored ones are not drawn again, so
    that a pass that was stopped goes on where it was, and more samples can be added.

    Args:
        lab: the lab.
        store: its database.
        chain: the chain.
        ref: the model.
        manager: runs its server.
        samples: number of rollouts from each place.
        drawing: how they are drawn.
        on_rollout: called with the number of rollouts that have arrived and of all.

    Raises:
        RefusedError: the model cannot continue a text, or the chain does not fit into its context.
        LabError: it cannot be opened, or every request to it would fail.
    """
    key = await asyncio.to_thread(model_key, lab, ref)
    bounds = sentences(chain.thought)
    places = sorted({start for start, _ in bounds} | {end for _, end in bounds}, reverse=True)
    kept = await asyncio.to_thread(lambda: continuations.rollouts_of(store.db, chain.key, key, drawing.how))
    stored = {(one.position, one.sample) for one in kept}
    # The longest beginning first: a server that keeps prefixes reads the chain once.
    todo = [(place, number) for place in places for number in range(samples) if (place, number) not in stored]
    if todo:
        address = await open_model(ref, manager)
        require_continuing(address, ref.id)
        async with ChatClient() as client:
            asking = Asking(client, address, ref)

            async def draw(place: int, number: int) -> Rollout:
                sampling = Sampling(
                    temperature=drawing.temperature,
                    top_p=drawing.top_p,
                    max_tokens=drawing.max_tokens,
                    seed=drawing.seed + number,
                )
                reply = await asking.go_on(chain, prefix(chain, place), sampling)
                answer = answer_of(chain, place, reply.raw)
                return Rollout(chain.key, key, drawing.how, place, number, ref.id, reply.raw, answer)

            done = 0
            for batch in (todo[:1], todo[1:]):
                async with aclosing(as_they_come([draw(place, number) for place, number in batch])) as arrived:
                    async for some in arrived:
                        await asyncio.to_thread(_store, store, some)
                        kept += some
                        done += len(some)
                        on_rollout(done, len(todo))
    wanted = [one for one in kept if one.sample < samples]
    without = sum(one.answer is None for one in wanted)
    return Resampled(tuple(anchors(chain, wanted)), len(todo), len(wanted) - len(todo), without)


def latest(db: Database, chain: Chain) -> tuple[str, tuple[Anchor, ...]]:
    """Return the model that drew the latest rollouts of a chain, and what they say; nothing if there are none."""
    found = continuations.latest_rollouts(db, chain.key)
    return (found[0].name, tuple(anchors(chain, found))) if found else ("", ())


def _store(store: Store, some: Sequence[Rollout]) -> None:
    continuations.add_rollouts(store.db, some)
