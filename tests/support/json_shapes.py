"""The shape of JSON: keys and types without values, to compare what a program prints before and after a change.

A shape is what stays the same when only the data change. It is written so:

- ``"string"``, ``"integer"``, ``"number"``, ``"boolean"``, ``"null"``: a value; ``"null|string"`` is one of both;
- ``{"key": ...}``: an object; a key that ends in ``?`` is missing from some objects of the same list;
- ``[...]``: a list with the shape of all its elements together, ``[]`` a list that was empty;
- ``{"$map": ...}``: an object whose keys are data (see ``MAPS``), with the shape of all its values together, or
  ``"nothing"`` where it was empty;
- ``{"$any": [...]}``: one of several shapes, for example an object or null.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from difflib import unified_diff
from pathlib import Path
from typing import Any

import pytest

from o1lab.cli.main import run

RECORDED = Path(__file__).parent.parent / "fixtures" / "json_shapes.json"
RECORD = bool(os.environ.get("RECORD_JSON_SHAPES"))
"""Whether to write the file instead of comparing with it."""

MAPS = {
    "adapted", "annotators", "by_category", "by_variant", "dropped", "item_meta", "left_out", "meta", "pass_at",
    "questions", "reasons", "scorer_options", "usage_by_role", "variants", "verdicts",
}  # fmt: skip
"""Names of objects whose keys are data: reasons, variants, items, annotators."""


def shape(value: Any, name: str = "") -> Any:
    """The shape of a JSON value; ``name`` is the key it is under."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return [union([shape(one) for one in value])] if value else []
        case dict() if name in MAPS:
            return {"$map": union([shape(one) for one in value.values()])} if value else {"$map": "nothing"}
        case dict():
            return {key: shape(value[key], key) for key in sorted(value)}
    raise TypeError(f"{value!r} is not JSON")


def union(shapes: Sequence[Any]) -> Any:
    """One shape for values of several shapes."""
    words = {word for one in shapes if isinstance(one, str) for word in one.split("|")}
    if "number" in words:
        words.discard("integer")
    lists = [one[0] for one in shapes if isinstance(one, list) and one]
    maps = [one["$map"] for one in shapes if isinstance(one, dict) and "$map" in one and one["$map"] != "nothing"]
    objects = [one for one in shapes if isinstance(one, dict) and "$map" not in one and "$any" not in one]
    kinds: list[Any] = ["|".join(sorted(words))] if words else []
    if any(isinstance(one, list) for one in shapes):
        kinds.append([union(lists)] if lists else [])
    if any(isinstance(one, dict) and "$map" in one for one in shapes):
        kinds.append({"$map": union(maps) if maps else "nothing"})
    if objects:
        kinds.append(_object(objects))
    for one in shapes:
        if isinstance(one, dict) and "$any" in one:
            return union([*(other for other in shapes if other is not one), *one["$any"]])
    return kinds[0] if len(kinds) == 1 else {"$any": kinds}


def _object(objects: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One shape for several objects: a key that is not in all of them gets a question mark."""
    names = sorted({key.removesuffix("?") for one in objects for key in one})
    found = {}
    for name in names:
        always = all(name in one for one in objects)
        parts = [one[key] for one in objects for key in (name, f"{name}?") if key in one]
        found[name if always else f"{name}?"] = union(parts)
    return found


def readable(value: Any, indent: str = "") -> str:
    """JSON with sorted keys; what fits into a line is on one line."""
    flat = json.dumps(value, sort_keys=True)
    if len(indent) + len(flat) <= 100 or not value or not isinstance(value, (dict, list)):
        return flat
    inner = f"{indent} "
    if isinstance(value, dict):
        parts = [f"{json.dumps(key)}: {readable(value[key], inner)}" for key in sorted(value)]
    else:
        parts = [readable(one, inner) for one in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}\n{inner}" + f",\n{inner}".join(parts) + f"\n{indent}{closing}"


class Recorder:
    """Runs verbs on one lab and keeps the shapes of their answers, by the name of the call."""

    def __init__(self, lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.lab, self.capsys = lab, capsys
        self.found: dict[str, dict[str, Any]] = {}

    def __call__(
        self, verb: str, *arguments: str | Path, what: str = "", status: bool = True, in_lab: bool = True
    ) -> dict[str, Any]:
        """Run a verb and record it as ``verb (what)``.

        Args:
            arguments: The words after the verb.
            what: Tells several calls of one verb apart.
            status: Whether the exit status is the same on every machine.
            in_lab: Whether the call names the lab.

        Returns:
            The verb's answer.
        """
        before = ["--lab", str(self.lab)] if in_lab else []
        self.capsys.readouterr()
        code = run([*before, *verb.split(), *map(str, arguments), "--json"])
        answer: dict[str, Any] = json.loads(self.capsys.readouterr().out)
        name = f"{verb} ({what})" if what else verb
        assert name not in self.found, f"two calls are called {name!r}"
        self.found[name] = {"exit": code if status else "depends on the machine", "shape": shape(answer)}
        if "error" in answer:
            self.found[name]["code"] = answer["error"]["code"]
        return answer

    def compare(self, part: str) -> None:
        """Compare what was found with what is recorded, or record it."""
        recorded = json.loads(RECORDED.read_text("utf-8")) if RECORDED.exists() else {}
        if RECORD:
            RECORDED.write_text(readable(recorded | {part: self.found}) + "\n", "utf-8")
            return
        before = recorded[part]
        assert sorted(self.found) == sorted(before)
        differing = [name for name, found in self.found.items() if found != before[name]]
        sides = ({name: side[name] for name in differing} for side in (before, self.found))
        lines = (readable(side).splitlines() for side in sides)
        assert not differing, "\n".join(unified_diff(*lines, "recorded", "found", lineterm="", n=8))
