"""The program's frame: labs, health, errors and exit statuses."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from o1lab.cli.main import run
from o1lab.paths import Lab
from tests.support import distill_lab


def o1lab(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, object]]:
    status = run([*arguments, "--json"])
    return status, json.loads(capsys.readouterr().out)


def test_a_new_lab_is_made_and_found_from_below(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    status, made = o1lab(capsys, "init", str(tmp_path / "lab"))
    assert (status, made["lab"]) == (0, str(tmp_path / "lab"))
    assert (tmp_path / "lab" / "lab.db").exists()
    below = tmp_path / "lab" / "runs" / "x"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    status, health = o1lab(capsys, "doctor")
    checks = {check["name"]: check for check in health["checks"]}  # type: ignore[attr-defined]
    assert checks["lab"]["ok"] and str(tmp_path / "lab") in checks["lab"]["detail"]
    assert health["ok"] is (status == 0)
    assert checks["endpoints"]["detail"] == "none in o1lab.toml"
    run(["doctor"])
    lines = [line for line in capsys.readouterr().out.splitlines() if line[0] in "✓✗"]
    column = 2 + len("endpoints") + 1
    assert len(lines) == len(checks) and all(line[column - 1] == " " != line[column] for line in lines)


def test_every_error_has_its_status_a_sentence_and_a_hint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    o1lab(capsys, "init", str(tmp_path / "lab"))
    lab = ["--lab", str(tmp_path / "lab")]
    for arguments, status, code in (
        (["nonsense"], 2, "usage"),
        (["--lab", str(tmp_path / "none"), "traces", "ls"], 3, "no_lab"),
        (["traces", "ls"], 3, "no_lab"),
        ([*lab, "traces", "ls", "--verdict", "perhaps"], 2, None),
        ([*lab, "traces", "show", "0000"], 4, "not_found"),
        ([*lab, "runs", "show", "zz"], 4, "not_found"),
        ([*lab, "dataset", "export", "zz", "--format", "messages", "--out", str(tmp_path / "x")], 4, "not_found"),
    ):
        got, data = o1lab(capsys, *arguments)
        error = data["error"]
        assert got == status, (arguments, data)
        assert code is None or error["code"] == code, (arguments, data)  # type: ignore[index]
        assert error["message"] and error["hint"], (arguments, data)  # type: ignore[index]


@pytest.mark.parametrize("group", ["models", "traces", "dataset", "runs", "problems", "annotations"])
def test_a_group_without_a_command_prints_its_help(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([group]) == 2
    said = capsys.readouterr().err
    assert said.startswith("Usage: ") and f" {group} [OPTIONS] COMMAND" in said


def test_a_broken_settings_file_says_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "o1lab.toml").write_text('name = "x"\n[serve]\nvlm = "typo"\n')
    status, data = o1lab(capsys, "--lab", str(tmp_path), "doctor")
    assert status == 1
    broken = next(check for check in data["checks"] if check["name"] == "lab")  # type: ignore[attr-defined]
    assert "serve.vlm" in broken["detail"]


def test_a_newer_lab_ends_with_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import sqlite3

    o1lab(capsys, "init", str(tmp_path))
    connection = sqlite3.connect(tmp_path / "lab.db")
    connection.execute("INSERT INTO _sqlite_migrations(migration_set, name, applied_at) VALUES ('o1lab', '9999', '')")
    connection.commit()
    connection.close()
    status, data = o1lab(capsys, "--lab", str(tmp_path), "traces", "ls")
    assert (status, data["error"]["code"]) == (3, "newer_lab")  # type: ignore[index]


def test_without_a_terminal_the_app_says_what_else_there_is(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "o1lab", "init", str(tmp_path)], check=True, capture_output=True)
    ran = subprocess.run(
        [sys.executable, "-m", "o1lab", "--lab", str(tmp_path)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 3
    assert "needs a terminal" in ran.stderr and "--headless" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_fault_of_ours_leaves_its_traceback_in_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr("o1lab.health.examine", lambda lab: 1 / 0)
    monkeypatch.chdir(tmp_path)
    status, data = o1lab(capsys, "doctor")
    assert (status, data["error"]["code"]) == (3, "internal")  # type: ignore[index]
    assert "ZeroDivisionError" in next(tmp_path.rglob("o1lab.log")).read_text()


@pytest.mark.parametrize(
    ("error", "ok", "words"),
    [
        ("NVMLError_LibraryNotFound", True, "none (no NVIDIA driver is installed); training runs on the CPU"),
        ("NVMLError_DriverNotLoaded", True, "none (the NVIDIA driver is not loaded); training runs on the CPU"),
        (
            "NVMLError_LibRmVersionMismatch",
            False,
            "none (the NVIDIA driver reports: RM has detected an NVML/RM version mismatch)",
        ),
    ],
)
def test_doctor_says_in_words_why_there_is_no_gpu(
    error: str, ok: bool, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pynvml

    from o1lab.health import examine

    def fail() -> None:
        raise getattr(pynvml, error)

    monkeypatch.setattr(pynvml, "nvmlInit", fail)
    [gpu] = [check for check in examine(None) if check.name == "gpu"]
    assert gpu.ok is ok
    assert gpu.detail.startswith(words)
    assert "NVMLError" not in gpu.detail


@pytest.mark.parametrize(("shared", "file", "folder"), [(False, 0o600, 0o700), (True, 0o660, 0o770)])
def test_only_the_owner_or_the_group_can_read_what_a_lab_has(
    tmp_path: Path, shared: bool, file: int, folder: int
) -> None:
    before = os.umask(0o022)
    try:
        assert run(["init", str(tmp_path / "lab")]) == 0
        lab = Lab(tmp_path / "lab")
        if shared:
            lab.config.write_text(f"{lab.config.read_text()}\n[lab]\nshared = true\n")
            lab.database.unlink()
        chains = tmp_path / "chains.jsonl"
        chains.write_text('{"problem": "What is 1 + 1?", "raw": "<think>a</think>2", "model": "m"}\n')
        assert run(["--lab", str(lab.root), "import", str(chains)]) == 0
        distill_lab.start(lab, endpoint="solver", problems="")
    finally:
        os.umask(before)
    for path in lab.root.rglob("*"):
        if path != lab.config:
            assert stat.S_IMODE(path.stat().st_mode) == (folder if path.is_dir() else file), path
    assert stat.S_IMODE(lab.root.stat().st_mode) == 0o700
    assert stat.S_IMODE(lab.config.stat().st_mode) == 0o600
