"""What tests of commands share: commands that answer in JSON, and models to serve."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from o1lab.cli.main import run
from o1lab.config import init_lab
from o1lab.paths import Lab
from tests.support.serving_models import make_adapter, make_model


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch", reason="the embedded server needs the train extra")
    folder = tmp_path_factory.mktemp("models")
    base = make_model(folder / "tiny", context=20_000, endless=True)
    for name, seed in (("step-50", 1), ("step-100", 2)):
        make_adapter(base, folder / "lab" / "runs" / "7f3a" / "checkpoints" / name, seed=seed)
    lab = init_lab(folder / "lab", base=str(base))
    (lab.runs / "7f3a" / "recipe.yaml").write_text(f"base: {base}\n")
    return folder


@pytest.fixture
def ask(lab: Lab, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Run a command on the test's own ``lab`` with ``--json``, check its exit status, and return what it prints."""

    def call(*words: str, status: int = 0) -> dict[str, Any]:
        capsys.readouterr()
        assert run(["--lab", str(lab.root), *words, "--json"]) == status
        answer: dict[str, Any] = json.loads(capsys.readouterr().out)
        return answer

    return call
