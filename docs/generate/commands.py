"""The pages of commands and of their JSON, from the command line's own tree and the shapes that the tests record."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from docs.generate.markdown import block, code, prose, table
from o1lab.cli.tree import Command, commands
from o1lab.errors import EXIT_STATUSES
from tests.support.json_shapes import RECORDED, readable, union


def page() -> str:
    """Return the page."""
    found = list(commands())
    parts = [
        "# Commands",
        prose(
            "`--lab DIR` names the lab, before or after the command; without it, it is that of `O1LAB_LAB`, else the "
            "nearest folder upwards with an o1lab.toml. `--json` prints one JSON object on standard output; lists also "
            "have `--format csv`. The exit status is "
            + ", ".join(f"{status} {meaning}" for status, meaning in EXIT_STATUSES.items())
            + "."
        ),
        table(
            ("Command", "What it does"),
            ((f"[{code(one.words)}](#{one.anchor})", prose(one.summary)) for one in found if not one.group or one.help),
        ),
        *map(_section, found),
    ]
    return "\n\n".join(parts)


def _section(one: Command) -> str:
    level = "##" if one.words.count(" ") <= 1 else "###"
    parts = [f"{level} {one.words} {{ #{one.anchor} }}"]
    if one.runs:
        parts.append(block(one.usage))
    parts += _described(one)
    parts += _options(one)
    return "\n\n".join(parts)


def _described(one: Command) -> Iterator[str]:
    """Yield the paragraphs of a help text, and the examples as code."""
    for text, examples in one.parts():
        yield block("\n".join(examples), "sh") if examples else prose(text)


def _options(one: Command) -> Iterator[str]:
    for title, records in one.options().items():
        yield table((title, "Meaning"), ((code(typed), prose(about)) for typed, about in records))


def json_output() -> str:
    """Return the page."""
    answers, faults = _recorded()
    known = {one.words: one.anchor for one in commands()}
    parts = [
        "# JSON output and exit statuses",
        "With `--json`, standard output is one JSON object. Lists are `{items, total}`. Progress and advice go to "
        "standard error.",
        "## Exit statuses",
        table(("Status", "Meaning"), ((code(status), prose(about)) for status, about in EXIT_STATUSES.items())),
        "## Errors",
        "An error has a code for scripts, a sentence that says what happened, and one that says what to do.",
        block(readable(union(faults)), "json"),
        "## Answers",
        "The keys and the types of every answer, as the tests record them from the program. A key that ends in `?` is "
        'missing from some answers; `"null|string"` is one of both; `[]` is a list that was empty when it was '
        "recorded; `$map` is an object whose keys are data, with the shape of its values; `$any` is one of several "
        "shapes.",
    ]
    for verb, found in sorted(answers.items()):
        words = f"o1lab {verb}"
        heading = f"### {words} {{ #{words.replace(' ', '-')} }}"
        link = f"[The command](commands.md#{known[words]})." if words in known else ""
        parts += [heading, link, block(readable(union(found)), "json")]
    silent = [code(words) for words in known if words.removeprefix("o1lab ") not in answers and _is_verb(words)]
    parts.append(
        f"Without a recorded answer, because they run until they are stopped or for minutes: {', '.join(silent)}."
    )
    return "\n\n".join(filter(None, parts))


def _is_verb(words: str) -> bool:
    return any(one.words == words and not one.group for one in commands())


def _recorded() -> tuple[dict[str, list[Any]], list[Any]]:
    """Return the shapes of each verb's answers, and those of errors."""
    answers: dict[str, list[Any]] = defaultdict(list)
    faults = []
    for part in json.loads(RECORDED.read_text("utf-8")).values():
        for name, one in part.items():
            if "code" in one:
                faults.append(one["shape"])
            else:
                answers[name.partition(" (")[0]].append(one["shape"])
    return answers, faults
