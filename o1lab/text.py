"""Text from outside, made safe to print, and the character ranges of Chinese, Japanese and Korean.

Standard library only; every layer may use it.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from itertools import groupby
from operator import attrgetter
from typing import Any

HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Chinese characters, for use inside a regular expression's ``[...]``; so are the three below."""
KANA = "\u3040-\u30ff"
HANGUL = "\u1100-\u11ff\uac00-\ud7af"
CJK = KANA + HAN + HANGUL

_VISIBLE: dict[int, str] = {code: chr(0x2400 + code) for code in range(32) if code not in (9, 10)}
_VISIBLE |= {127: "␡"} | {code: f"‹{code:02x}›" for code in range(0x80, 0xA0)}
# Bidirectional marks, embeddings, overrides and isolates; line and paragraph separators.
_BIDI = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x2028, 0x2029)
# Spaces, operators and tags without a width. Joiners and variation selectors stay: words and emoji need them.
_HIDDEN = (0x180E, 0x200B, *range(0x2060, 0x2065), *range(0x206A, 0x2070), 0xFEFF, *range(0xFFF9, 0xFFFC))
_TAGS = range(0xE0000, 0xE0080)
_VISIBLE |= {code: f"‹{code:04x}›" for code in (*_BIDI, *_HIDDEN, *_TAGS)}
_VISIBLE |= dict.fromkeys(range(0xD800, 0xE000), "\ufffd")  # lone surrogates cannot be encoded

MOST_MARKS = 4
"""Characters without a width (combining marks, joiners, ...) that are shown in a row."""
# Neither a word character nor printable ASCII: the few that may have no width, and the vowels and finals of Hangul.
_MAY_BE_MARKS = re.compile(f"(?:[^\\w\\s!-~]|[\u1160-\u11ff]){{{MOST_MARKS + 1},}}")


def visible(text: str) -> str:
    """Return ``text`` as it may be printed.

    Control characters, bidi controls, lone surrogates and hidden characters become visible symbols. Of a longer run of
    characters without a width, the first four are kept, and a count such as ``‹+96›`` replaces the rest. Newlines and
    tabs are kept. The result may be longer than ``text``.
    """
    if text.isascii() and text.isprintable():
        return text
    return _MAY_BE_MARKS.sub(lambda run: _cut_marks(run[0], "‹+{}›"), text).translate(_VISIBLE)


def harmless(text: str) -> str:
    """Return ``text`` in as many characters, each safe to print, for editors whose cursor counts characters."""
    if text.isprintable():
        return text
    return "".join(map(_one_character, text))


def without_controls(text: str) -> str:
    """Return ``text`` without what ``visible`` replaces: the width in cells stays the same."""
    if text.isprintable() and text.isascii():
        return text
    return _MAY_BE_MARKS.sub(lambda run: _cut_marks(run[0], ""), text).translate(_REMOVED)


_REMOVED = dict.fromkeys(_VISIBLE, "") | dict.fromkeys(range(0xD800, 0xE000), "\ufffd")


def _one_character(char: str) -> str:
    shown = char if char == "\t" else char.translate(_VISIBLE)
    return shown if len(shown) == 1 and (shown.isprintable() or shown == "\t") else "\ufffd"


def _cut_marks(run: str, count: str) -> str:
    """Return a run of symbols with at most ``MOST_MARKS`` in a row that have no width."""
    parts = []
    for mark, chars in groupby(run, _has_no_width):
        part = "".join(chars)
        longer = len(part) - MOST_MARKS
        parts.append(part[:MOST_MARKS] + count.format(longer) if mark and longer > 0 else part)
    return "".join(parts)


def _has_no_width(char: str) -> bool:
    return unicodedata.category(char) in ("Mn", "Me", "Cf") or "\u1160" <= char <= "\u11ff"


def json_of(record: object, *keys: str, digits: int | None = None) -> dict[str, Any]:
    """Return some attributes of an object as JSON.

    Args:
        record: the object.
        keys: names of attributes, which become the keys; ``key=attribute`` gives another key, and ``=a.b`` the
            attribute b of a.
        digits: the number of decimals of numbers; None leaves them as they are.

    Returns:
        The values by key, in the order of ``keys``; those that have ``as_json`` as it returns them.
    """
    pairs = (key.partition("=") for key in keys)
    return {name: json_value(attrgetter(attribute or name)(record), digits) for name, _, attribute in pairs}


def json_value(value: Any, digits: int | None = None) -> Any:
    """Return a value as JSON, and what it contains; see :func:`json_of`."""
    if hasattr(value, "as_json"):
        return value.as_json()
    match value:
        case float():
            return value if digits is None else round(value, digits)
        case list() | tuple():
            return [json_value(one, digits) for one in value]
        case Mapping():
            return {key: json_value(one, digits) for key, one in value.items()}
    return value


def json_text(value: object) -> str:
    """Return a value as JSON that is safe to print: what ``visible`` replaces is written as an escape.

    Values of other types become text, and lone surrogates, which UTF-8 cannot encode, become escapes as well.
    """
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if text.isprintable() else _ESCAPED.sub(lambda found: json.dumps(found[0])[1:-1], text)


_ESCAPED = re.compile("[" + "".join(re.escape(chr(code)) for code in _VISIBLE if code > 31) + "]")


def parse_json(text: str | bytes) -> Any:
    """Parse JSON.

    Raises:
        ValueError: it is not JSON, or nested too deeply.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON (line {error.lineno}, column {error.colno})") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 (byte {error.start + 1})") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except ValueError as error:
        raise ValueError("it has a number that is too long") from error


def one_line(text: str, width: int) -> str:
    """Return the start of ``text`` as one visible line of at most ``width`` characters, with an ellipsis if cut."""
    line = " ".join(visible(text[: width * 4]).split())
    return line if len(line) <= width else line[: max(width - 1, 0)] + "…"


def lowered(text: str) -> str:
    """Return the lower case with the same length, so that offsets stay valid: only ``İ`` has a longer lower case."""
    lower = text.lower()
    return lower if len(lower) == len(text) else text.replace("İ", "i").lower()
