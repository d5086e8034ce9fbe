"""What every test shares."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from store import Store, open_store

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def _own_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test sees the person's labs, keys or state; the model cache is shared because it is large."""
    for name in [
        name for name in os.environ if name.startswith("O1LAB_") and name not in ("O1LAB_CACHE", "O1LAB_SHARED_DATA")
    ]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("O1LAB_ANNOTATOR", "tester")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))


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
