"""The recipe of a training run: all its settings, each with help and bounds.

The Train form and the options of ``o1lab train`` are generated from this model (see :mod:`o1lab.settings`). A run
directory contains the resolved recipe, with all defaults written out.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from o1lab.models.checkpoints import Kind
from o1lab.models.prompts import RESERVED, PromptOptions
from o1lab.settings import NONE, RECORDED, Display
from o1lab.train.launcher import LAUNCHERS
from o1lab.train.recipes.objective import Objective, prefers, unfit, weighs
from o1lab.train.recipes.probe import ARROW, Probe
from o1lab.train.recipes.relevant import replays, tracks
from o1lab.train.recipes.variants import VARIANTS, Variant, adapts, conflict

_MEASURED = "Measurements and checkpoints"
Schedule = Literal["cosine", "linear", "constant", "constant_with_warmup"]
OverLength = Literal["refuse", "drop", "truncate"]
Tracker = Literal["tensorboard", "wandb", "trackio"]
Strategy = Literal["ddp", "fsdp2"]
SystemTurns = Literal["row", "run", "none"]
ACCEPTABLE = ("closed_thought", "cut_off")
"""The problems of preflight that a recipe can accept: the run trains, but may teach something unintended."""


class Recipe(BaseModel):
    """How to train one run."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    FIXED: ClassVar[frozenset[str]] = frozenset({
        "dataset_hash", "replay_hash", "device", "chat_template_kwargs", "stop_hopeless", "probes", "accept",
        "report_to", "tracker_project", "on", "nodes", "processes", "strategy",
    })  # fmt: skip
    """The fields that have one value in all runs of a group (see :mod:`o1lab.train.groups`)."""

    base: Annotated[str, Display("Data and model", default="the lab's base", names=("base",))] = Field(
        default="smollm2-135m",
        min_length=1,
        description="Base model: smollm2-135m (embedded), a local folder or a Hugging Face id.",
    )
    dataset: Annotated[str, Display(names=("dataset",))] = Field(
        min_length=1, description="Dataset to train on, by name or hash."
    )
    dataset_hash: Annotated[str, Display(empty="filled in", in_form=False)] = Field(
        default="", description="Hash of the dataset's content, checked when given."
    )
    objective: Objective = Field(
        default="sft",
        description="What is learned: sft the rows of a dataset, dpo and kto the better answers of pairs.",
    )
    beta: Annotated[float, Display(when=prefers)] = Field(
        default=0.1, gt=0.0, le=100.0, description="How near the student stays to its reference; less moves it further."
    )
    desirable_weight: Annotated[float, Display(when=weighs)] = Field(
        default=1.0, ge=0.0, le=100.0, description="Weight of the better answers in KTO."
    )
    undesirable_weight: Annotated[float, Display(when=weighs)] = Field(
        default=1.0, ge=0.0, le=100.0, description="Weight of the worse answers in KTO."
    )
    phase: Literal[1, 2] = Field(
        default=2, description="1 trains on the solution alone (the format), 2 on the thought and the solution."
    )
    init_from: Annotated[str | None, Display(empty="a new adapter", metavar="RUN", names=("checkpoint",))] = Field(
        default=None, description="Start from an adapter: RUN, RUN/step-N, RUN/end to wait for it, or an imported one."
    )
    replay: float = Field(
        default=0.0,
        ge=0.0,
        le=0.9,
        description="Share of the rows that are the base's own answers to general prompts, against forgetting.",
    )
    replay_dataset: Annotated[
        str | None, Display(empty="the base's newest", metavar="DATASET", when=replays, names=("dataset",))
    ] = Field(default=None, description="Dataset of such answers, made by `o1lab dataset replay`.")
    replay_hash: Annotated[str, Display(empty="filled in", in_form=False)] = Field(
        default="", description="Hash of the content of replay_dataset, checked when given."
    )

    system_prompt: Annotated[str | None, Display("Prompt", empty="that of the chat template", verbatim=True)] = Field(
        default=None, description="System message before every question; the student is asked with it later as well."
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

    adapter: Annotated[Variant, Display("Adapter", meanings=VARIANTS)] = Field(
        default="lora", description="What is trained: a variant of LoRA, or all weights (full)."
    )
    lora_r: Annotated[int, Display(when=adapts)] = Field(
        default=16, ge=1, le=1024, description="Rank of the adapter; a higher rank learns more and overfits sooner."
    )
    lora_alpha: Annotated[int, Display(when=adapts)] = Field(
        default=32, ge=1, le=4096, description="Scale of the adapter; twice the rank is usual."
    )
    lora_dropout: Annotated[float, Display(when=adapts)] = Field(
        default=0.0, ge=0.0, lt=1.0, description="Fraction of the adapter's input dropped during training."
    )
    lora_targets: Annotated[str, Display(when=adapts)] = Field(
        default="all-linear",
        min_length=1,
        description="Layers that get an adapter: all-linear, or names separated by commas such as q_proj,v_proj.",
    )
    modules_to_save: Annotated[str | None, Display(empty=NONE, when=adapts)] = Field(
        default=None, description="Modules trained in full and saved with the adapter, such as lm_head; by commas."
    )
    lora_plus_ratio: Annotated[float, Display(when=adapts)] = Field(
        default=1.0, ge=1.0, le=1024.0,
        description="LoRA+: learning rate of the adapter's B matrices over that of A; 16 is usual, 1 is plain LoRA.",
    )  # fmt: skip
    neftune_alpha: float = Field(
        default=0.0,
        ge=0.0,
        le=100.0,
        description="NEFTune: noise on the embeddings in training; 5 is usual, 0 is none.",
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
    length_grouping: bool = Field(
        default=True,
        description="Batches of rows of similar length, where that saves padding (sft with batch_size above 1).",
    )
    packing: bool = Field(
        default=False,
        description="Put short rows together into rows of up to max_length tokens; none attends to another.",
    )
    assistant_only_loss: bool = Field(
        default=False,
        description="Learn the earlier turns of the assistant too, where the chat template marks them.",
    )
    teacher_only_loss: bool = Field(
        default=False, description="Where a teacher finished a student's thought, learn only what the teacher wrote."
    )
    eval_rows: int = Field(
        default=0, ge=0, le=100_000, description="Rows held out of the training data to measure eval_loss."
    )
    lens_traces: int = Field(default=0, ge=0, le=4096, description="Held-out rows to score by part and kind of move.")
    stop_hopeless: Annotated[int, Display(empty="never", in_form=False)] = Field(
        default=0,
        ge=0,
        le=10_000_000,
        description="First step at which a run of a group is stopped if its best eval_loss is worse than the median of"
        " the others at this step; 0: never.",
    )

    on: Annotated[str, Display("Hardware", choices=LAUNCHERS.names)] = Field(
        default="local",
        description="Where it trains: local (this machine), hand (you start each node), slurm or ray (a job there).",
    )
    device: str = Field(
        default="auto", description="Device: auto (the first GPU that is free, else the CPU), cpu or cuda:N."
    )
    processes: Annotated[int, Display(options=("--processes", "--gpus"))] = Field(
        default=1, ge=1, le=1024, description="Processes on each node, each with its own GPU or a share of the CPU."
    )
    nodes: int = Field(default=1, ge=1, le=4096, description="Machines that train together; all see the lab's folder.")
    strategy: Strategy = Field(
        default="ddp",
        description="What several processes share: ddp, a copy of the model in each; fsdp2, parts of it, on GPUs only.",
    )
    dtype: Literal["auto", "bf16", "fp32"] = Field(
        default="auto", description="Number format of the base; auto takes bf16 on a GPU and the faster on a CPU."
    )
    quantization: Literal["none", "nf4"] = Field(
        default="none", description="nf4 keeps the base in 4 bits (QLoRA): a quarter of bf16; the adapter is ordinary."
    )
    gradient_checkpointing: bool = Field(
        default=False,
        description="Compute activations twice instead of keeping them: about a third slower, much less memory.",
    )
    attention: Literal["auto", "sdpa", "eager", "flash_attention_2"] = Field(
        default="auto", description="Attention; auto takes flash_attention_2 on a GPU that has it, else the library's."
    )
    liger: bool = Field(
        default=False, description="Fused layers of the package liger-kernel (GPU): less memory for activations."
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
    report_to: Annotated[list[Tracker], Display(empty=NONE, metavar="TRACKER")] = Field(
        default_factory=list,
        description=f"Tracker that gets the metrics too, from the extra `trackers`: {', '.join(get_args(Tracker))}.",
    )
    tracker_project: Annotated[str | None, Display(empty="the lab's name", when=tracks)] = Field(
        default=None, min_length=1, description="Project of the run at Weights & Biases and trackio."
    )

    accept: Annotated[list[str], Display("Preflight", empty=NONE, metavar="PROBLEM")] = Field(
        default_factory=list, description=f"Problem of preflight to accept: {', '.join(ACCEPTABLE)}."
    )

    @field_validator("accept", "report_to", mode="before")
    @classmethod
    def _as_list(cls, value: Any) -> Any:
        """Split names by commas; ``none`` is none of them."""
        parts = [value] if isinstance(value, str) else value
        if not isinstance(parts, list) or not all(isinstance(one, str) for one in parts):
            return value
        named = [name for one in parts for name in names(one)]
        return [] if named == [NONE] else list(dict.fromkeys(named))

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
    def _freenames(cls, value: dict[str, Any]) -> dict[str, Any]:
        if wrong := sorted(RESERVED & value.keys()):
            raise ValueError(f"{wrong[0]} is not an option of a template")
        return value

    @field_validator("phase", mode="before")
    @classmethod
    def _as_number(cls, value: Any) -> Any:
        """Convert text from forms and ``--set``, which a literal number does not accept."""
        return int(value) if isinstance(value, str) and value.strip().isdigit() else value

    @field_validator("on")
    @classmethod
    def _known_launcher(cls, value: str) -> str:
        if value != "local" and value not in (known := LAUNCHERS.names()):
            raise ValueError(f"there is no launcher '{value}'; there are: {', '.join(known)}")
        return value

    @field_validator("device")
    @classmethod
    def _known_device(cls, value: str) -> str:
        if value == "cuda":
            return "cuda:0"
        if value not in ("auto", "cpu") and not re.fullmatch(r"cuda:\d{1,3}", value):
            raise ValueError("a device is auto, cpu or cuda:N")
        return value

    @model_validator(mode="after")
    def _fits(self, info: ValidationInfo) -> Self:
        if info.context == RECORDED:
            return self
        if self.over_length == "truncate" and self.max_length < 16:
            raise ValueError("rows cannot be truncated to fewer than 16 tokens")
        if self.system == "none" and self.system_prompt:
            raise ValueError("system none leaves out the system_prompt that is given")
        if self.stop_hopeless and not (self.eval_rows and self.eval_steps):
            raise ValueError("stop_hopeless compares eval_loss: it needs eval_rows and eval_steps")
        if self.system == "run" and not self.system_prompt:
            raise ValueError("system run needs a system_prompt; system none leaves the system messages out")
        if wrong := conflict(self.model_dump()):
            raise ValueError(wrong)
        if self.strategy == "fsdp2" and self.device == "cpu":
            raise ValueError("strategy fsdp2 needs GPUs; several processes on CPUs train with ddp")
        if self.processes > 1 and self.device.startswith("cuda:"):
            raise ValueError("several processes take the first GPUs: choose device auto, not one GPU")
        if self.objective != "sft" and (reason := unfit(self.model_dump())):
            raise ValueError(reason)
        if self.objective != "sft" and (self.packing or self.assistant_only_loss or self.teacher_only_loss):
            options = "packing, assistant_only_loss or teacher_only_loss"
            raise ValueError(f"objective {self.objective} learns whole answers: without {options}")
        return self

    @property
    def targets(self) -> str | list[str]:
        """``lora_targets`` in the format of PEFT."""
        return self.lora_targets if self.lora_targets == "all-linear" else names(self.lora_targets)

    @property
    def full_modules(self) -> list[str]:
        """The names in ``modules_to_save``."""
        return names(self.modules_to_save or "")

    @property
    def kind(self) -> Kind:
        """What the checkpoints hold."""
        return "full" if self.adapter == "full" else "adapter"

    @property
    def prompt(self) -> PromptOptions:
        """What the student is asked with."""
        return PromptOptions.of(self.model_dump())

    @property
    def world_size(self) -> int:
        """The processes on all nodes together."""
        return self.nodes * self.processes

    @property
    def rows_per_step(self) -> int:
        """The rows that one optimiser step trains, in all processes together."""
        return self.batch_size * self.grad_accumulation * self.world_size

    def total_steps(self, rows: int) -> int:
        """Return the optimiser steps of a run over ``rows`` training rows, as transformers' Trainer counts them.

        Each process gets every ``world_size``-th batch. Where the batches of an epoch do not suffice for all, the last
        ones repeat rows from its beginning.
        """
        if self.steps is not None:
            return self.steps
        batches = -(-rows // self.batch_size)
        batches = -(-batches // self.world_size)
        per_epoch = max(batches // self.grad_accumulation + int(batches % self.grad_accumulation > 0), 1)
        return max(-int(-self.epochs * per_epoch // 1), 1)


def names(text: str) -> list[str]:
    """Return the names in a text, which commas separate."""
    return [name.strip() for name in text.split(",") if name.strip()]
