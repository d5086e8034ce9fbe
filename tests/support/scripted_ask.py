"""An ``ask`` that answers from a script: the interface that methods speak through, without a server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from o1lab.distill.method import Method, SourceItem
from o1lab.distill.methods import find_prompts, make_method
from o1lab.distill.settings import MethodName, TeacherRunSettings
from o1lab.inference.calls import CallKey, Message, RequestError, Response, Role

Answer = str | RequestError | dict[str, str]
"""What a call brings: its answer, a failure, or fields of the response."""


@dataclass
class ScriptedAsk:
    """Answers with what ``script`` says of the call's number, messages and role; remembers all of them."""

    script: Callable[[int, Sequence[Message], Role], Answer]
    item: str = "item"
    calls: list[tuple[int, Role, list[Message]]] = field(default_factory=list)
    responses: list[Response] = field(default_factory=list)

    async def __call__(self, turn: int, messages: Sequence[Message], *, role: Role = "teacher") -> Response:
        answer = self.script(turn, messages, role)
        self.calls.append((turn, role, list(messages)))
        key = CallKey(self.item, 0, turn)
        match answer:
            case RequestError():
                response = Response(key, "failed", fault=answer)
            case str():
                response = Response(key, "done", answer=answer, finish_reason="stop")
            case _:
                response = Response(key, "done", **{"finish_reason": "stop", **answer})
        self.responses.append(response)
        return response

    @property
    def turns(self) -> list[int]:
        return [turn for turn, _, _ in self.calls]


def answers(*texts: Answer) -> ScriptedAsk:
    """One answer a call, in this order."""
    return ScriptedAsk(lambda turn, messages, role: texts[turn])


def method(name: MethodName, **changes: object) -> Method:
    """A method with the prompts that o1lab brings."""
    settings = TeacherRunSettings.model_validate({"method": name, "endpoint": "teacher", **changes})
    return make_method(settings, find_prompts(None, settings))


def item(statement: str = "What is 40 + 2?", **values: str | None) -> SourceItem:
    return SourceItem(**{"problem_id": "p" * 16, "statement": statement, "gold": "42", **values})  # type: ignore[arg-type]  # the values are texts by name
