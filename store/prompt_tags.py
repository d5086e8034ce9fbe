"""Tags of prompts: those that a person gave, the prompt sets that have a prompt, and the sources of a problem."""

from __future__ import annotations

from collections.abc import Iterable

from store.conversations import prompt_sets
from store.records import problem_id, scrubbed
from store.sqlite import Database

RESERVED = ":"
"""What a given tag cannot have: ``set:NAME`` and ``source:NAME`` are tags that nobody gives."""


def given(db: Database, prompt: str) -> list[str]:
    """Return the tags that persons gave a prompt."""
    rows = db.execute("SELECT tag FROM prompt_tags WHERE prompt = ? ORDER BY tag", [problem_id(prompt)])
    return [str(tag) for (tag,) in rows]


def give(db: Database, prompt: str, tags: Iterable[str]) -> None:
    """Replace the tags of a prompt."""
    identity = problem_id(prompt)
    with db.atomic():
        db.conn.execute("DELETE FROM prompt_tags WHERE prompt = ?", [identity])
        db.conn.executemany(
            "INSERT INTO prompt_tags(prompt, tag) VALUES (?, ?)",
            [(identity, scrubbed(tag)) for tag in dict.fromkeys(tags)],
        )


def known(db: Database) -> list[str]:
    """Return all tags that persons gave."""
    return [str(tag) for (tag,) in db.execute("SELECT DISTINCT tag FROM prompt_tags ORDER BY tag")]


def of_prompts(db: Database, prompts: Iterable[str]) -> dict[str, list[str]]:
    """Return the tags of each prompt: those given, ``set:NAME`` and ``source:NAME``."""
    sets: dict[str, list[str]] = {}
    for name, texts in prompt_sets(db).items():
        for identity in {problem_id(text) for text in texts}:
            sets.setdefault(identity, []).append(f"set:{name}")
    found = {}
    for prompt in dict.fromkeys(prompts):
        identity = problem_id(prompt)
        sources = db.execute(
            "SELECT DISTINCT source FROM problem_sources WHERE problem_id = ? ORDER BY source", [identity]
        )
        found[prompt] = [*given(db, prompt), *sets.get(identity, ()), *(f"source:{source}" for (source,) in sources)]
    return found
