"""The script that makes the pictures of README and documentation, on a small lab and without a model."""

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
    shows = {"traces": "reflect&gt;=1", "train": "finished", "distill": "statement", "transparency": "O1-Journey"}
    shows |= {"form-data": "init from", "form-schedule": "learning rate", "form-hardware": "gradient checkpointing"}
    await script["drive"](lab, tmp_path, list(shows))
    for name, words in shows.items():
        assert words in (tmp_path / f"{name}.svg").read_text("utf-8").replace("&#160;", " ")


def test_every_picture_of_the_documentation_is_one_that_the_script_makes(script: dict[str, Any]) -> None:
    assert {path.stem for path in (ROOT / "assets" / "screenshots").glob("*.svg")} == set(script["PICTURES"])


def test_make_screenshots_runs_a_script_that_is_there(script: dict[str, Any]) -> None:
    told = subprocess.run(
        ["make", "--no-print-directory", "-n", "screenshots", "LAB=lab", "ONLY=traces train"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    _, path, *words = told.stdout.splitlines()[-1].split()
    assert (ROOT / path).is_file()
    assert words == ["lab", "--only", "traces", "train"]
    assert set(words[2:]) <= set(script["PICTURES"])
