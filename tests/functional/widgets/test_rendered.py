"""LaTeX and Markdown in the chain reader: rendered, raw with a key, the place kept, offsets of the source."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from o1lab.chains.mathtext import render
from o1lab.widgets.reader.body import THOUGHT
from o1lab.widgets.reader.document import ReaderDocument
from o1lab.widgets.rendered import laid_out, rendered_text
from o1lab.widgets.wrap import WrappedText
from tests.functional.widgets.test_reader import Harness

FORMULA = r"So $x = \frac{-b \pm \sqrt{b^2-4ac}}{2a}$ holds."
PIECES = st.lists(
    st.sampled_from(
        [
            r"$\frac{a}{b}$",
            r"$$\begin{cases} a & b \\ c & d \end{cases}$$",
            "word ",
            "\n",
            "**bold**",
            "中",
            "\x1b[2J",
            "$x^2$",
        ]
    ),
    max_size=30,
).map("".join)


def drawn(text: WrappedText) -> str:
    return "\n".join("".join(piece.text for piece in text.pieces(line)) for line in range(len(text)))


@given(PIECES, st.integers(4, 30), st.data())
def test_lines_of_a_rendered_text_cover_its_source(source: str, width: int, data: st.DataObject) -> None:
    text = WrappedText(source, width, rendering=render(source))
    spans = [text.span(line) for line in range(len(text))]
    assert "".join(source[a:b] for a, b in spans) == (source if spans else "")
    cuts = data.draw(st.lists(st.integers(0, len(source)), max_size=4))
    for line in range(len(text)):
        whole = "".join(piece.text for piece in text.pieces(line))
        assert "".join(piece.text for piece in text.pieces(line, cuts)) == whole
        assert "\x1b" not in whole
        assert all(cell_len(piece.text) == piece.cells for piece in text.pieces(line))
    for offset in range(len(source)):
        line = text.line_of(offset)
        start, stop = text.whole(offset)
        assert start <= offset < stop
        assert text.offset_at(line, text.cell_of(offset)) <= offset


async def test_formulas_are_rendered_and_a_key_shows_the_raw_text() -> None:
    app = Harness(ReaderDocument(f"{FORMULA}\n\n**Check** it.", r"\boxed{3}", [("compute", 0, len(FORMULA))]))
    async with app.run_test(size=(80, 12)) as pilot:
        assert "So x = (−b ± √(b²−4ac))/(2a) holds." in app.screen_text()
        assert "Check it." in app.screen_text()
        assert "⟦3⟧" in app.screen_text()
        await pilot.press("M")
        assert FORMULA in app.screen_text()
        assert "**Check** it." in app.screen_text()
        assert "raw text" in str(app.reader.query_one(".reader--status").render())
        await pilot.press("M")
        assert "√(b²−4ac)" in app.screen_text()


async def test_search_finds_the_source_of_a_formula() -> None:
    app = Harness(ReaderDocument(FORMULA))
    async with app.run_test(size=(80, 6)) as pilot:
        await pilot.press("slash", *"frac", "enter")
        assert app.reader.body.hits == 1
        styles = [segment.text for segment in app.reader.body.render_line(0) if segment.style and segment.style.bold]
        assert "(" in "".join(styles), "the part that is drawn for \\frac is highlighted"


async def test_a_selection_of_characters_takes_whole_parts_of_the_source() -> None:
    app = Harness(ReaderDocument("a $x^{12}$ b"))
    async with app.run_test(size=(60, 6)) as pilot:
        await pilot.press("v", "l", "l", "l")
        assert app.reader.body.selection_span == (0, 10)  # "a x¹²", with the dollar signs
        await pilot.press("y")
        assert app.copied == ["a $x^{12}$"]


async def test_moves_begin_lines_inside_rendered_text() -> None:
    parts = ["$x^2$ is four.", "Wait, $y$.", r"\[ z \]", "Done."]
    segments, at = [], 0
    for kind, part in zip(("compute", "reflect", "compute", "conclude"), parts, strict=True):
        segments.append((kind, at, at + len(part)))
        at += len(part)
    app = Harness(ReaderDocument("".join(parts), "", segments))
    async with app.run_test(size=(60, 12)):
        letters = [line[1] for line in app.screen_text().splitlines() if line[1:2].strip() and line[1] != "│"]
        assert letters == ["C", "R", "C", "F"]


async def test_a_long_chain_is_rendered_in_the_background_and_keeps_the_place() -> None:
    lines = [f"Line {number}: $x_{{{number}}} = \\frac{{1}}{{{number + 1}}}$ and on.\n\n" for number in range(3000)]
    source = "".join(lines)
    app = Harness(ReaderDocument(source))
    async with app.run_test(size=(80, 12)) as pilot:
        place = source.index("Line 2500")
        app.reader.body.show_place(THOUGHT, place)
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert app.reader.body.sections[0].text.rendering is not None
        assert "Line 2500: x₂₅₀₀ = 1/2501 and on." in app.screen_text()
        assert "\\frac" not in drawn(app.reader.body.sections[0].text)
        await pilot.press("M")
        await app.workers.wait_for_complete()
        assert lines[2500].strip() in app.screen_text()


def test_only_the_neighbourhood_of_a_place_is_rendered_at_once() -> None:
    source = "".join(f"{number} $x^2$\n\n" for number in range(20_000))
    at_once = drawn(laid_out(source, 80, whole=False, place=100_000))
    assert f"{source[100_000:].split()[2]} x²" in at_once or "x²" in at_once
    assert "0 $x^2$" in at_once
    assert at_once.count("x²") < 5_000


def test_a_statement_is_safe_and_styled() -> None:
    text = rendered_text("**Find** $x^2$\x1b[2J[red]")
    assert "Find x²" in text.plain
    assert "\x1b" not in text.plain
    assert "[red]" in text.plain
