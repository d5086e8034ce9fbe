"""Find the training rows of a run that are most similar to an answer.

Words are weighted by BM25 (Robertson and Zaragoza 2009, doi 10.1561/1500000019) in SQLite's FTS5: words that all chains
share (their procedure) count little, words that few share (the numbers of a problem) count much. The best rows are then
compared in full by rapidfuzz. Similarity does not prove that a row caused the answer.
"""

from __future__ import annotations

import re
import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path

from rapidfuzz import fuzz

from o1lab.errors import NotFoundError
from o1lab.text import CJK, parse_json

_WORD = re.compile(r"\w+")
_CJK = re.compile(f"([{CJK}])")
_MAX_TERMS = 60
_COMPARED = 40
_COMPARED_CHARS = 20_000


@dataclass(frozen=True)
class SimilarRow:
    """A training row similar to an answer; ``score`` is from 0 to 100, 100 for the same words."""

    trace_id: str
    score: float
    prompt: str
    thought: str
    solution: str


class ChainIndex:
    """A search index of the rows that a run was trained on. It is safe to use from any thread.

    Args:
        run_dir: the directory of the run; its data.jsonl is read once.

    Raises:
        NotFoundError: the run has no data.jsonl.
    """

    def __init__(self, run_dir: Path) -> None:
        self._lock = threading.Lock()
        self._rows = 0
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
                f"The training rows of {run_dir.name} are missing.", f"The run has no readable {path.name}."
            ) from error

    def __len__(self) -> int:
        return self._rows

    def nearest(self, prompt: str, thought: str, answer: str, *, limit: int = 5) -> list[SimilarRow]:
        """Return the ``limit`` rows most similar to an answer to ``prompt``, the best first."""
        text = f"{prompt}\n{thought}\n{answer}"
        terms = self._distinctive(set(_words(text)))
        if not terms:
            return []
        query = " OR ".join(f'"{word}"' for word in terms)
        with self._lock:
            found = self._db.execute(
                "SELECT r.trace_id, r.prompt, r.thought, r.solution FROM words JOIN rows r ON r.id = words.rowid "
                "WHERE words MATCH ? ORDER BY bm25(words), r.id LIMIT ?",
                [query, _COMPARED],
            ).fetchall()
        near = [SimilarRow(row[0], _similarity(text, "\n".join(row[1:])), row[1], row[2], row[3]) for row in found]
        return sorted(near, key=lambda one: -one.score)[:limit]

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def _distinctive(self, words: set[str]) -> list[str]:
        """Return the words that distinguish rows, the rarest first; words in most rows only cost time."""
        with self._lock:
            found = [
                (int(row[0]), word)
                for word in words
                if (row := self._db.execute("SELECT doc FROM counts WHERE term = ?", [word]).fetchone())
            ]
        rare = [(count, word) for count, word in found if count <= max(20, len(self) // 20)]
        return [word for _, word in sorted(rare or found)[:_MAX_TERMS]]

    def _add(self, line: str) -> None:
        try:
            row = parse_json(line)
            texts = [str(row.get(name) or "") for name in ("prompt", "thought", "solution")]
            trace_id = str(row["trace_id"])
        except (ValueError, KeyError, AttributeError, TypeError):
            return  # a partial last line
        cursor = self._db.execute(
            "INSERT INTO rows(trace_id, prompt, thought, solution) VALUES (?, ?, ?, ?)", [trace_id, *texts]
        )
        self._rows += 1
        self._db.execute("INSERT INTO words(rowid, text) VALUES (?, ?)", [cursor.lastrowid, _spaced("\n".join(texts))])


def _spaced(text: str) -> str:
    """Separate Chinese and Japanese characters by spaces, because these languages have none between words."""
    return _CJK.sub(r" \1 ", text) if _CJK.search(text) else text


def _words(text: str) -> list[str]:
    return _WORD.findall(_spaced(text).lower())


def _similarity(one: str, other: str) -> float:
    """Return how similar two sequences of words are, from 0 to 100."""
    return fuzz.ratio(_words(one[:_COMPARED_CHARS]), _words(other[:_COMPARED_CHARS]))
