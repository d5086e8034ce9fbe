"""Text from outside, made safe to print, and the character ranges of Chinese, Japanese and Korean.

Standard library only; every layer may use it.
"""

from __future__ import annotations

HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Chinese characters, for use inside a regular expression's ``[...]``; so are the three below."""
KANA = "\u3040-\u30ff"
HANGUL = "\u1100-\u11ff\uac00-\ud7af"
CJK = KANA + HAN + HANGUL

_VISIBLE: dict[int, str] = {code: chr(0x2400 + code) for code in range(32) if code not in (9, 10)}
_VISIBLE |= {127: "␡"} | {code: f"‹{code:02x}›" for code in range(0x80, 0xA0)}
# Bidirectional marks, embeddings, overrides and isolates; line and paragraph separators.
_BIDI = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x2028, 0x2029)
_VISIBLE |= {code: f"‹{code:04x}›" for code in _BIDI}
_VISIBLE |= dict.fromkeys(range(0xD800, 0xE000), "\ufffd")  # lone surrogates cannot be encoded


def visible(text: str) -> str:
    """Return ``text`` with control characters, bidi controls and lone surrogates as visible symbols.

    Newlines and tabs are kept. The result may be longer than ``text``.
    """
    return text.translate(_VISIBLE)


def one_line(text: str, width: int) -> str:
    """Return the start of ``text`` as one visible line of at most ``width`` characters, with an ellipsis if cut."""
    line = " ".join(visible(text[: width * 4]).split())
    return line if len(line) <= width else line[: max(width - 1, 0)] + "…"
