"""Formats are told by their keys, raw text is kept byte for byte, and every row is accounted for."""

from __future__ import annotations

import errno
import gzip
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from o1lab.errors import UsageError
from o1lab.ingest import importer
from o1lab.ingest.annotations import merge_annotations
from o1lab.ingest.formats import FileOrigin, read_row
from o1lab.ingest.importer import Faults, FileReport, ImportReport, Progress, import_files
from o1lab.ingest.importers import RowError
from o1lab.ingest.reading import SourceRow
from store import Store, imports, problems, search, traces
from store.filters import TraceQuery

HERE = FileOrigin("here", "MIT")
SKY = "<|begin_of_thought|>\n\nhm\n\n<|end_of_thought|>\n\n<|begin_of_solution|>\n\n27<|end_of_solution|>"
R1 = "<think>\nhm\n</think>\n\n27"


@pytest.mark.parametrize(
    ("row", "form", "statement", "raws"),
    [
        ({"problem": "p", "raw": SKY, "model": "sky", "gold_answer": "27"}, "sky-t1 (recorded)", "p", [SKY]),
        ({"problem": "p", "thought": "hm", "solution": "27", "model": "m"}, "r1 (recorded)", "p", [R1]),
        ({"question": "p", "gemini_thinking_trajectory": "hm", "gemini_attempt": "27"}, "s1", "p", [R1]),
        (
            {
                "question": "p",
                "gemini_thinking_trajectory": "hm",
                "gemini_attempt": "27",
                "deepseek_thinking_trajectory": "so",
                "deepseek_attempt": "28",
            },
            "s1",
            "p",
            [R1, "<think>\nso\n</think>\n\n28"],
        ),
        ({"question": "p", "thinking_trajectories": ["hm"], "attempt": "27"}, "s1", "p", [R1]),
        ({"instruction": "p", "response": "<Thought>hm</Thought><Output>27</Output>"}, "marco-o1 (alpaca)", "p", None),
        ({"conversations": [{"from": "human", "value": "p"}, {"from": "gpt", "value": SKY}]}, None, "p", [SKY]),
        (
            {"system": "s", "conversations": [{"from": "user", "value": "p"}, {"from": "assistant", "value": R1}]},
            "r1 (sharegpt)",
            "p",
            [R1],
        ),
        ({"messages": [{"role": "user", "content": "p"}, {"role": "assistant", "content": R1}]}, "messages", "p", [R1]),
        (
            {
                "messages": [
                    {"role": "system", "content": "s"},
                    {"role": "user", "content": [{"type": "text", "text": "p"}]},
                    {"role": "assistant", "content": "27", "reasoning_content": "hm"},
                ]
            },
            "messages",
            "p",
            [R1],
        ),
        (
            {"messages": [{"role": "user", "content": "p"}, {"role": "assistant", "content": "27", "reasoning": "hm"}]},
            "messages",
            "p",
            [R1],
        ),
        ({"question": "p", "reasoning_content": "hm", "content": "27"}, "reasoning", "p", [R1]),
        ({"instruction": "add", "input": "1 and 2", "output": "3"}, "alpaca", "add\n\n1 and 2", ["3"]),
        ({"instruction": "add", "input": "", "output": R1}, "r1 (alpaca)", "add", [R1]),
        ({"problem": "p", "answer": "27"}, "problems", "p", []),
        ({"problem": "p", "source": "general"}, "problems", "p", []),
    ],
)
def test_formats(row: dict[str, Any], form: str | None, statement: str, raws: list[str] | None) -> None:
    item = read_row(row, HERE, 1)
    assert form is None or item.format == form
    assert item.problem.statement == statement
    if raws is not None:
        assert [trace.raw for trace in item.traces] == raws
    for trace in item.traces:
        assert trace.source == "here"
        assert trace.licence == "MIT"
        assert trace.synthesis in ("distilled", "unknown")
        assert trace.model


def test_what_the_row_says_counts_more_than_what_the_person_says() -> None:
    said = FileOrigin("here", "MIT", "teacher", "tree search")
    (trace,) = read_row({"problem": "p", "raw": "r", "model": "m", "licence": "CC0"}, said, 1).traces
    assert (trace.model, trace.licence, trace.synthesis) == ("m", "CC0", "tree search")
    (trace,) = read_row({"problem": "p", "response": "r"}, said, 1).traces
    assert (trace.model, trace.licence, trace.synthesis) == ("teacher", "MIT", "tree search")
    (trace,) = read_row({"problem": "p", "response": "r"}, FileOrigin("x"), 1).traces
    assert (trace.model, trace.licence, trace.synthesis) == ("unknown", "unknown", "unknown")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"x": 1, "y": 2}, "these keys: x, y"),
        ({}, "these keys: none"),
        ({"problem": "p", "response": "  "}, "these keys"),
        ({"messages": [{"role": "user", "content": "p"}]}, "no assistant turn"),
        ({"messages": [{"role": "assistant", "content": "p"}]}, "no user turn"),
        ({"messages": [{"role": "user", "content": ""}, {"role": "assistant", "content": "a"}]}, "problem is empty"),
        ({"messages": [{"role": "user", "content": "p"}, {"role": "assistant", "content": ""}]}, "response is empty"),
        ({"messages": "not a list"}, "these keys"),
        ({"conversations": [1, 2]}, "these keys"),
    ],
)
def test_rejected(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(RowError, match=reason):
        read_row(row, HERE, 1)


def lines(path: Path, *rows: object) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), "utf-8")
    return path


def test_raw_text_is_kept_byte_for_byte(store: Store, tmp_path: Path) -> None:
    raw = "<think>\na\0b\ud800\x1b[2J\r\n\u202e等等\n</think>\n\n 27 \n"
    import_files(store, [lines(tmp_path / "a.jsonl", {"problem": "p", "raw": raw})])
    (row,) = traces.page(store.db, TraceQuery.parse(""))
    text = traces.text(store.db, row.id)
    assert text.raw == raw
    assert text.solution == "27"
    assert text.thought == raw[8 : raw.index("\n</think>")]


def test_every_row_is_accounted_for_and_twice_is_a_duplicate(store: Store, tmp_path: Path) -> None:
    good = {"problem": "p", "raw": R1, "model": "m", "gold_answer": "27"}
    path = lines(tmp_path / "a.jsonl", good, "{nonsense", good, {"x": 1}, {"problem": "q", "answer": "1"})
    report = import_files(store, [path])
    assert report.files == [FileReport(str(path), "r1 (recorded)", 5, 2, 1, 2)]
    assert [(fault.path, fault.line) for fault in report.errors] == [(str(path), 2), (str(path), 4)]
    again = import_files(store, [path])
    assert (again.files[0].added, again.files[0].duplicates, again.files[0].rejected) == (0, 3, 2)
    assert search.hits(store.db, "hm")[1] == 1


def test_strict_takes_nothing(store: Store, tmp_path: Path) -> None:
    good = lines(tmp_path / "good.jsonl", {"problem": "p", "raw": R1})
    bad = lines(tmp_path / "bad.jsonl", {"problem": "q", "raw": R1}, "{")
    report = import_files(store, [good, bad], strict=True)
    assert report.undone
    assert [(told.added, told.duplicates) for told in report.files] == [(0, 0), (0, 0)]
    assert all(told.rows == told.added + told.duplicates + told.rejected for told in report.files)
    assert [fault.line for fault in report.errors] == [2]
    assert traces.count(store.db, TraceQuery.parse("")) == problems.count(store.db) == 0
    assert not import_files(store, [good], strict=True).failed
    assert traces.count(store.db, TraceQuery.parse("")) == 1


def test_the_lab_records_what_was_imported(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "marie"))
    (tmp_path / "marie").mkdir()
    at_home = lines(tmp_path / "marie" / "a.jsonl", {"problem": "p", "raw": R1}, "{")
    elsewhere = lines(tmp_path / "b.jsonl", {"problem": "q", "raw": R1, "odd": "2"})
    import_files(store, [at_home], dry_run=True)
    import_files(store, [elsewhere, at_home], strict=True)
    assert imports.everything(store.db) == []
    import_files(store, [at_home])
    import_files(store, [elsewhere], licence="MIT", source="s", mapping=(("odd", "answer"),))
    import_files(store, [elsewhere])
    first, second, third = imports.everything(store.db)
    assert (first.path, first.options) == ("~/a.jsonl", {})
    assert first.counts == {"format": "r1 (recorded)", "rows": 2, "added": 1, "duplicates": 0, "rejected": 1}
    assert (first.sha256, first.bytes) == (hashlib.sha256(at_home.read_bytes()).hexdigest(), at_home.stat().st_size)
    assert second.path == str(elsewhere)
    assert second.options == {"source": "s", "licence": "MIT", "mapping": [["odd", "answer"]]}
    assert (third.counts["added"], third.counts["duplicates"]) == (0, 1)


def test_progress_reaches_the_end(store: Store, tmp_path: Path) -> None:
    seen: list[Progress] = []
    path = lines(tmp_path / "a.jsonl", *({"problem": f"p{n}", "answer": "1"} for n in range(5000)))
    import_files(store, [path], progress=seen.append)
    assert len(seen) > 1
    assert [one.done for one in seen] == sorted(one.done for one in seen)
    assert (seen[-1].done, seen[-1].rows) == (seen[-1].total, 5000)


def test_missing_files_and_folders_without_data(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file"):
        import_files(store, [tmp_path / "none.jsonl"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="has no"):
        import_files(store, [tmp_path / "empty"])


def test_a_folder_stands_for_its_data_files_and_what_was_skipped_is_listed(store: Store, tmp_path: Path) -> None:
    def row(number: int) -> dict[str, str]:
        return {"problem": f"p{number}", "answer": "1"}

    folder = tmp_path / "data"
    folder.mkdir()
    lines(folder / "a.jsonl", row(1))
    lines(folder / "B.JSON", row(2))
    (folder / "c.jsonl.gz").write_bytes(gzip.compress(json.dumps(row(3)).encode()))
    (folder / "README.md").write_text("# A data set")
    (folder / ".hidden.jsonl").write_text("{}")
    (folder / "dataset_infos.json").write_text('{"default": {"description": ""}}')
    (folder / "state.json").write_text('{\n  "split": "train"\n}')
    (folder / "inner").mkdir()
    report = import_files(store, [folder])
    assert {Path(file.path).name: file.added for file in report.files} == {"a.jsonl": 1, "B.JSON": 1, "c.jsonl.gz": 1}
    assert {Path(one.path).name: one.reason.split(":")[0] for one in report.skipped} == {
        "README.md": "its name is not that of a JSON or Parquet file",
        ".hidden.jsonl": "a hidden file",
        "dataset_infos.json": "one JSON object that is not a row",
        "state.json": "one JSON object that is not a row",
        "inner": "a folder inside the folder",
    }
    assert not report.failed
    assert [name for name, _ in problems.sources(store.db)] == ["B", "a", "c"]
    (folder / "d.jsonl.gz").write_bytes(gzip.compress(json.dumps(row(4)).encode())[:-12])
    assert import_files(store, [folder]).failed


def test_equal_errors_are_one_entry(store: Store, tmp_path: Path) -> None:
    broken = ['{"a": ' + "1" * n + "x}" for n in range(1, 241)]
    path = lines(tmp_path / "a.jsonl", {"problem": "p", "answer": "1"}, *broken, *[{"x": 1}] * 3)
    report = import_files(store, [path])
    assert report.files[0].rejected == 243
    assert [(fault.line, fault.rows) for fault in report.errors] == [(2, 240), (242, 3)]
    assert report.errors[0].reason == "not JSON: Expecting ',' delimiter (column …)"
    assert report.errors[1].reason == "no format known here has these keys: x; --map COLUMN=ROLE says what they are"


def test_what_two_rows_of_a_batch_bring_is_new_in_the_first(store: Store, tmp_path: Path) -> None:
    trace, problem = {"problem": "p", "raw": R1, "model": "m"}, {"problem": "p", "answer": "27"}
    other = {"problem": "q", "answer": "1"}
    report = import_files(store, [lines(tmp_path / "a.jsonl", trace, trace, problem, other, other, trace)])
    assert (report.files[0].added, report.files[0].duplicates) == (2, 4)
    assert problems.find(store.db, "p").answer == "27"  # type: ignore[union-attr]  # it was added


def test_a_lost_cell_is_a_notice(store: Store, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "a.parquet"
    when = pa.array([0, 2**62, 2**62], pa.int64()).cast(pa.timestamp("us"))
    pq.write_table(pa.table({"problem": ["x", "y", "z"], "when": when}), path)
    report = import_files(store, [path])
    assert (report.files[0].added, report.failed) == (3, False)
    (notice,) = report.notices.entries
    assert (notice.line, notice.rows) == (2, 2)
    assert notice.reason.startswith("column when: ")
    (tmp_path / "empty.jsonl").write_text("")
    assert import_files(store, [tmp_path / "empty.jsonl"]).notices.entries[0].reason == "the file has no rows"


def test_a_value_nested_too_deeply_costs_its_row(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "deep.jsonl"
    deep = f'{{"question": "How much is 2 + 2?", "answer": {"[" * 900}"4"{"]" * 900}}}'
    path.write_text(f'{deep}\n{{"question": "How much is 3 + 3?", "answer": "6"}}\n')
    report = import_files(store, [path])
    assert [(error.line, error.reason) for error in report.errors] == [(1, "nested too deeply")]
    assert report.files[0].added == 1


def test_rows_before_a_read_error_are_imported(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(path: Path) -> Iterator[SourceRow]:
        yield SourceRow(1, {"problem": "p", "answer": "1"}, 10)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(importer, "rows", failing)
    report = import_files(store, [lines(tmp_path / "a.jsonl", {})])
    assert (report.files[0].added, problems.count(store.db)) == (1, 1)
    assert [fault.reason for fault in report.errors] == ["cannot be read: Input/output error"]


@pytest.mark.data
def test_all_of_the_real_data_goes_in(store: Store, shared_data: Path) -> None:
    report = import_files(store, [shared_data / name for name in ("long", "short", "maths")])
    assert not report.failed
    expected = {"skyt1_minerva_amc": 677, "thought_anchors_llama8b": 20, "marco_o1_CoT_demo": 125,
                "s1_gemini_sample5": 5, "shortcot_minerva_amc": 974, "aime24": 30, "amc23": 40, "math500": 500,
                "minerva_math": 272, "olympiadbench": 675, "gsm8k_train": 7473, "gsm8k_test": 1319,
                "math_train_sample": 312, "minif2f_informal": 488}  # fmt: skip
    assert {Path(told.path).stem: told.rows for told in report.files} == expected
    assert_accounted(report)
    assert sum(told.rejected for told in report.files) == 0
    assert traces.count(store.db, TraceQuery.parse("")) == 677 + 20 + 125 + 5 + 974
    without = store.db.execute("SELECT count(*) FROM traces WHERE licence IS NULL OR model = '' OR synthesis = ''")
    assert without.fetchone()[0] == 0
    for name in ("aime24", "amc23", "math500", "gsm8k_test", "minerva_math"):
        found = problems.page(store.db, source=name, limit=2000)
        assert len(found) >= 30
        assert all(one.answer for one in found), name
    again = import_files(store, [shared_data / name for name in ("long", "short", "maths")])
    assert sum(told.added for told in again.files) == 0


def assert_accounted(report: ImportReport) -> None:
    assert all(told.rows == told.added + told.duplicates + told.rejected for told in report.files)


def test_what_no_column_and_no_json_can_hold_does_not_stop_an_import(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "odd.jsonl"
    odd = {"problem": "p", "raw": R1, "licence": "\ud800", "model": "\ud800", "score": float("nan"), "answer": 1e999}
    path.write_text(json.dumps(odd))
    report = import_files(store, [path])
    assert (report.files[0].added, report.errors) == (1, [])
    row = traces.page(store.db, TraceQuery.parse(""))[0]
    assert row.licence == "?"
    text = traces.text(store.db, row.id)
    assert (text.meta, text.gold) == ({}, None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"value": "banana"},
        {"kind": "span", "span": [3, 1]},
        {"kind": "span", "span": [0, 1 << 70]},
        {"annotator": "\ud800"},
        {"created_at": "2026-01-01T00:00:00"},
    ],
)
def test_a_merge_takes_no_line_that_the_lab_could_not_use(
    store: Store, tmp_path: Path, wrong: dict[str, object]
) -> None:
    record = {"id": "1", "trace_id": "t", "kind": "decision", "value": "accept", "annotator": "a"}
    record["created_at"] = "2026-01-01T00:00:00+00:00"
    path = tmp_path / "said.jsonl"
    path.write_text(json.dumps(record))
    assert len(merge_annotations(store, path).without_trace) == 1
    path.write_text(json.dumps(record | wrong))
    with pytest.raises(UsageError, match=r"said\.jsonl:1 is not a valid annotation") as caught:
        merge_annotations(store, path)
    assert caught.value.code == "bad_line"


def test_a_merge_names_the_field_that_a_line_lacks(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "chains.jsonl"
    path.write_text(json.dumps({"question": "What is 2 + 2?"}))
    with pytest.raises(UsageError, match="it has no id"):
        merge_annotations(store, path)


def test_other_keys_of_an_object_that_holds_the_rows_are_named(store: Store, tmp_path: Path) -> None:
    rows = [{"problem": f"What is 1 + {n}?", "raw": "<think>a</think>2"} for n in range(3)]
    path = tmp_path / "wrapped.json"
    path.write_text(json.dumps({"version": 3, "data": rows, "about": "sums"}, indent=1))
    report = import_files(store, [path])
    assert report.files[0].added == 3
    assert [(one.line, one.reason) for one in report.notices.entries] == [
        (1, "the file is an object; besides its rows it has version, about, which is not used")
    ]


def test_one_conversation_over_several_lines_is_one_row(store: Store, tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "What is 1 + 1?"}, {"role": "assistant", "content": "<think>a</think>2"}]
    path = tmp_path / "one.json"
    path.write_text(json.dumps({"messages": turns, "model": "m"}, indent=1))
    report = import_files(store, [path])
    assert (report.files[0].rows, report.files[0].added, report.notices.entries) == (1, 1, [])


def test_reasons_beyond_a_thousand_share_an_entry() -> None:
    faults = Faults()
    for number in range(1005):
        faults.add("a", number, "reason " + "x" * number)
    faults.add("a", 2000, "reason xx")
    assert len(faults.entries) == 1001
    assert faults.entries[-1].reason.startswith("other reasons")
    assert sum(one.rows for one in faults.entries) == 1006
