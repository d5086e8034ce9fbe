"""Rows come out of every container, in constant memory, and bad ones are told with their line."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest

from o1lab.ingest import reading


def read(path: Path) -> list[tuple[int, object]]:
    return [(row.line, row.data if row.data is not None else row.fault) for row in reading.rows(path)]


def write(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "no-telling-name"
    path.write_bytes(content)
    return path


def test_json_lines(tmp_path: Path) -> None:
    path = write(tmp_path, b'\xef\xbb\xbf{"a": 1}\r\n\n{"a": "\\ud800\\u0000"}\n{bad}\n[1]\n{"a": "\xff"}\n{"a": 2}')
    found = read(path)
    assert found[0] == (1, {"a": 1})
    assert found[1] == (3, {"a": "\ud800\0"})
    assert found[2][0] == 4 and "not JSON" in str(found[2][1])
    assert found[3] == (5, "the row is a list, not an object")
    assert found[4][0] == 6 and "not UTF-8" in str(found[4][1])
    assert found[5] == (7, {"a": 2})


def test_a_bad_first_line_does_not_hide_the_rest(tmp_path: Path) -> None:
    assert [line for line, _ in read(write(tmp_path, b'{"a": \n{"a": 2}\n'))] == [1, 2]


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_array_is_streamed_with_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(reading, "_CHUNK", chunk)
    rows = [{"a": "等] , {", "n": 12.5e3, "deep": [{"x": [1]}]}, {"b": "x" * 50}, {"c": None}]
    path = write(tmp_path, b" " + json.dumps(rows, indent=1, ensure_ascii=False).encode() + b"\n")
    found = list(reading.rows(path))
    assert [row.data for row in found] == rows
    assert [row.line for row in found] == [2, 13, 16]


@pytest.mark.parametrize(
    ("content", "good", "line"),
    [(b'[{"a": 1},\n{"a": oops},\n{"a": 2}]', 1, 2), (b'[{"a": 1}\n{"a": 2}]', 1, 2), (b'[{"a": 1}, {"a": "cut', 1, 1)],
)
def test_a_broken_array_gives_what_stands_before(tmp_path: Path, content: bytes, good: int, line: int) -> None:
    found = list(reading.rows(write(tmp_path, content)))
    assert [row.data for row in found[:-1]] == [{"a": 1}] * good
    assert found[-1].data is None and found[-1].line == line and "not JSON" in found[-1].fault


def test_one_object_and_its_only_table(tmp_path: Path) -> None:
    assert read(write(tmp_path, b'{\n "question": "q",\n "answer": "1"}')) == [(1, {"question": "q", "answer": "1"})]
    assert [data for _, data in read(write(tmp_path, b'{\n"version": 1,\n"data": [{"a": 1}, {"a": 2}]}'))] == [
        {"a": 1},
        {"a": 2},
    ]
    assert read(write(tmp_path, b"[]")) == []
    assert read(write(tmp_path, b"")) == []


def test_parquet(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "misnamed.json"
    pq.write_table(pa.table({"problem": ["p"] * 100, "answer": [str(n) for n in range(100)]}), path)
    found = read(path)
    assert [line for line, _ in found] == list(range(1, 101))
    assert found[99][1] == {"problem": "p", "answer": "99"}
    damaged = write(tmp_path, path.read_bytes()[:200])
    assert "damaged Parquet" in str(read(damaged)[-1][1])


def test_something_else_is_one_fault(tmp_path: Path) -> None:
    assert [line for line, _ in read(write(tmp_path, b"\x89PNG\r\n\x1a\n\0\0" + bytes(range(256)) * 9))] == [1]


def test_memory_stays_flat_however_many_rows(tmp_path: Path) -> None:
    line = json.dumps({"a": "x" * 10_000}).encode()

    def peak(content: bytes) -> int:
        path = write(tmp_path, content)
        tracemalloc.start()
        number = sum(1 for _ in reading.rows(path))
        high = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert number > 0
        return high

    assert peak((line + b"\n") * 2000) < peak((line + b"\n") * 200) + 1_000_000
    assert peak(b"[" + b",".join([line] * 2000) + b"]") < 12_000_000  # of 20 MB


def test_long_rows_in_an_array_take_linear_tries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_CHUNK", 64)
    tries = 0
    decode = json.JSONDecoder.raw_decode

    def counted(self: json.JSONDecoder, text: str, at: int = 0) -> tuple[object, int]:
        nonlocal tries
        tries += 1
        return decode(self, text, at)

    monkeypatch.setattr(json.JSONDecoder, "raw_decode", counted)
    assert len(read(write(tmp_path, json.dumps([{"a": "x" * 100_000}]).encode()))) == 1
    assert tries < 20


def test_a_number_too_long_for_python_is_a_bad_row(tmp_path: Path) -> None:
    long = b'{"a": ' + b"9" * 5000 + b"}"
    reason = "a number in it has thousands of digits"
    lines = read(write(tmp_path, b'{"a": 1}\n' + long + b'\n{"a": 2}\n'))
    assert lines == [(1, {"a": 1}), (2, reason), (3, {"a": 2})]
    array = read(write(tmp_path, b'[{"a": 1},\n' + long + b"]"))
    assert array == [(1, {"a": 1}), (2, f"not JSON: {reason}; the rest of the file cannot be read")]
