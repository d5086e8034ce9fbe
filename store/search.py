"""Full-text search over statement, thought and solution, Chinese included.

SQLite's default tokenizer takes a run of Chinese characters for one word, and its trigram tokenizer misses
two-character words. So each CJK character is indexed as a word of its own, and a CJK query becomes a phrase.
"""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass

from store.errors import QueryError
from store.records import decode, scrubbed
from store.sqlite import Database

_CJK = re.compile(
    r"([\u2e80-\u2fdf\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff])"
)
_QUERY = re.compile(r'(-?)(?:"([^"]*)"?|(\S+))')
_WORD = re.compile(r"\w+")
SNIPPET_CHARS = 80
FIELDS = ("statement", "thought", "solution")


@dataclass(frozen=True, slots=True)
class Hit:
    """One field of a trace that matches, with a piece of its text."""

    trace_id: str
    field: str
    snippet: str


def indexable(text: str) -> str:
    """``text`` as the index takes it: CJK characters apart, nothing SQLite cannot encode."""
    return scrubbed(text) if text.isascii() else _CJK.sub(r" \1 ", scrubbed(text)).replace("\0", " ")


def insert(connection: sqlite3.Connection, seq: int, statement: str, thought: str, solution: str) -> None:
    """Index one trace."""
    connection.execute(
        "INSERT INTO traces_fts(rowid, statement, thought, solution) VALUES (?, ?, ?, ?)",
        (seq, indexable(statement), indexable(thought), indexable(solution)),
    )


def expressions(query: str) -> tuple[str | None, str | None]:
    """FTS5 expressions for what a person typed: of what must occur and of what must not; None where nothing is asked.

    Words must all occur, "quoted words" in a row, -word must not; a word without quotes may be a beginning.
    """
    wanted: list[str] = []
    unwanted: list[str] = []
    for minus, phrase, word in _QUERY.findall(query):
        text = indexable(phrase or word).replace('"', " ")
        terms = _WORD.findall(text)
        if not terms:
            continue
        term = '"' + " ".join(terms) + '"'
        if word and not minus and not _CJK.search(text):
            term += "*"
        (unwanted if minus else wanted).append(term)
    return " AND ".join(wanted) or None, " OR ".join(unwanted) or None


def match_expression(query: str) -> str | None:
    """One FTS5 expression for what a person typed, or None when there is no word in it that must occur."""
    wanted, unwanted = expressions(query)
    return f"({wanted}) NOT ({unwanted})" if wanted and unwanted else wanted


def require_words(query: str) -> None:
    """Refuse a search that has signs in it and no word: it would find everything, or nothing, whatever was meant.

    Raises:
        QueryError: there is no letter and no digit in ``query``.
    """
    if query.strip() and expressions(query) == (None, None):
        raise QueryError(f"There is no word to search for in '{query.strip()}'.", "Search for letters or digits.")


def hits(db: Database, query: str, *, limit: int = 50, offset: int = 0) -> tuple[list[Hit], int]:
    """The best hits, best trace first, and how many traces match.

    Raises:
        QueryError: no word is asked for, so that nothing could be the best.
    """
    require_words(query)
    expression = match_expression(query)
    if expression is None:
        raise QueryError("A search needs a word that must occur.", "A filter (traces ls) takes -words alone.")
    total = db.execute("SELECT count(*) FROM traces_fts WHERE traces_fts MATCH ?", [expression]).fetchone()[0]
    rows = db.execute(
        """SELECT t.id, p.statement, x.raw, x.thought_start, x.thought_end, x.solution_start, x.solution_end
           FROM (SELECT rowid, rank FROM traces_fts WHERE traces_fts MATCH ? ORDER BY rank LIMIT ? OFFSET ?) f
           JOIN traces t ON t.seq = f.rowid JOIN trace_texts x ON x.seq = f.rowid
           JOIN problems p ON p.id = t.problem_id ORDER BY f.rank""",
        [expression, limit, offset],
    ).fetchall()
    found = []
    pattern = _pattern(query)
    for trace_id, statement, raw_bytes, thought_start, thought_end, solution_start, solution_end in rows:
        raw = decode(raw_bytes)
        texts = (statement, raw[thought_start:thought_end], raw[solution_start:solution_end])
        matches = [
            (field, text, match) for field, text in zip(FIELDS, texts, strict=True) if (match := pattern.search(text))
        ]
        if not matches:  # the index folds diacritics and joins words; the pattern need not find that
            found.append(Hit(trace_id, "statement", _snippet(statement, 0)))
        found += [Hit(trace_id, field, _snippet(text, match.start())) for field, text, match in matches]
    return found, total


def _pattern(query: str) -> re.Pattern[str]:
    """A pattern that finds in plain text what the index found, near enough for a snippet."""
    terms = [phrase or word for minus, phrase, word in _QUERY.findall(query) if not minus]
    words = [r"\W+".join(map(re.escape, _WORD.findall(term))) for term in terms]
    return re.compile("|".join(word for word in words if word) or "(?!)", re.IGNORECASE)


def _snippet(text: str, at: int) -> str:
    start = max(at - SNIPPET_CHARS // 2, 0)
    piece = " ".join(text[start : at + SNIPPET_CHARS].split())
    return ("…" if start else "") + piece + ("…" if at + SNIPPET_CHARS < len(text) else "")
