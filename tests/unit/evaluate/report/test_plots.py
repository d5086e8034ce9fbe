"""Plots: the data behind them, text that fits 80 columns, SVG that is XML and holds no markup of others."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from o1lab.evaluate.report import plot_text
from o1lab.evaluate.report.plot_svg import svg
from o1lab.evaluate.report.plots import (
    Histogram,
    PlotData,
    Point,
    Scatter,
    log_bounds,
    log_ticks,
    percent_bounds,
    right_wrong_plot,
    short,
    tokens_plot,
)
from o1lab.evaluate.report.selection import choose
from store import Store, open_store
from tests.support.tables_lab import evaluated

BASE, STUDENT = "SmolLM2-135M", "7f3a/100"
SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = '</text><script>alert(1)</script>&"\x1b[31m\u202e\ufffe\nx'


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = open_store(tmp_path / "lab.db")
    evaluated(store, "b", "aime24", BASE, "+" * 3 + "-" * 22 + "ccx?!", role="base", tokens=900)
    evaluated(store, "s", "aime24", STUDENT, "+" * 18 + "-" * 12, role="student", tokens=2400)
    outcomes = ["++-", "+--", "---", "+++"] * 5
    answers = ["2" if letter == "+" else "1" for letter in "".join(outcomes)]
    evaluated(store, "m", "math500", STUDENT, outcomes, role="student", tokens=100, answers=answers)
    return store


def scatter(plot: PlotData, number: int) -> Scatter:
    panel = plot.panels[number]
    assert isinstance(panel, Scatter)
    return panel


def histogram(plot: PlotData, number: int) -> Histogram:
    panel = plot.panels[number]
    assert isinstance(panel, Histogram)
    return panel


def test_own_points_are_among_the_published_with_their_evaluations(store: Store) -> None:
    plot = tokens_plot(choose(store.db))
    panel = scatter(plot, 0)
    assert panel.title == "AIME2024: aime24@1, 30 items (h1), scored by math@1"
    assert [(point.mark, point.label, point.published) for point in panel.points] == [
        ("a", "o1-preview", True), ("b", "o1-mini", True), ("c", "distilled 72B", True),
        ("A", f"{BASE}, base", False), ("B", f"{STUDENT}, student", False),
    ]  # fmt: skip
    own = panel.points[-1]
    assert (own.tokens, own.accuracy, own.evaluation) == (2414.5, 60.0, "s")
    assert own.interval == pytest.approx((42.32, 75.41), abs=0.01)
    assert scatter(plot, 1).points[-1].mark == "B"  # a model's letter is the same in every panel
    assert any("arXiv:2411.16489" in note for note in plot.notes)


def test_several_samples_carry_a_point_on_by_maj_at_k(store: Store) -> None:
    (line,) = scatter(tokens_plot(choose(store.db)), 1).lines
    assert [k for k, *_ in line.steps] == [1, 2, 3]
    first, *_, last = line.steps
    assert first[2] == pytest.approx(50.0)  # maj@1 is the accuracy
    assert last[1] == pytest.approx(3 * first[1])
    assert last[2] == pytest.approx(50.0)  # of 3 the majority: right, wrong, wrong, right
    assert scatter(tokens_plot(choose(store.db)), 0).lines == ()


def test_without_evaluations_only_published_points_are_shown(tmp_path: Path) -> None:
    empty = open_store(tmp_path / "empty.db")
    plot = tokens_plot(choose(empty.db))
    assert [panel.title for panel in plot.panels] == ["AIME2024", "MATH500"]
    assert right_wrong_plot(choose(empty.db)).panels == ()
    assert "No data yet" in plot_text.text(right_wrong_plot([])).plain
    ElementTree.fromstring(svg(right_wrong_plot([])))  # noqa: S314 - what we wrote ourselves


def test_two_scorers_never_share_axes(store: Store) -> None:
    evaluated(store, "t", "aime24", "other", "+" * 30, scorer="math@2")
    titles = [panel.title for panel in tokens_plot(choose(store.db, suites=["aime24"])).panels]
    assert [title.rpartition(" ")[2] for title in titles] == ["math@1", "math@2"]


def test_right_and_wrong_are_drawn_and_others_are_counted(store: Store) -> None:
    plot = right_wrong_plot(choose(store.db, suites=["aime24"]))
    panel = histogram(plot, 0)
    base, student = panel.models
    assert {bars.kind: (bars.n, bars.middle) for bars in base.bars} == {
        "right": (3, 901), "wrong": (23, 914), "cut off": (2, 925.5),
    }  # fmt: skip
    assert (base.left_out, student.left_out) == (2, 0)
    assert "Not drawn: 2 samples that are unscored or failed." in plot.notes
    assert panel.edges[0] < 900 and panel.edges[-1] > 2430
    for bars in base.bars:  # each sample is in the bin that holds it
        held = [place for place, count in enumerate(bars.counts) if count]
        assert all(panel.edges[place + 1] > 900 and panel.edges[place] <= 930 for place in held)


def test_json_has_what_the_plot_shows(store: Store) -> None:
    told = tokens_plot(choose(store.db)).as_json()
    assert set(told) == {"plot", "title", "panels", "notes"}
    point = told["panels"][0]["points"][-1]
    assert set(point) == {"label", "published", "evaluation", "tokens", "accuracy", "interval"}
    assert told["panels"][1]["lines"][0]["maj_at"][0]["k"] == 1
    told = right_wrong_plot(choose(store.db)).as_json()
    assert told["panels"][0]["models"][0]["samples"]["right"]["n"] == 3


# Drawn.


@pytest.mark.parametrize("width", [40, 80, 132])
def test_as_text_it_fits_and_every_model_is_named_with_its_figures(store: Store, width: int) -> None:
    for plot in (tokens_plot(choose(store.db)), right_wrong_plot(choose(store.db))):
        text = plot_text.text(plot, width).plain
        assert max(map(cell_len, text.split("\n"))) <= width
        assert BASE in text and STUDENT in text
    lines = plot_text.text(tokens_plot(choose(store.db)), 80).plain.split("\n")
    assert any(re.fullmatch(r" B 7f3a/100, student +60\.0 \[42\.3, 75\.4\] +2,414 tokens", line) for line in lines)
    assert any(
        re.fullmatch(r" a o1-preview \(published\) +40\.0 \[24\.6, 57\.7\] +9,083 tokens", line) for line in lines
    )


def test_marks_are_in_their_places_and_do_not_overlap() -> None:
    points = tuple(
        Point(mark, mark, tokens, share) for mark, tokens, share in [("A", 100, 0), ("B", 100, 0), ("C", 10000, 100)]
    )
    lines = plot_text.text(PlotData("tokens", "t", (Scatter("p", points),)), 80).plain.split("\n")
    drawn = [line for line in lines if line[5:7] in (" ┤", " │")]
    assert ("C" in drawn[0], "A" in drawn[-1] and "B" in drawn[-1]) == (True, True)
    assert drawn[-1].index("A") < drawn[0].index("C")
    assert (drawn[0].startswith("  100"), drawn[-1].startswith("    0")) == (True, True)


def test_svg_is_xml_with_one_mark_for_each_model_and_no_overlapping_labels(store: Store) -> None:
    root = ElementTree.fromstring(svg(tokens_plot(choose(store.db, suites=["aime24"]))))  # noqa: S314 - as above
    names = [
        "o1-preview (published)",
        "o1-mini (published)",
        "distilled 72B (published)",
        f"{BASE}, base",
        f"{STUDENT}, student",
    ]
    words = [(node.text or "", node) for node in root.iter(f"{SVG}text")]
    assert set(names) <= {said for said, _ in words}
    assert len(root.findall(f".//{SVG}polygon")) == 6  # published: one in the plot, one in the legend
    assert len(root.findall(f".//{SVG}circle")) == 4
    width = float(root.attrib["width"])
    boxes = []
    for said, node in words:
        wide, size = cell_len(said) * 6.0, float(node.attrib.get("font-size", 12))
        begin = float(node.attrib["x"]) - {"end": wide, "middle": wide / 2}.get(node.attrib.get("text-anchor", ""), 0)
        boxes.append((begin, float(node.attrib["y"]) - size * 0.7, begin + wide, float(node.attrib["y"]), said))
        assert begin >= 0 and float(node.attrib["y"]) < float(root.attrib["height"])
    assert max(box[2] for box in boxes) <= width + 60  # letters are narrower than that on average
    for place, one in enumerate(boxes):
        for other in boxes[place + 1 :]:
            apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
            assert apart, (one[4], other[4])


def test_crowded_points_keep_their_marks_apart() -> None:
    points = tuple(Point(chr(65 + n), f"model {n}", 1000 + n, 50 + n / 10, (40.0, 60.0)) for n in range(12))
    root = ElementTree.fromstring(svg(PlotData("tokens", "t", (Scatter("p", points),))))  # noqa: S314 - as above
    marks = [
        node
        for node in root.iter(f"{SVG}text")
        if node.attrib.get("font-weight") == "bold" and "middle" in node.attrib.values()
    ]
    places = [(float(node.attrib["x"]), float(node.attrib["y"])) for node in marks]
    assert len(places) == 12
    for number, (x, y) in enumerate(places):
        assert all(abs(x - other_x) > 6 or abs(y - other_y) > 8 for other_x, other_y in places[number + 1 :])


@given(st.one_of(st.text(max_size=40), st.just(HOSTILE)))
def test_hostile_names_are_text(name: str) -> None:
    points = (Point("A", name, 500, 50, (40, 60)), Point("a", name, 700, 60, published=True))
    plot = PlotData("tokens", name, (Scatter(name, points),), (name,))
    drawn = svg(plot)
    root = ElementTree.fromstring(drawn)  # noqa: S314 - that it is harmless is what is tested
    kinds = {node.tag.removeprefix(SVG) for node in root.iter()}
    assert kinds <= {"svg", "title", "rect", "text", "line", "circle", "polygon", "polyline"}
    assert "<script" not in drawn and "\x1b" not in drawn and "\u202e" not in drawn
    text = plot_text.text(plot)
    assert "\x1b" not in text.plain and all(cell_len(line) <= 80 for line in text.plain.split("\n"))


# Axes.


@given(st.lists(st.floats(0.1, 1e7), min_size=1, max_size=5))
def test_log_bounds_hold_the_values_and_ticks(values: list[float]) -> None:
    low, high = log_bounds(values)
    assert all(low <= max(value, 1) <= high for value in values)
    assert len(log_ticks(low, high)) >= 3
    assert all(low <= tick <= high for tick in log_ticks(low, high))


@given(st.lists(st.floats(0, 100), max_size=5))
def test_percent_bounds_hold_the_points(shares: list[float]) -> None:
    low, high, step = percent_bounds(shares)
    assert 0 <= low < high <= 100 and step > 0
    assert all(low <= share <= high for share in shares)
    assert high - low >= 40


def test_ticks_are_short() -> None:
    assert [short(number) for number in (1, 50, 500, 1000, 2000, 20000, 1e6)] == [
        "1",
        "50",
        "500",
        "1k",
        "2k",
        "20k",
        "1M",
    ]
    assert log_ticks(90, 2100) == [100, 200, 500, 1000, 2000]
    assert log_ticks(1, 1e6) == [1, 10, 100, 1e3, 1e4, 1e5, 1e6]
