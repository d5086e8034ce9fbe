"""`o1lab distill --engine batch`, killed where it hurts: nothing is submitted twice, and the rows stay the same."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from o1lab.paths import Lab
from tests.support.batch_server import MOMENTS, BatchServer
from tests.support.declared_files import undeclared
from tests.support.distill_lab import make_lab
from tests.support.programs import program, real
from tests.unit.inference.engines.test_batch_api import rows

PATIENCE_S = 300.0
EXHAUSTIVE = pytest.mark.exhaustive


def distill(lab: Lab, *arguments: str) -> dict[str, Any]:
    """The answer of a command that ends well."""
    done = subprocess.run(
        program("distill", *arguments, "--json", lab=lab),
        capture_output=True, text=True, timeout=PATIENCE_S, env=os.environ,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize(
    "moment", [MOMENTS[1], *(pytest.param(one, marks=EXHAUSTIVE) for one in MOMENTS if one != MOMENTS[1])]
)
def test_killed_at_any_moment_it_finds_its_batches_again(tmp_path: Path, moment: str) -> None:
    """Between upload and creation, between creation and writing it down, while polling, and in a download."""
    with BatchServer(moment=moment) as server:
        lab = make_lab(tmp_path / "lab", server.url, 8)
        command = program("distill", "-e", "teacher", "--engine", "batch", "--json", lab=lab)
        with subprocess.Popen(real(command), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            arrived = server.reached.wait(PATIENCE_S)
            process.send_signal(signal.SIGKILL)
            said = process.stderr.read().decode()
        assert arrived, said
        server.release.set()
        assert undeclared(lab) == []
        (folder,) = lab.distill.iterdir()
        state = json.loads((folder / "batches.json").read_text())
        known = {"before-create": "written", "after-create": "written", "poll": "submitted", "download": "submitted"}
        assert [part["state"] for part in state["parts"]] == [known[moment]]
        done = distill(lab, "--resume", folder.name)
        assert (done["state"], done["done"], done["failed"]) == ("finished", 8, 0)
        assert len(server.batches) == 1
        assert set(server.asked.values()) == {1}
        local = make_lab(tmp_path / "local", server.url, 8)
        there = distill(local, "-e", "teacher")
        assert rows(lab, done["id"]) == rows(local, there["id"])
        assert (done["input_tokens"], done["output_tokens"]) == (there["input_tokens"], there["output_tokens"])


def test_the_command_refuses_methods_of_several_calls(tmp_path: Path) -> None:
    lab = make_lab(tmp_path / "lab", "http://127.0.0.1:1/v1", 2)
    command = program("distill", "-e", "teacher", "--engine", "batch", "--method", "debate", lab=lab)
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 2
    assert "sends all calls at once" in json.loads(done.stdout)["error"]["message"]
