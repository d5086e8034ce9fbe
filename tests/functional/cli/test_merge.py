"""`o1lab models merge`: a run becomes a model that can be served, with a card."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from o1lab.cli.main import run
from o1lab.config import init_lab
from o1lab.paths import Lab
from o1lab.train.recipes.recipe import Recipe
from tests.support.fake_runs import write_run
from tests.support.serving_models import make_adapter, make_model


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return init_lab(tmp_path / "lab")


@pytest.mark.usefixtures("real_python")
def test_a_run_becomes_a_model(
    lab: Lab, ask: Callable[..., dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("peft", reason="the train extra is not installed")
    base = make_model(tmp_path / "base")
    recipe = Recipe(base=str(base), dataset="sums", system_prompt="Add with [care].")
    trained = write_run(lab.runs, "7f3a9c21", recipe=recipe)
    make_adapter(base, trained.path / "checkpoints" / "step-100", seed=1)
    made = ask("models", "merge", "7f3a9c21", str(tmp_path / "merged"))
    assert (made["model"], made["base"], made["dtype"]) == ("7f3a9c21/100", str(base), "float32")
    assert made["equal"] == made["saved_equal"] == made["prompts"] > 0
    assert json.loads((tmp_path / "merged" / "config.json").read_text())["model_type"] == "llama"
    card = (tmp_path / "merged" / "README.md").read_text()
    assert "# Merged model of run 7f3a9c21" in card and "library_name: transformers" in card
    assert "Add with [care]." in card
    assert "base_model: base\n" in card and str(tmp_path) not in card  # the card may be uploaded
    assert run(["--lab", str(lab.root), "models", "merge", "7f3a9c21", str(tmp_path / "merged")]) == 2
    assert "exists and is not empty" in capsys.readouterr().err


def test_an_imported_adapter_gets_no_card_of_a_run(
    lab: Lab, ask: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    pytest.importorskip("peft", reason="the train extra is not installed")
    base = make_model(tmp_path / "base")
    write_run(lab.runs, "7f3a9c21", recipe=Recipe(base="smollm2-135m", dataset="sums"))  # finished, and unrelated
    about = {"base": str(base), "made_by": "import", "prompt": {"system_prompt": "Add with [care]."}}
    folder = make_adapter(base, lab.models / "kims", seed=1)
    (folder / "o1lab-model.json").write_text(json.dumps(about))
    made = Path(ask("models", "merge", "kims")["path"])
    assert made == lab.models / "kims-merged"
    card = (made / "README.md").read_text()
    assert "# kims, merged" in card and "base_model: base\n" in card and "Add with [care]." in card
    assert "7f3a9c21" not in card and "sums" not in card and str(tmp_path) not in card


def test_a_name_that_is_no_run_is_told_which_runs_there_are(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--lab", str(lab.root), "models", "merge", "nothing", "x"]) == 4
    assert "No run of this lab has a checkpoint yet" in capsys.readouterr().err
    for number in range(10):
        trained = write_run(lab.runs, f"7f3a9c2{number}", recipe=Recipe(base="smollm2-135m", dataset="sums"))
        folder = trained.path / "checkpoints" / "step-100"
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            (folder / name).write_text("{}")
    assert run(["--lab", str(lab.root), "models", "merge", "nothing", "x"]) == 4
    said = " ".join(capsys.readouterr().err.split())
    assert "No model is called 'nothing'" in said and "Runs with a checkpoint: 7f3a9c2" in said
    assert "and 2 more; o1lab runs ls" in said
    assert "solver" not in said  # it cannot be merged
