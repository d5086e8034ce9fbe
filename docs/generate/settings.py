"""The pages of settings: recipes, teacher runs and evaluations; and the rows of a table of any model."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Collection, Iterator
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from docs.generate.markdown import block, code, prose, table
from o1lab.config import EXAMPLE, Config
from o1lab.distill.settings import TeacherRunSettings
from o1lab.evaluate.run.settings import EvaluationSettings
from o1lab.settings import Setting, settings_of
from o1lab.train.recipes.recipe import Recipe

_ABOUT = {
    "Recipe": (
        "Recipe of a training run",
        "A recipe is a YAML file of these fields: `o1lab train --recipe FILE`. Each field is also an option of "
        "[`o1lab train`](commands.md#o1lab-train) and a field of the form on the Train screen; `--set field=value` "
        "sets it, too. A run keeps the resolved recipe, all defaults written out, in `recipe.yaml`.",
    ),
    "TeacherRunSettings": (
        "Settings of a teacher run",
        "Each setting is an option of [`o1lab distill`](commands.md#o1lab-distill) and a field of the form on the "
        "Distill screen. A run keeps all of them in `settings.json`.",
    ),
    "EvaluationSettings": (
        "Settings of an evaluation",
        "Each setting is an option of [`o1lab eval run`](commands.md#o1lab-eval-run) and a field of the form on the "
        "Evaluate screen. An evaluation keeps all of them in `settings.json`.",
    ),
}


def recipe() -> str:
    """Return the page of recipes."""
    return _page(Recipe)


def teacher_run() -> str:
    """Return the page of the settings of a teacher run."""
    return _page(TeacherRunSettings)


def evaluation() -> str:
    """Return the page of the settings of an evaluation."""
    return _page(EvaluationSettings)


def _page(model: type[BaseModel]) -> str:
    title, about = _ABOUT[model.__name__]
    sections: dict[str, list[Setting]] = {}
    for one in settings_of(model).values():
        sections.setdefault(one.section, []).append(one)
    parts = [f"# {title}", about]
    for section, found in sections.items():
        rows = ((code(one.name), _values(one), prose(one.unset), prose(one.full_help)) for one in found)
        parts += [f"## {section}", table(("Field", "Value", "Default", "Meaning"), rows)]
    return "\n\n".join(parts)


def _values(one: Setting) -> str:
    if one.choices:
        return ", ".join(code(str(choice)) for choice in one.choices)
    kinds = {bool: "true or false", int: "whole number", float: "number", list: "list"}
    return ", ".join(filter(None, (kinds.get(one.kind, "text"), one.bounds and code(one.bounds))))


def rows_of(model: type[BaseModel], names: Collection[str] = ()) -> Iterator[tuple[str, ...]]:
    """Yield a row per field of a model, or per field of these names: name, value, default, meaning."""
    attributes = attributes_of(model)
    for name, field in model.model_fields.items():
        if not names or name in names:
            yield code(name), *_typed(field), prose(field.description or attributes.get(name, ""))


def attributes_of(model: type[BaseModel]) -> dict[str, str]:
    """Return what the section ``Attributes`` of a docstring says about each field."""
    section = (inspect.getdoc(model) or "").partition("\nAttributes:\n")[2].partition("\n\n")[0]
    found = re.findall(r"^    ([a-z_, ]+): (.*(?:\n {8}.*)*)", section, re.MULTILINE)
    return {name.strip(): text for names, text in found for name in names.split(",")}


def _typed(field: FieldInfo) -> tuple[str, str]:
    if field.is_required():
        return _kind(field.annotation), "required"
    default = field.get_default(call_default_factory=True)
    if isinstance(default, BaseModel) or default in (None, "", [], {}, ()):
        return _kind(field.annotation), ""
    return _kind(field.annotation), code(json.dumps(default, ensure_ascii=False))


def _kind(annotation: Any) -> str:
    names = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    if annotation in names:
        return names[annotation]
    found = [one for one in get_args(annotation) if one is not type(None)]
    if get_origin(annotation) is list:
        return "list of " + _kind(found[0])
    if get_origin(annotation) in (dict, tuple):
        return "table" if get_origin(annotation) is dict else "list"
    if found and isinstance(found[0], str):
        return ", ".join(code(one) for one in found)
    return _kind(found[0]) if found else "value"


def o1lab_toml() -> str:
    """Return the page of o1lab.toml."""
    parts = [
        "# o1lab.toml",
        prose(
            "The settings of a lab. A folder that has this file is a lab; an empty file is enough. An unknown key is "
            "an error, so that a misspelt one is noticed. Keys of servers are never stored here, only the names of the "
            "environment variables that hold them."
        ),
        block(EXAMPLE, "toml"),
        *_tables(Config, ""),
    ]
    return "\n\n".join(parts)


def _tables(model: type[BaseModel], path: str, heading: str = "At the top") -> Iterator[str]:
    """Yield the heading and the table of a model, and of those that it contains."""
    inner = {name: part for name, field in model.model_fields.items() if (part := _model_of(field)) is not None}
    if plain := [name for name in model.model_fields if name not in inner]:
        yield f"## {heading}"
        if path and model.__doc__:
            yield prose(model.__doc__)
        yield table(("Key", "Value", "Default", "Meaning"), rows_of(model, plain))
    for name, part in inner.items():
        whole = f"{path}.{name}".removeprefix(".")
        shown = f"[[{whole}]]" if get_origin(model.model_fields[name].annotation) is list else f"[{whole}]"
        yield from _tables(part, whole, code(shown))


def _model_of(field: FieldInfo) -> type[BaseModel] | None:
    kinds = [field.annotation, *get_args(field.annotation)]
    return next((one for one in kinds if isinstance(one, type) and issubclass(one, BaseModel)), None)
