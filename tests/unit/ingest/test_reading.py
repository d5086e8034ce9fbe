"""Rows come out of every container, in constant memory, and bad ones are told with their line."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import random
import sys
import tracemalloc
from collections.abc import Callable
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


@pytest.mark.parametrize("chunk", [1, 1 << 20])
@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b'{\n"a": 1\n}\n{\n"a": 2\n}\n', [(1, {"a": 1}), (4, {"a": 2})]),
        (b'[{"a": 1}]\n[]\n[{"a": 2}]', [(1, {"a": 1}), (3, {"a": 2})]),
        (b'[{"a": 1}]\n?', [(1, {"a": 1}), (2, "not JSON: Expecting value; the rest of the file cannot be read")]),
    ],
)
def test_what_follows_the_first_value_is_read_or_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int, content: bytes, found: list[tuple[int, object]]
) -> None:
    path = write(tmp_path, content)
    assert reading.container(path) == "json"
    monkeypatch.setattr(reading._Text.more, "__defaults__", (chunk,))
    assert read(path) == found


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


def zstd_compressed(data: bytes) -> bytes:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    compressed: bytes = zstd.compress(data)
    return compressed


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lambda data: lzma.compress(data, preset=0),
    "zstd": zstd_compressed,
}


def json_lines(rows: list[dict[str, object]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("compress", COMPRESSIONS.values(), ids=COMPRESSIONS)
def test_compressed_files_are_read(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows: list[dict[str, object]] = [{"a": f"等 {n}"} for n in range(50)]
    assert [data for _, data in read(write(tmp_path, compress(json_lines(rows))))] == rows
    assert [data for _, data in read(write(tmp_path, compress(json.dumps(rows, indent=1).encode())))] == rows
    halves = compress(json_lines(rows[:20])) + compress(json_lines(rows[20:]))  # two members, as `cat a.gz b.gz`
    assert [data for _, data in read(write(tmp_path, halves))] == rows
    table = io.BytesIO()
    pq.write_table(pa.table({"a": [row["a"] for row in rows]}), table)
    assert [data for _, data in read(write(tmp_path, compress(table.getvalue())))] == rows


@pytest.mark.parametrize("form", ["lines", "array"])
@pytest.mark.parametrize("name", COMPRESSIONS)
def test_a_compressed_file_that_is_cut_off_gives_its_good_rows(tmp_path: Path, name: str, form: str) -> None:
    chosen = random.Random(1)
    rows: list[dict[str, object]] = [{"a": chosen.randbytes(2000).hex()} for _ in range(600)]
    whole = COMPRESSIONS[name](json_lines(rows) if form == "lines" else json.dumps(rows).encode())
    path = write(tmp_path, whole[: len(whole) * 2 // 3])
    *good, last = list(reading.rows(path))
    assert 200 < len(good) < len(rows)
    assert [row.data for row in good] == rows[: len(good)]
    assert last.data is None
    assert f"the {name} data is damaged here (it is cut off)" in last.fault
    if form == "lines":
        assert last.line == len(good) + 1


def test_all_rows_are_read_if_only_the_trailer_is_damaged(tmp_path: Path) -> None:
    whole = gzip.compress(b'{"a": 1}\n{"a": 2}')
    found = read(write(tmp_path, whole[:-4]))
    assert found[:2] == [(1, {"a": 1}), (2, {"a": 2})]
    assert "cut off" in str(found[2])
    found = read(write(tmp_path, whole + b"something else"))
    assert found[:2] == [(1, {"a": 1}), (2, {"a": 2})]
    assert "the gzip data is damaged here" in str(found[2])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_files_in_utf_16_and_utf_32_are_read(tmp_path: Path, encoding: str) -> None:
    rows: list[dict[str, object]] = [{"a": "等 😀 \r\n"}, {"a": "b"}]
    lines = json_lines(rows).decode()
    assert [data for _, data in read(write(tmp_path, lines.encode(encoding)))] == rows
    assert [data for _, data in read(write(tmp_path, json.dumps(rows).encode(encoding)))] == rows
    assert [data for _, data in read(write(tmp_path, gzip.compress(lines.encode(encoding))))] == rows
    marked = "\ufeff".encode("utf-16-be") + lines.encode("utf-16-be")
    assert [data for _, data in read(write(tmp_path, marked))] == rows


def test_utf_16_that_ends_in_a_character_gives_its_rows(tmp_path: Path) -> None:
    found = read(write(tmp_path, '{"a": 1}\n{"a": 2}\n'.encode("utf-16") + b"{"))
    assert found[:2] == [(1, {"a": 1}), (2, {"a": 2})]
    assert "not UTF-16 from here on" in str(found[2])


def test_an_archive_is_named(tmp_path: Path) -> None:
    import tarfile
    import zipfile

    inside = write(tmp_path, b'{"a": 1}')
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(inside)
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        tar.add(inside, "a.jsonl")
    assert "the file is a ZIP archive; unpack it" in str(read(tmp_path / "a.zip"))
    assert "the file is a tar archive; unpack it" in str(read(tmp_path / "a.tar.gz"))


def test_a_damaged_page_of_parquet_costs_its_row_group(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "a.parquet"
    chosen = random.Random(1)
    texts = [chosen.randbytes(300).hex() for _ in range(300)]
    pq.write_table(pa.table({"a": texts}), path, row_group_size=100, use_dictionary=False, compression="gzip")
    column = pq.ParquetFile(path).metadata.row_group(1).column(0)
    data = bytearray(path.read_bytes())
    middle = column.data_page_offset + column.total_compressed_size // 2
    data[middle : middle + 400] = b"\xff" * 400
    path.write_bytes(data)
    found = list(reading.rows(path))
    good = [row for row in found if row.data is not None]
    assert [row.data for row in good] == [{"a": text} for text in texts[:100] + texts[200:]]
    assert [row.line for row in good] == [*range(1, 101), *range(201, 301)]
    (lost,) = [row for row in found if row.data is None]
    assert (lost.line, lost.rows) == (101, 100)
    assert "damaged Parquet" in lost.fault
    assert "row group 2, rows 101 to 200 are lost" in lost.fault


def test_a_parquet_value_that_python_cannot_hold_costs_its_cell(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "a.parquet"
    when = pa.array([0, 2**62, None], pa.int64()).cast(pa.timestamp("us"))
    broken = pa.Array.from_buffers(pa.string(), 3, pa.array([b"a", b"\xff", b"c"], pa.binary()).buffers())
    pq.write_table(pa.table({"a": ["x", "y", "z"], "when": when, "text": broken}), path)
    found = list(reading.rows(path))
    assert [row.data for row in found] == [
        {"a": "x", "when": "1970-01-01T00:00:00", "text": "a"},
        {"a": "y", "when": None, "text": None},
        {"a": "z", "when": None, "text": "c"},
    ]
    assert [bool(row.note) for row in found] == [False, True, False]
    assert "column when: date value out of range; column text: " in found[1].note


def test_decimals_are_numbers(tmp_path: Path) -> None:
    from decimal import Decimal

    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "a.parquet"
    values = [Decimal("27.00"), Decimal("0.50"), Decimal("12345678901234567890.12"), None]
    table = {"a": pa.array(values, pa.decimal128(38, 2)), "b": pa.array([[Decimal("1.5")]] * 4)}
    pq.write_table(pa.table(table), path)
    assert [row.data for row in reading.rows(path)] == [
        {"a": 27, "b": [1.5]},
        {"a": 0.5, "b": [1.5]},
        {"a": "12345678901234567890.12", "b": [1.5]},
        {"a": None, "b": [1.5]},
    ]


@pytest.mark.parametrize("indent", [None, 1])
def test_an_object_in_a_file_is_a_row_or_holds_the_rows(tmp_path: Path, indent: int | None) -> None:
    path = tmp_path / "one.json"
    turn = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}]
    for one in (
        {"question": "2 + 3?", "answer": "5"},
        {"messages": turn},
        {"question": "Q", "responses": [{"a": "b"}]},
    ):
        path.write_text(json.dumps(one, indent=indent))
        assert [(row.data, row.note) for row in reading.rows(path)] == [(one, "")]
    held = [{"question": "2 + 3?"}, {"question": "2 + 4?"}]
    path.write_text(json.dumps({"version": 1, "data": held}, indent=indent))
    found = list(reading.rows(path))
    assert [row.data for row in found] == held
    assert [bool(row.note) for row in found] == [True, False]
    assert "besides its rows it has version" in found[0].note
    path.write_text(json.dumps({"data": held}, indent=indent))
    assert [(row.data, row.note) for row in reading.rows(path)] == [(one, "") for one in held]
