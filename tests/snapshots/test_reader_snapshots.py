"""How mathematics looks in the chain reader: rendered and raw, dark and light."""

from __future__ import annotations

from typing import Any

import pytest
from textual.pilot import Pilot

from o1lab.widgets.reader.document import ReaderDocument
from tests.functional.widgets.test_reader import Harness

PARTS = [
    ("understand", "Find the roots of $x^2 - 5x + 6 = 0$ with $x \\in \\mathbb{R}$.\n\n"),
    ("compute", "By the formula,\n\\[\nx = \\frac{-b \\pm \\sqrt{b^2-4ac}}{2a} = \\frac{5 \\pm 1}{2}.\n\\]\n"),
    (
        "compute",
        "As a system:\n\\begin{align*}\nx_1 + x_2 &= 5 \\\\\nx_1 \\cdot x_2 &= 6\n\\end{align*}\n"
        "and with $$A=\\begin{pmatrix} 2 & 10 \\\\ 0 & 3 \\end{pmatrix}$$ its trace is $5$.\n",
    ),
    (
        "reflect",
        "**Wait**, is $\\sum_{i=1}^{2} x_i = -\\frac{b}{a}$? And $\\lim_{n\\to\\infty} \\frac{1}{n} = 0$. ",
    ),
    ("conclude", "So $\\boxed{\\{2, 3\\}}$."),
]


def mathematics() -> ReaderDocument:
    segments, at = [], 0
    for kind, text in PARTS:
        segments.append((kind, at, at + len(text)))
        at += len(text)
    solution = "### Answer\nThe roots are $x_1 = 2$ and $x_2 = 3$."
    return ReaderDocument("".join(text for _, text in PARTS), solution, segments)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
@pytest.mark.parametrize("theme", ["textual-dark", "textual-light"])
def test_rendered_mathematics(snap_compare: Any, theme: str, size: tuple[int, int]) -> None:
    async def before(pilot: Pilot[None]) -> None:
        pilot.app.theme = theme
        await pilot.press("r")
        await pilot.pause()

    assert snap_compare(Harness(mathematics()), terminal_size=size, run_before=before)


def test_raw_text(snap_compare: Any) -> None:
    async def before(pilot: Pilot[None]) -> None:
        await pilot.press("M")
        await pilot.pause()

    assert snap_compare(Harness(mathematics()), terminal_size=(80, 24), run_before=before)
