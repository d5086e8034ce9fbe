"""What is installed is whole: wheel and sdist start the app with its assets; start-up imports stay small."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT

START = """
import asyncio, sys
from pathlib import Path
import o1lab, screens, store
from o1lab.app import LabApp
from o1lab.config import init_lab
from o1lab.paths import assets_dir
from screens.base.context import open_context

async def start():
    lab = init_lab(Path(sys.argv[1]))
    app = LabApp(open_context(lab))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        print(type(app.screen).__name__, app.screen.query_one("#heading").size.height)
    assert "torch" not in sys.modules, "the first paint loads torch"
asyncio.run(start())
print(o1lab.__file__, screens.__file__, store.__file__, assets_dir(), sep="\\n")
"""

OPEN = """
import asyncio, sys
import o1lab.app
from o1lab.cli.main import run
from screens.base.context import open_context

def painted(lab, *, fresh):
    async def start():
        app = o1lab.app.LabApp(open_context(lab))
        async with app.run_test(size=(80, 24)) as pilot:
            while "to do" not in str(app.screen.query_one("#counts").content):
                await pilot.pause()
    asyncio.run(start())
    return 0

o1lab.app.SETTLE_S = 3600  # what comes after the first paint stays away
o1lab.app.run_app = painted
assert run(["--lab", sys.argv[1]]) == 0
print("LOADED", *sorted({name.split(".")[0] for name in sys.modules}))
"""


def python(code: str, *arguments: str, path: Path | None = None) -> str:
    environment = os.environ | ({"PYTHONPATH": str(path)} if path else {})
    ran = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, cwd="/", capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An sdist of the checkout, and the wheel built from that sdist."""
    out = tmp_path_factory.mktemp("dist")
    ran = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)],
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return out


def test_the_sdist_holds_code_assets_and_tests(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    assert {
        "pyproject.toml",
        "o1lab/app.py",
        "screens/lab/screen.py",
        "store/traces.py",
        "assets/styles/o1lab.tcss",
    } <= names
    assert "tests/conftest.py" in names


def test_a_wheel_starts_the_app_with_its_assets(built: Path, tmp_path: Path) -> None:
    wheel = next(built.glob("*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        roots = {name.split("/")[0] for name in archive.namelist()}
        archive.extractall(tmp_path / "site")
    assert {"o1lab", "screens", "store"} == {root for root in roots if not root.endswith(".dist-info")}
    classifiers = tmp_path / "site" / "o1lab" / "_assets" / "classifiers"
    assert {path.name for path in classifiers.iterdir()} == {"NOTICE.md", "moves.safetensors", "refusal.safetensors"}
    prompts = "from o1lab.distill.datasets.replay import general_prompts\nprint(len(general_prompts().texts))"
    assert int(python(prompts, path=tmp_path / "site")) >= 170
    said = "I'm sorry, but I cannot help you with this."
    asked = f"from o1lab.evaluate.scorers.refusal import read\nprint(read({said!r}))"
    assert "classifier" in python(asked, path=tmp_path / "site")
    lines = python(START, str(tmp_path / "lab"), path=tmp_path / "site").splitlines()
    assert lines[0] == "OverviewScreen 1"
    assert all(line.startswith(str(tmp_path / "site")) for line in lines[1:]), lines


def test_the_checkout_starts_the_app_with_its_assets(tmp_path: Path) -> None:
    lines = python(START, str(tmp_path / "lab"), path=ROOT).splitlines()
    assert lines[0] == "OverviewScreen 1"
    assert Path(lines[-1]) == ROOT / "assets"


def test_help_loads_neither_torch_nor_textual() -> None:
    seen = python(
        "import sys\nfrom o1lab.cli.main import run\nfor verb in ([], ['train'], ['traces', 'ls'], ['serve']):\n"
        "    assert run([*verb, '--help']) == 0\n"
        "print('LOADED', *sorted({'torch', 'textual', 'transformers', 'openai', 'sympy'} & set(sys.modules)))"
    )
    assert seen.splitlines()[-1] == "LOADED"


def test_the_first_paint_of_a_lab_loads_no_verb_and_nothing_heavy(tmp_path: Path) -> None:
    python("import sys\nfrom o1lab.cli.main import run\nassert run(['init', sys.argv[1]]) == 0", str(tmp_path / "lab"))
    loaded = set(python(OPEN, str(tmp_path / "lab")).splitlines()[-1].split())
    assert {"LOADED", "textual", "store"} <= loaded
    heavy = {
        "typer",
        "click",
        "pydantic",
        "sqlite_utils",
        "openai",
        "httpx2",
        "textual_plot",
        "numpy",
        "torch",
    }
    assert not heavy & loaded


@pytest.mark.skipif(not (ROOT / ".venv/bin/python").exists(), reason="this checkout has no .venv")
def test_the_tests_on_the_newest_python_say_why_they_are_skipped(tmp_path: Path) -> None:
    ours, none = str(ROOT / ".venv/bin/python"), str(tmp_path / "python")
    for python, reason in ((ours, "and the newest at hand is"), (none, "no Python with venv and pip was found")):
        places = {"O1LAB_NEWEST": python, "PYENV_ROOT": str(tmp_path), "HOME": str(tmp_path)}
        command = [ROOT / ".ci/quick-newest"]
        done = subprocess.run(command, env=os.environ | places, capture_output=True, text=True, timeout=60)
        assert (done.returncode, reason in done.stdout) == (0, True), done.stdout + done.stderr
