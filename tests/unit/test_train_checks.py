"""Asking for preflight: what becomes of a process that gives no result."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from o1lab.errors import LabError
from o1lab.locations import log_dir
from o1lab.train.checks import inspect_run
from o1lab.train.rundir import RunDir


@pytest.mark.parametrize(
    ("does", "said"), [("kill -9 $$", "ended by signal 9"), ("echo nonsense; exit 1", "Preflight failed: Boom")]
)
def test_a_preflight_that_breaks_down_is_one_sentence_and_its_words_are_in_the_log(
    does: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\necho Traceback >&2; echo Boom. >&2; {does}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(LabError, match=said) as told:
        inspect_run(RunDir(tmp_path / "run"))
    assert "Traceback" not in str(told.value)
    assert "Traceback" in (log_dir() / "o1lab.log").read_text()
