"""Have a classifier give the moves of measured chains their kinds: in the background, and when a chain is opened.

Imports measure chains with the rules. This pass comes later and can be stopped at any time: each chain records which
classifier looked at it. Spans that persons corrected stay moves of their own, so that the corrections count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from o1lab.chains.measures import read_text
from o1lab.chains.segmentation.labelling import Labeller, labeller_at, shipped_path
from o1lab.chains.segmentation.moves import SEGMENTER_VERSION, cut, pack
from o1lab.ingest.measuring import own_moves
from o1lab.paths import Lab
from o1lab.process import spawned_pool
from store import Store, labelling
from store.labelling import Relabelled, Unlabelled
from store.records import decode
from store.sqlite import Database

_BATCH = 20
_WORTH_A_PROCESS = 60
"""From about this many chains on, a process of its own keeps the app quick; it takes half a second to start."""


def labeller_of(lab: Lab) -> Labeller:
    """Return the classifier of a lab: the one that it trained, else the shipped one.

    Raises:
        LabError: its file is damaged, or was trained with other features.
    """
    own = lab.moves_classifier
    return labeller_at(own if own.is_file() else shipped_path())


def label_pending(
    store: Store,
    labeller: Labeller,
    *,
    progress: Callable[[int, int], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Counter[str]:
    """Label every measured chain that this classifier has not looked at.

    Args:
        store: the lab's database.
        labeller: the classifier.
        progress: called with (done, total) after each batch.
        stop: called after each batch; True ends the pass and keeps what is done.

    Returns:
        The number of chains by who gave the kinds: model, rules, writer.

    Raises:
        StoreError: the database failed.
    """
    done: Counter[str] = Counter()
    with store.explained():
        total = labelling.count_unlabelled(store.db, labeller.name, SEGMENTER_VERSION)
        if not total:
            return done
        with _worker(labeller, total) as work:
            for batch in _pending(store.db, labeller.name):
                found = work(batch)
                labelling.set_labelled(store.db, labeller.name, found)
                done.update(one.by for one in found)
                if progress is not None:
                    progress(done.total(), total)
                if stop is not None and stop():
                    break
    return done


def label_now(db: Database, labeller: Labeller, trace_id: str) -> bool:
    """Label one chain, unless this classifier has looked at it; return whether it was labelled."""
    pending = labelling.unlabelled(db, labeller.name, SEGMENTER_VERSION, trace_id=trace_id)
    if pending:
        labelling.set_labelled(db, labeller.name, _label(labeller, pending))
    return bool(pending)


def _pending(db: Database, labeller: str) -> Iterator[list[Unlabelled]]:
    after = 0
    while batch := labelling.unlabelled(db, labeller, SEGMENTER_VERSION, after=after, limit=_BATCH):
        after = batch[-1].seq
        yield batch


@contextmanager
def _worker(labeller: Labeller, total: int) -> Iterator[Callable[[Sequence[Unlabelled]], list[Relabelled]]]:
    """Yield what labels a batch: in this thread if there is little to do, else in a process."""
    if total < _WORTH_A_PROCESS:
        yield partial(_label, labeller)
        return
    with spawned_pool(1) as executor:
        yield lambda batch: executor.submit(_label, labeller, batch).result()


def _label(labeller: Labeller, batch: Sequence[Unlabelled]) -> list[Relabelled]:
    return [_relabelled(labeller, one) for one in batch]


def _relabelled(labeller: Labeller, one: Unlabelled) -> Relabelled:
    raw = decode(one.raw)
    thought, solution = raw[slice(*one.thought)], raw[slice(*one.solution)]
    own = own_moves(one.own, one.thought)
    moves, by = (own, "writer") if own else labeller.label(read_text(thought, solution))
    moves = cut(moves, one.corrected)
    counts = dict(Counter(str(move.kind) for move in moves)) if thought else {}
    return Relabelled(one.trace_id, pack(moves), counts, by)
