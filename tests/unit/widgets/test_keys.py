"""Keys as terminals send them."""

from __future__ import annotations

import pytest
from textual import events
from textual._xterm_parser import XTermParser

import o1lab.widgets.keys  # noqa: F401 - changes Textual's table of sequences


def keys_of(sequence: str) -> list[str]:
    parser = XTermParser()
    found = [*parser.feed(sequence), *parser.feed("")]
    return [one.key for one in found if isinstance(one, events.Key)]


@pytest.mark.parametrize(
    ("sequence", "keys"),
    [
        *((f"\x1b{digit}", [f"alt+{digit}"]) for digit in range(1, 8)),
        ("\x1b[52;3u", ["alt+4"]),
        ("\x07", ["ctrl+g"]),
        ("¡", ["inverted_exclamation_mark"]),  # typed, as at the start of a Spanish sentence
        ("\x1be", ["alt+e"]),
    ],
)
def test_alt_and_a_digit_is_that_key(sequence: str, keys: list[str]) -> None:
    assert keys_of(sequence) == keys
