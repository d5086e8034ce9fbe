"""A run that trains all weights: its checkpoints are whole models, which are served, compared and trained further."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="the train extra is not installed")

from o1lab.cli.main import run as o1lab
from o1lab.config import load_config
from o1lab.errors import UsageError
from o1lab.inference.events import Answer, Sampling
from o1lab.models.base import check_folder
from o1lab.paths import Lab
from o1lab.serve.choosing import base_and_adapters
from o1lab.serve.endpoints import ModelAddress
from o1lab.serve.identity import identify
from o1lab.serve.manager import ServerManager
from o1lab.serve.registry import find_model, open_model
from o1lab.train import worker
from o1lab.train.parent_run import origin
from o1lab.train.preflight.report import Preflight
from o1lab.train.recipes.recipe_file import resolve
from o1lab.train.runs.directory import RunDir
from tests.support.streaming import stream_chat
from tests.support.training_lab import make_lab, prepared, recipe

pytestmark = pytest.mark.slow
RUN = "7f3a9c21"
SYSTEM = "Add with care."
ASK = [{"role": "user", "content": "What is 2 + 5?"}]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> Lab:
    """A lab with a run of all weights, which has kept its checkpoints of steps 4 and 6."""
    lab = make_lab(tmp_path_factory.mktemp("full") / "lab")
    values = {"adapter": "full", "steps": 6, "learning_rate": 0.002, "save_steps": 2, "keep_checkpoints": 2}
    run = prepared(lab.root, RUN, recipe(tiny_base, system_prompt=SYSTEM, **values))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("o1lab.train.worker.signal.signal", lambda *_: None)
        patch.setenv("O1LAB_CACHE", str(lab.root / "cache"))
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        assert worker.work(run, resuming=False) == 0, run.read_status().message
    return lab


def generated(folder: Path, system: str) -> str:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    messages = [{"role": "system", "content": system}, *ASK]
    inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    with torch.inference_mode():
        made = model.generate(**inputs, max_new_tokens=8, do_sample=False)
    return str(tokenizer.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))


async def test_each_checkpoint_answers_as_itself(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("O1LAB_CACHE", str(lab.root / "cache"))
    run = RunDir(lab.runs / RUN)
    assert [path.name for path in run.checkpoints()] == ["step-4", "step-6"]
    async with ServerManager(lab) as manager:
        for name, step in ((f"{RUN}/4", 4), (RUN, 6)):
            ref = find_model(lab, name)
            assert (ref.adapter, ref.base, ref.source) == (None, str(run.checkpoint(step)), "checkpoint")
            address = await open_model(ref, manager)
            assert address.model == f"{RUN}-step-{step}"
            expected = generated(run.checkpoint(step), SYSTEM)
            plain = ModelAddress(address.base_url, address.model, address.key)  # as other programs ask
            for target, asked in ((address, [{"role": "system", "content": SYSTEM}, *ASK]), (plain, ASK)):
                answer = Answer()
                async for event in stream_chat(target, asked, Sampling(max_tokens=8, temperature=0)):
                    answer.apply(event)
                assert answer.answer == expected and expected.strip()


def test_its_weights_say_who_it_is(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("O1LAB_CACHE", str(tmp_path / "cache"))
    four, six = (identify(lab, find_model(lab, f"{RUN}/{step}")) for step in (4, 6))
    assert four.revision != six.revision
    assert (six.id, six.role, six.source, six.system_prompt) == (f"{RUN}/6", "student", "checkpoint", SYSTEM)
    copy = shutil.copytree(RunDir(lab.runs / RUN).checkpoint(6), tmp_path / "copy")
    assert identify(lab, find_model(lab, str(copy))).revision == six.revision
    assert check_folder(copy) == copy


def test_it_is_listed_and_there_is_nothing_to_merge(
    lab: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert o1lab(["--lab", str(lab.root), "runs", "show", RUN, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["checkpoints"] == ["step-4", "step-6"]
    assert json.loads((lab.runs / RUN / "status.json").read_text())["kind"] == "full"
    assert o1lab(["--lab", str(lab.root), "models", "merge", RUN, str(tmp_path / "out"), "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["code"], error["message"]) == ("whole_model", f"There is nothing to merge: {RUN}/6 is a whole model.")


def test_serve_takes_the_checkpoint_as_the_base(lab: Lab) -> None:
    config = load_config(lab)
    folder = str(RunDir(lab.runs / RUN).checkpoint(6))
    assert base_and_adapters(lab, config, RUN, []) == (folder, {})
    with pytest.raises(UsageError, match="is a whole model, not an adapter"):
        base_and_adapters(lab, config, "smollm2-135m", [RUN])


def test_another_run_goes_on_from_it_and_keeps_its_kind(
    lab: Lab, tiny_base: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from safetensors.torch import load_file

    monkeypatch.setattr("o1lab.train.worker.signal.signal", lambda *_: None)
    monkeypatch.setenv("O1LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    chosen = recipe(tiny_base, init_from=RUN, steps=1, learning_rate=1e-9)
    chosen = chosen.model_copy(update=origin(lab, chosen))
    assert (chosen.adapter, chosen.init_from) == ("full", f"{RUN}/step-6")
    second = prepared(lab.root, "bbbb", chosen)
    assert worker.work(second, resuming=False) == 0, second.read_status().message
    before, after = (
        load_file(path / "model.safetensors") for path in (RunDir(lab.runs / RUN).checkpoint(6), second.checkpoint(1))
    )
    assert max(float((after[name] - before[name]).abs().max()) for name in before) < 1e-6


@pytest.mark.parametrize(
    ("values", "said", "hint"),
    [
        ({"adapter": "lora"}, "are whole models, but the recipe asks for lora", "Name the folder of its checkpoint"),
        ({"init_from": "cccc", "adapter": "full"}, "has trained an adapter (dora)", "o1lab models merge cccc"),
    ],
)
def test_a_run_of_the_other_kind_is_told_what_to_do(
    values: dict[str, Any], said: str, hint: str, lab: Lab, tiny_base: Path
) -> None:
    adapter = RunDir(lab.runs / "cccc").checkpoint(1)
    adapter.mkdir(parents=True, exist_ok=True)
    config = {"r": 8, "lora_alpha": 16, "lora_dropout": 0.0, "target_modules": ["q_proj"], "use_dora": True}
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    (adapter / "adapter_model.safetensors").touch()
    (lab.runs / "cccc" / "recipe.yaml").write_text(f"base: {tiny_base}\ndataset: sums\n")
    (lab.runs / "cccc" / "status.json").write_text('{"state": "finished"}')
    with pytest.raises(UsageError) as told:
        origin(lab, resolve({"dataset": "sums", "base": str(tiny_base), "init_from": RUN, **values}))
    assert told.value.code == "adapter_shape"
    assert said in told.value.message and hint in told.value.hint


def test_checkpoints_that_do_not_fit_on_the_disk_are_a_warning(
    lab: Lab, tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from o1lab.train.preflight import base

    monkeypatch.setattr(base.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 9, 25_000))
    found = Preflight(total_steps=10)
    base._check_disk(found, recipe(tiny_base, save_steps=4, keep_checkpoints=1), 1000, lab.runs)  # two at a time
    assert not found.warnings
    base._check_disk(found, recipe(tiny_base, save_steps=4), 1000, lab.runs)
    assert [one.code for one in found.warnings] == ["disk"]
    assert "writes 3 checkpoints of about 12 kB, but only 25 kB are free" in found.warnings[0].message


def test_preflight_counts_all_weights_and_warns(tiny_base: Path, ask: Callable[..., dict[str, Any]]) -> None:
    from transformers import AutoModelForCausalLM

    words = ["train", "--dry-run", "--dataset", "sums", "--base", str(tiny_base)]
    found = ask(*words, "--adapter", "full", "--max-length", "128")
    size = sum(one.numel() for one in AutoModelForCausalLM.from_pretrained(tiny_base).parameters())
    assert found["trainable_parameters"] == found["base_parameters"] == size
    assert (found["memory"]["adapter"], found["targets"]) == (12 * size, [])
    assert [one["code"] for one in found["warnings"]] == ["learning_rate"]
