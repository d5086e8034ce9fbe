"""Settings models: what forms, ``--help`` and error messages read from the fields of a pydantic model.

A field is declared once: its type holds default, bounds and choices, its ``description`` is the help, and
:class:`Display` in its ``Annotated`` metadata describes its appearance. A new field needs nothing else to appear in the
form, on the command line and in the settings file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from o1lab.errors import UsageError

Model = TypeVar("Model", bound=BaseModel)
NONE = "none"
"""The text that sets a field with a default to null."""
OTHER = "Other"


@dataclass(frozen=True)
class Display:
    """How a field of a settings model appears in its form and in ``--help``.

    Attributes:
        section: Heading above the field. A field without one belongs to the section of the field before it.
        empty: What an empty field means, such as ``no limit``. On a plain ``str`` field the empty text is itself a
            value; on others it leaves the default.
        default: Shown instead of the model's default, where something else fills it in, such as ``the suite's``.
        none: What null means, for a nullable number that has a default; the form accepts the word ``none`` for it.
        when: Whether the field matters, given the other fields by name, as values or as texts.
        choices: The values to choose from, where the type does not list them.
        meanings: What each choice means, in a sentence; it is shown with the help of the chosen one.
        options: Names on the command line, where they are not made from the field's name.
        metavar: Placeholder of the value in ``--help``.
        names: What its value names, such as ``dataset``; shells then complete it (see ``o1lab.cli.base.naming``).
        argument: Whether it is a positional argument of the command.
        in_form: Whether the form has the field.
        verbatim: Whether surrounding spaces are part of the value.
    """

    section: str = ""
    empty: str = ""
    default: str = ""
    none: str = ""
    when: Callable[[Mapping[str, object]], bool] | None = None
    choices: Callable[[], Sequence[Any]] | None = None
    meanings: Mapping[Any, str] = field(default_factory=dict, hash=False)
    options: tuple[str, ...] = ()
    metavar: str | None = None
    names: tuple[str, ...] = ()
    argument: bool = False
    in_form: bool = True
    verbatim: bool = False


@dataclass(frozen=True)
class Setting:
    """A field of a settings model.

    ``kind`` is bool, int, float, str or list; a mapping is a text of JSON. ``bounds`` reads ``0<x<=1``.
    """

    name: str
    section: str
    help: str
    kind: type
    listed: tuple[Any, ...]
    bounds: str
    required: bool
    default: Any
    display: Display
    annotation: Any = field(repr=False)

    @property
    def choices(self) -> tuple[Any, ...]:
        """The values to choose from; empty if any value of the type is allowed."""
        return tuple(self.display.choices()) if self.display.choices is not None else self.listed

    @property
    def full_help(self) -> str:
        """The help with the meaning of each choice."""
        return " ".join([self.help, *(f"{choice}: {text}" for choice, text in self.display.meanings.items())])

    @property
    def is_exact(self) -> bool:
        """Whether it is a number or a choice, whose values contain no comma."""
        return self.kind in (int, float) or bool(self.choices)

    @property
    def default_text(self) -> str:
        """The default as text; empty if there is none, or if something else fills it in."""
        return "" if self.required or self.display.default else self.as_text(self.default)

    @property
    def unset(self) -> str:
        """What happens without a value, in words: the default, or what an empty field means."""
        words = self.display.default or self.default_text or self.display.empty
        return {"true": "yes", "false": "no"}.get(words, words)

    @property
    def empty_is_value(self) -> bool:
        """Whether the empty text is a value and does not stand for the default."""
        return self.annotation is str and bool(self.display.empty)

    def relevant(self, values: Mapping[str, object]) -> bool:
        """Whether the setting matters, given the other settings as values or as texts."""
        return self.display.when is None or self.display.when(values)

    def as_text(self, value: Any) -> str:
        """Return a value as a form shows it: null is empty (``none`` if there is a default), a list has a line each."""
        if value is None:
            return NONE if self.display.none else ""
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, float):
            short = f"{value:g}"
            return short if float(short) == value else str(value)
        if self.kind is list:
            return "\n".join(str(one) for one in TypeAdapter(self.annotation).validate_python(value))
        if isinstance(value, dict):
            return json.dumps(value, ensure_ascii=False) if value else ""
        return str(value)

    def from_text(self, text: str) -> dict[str, Any]:
        """The value that a text of the form means, under the setting's name; nothing where it leaves the default."""
        typed = text if self.display.verbatim else text.strip()
        if not typed.strip():
            return {self.name: ""} if self.empty_is_value else {}
        if self.display.none and typed.casefold() == NONE:
            return {self.name: None}
        if self.kind is list:
            return {self.name: [line for line in typed.splitlines() if line.strip()]}
        return {self.name: typed}


@lru_cache
def settings_of(model: type[BaseModel]) -> dict[str, Setting]:
    """Every field of a settings model by its name, section by section.

    Sections that a model adds come before those it inherits, fields that it adds to a section after the others. A field
    that it declares again keeps its place, and its section and help where it names none.
    """
    found: dict[str, Setting] = {}
    order: list[str] = []
    for owner in reversed([one for one in model.__mro__ if issubclass(one, BaseModel)]):
        section, added = OTHER, dict[str, None]()
        for name in (one for one in owner.__annotations__ if one in model.model_fields):
            above = found.get(name)
            found[name] = _setting(name, owner.model_fields[name], section, above)
            if above is None:
                section = found[name].section
                added[section] = None
        order[:0] = [one for one in added if one not in order]
    return {one.name: one for one in sorted(found.values(), key=lambda one: order.index(one.section))}


def _setting(name: str, info: FieldInfo, section: str, above: Setting | None) -> Setting:
    """The setting of a field; ``above`` is the one it declares again."""
    display = next((one for one in info.metadata if isinstance(one, Display)), Display())
    inner: Any = info.annotation
    if get_origin(inner) in (Union, UnionType):
        inner = next(part for part in get_args(inner) if part is not type(None))
    listed = get_args(inner) if get_origin(inner) is Literal else ()
    return Setting(
        name,
        display.section or (above.section if above else section),
        info.description or (above.help if above else ""),
        str if listed or get_origin(inner) is dict else get_origin(inner) or inner,
        listed,
        _bounds(info),
        info.is_required(),
        None if info.is_required() else info.get_default(call_default_factory=True),
        display,
        info.annotation,
    )


def _bounds(info: FieldInfo) -> str:
    """The range of a number as ``0<x<=1`` or ``x>=1``; empty where there is none."""
    found = {
        sign: f"{limit:g}" if isinstance(limit, float) else str(limit)
        for name, sign in (("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<"))
        for one in info.metadata
        if (limit := getattr(one, name, None)) is not None
    }
    high = next((sign + found[sign] for sign in ("<=", "<") if sign in found), "")
    for sign in (">=", ">"):
        if sign in found:
            return f"{found[sign]}{'<=' if sign == '>=' else '<'}x{high}" if high else f"x{sign}{found[sign]}"
    return f"x{high}" if high else ""


def values_of(
    model: type[BaseModel],
    texts: Mapping[str, str],
    relevant: Callable[[Setting, Mapping[str, str]], bool] = Setting.relevant,
) -> dict[str, Any]:
    """The values that the texts of a form mean, by field; fields that are empty or do not matter are left out."""
    settings, values = settings_of(model), dict[str, Any]()
    known = {name: setting.default_text for name, setting in settings.items()} | dict(texts)
    for name, setting in settings.items():
        if name in texts and relevant(setting, known):
            values |= setting.from_text(texts[name])
    return values


RECORDED = {"recorded": True}
"""The validation context of the settings of a job: what is refused now was accepted when the job was started."""


def validate(
    model: type[Model], values: Mapping[str, Any], *, verb: str, of: str = "", context: Mapping[str, Any] | None = None
) -> Model:
    """The settings that named values make.

    Args:
        model: The settings model.
        values: Values by field name, as text or as what they are.
        verb: The command whose ``--help`` lists the fields, such as ``distill``.
        of: Put before the field's name in the message, such as ``The recipe's ``.
        context: What the model's validators are told.

    Raises:
        UsageError: a value is out of bounds or unknown; the message names its field.
    """
    try:
        return model.model_validate(dict(values), context=context)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "settings"
        setting = settings_of(model).get(str(first["loc"][0])) if first["loc"] else None
        hint = setting.help if setting is not None else f"See `o1lab {verb} --help`."
        raise UsageError(f"{of}{where}: {first['msg'].removeprefix('Value error, ')}.", hint) from error


def faults(error: ValidationError, whole: str) -> dict[str, str]:
    """What is wrong with which field, one sentence each; ``whole`` is the field to name for a rule over several."""
    found: dict[str, str] = {}
    for one in error.errors():
        name = str(one["loc"][0]) if one["loc"] else whole
        found.setdefault(name, one["msg"].removeprefix("Value error, ").partition(", unable to parse")[0])
    return found
