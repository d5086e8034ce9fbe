"""The recipe of a training run: all its settings, each with help and bounds.

The Train form and the options of ``o1lab train`` are generated from this model (see :mod:`o1lab.settings`). A run
directory contains the resolved recipe, with all defaults written out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from o1lab.errors import UsageError
from o1lab.models.prompts import RESERVED, PromptOptions
from o1lab.settings import NONE, Display, settings_of, validate
from o1lab.small_files import UnreadableError, read_yaml

ARROW = "=>"
_MEASURED = "Measurements and checkpoints"
Schedule = Literal["cosine", "linear", "constant", "constant_with_warmup"]
OverLength = Literal["refuse", "drop", "truncate"]
SystemTurns = Literal["row", "run", "none"]
ACCEPTABLE = ("closed_thought", "cut_off")
"""The problems of preflight that a recipe can accept: they teach something else than meant, but they train."""


class Probe(BaseModel):
    """A question that the student is asked during training; written as ``question => answer`` in text."""

    model_config = ConfigDict(extra="forbid")

    prompt: str = Field(min_length=1, description="The question.")
    gold: str | None = Field(default=None, description="The right answer, to verify the student's.")

    @model_validator(mode="before")
    @classmethod
    def _from_line(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        prompt, arrow, gold = value.rpartition(ARROW)
        return {
            "prompt": (prompt if arrow else value).strip().replace("\\n", "\n"),
            "gold": (gold.strip() or None) if arrow else None,
        }

    def __str__(self) -> str:
        return self.prompt.replace("\n", "\\n") + (f" {ARROW} {self.gold}" if self.gold else "")


class Recipe(BaseModel):
    """How to train one run."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    base: Annotated[str, Display("Data and model", default="the lab's base")] = Field(
        default="smollm2-135m",
        min_length=1,
        description="Base model: smollm2-135m (embedded), a local folder or a Hugging Face id.",
    )
    dataset: str = Field(min_length=1, description="Dataset to train on, by name or hash.")
    dataset_hash: Annotated[str, Display(empty="filled in", in_form=False)] = Field(
        default="", description="Hash of the dataset's content, checked when given."
    )
    phase: Literal[1, 2] = Field(
        default=2, description="1 trains on the solution alone (the format), 2 on the thought and the solution."
    )
    init_from: Annotated[str | None, Display(empty="a new adapter", metavar="RUN")] = Field(
        default=None, description="Start from the adapter of this run: RUN, RUN/step-N, or RUN/end to wait for it."
    )

    system_prompt: Annotated[str | None, Display("Prompt", empty="that of the chat template", verbatim=True)] = Field(
        default=None, description="System message before every question; the student is asked with it later, too."
    )
    system: Annotated[SystemTurns | None, Display(empty="the one that all rows share")] = Field(
        default=None,
        description="System messages of the rows, where they differ: keep that of each row, replace them by that of the"
        " run (system_prompt), or leave them out (none).",
    )
    chat_template: Annotated[str | None, Display(empty="the base's", metavar="FILE")] = Field(
        default=None, description="File of a chat template (Jinja) to use instead of the base's, or its text."
    )
    chat_template_kwargs: Annotated[dict[str, Any], Display(empty=NONE, metavar="NAME=VALUE,...")] = Field(
        default_factory=dict, description="Options of the chat template, such as enable_thinking=true."
    )
    eos_token: Annotated[str | None, Display(empty="the base's", metavar="TOKEN")] = Field(
        default=None, description="Token that ends a turn, where the chat template ends it with another than the base."
    )

    lora_r: Annotated[int, Display("Adapter")] = Field(
        default=16, ge=1, le=1024, description="Rank of the adapter; a higher rank learns more and overfits sooner."
    )
    lora_alpha: int = Field(default=32, ge=1, le=4096, description="Scale of the adapter; twice the rank is usual.")
    lora_dropout: float = Field(
        default=0.0, ge=0.0, lt=1.0, description="Fraction of the adapter's input dropped during training."
    )
    lora_targets: str = Field(
        default="all-linear",
        min_length=1,
        description="Layers that get an adapter: all-linear, or names separated by commas such as q_proj,v_proj.",
    )
    modules_to_save: Annotated[str | None, Display(empty=NONE)] = Field(
        default=None, description="Modules trained in full and saved with the adapter, such as lm_head; by commas."
    )

    steps: Annotated[int | None, Display("Schedule", empty="by epochs")] = Field(
        default=None, ge=1, le=10_000_000, description="Number of optimiser steps; overrides epochs."
    )
    epochs: float = Field(
        default=1.0, gt=0.0, le=1000.0, description="Passes over the dataset, where steps is not given."
    )
    batch_size: int = Field(
        default=8, ge=1, le=4096, description="Rows per forward pass; memory grows with their number."
    )
    grad_accumulation: int = Field(
        default=1, ge=1, le=4096, description="Batches summed before a step: a larger batch in the same memory."
    )
    learning_rate: float = Field(
        default=5e-4, gt=0.0, le=1.0, description="Peak learning rate; adapters take 1e-4 to 1e-3."
    )
    schedule: Schedule = Field(default="cosine", description="How the learning rate decays after the warm-up.")
    warmup: float = Field(
        default=0.03, ge=0.0, lt=1.0, description="Fraction of the steps in which the learning rate rises from 0."
    )
    weight_decay: float = Field(default=0.0, ge=0.0, le=1.0, description="Weight decay of AdamW.")
    max_grad_norm: float = Field(
        default=1.0, gt=0.0, le=1000.0, description="Maximum norm of the gradient; a longer one is clipped."
    )

    max_length: Annotated[int, Display("Row length")] = Field(
        default=2048,
        ge=8,
        le=1_000_000,
        description="Maximum length of a row in tokens, question included; long thoughts need 8k to 32k.",
    )
    over_length: OverLength = Field(
        default="refuse",
        description="Longer rows: refuse to start, drop them, or truncate them (a truncated row teaches no ending).",
    )
    eval_rows: int = Field(
        default=0, ge=0, le=100_000, description="Rows held out of the training data to measure eval_loss."
    )

    device: Annotated[str, Display("Hardware")] = Field(
        default="auto", description="Device: auto (the first GPU, else the CPU), cpu or cuda:N."
    )
    dtype: Literal["auto", "bf16", "fp32"] = Field(
        default="auto", description="Number format of the base; auto takes bf16 on a GPU and the faster on a CPU."
    )
    gradient_checkpointing: bool = Field(
        default=False,
        description="Compute activations twice instead of keeping them: about a third slower, much less memory.",
    )
    seed: int = Field(
        default=42, ge=0, lt=2**32, description="Seed of the adapter's weights, the order of rows and the dropout."
    )

    probes: Annotated[list[Probe], Display(_MEASURED, empty=NONE, options=("--probe",), metavar="TEXT")] = Field(
        default_factory=list,
        max_length=64,
        description=f"Question that the student is asked during training, as `question {ARROW} answer`.",
    )
    probe_tokens: int = Field(
        default=256, ge=1, le=32_768, description="Maximum length of a response to a probe, in tokens."
    )
    logging_steps: int = Field(default=1, ge=1, le=100_000, description="Steps between two lines of metrics.")
    eval_steps: int = Field(
        default=25,
        ge=0,
        le=10_000_000,
        description="Steps between two rounds of probes and eval_loss; 0: at the start and the end only.",
    )
    save_steps: int = Field(
        default=50, ge=0, le=10_000_000, description="Steps between two checkpoints; 0: at the end only."
    )
    keep_checkpoints: int = Field(
        default=0, ge=0, le=10_000, description="Number of checkpoints to keep, the newest; 0 keeps all."
    )

    accept: Annotated[list[str], Display("Preflight", empty=NONE, metavar="PROBLEM")] = Field(
        default_factory=list, description=f"Problem of preflight to accept: {', '.join(ACCEPTABLE)}."
    )

    @field_validator("accept", mode="before")
    @classmethod
    def _as_list(cls, value: Any) -> Any:
        return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value

    @field_validator("accept")
    @classmethod
    def _acceptable(cls, value: list[str]) -> list[str]:
        if wrong := [name for name in value if name not in ACCEPTABLE]:
            raise ValueError(f"{wrong[0]} cannot be accepted")
        return value

    @field_validator("chat_template_kwargs", mode="before")
    @classmethod
    def _as_mapping(cls, value: Any) -> Any:
        """Convert ``name=value, ...`` or a JSON object to a mapping; values are YAML."""
        if not isinstance(value, str):
            return value
        text = value.strip()
        try:
            return yaml.safe_load(text if text.startswith("{") else "{" + re.sub(r"\s*=\s*", ": ", text) + "}")
        except yaml.YAMLError:
            raise ValueError("options are name=value, separated by commas, or a JSON object") from None

    @field_validator("chat_template_kwargs")
    @classmethod
    def _free_names(cls, value: dict[str, Any]) -> dict[str, Any]:
        if wrong := sorted(RESERVED & value.keys()):
            raise ValueError(f"{wrong[0]} is not an option of a template")
        return value

    @field_validator("phase", mode="before")
    @classmethod
    def _as_number(cls, value: Any) -> Any:
        """Convert text from forms and ``--set``, which a literal number does not accept."""
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
        if self.system == "none" and self.system_prompt:
            raise ValueError("system none leaves out the system_prompt that is given")
        if self.system == "run" and not self.system_prompt:
            raise ValueError("system run needs a system_prompt; system none leaves the system messages out")
        return self

    @property
    def targets(self) -> str | list[str]:
        """``lora_targets`` in the format of PEFT."""
        return self.lora_targets if self.lora_targets == "all-linear" else _names(self.lora_targets)

    @property
    def full_modules(self) -> list[str]:
        """The names in ``modules_to_save``."""
        return _names(self.modules_to_save or "")

    @property
    def prompt(self) -> PromptOptions:
        """What the student is asked with."""
        return PromptOptions.of(self.model_dump())

    def total_steps(self, rows: int) -> int:
        """Return the optimiser steps of a run over ``rows`` training rows, as transformers' Trainer counts them."""
        if self.steps is not None:
            return self.steps
        batches = -(-rows // self.batch_size)
        per_epoch = max(batches // self.grad_accumulation + int(batches % self.grad_accumulation > 0), 1)
        return max(-int(-self.epochs * per_epoch // 1), 1)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def resolve(values: Mapping[str, Any]) -> Recipe:
    """Make a recipe from plain values.

    Raises:
        UsageError: a value is out of bounds or unknown; the message names it.
    """
    return validate(Recipe, values, verb="train", of="The recipe's ")


def load_values(path: Path) -> dict[str, Any]:
    """Read the values in a recipe file, without defaults.

    Raises:
        UsageError: it cannot be read or is not a YAML mapping.
    """
    try:
        found = read_yaml(path)
    except UnreadableError as error:
        raise UsageError(f"The recipe {error.message}", error.hint) from error
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise UsageError(f"{path} is not a recipe: it must map names to values.", "See a run's recipe.yaml.")
    return found


def load(path: Path) -> Recipe:
    """Read a recipe file.

    Raises:
        UsageError: as :func:`load_values` and :func:`resolve`.
    """
    return resolve(load_values(path))


def dump(recipe: Recipe) -> str:
    """Return the recipe as YAML with all defaults written out; :func:`load` restores it."""
    return str(yaml.safe_dump(recipe.model_dump(), sort_keys=False, allow_unicode=True, width=100))


def override(values: Mapping[str, Any], settings: list[str]) -> dict[str, Any]:
    """Return ``values`` updated by ``key=value`` settings; an empty value or ``none`` restores the default.

    Raises:
        UsageError: a setting is not ``key=value``, or its key is not a field of a recipe.
    """
    merged = dict(values)
    for setting in settings:
        key, equals, value = setting.partition("=")
        key = key.strip().replace("-", "_")
        if not equals or key not in Recipe.model_fields:
            names = ", ".join(Recipe.model_fields)
            raise UsageError(f"--set {setting}: not a field of a recipe.", f"Give key=value with one of: {names}.")
        if value.strip().lower() in ("", "none", "null") and value.strip() not in settings_of(Recipe)[key].choices:
            merged.pop(key, None)
        else:
            merged[key] = _parsed(key, value, setting)
    return merged


def _parsed(key: str, value: str, setting: str) -> Any:
    """Parse a value: probes are YAML; the recipe itself converts all other text."""
    if key != "probes":
        return value
    try:
        return yaml.safe_load(value)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"--set {setting}: the value is not valid YAML.") from error
