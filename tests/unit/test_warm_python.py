"""What the stand-in of ``sys.executable`` hides must hold of the real interpreter, too."""

from __future__ import annotations

import subprocess
from importlib.util import find_spec

import pytest

from tests.support.warm_python import KINDS, REAL, REAL_PYTHON

PROGRAMS = sorted(KINDS.keys() | set(REAL))
DEFAULT = ("o1lab.lens.token_worker", "o1lab.train.worker")  # the others take as long, and change less


@pytest.mark.slow
@pytest.mark.parametrize(
    "module", [one if one in DEFAULT else pytest.param(one, marks=pytest.mark.exhaustive) for one in PROGRAMS]
)
def test_a_program_imports_what_it_needs_by_itself(module: str) -> None:
    """No module depends on what another program has imported: a fork server has imported all of them."""
    if KINDS.get(module) == "torch" and find_spec("trl") is None:
        pytest.skip("the train extra is not installed")
    done = subprocess.run([REAL_PYTHON, "-P", "-c", f"import {module}"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
