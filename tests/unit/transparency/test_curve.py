"""Curves from groups of runs whose students were evaluated with known outcomes."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.cells import cell_len

from o1lab.evaluate.report import plot_text
from o1lab.evaluate.report.plot_svg import svg
from o1lab.evaluate.report.plots import Level
from o1lab.evaluate.stats.metrics import wilson
from o1lab.paths import Lab
from o1lab.transparency.curve import as_markdown, curve_plot, curves
from store import Store, datasets, evaluations
from tests.support import curve_lab, training_lab


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return training_lab.make_lab(tmp_path / "lab")


def test_a_point_is_the_mean_of_its_students(lab: Lab, store: Store) -> None:
    curve_lab.add_curve(lab, store)
    (found,) = curves(lab, store)
    assert (found.group, found.parent, found.key.suite, found.missing) == (curve_lab.GROUP, "sums", "sums@1", ())
    assert [(one.rows, one.seeds, one.value) for one in found.points] == [
        (6, (1, 2, 3), pytest.approx(20)),
        (12, (1, 2, 3), pytest.approx(50)),
        (24, (1, 2, 3), pytest.approx(100 * 23 / 30)),
    ]
    for one in found.points:
        assert one.interval[0] < min(one.each) and max(one.each) < one.interval[1]
    low, high = wilson(10, 10)
    assert found.levels == (
        Level("T", "the teacher solver", 100.0, (100 * low, 100 * high)),
        Level("B", "the base base", 0.0, (0.0, pytest.approx(100 * (1 - low)))),
    )
    answer = found.as_json()["points"][0]
    assert {name: answer[name] for name in ("rows", "seeds", "accuracy")} == {
        "rows": 6, "seeds": [1, 2, 3], "accuracy": 0.2,
    }  # fmt: skip
    assert 0 < answer["ci95"][0] < 0.2 < answer["ci95"][1] < 1


def test_only_the_last_checkpoint_counts_and_what_is_missing_is_named(lab: Lab, store: Store) -> None:
    curve_lab.add_curve(lab, store, {6: (1, 2), 24: (5,)})
    curve_lab.put(store, "e-early", "c0061/50", 9)
    evaluations.remove(store.db, "e-c0062")
    (found,) = curves(lab, store)
    assert [(one.rows, one.seeds, one.each) for one in found.points] == [(6, (1,), (10.0,)), (24, (1,), (50.0,))]
    assert found.missing == (
        "1 of 3 runs of the group curve-sums were not evaluated on sums@1: c0062. Ask for the curve again: o1lab "
        "lesson curve sums",
    )


def test_curves_are_found_by_their_dataset_or_a_subset_of_it(lab: Lab, store: Store) -> None:
    curve_lab.add_curve(lab, store)
    for name in ("sums", "sums-6"):
        assert len(curves(lab, store, of=[datasets.get(store.db, name).hash])) == 1
    assert curves(lab, store, of=["0" * 16]) == []
    assert curves(lab, store, groups=["other"]) == []
    assert len(curves(lab, store, groups=[curve_lab.GROUP])) == 1


def test_the_plot_is_text_within_its_width_and_valid_svg(lab: Lab, store: Store) -> None:
    curve_lab.add_curve(lab, store)
    plot = curve_plot(curves(lab, store)[0])
    for width in (40, 80, 120):
        text = plot_text.text(plot, width).plain
        assert max(map(cell_len, text.split("\n"))) <= width
    text = plot_text.text(plot, 80).plain
    assert "number of chains (log)" in text and text.count("+") >= 3 and "╌T" in text and "╌B" in text
    assert "6   20.0 [" in text and "10.0, 20.0, 30.0" in text
    page = ElementTree.fromstring(svg(plot))  # noqa: S314 - our own output
    words = [one.text for one in page.iter("{http://www.w3.org/2000/svg}text")]
    assert "the teacher solver: 100.0" in words and "10.0, 20.0, 30.0" in words
    assert len(list(page.iter("{http://www.w3.org/2000/svg}polyline"))) == 1


def test_the_table_has_a_line_for_each_size_and_each_level(lab: Lab, store: Store) -> None:
    curve_lab.add_curve(lab, store)
    lines = as_markdown(curves(lab, store)).replace("\\", "").split("\n")
    assert [line.split(" | ")[0].strip("| ") for line in lines if line.startswith("| ")][2:] == [
        "6", "12", "24", "the teacher solver", "the base base",
    ]  # fmt: skip
