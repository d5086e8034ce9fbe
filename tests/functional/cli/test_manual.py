"""`o1lab man`: pages with the texts of --help, in roff that man and groff accept."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from o1lab.cli.manual import page
from o1lab.cli.tree import Command, commands

EVERY = {one.words: one for one in commands()}


def rendered(text: str, tmp_path: Path) -> str:
    """What man shows of a page, without line breaks."""
    if shutil.which("man") is None:
        pytest.skip("there is no man on this machine")
    file = tmp_path / "page.1"
    file.write_text(text, "utf-8")
    env = os.environ | {"MANPAGER": "cat", "PAGER": "cat", "MANWIDTH": "10000", "LC_ALL": "C.UTF-8"}
    env.pop("MAN_KEEP_FORMATTING", None)
    shown = subprocess.run(
        ["man", "--nh", "--nj", "-l", str(file)], env=env, capture_output=True, text=True, check=True, timeout=60
    ).stdout
    return " ".join(re.sub(r"\x1b\[[0-9;]*m|.\x08", "", shown).split())


@pytest.mark.parametrize("words", ["o1lab", "o1lab runs", "o1lab traces ls", "o1lab train", "o1lab annotate"])
def test_a_page_says_what_the_help_says(words: str, tmp_path: Path) -> None:
    one: Command = EVERY[words]
    shown = rendered(page(one, EVERY.values()), tmp_path)
    for rows in one.options().values():
        for typed, about in rows:
            assert typed in shown and " ".join(about.split()) in shown
    for text, examples in one.parts():
        assert " ".join(text.split()) in shown
        assert all(" ".join(example.split()) in shown for example in examples)
    for other in EVERY.values():
        if other.words.rpartition(" ")[0] == words:
            assert f"{other.anchor}(1)" in shown


def test_every_page_is_valid_roff() -> None:
    if shutil.which("groff") is None:
        pytest.skip("there is no groff on this machine")
    whole = "".join(page(one, EVERY.values()) for one in EVERY.values())
    assert whole.isascii()
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-z"], input=whole, capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_pages_are_written_and_stale_ones_deleted(tmp_path: Path, ask: Callable[..., dict[str, Any]], lab: Any) -> None:
    folder = tmp_path / "man" / "man1"
    folder.mkdir(parents=True)
    (folder / "o1lab-gone.1").write_text('.\\" Written by `o1lab man`.\n')
    (folder / "o1lab-mine.1").write_text(".TH MINE 1\n")
    assert ask("man", str(tmp_path / "man")) == {"path": str(tmp_path / "man"), "pages": len(EVERY)}
    names = {path.name for path in folder.iterdir()}
    assert names == {f"{one.anchor}.1" for one in EVERY.values()} | {"o1lab-mine.1"}
    assert ask("man", "/dev/null/x", status=3)["error"]["code"] == "lab"


@pytest.fixture
def lab(tmp_path: Path) -> Any:
    from o1lab.config import init_lab

    return init_lab(tmp_path / "lab")
