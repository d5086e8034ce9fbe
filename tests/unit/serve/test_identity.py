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
from o1lab.serve.manager import _attach
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
        with pytest.raises(LabError, match="is not a server of o1lab"):
            identify(lab, ModelRef("5/mine", "other", "mine", "server", record=record))
    with pytest.raises(LabError, match="does not answer") as stopped:
        identify(lab, ModelRef("5/mine", "other", "mine", "server", record=record))
    assert stopped.value.code == "server"


async def test_a_running_server_is_used_with_the_adapters_that_it_has(tmp_path: Path) -> None:
    with ModelServer() as server:
        record = ServerRecord(server.url, "token", 5, ["base"], "embedded", 1.0)
        root = str(tmp_path / "a")
        server.cards = [{"id": "base", "root": "x"}, {"id": "mine", "parent": "base", "root": root},
                        {"id": "odd", "parent": "base", "root": 3}]  # fmt: skip
        attached = await _attach(record)
        assert attached.adapters == {"mine": Path(root)}
        assert attached.handle.models == ["base", "mine", "odd"]
        server.cards = {"id": "base"}
        with pytest.raises(LabError, match="is not a server of o1lab"):
            await _attach(record)
    with pytest.raises(LabError, match="does not answer"):
        await _attach(record)
