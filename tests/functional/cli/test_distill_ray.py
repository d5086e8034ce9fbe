"""`o1lab distill --engine ray` on a Ray of this machine: the rows of the local engine, and nothing asked for twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest
import tomlkit

from o1lab.config import init_lab
from o1lab.demo.seed import draw
from o1lab.inference import journal
from o1lab.paths import Lab
from store import open_store, problems
from store.records import NewProblem
from tests.support.cluster_stage import GATE, SEEN
from tests.support.distill_lab import add_sums
from tests.support.programs import program
from tests.unit.inference.engines.test_batch_api import rows

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("ray"),  # one Ray at a time on a small machine
    pytest.mark.skipif(find_spec("ray") is None, reason="the cluster extra is not installed"),
]
PATIENCE_S = 900.0  # beside four busy processes, a run with its start of Ray once took more than 300
ROOT = Path(__file__).parents[3]


@pytest.fixture
def surroundings() -> Iterator[dict[str, str]]:
    """Everything of Ray's in a folder of its own; its name is short, for sockets lie in it. No process is left."""
    folder = Path(tempfile.mkdtemp(prefix="ray"))
    env = os.environ | {"RAY_TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}
    env |= {SEEN: str(folder / "seen"), GATE: str(folder / "gate")}
    yield env
    running = psutil.process_iter(["cmdline"])
    left = [process for process in running if str(folder) in " ".join(process.info["cmdline"] or [])]
    _, alive = psutil.wait_procs(left, timeout=60)
    for process in alive:
        process.kill()
    shutil.rmtree(folder, ignore_errors=True)
    assert not alive, [process.info for process in alive]


def make_lab(path: Path, **cluster: Any) -> Lab:
    lab = init_lab(path)
    document = tomlkit.parse(lab.config.read_text("utf-8"))
    document["cluster"] = cluster
    lab.config.write_text(tomlkit.dumps(document), "utf-8")
    return lab


def command(lab: Lab, *arguments: str) -> list[str]:
    return program("distill", *arguments, "--json", lab=lab)


def distill(lab: Lab, env: dict[str, str], *arguments: str, status: int = 0) -> dict[str, Any]:
    done = subprocess.run(command(lab, *arguments), capture_output=True, text=True, timeout=PATIENCE_S, env=env)
    assert done.returncode == status, done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_the_demo_s_problems_become_the_rows_of_the_local_engine(tmp_path: Path, surroundings: dict[str, str]) -> None:
    found = {}
    for engine in ("ray", "local"):
        lab = make_lab(tmp_path / engine, batch=8)
        store = open_store(lab.database)
        with store.db.atomic():
            problems.add(store.db, [NewProblem(one.statement, "demo", answer=one.answer) for one in draw()[0][:40]])
        store.close()
        done = distill(lab, surroundings, "-e", "solver", "--engine", engine, "--n", "2")
        assert (done["state"], done["done"], done["correct"], done["failed"]) == ("finished", 80, 80, 0)
        found[engine] = rows(lab, done["id"]), done["input_tokens"], done["output_tokens"]
    assert found["ray"] == found["local"]
    assert len(found["ray"][0][1]) == 40


@pytest.mark.parametrize(
    ("how", "status"),
    [(signal.SIGKILL, -signal.SIGKILL), pytest.param(signal.SIGINT, 130, marks=pytest.mark.exhaustive)],
)
def test_ended_and_gone_on_with_a_stage_of_one_s_own(
    tmp_path: Path, surroundings: dict[str, str], how: signal.Signals, status: int
) -> None:
    lab = make_lab(tmp_path / "lab", batch=1, stage="tests.support.cluster_stage:Counting")
    add_sums(lab, 16)
    Path(surroundings[SEEN]).touch()
    Path(surroundings[GATE]).touch()
    arguments = ["-e", "solver", "--engine", "ray", "--concurrency", "16"]
    process = subprocess.Popen(command(lab, *arguments), stderr=subprocess.DEVNULL, env=surroundings)
    while sum(1 for file in lab.distill.glob("*/journal.jsonl") for _ in journal.read(file)) < 8:
        with pytest.raises(subprocess.TimeoutExpired):  # it must not end before
            process.wait(0.2)
    process.send_signal(how)
    if how is signal.SIGINT:  # what is in flight may end
        Path(surroundings[GATE]).unlink()
    assert process.wait(PATIENCE_S) == status
    (folder,) = lab.distill.iterdir()
    assert len({response.key for _, response in journal.read(folder / "journal.jsonl")}) >= 8
    before = Counter(Path(surroundings[SEEN]).read_text().splitlines())
    Path(surroundings[GATE]).unlink(missing_ok=True)
    done = distill(lab, surroundings, "--resume", folder.name, status=1)
    assert (done["state"], done["done"], done["failed"]) == ("finished", 15, 1)
    assert done["reasons"] == {"context_length": 1}
    after = Counter(Path(surroundings[SEEN]).read_text().splitlines())
    answered = {question for question in before if int(question.split()[2]) % 2 == 0}
    assert len(answered) == 8
    assert all(after[question] == 1 for question in answered), "what was journalled is not asked again"
    assert len(after) == 16
    responses = [response for _, response in journal.read(folder / "journal.jsonl")]
    assert len({str(response.key) for response in responses}) == 16
    broke = [response for response in responses if response.fault and response.fault.code == "server"]
    assert [("cosmic ray" in response.raw, response.attempt) for response in broke] in ([], [(True, 1)])


def test_what_a_cluster_has_not_is_told(tmp_path: Path, surroundings: dict[str, str]) -> None:
    lab = make_lab(tmp_path / "lab", address="127.0.0.1:1")
    add_sums(lab, 2)
    done = distill(lab, surroundings, "-e", "solver", "--engine", "ray", status=3)
    assert done["error"]["code"] == "no_cluster"
    assert "ray start --head" in done["error"]["hint"]


@pytest.mark.slow
def test_an_error_of_the_cluster_is_the_only_output(tmp_path: Path, surroundings: dict[str, str]) -> None:
    lab = make_lab(tmp_path / "lab", stage="tests.support.cluster_stage:Missing")
    add_sums(lab, 2)
    done = distill(lab, surroundings, "-e", "solver", "--engine", "ray", status=3)  # parses all of standard output
    assert done["error"]["code"] == "cluster"
    assert "Missing" in done["error"]["message"]
