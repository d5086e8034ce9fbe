"""The teacher run form's fields: how each setting is edited, read back and judged. The settings say what is valid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic import ValidationError

from o1lab.config import Config
from o1lab.distill.settings import TeacherRunSettings
from o1lab.inference.prompts import Prompt, all_prompts
from o1lab.paths import Lab
from o1lab.serve.registry import ModelRef, list_models
from o1lab.text import one_line
from o1lab.widgets.form import Field, Kind

SECTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Who is asked, and how", ("method", "endpoint", "critic", "rounds", "language", "prompt")),
    ("What", ("problems", "traces", "limit", "n")),
    ("Sampling", ("temperature", "top_p", "seed", "max_tokens", "reasoning_effort")),
    ("Budgets", ("budget_usd", "budget_tokens")),
    ("Calls", ("engine", "concurrency", "stream", "requests_per_minute", "tokens_per_minute", "attempts",
               "silence_timeout_s")),
)  # fmt: skip
FIELDS = tuple(name for _, names in SECTIONS for name in names)
NONE = "none"
"""Typed into a field whose setting may be null: leave it to the server, or set no limit."""

_NULLABLE = ("temperature", "top_p", "seed")
_ONLY_OF = {"critic": "debate", "rounds": "debate", "language": "translate", "traces": "translate"}
_SAID = {
    "method": "sample: long thoughts; reformat: short solutions in steps; translate: chains; debate: with a critic",
    "n": "samples a problem, each with a seed of its own",
    "limit": "at most so many items; empty: all of them",
    "top_p": "nucleus sampling; none leaves it to the server",
    "temperature": "0 is the same answer each time; none leaves it to the server",
    "seed": "sample k is asked with seed + k; none leaves it to the server",
    "max_tokens": "the longest answer, thought and all; long thoughts need 8k to 32k",
    "reasoning_effort": "for teachers that take it: low, medium, high",
    "endpoint": "the teacher: an endpoint of o1lab.toml, the solver (no key, sums only), a run's checkpoint",
    "problems": "which problems, in the pool's filter language (excluded:no has:answer source:...)",
    "traces": "which traces, in the filter language of the Traces screen (decision:accept reflective:yes)",
    "prompt": "the method's own, or one of the lab's (e on the Distill screen edits them)",
    "engine": "local: from this machine now; batch: the OpenAI Batch API, cheaper and later; ray: a cluster",
    "concurrency": "calls at once",
    "requests_per_minute": "empty: what o1lab.toml says of the endpoint",
    "tokens_per_minute": "empty: what o1lab.toml says of the endpoint",
    "attempts": "how often one call is tried before its sample counts as failed",
    "budget_usd": "stop cleanly before so many dollars are spent; the endpoint's prices must be in o1lab.toml",
    "silence_timeout_s": "how many seconds a server may say nothing",
}

_EMPTY = {"traces": "every trace", "reasoning_effort": "not said"}


@dataclass(frozen=True)
class Options:
    """What the lab offers: its models and prompts; gathered in a thread by :func:`look`."""

    models: tuple[ModelRef, ...]
    prompts: tuple[Prompt, ...]


def look(lab: Lab, config: Config) -> Options:
    """What there is to choose from (reads the lab; call it in a thread)."""
    return Options(tuple(list_models(lab, config)), tuple(all_prompts(lab)))


def fields(options: Options) -> dict[str, Field]:
    """Every field of the form, by name, in its order."""
    models = tuple((f"{one_line(ref.id, 24)}  {one_line(ref.label, 40)}", ref.id) for ref in options.models)
    prompts = tuple((f"{one.label}  ({one.method})", one.label) for one in reversed(options.prompts))
    offered = {
        "endpoint": models,
        "critic": (("the teacher itself", ""), *models),
        "prompt": (("the method's own", ""), *prompts),
    }
    made = {}
    for name in FIELDS:
        info = TeacherRunSettings.model_fields[name]
        choices = offered.get(name, ())
        if get_origin(info.annotation) is Literal:
            choices = tuple((str(value), str(value)) for value in get_args(info.annotation))
        kind: Kind = "choice" if choices else "line"
        default = "" if info.is_required() else as_text(info.default)
        about = _SAID.get(name) or info.description or ""
        made[name] = Field(name, kind, about, default, choices, (), _EMPTY.get(name, "no limit"))
    return made


def starting_values(options: Options) -> dict[str, Any]:
    """What the form begins with: the first teacher of o1lab.toml, else the solver."""
    teacher = next((ref for ref in options.models if ref.role == "teacher"), options.models[0])
    return {"endpoint": teacher.id}


def as_text(value: Any) -> str:
    """A setting as its field shows it; None is empty."""
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def is_relevant(name: str, method: str) -> bool:
    """Whether a field means something for a method."""
    return _ONLY_OF.get(name, method) == method and not (name == "problems" and method == "translate")


def values_of(texts: Mapping[str, str]) -> dict[str, Any]:
    """The settings that the texts name. An empty field takes its default; ``none`` is null where that is allowed.

    Filters may be empty: that is everything.
    """
    method = texts.get("method", "sample")
    values: dict[str, Any] = {}
    for name, text in texts.items():
        typed = text.strip()
        if not is_relevant(name, method):
            continue
        if name in ("problems", "traces"):
            values[name] = typed
        elif name in _NULLABLE and typed.casefold() == NONE:
            values[name] = None
        elif typed:
            values[name] = typed
    return values


def judge(texts: Mapping[str, str]) -> tuple[TeacherRunSettings | None, dict[str, str]]:
    """The settings that the form's texts make, or what is wrong with which field."""
    try:
        return TeacherRunSettings.model_validate(values_of(texts)), {}
    except ValidationError as error:
        return None, _by_field(error.errors())


def _by_field(errors: Sequence[Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for error in errors:
        name = str(error["loc"][0]) if error["loc"] else "method"
        found.setdefault(name, str(error["msg"]).removeprefix("Value error, ").partition(", unable to parse")[0])
    return found
