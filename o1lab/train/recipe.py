"""A recipe: everything that decides a training run, with a sentence of help and a bound for each part.

The Train form is drawn from this model: a field's ``description`` is its help, its constraints are what the
form accepts. A run directory holds the resolved recipe, every default written out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from o1lab.errors import UsageError

Schedule = Literal["cosine", "linear", "constant", "constant_with_warmup"]
OverLength = Literal["refuse", "drop", "truncate"]


class Probe(BaseModel):
    """A question put to the student while it learns."""

    model_config = ConfigDict(extra="forbid")

    prompt: str = Field(min_length=1, description="What the student is asked.")
    gold: str | None = Field(default=None, description="The right answer, if it is to be judged.")


class Recipe(BaseModel):
    """How to train one run."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    base: str = Field(
        default="smollm2-135m",
        min_length=1,
        description="The model to start from: smollm2-135m (embedded), a local folder, or a hub id.",
    )
    dataset: str = Field(min_length=1, description="The dataset to learn, by name.")
    dataset_hash: str = Field(
        default="", description="The hash of the dataset's content; filled in, and checked when given."
    )
    phase: Literal[1, 2] = Field(
        default=2, description="1 learns the solution alone (format), 2 the thought and then the solution."
    )
    init_from: str | None = Field(
        default=None,
        description="Start from this run's adapter instead of a fresh one: RUN, or RUN/step-N for one checkpoint.",
    )
    system_prompt: str | None = Field(
        default=None, description="A system message before every question; none leaves it to the chat template."
    )

    lora_r: int = Field(
        default=16, ge=1, le=1024, description="Rank of the adapter: more learns more, and overfits sooner."
    )
    lora_alpha: int = Field(default=32, ge=1, le=4096, description="Scale of the adapter; twice the rank is usual.")
    lora_dropout: float = Field(
        default=0.0, ge=0.0, lt=1.0, description="Share of the adapter's input dropped while training."
    )
    lora_targets: str = Field(
        default="all-linear",
        min_length=1,
        description="Which layers get an adapter: all-linear, or names with commas such as q_proj,v_proj.",
    )

    learning_rate: float = Field(
        default=5e-4, gt=0.0, le=1.0, description="The highest learning rate; adapters take 1e-4 to 1e-3."
    )
    schedule: Schedule = Field(default="cosine", description="How the learning rate goes down after the warm-up.")
    warmup: float = Field(
        default=0.03, ge=0.0, lt=1.0, description="Share of the steps in which the learning rate rises from 0."
    )
    weight_decay: float = Field(default=0.0, ge=0.0, le=1.0, description="AdamW's pull of the adapter towards zero.")
    max_grad_norm: float = Field(
        default=1.0, gt=0.0, le=1000.0, description="Gradients longer than this are cut to it."
    )
    steps: int | None = Field(
        default=None, ge=1, le=10_000_000, description="Optimiser steps; leave empty to give epochs."
    )
    epochs: float = Field(default=1.0, gt=0.0, le=1000.0, description="Passes over the dataset, when steps is empty.")
    batch_size: int = Field(
        default=8, ge=1, le=4096, description="Rows that go through the model at once; memory grows with it."
    )
    grad_accumulation: int = Field(
        default=1, ge=1, le=4096, description="Batches summed before a step: a larger batch in the same memory."
    )

    max_length: int = Field(
        default=2048,
        ge=8,
        le=1_000_000,
        description="Longest row in tokens, question included. Long thoughts need 8k to 32k.",
    )
    over_length: OverLength = Field(
        default="refuse",
        description="Rows that are longer: refuse to start, drop them, or truncate them (a cut row teaches no ending).",
    )
    eval_rows: int = Field(
        default=0, ge=0, le=100_000, description="Rows held out of the training to measure eval_loss."
    )

    dtype: Literal["auto", "bf16", "fp32"] = Field(
        default="auto", description="Number format of the base; auto takes bf16 on a GPU and measures both on a CPU."
    )
    device: str = Field(default="auto", description="auto (the first GPU, else the CPU), cpu, or cuda:N.")
    gradient_checkpointing: bool = Field(
        default=False,
        description="Compute activations twice instead of keeping them: about a third slower, much less memory.",
    )
    seed: int = Field(
        default=42, ge=0, lt=2**32, description="Decides the adapter's start, the order of rows and the dropout."
    )

    logging_steps: int = Field(default=1, ge=1, le=100_000, description="Write a line of metrics every so many steps.")
    eval_steps: int = Field(
        default=25,
        ge=0,
        le=10_000_000,
        description="Ask the probes (and measure eval_loss) every so many steps; 0: start and end only.",
    )
    save_steps: int = Field(
        default=50, ge=0, le=10_000_000, description="Save a checkpoint every so many steps; 0: at the end only."
    )
    keep_checkpoints: int = Field(
        default=0, ge=0, le=10_000, description="Keep only the newest so many checkpoints; 0 keeps all."
    )
    probes: list[Probe] = Field(
        default_factory=list, max_length=64, description="Questions put to the student as it learns."
    )
    probe_tokens: int = Field(default=256, ge=1, le=32_768, description="Longest answer to a probe, in tokens.")

    @field_validator("phase", mode="before")
    @classmethod
    def _as_number(cls, value: Any) -> Any:
        """Forms and ``--set`` give text, and a literal number takes none."""
        return int(value) if isinstance(value, str) and value.strip().isdigit() else value

    @field_validator("device")
    @classmethod
    def _known_device(cls, value: str) -> str:
        if value == "cuda":
            return "cuda:0"
        if value not in ("auto", "cpu") and not re.fullmatch(r"cuda:\d{1,3}", value):
            raise ValueError("a device is auto, cpu or cuda:N")
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.over_length == "truncate" and self.max_length < 16:
            raise ValueError("rows cannot be truncated to fewer than 16 tokens")
        return self

    @property
    def targets(self) -> str | list[str]:
        """``lora_targets`` as PEFT takes it."""
        if self.lora_targets == "all-linear":
            return self.lora_targets
        return [name.strip() for name in self.lora_targets.split(",") if name.strip()]

    def total_steps(self, rows: int) -> int:
        """Optimiser steps of a run over ``rows`` training rows, as transformers' Trainer counts them."""
        if self.steps is not None:
            return self.steps
        batches = -(-rows // self.batch_size)
        per_epoch = max(batches // self.grad_accumulation + int(batches % self.grad_accumulation > 0), 1)
        return max(-int(-self.epochs * per_epoch // 1), 1)


def resolve(values: Mapping[str, Any]) -> Recipe:
    """A recipe from plain values.

    Raises:
        UsageError: a value is out of bounds or unknown; the message names it.
    """
    try:
        return Recipe.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "recipe"
        reason = first["msg"].removeprefix("Value error, ")
        raise UsageError(
            f"The recipe's {where}: {reason}.", help_for(str(first["loc"][0]) if first["loc"] else "")
        ) from error


def help_for(name: str) -> str:
    """The help sentence of a recipe field; empty for an unknown one."""
    field = Recipe.model_fields.get(name)
    return (field.description or "") if field else ("See `o1lab train --help`." if name else "")


def load_values(path: Path) -> dict[str, Any]:
    """The values written in a recipe file, defaults not filled in.

    Raises:
        UsageError: it cannot be read or is not a YAML mapping.
    """
    try:
        found = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"Cannot read the recipe {path}: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid YAML: {' '.join(str(error).split())}.", "Correct that line.") from error
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise UsageError(f"{path} is not a recipe: it must map names to values.", "See a run's recipe.yaml.")
    return found


def load(path: Path) -> Recipe:
    """The recipe in a YAML file.

    Raises:
        UsageError: as :func:`load_values` and :func:`resolve`.
    """
    return resolve(load_values(path))


def dump(recipe: Recipe) -> str:
    """The recipe as YAML with every default written out; :func:`load` gives the same recipe back."""
    return str(yaml.safe_dump(recipe.model_dump(), sort_keys=False, allow_unicode=True, width=100))


def override(values: Mapping[str, Any], settings: list[str]) -> dict[str, Any]:
    """``values`` with ``key=value`` settings laid over it; an empty value or ``none`` takes the default again.

    Raises:
        UsageError: a setting is not ``key=value``, or names no part of a recipe.
    """
    merged = dict(values)
    for setting in settings:
        key, equals, value = setting.partition("=")
        key = key.strip().replace("-", "_")
        if not equals or key not in Recipe.model_fields:
            names = ", ".join(Recipe.model_fields)
            raise UsageError(f"--set {setting}: not a part of a recipe.", f"Give key=value with one of: {names}.")
        if value.strip().lower() in ("", "none", "null"):
            merged.pop(key, None)
        else:
            merged[key] = _parsed(key, value, setting)
    return merged


def _parsed(key: str, value: str, setting: str) -> Any:
    """Numbers and switches are read from their text by the recipe itself; only probes are YAML."""
    if key != "probes":
        return value
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise UsageError(f"--set {setting}: the value is not valid YAML.") from error
