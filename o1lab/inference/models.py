"""The models of a job: their address, price, rates and options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from o1lab.config import load_config
from o1lab.errors import UsageError
from o1lab.inference.calls import OPTIONS, Message, Role
from o1lab.inference.limits import Limits, Price
from o1lab.inference.refused import Refusals
from o1lab.inference.settings import Engine, RequestSettings
from o1lab.jobs.control import Clock, Control
from o1lab.models.prompts import PromptOptions
from o1lab.paths import Lab
from o1lab.serve.endpoints import ModelAddress
from o1lab.serve.manager import ServerManager
from o1lab.serve.registry import ModelRef, find_model, open_model


@dataclass
class ModelClient:
    """A model of a job: its address, rates and price, and the options that it rejects.

    Attributes:
        prompt: what a student was trained with: its system prompt goes into conversations that have no system message.
    """

    ref: ModelRef
    target: ModelAddress
    limits: Limits
    price: Price = field(default_factory=Price)
    hidden_thoughts: bool = False
    prompt: PromptOptions = field(default_factory=PromptOptions)
    refusals: Refusals = field(init=False)
    """The parts of requests that the server refuses."""
    _replies: int = 0
    _written: int = 0

    def __post_init__(self) -> None:
        self.refusals = Refusals(self.target)

    @property
    def model(self) -> str:
        """The model's name in its traces."""
        return self.ref.endpoint.model if self.ref.endpoint else self.ref.id

    def options(self, settings: RequestSettings, sample: int) -> dict[str, Any]:
        """Return the options for a sample: those that are set and not refused."""
        return {name: value for name, value in self.body(settings, sample, ()).items() if name in OPTIONS}

    def body(self, settings: RequestSettings, sample: int, messages: Sequence[Message]) -> dict[str, Any]:
        """Return the body of a request without the parts that the server refuses; it is the same for every engine."""
        return self.refusals.apply(self.wanted(settings, sample, messages))

    def wanted(self, settings: RequestSettings, sample: int, messages: Sequence[Message]) -> dict[str, Any]:
        """Return the body of a request with all settings."""
        options = {
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "max_tokens": settings.max_tokens,
            "seed": None if settings.seed is None else settings.seed + sample,
            "reasoning_effort": settings.reasoning_effort,
        }
        given = {name: value for name, value in options.items() if value is not None}
        return {"model": self.target.model, "messages": self.prompt.conversation(messages), **given}

    def typical(self, most: int) -> int:
        """Return the mean tokens of a response so far; ``most`` before the first."""
        return self._written // self._replies if self._replies else most

    def wrote(self, tokens: int) -> None:
        self._replies += 1
        self._written += tokens


async def open_models(
    lab: Lab,
    names: Mapping[Role, str],
    settings: RequestSettings,
    manager: ServerManager,
    *,
    control: Control,
    clock: Clock,
    engine: Engine = "local",
) -> dict[Role, ModelClient]:
    """Open the models of a job; a model with two roles is opened once.

    Args:
        lab: the lab.
        names: the name or id of the model of each role.
        settings: the request settings of the job.
        manager: starts the servers that are needed, and stops them when it is closed.
        control: stops and pauses the job.
        clock: measures time.
        engine: the engine that makes the calls.

    Returns:
        The client of each role.

    Raises:
        NotFoundError: the lab has no such model.
        LabError: its key's variable is empty, or its server does not start.
    """
    config = load_config(lab)
    opened: dict[str, ModelClient] = {}
    models: dict[Role, ModelClient] = {}
    for role, name in names.items():
        ref = find_model(lab, name, config)
        if ref.id not in opened:
            opened[ref.id] = await open_model_client(ref, settings, manager, control, clock, engine=engine)
            opened[ref.id].prompt = ref.prompt
        models[role] = opened[ref.id]
    return models


async def open_model_client(
    ref: ModelRef,
    settings: RequestSettings,
    manager: ServerManager,
    control: Control,
    clock: Clock,
    *,
    engine: Engine = "local",
) -> ModelClient:
    """Open one model; ``manager`` stops the server that is started for it.

    Raises:
        LabError: its key's variable is empty, or its server does not start.
    """
    endpoint = ref.endpoint
    requests = settings.requests_per_minute or (endpoint.requests_per_minute if endpoint else None)
    tokens = settings.tokens_per_minute or (endpoint.tokens_per_minute if endpoint else None)
    if engine == "ray":  # the cluster loads the model itself
        target = ModelAddress("the cluster", endpoint.model if endpoint else ref.id, "")
    else:
        target = await open_model(ref, manager)
    limits = Limits(control, clock, requests, tokens)
    return ModelClient(ref, target, limits, price_of(ref), hidden_thoughts=bool(endpoint and endpoint.hidden_thoughts))


def check_priced(settings: RequestSettings, models: Iterable[ModelRef], engine: Engine = "local") -> None:
    """Check that the prices that a budget in money needs are known.

    Raises:
        UsageError: a price is not known.
    """
    for model in models:
        if settings.budget_usd is not None and not price_of(model, engine).known:
            raise UsageError(
                f"A budget in money needs the price of {model.id}, which is not known.",
                "Set input_usd and output_usd of that endpoint in o1lab.toml, or use --budget-tokens.",
            )


def price_of(ref: ModelRef, engine: Engine = "local") -> Price:
    """Return the price of a model: zero if it runs on the user's machines; in a batch, less the known discount."""
    endpoint = ref.endpoint
    if endpoint is None or engine == "ray":
        return Price(0.0, 0.0)
    price = Price(endpoint.input_usd, endpoint.output_usd)
    return price.discounted(endpoint.batch_discount or 0.0) if engine == "batch" else price
