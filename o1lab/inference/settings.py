"""How requests are sent: sampling options, concurrency, rates, attempts and budgets. Jobs add their own settings."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Engine = Literal["local", "batch", "ray"]
StreamMode = Literal["auto", "always", "never"]


class RequestSettings(BaseModel):
    """What every job that sends requests to a model can set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    temperature: float | None = Field(default=0.6, ge=0, description="null leaves it to the server")
    top_p: float | None = Field(default=0.95, gt=0, le=1)
    seed: int | None = Field(default=42, description="sample k is asked with seed + k")
    max_tokens: int = Field(default=8192, ge=1)
    reasoning_effort: str | None = None

    concurrency: int = Field(default=16, ge=1)
    requests_per_minute: int | None = Field(default=None, ge=1)
    tokens_per_minute: int | None = Field(default=None, ge=1)
    attempts: int = Field(default=5, ge=1, description="maximum number of attempts for one call within a run")
    silence_timeout_s: float = Field(default=600, gt=0, description="seconds without data after which a call fails")
    budget_usd: float | None = Field(default=None, gt=0)
    budget_tokens: int | None = Field(default=None, gt=0, description="input and output together")
