"""A real vLLM, where ``O1LAB_TEST_VLLM`` names the python or the ``vllm`` program of its environment.

CONTRIBUTING.md says how to make such an environment on a machine without a GPU.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from o1lab.cli.main import run
from o1lab.config import init_lab
from o1lab.inference.events import Done, Sampling
from o1lab.models.base import resolve_base
from o1lab.models.student import STUDENT
from o1lab.paths import Lab
from o1lab.serve.manager import ServerManager
from o1lab.serve.registry import find_model, open_model
from tests.functional.cli.test_serving import serving
from tests.support.serving_models import make_adapter
from tests.support.streaming import stream_chat

PROGRAM = os.environ.get("O1LAB_TEST_VLLM", "")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PROGRAM, reason="O1LAB_TEST_VLLM does not name a vLLM"),
    pytest.mark.timeout(1200),
]


def test_a_running_vllm_is_found_and_loads_a_new_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = resolve_base(STUDENT)
    lab = init_lab(tmp_path / "lab")
    # On a CPU, vLLM takes this share of the whole memory.
    options = '["max-model-len=1024", "enforce-eager", "gpu-memory-utilization=0.2"]'
    lab.config.write_text(f'[serve]\nvllm = "{PROGRAM}"\nvllm_options = {options}\n')
    for step, seed in ((50, 1), (100, 2)):
        make_adapter(base, lab.runs / "7f3a" / "checkpoints" / f"step-{step}", seed=seed)
    (lab.runs / "7f3a" / "recipe.yaml").write_text(f"base: {STUDENT}\n")
    words = ["--lab", str(lab.root), "serve", STUDENT, "--engine", "vllm", "--adapter", "7f3a/50"]
    with serving(*words) as (ready, _):
        assert ready["engine"] == "vllm" and ready["models"] == [STUDENT, "7f3a-step-50"]
        asked = ["chat", "What is 3 + 4?", "--model", STUDENT, "--model", "7f3a/100", "--max-tokens", "12"]
        assert run(["--lab", str(lab.root), *asked, "--temperature", "0", "--json"]) == 0
        answers = json.loads(capsys.readouterr().out)["answers"]
        assert [answer["state"] for answer in answers] == ["complete", "complete"]
        assert answers[0]["answer"] != answers[1]["answer"], "the adapter changes the answer"
        asyncio.run(_attached(lab, int(ready["pid"])))


async def _attached(lab: Lab, pid: int) -> None:
    """A manager finds the server, loads a checkpoint into it and gets its answer."""
    async with ServerManager(lab, reuse=True) as manager:
        address = await open_model(find_model(lab, "7f3a/100"), manager)
        assert manager.shared and str(pid) in manager.shared[0] and address.model == "7f3a-step-100"
        messages = [{"role": "user", "content": "Hi"}]
        events = [event async for event in stream_chat(address, messages, Sampling(max_tokens=8))]
        assert isinstance(events[-1], Done) and events[-1].completion_tokens
