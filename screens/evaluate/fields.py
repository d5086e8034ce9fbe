"""The evaluation form's fields: how each setting is edited, read back and judged. The settings say what is valid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from o1lab.config import Config
from o1lab.errors import LabError, O1LabError
from o1lab.evaluate.run.settings import EvaluationSettings
from o1lab.evaluate.scorers import needs_judge
from o1lab.evaluate.suites.loading import find_origin
from o1lab.evaluate.suites.suite import Suite, SuiteFile, all_suites
from o1lab.paths import Lab, offline
from o1lab.serve.registry import ModelRef, list_models
from o1lab.text import one_line
from o1lab.widgets.form import Field
from screens.distill.fields import NONE, as_text
from store.connection import Store

SECTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("What is put to whom", ("suite", "model", "judge", "items_file", "limit")),
    ("Sampling (empty: as the suite says)", ("samples", "temperature", "top_p", "seed", "max_tokens",
                                             "reasoning_effort", "force_answer")),
    ("Budgets", ("budget_usd", "budget_tokens")),
    ("Calls", ("concurrency", "requests_per_minute", "tokens_per_minute", "attempts", "silence_timeout_s", "reuse")),
)  # fmt: skip
FIELDS = tuple(name for _, names in SECTIONS for name in names)
OF_THE_SUITE = ("samples", "temperature", "top_p", "seed", "max_tokens")
"""What a suite says of sampling."""
_NULLABLE = ("temperature", "top_p", "seed")
_SAID = {
    "suite": "✓ its items are here; ↓ they come from the hub; ✗ they are missing, and below it says what it needs",
    "model": "an endpoint of o1lab.toml, a base, a run's checkpoint, or the solver (no key, sums only)",
    "judge": "the model that judges: this suite's scorer asks one",
    "items_file": "take the items from this file instead; its columns must be those the suite names",
    "limit": "the first so many items; groups of variants stay whole",
    "samples": "answers to each item, each with a seed of its own; maj@k and pass@k need several",
    "temperature": "0 is the same answer each time; none leaves it to the server",
    "top_p": "nucleus sampling; none leaves it to the server",
    "seed": "sample k is asked with seed + k; none leaves it to the server",
    "max_tokens": "the longest answer, thought and all; what is longer counts as incomplete, never as correct",
    "reasoning_effort": "for models that take it: low, medium, high",
    "force_answer": "ask what was cut off for its final answer, in so many tokens more; it stands apart",
    "budget_usd": "stop cleanly before so many dollars are spent; the endpoint's prices must be in o1lab.toml",
    "budget_tokens": "stop cleanly before so many tokens, input and output together",
    "concurrency": "calls at once",
    "requests_per_minute": "empty: what o1lab.toml says of the endpoint",
    "tokens_per_minute": "empty: what o1lab.toml says of the endpoint",
    "attempts": "how often one call is tried before its sample counts as failed",
    "silence_timeout_s": "how many seconds a server may say nothing",
    "reuse": "take what an earlier evaluation asked in just the same way",
}
_EMPTY = {"items_file": "the suite's own", "reasoning_effort": "not said", "force_answer": "not asked",
          "limit": "every item"}  # fmt: skip


@dataclass(frozen=True)
class SuiteHere:
    """A suite of the list. ``missing`` says what is not here, with what it needs; ``remote``: the hub has it."""

    file: SuiteFile
    missing: str = ""
    remote: bool = False

    @property
    def sign(self) -> str:
        return "✗" if self.file.suite is None or (self.missing and not self.remote) else "↓" if self.remote else "✓"


@dataclass(frozen=True)
class Options:
    """What the lab offers: suites and models; gathered in a thread by :func:`look`."""

    suites: tuple[SuiteHere, ...] = ()
    models: tuple[ModelRef, ...] = ()
    by_name: Mapping[str, SuiteHere] = field(default_factory=dict)

    def suite(self, name: str) -> Suite | None:
        here = self.by_name.get(name)
        return here.file.suite if here else None


def look(lab: Lab, config: Config, store: Store) -> Options:
    """What there is to choose from (reads the lab; call it in a thread). Those whose items are here come first."""
    with store.explained():
        suites = [_here(lab, store, one) for one in all_suites(lab)]
    suites.sort(key=lambda one: ("✓↓✗".index(one.sign), one.file.name))
    return Options(tuple(suites), tuple(list_models(lab, config)), {one.file.name: one for one in suites})


def _here(lab: Lab, store: Store, one: SuiteFile) -> SuiteHere:
    if one.suite is None:
        return SuiteHere(one, one.problem)
    try:
        find_origin(lab, store, one.suite, fetch=False)
    except LabError as error:
        remote = one.suite.items.hub is not None and not offline()
        words = f"Its items are not here. {error.hint}" if error.code == "no_items" else f"{error.message} {error.hint}"
        return SuiteHere(one, words.strip(), remote)
    except O1LabError as error:
        return SuiteHere(one, str(error))
    return SuiteHere(one)


def fields(options: Options) -> dict[str, Field]:
    """Every field of the form, by name, in its order."""
    models = tuple((f"{one_line(ref.id, 24)}  {one_line(ref.label, 40)}", ref.id) for ref in options.models)
    suites = tuple((_suite_words(one), one.file.name) for one in options.suites)
    choices = {
        "suite": suites,
        "model": models,
        "judge": (("none", ""), *models),
        "reuse": (("yes", "true"), ("no", "false")),
    }
    made = {}
    for name in FIELDS:
        info = EvaluationSettings.model_fields[name]
        offered = choices.get(name, ())
        suites_word = name in OF_THE_SUITE
        default = "" if info.is_required() or suites_word else text_of(info.default)
        empty = "as the suite says" if suites_word else _EMPTY.get(name, "no limit")
        made[name] = Field(name, "choice" if offered else "line", _SAID[name], default, offered, (), empty)
    return made


def _suite_words(one: SuiteHere) -> str:
    suite = one.file.suite
    if suite is None:
        return f"{one.sign} {one_line(one.file.name, 30)}  cannot be read"
    return f"{one.sign} {one_line(suite.label, 30)}  {one_line(suite.title, 50)}"


def starting_values(options: Options) -> dict[str, str]:
    """What the form begins with: the first suite whose items are here, and the student there is, else the solver."""
    suite = options.suites[0].file.name if options.suites else ""
    model = next((ref for ref in options.models if ref.role == "student"), None)
    model = model or next((ref for ref in options.models if ref.source == "solver"), None)
    return {"suite": suite, "model": model.id if model else ""}


def is_relevant(name: str, suite: Suite | None) -> bool:
    """Whether a field means something for a suite."""
    return name != "judge" or suite is None or needs_judge(suite.scorer)


def text_of(value: Any) -> str:
    """A setting as its field shows it."""
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else as_text(value)


def values_of(texts: Mapping[str, str]) -> dict[str, Any]:
    """The settings that the texts name; ``none`` is null where that is allowed, and what is empty is left out."""
    values: dict[str, Any] = {}
    for name, text in texts.items():
        typed = text.strip()
        if name in _NULLABLE and typed.casefold() == NONE:
            values[name] = None
        elif typed:
            values[name] = typed
    return values


def judge(texts: Mapping[str, str], options: Options) -> tuple[EvaluationSettings | None, dict[str, str]]:
    """The settings that the form's texts make, what is empty filled in by the suite; or what is wrong where."""
    suite = options.suite(texts.get("suite", ""))
    values = {name: value for name, value in values_of(texts).items() if is_relevant(name, suite)}
    faults: dict[str, str] = {}
    if suite is None and (here := options.by_name.get(texts.get("suite", ""))):
        faults["suite"] = here.file.problem
    if suite is not None and needs_judge(suite.scorer) and not values.get("judge"):
        faults["judge"] = "This suite is scored by a judge: choose which model judges."
    sampling = {name: getattr(suite.sampling, name) for name in OF_THE_SUITE} if suite else {}
    try:
        settings = EvaluationSettings.model_validate(sampling | values)
    except ValidationError as error:
        return None, _by_field(error.errors()) | faults
    return (None, faults) if faults else (settings, {})


def _by_field(errors: Sequence[Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for error in errors:
        name = str(error["loc"][0]) if error["loc"] else "suite"
        found.setdefault(name, str(error["msg"]).removeprefix("Value error, ").partition(", unable to parse")[0])
    return found
