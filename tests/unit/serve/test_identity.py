"""What identifies a model on a server that somebody started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from o1lab.errors import LabError
from o1lab.paths import Lab
from o1lab.serve.identity import identify
from o1lab.serve.records import ServerRecord
from o1lab.serve.registry import ModelRef
from tests.support.fault_server import FaultServer


class ModelServer(FaultServer):
    """Says what it serves, as the embedded server and vLLM do."""

    cards: Any = None

    async def _models(self, _request: Request) -> Response:
        return JSONResponse({"data": self.cards})


def test_an_exchanged_adapter_is_another_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("O1LAB_CACHE", str(tmp_path / "cache"))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "adapter_model.safetensors").write_bytes(name.encode())
    lab = Lab(tmp_path / "lab")

    with ModelServer() as server:
        record = ServerRecord(server.url, "token", 5, ["base", "mine"], "embedded", 1.0)

        def revision(name: str, adapter: str) -> str:
            root = str(tmp_path / adapter)
            server.cards = [{"id": "base", "parent": None, "root": "x"}, {"id": "mine", "parent": "base", "root": root}]
            return identify(lab, ModelRef(f"5/{name}", "other", name, "server", record=record)).revision

        first = revision("mine", "a")
        assert first == revision("mine", "a") != revision("mine", "b")
        (tmp_path / "a" / "adapter_model.safetensors").write_bytes(b"other weights")
        assert revision("mine", "a") != first
        assert revision("base", "a") == revision("base", "b") == "server 5 since 1, base"
        server.cards = "none"
        with pytest.raises(LabError, match="does not list its models"):
            identify(lab, ModelRef("5/mine", "other", "mine", "server", record=record))
