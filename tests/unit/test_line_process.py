"""A process that answers lines: it is asked, takes too long, dies, and is closed."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from o1lab.line_process import LineProcess

ECHO = """
import json, os, signal, sys, time
print("{}", flush=True)
for line in sys.stdin:
    match json.loads(line):
        case "sleep":
            time.sleep(600)
        case "die":
            print("the last words", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGTERM)
        case other:
            print(json.dumps([other, os.environ["OWN"], sys.argv[1:]]), flush=True)
"""


@pytest.fixture
def process(tmp_path: Path) -> Iterator[LineProcess]:
    (tmp_path / "echoing.py").write_text(ECHO)
    environment = {"PYTHONPATH": str(tmp_path), "OWN": "1"}
    with (tmp_path / "errors").open("wb") as errors:
        process = LineProcess("echoing", "a", "b", environment=environment, start_s=60, errors=errors)
        yield process
        process.close()


def test_a_question_is_answered_with_the_arguments_and_the_environment(process: LineProcess) -> None:
    assert process.answer({"gold": "½"}, 60) == [{"gold": "½"}, "1", ["a", "b"]]
    assert process.answer("x" * 100_000, 60)[0] == "x" * 100_000
    assert process.close() == -signal.SIGKILL


def test_an_answer_that_takes_too_long(process: LineProcess) -> None:
    process.answer(1, 60)
    with pytest.raises(TimeoutError):
        process.answer("sleep", 0.05)
    with pytest.raises(EOFError):  # the answer to the first question is not that to the next
        process.answer(1, 60)
    assert process.close() == -signal.SIGKILL


def test_a_process_that_dies_leaves_its_status_and_its_errors(process: LineProcess, tmp_path: Path) -> None:
    with pytest.raises(EOFError):
        process.answer("die", 60)
    assert process.close() == -signal.SIGTERM
    assert (tmp_path / "errors").read_text() == "the last words\n"
