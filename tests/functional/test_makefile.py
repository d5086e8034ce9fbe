"""The demo of `make test`: which one it runs, and what is left of it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a program o1lab that writes a log into its lab and does what ``THEN`` says."""
    program = tmp_path / "bin" / "o1lab"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nmkdir -p "$4" && echo "$@" > "$4/log" && echo "$@" && eval "$THEN"\n')
    program.chmod(0o755)
    (tmp_path / "tmp").mkdir()
    return tmp_path


def make_test(folder: Path, *words: str, then: str = "") -> subprocess.CompletedProcess[str]:
    """Run `make test` without its checks and tests, as from a shell that no other make has started."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "DEMO"))}
    left_out = [word for name in ("check", "docs", "pytest") for word in ("-o", name)]
    return subprocess.run(
        ["make", "test", *left_out, f"BIN={folder / 'bin'}", *words],
        cwd=ROOT,
        env=clean | {"TMPDIR": str(folder / "tmp"), "THEN": then},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("words", "option"), [((), "--plumbing"), (("DEMO=plumbing",), "--plumbing"), (("DEMO=whole",), "--report")]
)
def test_a_demo_that_succeeds_leaves_nothing(folder: Path, words: tuple[str, ...], option: str) -> None:
    done = make_test(folder, *words)
    assert done.returncode == 0, done.stderr
    assert "--headless" in done.stdout and option in done.stdout
    assert list((folder / "tmp").iterdir()) == []


def test_the_lab_of_a_demo_that_fails_is_kept_and_named(folder: Path) -> None:
    done = make_test(folder, then="exit 3")
    assert done.returncode != 0
    (kept,) = (folder / "tmp").iterdir()
    assert f"is kept: {kept}/demo\n" in done.stderr
    assert "--plumbing" in (kept / "demo" / "log").read_text()


def test_a_demo_that_is_interrupted_leaves_nothing(folder: Path) -> None:
    assert make_test(folder, then="kill -TERM $PPID").returncode != 0
    assert list((folder / "tmp").iterdir()) == []


def test_another_demo_is_refused_before_anything_runs(folder: Path) -> None:
    done = make_test(folder, "DEMO=anything")
    assert done.returncode != 0
    assert "DEMO is plumbing or whole, not 'anything'" in done.stderr
    assert done.stdout == ""
