"""Lists on the command line: a table, JSON, CSV."""

from __future__ import annotations

import csv
import io
import json
import sys
from typing import Any

import pytest

from o1lab.cli.base.listing import Column, emit_list
from o1lab.cli.base.output import Format, Invocation, invoked

ITEMS: list[dict[str, Any]] = [
    {"id": "a", "name": "长链", "rows": 12_345, "parts": {"x": 1}},
    {"id": "bc", "name": None, "rows": 7, "parts": {}},
]
COLUMNS = (
    Column("id", "id"),
    Column("name", "name"),
    Column("rows", "rows", right=True),
    Column("note", lambda item: item.get("note", ""), optional=True),
)


def shown(capsys: pytest.CaptureFixture[str], **options: Any) -> str:
    given = {name: options.pop(name) for name in ("form", "as_json") if name in options}
    with invoked(Invocation(**given)):
        emit_list(ITEMS, COLUMNS, **options)
    return capsys.readouterr().out


def test_columns_are_aligned_by_width_on_screen_and_an_empty_optional_one_is_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert shown(capsys, total=9).splitlines() == [
        "ID  NAME    ROWS",
        "a   长链  12,345",
        "bc  -          7",
        "2 of 9",
    ]


def test_an_empty_list_is_explained_only_if_nothing_matches(capsys: pytest.CaptureFixture[str]) -> None:
    emit_list([], COLUMNS, total=0, empty="No thing yet.")
    assert capsys.readouterr().out == "No thing yet.\n"
    emit_list([], COLUMNS, total=3, empty="No thing yet.")
    assert capsys.readouterr().out == "0 of 3\n"


def test_a_terminal_gets_lines_of_its_width(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    wide = (*COLUMNS, Column("text", lambda _: "x" * 200))
    emit_list(ITEMS, wide)
    assert "x" * 200 in capsys.readouterr().out
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    emit_list(ITEMS, wide)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].endswith("x…")
    assert len(lines[2]) <= 60


def test_json_is_the_same_by_either_option(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, form=Format.JSON, more={"scorer": "math@1"})
    assert text == shown(capsys, as_json=True, more={"scorer": "math@1"})
    assert json.loads(text) == {"items": ITEMS, "total": 2, "scorer": "math@1"}


def test_csv_holds_every_key(capsys: pytest.CaptureFixture[str]) -> None:
    rows = list(csv.reader(io.StringIO(shown(capsys, form=Format.CSV))))
    assert rows == [["id", "name", "rows", "parts"], ["a", "长链", "12345", '{"x": 1}'], ["bc", "", "7", "{}"]]


def test_no_terminal_control_sequence_of_a_cell_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    for form in (None, Format.CSV):
        with invoked(Invocation(form=form)):
            emit_list([{"id": "a\x1b]0;owned\x07"}], COLUMNS[:1])
        assert "\x1b" not in capsys.readouterr().out


def test_an_empty_list_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    emit_list([], COLUMNS, empty="No run yet.")
    assert capsys.readouterr().out == "No run yet.\n"
