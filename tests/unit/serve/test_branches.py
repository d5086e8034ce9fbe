"""A conversation with the embedded server: an answer that is cut and continued ends as it did."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import uvicorn

pytest.importorskip("torch", reason="the embedded engine needs the train extra")

from o1lab.chat.conversation import ConversationSession
from o1lab.chat.panes import Settings
from o1lab.chat.prefixes import changed, cut
from o1lab.inference.events import Sampling
from o1lab.serve.endpoints import ModelAddress
from o1lab.serve.http.api import make_api
from o1lab.serve.registry import ModelRef
from store import branches, open_store
from tests.support.fault_server import FaultServer

if TYPE_CHECKING:
    from o1lab.serve.engine.language_model import LanguageModel
    from o1lab.serve.engine.weights import Weights


class Served(FaultServer):
    """The embedded server of a model in a thread."""

    def __init__(self, backend: LanguageModel) -> None:
        super().__init__()
        self._config = uvicorn.Config(make_api(backend, "t"), log_level="critical", lifespan="off")


async def test_an_unchanged_beginning_ends_as_the_answer_did_at_every_boundary_of_its_tokens(
    tmp_path: Path, model: tuple[Weights, LanguageModel]
) -> None:
    store = open_store(tmp_path / "lab.db")
    with Served(model[1]) as server:

        async def opener(ref: ModelRef) -> ModelAddress:
            return ModelAddress(server.url, ref.id, "t", continues="messages")

        ref = ModelRef("tiny", "other", "tiny", "base")
        whole = Settings(sampling=Sampling(temperature=0, max_tokens=30))
        session = await ConversationSession.begin(store, [ref], whole, opener=opener, listener=lambda _event: None)
        await session.send("What is 964 + 494?")
        await session.wait()
        first = session.answer(0)
        assert first is not None and first.raw is not None
        tokens = branches.tokens_of(store.db, first.id)
        assert tokens is not None and (len(tokens.ids), tokens.ends[-1]) == (first.output_tokens, len(first.raw))
        beginning = await session.beginning(first, "tiny")
        places = sorted({end for end in tokens.ends if 0 < end < len(first.raw)})
        assert len(places) > 4
        for at in places[:: max(1, len(places) // 4)]:
            prefix = cut(beginning, at)
            known = prefix.tokens_for("tiny")
            assert known == tokens.ids[: len(known or ())] and known
            left = len(tokens.ids) - len(known)
            session.settings = Settings(sampling=Sampling(temperature=0, max_tokens=left))
            await session.continue_from(0, prefix, ref=ref)
            await session.wait()
            again = session.answer(0)
            assert again is not None and again.raw == first.raw
            made = branches.tokens_of(store.db, again.id)
            assert made is not None and (made.ids, made.ends[len(known) :]) == (tokens.ids, tokens.ends[len(known) :])
        # A changed text has no recorded tokens: it is encoded after the prompt.
        await session.continue_from(0, changed(beginning, "<think>\n4 + 4 = 9", "anna"), ref=ref)
        await session.wait()
        edited = session.answer(0)
        assert edited is not None and (edited.raw or "").startswith("<think>\n4 + 4 = 9")
        assert (edited.raw or "").count("<think>") == 1 and edited.spans[0].name == "anna"
        assert branches.tokens_of(store.db, edited.id) is None
        # Longer than the model's context: the text is kept and the error says so.
        await session.continue_from(0, changed(beginning, "9 " * 600, "anna"), ref=ref)
        await session.wait()
        long = session.answer(0)
        assert long is not None and (long.state, long.raw) == ("failed", "9 " * 600)
        assert "512 tokens" in (long.error or "") or "context" in (long.error or "")
        await session.close()
    store.close()
