"""Segments the texts of an evaluation's samples into moves, once for each version of the segmenter.

A turn with a thought is read by its thought, a turn without one by its answer. The counts are stored; a lab that cannot
be written gets them computed each time.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence

from o1lab.chains.measures import read_text
from o1lab.chains.segmentation.moves import SEGMENTER_VERSION, MoveKind, segment
from store import move_counts
from store.move_counts import Read, SampleMoves, UncountedSample
from store.sqlite import Database

_BATCH = 200
Counted = dict[tuple[str, int], SampleMoves]
"""The moves of samples by (item, sample)."""


def moves_of_evaluation(db: Database, evaluation_id: str, *, progress: Callable[[int], None] | None = None) -> Counted:
    """Return the moves of all samples of an evaluation that did not fail; those not yet counted are, and stored.

    Takes about a second for each 8 MB of text that was not counted: call it in a thread.

    Args:
        db: the lab's database.
        evaluation_id: the evaluation.
        progress: called with the number of samples counted so far.
    """
    counted: dict[int, SampleMoves] = {}
    writable, after, done = True, 0, 0
    while batch := move_counts.uncounted(db, evaluation_id, SEGMENTER_VERSION, after=after, limit=_BATCH):
        after = batch[-1].seq
        found = [count_moves(one) for one in batch]
        writable = writable and _stored(db, found)
        if not writable:
            counted.update((one.seq, one) for one in found)
        done += len(found)
        if progress is not None:
            progress(done)
    stored = move_counts.of_evaluation(db, evaluation_id, SEGMENTER_VERSION)
    if not counted:
        return stored
    places = move_counts.places(db, evaluation_id)
    return stored | {places[seq]: one for seq, one in counted.items()}


def count_moves(sample: UncountedSample) -> SampleMoves:
    """Count the moves of one sample, and the tokens of the texts that were read.

    Of answers that were read, the tokens are their share, by characters, of those after the thought. They are not known
    if the number of thought tokens is not, as of a model that hides its thoughts, unless the thought is in the text:
    then they are its share of all characters.
    """
    thoughts = [turn.thought for turn in sample.turns if turn.thought]
    answers = [turn.answer for turn in sample.turns if not turn.thought]
    texts = [read_text(turn.thought, turn.answer) for turn in sample.turns]
    counts = Counter(move.kind for text in texts for move in segment(text))
    read: Read = "both" if thoughts and any(answers) else "thought" if thoughts else "answer"
    return SampleMoves(sample.seq, read, _tokens(sample, thoughts, answers), tuple(counts[kind] for kind in MoveKind))


def _tokens(sample: UncountedSample, thoughts: Sequence[str], answers: Sequence[str]) -> float | None:
    inside, after = _size(thoughts), _size([turn.answer for turn in sample.turns])
    if sample.thought_tokens is None:
        return sample.output_tokens * (inside + _size(answers)) / (inside + after) if inside else None
    answered = max(0, sample.output_tokens - sample.thought_tokens)
    share = answered * _size(answers) / after if after else 0.0
    return share + (sample.thought_tokens if inside else 0)


def _size(texts: Sequence[str]) -> int:
    return sum(map(len, texts))


def _stored(db: Database, found: Sequence[SampleMoves]) -> bool:
    """Store counts; return False if the lab cannot be written."""
    try:
        move_counts.add(db, SEGMENTER_VERSION, found)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_READONLY:
            raise
        return False
    return True
