"""The command ``methods``: the table in its formats."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from o1lab.cli.main import run as o1lab
from o1lab.paths import Lab
from tests.support import lab_seed


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    lab = lab_seed.make_lab(tmp_path / "lab", 8)
    monkeypatch.setenv("O1LAB_LAB", str(lab.root))
    return lab


def test_methods_in_every_format(lab: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert o1lab(["methods", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["total"] == 7
    solver = found["items"][-1]
    assert (solver["method"], solver["chains"], solver["correct"], solver["accepted"]) == ("solver", 8, 4, None)
    assert {"what": "no chain has a decision", "fix": "o1lab annotate ID --accept"} in solver["missing"]
    assert o1lab(["methods"]) == 0
    shown = capsys.readouterr().out
    assert "Supply it: o1lab distill --method debate" in " ".join(shown.split())
    assert max(map(len, shown.splitlines())) <= 80
    for name, text in (
        ("a.md", "| solver | not recorded | 8 |"),
        ("a.tex", r"solver & not recorded & 8"),
        ("a.json", '"methods"'),
    ):
        assert o1lab(["methods", "--out", str(tmp_path / name), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["rows"] == 7
        assert text in (tmp_path / name).read_text("utf-8")


def test_bad_input(lab: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, status in ((["--format", "pdf"], 2), (["--out", str(tmp_path / "none" / "a.md")], 3)):
        assert o1lab(["methods", *arguments, "--json"]) == status
        assert json.loads(capsys.readouterr().out)["error"]["hint"]
