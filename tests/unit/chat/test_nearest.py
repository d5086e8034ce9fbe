"""From an answer to the training rows that are most like it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from o1lab.chat.nearest import ChainIndex
from o1lab.errors import NotFoundError
from o1lab.serve.solver import respond


def write(run: Path, pairs: list[tuple[int, int]], extra: str = "") -> Path:
    run.mkdir()
    rows = []
    for a, b in pairs:
        prompt = f"What is {a} + {b}?"
        reply = respond(prompt)
        row = {"trace_id": f"t{a}-{b}", "prompt": prompt, "thought": reply.thought, "solution": reply.answer}
        rows.append(json.dumps(row) + "\n")
    (run / "data.jsonl").write_text("".join(rows) + extra)
    return run


def test_the_row_itself_comes_first_and_its_kin_next(tmp_path: Path) -> None:
    pairs = [(a, b) for a in range(101, 990, 37) for b in range(105, 990, 41)]
    index = ChainIndex(write(tmp_path / "run", pairs, extra='{"trace_id": "half'))
    assert len(index) == len(pairs)
    a, b = pairs[123]
    reply = respond(f"What is {a} + {b}?")
    near = index.nearest(f"What is {a} + {b}?", reply.thought, reply.answer, limit=5)
    assert (near[0].trace_id, near[0].score) == (f"t{a}-{b}", 100)
    assert len(near) == 5
    assert [one.score for one in near] == sorted((one.score for one in near), reverse=True)
    assert all(str(a) in one.prompt or str(b) in one.prompt for one in near[:2])
    index.close()


def test_chinese_is_found_and_nothing_finds_nothing(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    texts = {"zh": "甲乙两地相距四十五公里", "en": "A train leaves the station", "other": "求三角形的面积"}
    rows = [{"trace_id": name, "prompt": text, "thought": "", "solution": ""} for name, text in texts.items()]
    (run / "data.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    index = ChainIndex(run)
    assert index.nearest("两地相距多少", "", "")[0].trace_id == "zh"
    assert index.nearest("zebra", "", "") == []
    assert index.nearest("", "?!", "") == []
    index.close()


def test_a_run_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        ChainIndex(tmp_path)
