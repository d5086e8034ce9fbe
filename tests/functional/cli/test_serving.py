"""`o1lab serve` and `o1lab chat` as processes: the ready line, the protocol, streaming, errors, vLLM's stand-in."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import psutil
import pytest

from o1lab.config import init_lab
from o1lab.inference.chat_client import rendered_prompt
from o1lab.inference.events import Answer, Delta, Done, Sampling, Started
from o1lab.serve.endpoints import ModelAddress
from o1lab.serve.manager import ServerManager
from o1lab.serve.records import live_records
from o1lab.serve.registry import find_model, list_models, open_model
from tests.support.programs import program
from tests.support.serving_models import make_model
from tests.support.streaming import stream_chat

PATIENCE_S = 300.0
ASK = [{"role": "user", "content": "What is 964 + 494?"}]


@contextlib.contextmanager
def serving(
    *arguments: str, env: dict[str, str] | None = None
) -> Iterator[tuple[dict[str, Any], subprocess.Popen[str]]]:
    """A running `o1lab serve` and its ready line."""
    process = subprocess.Popen(
        program(*arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | (env or {}),
    )
    try:
        line = process.stdout.readline()
        if not line:
            pytest.fail(process.stderr.read())
        yield json.loads(line), process
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
        process.stdout.close()
        process.stderr.close()


@pytest.fixture(scope="module")
def server(models: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The ready line and the record of a server of a base and two adapters."""
    arguments = [
        "--lab",
        str(models / "lab"),
        "serve",
        str(models / "tiny"),
        "--adapter",
        "7f3a/50",
        "--adapter",
        "7f3a",
    ]
    with serving(*arguments) as (ready, _):
        yield ready, json.loads(Path(ready["record"]).read_text())


@pytest.fixture
async def client(server: tuple[dict[str, Any], dict[str, Any]]) -> AsyncIterator[openai.AsyncOpenAI]:
    ready, record = server
    async with openai.AsyncOpenAI(base_url=ready["url"], api_key=record["token"], max_retries=0) as client:
        yield client


def target(server: tuple[dict[str, Any], dict[str, Any]], model: str) -> ModelAddress:
    return ModelAddress(server[0]["url"], model, server[1]["token"])


def test_the_ready_line_and_the_record(server: tuple[dict[str, Any], dict[str, Any]]) -> None:
    ready, record = server
    assert set(ready) == {"url", "models", "engine", "pid", "record"}
    assert ready["models"] == ["tiny", "7f3a-step-50", "7f3a-step-100"]
    assert ready["engine"] == "embedded"
    assert ready["url"].startswith("http://127.0.0.1:")
    assert record["pid"] == ready["pid"]
    assert stat.S_IMODE(Path(ready["record"]).stat().st_mode) == 0o600
    assert len(record["token"]) >= 32
    assert record["token"] not in json.dumps(ready)


async def test_base_and_adapters_answer_differently_and_reproducibly(client: openai.AsyncOpenAI) -> None:
    async def ask(model: str, **options: Any) -> Any:
        options = {"max_tokens": 12, "temperature": 0} | options
        return await client.chat.completions.create(model=model, messages=ASK, **options)

    names = [card.id async for card in client.models.list()]
    alone = {name: (await ask(name)).choices[0].message.content for name in names}
    assert len(set(alone.values())) == 3
    together = await asyncio.gather(*(ask(name) for name in names for _ in range(4)))
    assert [a.choices[0].message.content for a in together] == [alone[name] for name in names for _ in range(4)]
    answer = together[0]
    assert answer.usage.completion_tokens <= 12
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    several = await ask("tiny", n=3, temperature=1, seed=5)
    one = await ask("tiny", temperature=1, seed=6)
    assert len(several.choices) == 3
    assert several.choices[1].message.content == one.choices[0].message.content


async def test_a_stop_string_ends_the_answer_and_is_left_out(client: openai.AsyncOpenAI) -> None:
    async def ask(**options: Any) -> Any:
        return (
            await client.chat.completions.create(model="tiny", messages=ASK, temperature=0, max_tokens=30, **options)
        ).choices[0]

    whole = (await ask()).message.content
    stop = whole[4:6]
    cut = await ask(stop=[stop])
    assert cut.finish_reason == "stop"
    assert cut.message.content == whole[: whole.index(stop)]


async def test_tokens_leave_as_they_are_made_and_a_client_that_leaves_frees_its_place(
    server: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    """The answer would take some 15,000 steps: what we hold after its first token cannot be a finished one."""
    health = server[0]["url"].replace("/v1", "/health")
    stream = stream_chat(target(server, "tiny"), ASK, Sampling(max_tokens=15_000))
    events = [await anext(stream) for _ in range(4)]
    assert [type(event) for event in events] == [Started, Delta, Delta, Delta]
    async with httpx2.AsyncClient() as http:
        assert (await http.get(health)).json()["running"] == 1
        await stream.aclose()
        deadline = time.monotonic() + PATIENCE_S
        while (await http.get(health)).json()["running"]:
            assert time.monotonic() < deadline, "the abandoned request still runs"


async def test_usage_and_speed_arrive_at_the_end(server: tuple[dict[str, Any], dict[str, Any]]) -> None:
    events = [event async for event in stream_chat(target(server, "tiny"), ASK, Sampling(max_tokens=40))]
    done = events[-1]
    assert isinstance(done, Done)
    assert (done.completion_tokens, done.finish_reason) == (40, "length")
    assert done.tokens_per_second


async def test_errors_speak_the_protocol(
    server: tuple[dict[str, Any], dict[str, Any]], client: openai.AsyncOpenAI
) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        await client.chat.completions.create(model="nobody", messages=ASK)
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as long:
        await client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "x" * 20_001}])
    assert long.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError):
        await client.chat.completions.create(model="tiny", messages=ASK, temperature=-1)
    with pytest.raises(openai.BadRequestError):
        await client.chat.completions.create(model="tiny", messages=[])
    stranger = openai.AsyncOpenAI(base_url=server[0]["url"], api_key="guess", max_retries=0)
    with pytest.raises(openai.AuthenticationError):
        await stranger.models.list()
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {server[1]['token']}"}) as http:
        answer = await http.post(f"{server[0]['url']}/chat/completions", content=b"{not json")
        assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")
        assert (await http.get(f"{server[0]['url']}/nothing")).status_code == 404


async def test_the_rendered_prompt_is_the_template_applied(server: tuple[dict[str, Any], dict[str, Any]]) -> None:
    assert await rendered_prompt(target(server, "tiny"), ASK) == (
        "<|im_start|>user\nWhat is 964 + 494?<|im_end|>\n<|im_start|>assistant\n"
    )


async def test_adapters_come_and_go_at_run_time(models: Path, server: tuple[dict[str, Any], dict[str, Any]]) -> None:
    url = f"{server[0]['url']}/o1lab/adapters"
    payload = {"name": "late", "path": str(models / "lab/runs/7f3a/checkpoints/step-50")}
    async with httpx2.AsyncClient(
        headers={"Authorization": f"Bearer {server[1]['token']}"}, timeout=PATIENCE_S
    ) as http:
        loaded = await http.post(url, json=payload)
        assert "late" in loaded.json()["models"]
        refused = await http.post(url, json=payload | {"name": "none", "path": str(models)})
        assert refused.status_code == 404
        gone = await http.delete(f"{url}/late")
        assert "late" not in gone.json()["models"]


@pytest.mark.usefixtures("real_python")
async def test_the_solver_thinks_aloud_and_says_what_it_is(tmp_path: Path) -> None:
    env = {"O1LAB_CACHE": str(tmp_path), "O1LAB_SERVER_TOKEN": "chosen-by-the-user"}
    with serving("serve", "solver", env=env) as (ready, process):
        solver = ModelAddress(ready["url"], "solver", "chosen-by-the-user")
        events = [event async for event in stream_chat(solver, ASK)]
        answer = Answer()
        for event in events:
            answer.apply(event)
        assert "1458" in answer.answer
        assert answer.thought
        assert sum(isinstance(event, Delta) for event in events) > 20
        assert answer.done.completion_tokens is None  # no student here to count with
        outside = Answer()
        async for event in stream_chat(solver, [{"role": "user", "content": "Who are you?"}]):
            outside.apply(event)
        assert "not a language model" in outside.answer
        async with httpx2.AsyncClient(headers={"Authorization": "Bearer chosen-by-the-user"}) as http:
            card = (await http.get(f"{ready['url']}/models")).json()["data"][0]
        assert "not a language model" in card["description"]
        loaded = {m.path for m in psutil.Process(ready["pid"]).memory_maps()}
        assert not any("libtorch" in path for path in loaded)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) in (0, 130)
    assert not Path(ready["record"]).exists()  # noqa: ASYNC240 - nothing else runs here


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        (["serve", "no-such-base"], 4, "not_found"),
        (["serve", "solver", "--port", "99999"], 3, "port"),
        (["serve", "solver", "--engine", "magic"], 2, "usage"),
        (["serve", "solver", "--adapter", "nothing"], 4, "not_found"),
    ],
)
def test_what_cannot_be_served_says_so(arguments: list[str], status: int, code: str, tmp_path: Path) -> None:
    done = subprocess.run(
        program(*arguments, "--json"), capture_output=True, text=True, timeout=PATIENCE_S,
        cwd=tmp_path, env=os.environ | {"O1LAB_CACHE": str(tmp_path), "O1LAB_OFFLINE": "1"},
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    assert json.loads(done.stdout)["error"]["code"] == code


def test_a_run_of_another_base_is_refused_even_if_its_shapes_fit(tmp_path: Path) -> None:
    lab = init_lab(tmp_path / "lab")
    checkpoint = lab.runs / "7f3a" / "checkpoints" / "step-50"
    checkpoint.mkdir(parents=True)
    (checkpoint / "adapter_config.json").write_text("{}")
    (checkpoint / "adapter_model.safetensors").write_bytes(b"")
    (lab.runs / "7f3a" / "recipe.yaml").write_text("base: someone/other-model\n")
    done = subprocess.run(
        program("serve", "smollm2-135m", "--adapter", "7f3a", "--json", lab=lab),
        capture_output=True, text=True, timeout=PATIENCE_S,
        env=os.environ | {"O1LAB_CACHE": str(tmp_path), "O1LAB_OFFLINE": "1"},
    )  # fmt: skip
    assert done.returncode == 5, done.stderr
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "adapter_mismatch"
    assert error["message"] == "7f3a was trained on someone/other-model, not on smollm2-135m."


async def test_the_manager_loads_adapters_and_restarts_what_died(models: Path) -> None:
    from o1lab.paths import Lab

    lab = Lab(models / "lab")
    async with ServerManager(lab) as manager:
        student = await open_model(find_model(lab, "7f3a/50"), manager)
        base = await open_model(find_model(lab, str(models / "tiny")), manager)
        assert (student.base_url, student.model, base.model) == (base.base_url, "7f3a-step-50", "tiny")
        pid = (await manager.ensure_server(str(models / "tiny"))).pid
        assert pid in [record.pid for record in live_records(lab)]
        assert not any(ref.id.startswith(f"{pid}/") for ref in list_models(lab)), "the app's own are no choice"
        psutil.Process(pid).kill()
        while (again := await manager.ensure_server(str(models / "tiny"))).pid == pid:  # noqa: ASYNC110
            await asyncio.sleep(0)  # the loop has not heard of the death yet
        assert "7f3a-step-50" in again.models
        answer = Answer()
        async for event in stream_chat(
            ModelAddress(again.url, "7f3a-step-50", again.token), ASK, Sampling(max_tokens=4)
        ):
            answer.apply(event)
        assert isinstance(answer.done, Done)
        last = again.pid
    assert not psutil.pid_exists(last)


async def test_a_server_that_runs_is_found_by_its_base(
    models: Path, server: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    from o1lab.paths import Lab

    lab, loaded = Lab(models / "lab"), server[1]["models"]
    for _ in range(2):
        async with ServerManager(lab, reuse=True) as manager:
            base = await open_model(find_model(lab, str(models / "tiny")), manager)
            student = await open_model(find_model(lab, "7f3a/50"), manager)
            assert (base.base_url, student.base_url) == (server[0]["url"], server[0]["url"])
            handle = await manager.ensure_server(str(models / "tiny"))
            assert handle.shared and set(handle.models) >= set(loaded)
            answer = Answer()
            async for event in stream_chat(student, ASK, Sampling(max_tokens=4)):
                answer.apply(event)
            assert isinstance(answer.done, Done)
    assert psutil.pid_exists(server[0]["pid"]), "another person's server is not stopped"


async def test_a_server_of_another_base_is_not_used(models: Path, tmp_path: Path) -> None:
    from o1lab.paths import Lab

    lab = init_lab(tmp_path / "lab")
    other = make_model(tmp_path / "other", seed=9)
    with serving("--lab", str(lab.root), "serve", str(other)) as (ready, _):
        async with ServerManager(Lab(lab.root), reuse=True) as manager:
            handle = await manager.ensure_server(str(models / "tiny"))
            assert handle.url != ready["url"] and not handle.shared


async def test_the_manager_tells_why_a_server_does_not_start(tmp_path: Path) -> None:
    from o1lab.errors import LabError

    async with ServerManager(None) as manager:
        with pytest.raises(LabError, match=r"no config\.json"):
            await manager.ensure_server(str(tmp_path))


def test_a_server_leaves_with_its_parent(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    command = [sys.executable, "-P", "-m", "o1lab.serve.embedded", "solver", "--parent", str(parent.pid)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {"O1LAB_CACHE": str(tmp_path)})
    assert child.stdout.readline()
    parent.kill()
    assert child.wait(PATIENCE_S) == 0
    parent.wait()
    parent.stdin.close()
    child.stdout.close()


STAND_IN = """#!{python}
import json, os, sys
from pathlib import Path
sys.path.insert(0, {root!r})
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
env = {{name: value for name, value in os.environ.items() if "VLLM" in name}}
Path({seen!r}).write_text(json.dumps({{"argv": sys.argv[1:], "env": env}}))
if "fail" in {mode!r}:
    print("RuntimeError: no kernel image is available", {mode!r})
    sys.exit(3)
port = int(sys.argv[sys.argv.index("--port") + 1])
async def load(request):
    Path({seen!r} + ".loaded").write_text(json.dumps([await request.json(), request.headers["authorization"]]))
    return JSONResponse({{}})
routes = [Route("/health", lambda request: JSONResponse({{}})), Route("/v1/load_lora_adapter", load, methods=["POST"])]
cards = {{"data": [{{"id": sys.argv[sys.argv.index("--served-model-name") + 1]}}]}}
routes += [Route("/v1/models", lambda request: JSONResponse(cards))]
app = Starlette(routes=routes)
uvicorn.run(app, host="127.0.0.1", port=port, log_level="info")
"""


def stand_in(folder: Path, mode: str = "ok") -> tuple[Path, Path]:
    """A program that takes vLLM's arguments, writes them down, and answers on its port."""
    program, seen = folder / "vllm", folder / "seen.json"
    root = str(Path(__file__).parents[3])
    program.write_text(STAND_IN.format(python=sys.executable, root=root, seen=str(seen), mode=mode))
    program.chmod(0o755)
    return program, seen
