"""Settings of requests: sampling, concurrency, rates, attempts and budgets. Each kind of job extends them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from o1lab.settings import Display

Engine = str
"""The name of an engine: ``local``, ``batch``, ``ray`` or one that a plugin adds."""
StreamMode = Literal["auto", "always", "never"]
TO_SERVER = "server default"
_OF_LAB = "as in o1lab.toml"


class RequestSettings(BaseModel):
    """Settings of every job that sends requests to a model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    temperature: Annotated[float | None, Display("Sampling", none=TO_SERVER)] = Field(
        default=0.6, ge=0, description="Sampling temperature; 0 gives the most likely response."
    )
    top_p: Annotated[float | None, Display(none=TO_SERVER)] = Field(
        default=0.95, gt=0, le=1, description="Probability mass of nucleus sampling."
    )
    seed: Annotated[int | None, Display(none=TO_SERVER)] = Field(
        default=42, description="Seed of the first sample; sample k uses seed + k."
    )
    max_tokens: int = Field(
        default=8192,
        ge=1,
        description="Maximum length of a response in tokens, thought included; long thoughts need 8k to 32k.",
    )
    reasoning_effort: Annotated[str | None, Display(empty="not sent")] = Field(
        default=None, description="Reasoning effort, for models that accept one: low, medium or high."
    )

    budget_usd: Annotated[float | None, Display("Budgets", empty="no limit")] = Field(
        default=None, gt=0, description="Stop before more US dollars are spent; needs the prices in o1lab.toml."
    )
    budget_tokens: Annotated[int | None, Display(empty="no limit")] = Field(
        default=None, gt=0, description="Stop before more tokens are used, input and output together."
    )

    concurrency: Annotated[int, Display("Requests")] = Field(
        default=16, ge=1, description="Maximum number of requests at the same time."
    )
    requests_per_minute: Annotated[int | None, Display(empty=_OF_LAB)] = Field(
        default=None, ge=1, description="Maximum number of requests per minute."
    )
    tokens_per_minute: Annotated[int | None, Display(empty=_OF_LAB)] = Field(
        default=None, ge=1, description="Maximum number of tokens per minute."
    )
    attempts: int = Field(default=5, ge=1, description="Attempts at one request before its sample counts as failed.")
    silence_timeout_s: Annotated[float, Display(options=("--silence-timeout",), metavar="SECONDS")] = Field(
        default=600, gt=0, description="Seconds that a server may stay silent before the request is tried again."
    )
    first_token_timeout_s: Annotated[
        float | None,
        Display(empty="as the endpoint, else as silence", options=("--first-token-timeout",), metavar="SECONDS"),
    ] = Field(
        default=None,
        gt=0,
        description="The same before the first token of a streamed response, for servers that queue or think first.",
    )
