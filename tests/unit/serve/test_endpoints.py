"""Endpoints of o1lab.toml: URLs, keys and names that cannot work are named before anything is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from o1lab.config import Endpoint, init_lab
from o1lab.errors import LabError, UsageError
from o1lab.health import examine
from o1lab.inference.events import Answer
from o1lab.paths import Lab
from o1lab.serve.endpoints import base_url, endpoint_address, endpoint_key, public_url, url_fault
from o1lab.serve.registry import find_model
from tests.support.fault_server import FaultServer
from tests.support.streaming import stream_chat

KEY_ENV = "KEY_OF_THE_TESTS"


def endpoint(url: str = "http://x/v1", **more: object) -> Endpoint:
    return Endpoint.model_validate({"name": "one", "url": url, "model": "m"} | more)


def lab_with(path: Path, *endpoints: str) -> Lab:
    lab = init_lab(path)
    lines = (f'[[endpoints]]\nname = "{name}"\nurl = "http://x/v1"\nmodel = "m"\n' for name in endpoints)
    lab.config.write_text('base = "tiny"\n' + "".join(lines))
    return lab


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("localhost:8000/v1", "write http://localhost:8000/v1"),
        ("api.example.com/v1", "write https://api.example.com/v1"),
        ("//api.example.com/v1", "write https://api.example.com/v1"),
        ("user:secret@api.example.com/v1", "write https://api.example.com/v1"),
        ("http://x /v1", "space"),
        ("http://x/v1\u0007", "control"),
        ("http://x:port/v1", "not valid"),
        ("http://[::1/v1", "not valid"),
        ("http:///v1", "no scheme"),
    ],
)
def test_a_url_that_cannot_work_is_explained(url: str, words: str) -> None:
    assert words in url_fault(endpoint(url))
    assert "secret" not in url_fault(endpoint(url))
    with pytest.raises(LabError) as refused:
        endpoint_address(endpoint(url))
    assert refused.value.code == "bad_url"


async def test_a_query_and_the_key_of_azure_go_with_every_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_ENV, "sk-azure-0123456789")
    with FaultServer() as server:
        one = endpoint(f"{server.url}?api-version=2026-01-01", key_env=KEY_ENV)
        answer = Answer()
        async for event in stream_chat(endpoint_address(one), [{"role": "user", "content": "Hi"}]):
            answer.apply(event)
        assert answer.state == "done", answer.error
        assert server.queries == ["api-version=2026-01-01"]
        assert server.headers[0]["api-key"] == "sk-azure-0123456789"
    assert "2026" not in public_url(one.url)


async def test_a_password_in_a_url_becomes_a_header_and_is_never_shown() -> None:
    with FaultServer("401") as server:  # which repeats the header
        one = endpoint(server.url.replace("//", "//me:se%20cret@"))
        answer = Answer()
        async for event in stream_chat(endpoint_address(one), [{"role": "user", "content": "Hi"}]):
            answer.apply(event)
        assert server.headers[0]["authorization"] == "Basic bWU6c2UgY3JldA=="
    assert answer.error is not None
    assert "cret" not in repr((answer, endpoint_address(one))) and "bWU6" not in repr(answer)
    assert "***" in answer.error.sentence
    assert "one of them" in url_fault(one.model_copy(update={"key_env": KEY_ENV}))


def test_the_path_of_the_protocol_may_be_in_the_url() -> None:
    assert base_url(endpoint("http://x/v1/chat/completions")) == base_url(endpoint("http://x/v1/")) == "http://x/v1"


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("sk-\u200b123", "zero width space (U+200B) at character 4"),
        ("\u201csk-123\u201d", "left double quotation mark (U+201C) at character 1"),
        ('"sk-123"', "quotation mark (U+0022)"),
        ("sk-123\n", "a line break"),
        ("sk-1 23", "a space"),
        ("sk-\u00e9", "U+00E9"),
        ("\ufeffsk-123", "byte-order mark"),
    ],
)
def test_a_key_that_is_not_one_is_named_by_its_variable(
    key: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_ENV, key)
    with pytest.raises(LabError) as refused:
        endpoint_key(endpoint(key_env=KEY_ENV))
    assert refused.value.code == "bad_key"
    assert KEY_ENV in refused.value.message and words in refused.value.message
    assert "123" not in refused.value.message
    lab = lab_with(tmp_path / "lab", "one")
    with lab.config.open("a") as file:
        file.write(f'key_env = "{KEY_ENV}"\n')
    check = next(one for one in examine(lab) if one.name == "keys")
    assert not check.ok and KEY_ENV in check.detail and words in check.detail


@pytest.mark.parametrize(("names", "wanted"), [(["solver"], "solver"), (["tiny"], "tiny"), (["a", "a"], "a")])
def test_a_name_of_two_models_is_refused_and_reported(names: list[str], wanted: str, tmp_path: Path) -> None:
    lab = lab_with(tmp_path / "lab", *names)
    with pytest.raises(UsageError, match="ambiguous"):
        find_model(lab, wanted)
    check = next(one for one in examine(lab) if one.name == "endpoints")
    assert not check.ok and f"'{wanted}'" in check.detail


def test_the_name_of_a_run_and_of_an_endpoint_is_refused(tmp_path: Path) -> None:
    lab = lab_with(tmp_path / "lab", "first")
    (lab.runs / "7f3a").mkdir(parents=True)
    (lab.runs / "7f3a" / "about.json").write_text('{"name": "first"}')
    with pytest.raises(UsageError, match="a training run"):
        find_model(lab, "first")


def test_an_exact_name_goes_before_a_step_of_a_run(tmp_path: Path) -> None:
    lab = lab_with(tmp_path / "lab", "a/step-3", "a/3")
    assert find_model(lab, "a/step-3").id == "a/step-3"
    assert find_model(lab, "a/3").id == "a/3"


def test_the_doctor_reports_urls_and_runs_with_the_name_of_an_endpoint(tmp_path: Path) -> None:
    lab = lab_with(tmp_path / "lab", "7f3a", "two")
    lab.config.write_text(lab.config.read_text().replace("http://x/v1", "x/v1", 1))
    (lab.runs / "7f3a").mkdir(parents=True)
    (lab.runs / "7f3a" / "status.json").write_text("{}")
    detail = next(one for one in examine(lab) if one.name == "endpoints").detail
    assert "a run are called '7f3a'" in detail and "write https://x/v1" in detail
