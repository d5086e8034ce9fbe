"""Read prompt sets from YAML (a list, or ``prompts:`` with a list) and JSONL (a string or an object per line)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from o1lab.errors import UsageError
from o1lab.small_files import UnreadableError, parse_json, parse_yaml, read_text

_FIELDS = ("prompt", "problem", "question", "statement", "text")


def load_prompt_set(path: Path) -> list[str]:
    """Read the prompts in a file, in order. Save them with ``store.conversations.save_prompt_set``.

    Raises:
        UsageError: the file cannot be read, or a prompt in it is not text; the message names the line.
    """
    try:
        text = read_text(path)
    except UnreadableError as error:
        raise UsageError(error.message, "Give a YAML or JSONL file.") from error
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
        data = parse_yaml(path, text)
    except UnreadableError as error:
        raise UsageError(error.message, error.hint) from error
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
            rows.append((f"line {number}", parse_json(line)))
        except ValueError as error:
            raise UsageError(f"{path}, line {number}: invalid JSON.", "Correct that line.") from error
    return rows


def _prompt(row: Any) -> str | None:
    if isinstance(row, dict):
        row = next((row[name] for name in _FIELDS if name in row), None)
    return row if isinstance(row, str) else None
