"""Registries of named parts: scorers, distillation methods, problem rules, importers and engines.

A registry finds its parts in three places:

- the modules of one built-in package, imported when a part is first needed;
- any other imported module that uses the registry's decorator;
- entry points of installed packages. The entry point has the name of the part and points at the module (or an object
  in it) whose import registers that name.

A plugin can add names but never replace one: a name that is taken is a problem of the plugin. A plugin that cannot be
loaded is left out, with a :class:`PluginWarning` and a line in ``o1lab doctor``; everything else works on.
"""

from __future__ import annotations

import importlib
import pkgutil
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from o1lab.errors import UsageError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")
RegisteredT = TypeVar("RegisteredT")

DEFAULT_ORDER = 100
"""The order of a part that names none: after the built-in ones."""


class PluginWarning(UserWarning):
    """A plugin was left out, and why."""


@dataclass(frozen=True, slots=True)
class PluginProblem:
    """Why a plugin was left out.

    Attributes:
        group: the entry point group.
        name: the name of the entry point.
        package: the distribution that declares it.
        message: what is wrong, as a sentence.
    """

    group: str
    name: str
    package: str
    message: str


@dataclass(frozen=True, slots=True)
class _Entry(Generic[T]):
    item: T
    order: int
    module: str


class Registry(Generic[T]):
    """Parts of one kind by name.

    Args:
        kind: what a part is called in messages, such as ``scorer``.
        group: the entry point group of plugins, such as ``o1lab.scorers``.
        package: the package whose modules hold the built-in parts, or the one module that does. A built-in part is
            found fastest in the module of its own name (``no-answer`` in ``no_answer.py``); otherwise all modules of
            the package are imported.
    """

    def __init__(self, kind: str, group: str, package: str) -> None:
        self.kind = kind
        self.group = group
        self.package = package
        self._entries: dict[str, _Entry[T]] = {}
        self._builtins_loaded = False
        self._waiting: dict[str, EntryPoint] | None = None
        self._problems: dict[tuple[str, str], PluginProblem] = {}

    def register(self, name: str, *, order: int = DEFAULT_ORDER) -> Callable[[RegisteredT], RegisteredT]:
        """Return a decorator that registers a class or function under ``name``.

        Args:
            name: how the part is named in commands and files.
            order: the place of the part in lists, lowest first; parts of the same order are sorted by name.

        Raises:
            ValueError: (when the decorator runs) another part has this name.
        """

        def decorate(item: RegisteredT) -> RegisteredT:
            self.add(name, cast(T, item), module=str(getattr(item, "__module__", "")), order=order)
            return item

        return decorate

    def add(self, name: str, item: T, *, module: str, order: int = DEFAULT_ORDER) -> None:
        """Register ``item``, defined in ``module``, under ``name``. A module that is imported again replaces its own.

        Raises:
            ValueError: another part has this name.
        """
        if not self._is_builtin(module):
            self._load_builtins()
        if (taken := self._entries.get(name)) is not None and taken.module != module:
            raise ValueError(f"the {self.kind} '{name}' exists already, in {taken.module}")
        self._entries[name] = _Entry(item, order, module)

    def remove(self, name: str) -> None:
        """Forget a part that was added; for tests."""
        self._entries.pop(name, None)

    def get(self, name: str) -> T:
        """Return the part called ``name``; only the module or plugin that holds it is imported where possible.

        Raises:
            UsageError: no part has this name (the message lists and suggests some), or its plugin is broken.
        """
        if (item := self.find(name)) is not None:
            return item
        if problem := next((one for one in self._problems.values() if one.name == name), None):
            raise UsageError(
                f"The {self.kind} '{name}' of {problem.package} cannot be used: {problem.message}",
                f"Update or uninstall {problem.package}; `o1lab doctor` checks all plugins.",
            )
        names = self.names()
        near = get_close_matches(name, names, 1)
        suggestion = f"Did you mean '{near[0]}'? " if near else ""
        raise UsageError(f"There is no {self.kind} '{name}'.", f"{suggestion}There are: {', '.join(names)}.")

    def find(self, name: str) -> T | None:
        """Return the part called ``name``, or None if it does not exist or its plugin is broken."""
        if name not in self._entries:
            self._load_module(name)
        if name not in self._entries:
            self._load_builtins()
        if name not in self._entries:
            self._load_plugin(name)
        entry = self._entries.get(name)
        return entry.item if entry is not None else None

    def names(self) -> tuple[str, ...]:
        """Return the names of all parts in order. Plugins are listed last and are not imported."""
        waiting = self._plugins()
        return (*self._in_order(), *sorted(name for name in waiting if name not in self._entries))

    def all(self) -> Mapping[str, T]:
        """Return every part by name, in order. Imports all plugins; broken ones are left out."""
        for name in list(self._plugins()):
            self._load_plugin(name)
        return self._in_order()

    def problems(self) -> list[PluginProblem]:
        """Return the problems of all plugins, after importing them."""
        self.all()
        return list(self._problems.values())

    def plugins(self) -> list[str]:
        """Return the names of working parts from outside the built-in package. Imports all plugins."""
        return [name for name in self.all() if not self._is_builtin(self._entries[name].module)]

    def _in_order(self) -> Mapping[str, T]:
        self._load_builtins()
        entries = sorted(self._entries.items(), key=lambda pair: (pair[1].order, pair[0]))
        return {name: entry.item for name, entry in entries}

    def _is_builtin(self, module: str) -> bool:
        return f"{module}.".startswith(f"{self.package}.")

    def _load_module(self, name: str) -> None:
        """Import the built-in module named like the part, if there is one."""
        module = f"{self.package}.{name.replace('-', '_')}"
        if self._builtins_loaded or not name.replace("-", "_").isidentifier():
            return
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name != module:
                raise

    def _load_builtins(self) -> None:
        if self._builtins_loaded:
            return
        package = importlib.import_module(self.package)
        for info in pkgutil.iter_modules(getattr(package, "__path__", [])):
            if not info.ispkg and not info.name.startswith("_"):
                importlib.import_module(f"{self.package}.{info.name}")
        self._builtins_loaded = True

    def _plugins(self) -> Mapping[str, EntryPoint]:
        """Return the entry points that are not imported yet, by name."""
        if self._waiting is None:
            from importlib.metadata import entry_points

            self._load_builtins()
            waiting: dict[str, EntryPoint] = {}
            for point in sorted(entry_points(group=self.group), key=lambda one: (one.name, _package(one))):
                if (entry := self._entries.get(point.name)) is not None and entry.module != point.module:
                    self._complain(point, f"The name is taken by {entry.module}.")
                elif (other := waiting.get(point.name)) is not None:
                    self._complain(point, f"The name is taken by the package {_package(other)}.")
                else:
                    waiting[point.name] = point
            self._waiting = waiting
        return self._waiting

    def _load_plugin(self, name: str) -> None:
        self._plugins()
        point = (self._waiting or {}).pop(name, None)
        if point is None or name in self._entries:
            return
        try:
            point.load()
        except Exception as error:  # a plugin can fail in any way, and must not affect the others
            self.remove(name)
            self._complain(point, f"{point.value} cannot be imported: {type(error).__name__}: {error}.")
            return
        if name not in self._entries:
            self._complain(point, f"{point.value} registers no {self.kind} of this name.")

    def _complain(self, point: EntryPoint, message: str) -> None:
        package = _package(point)
        self._problems[point.name, package] = PluginProblem(self.group, point.name, package, message)
        text = f"The plugin {package} was left out: {self.group} '{point.name}': {message}"
        warnings.warn(text, PluginWarning, stacklevel=2)


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.module.partition(".")[0]
