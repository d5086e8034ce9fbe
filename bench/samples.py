"""How long the samples of an evaluation take over 100,000 of them: pages from the store, and the list on the screen.

Run: python -m bench.samples [SAMPLES]. Prints a line a question: the median of repeated asking in milliseconds, and its
ratio to the second that a person waits for a screen. The first rows are timed from the key to the row under the cursor.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from textual.app import ComposeResult

from o1lab.app import LabApp
from o1lab.config import init_lab
from screens.base.context import LabContext, open_context
from screens.base.screen import LabScreen
from screens.evaluate.samples import SamplesPane
from store import Store, evaluations, open_store, sample_list
from store.evaluations import Evaluation, ItemRow, NewSample, NewScore, State, Turn
from store.filters import SampleQuery

LIMIT_MS = 1000.0
REPEATS = 5
IDENTITY, SCORER = "bench", "math@1"
PAGES: dict[str, tuple[str, float]] = {  # the filter, and which part of the list to skip
    "the first page": ("", 0),
    "the middle": ("", 0.5),
    "the end": ("", 0.999),
    "the longest first": ("sort:longest", 0),
    "the wrong ones": ("outcome:incorrect", 0),
    "one by its words": ('"What is 777 + "', 0),
    "one variant": ("variant:hint", 0),
}


def fill(store: Store, number: int) -> None:
    """An evaluation of ``number`` items, a sample each, landed in another order than the suite's."""
    one = Evaluation(
        IDENTITY, "evals/bench", "sums", 1, "h", "mathematics", "base", "base", "r", {}, {}, number, 1, SCORER
    )
    ways = ("plain", "hint")
    items = [
        ItemRow(f"item-{at * 7919 % number}", f"What is {at} + {3 * at}? " * 4, (str(4 * at),), None, ways[at % 2])
        for at in range(number)
    ]
    evaluations.add(store.db, one, items)

    def samples() -> Iterator[NewSample]:
        for at in range(number):
            state: State = "incomplete" if at % 10 == 0 else "complete"
            said = Turn("?", "hm " * 40, "four")
            yield NewSample(f"item-{at}", 0, state, (said,), f"key-{at}", output_tokens=31 * at % 4000)

    with store.db.atomic():
        seqs = evaluations.add_samples(store.db, IDENTITY, samples())
        scores = (NewScore(seq, SCORER, "correct" if seq % 3 else "incorrect", 1.0, "4", "equal") for seq in seqs)
        evaluations.add_scores(store.db, (score for score in scores if score.seq % 10))


def timed(work: Callable[[], object]) -> float:
    """The median time of a few tries, in milliseconds."""
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


def told(question: str, milliseconds: float) -> None:
    print(f"{question:<28} {milliseconds:8.1f} ms   {milliseconds / LIMIT_MS:6.3f} of a second")


class Host(LabScreen):
    """A screen with nothing but the list; ``drawn`` is set once the first row under the cursor is painted."""

    def __init__(self, context: LabContext) -> None:
        super().__init__(context)
        self.drawn = asyncio.Event()

    def compose_body(self) -> ComposeResult:
        yield SamplesPane(self.context)

    def on_paged_table_row_highlighted(self) -> None:
        self.call_after_refresh(self.drawn.set)


async def first_rows(context: LabContext, query: str) -> float:
    """From showing the evaluation to its first rows painted, in milliseconds."""
    app = LabApp(context)
    async with app.run_test(size=(120, 40)) as pilot:
        host = Host(context)
        await app.push_screen(host)
        await pilot.pause()
        began = time.perf_counter()
        host.query_one(SamplesPane).show(IDENTITY, query=query)
        await host.drawn.wait()
        return 1000 * (time.perf_counter() - began)


def main() -> None:
    """Fill a lab and ask."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as folder:
        lab = init_lab(Path(folder) / "lab", name="bench")
        store = open_store(lab.database)
        fill(store, number)
        for question, (text, part) in PAGES.items():
            query, offset = SampleQuery.parse(text), int(part * number)
            told(question, timed(partial(sample_list.page, store.db, IDENTITY, SCORER, query, offset=offset)))
        store.close()
        for query in ("", "sort:longest", "outcome:wrong"):
            name = f"on the screen {query or 'as they come'}"
            told(name, statistics.median(asyncio.run(first_rows(open_context(lab), query)) for _ in range(3)))


if __name__ == "__main__":
    main()
