"""The choice of the number format on CPUs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the train extra is not installed")


@pytest.mark.parametrize(("bf16_s", "chosen"), [(1.0, "bfloat16"), (1.9, "float32")])
def test_preflight_and_the_run_choose_the_same_by_one_measurement(
    bf16_s: float, chosen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from o1lab.serve import dtype

    monkeypatch.setenv("O1LAB_CACHE", str(tmp_path))
    shape = SimpleNamespace(hidden_size=8, intermediate_size=16)
    config: Any = SimpleNamespace(get_text_config=lambda: shape)
    monkeypatch.setattr(dtype, "_layer_seconds", lambda kind, *_: bf16_s if kind is torch.bfloat16 else 2.0)
    first = dtype.faster_on_cpu(config, (4,))
    assert str(first[0]) == f"torch.{chosen}"
    monkeypatch.setattr(dtype, "_layer_seconds", lambda kind, *_: 3.0 - bf16_s if kind is torch.bfloat16 else 1.5)
    assert dtype.faster_on_cpu(config, (4,)) == first
    assert dtype.faster_on_cpu(config, (5,)) != first
