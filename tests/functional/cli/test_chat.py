"""`o1lab chat` as scripts use it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from o1lab.chains import parse
from o1lab.config import init_lab
from o1lab.paths import Lab
from store import conversations, open_store, problems, traces
from store.records import NewProblem, NewTrace
from tests.functional.cli.test_serving import ASK, PATIENCE_S
from tests.support.continuing import CONTINUATION, Stalling, started_in
from tests.support.fault_server import FaultServer
from tests.support.programs import program


def test_chat_asks_several_models_and_keeps_the_answers(tmp_path: Path) -> None:
    lab = init_lab(tmp_path / "lab")
    with FaultServer("think") as good, FaultServer("500") as bad:
        lab.config.write_text(
            "".join(
                f'[[endpoints]]\nname = "{name}"\nurl = "{server.url}"\nmodel = "m"\n\n'
                for name, server in (("good", good), ("bad", bad))
            )
        )
        command = program("chat", "-m", "good", "-m", "bad", "-m", "solver", ASK[0]["content"], lab=lab)
        env = os.environ | {"O1LAB_CACHE": str(tmp_path)}
        plain = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, env=env)
        done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=PATIENCE_S, env=env)
    assert plain.returncode == done.returncode == 1, plain.stderr + done.stderr
    assert "\\boxed{1458}" in plain.stdout
    assert "(thought)" in plain.stdout
    answers = json.loads(done.stdout)["answers"]
    assert [answer["state"] for answer in answers] == ["complete", "failed", "complete"]
    assert answers[0]["thought"].startswith("Add the ones")
    assert "has an internal error (500)" in answers[1]["error"]
    assert "1458" in answers[2]["answer"]
    from store import conversations, open_store

    store = open_store(lab.database)
    assert conversations.count(store.db) == 2
    assert {record.title for record in conversations.page(store.db)} == {ASK[0]["content"]}
    store.close()


@pytest.mark.usefixtures("real_python")
@pytest.mark.parametrize(
    "number",
    [signal.SIGINT, *(pytest.param(one, marks=pytest.mark.exhaustive) for one in (signal.SIGTERM, signal.SIGHUP))],
)
def test_a_signal_keeps_what_was_received(number: signal.Signals, tmp_path: Path) -> None:
    lab = init_lab(tmp_path / "lab")
    with FaultServer("gated") as server:
        lab.config.write_text(f'[[endpoints]]\nname = "one"\nurl = "{server.url}"\nmodel = "m"\n')
        command = program("chat", "-m", "one", "Hi", lab=lab)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None and process.stderr is not None
            assert process.stdout.readline().startswith("== ")
            assert process.stdout.read(len("The ")) == "The "
            process.send_signal(number)
            assert process.wait(PATIENCE_S) == 128 + number
            assert "what was received is saved" in process.stderr.read()
    from store import conversations, open_store

    store = open_store(lab.database)
    [record] = conversations.page(store.db)
    answers = [one for one in conversations.messages(store.db, record.id) if one.role == "assistant"]
    assert [(one.state, one.content) for one in answers] == [("stopped", "The ")]
    store.close()


def test_chat_says_what_a_server_refuses_and_models_forget_lets_it_try_again(tmp_path: Path) -> None:
    lab = init_lab(tmp_path / "lab")

    def o1lab(*arguments: str) -> dict[str, Any]:
        command = program(*arguments, "--json", lab=lab)
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    with FaultServer("no-temperature") as server:
        lab.config.write_text(f'[[endpoints]]\nname = "one"\nurl = "{server.url}"\nmodel = "m"\n')
        for _ in range(2):
            [answer] = o1lab("chat", "-m", "one", "Hi")["answers"]
            assert "m does not accept temperature" in answer["notes"][0]
        assert ["temperature" in body for body in server.requests] == [True, False, False]
        checks = {check["name"]: check for check in o1lab("doctor")["checks"]}
        assert "one refuses temperature" in checks["endpoints"]["detail"]
        assert o1lab("models", "forget", "one") == {"name": "one", "forgotten": ["temperature"]}
        o1lab("chat", "-m", "one", "Hi")
        assert ["temperature" in body for body in server.requests[3:]] == [True, False]


def test_the_limits_of_chat_are_settings(tmp_path: Path) -> None:
    lab = init_lab(tmp_path / "lab")
    with FaultServer("hang") as server:
        endpoint = f'[[endpoints]]\nname = "one"\nurl = "{server.url}"\nmodel = "m"\n'
        lab.config.write_text(f"{endpoint}[chat]\nfirst_token_timeout_s = 0.2\n")
        command = program("chat", "-m", "one", "Hi", lab=lab)
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
        assert (done.returncode, "did not answer in time" in done.stdout) == (1, True)
        lab.config.write_text(endpoint)
        command += ["--first-token-timeout", "0.2"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert (done.returncode, "did not answer in time" in done.stdout) == (1, True)


def chain_in(lab: Lab) -> str:
    """Add a chain of another model, with other think marks and a wrong carry, and return its id."""
    store = open_store(lab.database)
    raw = (
        "<|begin_of_thought|>\nOnes: 4 + 4 = 8.\n\nWait, let me check the tens.\n\n"
        "Tens: 6 + 9 = 15, carry 0.\n<|end_of_thought|>\n\n<|begin_of_solution|>\n\\boxed{1358}\n<|end_of_solution|>"
    )
    parsed = parse.parse(raw)
    problem = NewProblem(ASK[0]["content"], "test", key="sum")
    made = NewTrace(
        problem.id, "sky", raw, parsed.thought or (0, 0), parsed.solution or (0, 0), True, parsed.format, "test",
        key="sum", outside=parsed.outside,
    )  # fmt: skip
    with store.db.atomic():
        problems.add(store.db, [problem])
        traces.add(store.db, [(made, problem.statement)])
    store.close()
    return made.id


def test_a_model_goes_on_from_a_move_of_a_chain(tmp_path: Path) -> None:
    lab = init_lab(tmp_path / "lab")
    trace = chain_in(lab)
    env = os.environ | {"O1LAB_CACHE": str(tmp_path)}
    command = program("chat", "-m", "solver", "--json", "--continue-from", lab=lab)

    def run(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *args], capture_output=True, text=True, timeout=PATIENCE_S, env=env)

    done = run(f"{trace[:8]}:1", "Hm. ")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    (answer,) = said["answers"]
    assert said["continues"] == {"trace": trace, "move": 1, "characters": len(answer["raw"].split("Hm. ")[0]) + 4 + 13}
    assert answer["raw"].startswith("<think>\nOnes: 4 + 4 = 8.\n\nHm. ") and answer["raw"].count("<think>") == 1
    assert "begin_of_thought" not in answer["raw"] and "\\boxed{1458}" in answer["answer"]
    assert "think marks" in answer["notes"][0]
    assert [span["kind"] for span in answer["spans"]] == ["model", "person", "model"]
    assert (answer["spans"][0]["name"], answer["spans"][-1]["name"]) == ("sky", "solver")
    store = open_store(lab.database)
    history = conversations.messages(store.db, said["conversation"], branches=True)
    assert [(one.pane, one.shown) for one in history] == [(None, True), (0, False), (0, True)]
    assert history[1].raw == traces.text(store.db, trace).raw, "the chain itself is the first version"
    store.close()
    wrong = run(f"{trace[:8]}:99")
    assert wrong.returncode != 0 and "3 moves" in wrong.stdout + wrong.stderr


def test_a_hosted_model_does_not_go_on_from_a_chain(tmp_path: Path) -> None:
    lab = init_lab(tmp_path / "lab")
    trace = chain_in(lab)
    with FaultServer() as server:
        lab.config.write_text(f'[[endpoints]]\nname = "one"\nurl = "{server.url}"\nmodel = "m"\n')
        command = program("chat", "-m", "one", "--continue-from", trace, lab=lab)
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
        assert done.returncode != 0 and "cannot continue a text" in done.stderr and not server.requests
        none = subprocess.run(program("chat", "-m", "one", lab=lab), capture_output=True, text=True)
        assert "No prompt was given" in none.stderr


def test_what_a_killed_chat_had_received_of_a_continued_chain_is_kept(tmp_path: Path) -> None:
    lab = init_lab(tmp_path / "lab")
    trace = chain_in(lab)
    store = open_store(lab.database)
    with Stalling() as server:
        model = started_in(lab, server)
        command = program("chat", "-m", model, "--continue-from", f"{trace[:8]}:1", "Hm. ", lab=lab)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            try:
                received: list[conversations.Message] = []
                while not received or not (received[-1].raw or "").endswith(CONTINUATION[0]):
                    assert process.poll() is None
                    for record in conversations.page(store.db):
                        received = conversations.messages(store.db, record.id, branches=True)
            finally:
                process.send_signal(signal.SIGKILL)
    _, chain, branch = received
    assert (chain.raw, chain.state, chain.shown) == (traces.text(store.db, trace).raw, "complete", False)
    assert (branch.state, branch.shown) == ("stopped", True)
    texts = [((branch.raw or "")[one.start : one.end], one.kind, one.name) for one in branch.spans]
    assert [one[1:] for one in texts][::2] == [("model", "sky"), ("model", model)]
    assert texts[1][:2] == ("Hm. ", "person") and texts[2][0] == CONTINUATION[0]
    store.close()
