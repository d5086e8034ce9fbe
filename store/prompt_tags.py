"""Tags of prompts: given by people, and derived from the prompt sets and sources that contain the prompt."""

from __future__ import annotations

from collections.abc import Iterable

from store.conversations import prompt_sets
from store.records import problem_id
from store.rows import insert
from store.sqlite import Database

RESERVED = ":"
"""A character that given tags cannot contain: ``set:NAME`` and ``source:NAME`` are derived tags."""


def given(db: Database, prompt: str) -> list[str]:
    """Return the tags that people gave a prompt."""
    return db.column("SELECT tag FROM prompt_tags WHERE prompt = ? ORDER BY tag", [problem_id(prompt)])


def give(db: Database, prompt: str, tags: Iterable[str]) -> None:
    """Replace the tags of a prompt."""
    identity = problem_id(prompt)
    with db.atomic():
        db.conn.execute("DELETE FROM prompt_tags WHERE prompt = ?", [identity])
        insert(db, "prompt_tags", ({"prompt": identity, "tag": tag} for tag in dict.fromkeys(tags)))


def known(db: Database) -> list[str]:
    """Return all tags that people gave."""
    return db.column("SELECT DISTINCT tag FROM prompt_tags ORDER BY tag")


def of_prompts(db: Database, prompts: Iterable[str]) -> dict[str, list[str]]:
    """Return the tags of each prompt: those given, ``set:NAME`` and ``source:NAME``."""
    sets: dict[str, list[str]] = {}
    for name, texts in prompt_sets(db).items():
        for identity in {problem_id(text) for text in texts}:
            sets.setdefault(identity, []).append(f"set:{name}")
    found = {}
    for prompt in dict.fromkeys(prompts):
        identity = problem_id(prompt)
        sources = db.column(
            "SELECT DISTINCT 'source:' || source FROM problem_sources WHERE problem_id = ? ORDER BY source", [identity]
        )
        found[prompt] = [*given(db, prompt), *sets.get(identity, ()), *sources]
    return found
