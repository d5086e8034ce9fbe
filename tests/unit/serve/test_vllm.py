"""What vLLM cannot serve is refused before it starts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from o1lab.errors import LabError
from o1lab.serve.vllm import vllm_arguments


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"r": 1024}, "rank 1024"),
        ({"r": 8, "modules_to_save": ["lm_head"]}, "lm_head"),
        ({"r": 8, "use_dora": True}, "DoRA"),
    ],
)
def test_adapters_that_vllm_cannot_serve(settings: dict[str, object], words: str, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps(settings))
    with pytest.raises(LabError, match=words) as told:
        vllm_arguments(tmp_path, "base", 1, [("run", tmp_path)])
    assert "--engine embedded" in told.value.hint
