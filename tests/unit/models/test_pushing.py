"""Uploading a model to a hub: what is sent and what stays, who may read it, and what goes wrong on the way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from o1lab.errors import LabError, RefusedError, UsageError
from o1lab.models.prompts import PromptOptions
from o1lab.models.pushing import Plan, plan, public_name, push
from o1lab.models.student import STUDENT, STUDENT_HUB_NAME
from o1lab.paths import cache_dir
from tests.support.fake_hub import READS, WRITES, FakeHub, Repo


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", WRITES)
    with FakeHub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        yield server


def adapter(folder: Path, **settings: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    told = {"base_model_name_or_path": str(cache_dir() / "models" / STUDENT), "r": 8} | settings
    (folder / "adapter_config.json").write_text(json.dumps(told))
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    for name in ("optimizer.pt", "log.txt", "trainer_state.json", "metrics.jsonl", ".env", "training_args.bin"):
        (folder / name).write_text(f"{folder} secret")
    return folder


def planned(folder: Path, card: str = "# Card\n") -> Plan:
    return plan(folder, card=lambda _: card, prompt=PromptOptions("Add."), base=STUDENT)


def test_only_files_of_the_model_are_sent_and_no_folder_of_this_machine(hub: FakeHub, tmp_path: Path) -> None:
    made = plan(
        adapter(tmp_path / "step-1"),
        card=lambda base: f"# For {base}\n",
        prompt=PromptOptions("Add.", chat_template="{{ messages }}"),
        base=STUDENT,
        private_paths=[tmp_path],
    )
    assert {"optimizer.pt", "log.txt", "trainer_state.json", ".env"} < set(made.left_out)
    said: list[str] = []
    done = push(made, "kim/sums", progress=said.append)
    assert (done.repo, done.private, done.url) == ("kim/sums", True, f"{hub.address}/kim/sums")
    repo = hub.repos["kim/sums"]
    assert repo.private and repo.commits == 1 and done.commit == repo.commit
    assert sorted(repo.files) == [
        ".gitattributes", "README.md", "adapter_config.json", "adapter_model.safetensors", "chat_template.jinja",
        "o1lab-model.json",
    ]  # fmt: skip
    assert not any(str(tmp_path) in data.decode() or str(cache_dir()) in data.decode() for data in repo.files.values())
    assert json.loads(repo.files["adapter_config.json"])["base_model_name_or_path"] == STUDENT_HUB_NAME
    assert repo.files["README.md"].decode() == f"# For {STUDENT_HUB_NAME}\n"
    about = json.loads(repo.files["o1lab-model.json"])
    assert (about["base"], about["prompt"]["system_prompt"]) == (STUDENT, "Add.")
    assert said[3].startswith("Uploading 3 of 5: adapter_model.safetensors (7 B)") or "adapter_model" in " ".join(said)


def test_a_name_without_an_owner_is_that_of_the_token(hub: FakeHub, tmp_path: Path) -> None:
    assert push(planned(adapter(tmp_path / "a")), "sums", public=True).repo == "kim/sums"
    assert not hub.repos["kim/sums"].private


def test_a_repository_with_files_is_changed_only_on_demand_and_a_public_one_only_publicly(
    hub: FakeHub, tmp_path: Path
) -> None:
    made = planned(adapter(tmp_path / "a"))
    push(made, "kim/sums")
    with pytest.raises(UsageError, match=r"kim/sums exists and has 4 files") as told:
        push(made, "kim/sums")
    assert told.value.code == "exists" and "--update" in told.value.hint
    assert push(made, "kim/sums", update=True).private and hub.repos["kim/sums"].commits == 2
    with pytest.raises(UsageError, match="exists and is private"):
        push(made, "kim/sums", update=True, public=True)
    hub.repos["kim/open"] = Repo({".gitattributes": b""})
    with pytest.raises(RefusedError, match="kim/open is public") as told:
        push(made, "kim/open")
    assert told.value.code == "public"
    assert not push(made, "kim/open", public=True).private


def test_an_interrupted_upload_continues_without_sending_again(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)  # the hub's library waits before it tries again
    folder = tmp_path / "merged"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json"):
        (folder / name).write_text("{}")
    for number in (1, 2, 3):
        (folder / f"model-0000{number}-of-00003.safetensors").write_text(f"part {number}")
    made = plan(folder, card=lambda _: "# Card\n", prompt=PromptOptions())
    hub.breaks_at = 3
    with pytest.raises(LabError, match=r"model-00003-of-00003\.safetensors could not be uploaded") as told:
        push(made, "kim/sums")
    assert told.value.code == "hub" and "502" in told.value.message
    assert len(hub.sent) == 2 and hub.repos["kim/sums"].commits == 0  # nothing shows before all of it is there
    hub.breaks_at = 0
    push(made, "kim/sums")
    assert len(hub.sent) == 3 and hub.repos["kim/sums"].files["model-00002-of-00003.safetensors"] == b"part 2"


@pytest.mark.parametrize(
    ("token", "repo", "message", "code"),
    [
        (None, "kim/sums", "no token", "no_token"),
        ("hf_wrong", "kim/sums", "does not accept the token", "token"),
        (READS, "kim/sums", "the token may not do this", "token"),
        (WRITES, "others/sums", "the token may not do this", "token"),
        (WRITES, "a/b/c", "cannot be the name of a repository", "usage"),
    ],
)
def test_tokens_and_names_that_may_not_are_explained(
    hub: FakeHub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    token: str | None,
    repo: str,
    message: str,
    code: str,
) -> None:
    monkeypatch.setattr("huggingface_hub.get_token", lambda: token)
    with pytest.raises((LabError, UsageError), match=message) as told:
        push(planned(adapter(tmp_path / "a")), repo)
    assert told.value.code == code and told.value.hint and "hf_" not in str(told.value)
    assert hub.repos == {}


def test_without_a_network_nothing_is_sent(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = planned(adapter(tmp_path / "a"))
    monkeypatch.setenv("O1LAB_OFFLINE", "1")
    with pytest.raises(LabError, match="O1LAB_OFFLINE is set"):
        push(made, "kim/sums")
    monkeypatch.delenv("O1LAB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(LabError, match=r"hub at http://127\.0\.0\.1:9 cannot be reached"):
        push(made, "kim/sums")
    assert hub.calls == []


@pytest.mark.parametrize("text", ["see {folder}/log.txt", f"token: hf_{'a' * 34}", "-----BEGIN RSA PRIVATE KEY-----"])
def test_a_card_with_a_path_or_a_key_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"README\.md has") as told:
        plan(
            adapter(tmp_path / "a"),
            card=lambda _: text.format(folder=tmp_path),
            prompt=PromptOptions(),
            base=STUDENT,
            private_paths=[tmp_path],
        )
    assert told.value.code == "private" and "a" * 34 not in str(told.value)


def test_the_name_of_a_base_on_the_hub(tmp_path: Path) -> None:
    assert public_name("Qwen/Qwen3-0.6B") == "Qwen/Qwen3-0.6B"
    assert public_name(STUDENT) == public_name(str(cache_dir() / "models" / STUDENT)) == STUDENT_HUB_NAME
    assert public_name("/home/kim/.cache/hub/models--Qwen--Qwen3-0.6B/snapshots/ab12") == "Qwen/Qwen3-0.6B"
    folder = adapter(tmp_path / "a", base_model_name_or_path=str(tmp_path / "base"))
    with pytest.raises(UsageError, match="is a folder of this machine"):
        plan(folder, card=str, prompt=PromptOptions(), base=str(tmp_path / "base"))
    made = plan(folder, card=str, prompt=PromptOptions(), base=str(tmp_path / "base"), named="kim/base")
    with pytest.raises(RefusedError, match=r"README\.md has a path of this machine"):  # PEFT's cards have it
        plan(folder, card=lambda _: f"base_model: {tmp_path / 'base'}", prompt=PromptOptions(),
             base=str(tmp_path / "base"), named="kim/base")  # fmt: skip
    config = next(one for one in made.files if one.name == "adapter_config.json")
    assert isinstance(config.content, bytes) and json.loads(config.content)["base_model_name_or_path"] == "kim/base"


def test_every_licence_is_read_and_links_that_lead_elsewhere_are_left_out(tmp_path: Path) -> None:
    folder = adapter(tmp_path / "a")
    for name in ("LICENSE.rst", "NOTICE.yaml"):
        (folder / name).write_text(f"token: hf_{'a' * 34}")
        with pytest.raises(RefusedError, match=rf"{name} has something that looks like a key"):
            planned(folder)
        (folder / name).unlink()
    (tmp_path / "private").write_text("mine")
    (folder / "LICENSE").symlink_to(tmp_path / "private")
    made = planned(folder)
    assert made.links == ("LICENSE",) and "LICENSE" in made.left_out
    assert "LICENSE" not in [one.name for one in made.files]


def test_a_card_that_names_a_folder_as_its_base_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"README\.md has a path of this machine \(/scratch/base\)"):
        planned(adapter(tmp_path / "a"), "---\nbase_model: /scratch/base\n---\n")
