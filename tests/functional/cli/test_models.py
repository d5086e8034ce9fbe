"""`o1lab models ls|import|rm`: an imported or merged model has a name that every command takes."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from o1lab.cli.main import run
from o1lab.config import init_lab
from o1lab.inference.events import Answer, Sampling
from o1lab.paths import Lab
from o1lab.serve.manager import ServerManager
from o1lab.serve.records import ServerRecord, write_record
from o1lab.serve.registry import find_model, open_model
from o1lab.train.recipes.recipe import Recipe
from tests.support.fake_runs import write_run
from tests.support.serving_models import make_adapter, make_model
from tests.support.streaming import stream_chat

Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return init_lab(tmp_path / "lab")


def listed(ask: Ask) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in ask("models", "ls")["items"]}


def test_an_imported_adapter_and_a_merged_model_answer_by_their_names(
    lab: Lab, ask: Ask, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("peft", reason="the train extra is not installed")
    base = make_model(tmp_path / "base")
    recipe = Recipe(base=str(base), dataset="sums", system_prompt="Add with [care].")
    trained = write_run(lab.runs, "7f3a9c21", recipe=recipe)
    checkpoint = make_adapter(base, trained.path / "checkpoints" / "step-100", seed=1)

    made = ask("models", "import", str(checkpoint), "--name", "kims")
    assert (made["name"], made["holds"], made["base"]) == ("kims", "adapter", str(base))
    assert made["system_prompt"] == "Add with [care]."
    merged = ask("models", "merge", "7f3a9c21")["path"]
    assert merged == str(lab.models / "7f3a9c21-step-100-merged")
    found = listed(ask)
    assert [(one["name"], one["kind"], one["holds"]) for one in found.values() if one["role"] == "student"] == [
        ("7f3a9c21/100", "checkpoint", "adapter"),
        ("7f3a9c21-step-100-merged", "merged", "full"),
        ("kims", "imported", "adapter"),
    ]
    assert [one["name"] for one in ask("models", "ls", "--kind", "merged")["items"]] == ["7f3a9c21-step-100-merged"]

    names = ["-m", "7f3a9c21", "-m", "kims", "-m", "7f3a9c21-step-100-merged"]
    answers = ask("chat", "What is 2 + 2?", *names, "--max-tokens", "12")["answers"]
    assert {one["system"] for one in answers} == {"Add with [care]."}
    assert answers[0]["answer"] == answers[1]["answer"]  # the same adapter
    assert all(one["state"] == "complete" and one["output_tokens"] > 0 for one in answers)

    assert run(["--lab", str(lab.root), "models", "import", str(checkpoint), "--name", "kims"]) == 2
    assert "The name kims is that of a model in the lab's models" in capsys.readouterr().err
    assert run(["--lab", str(lab.root), "models", "import", str(checkpoint), "--name", "7f3a9c21"]) == 2
    assert "that of a training run" in capsys.readouterr().err
    assert ask("models", "rm", "kims", "--yes")["freed_bytes"] > 0
    assert "kims" not in listed(ask)


async def test_another_adapter_with_the_name_of_a_deleted_one_answers_itself(
    lab: Lab, ask: Ask, tmp_path: Path
) -> None:
    pytest.importorskip("peft", reason="the train extra is not installed")
    base = make_model(tmp_path / "base", endless=True)

    def put(name: str, seed: int) -> None:
        folder = make_adapter(base, lab.models / name, seed=seed)
        (folder / "o1lab-model.json").write_text(json.dumps({"base": str(base), "made_by": "import"}))

    async def asked(manager: ServerManager, name: str) -> str:
        address, answer = await open_model(find_model(lab, name), manager), Answer()
        messages = [{"role": "user", "content": "What is 2 + 5?"}]
        async for event in stream_chat(address, messages, Sampling(max_tokens=12, temperature=0)):
            answer.apply(event)
        return answer.answer

    put("kims", 1)
    put("other", 2)
    async with ServerManager(lab) as manager:
        first, other = await asked(manager, "kims"), await asked(manager, "other")
        assert first != other
        old = (await open_model(find_model(lab, "kims"), manager)).model
        ask("models", "rm", "kims", "--yes")
        put("kims", 2)
        assert await asked(manager, "kims") == other
        started = await manager.ensure_server(str(base))
        psutil.Process(started.pid).kill()
        while (again := await manager.ensure_server(str(base))).pid == started.pid:  # noqa: ASYNC110
            await asyncio.sleep(0)  # the loop has not heard of the death yet
        assert old in started.models and old not in again.models  # its folder has the weights of another
        assert await asked(manager, "kims") == other


def test_a_model_in_use_is_kept(lab: Lab, ask: Ask, capsys: pytest.CaptureFixture[str]) -> None:
    folder = lab.models / "kims"
    folder.mkdir(parents=True)
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (folder / name).write_text("{}")
    (folder / "o1lab-model.json").write_text(json.dumps({"base": "smollm2-135m", "made_by": "import"}))
    server = ServerRecord("http://127.0.0.1:9/v1", "secret", os.getpid(), ["kims"], "embedded", time.time())
    record = write_record(lab.servers, server)
    said = ask("models", "rm", "kims", "--yes", status=5)["error"]
    assert said["code"] == "in_use" and str(os.getpid()) in said["hint"]
    record.unlink()
    active = write_run(lab.runs, "7f3a9c21", "running", recipe=Recipe(dataset="sums", init_from="models/kims"))
    assert ask("models", "rm", "kims", "--yes", status=5)["error"]["message"] == "The run 7f3a9c21 trains on kims."
    assert folder.is_dir() and active.path.is_dir()
    assert ask("models", "rm", "7f3a9c21", "--yes", status=4)["error"]["hint"] == "The lab has kims."
    assert run(["--lab", str(lab.root), "models", "rm", "kims"]) == 5
    capsys.readouterr()


def test_a_base_that_others_need_is_kept(lab: Lab, ask: Ask) -> None:
    base = lab.models / "base"
    base.mkdir(parents=True)
    (base / "config.json").write_text("{}")

    def refused() -> dict[str, str]:
        error: dict[str, str] = ask("models", "rm", "base", "--yes", status=5)["error"]
        assert error["code"] == "in_use" and base.is_dir()
        return error

    def adapter(folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base)}))
        (folder / "adapter_model.safetensors").write_bytes(b"")

    recipe = Recipe(base=str(base), dataset="sums")
    resumable = write_run(lab.runs, "0b5e1a2c", "stopped", recipe=recipe)
    adapter(resumable.checkpoint(50))
    assert refused()["message"] == "base is needed by the run 0b5e1a2c (it can be resumed)."
    finished = write_run(lab.runs, "7f3a9c21", recipe=recipe)
    for step in (50, 100):
        adapter(finished.checkpoint(step))
    adapter(lab.models / "kims")
    lab.config.write_text(f'base = "{base}"\n')
    error = refused()
    assert error["message"] == (
        "base is needed by the run 0b5e1a2c (it can be resumed), o1lab.toml, the run 7f3a9c21, kims."
    )
    assert "o1lab runs rm RUN" in error["hint"] and "o1lab models rm NAME" in error["hint"]
    lab.config.write_text("")
    ask("models", "rm", "kims", "--yes")
    for run_dir in (resumable, finished):
        shutil.rmtree(run_dir.path)
    write_run(lab.runs, "5e1a2c0b", "failed", recipe=recipe)  # it has no checkpoint, and cannot be resumed
    assert ask("models", "rm", "base", "--yes")["name"] == "base"


def test_a_list_without_a_lab_has_the_bases_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("O1LAB_CACHE", str(tmp_path / "cache"))
    assert run(["models", "ls"]) == 0
    said = capsys.readouterr().out
    assert "smollm2-135m" in said and "o1lab models fetch smollm2-135m" in said
    assert "only the bases on this machine are listed" in said


def test_a_folder_that_is_no_model_is_listed_with_its_problem(lab: Lab, ask: Ask) -> None:
    (lab.models / "empty\x1b[2J").mkdir(parents=True)
    (one,) = [one for one in ask("models", "ls")["items"] if one["problem"]]
    assert "not a model" in one["problem"]
