"""Read prompt sets from YAML (a list, or ``prompts:`` with a list) and JSONL (a string or an object per line)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from o1lab.errors import UsageError

_FIELDS = ("prompt", "problem", "question", "statement", "text")


def load_prompt_set(path: Path) -> list[str]:
    """Read the prompts in a file, in order. Save them with ``store.conversations.save_prompt_set``.

    Raises:
        UsageError: the file cannot be read, or a prompt in it is not text; the message names the line.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"Cannot read {path}: {reason}.", "Give a YAML or JSONL file.") from error
    rows = _yaml(path, text) if path.suffix in (".yaml", ".yml") else _jsonl(path, text)
    prompts = []
    for where, row in rows:
        prompt = _prompt(row)
        if prompt is None or not prompt.strip():
            raise UsageError(
                f"{path}, {where}: there is no prompt.",
                f"A prompt is text, or an object with one of: {', '.join(_FIELDS)}.",
            )
        prompts.append(prompt)
    if not prompts:
        raise UsageError(f"{path} contains no prompts.", "Write one per line.")
    return prompts


def _yaml(path: Path, text: str) -> list[tuple[str, Any]]:
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise UsageError(f"{path}{where}: invalid YAML.", "Correct that line.") from error
    rows = data.get("prompts") if isinstance(data, dict) else data
    if not isinstance(rows, list):
        raise UsageError(f"{path} contains no list of prompts.", "Write a YAML list, or `prompts:` with a list.")
    return [(f"prompt {i}", row) for i, row in enumerate(rows, 1)]


def _jsonl(path: Path, text: str) -> list[tuple[str, Any]]:
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            rows.append((f"line {number}", json.loads(line)))
        except ValueError as error:
            raise UsageError(f"{path}, line {number}: invalid JSON.", "Correct that line.") from error
    return rows


def _prompt(row: Any) -> str | None:
    if isinstance(row, dict):
        row = next((row[name] for name in _FIELDS if name in row), None)
    return row if isinstance(row, str) else None
