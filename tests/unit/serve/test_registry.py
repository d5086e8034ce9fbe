"""What models a lab has, how they are named, records of servers, and the notice about a shared device."""

from __future__ import annotations

import json
import os
import socket
import stat
import time
from dataclasses import replace
from pathlib import Path

import pytest

from o1lab.config import init_lab
from o1lab.errors import LabError, NotFoundError
from o1lab.models.checkpoints import served_name
from o1lab.models.prompts import PromptOptions
from o1lab.paths import Lab
from o1lab.serve.manager import training_notice
from o1lab.serve.records import ServerRecord, live_records, read_record, write_record
from o1lab.serve.registry import checkpoints, find_model, list_models, open_model
from o1lab.small_files import UnreadableError


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    made = init_lab(tmp_path / "lab", base="tiny")
    made.config.write_text(
        'base = "tiny"\n[[endpoints]]\nname = "o1"\nurl = "http://x/v1"\nmodel = "o1"\n'
        'key_env = "O1LAB_TEST_KEY"\nrole = "teacher"\n'
    )
    for step, whole in ((50, True), (100, True), (150, False)):
        folder = made.runs / "7f3a" / "checkpoints" / f"step-{step}"
        folder.mkdir(parents=True)
        (folder / "adapter_config.json").write_text("{}")
        if whole:
            (folder / "adapter_model.safetensors").write_bytes(b"x")
    (made.runs / "7f3a" / "recipe.yaml").write_text("base: tiny\n")
    return made


def record(pid: int, **changes: object) -> ServerRecord:
    values = {"url": "http://127.0.0.1:1/v1", "token": "secret", "pid": pid, "models": ["tiny"], "engine": "embedded"}
    return ServerRecord(**(values | {"started": time.time()} | changes))


def test_all_models_of_a_lab_have_names(lab: Lab) -> None:
    write_record(lab.servers, record(os.getpid()))
    assert [(ref.id, ref.role) for ref in list_models(lab)] == [
        ("o1", "teacher"),
        ("solver", "teacher"),
        ("tiny", "base"),
        ("7f3a/100", "student"),
        ("7f3a/50", "student"),
        (f"{os.getpid()}/tiny", "other"),
    ]
    assert find_model(lab, "7f3a").step == 100
    assert find_model(lab, "7f3a/step-50").step == 50
    assert [served_name(c.path) for c in checkpoints(lab.runs / "7f3a")] == ["7f3a-step-50", "7f3a-step-100"]
    with pytest.raises(NotFoundError, match="7f3a/150"):
        find_model(lab, "7f3a/150")


def test_the_newest_run_is_the_first_student_whatever_its_id(lab: Lab) -> None:
    for name, made in (("0001", 3000.0), ("ffff", 2000.0), ("7f3a", 1000.0)):
        folder = lab.runs / name / "checkpoints" / "step-50"
        folder.mkdir(parents=True, exist_ok=True)
        for file in ("adapter_config.json", "adapter_model.safetensors"):
            (folder / file).write_text("{}")
        recipe = lab.runs / name / "recipe.yaml"
        recipe.write_text("base: tiny\n")
        os.utime(recipe, (made, made))
    students = [ref.id for ref in list_models(lab) if ref.role == "student"]
    assert students == ["0001/50", "ffff/50", "7f3a/100", "7f3a/50"]


async def test_a_student_brings_the_prompt_of_its_run(lab: Lab) -> None:
    options = "system_prompt: Short.\nchat_template_kwargs: {enable_thinking: true}\neos_token: <end>\n"
    (lab.runs / "7f3a" / "recipe.yaml").write_text("base: tiny\n" + options)
    prompt = find_model(lab, "7f3a").prompt
    assert (prompt.system_prompt, prompt.eos_token) == ("Short.", "<end>")
    assert prompt.request_fields("embedded") == {"default_system": False}
    fields = {"chat_template_kwargs": {"enable_thinking": True}, "stop_token_ids": [7]}
    assert replace(prompt, end_token_id=7).request_fields("vllm") == fields
    served = ServerRecord(
        "http://127.0.0.1:1/v1", "secret", os.getpid(), ["tiny", "7f3a"], "vllm", time.time(),
        prompts={"7f3a": replace(prompt, end_token_id=7).as_json()},
    )  # fmt: skip
    write_record(lab.servers, served)
    ref = find_model(lab, f"{os.getpid()}/7f3a")
    assert ref.prompt.system_prompt == "Short."
    assert (await open_model(ref)).fields == fields
    assert not find_model(lab, f"{os.getpid()}/tiny").prompt


def test_a_damaged_recipe_never_means_no_prompt(lab: Lab) -> None:
    checkpoint = lab.runs / "7f3a" / "checkpoints" / "step-100"
    (checkpoint / "adapter_config.json").write_text('{"base_model_name_or_path": "tiny"}')
    for damage in ("base: [", "- base", "made: 2024-13-45\n", "a: " + "[" * 5000):
        (lab.runs / "7f3a" / "recipe.yaml").write_text(damage)
        with pytest.raises(UnreadableError):
            PromptOptions.of_checkpoint(checkpoint)
        assert "7f3a/100" not in [ref.id for ref in list_models(lab)]
    (lab.runs / "7f3a" / "recipe.yaml").unlink()
    assert not PromptOptions.of_checkpoint(checkpoint)


def test_a_checkpoint_is_found_by_the_name_of_its_run(lab: Lab) -> None:
    (lab.runs / "7f3a" / "about.json").write_text(json.dumps({"name": "first try"}))
    assert find_model(lab, "first try").id == "7f3a/100"
    assert find_model(lab, "first try/step-50").id == "7f3a/50"
    with pytest.raises(NotFoundError):
        find_model(lab, "second try")


async def test_an_endpoint_opens_with_the_key_of_its_variable(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    ref = find_model(lab, "o1")
    monkeypatch.delenv("O1LAB_TEST_KEY", raising=False)
    with pytest.raises(LabError) as missing:
        await open_model(ref)
    assert missing.value.code == "no_key"
    assert "O1LAB_TEST_KEY" in missing.value.message
    monkeypatch.setenv("O1LAB_TEST_KEY", "sk-secret")
    opened = await open_model(ref)
    assert opened.key == "sk-secret"
    assert "sk-secret" not in repr(opened)


def test_records_are_private_and_those_of_the_dead_are_removed(lab: Lab) -> None:
    mine = write_record(lab.servers, record(os.getpid()))
    assert stat.S_IMODE(mine.stat().st_mode) == 0o600
    reused = write_record(lab.servers, record(1, started=0.0))  # pid 1 began after that
    (lab.servers / "junk.json").write_text("{")
    assert [r.pid for r in live_records(lab)] == [os.getpid()]
    assert not reused.exists()
    assert "secret" not in repr(read_record(mine))


def test_a_record_of_another_machine_is_left_alone(lab: Lab) -> None:
    theirs = write_record(lab.servers, replace(record(1, started=0.0), host="elsewhere"))
    mine = write_record(lab.servers, replace(record(os.getpid()), host=socket.gethostname()))
    assert [r.pid for r in live_records(lab)] == [os.getpid()]
    assert theirs.exists()
    assert theirs != mine


def test_training_on_this_machine_is_reported(lab: Lab) -> None:
    assert training_notice(lab) is None
    status = {"state": "running", "pid": os.getpid(), "host": os.uname().nodename}
    path = lab.runs / "7f3a" / "status.json"
    path.write_text(json.dumps(status))
    assert "7f3a" in (training_notice(lab) or "")
    path.write_text(json.dumps(status | {"pid_started": 1.0}))  # its pid is another process's by now
    assert training_notice(lab) is None
    path.write_text(json.dumps(status | {"host": "elsewhere"}))
    assert training_notice(lab) is None
    path.write_text(json.dumps(status | {"state": "finished"}))
    assert training_notice(lab) is None
