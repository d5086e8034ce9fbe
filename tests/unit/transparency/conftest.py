"""A lab with traces, and a finished run on those that a person accepted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from o1lab.paths import Lab
from o1lab.train.runs.directory import RunDir
from store import Store, open_store
from tests.support import lab_seed
from tests.support.transparency_lab import accept_right, finished


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return lab_seed.make_lab(tmp_path / "lab")


@pytest.fixture
def store(lab: Lab) -> Iterator[Store]:
    opened = open_store(lab.database)
    yield opened
    opened.close()


@pytest.fixture
def run(lab: Lab, store: Store) -> RunDir:
    accept_right(store)
    return finished(lab, store)
