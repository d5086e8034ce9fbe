"""Opening and scrolling a chain of a million characters: the chain reader beside Textual's Markdown and TextArea.

For each kind of text: seconds from handing the text over (its moves already known) until the screen is painted, by the
clock and in CPU time, and milliseconds of CPU time to scroll by one line, painting included. Headless, 80x24; what
would be written to a terminal is rendered and thrown away. Targets: open in under 0.3 s, a line in under 5 ms.

What to hold the milliseconds against, in the same run: "bare ScrollView" is Textual's line API with nothing to work
out and nothing beside it, "standing still" the chain reader given the same pauses and no scrolling (what the harness
itself takes). The peers get a smaller text, for Markdown needs minutes for a million characters, of prose with
newlines, which suits them best; their ratios are against the chain reader on that text.
Usage: python bench/reader.py [--chars N] [--peers-chars N]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Callable

from rich.segment import Segment
from textual._compositor import CompositorUpdate
from textual.app import App, ComposeResult, RenderResult
from textual.containers import VerticalScroll
from textual.geometry import Size
from textual.screen import Screen
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Markdown, TextArea

from o1lab.chains.segmentation.moves import segment
from o1lab.widgets.reader.chain_reader import ChainReader
from o1lab.widgets.reader.document import ReaderDocument

SENTENCES = (
    "Let me compute the sum of the two numbers column by column, 964 + 494 = 1458. "
    "Wait, that carry looks wrong; let me check it again. "
    "So the tens give 6 + 9 = 15, write 5 and carry 1. "
    "Therefore the answer is 1458. "
)
KINDS: dict[str, Callable[[int], str]] = {
    "prose, a newline every 4 sentences": lambda size: (SENTENCES + "\n\n") * (size // len(SENTENCES)),
    "prose without a newline": lambda size: SENTENCES * (size // len(SENTENCES)),
    "no space, no newline": lambda size: "x" * size,
    "Chinese without a newline": lambda size: "设这个数为 x，两边相加得到一千四百五十八。等等，再检查。" * (size // 29),
    "escape sequences": lambda size: "\x1b[31mred\x1b]0;title\x07 " * (size // 19),
}
LINES = 200


class PaintingApp(App[None]):
    """Renders every update to the sequence a terminal would get, which Textual leaves out when headless."""

    written = 0

    def __init__(self, *widgets: Widget) -> None:
        super().__init__()
        self._given = widgets

    def compose(self) -> ComposeResult:
        yield from self._given

    def _display(self, screen: Screen[object], renderable: RenderResult | None) -> None:
        if isinstance(renderable, CompositorUpdate):
            self.written += len(renderable.render_segments(self.console))


class BareView(ScrollView):
    """The line API alone: every line is made again, of one piece."""

    def on_mount(self) -> None:
        self.virtual_size = Size(78, 20_000)

    def render_line(self, y: int) -> Strip:
        return Strip([Segment(f"line {y + self.scroll_offset.y} ".ljust(78, "x"))], 78)


async def measure(
    widget: Widget, load: Callable[[], object], scroller: Callable[[], Widget], *, still: bool = False
) -> dict[str, float]:
    """Opening by the clock and in CPU time, in seconds; scrolling a line in CPU time, in milliseconds.

    ``still``: do not scroll, only wait as if one had.
    """
    app = PaintingApp(widget)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        began, cpu = time.perf_counter(), time.process_time()
        loading = load()
        if hasattr(loading, "__await__"):
            await loading
        before = app.written
        await pilot.pause()
        if app.written == before:
            raise AssertionError("nothing was painted")
        opened, opened_cpu = time.perf_counter() - began, time.process_time() - cpu
        body = scroller()
        times = []
        start = body.max_scroll_y // 2
        for line in range(LINES):
            before, cpu = app.written, time.process_time()
            if not still:
                body.scroll_to(y=start + line, animate=False)
            await pilot.pause()
            times.append(time.process_time() - cpu)
            if app.written == before and not still:
                raise AssertionError("the scrolled line was not painted")
    return {"open_s": opened, "open_cpu_s": opened_cpu, "line_cpu_ms": 1000 * statistics.median(times)}


async def reader(text: str, *, still: bool = False) -> dict[str, float]:
    widget = ChainReader()
    document = ReaderDocument(text, "The answer is 1458.", segment(text))
    return await measure(widget, lambda: widget.load(document), lambda: widget.body, still=still)


async def bare() -> dict[str, float]:
    widget = BareView()
    return await measure(widget, widget.refresh, lambda: widget)


async def markdown(text: str) -> dict[str, float]:
    widget = Markdown()
    scroll = VerticalScroll(widget)
    return await measure(scroll, lambda: widget.update(text), lambda: scroll)


async def text_area(text: str) -> dict[str, float]:
    widget = TextArea(read_only=True, soft_wrap=True)
    return await measure(widget, lambda: widget.load_text(text), lambda: widget)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--chars", type=int, default=1_000_000)
    parser.add_argument("--peers-chars", type=int, default=50_000)
    options = parser.parse_args()
    floor = asyncio.run(bare())
    print(json.dumps({"what": "bare ScrollView", "line_cpu_ms": round(floor["line_cpu_ms"], 3)}), flush=True)
    for kind, make in KINDS.items():
        text = make(options.chars)
        tell("chain reader", kind, text, asyncio.run(reader(text)))
    kind = next(iter(KINDS))
    idle = asyncio.run(reader(KINDS[kind](options.chars), still=True))
    print(
        json.dumps({"what": "chain reader, standing still", "line_cpu_ms": round(idle["line_cpu_ms"], 3)}), flush=True
    )
    text = KINDS[kind](options.peers_chars)
    ours = asyncio.run(reader(text))
    tell("chain reader", kind, text, ours)
    for name, peer in (("TextArea", text_area), ("Markdown", markdown)):
        theirs = asyncio.run(peer(text))
        tell(name, kind, text, theirs | {f"{key}_ratio": theirs[key] / ours[key] for key in ours})


def tell(what: str, kind: str, text: str, figures: dict[str, float]) -> None:
    rounded = {key: round(value, 3) for key, value in figures.items()}
    print(json.dumps({"what": what, "text": kind, "chars": len(text), **rounded}), flush=True)


if __name__ == "__main__":
    main()
