"""Two panes streaming 60 tokens a second each: the share of a core it takes, and how that grows with the text.

Headless, 120x40; what would be written to a terminal is rendered and thrown away. Deltas come as they do from a server,
a token at a time. A window begins with both panes filled to a point and runs for --seconds. Target: under 25 % of a
core over 100,000 characters. The peer is Textual's own Markdown stream over the same deltas. A machine busy with other
work cannot give a share it does not have: then the peer falls behind and its figure is too small.
Usage: python bench/streaming.py [--chars N] [--seconds S]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable

from reader import SENTENCES, PaintingApp
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Markdown

from o1lab.widgets.stream_pane import StreamPane

TOKENS_PER_SECOND = 60
TOKENS = [word + " " for word in SENTENCES.split()]


async def stream(feed: Callable[[str], Awaitable[None]], seconds: float) -> float:
    """Feed two panes in time; the share of a core the process took."""
    began, cpu = time.perf_counter(), time.process_time()
    for number in range(int(seconds * TOKENS_PER_SECOND)):
        await feed(TOKENS[number % len(TOKENS)] + ("\n\n" if number % 60 == 59 else ""))
        await asyncio.sleep(max(began + (number + 1) / TOKENS_PER_SECOND - time.perf_counter(), 0))
    return (time.process_time() - cpu) / (time.perf_counter() - began)


def filling(size: int) -> str:
    return (SENTENCES + "\n\n") * (size // len(SENTENCES))


async def panes(filled: int, seconds: float) -> float:
    both = [StreamPane("teacher"), StreamPane("student")]
    app = PaintingApp(Horizontal(*both))
    async with app.run_test(size=(120, 40)) as pilot:
        for pane in both:
            pane.add_user("What is 964 + 494?")
            pane.begin_assistant()
            pane.append_thought(filling(filled))
        await pilot.pause(0.2)

        async def feed(token: str) -> None:
            for pane in both:
                pane.append_thought(token)

        before = app.written
        share = await stream(feed, seconds)
        if app.written == before:
            raise AssertionError("nothing was painted")
        return share


async def markdown(filled: int, seconds: float) -> float:
    both = [Markdown(filling(filled)), Markdown(filling(filled))]
    scrolls = [VerticalScroll(pane) for pane in both]
    app = PaintingApp(Horizontal(*scrolls))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.2)
        for scroll in scrolls:
            scroll.anchor()
        streams = [Markdown.get_stream(pane) for pane in both]

        async def feed(token: str) -> None:
            for each in streams:
                await each.write(token)

        share = await stream(feed, seconds)
        for each in streams:
            await each.stop()
        return share


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--chars", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=6)
    options = parser.parse_args()
    for filled in (0, options.chars // 2, options.chars):
        ours = asyncio.run(panes(filled, options.seconds))
        row = {"chars_before": filled, "panes_share_of_core": ours}
        if filled in (0, options.chars):
            theirs = asyncio.run(markdown(filled, options.seconds))
            row |= {"markdown_share_of_core": theirs, "ratio": theirs / ours}
        print(json.dumps({key: round(value, 3) for key, value in row.items()}), flush=True)


if __name__ == "__main__":
    main()
