"""vLLM as a child process: a stand-in is started, answers, fails and ends with its keeper."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import deque
from pathlib import Path

import psutil
import pytest

from o1lab.config import init_lab
from o1lab.errors import LabError
from o1lab.serve.manager import ServerManager
from o1lab.serve.registry import find_model, open_model
from o1lab.serve.vllm import _cause, own_options, vllm_command
from tests.functional.cli.test_serving import PATIENCE_S, serving, stand_in


def test_vllm_is_started_with_adapters_and_its_key_in_the_environment(models: Path, tmp_path: Path) -> None:
    program, seen = stand_in(tmp_path)
    lab = init_lab(tmp_path / "lab")
    lab.config.write_text(f'[serve]\nvllm = "{program}"\nvllm_options = ["tensor-parallel-size=2"]\n')
    adapter = str(models / "lab/runs/7f3a/checkpoints/step-50")
    arguments = ["--lab", str(lab.root), "serve", str(models / "tiny"), "--adapter", adapter, "--engine", "vllm"]
    arguments += ["--adapter", f"mine={adapter}", "--dtype", "float32"]
    arguments += ["--vllm-option", "data_parallel_size=2", "--vllm-option", "enforce-eager"]
    with serving(*arguments) as (ready, process):
        assert ready["engine"] == "vllm"
        assert ready["models"] == ["tiny", "7f3a-step-50", "mine"]
        told = json.loads(seen.read_text())
        argv, env = told["argv"], told["env"]
        assert argv[:2] == ["serve", str(models / "tiny")]
        assert argv[argv.index("--host") + 1] == "127.0.0.1"
        assert "--enable-lora" in argv
        assert f"7f3a-step-50={adapter}" in argv and f"mine={adapter}" in argv
        for name, value in (("tensor-parallel-size", "2"), ("data-parallel-size", "2"), ("dtype", "float32")):
            assert argv[argv.index(f"--{name}") + 1] == value
        assert argv[-1] == "--enforce-eager"
        assert env["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] == "True"
        token = json.loads(Path(ready["record"]).read_text())["token"]
        assert env["VLLM_API_KEY"] == token
        assert token not in argv
        child = psutil.Process(ready["pid"]).children()[0]
        process.terminate()
        assert process.wait(PATIENCE_S) == 130
        assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


async def test_tokens_are_scored_beside_a_vllm_of_the_base(models: Path, tmp_path: Path) -> None:
    program, _ = stand_in(tmp_path)
    lab = init_lab(tmp_path / "lab")
    lab.config.write_text(f'[serve]\nvllm = "{program}"\n')
    base = str(models / "tiny")
    with serving("--lab", str(lab.root), "serve", base, "--engine", "vllm"):
        async with ServerManager(lab, reuse=True) as manager:
            assert (await manager.ensure_server(base)).engine == "vllm"
            scoring = await manager.ensure_server(base, scores=True)
            assert scoring.engine == "embedded"
            assert (await manager.ensure_server(base)).engine == "vllm"
            assert await manager.ensure_server(base, scores=True) is scoring


async def test_the_manager_loads_adapters_into_vllm_by_a_name_of_their_own(models: Path, tmp_path: Path) -> None:
    program, seen = stand_in(tmp_path)
    lab = init_lab(tmp_path / "lab")
    lab.config.write_text(f'[serve]\nvllm = "{program}"\n')
    shutil.copytree(models / "lab" / "runs", lab.runs, dirs_exist_ok=True)
    base = str(models / "tiny")
    with serving("--lab", str(lab.root), "serve", base, "--engine", "vllm"):
        async with ServerManager(lab, reuse=True) as manager:
            opened = await open_model(find_model(lab, "7f3a/100"), manager)
            handle = await manager.ensure_server(base)
            assert (opened.model, handle.engine) == ("7f3a-step-100", "vllm")
    asked, authorization = json.loads(seen.with_name("seen.json.loaded").read_text())
    assert asked == {
        "lora_name": "7f3a-step-100",
        "lora_path": str(lab.runs / "7f3a" / "checkpoints" / "step-100"),
    }
    assert authorization == f"Bearer {handle.token}"


@pytest.mark.parametrize("option", ["port=1", "--host=0.0.0.0", "served_model_name=x", ""])
def test_an_option_that_the_lab_sets_is_refused(option: str) -> None:
    with pytest.raises(LabError, match="cannot be set"):
        own_options([option])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_vllm_ends_with_its_keeper_even_when_that_is_killed(models: Path, tmp_path: Path) -> None:
    program, _ = stand_in(tmp_path)
    command = [sys.executable, "-P", "-m", "o1lab.serve.vllm", str(models / "tiny"), "--program", str(program)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {"O1LAB_CACHE": str(tmp_path)}) as keeper:
        assert keeper.stdout.readline()
        child = psutil.Process(keeper.pid).children()[0]
        keeper.kill()
        child.wait(PATIENCE_S)


def test_a_python_stands_for_the_vllm_of_its_environment(tmp_path: Path) -> None:
    """Third-party builds have another name than the one their own ``vllm`` program looks itself up by."""
    python = tmp_path / "python3"
    python.symlink_to(sys.executable)
    command = vllm_command(str(python))
    assert command[0] == str(python)
    assert command[-2:] == ["vllm.entrypoints.openai.api_server", "--model"]


def test_a_build_under_another_name_is_told_how_to_start(models: Path, tmp_path: Path) -> None:
    program, _ = stand_in(tmp_path, "fail: No package metadata was found for vllm")
    command = [sys.executable, "-P", "-m", "o1lab.serve.vllm", str(models / "tiny"), "--program", str(program)]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=PATIENCE_S)
    assert "python of its environment" in json.loads(done.stdout)["error"]["hint"]


def test_the_first_error_of_vllm_is_quoted_and_not_those_that_report_it() -> None:
    lines = ["INFO starting", "(Worker pid=7) ERROR 11-29 [x.py:955] ValueError: Available memory is less.", ""]
    lines += ["  File x, line 3", "RuntimeError: Engine core initialization failed. See root cause above."]
    assert _cause(deque(lines)) == "ValueError: Available memory is less."
    assert _cause(deque(["killed", " "])) == "killed" and _cause(deque()) == "no output"


def test_a_vllm_that_fails_is_quoted(models: Path, tmp_path: Path) -> None:
    program, _ = stand_in(tmp_path, "fail")
    command = [
        sys.executable,
        "-P",
        "-m",
        "o1lab.serve.vllm",
        str(models / "tiny"),
        "--program",
        str(program),
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 3
    assert "no kernel image" in json.loads(done.stdout)["error"]["message"]
