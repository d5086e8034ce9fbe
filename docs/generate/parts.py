"""The pages of registered parts: rules, methods, engines, formats and prompts; suites, scorers and builders."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from docs.generate.markdown import code, prose, summary, table
from docs.generate.settings import attributes_of, rows_of
from o1lab.distill.engines import ENGINES
from o1lab.distill.filters.rule import RULES
from o1lab.distill.method import METHODS
from o1lab.evaluate.scorers import SCORERS
from o1lab.evaluate.suites.builders import BUILDERS
from o1lab.evaluate.suites.suite import HubSpec, InnerSpec, ItemsSpec, Suite, SuiteSampling, all_suites
from o1lab.inference.prompts import all_prompts
from o1lab.ingest.importers.base import IMPORTERS
from o1lab.registry import Registry
from o1lab.train.launchers import LAUNCHERS


def registered() -> str:
    """Return the page."""
    parts = [
        "# Rules, methods, formats and prompts",
        "Other packages can add such parts through entry points; [the architecture](../architecture.md#plugins) says "
        "how. `o1lab doctor` lists plugins that cannot be loaded.",
        "## Rules of the problem pool",
        "`o1lab problems filter` checks problems with them. A finding excludes a problem, which stays in the lab; a "
        "person's ruling overrides it.",
        table(("Rule", "Version", "What is excluded: a problem that ..."), _rules()),
        "## Methods of distillation",
        "`o1lab distill --method NAME`.",
        table(("Method", "What a sample is"), _documented(METHODS)),
        "## Engines",
        "`o1lab distill --engine NAME`.",
        table(("Engine", "How requests are made"), _documented(ENGINES)),
        "## Launchers",
        "`o1lab train --on NAME`; [Several GPUs, Slurm, Ray](../how-to/cluster.md) says what each needs.",
        table(
            ("Launcher", "Where a run trains"),
            ((code(name), prose(one.about)) for name, one in LAUNCHERS.all().items()),
        ),
        "## Import formats",
        "`o1lab import` tries them in this order and names the one that it used.",
        table(("Format", "What a row is"), _documented(IMPORTERS)),
        "## Prompts",
        "`o1lab distill prompts show NAME` prints one; a file in `LAB/prompts` replaces it.",
        table(("Prompt", "For", "What it asks"), _prompts()),
    ]
    return "\n\n".join(parts)


def _rules() -> Iterator[tuple[str, ...]]:
    for name in RULES.names():
        one = RULES.get(name)
        yield code(name), str(one.version), prose(one.about)


def _documented(registry: Registry[Any]) -> Iterator[tuple[str, ...]]:
    for name in registry.names():
        one = registry.get(name)
        function = next((part for part in one if callable(part)), one) if isinstance(one, tuple) else one
        yield code(name), summary(function)


def _launchers() -> Iterator[tuple[str, ...]]:
    for name, one in LAUNCHERS.all().items():
        yield code(name), prose(one.about)


def _prompts() -> Iterator[tuple[str, ...]]:
    for one in all_prompts(None):
        yield code(one.label), code(one.method), prose(one.about)


_FIELDS = ("Field", "Value", "Default", "Meaning")
_OPTIONS = ("Option", "Value", "Default", "Meaning")


def suites() -> str:
    """Return the page."""
    parts = [
        "# Suites",
        "A suite says which items are asked, how, and how answers are scored. `o1lab eval suites` lists those of "
        "your lab with what is missing. o1lab contains no benchmark texts: the items come from files in "
        "`LAB/suites/data` or in a folder of `O1LAB_SUITE_DATA`, from problems of the lab, or from the hub.",
        "## Built-in suites",
        *_built_in(),
        "## A suite file",
        "One YAML file in `LAB/suites`. [Evaluating](../how-to/evaluate.md#your-own-suite) has an example.",
        table(_FIELDS, rows_of(Suite)),
        *_section("items", ItemsSpec),
        *_section("items.hub", HubSpec),
        *_section("items.inner.NAME", InnerSpec),
        *_section("sampling", SuiteSampling),
        "## Scorers",
        *_scorers(),
        "## Builders",
        "`items.build` names what turns rows into items, `items.options` has its options.",
        *_builders(),
    ]
    return "\n\n".join(parts)


def _built_in() -> Iterator[str]:
    found = [one.suite for one in all_suites(None) if one.suite is not None]
    rows = (
        (f"[{code(one.name)}](#suite-{one.name})", prose(one.title), one.family, code(one.scorer.name)) for one in found
    )
    yield table(("Suite", "Title", "Family", "Scorer"), rows)
    for one in found:
        yield f"### {one.title} {{ #suite-{one.name} }}"
        yield f"{code(one.label)}. " + " ".join(map(prose, filter(None, (one.about, one.items.needs))))
        if one.licence:
            yield prose(f"Licence: {one.licence.rstrip('.')}.")


def _section(name: str, model: Any) -> Iterator[str]:
    yield f"### {code(name)}"
    yield prose(model.__doc__)
    yield table(_FIELDS, rows_of(model))


def _scorers() -> Iterator[str]:
    for name in SCORERS.names():
        kind: Any = SCORERS.get(name)
        yield f"### {code(name)} {{ #scorer-{name} }}"
        yield summary(kind)
        yield from _options(kind.options_type)


def _builders() -> Iterator[str]:
    for name, one in BUILDERS.items():
        yield f"### {code(name)} {{ #builder-{name} }}"
        yield summary(one.build)
        yield from _options(one.options)


def _options(model: Any) -> Iterator[str]:
    if model.model_fields:
        if not attributes_of(model):
            yield summary(model)
        yield table(_OPTIONS, rows_of(model))
