"""What every test shares."""

from __future__ import annotations

import fcntl
import gc
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from store import Store, connection, open_store
from tests.support import warm_python
from tests.support.tiny_model import make_tiny_model

ROOT = Path(__file__).parent.parent

# Each collection of the oldest generation visits all modules and every collected test. With Python's thresholds
# (700, 10, 10) that is a sixth of the processor time of tests.
gc.set_threshold(200_000, 50, 100)

# No test fails because the machine is slow. Fixtures may be shared by the examples of a test.
settings.register_profile(
    "o1lab", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
settings.load_profile("o1lab")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # shells do that in the background, and processes inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--exhaustive", action="store_true", help="run the cases that are marked exhaustive, too")


def pytest_configure() -> None:
    """Handle SIGHUP by default: nohup ignores it, which the programs under test would inherit."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the exhaustive cases unless they are asked for.

    Called last: syrupy must see all cases, or it takes the pictures of those left out for unused ones.
    """
    if config.getoption("--exhaustive") or "exhaustive" in config.option.markexpr:
        return
    left_out = [item for item in items if item.get_closest_marker("exhaustive")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("exhaustive")]


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name a long text by its beginning: workers send the names of all tests, which were 8 MB."""
    return f"{ascii(val[:60])[1:-1]}... ({len(val)})" if isinstance(val, str | bytes) and len(val) > 300 else None


def pytest_collection_finish() -> None:
    """Leave modules and collected tests out of every later collection of garbage: they stay alive."""
    _freeze()


def pytest_runtest_logfinish() -> None:
    """Leave out what the test imported, too: accelerate collects garbage after each training."""
    if len(sys.modules) > _frozen_modules + 300:
        gc.collect()
        _freeze()


_frozen_modules = 0


def _freeze() -> None:
    global _frozen_modules  # noqa: PLW0603
    _frozen_modules = len(sys.modules)
    gc.freeze()


@pytest.fixture(scope="session")
def states(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folders that do not exist yet, one for each test."""
    folder = tmp_path_factory.mktemp("states")
    return (folder / str(number) for number in count())


@pytest.fixture(autouse=True)
def _own_surroundings(monkeypatch: pytest.MonkeyPatch, states: Iterator[Path]) -> None:
    """No test sees the person's labs, keys or state; the model cache is shared because it is large."""
    for name in [
        name for name in os.environ if name.startswith("O1LAB_") and name not in ("O1LAB_CACHE", "O1LAB_SHARED_DATA")
    ]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("O1LAB_ANNOTATOR", "tester")
    monkeypatch.setenv("XDG_STATE_HOME", str(next(states)))
    if (app := sys.modules.get("o1lab.app")) is not None:  # what runs would change pictures, from a thread
        monkeypatch.setattr(app.LabApp, "watches", False)
    if (panel := sys.modules.get("o1lab.widgets.hardware_panel")) is not None:
        monkeypatch.setattr(panel.HardwarePanel, "reader", None)


@pytest.fixture(scope="session", autouse=True)
def _migrated_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A new database begins as a copy of one that all migrations have made: these take 40 ms of processor time."""
    template = tmp_path_factory.mktemp("migrated") / "lab.db"
    open_store(template).close()

    def copied(path: Path, **options: Any) -> Store:
        if not path.exists():
            copy = path.with_name(f".{path.name}-{os.getpid()}-{threading.get_ident()}")
            with suppress(OSError):  # the store reports a folder that cannot be written
                try:
                    shutil.copyfile(template, copy)
                    os.link(copy, path)  # unless another process was quicker
                finally:
                    copy.unlink(missing_ok=True)
        return Store(path, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection, "Store", copied)
        yield


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "lab.db")
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real chains, problems and probes; a fresh clone has none."""
    folder = Path(os.environ.get("O1LAB_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"the real data are not at {folder} (set O1LAB_SHARED_DATA)")
    return folder


@pytest.fixture(scope="session")
def session_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A temporary folder that all workers of the session share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def tiny_base(session_root: Path) -> Path:
    """A tiny base model, made once for the session. Do not write into it."""
    return _once(session_root, "base", make_tiny_model)


@pytest.fixture(scope="session")
def tiny_family(session_root: Path) -> Callable[[str], Path]:
    """Returns a tiny base model of a family (see tiny_model.FAMILIES), each made once. Do not write into it."""
    return lambda family: _once(session_root, f"base-{family}", lambda folder: make_tiny_model(folder, family=family))


@pytest.fixture(scope="session", autouse=True)
def _warm_python(session_root: Path) -> Iterator[None]:
    """Fork o1lab's programs from processes that have imported what they need."""
    if not hasattr(os, "pidfd_open"):  # the fork servers are for Linux; elsewhere the real interpreter does
        yield
        return
    owner = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
    with pytest.MonkeyPatch.context() as patch:
        folder = _once(session_root, "warm", lambda folder: warm_python.install(folder, owner))
        patch.setattr(sys, "executable", str(folder / "python"))
        yield


@pytest.fixture
def real_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs start as they do for a user: for tests of their start, their imports and their place in /proc."""
    monkeypatch.setattr(sys, "executable", warm_python.REAL_PYTHON)


def _once(session_root: Path, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that one worker of the session makes and all use."""
    folder = session_root / name
    with (session_root / f"{name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / ".done"
        if not done.exists():
            folder.mkdir()  # a worker that failed leaves it: the others fail, too
            make(folder)
            done.touch()
    return folder
