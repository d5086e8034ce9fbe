"""The models of a run: where they answer, what they cost, how fast they may be asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from o1lab.config import load_config
from o1lab.distill.methods.base import Role
from o1lab.distill.settings import Engine, TeacherRunSettings
from o1lab.errors import UsageError
from o1lab.inference.calls import Message
from o1lab.inference.rate_limit import Clock, Control, Limits, Price
from o1lab.paths import Lab
from o1lab.serve.manager import ServerManager
from o1lab.serve.registry import ModelAddress, ModelRef, find_model, open_model


@dataclass
class ModelClient:
    """A model that is asked: where it answers, what it costs, how fast it may be asked, what it does not take."""

    ref: ModelRef
    target: ModelAddress
    limits: Limits
    price: Price = field(default_factory=Price)
    hidden_thoughts: bool = False
    dropped: set[str] = field(default_factory=set)
    """Parameters that this server refused by name."""
    _replies: int = 0
    _written: int = 0

    @property
    def model(self) -> str:
        """The name its traces carry."""
        return self.ref.endpoint.model if self.ref.endpoint else self.ref.id

    def options(self, settings: TeacherRunSettings, sample: int) -> dict[str, Any]:
        """How it is asked for this sample: what was set, less what it refuses."""
        limit = "max_completion_tokens" if "max_tokens" in self.dropped else "max_tokens"
        options = {
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            limit: settings.max_tokens,
            "seed": None if settings.seed is None else settings.seed + sample,
            "reasoning_effort": settings.reasoning_effort,
        }
        return {name: value for name, value in options.items() if value is not None and name not in self.dropped}

    def body(self, settings: TeacherRunSettings, sample: int, messages: Sequence[Message]) -> dict[str, Any]:
        """The request as every engine sends it."""
        return {"model": self.target.model, "messages": list(messages), **self.options(settings, sample)}

    def typical(self, most: int) -> int:
        """About how many tokens it writes: the mean so far, ``most`` before anything came."""
        return self._written // self._replies if self._replies else most

    def wrote(self, tokens: int) -> None:
        self._replies += 1
        self._written += tokens


async def open_models(
    lab: Lab, settings: TeacherRunSettings, held: AsyncExitStack, control: Control, clock: Clock
) -> dict[Role, ModelClient]:
    """Open the models of a run; servers that are started for it end with ``held``.

    Raises:
        NotFoundError: the lab knows no such model.
        LabError: its key's variable is empty, or its server does not start.
    """
    config = load_config(lab)
    names: dict[Role, str] = {"teacher": settings.endpoint}
    if settings.method == "debate":
        names["critic"] = settings.critic or settings.endpoint
    manager = await held.enter_async_context(ServerManager(lab))
    opened: dict[str, ModelClient] = {}
    voices: dict[Role, ModelClient] = {}
    for role, name in names.items():
        ref = find_model(lab, name, config)
        if ref.id not in opened:
            opened[ref.id] = await open_model_client(ref, settings, manager, control, clock)
        voices[role] = opened[ref.id]
    return voices


async def open_model_client(
    ref: ModelRef, settings: TeacherRunSettings, manager: ServerManager, control: Control, clock: Clock
) -> ModelClient:
    """Open one model; a server that is started for it ends with ``manager``.

    Raises:
        LabError: its key's variable is empty, or its server does not start.
    """
    endpoint = ref.endpoint
    requests = settings.requests_per_minute or (endpoint.requests_per_minute if endpoint else None)
    tokens = settings.tokens_per_minute or (endpoint.tokens_per_minute if endpoint else None)
    if settings.engine == "ray":  # the cluster loads the model itself
        target = ModelAddress("the cluster", endpoint.model if endpoint else ref.id, "")
    else:
        target = await open_model(ref, manager)
    limits = Limits(control, clock, requests, tokens)
    return ModelClient(ref, target, limits, price_of(ref), hidden_thoughts=bool(endpoint and endpoint.hidden_thoughts))


def check_priced(settings: TeacherRunSettings, models: Iterable[ModelRef]) -> None:
    """See that a budget in money can be kept.

    Raises:
        UsageError: a price is not known.
    """
    for model in models:
        if settings.budget_usd is not None and not price_of(model, settings.engine).known:
            raise UsageError(
                f"A budget in money needs the price of {model.id}, which is not known.",
                "Give input_usd and output_usd of that endpoint in o1lab.toml, or use --budget-tokens.",
            )


def price_of(ref: ModelRef, engine: Engine = "local") -> Price:
    """What a model costs; those on machines of one's own cost nothing, a batch of no known discount the whole price."""
    endpoint = ref.endpoint
    if endpoint is None or engine == "ray":
        return Price(0.0, 0.0)
    price = Price(endpoint.input_usd, endpoint.output_usd)
    return price.discounted(endpoint.batch_discount or 0.0) if engine == "batch" else price
