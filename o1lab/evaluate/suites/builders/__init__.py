"""Builders turn the rows of a data set into items. Suites name one under ``items.build``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from o1lab.errors import UsageError
from o1lab.evaluate.suites.builders.base import Build, NoOptions, Options, plain
from o1lab.evaluate.suites.builders.choice import ChoiceOptions, choice
from o1lab.evaluate.suites.builders.snowballing import ClaimsOptions, SnowballingOptions, claims, snowballing
from o1lab.evaluate.suites.builders.sycophancy import SycophancyOptions, sycophancy


@dataclass(frozen=True, slots=True)
class Builder:
    """A build function and the model of its options."""

    build: Build
    options: type[Options]


BUILDERS: Mapping[str, Builder] = {
    "plain": Builder(plain, NoOptions),
    "choice": Builder(choice, ChoiceOptions),
    "sycophancy": Builder(sycophancy, SycophancyOptions),
    "snowballing": Builder(snowballing, SnowballingOptions),
    "claims": Builder(claims, ClaimsOptions),
}


def read_options(name: str, values: Mapping[str, Any]) -> Options:
    """Return the validated options of the builder called ``name``.

    Raises:
        UsageError: there is no such builder.
        ValidationError: an option is unknown or invalid.
    """
    if name not in BUILDERS:
        near = get_close_matches(name, BUILDERS, 1)
        hint = f"Did you mean {near[0]}?" if near else f"There are {', '.join(BUILDERS)}."
        raise UsageError(f"items.build: there is no builder '{name}'.", hint)
    return BUILDERS[name].options.model_validate(dict(values))
