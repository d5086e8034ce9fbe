"""A suite is a file: which items, how they are put, who scores, how the model is sampled, and a version of all that."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Family = Literal["mathematics", "safety", "factuality", "sycophancy", "hallucination", "general"]


class ItemsSpec(BaseModel):
    """Where the items come from. One of ``file``, ``problems`` and ``hub`` is used, in the order of what is there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str | None = Field(default=None, description="a JSON, JSONL, CSV, Parquet or text file")
    problems: str | None = Field(default=None, description="problems of the lab, in the pool's filter language")
    hub: dict[str, str] | None = Field(default=None, description="a hub dataset: id, config, split")
    needs: str = Field(default="", description="which file it needs and in what form, said when there is none")
    build: str = Field(default="plain", description="how rows become items: plain, sycophancy, snowballing, ...")
    fields: dict[str, str] = Field(
        default_factory=dict, description="the names of the columns: id, question, gold, ..."
    )
    where: dict[str, Any] = Field(default_factory=dict, description="only rows with these values")


class ScorerSpec(BaseModel):
    """Who scores: a scorer's name and its own options."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    options: dict[str, Any] = Field(default_factory=dict)


class SuiteSampling(BaseModel):
    """How a model is asked unless the evaluation says otherwise."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    temperature: float | None = Field(default=0.0, ge=0)
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_tokens: int = Field(default=4096, ge=1)
    samples: int = Field(default=1, ge=1)
    seed: int | None = 42


class Suite(BaseModel):
    """A named set of items with a scorer. Raise ``version`` with any change of meaning: items, prompt or scorer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    version: int = Field(ge=1)
    title: str
    family: Family
    about: str = ""
    licence: str = ""
    items: ItemsSpec
    system: str = ""
    prompt: str = Field(default="{{question}}", description="what the user says first; {{column}} is filled in")
    scorer: ScorerSpec
    sampling: SuiteSampling = Field(default_factory=SuiteSampling)
    metric: Literal["accuracy", "mean_value"] = Field(
        default="accuracy", description="the headline: correct over all items, or the mean of the scorer's values"
    )

    @property
    def label(self) -> str:
        return f"{self.name}@{self.version}"
