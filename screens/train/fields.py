"""The Train form's fields: how each part of a recipe is edited, read back and judged. The recipe says what is valid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import ValidationError

from o1lab.config import Config
from o1lab.errors import UsageError
from o1lab.jobs.device_queue import visible_gpus
from o1lab.models.checkpoints import checkpoint_step
from o1lab.paths import Lab, assets_dir
from o1lab.text import one_line
from o1lab.train import recipe as recipes
from o1lab.train.launch import RUNS
from o1lab.train.parent_run import END
from o1lab.train.recipe import Recipe
from o1lab.widgets.form import Field, Kind
from store import datasets
from store.sqlite import Database

SECTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("What to learn", ("base", "dataset", "phase", "init_from", "system_prompt")),
    ("Adapter", ("lora_r", "lora_alpha", "lora_dropout", "lora_targets")),
    ("Schedule", ("steps", "epochs", "batch_size", "grad_accumulation", "learning_rate", "schedule", "warmup",
                  "weight_decay", "max_grad_norm")),
    ("Length of rows", ("max_length", "over_length", "eval_rows")),
    ("Machine", ("device", "dtype", "gradient_checkpointing", "seed")),
    ("While it learns", ("probes", "probe_tokens", "logging_steps", "eval_steps", "save_steps", "keep_checkpoints")),
)  # fmt: skip
FIELDS = tuple(name for _, names in SECTIONS for name in names)
ARROW = "=>"


@dataclass(frozen=True)
class Options:
    """What the lab and the machine offer: (shown, value) pairs; gathered in a thread by :func:`look`."""

    bases: tuple[str, ...]
    datasets: tuple[tuple[str, str], ...]
    adapters: tuple[tuple[str, str], ...]
    devices: tuple[tuple[str, str], ...]
    recipes: tuple[tuple[str, Path], ...]


def look(lab: Lab, config: Config, db: Database) -> Options:
    """What there is to choose from (reads the lab; call it in a thread)."""
    known = datasets.all_datasets(db)
    known_runs = [(run, run.info()) for run in RUNS.directories(lab)]
    adapters = [
        (f"run {run.id} step {checkpoint_step(path)} ({state.state})", f"{run.id}/{path.name}")
        for run, state in known_runs
        for path in reversed(run.checkpoints())
    ]
    adapters += [(f"run {run.id} when it has finished", f"{run.id}/{END}") for run, state in known_runs if state.active]
    local = sorted(str(path.parent) for path in lab.models.glob("*/config.json"))
    found = [*lab.root.glob("recipes/*.yaml"), *(assets_dir() / "recipes").glob("*.yaml")]
    return Options(
        tuple(dict.fromkeys([config.base, Recipe.model_fields["base"].default, *local])),
        tuple((f"{one_line(d.name, 40)}  {d.rows:,} rows, phase {d.phase}, {d.hash[:8]}", d.name) for d in known),
        (("a fresh adapter", ""), *adapters),
        tuple((name, name) for name in ("auto", "cpu", *(f"cuda:{i}" for i in range(len(visible_gpus()))))),
        tuple((path.stem, path) for path in sorted(found)),
    )


def fields(options: Options) -> dict[str, Field]:
    """Every field of the form, by name, in its order."""
    offered = {"dataset": options.datasets, "init_from": options.adapters, "device": options.devices}
    made = {}
    for name in FIELDS:
        info = Recipe.model_fields[name]
        choices = offered.get(name, ())
        if get_origin(info.annotation) is Literal:
            choices = tuple((str(value), str(value)) for value in get_args(info.annotation))
        elif info.annotation is bool:
            choices = (("no", "false"), ("yes", "true"))
        kind: Kind = "choice" if choices or name in offered else "lines" if name == "probes" else "line"
        default = "" if info.is_required() else as_text(name, info.get_default(call_default_factory=True))
        suggestions = options.bases if name == "base" else ()
        empty = "by epochs" if name == "steps" else "none"
        more = f"One a line: question {ARROW} answer." if kind == "lines" else ""
        made[name] = Field(name, kind, recipes.help_for(name), default, choices, suggestions, empty, more)
    return made


def starting_values(options: Options, config: Config, dataset: str | None) -> dict[str, Any]:
    """What the form begins with: the recipe file that names this dataset, if there is one, else the defaults."""
    chosen = dataset or (options.datasets[0][1] if options.datasets else None)
    values: dict[str, Any] = {}
    for _, path in options.recipes:
        found = _values_of(path)
        if chosen and found.get("dataset") == chosen:
            values = found
            break
    return {"base": config.base, **values, **({"dataset": chosen} if chosen else {})}


def _values_of(path: Path) -> dict[str, Any]:
    try:
        return recipes.load_values(path)
    except UsageError:
        return {}


def as_text(name: str, value: Any) -> str:
    """A recipe's value as its field shows it; None is empty, probes are a line each."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if name == "probes":
        probes = [recipes.Probe.model_validate(probe) for probe in value]
        return "\n".join(
            probe.prompt.replace("\n", "\\n") + (f" {ARROW} {probe.gold}" if probe.gold else "") for probe in probes
        )
    return str(value)


def as_value(name: str, text: str) -> Any:
    """What a field's text means to the recipe, which reads numbers and switches from text itself."""
    if name == "probes":
        return [_probe(line) for line in text.splitlines() if line.strip()]
    return text if name == "system_prompt" else text.strip()


def _probe(line: str) -> dict[str, str | None]:
    prompt, arrow, gold = line.rpartition(ARROW)
    return {
        "prompt": (prompt if arrow else line).strip().replace("\\n", "\n"),
        "gold": (gold.strip() or None) if arrow else None,
    }


def judge(texts: Mapping[str, str]) -> tuple[Recipe | None, dict[str, str]]:
    """The recipe that the form's texts make, or what is wrong with which field. An empty field takes its default."""
    values = {name: as_value(name, text) for name, text in texts.items() if text.strip()}
    try:
        return Recipe.model_validate(values), {}
    except ValidationError as error:
        return None, _by_field(error.errors(), values)


def _by_field(errors: Sequence[Any], values: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for error in errors:
        name = str(error["loc"][0]) if error["loc"] else "max_length"  # the only rule over several fields
        message = str(error["msg"]).removeprefix("Value error, ").partition(", unable to parse")[0]
        if name == "dataset" and name not in values:
            message = "choose a dataset; make one on the Traces screen (d)"
        found.setdefault(name, message)
    return found
