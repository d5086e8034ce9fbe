"""The script that makes the README's pictures, on a small lab and without a model."""

from __future__ import annotations

import runpy
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_runs import write_run
from tests.support.lab_seed import make_lab

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "assets" / "screenshots" / "make.py"))


async def test_the_pictures_that_need_no_model_are_made(script: dict[str, Any], tmp_path: Path) -> None:
    lab = make_lab(tmp_path / "lab", 8)
    write_run(lab.runs, "aaaa0001", state="finished", steps=100)
    await script["drive"](lab, tmp_path, ["traces", "train"])
    seen = [(tmp_path / f"{name}.svg").read_text("utf-8").replace("&#160;", " ") for name in ("traces", "train")]
    assert "reflect&gt;=1" in seen[0]
    assert "finished" in seen[1]


def test_make_screenshots_runs_a_script_that_is_there(script: dict[str, Any]) -> None:
    told = subprocess.run(
        ["make", "--no-print-directory", "-n", "screenshots", "LAB=lab", "ONLY=traces train"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    _, path, *words = told.stdout.splitlines()[-1].split()
    assert (ROOT / path).is_file()
    assert words == ["lab", "--only", "traces", "train"]
    assert set(words[2:]) <= set(script["PICTURES"])
