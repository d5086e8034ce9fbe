"""The built-in index is the paper's; a file that does not add up is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from o1lab.config import init_lab
from o1lab.errors import NotFoundError, UsageError
from o1lab.paths import assets_dir
from o1lab.transparency.framework import find_framework, framework_files

BUILT_IN = yaml.safe_load((assets_dir() / "tti" / "o1-journey-2.yaml").read_text("utf-8"))


def test_the_index_has_25_items_and_100_points() -> None:
    index = find_framework(None)
    assert len(index.items) == 25
    assert [dimension.points for dimension in index.dimensions] == [14, 33, 24, 29]
    assert index.total == 100


def test_the_published_totals_are_those_of_the_paper() -> None:
    assert {work.name: (*work.scores.values(), work.total) for work in find_framework(None).published} == {
        "Open O1": (0, 8, 20, 5, 33),
        "O1-Journey (Part 1)": (10, 33, 24, 9, 76),
        "LLaMA-O1": (0, 6, 0, 5, 11),
        "K0Math": (0, 0, 16, 0, 16),
        "Skywork O1": (0, 0, 0, 0, 0),
        "DeepSeek-R1-Lite": (0, 0, 20, 0, 20),
        "O1-Journey (Part 2)": (10, 33, 24, 12, 79),
    }


def test_an_item_is_found_by_the_end_of_its_id() -> None:
    index = find_framework(None)
    assert index.item("sources").id == "data.sources"
    with pytest.raises(NotFoundError, match="no item 'nothing'"):
        index.item("nothing")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"total": 99}, "add up to 14 .data. .* = 100, but total is 99"),
        ({"published": [{"name": "X", "scores": {"data": 1}}]}, "need one value for each of data, methodology"),
        (
            {"published": [{"name": "X", "scores": {"data": 15, "methodology": 0, "evaluation": 0, "open_source": 0}}]},
            "not between 0 and 14",
        ),
        ({"dimensions": [BUILT_IN["dimensions"][0]] * 2, "total": 28}, "two dimensions are called 'data'"),
        ({"source": None}, "source"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_file_is_refused_with_the_reason(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    lab = init_lab(tmp_path / "lab")
    (lab.root / "tti").mkdir()
    (lab.root / "tti" / "mine.yaml").write_text(yaml.safe_dump(BUILT_IN | changes), "utf-8")
    with pytest.raises(UsageError, match=message):
        find_framework(lab, "mine")


@pytest.mark.parametrize("text", ["", "[1", "just words", "\x00"])
def test_an_invalid_framework_file_is_refused(tmp_path: Path, text: str) -> None:
    lab = init_lab(tmp_path / "lab")
    (lab.root / "tti").mkdir()
    (lab.root / "tti" / "mine.yaml").write_text(text, "utf-8")
    with pytest.raises(UsageError, match="not a valid framework"):
        find_framework(lab, "mine")


def test_a_lab_can_add_frameworks(tmp_path: Path) -> None:
    lab = init_lab(tmp_path / "lab")
    (lab.root / "tti").mkdir()
    item = {"id": "a", "points": 7, "title": "A", "question": "A?"}
    own = {
        "name": "next", "title": "Next", "source": {"authors": "We", "title": "T", "year": 2026}, "total": 7,
        "dimensions": [{"id": "one", "title": "One", "items": [item]}],
    }  # fmt: skip
    (lab.root / "tti" / "next.yaml").write_text(yaml.safe_dump(own), "utf-8")
    assert list(framework_files(lab)) == ["o1-journey-2", "next"]
    assert find_framework(lab, "next").item("a").points == 7
    with pytest.raises(NotFoundError, match="no framework 'other'"):
        find_framework(lab, "other")
