"""Full-text search over statement, thought and solution, Chinese included.

SQLite's default tokenizer treats a run of Chinese characters as one word, and its trigram tokenizer misses
two-character words. Therefore each CJK character is indexed as one word, and a CJK query becomes a phrase.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from store.errors import QueryError
from store.records import decode, encode, scrubbed, spans_of, visible_text
from store.sqlite import Database

_CJK = re.compile(
    r"([\u2e80-\u2fdf\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff])"
)
# Zero, and bytes that begin the characters above or a surrogate. Looking for bytes is ten times as fast as the pattern.
_NOT_PLAIN = tuple(bytes([lead]) for lead in (0, *range(0xE3, 0xEE), 0xEF, 0xF0))
_RADICALS = re.compile(rb"\xe2[\xba-\xbf]")
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


def is_plain(text: bytes) -> bool:
    """Return whether a text in UTF-8 can be indexed as it is: no CJK character, lone surrogate or zero character."""
    if text.isascii():
        return b"\0" not in text
    return not any(lead in text for lead in _NOT_PLAIN) and _RADICALS.search(text) is None


def indexable(text: str) -> str:
    """Return ``text`` as it is indexed: spaces around CJK characters, nothing that SQLite cannot encode."""
    if is_plain(encode(text)):
        return text
    return _CJK.sub(r" \1 ", scrubbed(text)).replace("\0", " ")


def index(connection: sqlite3.Connection, plain: Sequence[int], other: Iterable[tuple[int, str, str, str]]) -> None:
    """Index traces whose texts are stored.

    Args:
        connection: The connection to the lab's database.
        plain: The seq of traces with plain texts only, and no text outside the think marks.
        other: The seq, statement, thought and solution of the others.
    """
    # SQLite takes the texts from the tables: this is faster than passing them, and Python can run meanwhile.
    connection.execute(
        """INSERT INTO traces_fts(rowid, statement, thought, solution)
           SELECT x.seq, p.statement,
                  substr(CAST(x.raw AS TEXT), x.thought_start + 1, x.thought_end - x.thought_start),
                  substr(CAST(x.raw AS TEXT), x.solution_start + 1, x.solution_end - x.solution_start)
           FROM trace_texts x JOIN traces t ON t.seq = x.seq JOIN problems p ON p.id = t.problem_id
           WHERE x.seq IN (SELECT value FROM json_each(?)) ORDER BY x.seq""",
        [json.dumps(plain)],
    )
    connection.executemany(
        "INSERT INTO traces_fts(rowid, statement, thought, solution) VALUES (?, ?, ?, ?)",
        ((seq, *map(indexable, texts)) for seq, *texts in other),
    )


def expressions(query: str) -> tuple[str | None, str | None]:
    """Translate a search into FTS5.

    All words must occur, "quoted words" as a phrase; -word must not occur. A word without quotes matches as a prefix.

    Returns:
        The expression of what must occur and the expression of what must not, None where there is none.
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
    """Return one FTS5 expression for a search, or None if it has no word that must occur."""
    wanted, unwanted = expressions(query)
    return f"({wanted}) NOT ({unwanted})" if wanted and unwanted else wanted


def require_words(query: str) -> None:
    """Reject a search that consists of punctuation only, which would match everything or nothing.

    Raises:
        QueryError: ``query`` has neither a letter nor a digit.
    """
    if query.strip() and expressions(query) == (None, None):
        raise QueryError(f"There is no word to search for in '{query.strip()}'.", "Search for letters or digits.")


def hits(db: Database, query: str, *, limit: int = 50, offset: int = 0) -> tuple[list[Hit], int]:
    """Search all traces.

    Returns:
        The hits, those of the best trace first, and the number of matching traces.

    Raises:
        QueryError: ``query`` has no word that must occur, so the hits cannot be ranked.
    """
    require_words(query)
    expression = match_expression(query)
    if expression is None:
        raise QueryError("A search needs at least one word without a minus.", "`o1lab traces ls` accepts -words alone.")
    total = int(db.value("SELECT count(*) FROM traces_fts WHERE traces_fts MATCH ?", [expression]))
    rows = db.execute(
        """SELECT t.id, p.statement, x.raw, x.thought_start, x.thought_end, x.solution_start, x.solution_end, x.outside
           FROM (SELECT rowid, rank FROM traces_fts WHERE traces_fts MATCH ? ORDER BY rank LIMIT ? OFFSET ?) f
           JOIN traces t ON t.seq = f.rowid JOIN trace_texts x ON x.seq = f.rowid
           JOIN problems p ON p.id = t.problem_id ORDER BY f.rank""",
        [expression, limit, offset],
    ).fetchall()
    found = []
    pattern = _pattern(query)
    for trace_id, statement, raw_bytes, thought_start, thought_end, solution_start, solution_end, outside in rows:
        raw = decode(raw_bytes)
        texts = (
            statement,
            raw[thought_start:thought_end],
            visible_text(raw, (solution_start, solution_end), spans_of(outside)),
        )
        matches = [
            (field, text, match) for field, text in zip(FIELDS, texts, strict=True) if (match := pattern.search(text))
        ]
        if not matches:  # the index ignores diacritics, so the pattern may not find the word
            found.append(Hit(trace_id, "statement", _snippet(statement, 0)))
        found += [Hit(trace_id, field, _snippet(text, match.start())) for field, text, match in matches]
    return found, total


def _pattern(query: str) -> re.Pattern[str]:
    """Return a pattern that approximates in plain text what the index matched, for the snippet."""
    terms = [phrase or word for minus, phrase, word in _QUERY.findall(query) if not minus]
    words = [r"\W+".join(map(re.escape, _WORD.findall(term))) for term in terms]
    return re.compile("|".join(word for word in words if word) or "(?!)", re.IGNORECASE)


def _snippet(text: str, at: int) -> str:
    start = max(at - SNIPPET_CHARS // 2, 0)
    piece = " ".join(text[start : at + SNIPPET_CHARS].split())
    return ("…" if start else "") + piece + ("…" if at + SNIPPET_CHARS < len(text) else "")
