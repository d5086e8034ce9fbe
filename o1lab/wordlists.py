"""Word lists in ``assets/words``: the words and patterns that rules and scorers search for.

Files are read, and patterns compiled, at first use. A change of a file requires a new version of the rules and scorers
that use it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from o1lab.paths import assets_dir


class WordList:
    """One file. A string is a list of words separated by spaces; a list holds case-insensitive regular expressions.

    ``«name»`` in an expression is replaced by the fragment of that name.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.version = int(values["version"])
        self._values = values
        self._words: dict[str, frozenset[str]] = {}
        self._patterns: dict[str, re.Pattern[str]] = {}
        self._lists: dict[str, tuple[re.Pattern[str], ...]] = {}

    def words(self, key: str) -> frozenset[str]:
        """Return the words under ``key``."""
        if key not in self._words:
            self._words[key] = frozenset(self._values[key].split())
        return self._words[key]

    def pattern(self, key: str) -> re.Pattern[str]:
        """Return one pattern that matches wherever any expression under ``key`` matches."""
        if key not in self._patterns:
            self._patterns[key] = re.compile("|".join(self._expressions(key)), re.IGNORECASE)
        return self._patterns[key]

    def patterns(self, key: str) -> tuple[re.Pattern[str], ...]:
        """Return one pattern for each expression under ``key``."""
        if key not in self._lists:
            self._lists[key] = tuple(re.compile(one, re.IGNORECASE) for one in self._expressions(key))
        return self._lists[key]

    def _expressions(self, key: str) -> list[str]:
        fragments: Mapping[str, str] = self._values.get("fragments", {})
        return [re.sub("«(.*?)»", lambda found: fragments[found[1]], one) for one in self._values[key]]


@cache
def word_list(name: str) -> WordList:
    """Return the word list in ``assets/words/NAME.yaml``."""
    import yaml

    return WordList(yaml.safe_load((assets_dir() / "words" / f"{name}.yaml").read_text("utf-8")))
