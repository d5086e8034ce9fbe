"""Recipes as files and as ``key=value`` settings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from o1lab.errors import UsageError
from o1lab.files import write_text
from o1lab.settings import RECORDED, settings_of, validate
from o1lab.small_files import UnreadableError, read_yaml
from o1lab.train.recipes.recipe import Recipe


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
    """Read the recipe in a run directory.

    Settings that a new run may not combine are accepted: an earlier version has started the run, so that it can be
    resumed, and its checkpoints can be used.

    Raises:
        UsageError: it cannot be read, or a value is out of bounds or unknown.
    """
    values = load_values(path)
    values.setdefault("length_grouping", False)  # the run is older than this field, and its batches are not grouped
    return validate(Recipe, values, verb="train", of="The recipe's ", context=RECORDED)


def dump(recipe: Recipe) -> str:
    """Return the recipe as YAML with all defaults written out; :func:`load` restores it."""
    return str(yaml.safe_dump(recipe.model_dump(), sort_keys=False, allow_unicode=True, width=100))


def rewrite(path: Path, recipe: Recipe) -> None:
    """Replace a run's recipe file. Its time stays, because it is that of the run's creation."""
    before = path.stat()
    write_text(path, dump(recipe))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def several(key: str, text: str) -> Any:
    """Return the values in a text, as a list, where it has several; else the text.

    They are separated by commas (numbers and choices only), or a YAML list such as ``[a, b]``.
    """
    setting = settings_of(Recipe)[key]
    if key in Recipe.FIXED or setting.display.verbatim:
        return text
    if text.strip().startswith("["):
        try:
            found = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError, RecursionError):
            return text
        return found if isinstance(found, list) and len(found) > 1 else text
    return [part.strip() for part in text.split(",")] if setting.is_exact and "," in text else text


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
    """Parse a value: probes are YAML, several values make a group; the recipe itself converts all other text."""
    if key != "probes":
        return several(key, value)
    try:
        return yaml.safe_load(value)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"--set {setting}: the value is not valid YAML.") from error
