"""Atomic replacement of files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from o1lab.files import atomic_path, atomic_write, write_json, write_text


@pytest.mark.parametrize("durable", [True, False])
def test_a_file_is_replaced_whole_and_parents_are_made(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "deep" / "er" / "file.txt"
    write_text(path, "old", durable=durable)
    with atomic_write(path, durable=durable) as file:
        file.write("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert [each.name for each in path.parent.iterdir()] == ["file.txt"]


def test_a_failure_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")

    def fail() -> None:
        with atomic_write(path) as file:
            file.write("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    with pytest.raises(FileNotFoundError), atomic_path(path):
        pass  # nothing was written
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["file.txt"]


def test_json_with_a_lone_surrogate_is_still_utf8(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    values = {"text": "half \ud83d", "rest": "ü"}
    write_json(path, values)
    assert json.loads(path.read_text("utf-8")) == values
