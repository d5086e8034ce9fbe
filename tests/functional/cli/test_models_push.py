"""`o1lab models push`: what is uploaded is shown before, with a card, private unless --public."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from o1lab.cli.main import run
from o1lab.config import init_lab
from o1lab.paths import Lab
from o1lab.train.recipes.recipe import Recipe
from tests.support.fake_hub import WRITES, FakeHub
from tests.support.fake_runs import write_run
from tests.support.programs import program

Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    made = init_lab(tmp_path / "lab")
    recipe = Recipe(base="smollm2-135m", dataset="sums", system_prompt="Add with [care].")
    folder = write_run(made.runs, "7f3a9c21", recipe=recipe).path / "checkpoints" / "step-100"
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(tmp_path / "base")}))
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    (folder / "optimizer.pt").write_bytes(b"x")
    return made


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", WRITES)
    with FakeHub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        yield server


def test_a_run_is_shown_and_uploaded_with_its_card(
    lab: Lab, hub: FakeHub, ask: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = ask("models", "push", "7f3a", "kim/sums", "--dry-run")
    assert shown["left_out"] == ["optimizer.pt"] and shown["private"] and shown["url"] is None
    assert [one["name"] for one in shown["files"]] == [
        "README.md", "adapter_config.json", "adapter_model.safetensors", "o1lab-model.json",
    ]  # fmt: skip
    assert hub.calls == []
    assert run(["--lab", str(lab.root), "models", "push", "7f3a", "kim/sums"]) == 2  # nobody can be asked
    said = capsys.readouterr().err
    assert "To kim/sums, private:" in said and "Stays here: optimizer.pt." in said and "--yes" in said
    assert "Changed: adapter_config.json: base_model_name_or_path is HuggingFaceTB/SmolLM2-135M-Instruct" in said
    assert hub.repos == {}

    done = ask("models", "push", "7f3a", "kim/sums", "--yes")
    assert (done["url"], done["private"], done["base"]) == (
        f"{hub.address}/kim/sums", True, "HuggingFaceTB/SmolLM2-135M-Instruct",
    )  # fmt: skip
    card = hub.repos["kim/sums"].files["README.md"].decode()
    assert "base_model: HuggingFaceTB/SmolLM2-135M-Instruct" in card and "Add with [care]." in card
    assert "report.md" not in card
    assert ask("models", "push", "7f3a", "kim/sums", "--yes", status=2)["error"]["code"] == "exists"
    assert ask("models", "push", "solver", "kim/sums", "--yes", status=2)["error"]["message"].startswith(
        "solver is not"
    )


def test_a_whole_checkpoint_tells_the_name_of_its_base_and_not_its_folder(
    lab: Lab, hub: FakeHub, ask: Ask, tmp_path: Path
) -> None:
    base = tmp_path / "elsewhere" / "base"  # outside the home, the cache and the lab
    base.mkdir(parents=True)

    def trained_on(name: str, run_id: str) -> None:
        run_dir = write_run(lab.runs, run_id, recipe=Recipe(base=name, dataset="sums", adapter="full"))
        folder = run_dir.checkpoint(100)
        folder.mkdir(parents=True)
        for file in ("config.json", "tokenizer.json"):
            (folder / file).write_text("{}")
        (folder / "model.safetensors").write_bytes(b"weights")

    trained_on(str(base), "0b5e1a2c")
    trained_on("smollm2-135m", "5e1a2c0b")
    error = ask("models", "push", "0b5e", "kim/sums", "--dry-run", status=2)["error"]
    assert error["code"] == "base" and "--base ORG/NAME" in error["hint"]
    assert ask("models", "push", "5e1a", "kim/sums", "--dry-run")["base"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
    ask("models", "push", "0b5e", "kim/sums", "--base", "kim/base", "--yes")
    sent = hub.repos["kim/sums"].files
    assert b"base_model: kim/base\n" in sent["README.md"]
    assert not any(str(tmp_path).encode() in content for content in sent.values())


def test_links_that_lead_elsewhere_stay_here(lab: Lab, ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "private").write_text("mine")
    folder = lab.models / "kims"
    folder.mkdir(parents=True)
    about = {"base": "smollm2-135m", "made_by": "import"}
    for name, content in {
        "adapter_config.json": {},
        "adapter_model.safetensors": {},
        "o1lab-model.json": about,
    }.items():
        (folder / name).write_text(json.dumps(content))
    for name in ("LICENSE.md", "README.md"):
        (folder / name).symlink_to(tmp_path / "private")
    shown = ask("models", "push", "kims", "kim/sums", "--dry-run")
    assert shown["left_out"] == ["LICENSE.md"]
    (readme,) = [one for one in shown["files"] if one["name"] == "README.md"]
    assert readme["bytes"] > len("mine")


def test_a_folder_needs_no_lab_and_the_token_may_be_in_a_file(lab: Lab, hub: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "home" / "huggingface").mkdir(parents=True)
    (tmp_path / "home" / "huggingface" / "token").write_text(WRITES)
    told = {"HF_HOME": str(tmp_path / "home" / "huggingface"), "HF_HUB_DISABLE_XET": "1"}
    environment = {name: value for name, value in os.environ.items() if name != "HF_TOKEN"} | told
    folder = lab.runs / "7f3a9c21" / "checkpoints" / "step-100"
    command = program("models", "push", folder, "sums", "--public", "--yes")
    command += ["--base", "kim/base"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"Uploaded to {hub.address}/kim/sums (public, commit" in done.stdout
    assert "which EVERYONE can read" in done.stderr and "Uploading 3 of 4" in done.stderr
    assert not hub.repos["kim/sums"].private
    assert str(tmp_path) not in b"".join(hub.repos["kim/sums"].files.values()).decode()
