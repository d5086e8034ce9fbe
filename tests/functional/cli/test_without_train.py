"""An install without the train extra: everything but training and serving works, and these say what is missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BLOCKED = ("torch", "transformers", "peft", "trl", "accelerate", "datasets", "gguf", "safetensors", "jinja2")
SITE = f"""
import sys
from importlib import metadata

class Without:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        missing = name.partition(".")[0] in {BLOCKED!r}
        return None if missing else self.finder.find_spec(name, path, target)

def version(name, real=metadata.version):
    if name in {BLOCKED!r}:
        raise metadata.PackageNotFoundError(name)
    return real(name)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
metadata.version = version
"""

ONE_AFTER_ANOTHER = """
import contextlib, io, json, sys
from o1lab.cli.main import run

for line in sys.stdin:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        status = run(json.loads(line))
    print(json.dumps([status, out.getvalue()]), flush=True)
"""
"""Runs commands that are lines of its input."""


@pytest.mark.slow
def test_the_verbs_that_need_no_torch(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SITE)
    root = Path(__file__).parents[3]
    env = os.environ | {"PYTHONPATH": f"{tmp_path / 'site'}:{root}", "O1LAB_OFFLINE": "1"}
    errors = (tmp_path / "errors").open("w+")
    process = subprocess.Popen(
        [sys.executable, "-c", ONE_AFTER_ANOTHER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
        text=True, env=env, cwd=tmp_path,
    )  # fmt: skip
    assert process.stdin and process.stdout

    def o1lab(*arguments: str) -> tuple[int, dict[str, object]]:
        print(json.dumps([*arguments, "--json"]), file=process.stdin, flush=True)
        status, out = json.loads(process.stdout.readline())
        errors.seek(0)
        assert "Traceback" not in errors.read() and "Something went wrong" not in out, (arguments, out)
        return status, json.loads(out)

    chain = {"problem": "What is 100 + 107?", "raw": "<think>Add.</think>207", "model": "m", "gold_answer": "207"}
    (tmp_path / "chains.jsonl").write_text(json.dumps(chain) + "\n")
    assert o1lab("init", "lab")[0] == 0
    lab = ("--lab", "lab")
    assert o1lab(*lab, "import", "chains.jsonl")[0] == 0
    trace = o1lab(*lab, "traces", "ls")[1]["items"][0]  # type: ignore[index]
    assert o1lab(*lab, "annotate", trace["id"], "--accept")[0] == 0
    assert o1lab(*lab, "dataset", "create", "good")[0] == 0
    assert o1lab(*lab, "eval", "suites")[0] == 0
    for verb in ("problems ls", "runs ls", "distill ls", "eval ls", "dataset ls"):
        assert o1lab(*lab, *verb.split())[0] == 0
    status, answer = o1lab(*lab, "chat", "What is 100 + 107?", "-m", "solver")
    assert status == 0 and "207" in json.dumps(answer)
    assert o1lab(*lab, "distill", "--endpoint", "solver", "--problems", "")[0] == 0
    status, answer = o1lab(*lab, "train", "--dataset", "good", "--dry-run")
    assert status in (3, 5) and "o1lab[train]" in json.dumps(answer)
    checks = {one["name"]: one for one in o1lab(*lab, "doctor")[1]["checks"]}  # type: ignore[attr-defined]
    assert not checks["train"]["ok"]
    process.stdin.close()
    assert process.wait() == 0
