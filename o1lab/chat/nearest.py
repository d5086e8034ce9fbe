"""From an answer back to the chains that taught it: the training rows of a run that are most alike.

Words are weighed by BM25 (Robertson and Zaragoza 2009, doi 10.1561/1500000019) in SQLite's FTS5, so that what
all chains share (their procedure) counts little and what few share (the numbers of a problem) counts much;
the best of those are compared whole by rapidfuzz. Alike is not caused by: it says where to look.
"""

from __future__ import annotations

import json
import re
import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path

from rapidfuzz import fuzz

from o1lab.errors import NotFoundError
from o1lab.text import CJK

_WORD = re.compile(r"\w+")
_CJK = re.compile(f"([{CJK}])")
_MAX_TERMS = 60
_COMPARED = 40
_COMPARED_CHARS = 20_000


@dataclass(frozen=True)
class Near:
    """A training row that is like an answer; ``score`` is 0 to 100, 100 for the same words."""

    trace_id: str
    score: float
    prompt: str
    thought: str
    solution: str


class ChainIndex:
    """The rows a run was trained on, ready to be asked. Any thread may ask; building reads the file once."""

    def __init__(self, run_dir: Path) -> None:
        """
        Raises:
            NotFoundError: the run has no rows written down.
        """
        self._lock = threading.Lock()
        self._db = sqlite3.connect(":memory:", check_same_thread=False)
        self._db.execute("CREATE TABLE rows(id INTEGER PRIMARY KEY, trace_id, prompt, thought, solution)")
        self._db.execute("CREATE VIRTUAL TABLE words USING fts5(text, content='', tokenize='unicode61')")
        self._db.execute("CREATE VIRTUAL TABLE counts USING fts5vocab(words, row)")
        path = run_dir / "data.jsonl"
        try:
            with path.open(encoding="utf-8") as lines, self._db:
                for line in lines:
                    self._add(line)
        except OSError as error:
            raise NotFoundError(
                f"The rows that {run_dir.name} was trained on are not here.", f"{path.name} is missing from the run."
            ) from error

    def __len__(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM rows").fetchone()[0])

    def nearest(self, prompt: str, thought: str, answer: str, *, limit: int = 5) -> list[Near]:
        """The ``limit`` rows most like an answer to ``prompt``, best first."""
        asked = f"{prompt}\n{thought}\n{answer}"
        terms = self._telling(set(_words(asked)))
        if not terms:
            return []
        query = " OR ".join(f'"{word}"' for word in terms)
        with self._lock:
            found = self._db.execute(
                "SELECT r.trace_id, r.prompt, r.thought, r.solution FROM words JOIN rows r ON r.id = words.rowid "
                "WHERE words MATCH ? ORDER BY bm25(words), r.id LIMIT ?",
                [query, _COMPARED],
            ).fetchall()
        near = [Near(row[0], _alike(asked, "\n".join(row[1:])), row[1], row[2], row[3]) for row in found]
        return sorted(near, key=lambda one: -one.score)[:limit]

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def _telling(self, asked: set[str]) -> list[str]:
        """The words of ``asked`` that tell rows apart, rarest first: what most rows say costs time and says nothing."""
        with self._lock:
            found = [
                (int(row[0]), word)
                for word in asked
                if (row := self._db.execute("SELECT doc FROM counts WHERE term = ?", [word]).fetchone())
            ]
        rare = [(count, word) for count, word in found if count <= max(20, len(self) // 20)]
        return [word for _, word in sorted(rare or found)[:_MAX_TERMS]]

    def _add(self, line: str) -> None:
        try:
            row = json.loads(line)
            texts = [str(row.get(name) or "") for name in ("prompt", "thought", "solution")]
            trace_id = str(row["trace_id"])
        except (ValueError, KeyError, AttributeError, TypeError):
            return  # a half-written last line
        cursor = self._db.execute(
            "INSERT INTO rows(trace_id, prompt, thought, solution) VALUES (?, ?, ?, ?)", [trace_id, *texts]
        )
        self._db.execute("INSERT INTO words(rowid, text) VALUES (?, ?)", [cursor.lastrowid, _spaced("\n".join(texts))])


def _spaced(text: str) -> str:
    """Chinese and Japanese characters as words of their own: they are written without spaces."""
    return _CJK.sub(r" \1 ", text) if _CJK.search(text) else text


def _words(text: str) -> list[str]:
    return _WORD.findall(_spaced(text).lower())


def _alike(one: str, other: str) -> float:
    """Agreement of the two texts word by word, in order; 100 is the same."""
    return fuzz.ratio(_words(one[:_COMPARED_CHARS]), _words(other[:_COMPARED_CHARS]))
